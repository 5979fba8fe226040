//! SEV-SNP: a report that passes every check, and what has to be changed in it, in its chain or in
//! what is expected for one check to fail.

mod chain;
mod defects;
mod policy;
mod report;

pub use chain::ChainDraft;
pub use defects::{DEFECTS, Defect};
pub use policy::PolicyDraft;
pub use report::ReportDraft;

use nitride_verify::evidence::{Certificates, InitDataDigest, SnpProduct};
use nitride_verify::{
    Allegation, AmdCollateral, AmdCrl, AttestationPolicy, Budget, Collateral, Expected, Refused,
    SnpAllegation, Veks, Verdict, judge_allegation,
};

/// The clock of the vectors: 2026-11-22 00:00:00 UTC.
pub const NOW_SECS: u64 = 1_795_305_600;

/// Everything that one judgement takes, before it is made.
#[derive(Debug, Clone)]
pub struct Draft {
    /// The report.
    pub report: ReportDraft,
    /// Its certificates and the revocation list.
    pub chain: ChainDraft,
    /// What is wanted.
    pub policy: PolicyDraft,
    /// What the report has to bind.
    pub expected: Expected,
    /// The clock.
    pub now_secs: u64,
}

/// One vector: everything that one judgement takes.
#[derive(Debug, Clone)]
pub struct Vector {
    /// The evidence.
    pub allegation: SnpAllegation,
    /// The collateral.
    pub collateral: AmdCollateral,
    /// The policy's text.
    pub policy: String,
    /// What the report has to bind.
    pub expected: Expected,
    /// The clock.
    pub now_secs: u64,
}

impl Draft {
    /// A Milan chip's report of version 5 that passes every check, signed by a VCEK.
    #[must_use]
    pub fn good() -> Self {
        Self::of(SnpProduct::Milan)
    }

    /// The same of any product.
    #[must_use]
    pub fn of(product: SnpProduct) -> Self {
        let report = ReportDraft::of(product);
        Self {
            chain: ChainDraft::vcek(product, &report),
            policy: PolicyDraft::strict(&report),
            expected: Expected::of([7; 48]),
            report,
            now_secs: NOW_SECS,
        }
    }

    /// A Milan chip's report for the machine's own clock: all of it is valid for decades, and the
    /// revocation list was fetched now.
    #[must_use]
    pub fn lasting(now_secs: u64) -> Self {
        let mut draft = Self::good();
        let chain = &mut draft.chain;
        for certificate in [&mut chain.root, &mut chain.intermediate, &mut chain.vek] {
            certificate.not_after = "440101000000Z";
        }
        if let Some(crl) = &mut chain.crl {
            crl.next_update = "440101000000Z";
        }
        chain.crl_obtained_at_secs = now_secs;
        draft.now_secs = now_secs;
        draft
    }

    /// The same, signed by a cloud's VLEK, with the chip id masked.
    #[must_use]
    pub fn vlek() -> Self {
        let product = SnpProduct::Milan;
        let mut report = ReportDraft::of(product);
        report.key_info |= 1 << 2;
        report.chip_id = [0; 64];
        Self {
            chain: ChainDraft::vlek(product, &report),
            policy: PolicyDraft::strict(&report),
            expected: Expected::of([7; 48]),
            report,
            now_secs: NOW_SECS,
        }
    }

    /// Expects init-data, and has HOST_DATA as its digest.
    pub fn bind_init_data(&mut self) {
        let body = "version = \"0.1.0\"\nalgorithm = \"sha256\"\n[data]\na = \"b\"\n";
        let digest = InitDataDigest::of("toml", body).expect("init-data of its form");
        self.report.host_data.copy_from_slice(digest.as_bytes());
        self.policy.set("host-data", "\"init-data\"");
        self.expected.init_data = Some(digest);
    }

    /// Signs and encodes everything.
    #[must_use]
    pub fn build(&self) -> Vector {
        let signed = self.chain.sign();
        let mut policy = self.policy.clone();
        policy.anchor(&signed.root);
        Vector {
            allegation: SnpAllegation {
                report: self.report.sign(),
                certificates: signed.certificates,
            },
            collateral: AmdCollateral {
                product: self.report.product,
                ark: signed.root,
                ask: Some(signed.intermediate.clone()),
                asvk: Some(signed.intermediate),
                veks: Veks::default(),
                crls: signed
                    .crls
                    .into_iter()
                    .map(|der| AmdCrl {
                        der,
                        obtained_at_secs: self.chain.crl_obtained_at_secs,
                    })
                    .collect(),
            },
            policy: policy.to_toml(),
            expected: self.expected.clone(),
            now_secs: self.now_secs,
        }
    }
}

impl Vector {
    /// Judges it.
    ///
    /// # Errors
    ///
    /// As [`judge_allegation`].
    pub fn judge(&self) -> Result<Verdict, Refused> {
        let policy = AttestationPolicy::parse(&self.policy, "policy.toml");
        let amd = std::slice::from_ref(&self.collateral);
        let collateral = Collateral {
            amd,
            ..Collateral::default()
        };
        judge_allegation(
            Allegation::Snp(Box::new(self.allegation.clone())),
            &self.expected,
            &policy.expect("the vector's policy is good"),
            &collateral,
            self.now_secs,
            &mut Budget::for_one_round(),
        )
    }
}

/// What a chain is once it is signed.
#[derive(Debug)]
pub(crate) struct SignedChain {
    pub(crate) root: Vec<u8>,
    pub(crate) intermediate: Vec<u8>,
    pub(crate) certificates: Certificates,
    pub(crate) crls: Vec<Vec<u8>>,
}
