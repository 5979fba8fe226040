//! Signatures of certificates that were found valid once, so that a service which sees one chain a
//! thousand times verifies it once.
//!
//! Only the mathematics is remembered: that these bytes are signed under this key. That holds for
//! ever and under every policy; dates, revocation and pins are compared each time.

use super::{PublicKey, SignatureAlgorithm, SignatureFault};
use aws_lc_rs::digest::{Context, SHA256};
use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

/// More certificates than a fleet has kinds of; past it, everything is forgotten and begun anew.
const MAX_REMEMBERED: usize = 4096;

/// Remembers valid signatures by a digest of key, algorithm, message and signature.
#[derive(Debug, Default)]
pub struct SignatureMemo {
    valid: Mutex<HashSet<[u8; 32]>>,
}

impl SignatureMemo {
    /// Nothing is remembered.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Verifies, or remembers that it has.
    ///
    /// # Errors
    ///
    /// [`SignatureFault::Invalid`]; a signature that is not valid is not remembered.
    pub fn verify(
        &self,
        key: PublicKey<'_>,
        algorithm: SignatureAlgorithm,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), SignatureFault> {
        let fingerprint = fingerprint(key, algorithm, message, signature);
        if self.lock().contains(&fingerprint) {
            return Ok(());
        }
        key.verify(algorithm, message, signature)?;
        let mut valid = self.lock();
        if valid.len() >= MAX_REMEMBERED {
            valid.clear();
        }
        valid.insert(fingerprint);
        Ok(())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashSet<[u8; 32]>> {
        // Whoever panicked while holding it was adding what is true.
        self.valid.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Each part with its length, so that no two spellings run together.
fn fingerprint(
    key: PublicKey<'_>,
    algorithm: SignatureAlgorithm,
    message: &[u8],
    signature: &[u8],
) -> [u8; 32] {
    let mut context = Context::new(&SHA256);
    context.update(&[algorithm as u8]);
    for part in [key.as_spki(), message, signature] {
        context.update(&part.len().to_be_bytes());
        context.update(part);
    }
    let mut fingerprint = [0; 32];
    fingerprint.copy_from_slice(context.finish().as_ref());
    fingerprint
}
