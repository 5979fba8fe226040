use nitride_secmem::crypto::fill_random;
use nitride_vault::Draw;

/// What the vault draws, from AWS-LC's generator in the arena.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SystemDraw;

impl Draw for SystemDraw {
    fn fill(&mut self, out: &mut [u8]) {
        fill_random(out);
    }
}
