//! What the vendors publish about their hardware, as data. Fetching it is another crate's work.
//!
//! Nothing of it is trusted for having been given here: every certificate chains to a pinned
//! anchor, and every list is signed.

pub(crate) mod tdx;

pub use tdx::{INTEL_ROOT, TcbFacts, TcbStatus, TdxCollateral, TdxEvidence, TdxTrust};

/// Everything at hand for one judgement. Made by `Collateral { amd, ..Collateral::default() }`, so
/// that a new vendor breaks no caller.
#[derive(Debug, Clone, Copy, Default)]
pub struct Collateral<'a> {
    /// AMD's, one entry a product and signing key.
    pub amd: &'a [AmdCollateral],
    /// Intel's, and the means to judge TDX quotes by it.
    pub intel: Option<&'a dyn TdxCollateral>,
}

/// What AMD's key distribution service says about one product.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AmdCollateral {
    /// ARK, ASK or ASVK, and any VCEK or VLEK, in DER and in any order.
    pub certificates: Vec<Vec<u8>>,
    /// The revocation list in DER.
    pub crl: Option<Vec<u8>>,
    /// When it was fetched, in seconds since 1970.
    pub obtained_at_secs: u64,
}
