use crate::measure::{Step, in_turns};
use crate::placement::OneCpu;
use crate::report::{Bound, Report};
use crate::scale::Scale;
use anyhow::{Context, Result, ensure};
use nitride_vectors::keys::EcKey;
use nitride_vectors::{snp, tdx};
use nitride_verify::x509::{ChainMemo, PublicKey, SignatureAlgorithm};
use nitride_verify::{
    Allegation, AttestationPolicy, Budget, Collateral, Expected, Tee, UnverifiedEvidence, Verdict,
    judge, judge_allegation,
};

const TURNS: u32 = 20;
const BATCH: u32 = 100;
/// Of a report, what is signed.
const SIGNED_LEN: usize = 0x2A0;
/// What a judgement of a TDX quote verifies: quote and quoting enclave's report, and what the library
/// verifies, these two again among it.
const TDX_SIGNATURES: u32 = 2 + nitride_dcap::SIGNATURES_OF_THE_LIBRARY;
/// Without which no quote is judged, however much is known: its own, and its quoting enclave's.
const TDX_SIGNATURES_OF_A_QUOTE: f64 = 2.0;

/// Evidence under one policy, judged again and again.
struct Bench<'a> {
    policy: AttestationPolicy,
    expected: &'a Expected,
    collateral: Collateral<'a>,
    now_secs: u64,
}

pub(super) fn run(report: &mut Report, scale: Scale) -> Result<()> {
    let place = OneCpu::bind()?;
    report.placement(format!("all of it on CPU {}", place.cpu));
    snp_reports(report, scale)?;
    tdx_quotes(report, scale)
}

fn snp_reports(report: &mut Report, scale: Scale) -> Result<()> {
    let vector = snp::Draft::good().build();
    let memo = ChainMemo::new();
    let bench = Bench {
        policy: AttestationPolicy::parse(&vector.policy, "policy.toml")?,
        expected: &vector.expected,
        // As provisiond has it: one memo for as long as it runs.
        collateral: Collateral {
            amd: std::slice::from_ref(&vector.collateral),
            memo: Some(&memo),
            ..Collateral::default()
        },
        now_secs: vector.now_secs,
    };
    let anew = Bench {
        policy: AttestationPolicy::parse(&vector.policy, "policy.toml")?,
        collateral: Collateral {
            memo: None,
            ..bench.collateral
        },
        ..bench
    };
    let allegation = Allegation::Snp(Box::new(vector.allegation.clone()));
    let form = vector.allegation.to_kbs_form();
    let form = form.context("a good report has a KBS form")?;
    let raw = Raw::over(&vector)?;
    let steps: &mut [Step<'_>] = &mut [
        &mut || raw.verify(1),
        &mut || bench.judges(&allegation),
        &mut || bench.judges_form(Tee::Snp, &form),
        &mut || anew.judges(&allegation),
    ];
    let turns = in_turns(scale.count(TURNS), scale.count(BATCH), steps)?;
    for (step, name) in [
        "P-384 verification of a report's bytes",
        "SNP report, chain known",
        "SNP report in the KBS form, chain known",
        "SNP report, chain verified each time",
    ]
    .into_iter()
    .enumerate()
    {
        figures(report, name, turns.step(step));
    }
    report.budget(
        "SNP reports a second with a cached chain / P-384 verifications",
        turns.median(|turn| turn[0] / turn[1]),
        Bound::AtLeast(0.80),
    );
    Ok(())
}

fn tdx_quotes(report: &mut Report, scale: Scale) -> Result<()> {
    let made = tdx::Spec::good().make()?;
    let memo = ChainMemo::new();
    let bench = Bench {
        policy: AttestationPolicy::parse(&made.policy, "policy.toml")?,
        expected: &made.expected,
        collateral: Collateral {
            intel: Some(&made.collateral),
            memo: Some(&memo),
            ..Collateral::default()
        },
        now_secs: tdx::NOW_SECS,
    };
    let allegation = Allegation::Tdx(made.evidence.clone());
    let form = made.evidence.to_kbs_form();
    let raw = Raw::of(
        EcKey::p256(),
        SignatureAlgorithm::EcdsaP256Fixed,
        made.evidence
            .quote
            .get(..SIGNED_LEN)
            .map(<[u8]>::to_vec)
            .context("a quote is long")?,
    );
    let steps: &mut [Step<'_>] = &mut [
        &mut || raw.verify(TDX_SIGNATURES),
        &mut || bench.judges(&allegation),
        &mut || bench.judges_form(Tee::Tdx, &form),
    ];
    let turns = in_turns(scale.count(TURNS), scale.count(BATCH), steps)?;
    let count = f64::from(TDX_SIGNATURES);
    figures(
        report,
        "P-256 verification of a quote's bytes",
        turns.step(0) / count,
    );
    figures(report, "TDX quote", turns.step(1));
    figures(report, "TDX quote in the KBS form", turns.step(2));
    report.figure("signatures that a TDX quote takes", count, "");
    report.figure(
        "TDX quotes a second / P-256 verifications of two signatures",
        turns.median(|turn| turn[0] / count * TDX_SIGNATURES_OF_A_QUOTE / turn[1]),
        "",
    );
    report.budget(
        format!("TDX quotes a second / P-256 verifications of {TDX_SIGNATURES} signatures"),
        turns.median(|turn| turn[0] / turn[1]),
        Bound::AtLeast(0.80),
    );
    Ok(())
}

fn figures(report: &mut Report, name: &str, each_us: f64) {
    report.figure(name, each_us, "us");
    report.figure(format!("{name}, a second"), 1e6 / each_us, "/s");
}

impl Bench<'_> {
    fn judges(&self, allegation: &Allegation) -> Result<()> {
        let mut budget = Budget::for_one_round();
        accepted(judge_allegation(
            allegation.clone(),
            self.expected,
            &self.policy,
            &self.collateral,
            self.now_secs,
            &mut budget,
        )?)
    }

    fn judges_form(&self, tee: Tee, primary: &str) -> Result<()> {
        let evidence = UnverifiedEvidence {
            tee,
            primary,
            additional: "",
        };
        let mut budget = Budget::for_one_round();
        accepted(judge(
            &evidence,
            self.expected,
            &self.policy,
            &self.collateral,
            self.now_secs,
            &mut budget,
        )?)
    }
}

/// What is measured is a judgement to its end.
fn accepted(verdict: Verdict) -> Result<()> {
    ensure!(
        verdict.failures().next().is_none(),
        "a good vector fails a check"
    );
    std::hint::black_box(verdict);
    Ok(())
}

/// One signature by the library that the verifier uses, through the same door.
pub(super) struct Raw {
    spki: Vec<u8>,
    algorithm: SignatureAlgorithm,
    message: Vec<u8>,
    signature: Vec<u8>,
}

impl Raw {
    fn of(key: &EcKey, algorithm: SignatureAlgorithm, message: Vec<u8>) -> Self {
        Self {
            spki: key.spki(),
            algorithm,
            signature: key.sign(&message),
            message,
        }
    }

    /// What is signed of a good report.
    pub(super) fn of_report() -> Result<Self> {
        Self::over(&snp::Draft::good().build())
    }

    fn over(vector: &snp::Vector) -> Result<Self> {
        let signed = vector.allegation.report.get(..SIGNED_LEN);
        let signed = signed.context("a report is longer than what is signed of it")?;
        Ok(Self::of(
            EcKey::p384(),
            SignatureAlgorithm::EcdsaP384Fixed,
            signed.to_vec(),
        ))
    }

    pub(super) fn verify(&self, times: u32) -> Result<()> {
        for _ in 0..times {
            PublicKey::of_spki(&self.spki).verify(
                self.algorithm,
                &self.message,
                &self.signature,
            )?;
        }
        Ok(())
    }
}
