//! What AMD's key distribution service publishes.

use super::Veks;
use crate::evidence::SnpProduct;

/// The SHA-256 of each product's root (ARK) in DER: who signs for AMD.
pub const AMD_ROOTS: &[(SnpProduct, [u8; 32])] = &[
    (
        SnpProduct::Milan,
        sha256(
            0x69d063b45344d26a2e94e1f4210de49e,
            0xf555308287d4c174445c95639a540bcd,
        ),
    ),
    (
        SnpProduct::Genoa,
        sha256(
            0x4c6598d19c18719c5dfd4a7d335f674e,
            0x5bfe1d8f800cea2cf270c10d103db2f1,
        ),
    ),
    (
        SnpProduct::Turin,
        sha256(
            0x1f084161a44bb6d93778a904877d4819,
            0xcafa5d05ef4193b2ded9dd9c73dd3f6a,
        ),
    ),
];

/// What is published about one product. Certificates are in DER.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AmdCollateral {
    /// The product.
    pub product: SnpProduct,
    /// The root.
    pub ark: Vec<u8>,
    /// The intermediate for VCEKs.
    pub ask: Option<Vec<u8>>,
    /// The intermediate for VLEKs.
    pub asvk: Option<Vec<u8>>,
    /// Keys of chips and of clouds, for evidence that comes without one.
    pub veks: Veks,
    /// The root's revocation lists: one is published with the chain for VCEKs, one with that for
    /// VLEKs. Every one that is at hand is believed, whichever key signs.
    pub crls: Vec<AmdCrl>,
}

/// A revocation list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AmdCrl {
    /// The list, in DER.
    pub der: Vec<u8>,
    /// When it was fetched, in seconds since 1970.
    pub obtained_at_secs: u64,
}

const fn sha256(high: u128, low: u128) -> [u8; 32] {
    let (high, low) = (high.to_be_bytes(), low.to_be_bytes());
    let mut hash = [0; 32];
    let (first, second) = hash.split_at_mut(16);
    first.copy_from_slice(&high);
    second.copy_from_slice(&low);
    hash
}
