//! Where a chain's certificates come from: the evidence, or the collateral. None is verified here.
//!
//! The operator's copy of root and intermediate goes before the guest's. The guest knows its chip,
//! so that its VEK goes before what was fetched.

use super::{SnpRefusal, vek};
use crate::authenticity::{Bench, Refusal};
use crate::budget::Budget;
use crate::collateral::{AmdCollateral, VekId};
use crate::evidence::{Certificates, SnpProduct, SnpReport};
use crate::policy::SigningKey;
use crate::x509::Certificate;
use std::sync::Arc;

pub(super) const ROOT: &str = "ARK";

/// What the certificates of a signing key are called.
pub(super) struct Names {
    vek: &'static str,
    pub(super) vek_common_name: &'static str,
    intermediate: &'static str,
    signing_key: SigningKey,
}

/// Everything that a certificate may be found in.
pub(super) struct Sources<'a> {
    pub(super) certificates: &'a Certificates,
    pub(super) report: &'a SnpReport,
    pub(super) bench: &'a Bench<'a>,
    pub(super) names: &'a Names,
}

impl Names {
    pub(super) const fn of(signing_key: SigningKey) -> Self {
        let (vek, vek_common_name, intermediate) = match signing_key {
            SigningKey::Vcek => ("VCEK", "SEV-VCEK", "ASK"),
            SigningKey::Vlek => ("VLEK", "SEV-VLEK", "ASVK"),
        };
        Self {
            vek,
            vek_common_name,
            intermediate,
            signing_key,
        }
    }

    /// AMD 57230: the ASK is `SEV-Milan`, the ASVK `SEV-VLEK-Milan`.
    pub(super) fn common_name(&self, product: SnpProduct) -> String {
        match self.signing_key {
            SigningKey::Vcek => format!("SEV-{product}"),
            SigningKey::Vlek => format!("SEV-VLEK-{product}"),
        }
    }
}

impl<'a> Sources<'a> {
    /// The VEK that came with the evidence, of the kind that KEY_INFO names.
    pub(super) fn alleged_vek(
        &self,
        budget: &mut Budget,
    ) -> Result<Option<Arc<Certificate>>, Refusal> {
        let der = match self.names.signing_key {
            SigningKey::Vcek => &self.certificates.vcek,
            SigningKey::Vlek => &self.certificates.vlek,
        };
        let der = der.as_deref();
        der.map(|der| self.parse(self.names.vek, Some(der), budget))
            .transpose()
    }

    /// Check 5. Version 2 does not say; its VEK does, and check 13 holds the one that is verified
    /// to what its chain leads to.
    pub(super) fn product(&self, alleged: Option<&Certificate>) -> Option<SnpProduct> {
        if self.report.version > 2 {
            let [family, model, _] = self.report.cpuid;
            return SnpProduct::of_cpuid(family, model);
        }
        if let Some(vek) = alleged {
            return vek::product(vek);
        }
        let mut entries = self.bench.collateral.amd.iter();
        let found = entries.find(|entry| self.vek_in(entry, entry.product).is_some());
        found.map(|entry| entry.product)
    }

    /// What is published about a product.
    pub(super) fn published(&self, product: SnpProduct) -> Option<&'a AmdCollateral> {
        let mut entries = self.bench.collateral.amd.iter();
        entries.find(|entry| entry.product == product)
    }

    pub(super) fn root(
        &self,
        published: Option<&AmdCollateral>,
        budget: &mut Budget,
    ) -> Result<Arc<Certificate>, Refusal> {
        let published = published.map(|published| published.ark.as_slice());
        let der = published.or(self.certificates.ark.as_deref());
        self.parse(ROOT, der, budget)
    }

    pub(super) fn intermediate(
        &self,
        published: Option<&AmdCollateral>,
        budget: &mut Budget,
    ) -> Result<Arc<Certificate>, Refusal> {
        let published = published.and_then(|published| match self.names.signing_key {
            SigningKey::Vcek => published.ask.as_deref(),
            SigningKey::Vlek => published.asvk.as_deref(),
        });
        let der = published.or(self.certificates.ask.as_deref());
        self.parse(self.names.intermediate, der, budget)
    }

    /// The VEK among the collateral that this report's chip and TCB need.
    pub(super) fn published_vek(
        &self,
        published: Option<&AmdCollateral>,
        product: SnpProduct,
        budget: &mut Budget,
    ) -> Result<Arc<Certificate>, Refusal> {
        let der = published.and_then(|published| self.vek_in(published, product));
        self.parse(self.names.vek, der, budget)
    }

    fn vek_in<'p>(&self, published: &'p AmdCollateral, product: SnpProduct) -> Option<&'p [u8]> {
        let id = VekId::of_report(self.report, product, self.names.signing_key)?;
        published.veks.find(&id)
    }

    fn parse(
        &self,
        which: &'static str,
        der: Option<&[u8]>,
        budget: &mut Budget,
    ) -> Result<Arc<Certificate>, Refusal> {
        let der = der.ok_or(SnpRefusal::CertificateMissing(which))?;
        let certificate = match self.bench.collateral.memo {
            Some(memo) => memo.certificate(der, budget),
            None => Certificate::parse(der, budget).map(Arc::new),
        };
        certificate.map_err(|fault| SnpRefusal::Certificate { which, fault }.into())
    }
}
