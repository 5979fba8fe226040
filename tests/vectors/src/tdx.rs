//! TDX quotes under a PKI shaped as Intel's: root, Platform CA, PCK with its extension, the signer of
//! TCB information and quoting enclave's identity, and revocation lists.
//!
//! A [`Spec`] says everything that goes into evidence and collateral, and is good as it stands; a
//! [`Defect`] changes one thing. [`Spec::make`] signs what is then said.

pub mod collateral;
pub mod defects;
pub mod event_log;
pub mod pki;
pub mod quote;

pub use defects::{DEFECTS, Defect};

use collateral::CollateralSpec;
use nitride_dcap::{IntelCollateral, PlatformCollateral};
use nitride_verify::{Expected, ReportData, TdxAllegation};
use pki::{Pki, PkiSpec};
use quote::QuoteSpec;

/// 2026-06-15T00:00:00Z, when all of a good specification is valid.
pub const NOW_SECS: u64 = 1_781_481_600;
/// What a good quote binds.
pub const REPORT_DATA: [u8; 48] = [0x5a; 48];

/// Everything that goes into evidence, collateral and policy.
#[derive(Debug, Clone)]
pub struct Spec {
    /// The certificates and revocation lists.
    pub pki: PkiSpec,
    /// The quote.
    pub quote: QuoteSpec,
    /// TCB information and quoting enclave's identity.
    pub collateral: CollateralSpec,
    /// The event log.
    pub event_log: Option<Vec<u8>>,
    /// The policy, in which `{root}` stands for the pinned root.
    pub policy: String,
    /// Init-data that came with the evidence, as TOML.
    pub init_data: Option<String>,
}

/// What a specification makes.
#[derive(Debug)]
pub struct Made {
    /// The evidence.
    pub evidence: TdxAllegation,
    /// What is expected of it.
    pub expected: Expected,
    /// The collateral, alone and as it is judged by.
    pub bundle: String,
    /// The collateral.
    pub collateral: IntelCollateral,
    /// The policy.
    pub policy: String,
    /// The root of the chain, in DER.
    pub root: Vec<u8>,
}

impl Spec {
    /// A version 4 quote that nothing is wrong with.
    #[must_use]
    pub fn good() -> Self {
        let (event_log, rtmr) = event_log::good();
        Self {
            pki: PkiSpec::good(),
            quote: QuoteSpec::good(rtmr),
            collateral: CollateralSpec::good(),
            event_log: Some(event_log),
            policy: policy(&rtmr),
            init_data: None,
        }
    }

    /// The same for the machine's own clock: all of it is valid for decades.
    #[must_use]
    pub fn lasting() -> Self {
        let mut spec = Self::good();
        spec.pki.pck_until = 2044;
        spec.pki.crls_until_year = 2044;
        for published in [
            &mut spec.collateral.tcb_info,
            &mut spec.collateral.qe_identity,
        ] {
            published["nextUpdate"] = "2044-01-01T00:00:00Z".into();
        }
        spec
    }

    /// The same in version 5, with a body of type 2, 3 or 4.
    #[must_use]
    pub fn good_version_5(body_type: u16) -> Self {
        let mut spec = Self::good();
        spec.quote.version = 5;
        spec.quote.body_type = body_type;
        spec
    }

    /// Makes and signs all of it.
    ///
    /// # Errors
    ///
    /// When a key or a certificate cannot be made.
    pub fn make(&self) -> anyhow::Result<Made> {
        self.make_by(&Pki::make(&self.pki)?)
    }

    /// The same under keys that are there, and can sign further quotes.
    ///
    /// # Errors
    ///
    /// When something cannot be signed.
    pub fn make_by(&self, pki: &Pki) -> anyhow::Result<Made> {
        let bundle = self.collateral.make(pki)?;
        let collateral = IntelCollateral::new(vec![PlatformCollateral::from_bundle(&bundle)?])?;
        let pinned = if self.pki.pins_another_root {
            "00".repeat(32)
        } else {
            sha256_hex(&pki.root)
        };
        let init_data = self.init_data.as_deref();
        let init_data = init_data.map(|body| nitride_verify::InitDataDigest::of("toml", body));
        Ok(Made {
            evidence: TdxAllegation {
                quote: self.quote.make(pki)?,
                event_log: self.event_log.clone(),
            },
            expected: Expected {
                report_data: ReportData::from(REPORT_DATA),
                init_data: init_data.transpose()?,
            },
            bundle,
            collateral,
            policy: self.policy.replace("{root}", &pinned),
            root: pki.root.clone(),
        })
    }
}

fn sha256_hex(bytes: &[u8]) -> String {
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
    base16ct::lower::encode_string(hash.as_ref())
}

/// A policy that states something about every field.
fn policy(rtmr: &[[u8; 48]; 4]) -> String {
    let hex = |byte: u8| base16ct::lower::encode_string(&[byte; 48]);
    let [rtmr0, rtmr1, rtmr2, rtmr3] = rtmr.map(|r| base16ct::lower::encode_string(&r));
    let (mr_td, mr_seam) = (hex(quote::MR_TD), hex(quote::MR_SEAM));
    let zero = hex(0);
    format!(
        r#"version = 1
danger-accept-sample = false
danger-test-anchors = ["{{root}}"]
[tdx]
tcb-status = ["up-to-date"]
advisories = []
minimum-tcb-evaluation = 17
mr-seam = ["{mr_seam}"]
mr-signer-seam = ["{zero}"]
seam-attributes = "0000000000000000"
danger-allow-debug = false
danger-allow-profiling = false
danger-allow-migration = false
sept-ve-disable = true
td-attributes-allowed = "0000000000020000"
xfam-required = "0000000000000003"
xfam-allowed = "00000000000602e7"
event-log = "replayed"
requires-coverage = ["firmware", "kernel"]
mr-config-id = ["{zero}"]
mr-owner = ["{zero}"]
mr-owner-config = ["{zero}"]
mr-service-td = "none"
platform-instances = ["{instance}"]
smt = true
dynamic-platform = false
cached-keys = true
[[tdx.reference]]
name = "good"
mr-td = "{mr_td}"
rtmr0 = "{rtmr0}"
rtmr1 = "{rtmr1}"
rtmr2 = "{rtmr2}"
rtmr3 = "{rtmr3}"
covers = ["firmware", "kernel", "initrd", "command-line"]
"#,
        instance = base16ct::lower::encode_string(&pki::PLATFORM_INSTANCE),
    )
}
