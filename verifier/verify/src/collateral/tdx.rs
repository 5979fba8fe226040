//! What Intel says about TDX platforms, behind a trait: judging it takes libraries that this crate
//! does without.

use crate::authenticity::Refusal;
use crate::budget::Budget;
use crate::evidence::tdx_quote::TdxQuote;
use crate::ledger::Ledger;
use crate::verdict::Anchor;
use crate::x509::Certificate;
use aws_lc_rs::digest::{SHA256, digest};
use std::fmt;

/// Intel SGX Root CA, by the SHA-256 of its DER.
pub const INTEL_ROOT: [u8; 32] = [
    0x44, 0xa0, 0x19, 0x6b, 0x2b, 0x99, 0xf8, 0x89, 0xb8, 0xe1, 0x49, 0xe9, 0x5b, 0x80, 0x7a, 0x35,
    0x0e, 0x74, 0x24, 0x96, 0x43, 0x99, 0xe8, 0x85, 0xa7, 0xcb, 0xb8, 0xcc, 0xfa, 0xb6, 0x74, 0xd3,
];

/// Intel's collateral, and the means to judge a quote by it.
pub trait TdxCollateral: fmt::Debug + Send + Sync {
    /// Makes the checks of [`crate::checks::tdx::BY_COLLATERAL`], writes each into `ledger`, and says
    /// what was found about the platform.
    ///
    /// # Errors
    ///
    /// The first check that failed, written into `ledger` as well.
    fn judge(
        &self,
        evidence: &TdxEvidence<'_>,
        trust: &TdxTrust<'_>,
        now_secs: u64,
        budget: &mut Budget,
        ledger: &mut Ledger,
    ) -> Result<TcbFacts, Refusal>;
}

/// A quote whose own signatures are verified, from the PCK down.
#[derive(Debug, Clone, Copy)]
pub struct TdxEvidence<'a> {
    /// The quote's bytes.
    pub raw: &'a [u8],
    /// Its parts.
    pub quote: &'a TdxQuote<'a>,
    /// The PCK certificate, its CA and the root, in DER, as the quote has them.
    pub pck_chain: &'a [Vec<u8>; 3],
    /// The first of these.
    pub pck: &'a Certificate,
}

/// Which roots are trusted.
#[derive(Debug, Clone, Copy)]
pub struct TdxTrust<'a> {
    test_anchors: &'a [[u8; 32]],
}

impl<'a> TdxTrust<'a> {
    /// Intel's root, and `test_anchors` by the SHA-256 of their DER, under which nothing is genuine.
    #[must_use]
    pub fn new(test_anchors: &'a [[u8; 32]]) -> Self {
        Self { test_anchors }
    }

    /// What a root's word is worth; `None` when it is not pinned.
    #[must_use]
    pub fn anchor(&self, root_der: &[u8]) -> Option<Anchor> {
        let fingerprint = digest(&SHA256, root_der);
        if fingerprint.as_ref() == INTEL_ROOT {
            return Some(Anchor::Vendor);
        }
        let mut pinned = self.test_anchors.iter();
        pinned
            .any(|anchor| anchor == fingerprint.as_ref())
            .then_some(Anchor::Test)
    }
}

/// What Intel's collateral says about the platform of a quote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TcbFacts {
    /// What the chain's root is.
    pub anchor: Anchor,
    /// The status of platform, TDX module and quoting enclave together.
    pub status: TcbStatus,
    /// The advisories that are open at this level, such as `INTEL-SA-00837`.
    pub advisories: Vec<String>,
    /// The same since the TDX module was updated under the running trust domain, where the quote says
    /// what runs now and `status` does not say it already.
    pub current_status: Option<TcbStatus>,
    /// The advisories that are open at that level.
    pub current_advisories: Vec<String>,
    /// The lower of the evaluation numbers of TCB information and quoting enclave's identity.
    pub evaluation_number: u32,
    /// When the platform's level came out, as Intel writes it.
    pub level_date: String,
    /// The platform's family, model, stepping and so on.
    pub fmspc: [u8; 6],
    /// The platform's instance, for platforms of the Platform CA.
    pub platform_instance: Option<[u8; 16]>,
    /// Whether simultaneous multithreading is on, where the PCK certificate says.
    pub smt: Option<bool>,
    /// Whether packages can be added to the platform, where the PCK certificate says.
    pub dynamic_platform: Option<bool>,
    /// Whether Intel keeps the platform's root keys, where the PCK certificate says.
    pub cached_keys: Option<bool>,
}

/// A TCB's status, in Intel's words. `Revoked` is none of them: it is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TcbStatus {
    /// Nothing is known against it.
    UpToDate,
    /// Software in the trust domain has to be hardened.
    SwHardeningNeeded,
    /// The platform has to be configured.
    ConfigurationNeeded,
    /// Both.
    ConfigurationAndSwHardeningNeeded,
    /// Updates are missing.
    OutOfDate,
    /// Updates are missing, and the platform has to be configured.
    OutOfDateConfigurationNeeded,
    /// The module was updated under the running trust domain, which was measured by the old one.
    TdRelaunchAdvised,
    /// The same, and the platform has to be configured.
    TdRelaunchAdvisedConfigurationNeeded,
}

impl fmt::Display for TcbStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UpToDate => "up-to-date",
            Self::SwHardeningNeeded => "sw-hardening-needed",
            Self::ConfigurationNeeded => "configuration-needed",
            Self::ConfigurationAndSwHardeningNeeded => "configuration-and-sw-hardening-needed",
            Self::OutOfDate => "out-of-date",
            Self::OutOfDateConfigurationNeeded => "out-of-date-configuration-needed",
            Self::TdRelaunchAdvised => "td-relaunch-advised",
            Self::TdRelaunchAdvisedConfigurationNeeded => {
                "td-relaunch-advised-configuration-needed"
            }
        })
    }
}
