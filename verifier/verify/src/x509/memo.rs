//! What was found out about certificates once, so that a service which sees one chain a thousand
//! times takes it apart and verifies it once.
//!
//! Only what holds for ever and under every policy is remembered: what certain bytes say, and that
//! they are signed under a certain key. Dates, revocation and pins are compared each time.

use super::{Certificate, CertificateFault, Crl, CrlFault, SignatureAlgorithm, SignatureFault};
use crate::budget::Budget;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// More certificates than a fleet has kinds of; past it, everything is forgotten and begun anew.
const MAX_REMEMBERED: usize = 4096;
/// Revocation lists are few, and may be long.
const MAX_CRLS: usize = 16;

/// Remembers certificates and lists by their bytes, and which of them are signed under which key.
#[derive(Debug, Default)]
pub struct ChainMemo {
    certificates: Mutex<HashMap<Vec<u8>, Arc<Certificate>>>,
    crls: Mutex<HashMap<Vec<u8>, Arc<Crl>>>,
    valid: Mutex<HashSet<Valid>>,
}

/// What is signed, with its signature, and the key, by their SHA-256.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Valid {
    signed: [u8; 32],
    key: [u8; 32],
    algorithm: u8,
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
        if let Some(known) = locked(&self.certificates).get(der) {
            budget.spend_certificate()?;
            return Ok(known.clone());
        }
        let parsed = Arc::new(Certificate::parse(der, budget)?);
        remember(&self.certificates, MAX_REMEMBERED, der, &parsed);
        Ok(parsed)
    }

    /// Parses a revocation list, or remembers that it has.
    ///
    /// # Errors
    ///
    /// As [`Crl::parse`]; what is not well formed is not remembered.
    pub fn crl(&self, der: &[u8], budget: &mut Budget) -> Result<Arc<Crl>, CrlFault> {
        if let Some(known) = locked(&self.crls).get(der) {
            budget.spend_certificate()?;
            return Ok(known.clone());
        }
        let parsed = Arc::new(Crl::parse(der, budget)?);
        remember(&self.crls, MAX_CRLS, der, &parsed);
        Ok(parsed)
    }

    /// Verifies by `verify`, or remembers that it did. `signed` is the digest of what is signed
    /// together with its signature, `key` that of the key.
    pub(super) fn verify(
        &self,
        signed: &[u8; 32],
        key: &[u8; 32],
        algorithm: SignatureAlgorithm,
        verify: impl FnOnce() -> Result<(), SignatureFault>,
    ) -> Result<(), SignatureFault> {
        let signature = Valid {
            signed: *signed,
            key: *key,
            algorithm: algorithm as u8,
        };
        if locked(&self.valid).contains(&signature) {
            return Ok(());
        }
        // What is not valid is not remembered.
        verify()?;
        let mut valid = locked(&self.valid);
        if valid.len() >= MAX_REMEMBERED {
            valid.clear();
        }
        valid.insert(signature);
        Ok(())
    }
}

fn remember<V>(map: &Mutex<HashMap<Vec<u8>, Arc<V>>>, max: usize, der: &[u8], value: &Arc<V>) {
    let mut map = locked(map);
    if map.len() >= max {
        map.clear();
    }
    map.insert(der.to_vec(), value.clone());
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Whoever panicked while holding it was adding what is true.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
