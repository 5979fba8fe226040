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
/// As much of them as may be kept, as they came.
const MAX_REMEMBERED_LEN: usize = 16 << 20;
/// Certificates of the vendors have a quarter of it; a longer one is parsed each time.
const MAX_ENTRY_LEN: usize = 4096;
/// Revocation lists are few, and may be long.
const MAX_CRLS: usize = 16;
const MAX_CRLS_LEN: usize = 4 << 20;

/// Remembers certificates and lists by their bytes, and which of them are signed under which key.
#[derive(Debug, Default)]
pub struct ChainMemo {
    certificates: Mutex<Remembered<Certificate>>,
    crls: Mutex<Remembered<Crl>>,
    valid: Mutex<HashSet<Valid>>,
}

/// Values by the bytes that they were parsed from.
#[derive(Debug)]
struct Remembered<V> {
    by_der: HashMap<Vec<u8>, Arc<V>>,
    len: usize,
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

    /// Parses a certificate, or remembers one that was verified. The budget is spent either way:
    /// what a judgement may cost does not depend on those before it.
    ///
    /// # Errors
    ///
    /// As [`Certificate::parse`].
    pub fn certificate(
        &self,
        der: &[u8],
        budget: &mut Budget,
    ) -> Result<Arc<Certificate>, CertificateFault> {
        let known = locked(&self.certificates).by_der.get(der).cloned();
        if let Some(known) = known {
            budget.spend_certificate()?;
            return Ok(known);
        }
        Certificate::parse(der, budget).map(Arc::new)
    }

    /// How many certificates are remembered.
    #[must_use]
    pub fn certificates_len(&self) -> usize {
        locked(&self.certificates).by_der.len()
    }

    /// Parses a revocation list, or remembers that it has. Lists are the operator's, and no
    /// stranger's.
    ///
    /// # Errors
    ///
    /// As [`Crl::parse`]; what is not well formed is not remembered.
    pub fn crl(&self, der: &[u8], budget: &mut Budget) -> Result<Arc<Crl>, CrlFault> {
        let known = locked(&self.crls).by_der.get(der).cloned();
        if let Some(known) = known {
            budget.spend_certificate()?;
            return Ok(known);
        }
        let parsed = Arc::new(Crl::parse(der, budget)?);
        locked(&self.crls).insert(der, &parsed, MAX_CRLS, MAX_CRLS_LEN);
        Ok(parsed)
    }

    /// Remembers a certificate whose signature is verified, here or by who judges the collateral.
    pub(crate) fn remember(&self, certificate: &Certificate) {
        let der = certificate.as_der();
        let mut certificates = locked(&self.certificates);
        if der.len() <= MAX_ENTRY_LEN && !certificates.by_der.contains_key(der) {
            let known = Arc::new(certificate.clone());
            certificates.insert(der, &known, MAX_REMEMBERED, MAX_REMEMBERED_LEN);
        }
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

impl<V> Remembered<V> {
    fn insert(&mut self, der: &[u8], value: &Arc<V>, max: usize, max_len: usize) {
        if self.by_der.len() >= max || self.len.saturating_add(der.len()) > max_len {
            self.by_der.clear();
            self.len = 0;
        }
        if self.by_der.insert(der.to_vec(), value.clone()).is_none() {
            self.len = self.len.saturating_add(der.len());
        }
    }
}

impl<V> Default for Remembered<V> {
    fn default() -> Self {
        Self {
            by_der: HashMap::new(),
            len: 0,
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Whoever panicked while holding it was adding what is true.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
