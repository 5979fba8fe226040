//! What the vendors publish about their hardware, as data. Fetching it is another crate's work.
//!
//! Nothing of it is trusted for having been given here: every certificate chains to a pinned
//! anchor, and every list is signed.

mod amd;
mod nvidia;
pub(crate) mod tdx;
mod veks;

pub use amd::{AMD_ROOTS, AmdCollateral, AmdCrl};
pub use nvidia::NVIDIA_ROOT;
pub use tdx::{INTEL_ROOT, TcbFacts, TcbStatus, TdxCollateral, TdxEvidence, TdxTrust};
pub use veks::{VekFault, VekId, Veks};

use crate::x509::ChainMemo;

/// Everything at hand for one judgement. Made by `Collateral { amd, ..Collateral::default() }`, so
/// that a new vendor breaks no caller.
#[derive(Debug, Clone, Copy, Default)]
pub struct Collateral<'a> {
    /// AMD's, one entry a product.
    pub amd: &'a [AmdCollateral],
    /// Remembers certificates and their signatures, for a caller that judges much evidence.
    pub memo: Option<&'a ChainMemo>,
    /// Intel's, and the means to judge TDX quotes by it.
    pub intel: Option<&'a dyn TdxCollateral>,
}
