//! What was found out about certificates once, so that a service which sees one chain a thousand
//! times takes it apart and verifies it once.
//!
//! Only what holds for ever and under every policy is remembered: what certain bytes say, and that
//! they are signed under a certain key. Dates, revocation and pins are compared each time.

use super::{
    Certificate, CertificateFault, Crl, CrlFault, PublicKey, SignatureAlgorithm, SignatureFault,
};
use crate::budget::Budget;
use aws_lc_rs::digest::{Context, SHA256};
use std::collections::{HashMap, HashSet};
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// More certificates than a fleet has kinds of; past it, everything is forgotten and begun anew.
const MAX_REMEMBERED: usize = 4096;
/// Revocation lists are few, and may be long.
const MAX_CRLS: usize = 16;

/// Remembers certificates, lists and valid signatures by digests of their bytes.
#[derive(Debug, Default)]
pub struct ChainMemo {
    certificates: Mutex<HashMap<[u8; 32], Arc<Certificate>>>,
    crls: Mutex<HashMap<[u8; 32], Arc<Crl>>>,
    valid: Mutex<HashSet<[u8; 32]>>,
}

impl ChainMemo {
    /// Nothing is remembered.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Parses a certificate, or remembers that it has. The budget is spent either way: what a
    /// judgement may cost does not depend on those before it.
    ///
    /// # Errors
    ///
    /// As [`Certificate::parse`]; what is not well formed is not remembered.
    pub fn certificate(
        &self,
        der: &[u8],
        budget: &mut Budget,
    ) -> Result<Arc<Certificate>, CertificateFault> {
        let fingerprint = fingerprint(&[der]);
        if let Some(known) = locked(&self.certificates).get(&fingerprint) {
            budget.spend_certificate()?;
            return Ok(known.clone());
        }
        let parsed = Arc::new(Certificate::parse(der, budget)?);
        remember(&self.certificates, MAX_REMEMBERED, fingerprint, &parsed);
        Ok(parsed)
    }

    /// Parses a revocation list, or remembers that it has.
    ///
    /// # Errors
    ///
    /// As [`Crl::parse`]; what is not well formed is not remembered.
    pub fn crl(&self, der: &[u8], budget: &mut Budget) -> Result<Arc<Crl>, CrlFault> {
        let fingerprint = fingerprint(&[der]);
        if let Some(known) = locked(&self.crls).get(&fingerprint) {
            budget.spend_certificate()?;
            return Ok(known.clone());
        }
        let parsed = Arc::new(Crl::parse(der, budget)?);
        remember(&self.crls, MAX_CRLS, fingerprint, &parsed);
        Ok(parsed)
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
        let fingerprint = fingerprint(&[&[algorithm as u8], key.as_spki(), message, signature]);
        if locked(&self.valid).contains(&fingerprint) {
            return Ok(());
        }
        key.verify(algorithm, message, signature)?;
        let mut valid = locked(&self.valid);
        if valid.len() >= MAX_REMEMBERED {
            valid.clear();
        }
        valid.insert(fingerprint);
        Ok(())
    }
}

fn remember<K: Eq + Hash, V>(map: &Mutex<HashMap<K, Arc<V>>>, max: usize, key: K, value: &Arc<V>) {
    let mut map = locked(map);
    if map.len() >= max {
        map.clear();
    }
    map.insert(key, value.clone());
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Whoever panicked while holding it was adding what is true.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Each part with its length, so that no two spellings run together.
fn fingerprint(parts: &[&[u8]]) -> [u8; 32] {
    let mut context = Context::new(&SHA256);
    for part in parts {
        context.update(&part.len().to_be_bytes());
        context.update(part);
    }
    let mut fingerprint = [0; 32];
    fingerprint.copy_from_slice(context.finish().as_ref());
    fingerprint
}
