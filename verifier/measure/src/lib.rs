//! Reference values, computed from the image: what a TEE or a TPM will measure of a boot.
//!
//! ```text
//!  firmware ─▶ firmware (table at its end) ─┬─▶ snp: launch digest (+ kernel hashes, vCPU states)
//!                                           └─▶ tdx: MRTD
//!  kernel, initrd, command line ─▶ pe ─────────▶ tdx: RTMR1, RTMR2 (QEMU's direct boot)
//!  unified kernel image ─▶ pe ─────────────────▶ uki: PCRs 2, 4, 11 (firmware starts systemd-stub)
//! ```
//!
//! Principles:
//!
//! - **No I/O.** Bytes in, values out.
//! - **One boot path a function**, and its documentation says which. What is measured depends on
//!   versions of firmware, stub and hypervisor: where they differ, the caller states which, and
//!   what is not known to this crate is refused by name and never guessed.
//! - **Images are hostile.** Every offset is checked, and the work is bounded by what the image has.
//! - **A value says what it covers**: see each function.
#![forbid(unsafe_code)]

mod digest;
mod firmware;
mod little_endian;
mod pe;
pub mod snp;
pub mod tdx;
pub mod uki;

pub use firmware::{FirmwareFault, MAX_FIRMWARE_LEN};
pub use pe::{MAX_PE_SECTIONS, PeFault};
