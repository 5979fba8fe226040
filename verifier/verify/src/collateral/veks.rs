//! Keys of chips and of clouds, found by what a report says of its own: a fleet has thousands, and
//! whoever asks has proved nothing yet.

use crate::authenticity::vek_id;
use crate::budget::Budget;
use crate::evidence::{SnpProduct, SnpReport, Tcb};
use crate::policy::SigningKey;
use crate::x509::{Certificate, CertificateFault};
use std::collections::HashMap;
use thiserror::Error;

/// Which key signs: AMD derives one for each of these.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct VekId {
    /// The product.
    pub product: SnpProduct,
    /// The chip's own key or a cloud's.
    pub signing_key: SigningKey,
    /// The chip's id in the product's length; empty for a cloud's key, which every chip may have.
    pub chip_id: Vec<u8>,
    /// The TCB that it is derived from.
    pub tcb: Tcb,
}

/// VCEKs and VLEKs by their [`VekId`]. None is verified.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Veks {
    by_id: HashMap<VekId, Vec<u8>>,
}

/// Why a certificate is not kept.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum VekFault {
    /// Not a certificate.
    #[error(transparent)]
    Certificate(#[from] CertificateFault),
    /// It does not say what a VEK says.
    #[error(
        "a certificate is no VEK: it lacks its kind's name, its product, its chip's id or its TCB"
    )]
    NotAVek,
}

impl VekId {
    /// What the certificate says of its key; `None` if it is not a VEK's.
    #[must_use]
    pub fn of_certificate(vek: &Certificate) -> Option<Self> {
        vek_id(vek)
    }

    /// Which key signed a report. `None` for a report that names no chip of this product.
    #[must_use]
    pub fn of_report(
        report: &SnpReport,
        product: SnpProduct,
        signing_key: SigningKey,
    ) -> Option<Self> {
        let chip_id = match signing_key {
            SigningKey::Vlek => Vec::new(),
            SigningKey::Vcek => {
                let (id, rest) = report.chip_id.split_at(product.chip_id_len());
                if rest.iter().any(|byte| *byte != 0) {
                    return None;
                }
                id.to_vec()
            }
        };
        Some(Self {
            product,
            signing_key,
            chip_id,
            tcb: Tcb::read(report.reported_tcb, product)?,
        })
    }
}

impl Veks {
    /// Keeps each of these certificates, in DER.
    ///
    /// # Errors
    ///
    /// [`VekFault`] for the first that is none.
    pub fn of(ders: impl IntoIterator<Item = Vec<u8>>) -> Result<Self, VekFault> {
        let mut veks = Self::default();
        for der in ders {
            veks.insert(der)?;
        }
        Ok(veks)
    }

    /// Keeps a certificate, in DER. Of two for one key the first stays: both certify the same, but
    /// for two clouds' keys at one TCB, of which a report does not say which it is.
    ///
    /// # Errors
    ///
    /// [`VekFault`].
    pub fn insert(&mut self, der: Vec<u8>) -> Result<VekId, VekFault> {
        // The operator's own files: each has a budget of its own.
        let vek = Certificate::parse(&der, &mut Budget::for_one_round())?;
        let id = VekId::of_certificate(&vek).ok_or(VekFault::NotAVek)?;
        self.by_id.entry(id.clone()).or_insert(der);
        Ok(id)
    }

    /// The certificate of this key, in DER.
    #[must_use]
    pub fn find(&self, id: &VekId) -> Option<&[u8]> {
        self.by_id.get(id).map(Vec::as_slice)
    }

    /// How many are kept.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// All of them, in DER, in no order.
    pub fn ders(&self) -> impl Iterator<Item = &[u8]> + '_ {
        self.by_id.values().map(Vec::as_slice)
    }
}
