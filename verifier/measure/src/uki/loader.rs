//! Which loaders may come before an image: those of which it is known that whatever they start is in
//! PCR 4. systemd-boot starts by the firmware, which measures it; shim starts by itself and has the
//! firmware measure it first, with Secure Boot and without (`handle_image` in its `pe.c`).
//!
//! GRUB reads a configuration that the host may edit. It measures that, and what it loads, into PCRs 8
//! and 9, so that a kernel of the host's may extend PCRs 4 and 11 with what the image would have
//! given.

use super::UkiFault;
use crate::pe::PeImage;

const SYSTEMD_BOOT: &[u8] = b"#### LoaderInfo: systemd-boot ";
/// GRUB's own section, where its modules are.
const GRUB_MODULES: &str = "mods";

pub(super) fn refuse_unknown(loader: &PeImage<'_>, index: usize) -> Result<(), UkiFault> {
    let has_modules = loader.sections().iter().any(|s| s.is_named(GRUB_MODULES));
    if has_modules || says(loader, "grub") {
        return Err(UkiFault::LoaderIsGrub { index });
    }
    let mut magics = loader.sections().iter().filter(|s| s.is_named(".sdmagic"));
    if says(loader, "shim") || magics.any(|s| s.contents().starts_with(SYSTEMD_BOOT)) {
        return Ok(());
    }
    Err(UkiFault::LoaderNotKnown { index })
}

/// Whether `.sbat` has a line of that component, or of a distribution's part of it (shim's `SBAT.md`:
/// `grub,4,…`, `grub.debian,4,…`).
fn says(loader: &PeImage<'_>, component: &str) -> bool {
    let is_of_component = |line: &[u8]| {
        let rest = line.strip_prefix(component.as_bytes());
        rest.is_some_and(|rest| matches!(rest.first(), Some(b',' | b'.')))
    };
    let mut lists = loader.sections().iter().filter(|s| s.is_named(".sbat"));
    lists.any(|s| s.contents().split(|b| *b == b'\n').any(is_of_component))
}
