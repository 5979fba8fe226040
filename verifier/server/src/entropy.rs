//! Randomness as an argument, so that what is made of it can be tested against fixed values.

use thiserror::Error;
use zeroize::Zeroizing;

/// A secret of fixed size: it does not move, and is wiped when dropped.
pub(crate) type SecretArray<const N: usize> = Box<Zeroizing<[u8; N]>>;

/// Where random bytes come from.
pub(crate) trait Draw: Send {
    /// Fills `out` whole, or fails.
    fn fill(&mut self, out: &mut [u8]) -> Result<(), NoEntropy>;
}

/// The kernel gives no random bytes.
#[derive(Debug, Error)]
#[error("draw random bytes from the kernel")]
pub(crate) struct NoEntropy(#[source] getrandom::Error);

/// The kernel's generator.
#[derive(Debug, Clone, Copy)]
pub(crate) struct KernelEntropy;

impl Draw for KernelEntropy {
    fn fill(&mut self, out: &mut [u8]) -> Result<(), NoEntropy> {
        getrandom::fill(out).map_err(NoEntropy)
    }
}

/// Draws a public value of fixed size, such as a nonce.
pub(crate) fn draw_array<const N: usize>(draw: &mut dyn Draw) -> Result<[u8; N], NoEntropy> {
    let mut out = [0; N];
    draw.fill(&mut out)?;
    Ok(out)
}

/// Draws a secret of fixed size, in a place of its own that is wiped.
pub(crate) fn draw_secret<const N: usize>(
    draw: &mut dyn Draw,
) -> Result<SecretArray<N>, NoEntropy> {
    let mut out: SecretArray<N> = Box::new(Zeroizing::new([0; N]));
    draw.fill(out.as_mut_slice())?;
    Ok(out)
}
