//! What a policy cannot do without: a service whose collateral lacks it would refuse all that the
//! policy wants, and says so when it starts and not to every guest.

use super::{AttestationPolicy, SnpPolicy};
use crate::collateral::{AmdCollateral, Collateral};
use crate::evidence::SnpProduct;
use thiserror::Error;

/// What of the vendors' is not at hand, although the policy's evidence is judged by it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum MissingCollateral {
    /// TDX quotes are judged by it.
    #[error("[{section}] wants Intel's collateral, and none is at hand")]
    Intel {
        /// Which section wants it.
        section: &'static str,
    },
    /// The policy bounds its age.
    #[error(
        "[{section}] crl-max-age-secs (line {line}) wants AMD's revocation list for {product}, and \
         none is at hand"
    )]
    Crl {
        /// Which section wants it.
        section: &'static str,
        /// The line that wants it.
        line: u32,
        /// The product that the policy takes.
        product: SnpProduct,
    },
    /// The evidence has no place for it.
    #[error("[{section}] wants AMD's root and ASK of {product}, and they are not at hand")]
    Chain {
        /// Which section wants it.
        section: &'static str,
        /// The product that the policy takes.
        product: SnpProduct,
    },
}

impl AttestationPolicy {
    /// The first thing that the policy cannot do without and `collateral` has not.
    #[must_use]
    pub fn missing_of(&self, collateral: &Collateral<'_>) -> Option<MissingCollateral> {
        let snp = self.snp().and_then(|snp| snp_lacks(snp, "snp", collateral));
        let tdx = (self.tdx().is_some() && collateral.intel.is_none())
            .then_some(MissingCollateral::Intel { section: "tdx" });
        let azure = || {
            let hardware = &self.azure()?.hardware;
            if let Some(snp) = hardware.snp() {
                let section = "azure.snp";
                let chain = lacks(snp, |product| {
                    published(collateral, product).is_some_and(|amd| amd.ask.is_some())
                });
                let chain = chain.map(|product| MissingCollateral::Chain { section, product });
                let missing = chain.or_else(|| snp_lacks(snp, section, collateral));
                if missing.is_some() {
                    return missing;
                }
            }
            let section = "azure.tdx";
            (hardware.tdx().is_some() && collateral.intel.is_none())
                .then_some(MissingCollateral::Intel { section })
        };
        snp.or(tdx).or_else(azure)
    }
}

fn snp_lacks(
    policy: &SnpPolicy,
    section: &'static str,
    collateral: &Collateral<'_>,
) -> Option<MissingCollateral> {
    let wanted = &policy.crl_max_age_secs;
    wanted.value.value()?;
    let product = lacks(policy, |product| {
        published(collateral, product).is_some_and(|amd| !amd.crls.is_empty())
    })?;
    Some(MissingCollateral::Crl {
        section,
        line: wanted.line,
        product,
    })
}

/// The first product of the policy's that has not what is asked.
fn lacks(policy: &SnpPolicy, has: impl Fn(SnpProduct) -> bool) -> Option<SnpProduct> {
    let mut products = policy.minimum_tcb.value.keys().copied();
    products.find(|product| !has(*product))
}

fn published<'a>(collateral: &Collateral<'a>, product: SnpProduct) -> Option<&'a AmdCollateral> {
    collateral.amd.iter().find(|amd| amd.product == product)
}
