//! Digests, and registers that are extended by them.

use sha2::{Digest, Sha256, Sha384};

/// A digest of SHA-384.
pub(crate) type Digest384 = [u8; 48];
/// A digest of SHA-256.
pub(crate) type Digest256 = [u8; 32];

pub(crate) fn sha384(bytes: &[u8]) -> Digest384 {
    Sha384::digest(bytes).into()
}

pub(crate) fn sha256(bytes: &[u8]) -> Digest256 {
    Sha256::digest(bytes).into()
}

/// What begins as zeros, and of which each event makes the digest of what it was and the event's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Register384(Digest384);

impl Register384 {
    pub(crate) const ZERO: Self = Self([0; 48]);

    pub(crate) fn extend(&mut self, event: &Digest384) {
        let hasher = Sha384::new().chain_update(self.0).chain_update(event);
        self.0 = hasher.finalize().into();
    }

    pub(crate) fn value(self) -> Digest384 {
        self.0
    }
}

/// The same of a TPM's SHA-256 bank.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Register256(Digest256);

impl Register256 {
    pub(crate) const ZERO: Self = Self([0; 32]);

    pub(crate) fn extend(&mut self, event: &Digest256) {
        let hasher = Sha256::new().chain_update(self.0).chain_update(event);
        self.0 = hasher.finalize().into();
    }

    pub(crate) fn value(self) -> Digest256 {
        self.0
    }
}
