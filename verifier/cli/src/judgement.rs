//! One judgement: everything out of files, to the core, and what it said.

use crate::arguments::Evidence;
use crate::evidence::Given;
use crate::exit::Exit;
use crate::expected;
use crate::moment::Moment;
use crate::policy;
use crate::present;
use nitride_collateral::{Files, Obstacle, Shelf, told};
use nitride_kbs::token::EarStatus;
use nitride_verify::{
    Budget, Check, CheckOutcome, Composite, CompositeExpected, DeviceNonce, Refusal, Refused,
    SnpRefusal, Tee, Verdict, checks, judge, judge_allegation, judge_composite,
};

/// What came out.
#[derive(Debug)]
pub(crate) struct Judgement {
    pub(crate) tee: Tee,
    pub(crate) time_secs: u64,
    pub(crate) policy: String,
    pub(crate) outcome: Outcome,
    /// The verdicts on devices beside the machine, in the order of the evidence.
    pub(crate) devices: Vec<Verdict>,
}

#[derive(Debug)]
pub(crate) enum Outcome {
    /// The evidence is authentic; whether it is wanted stands in the verdict.
    Authentic(Box<Verdict>),
    /// It is not, and this is why.
    NotAuthentic(Refused),
    /// Nobody can say without what is missing.
    Missing(Refused, Obstacle),
}

/// Judges, and shows it.
pub(crate) fn run(evidence: &Evidence, json: bool) -> Result<(String, Exit), Obstacle> {
    let judgement = Judgement::make(evidence)?;
    let shown = if json {
        present::json(&judgement)
    } else {
        present::table(&judgement)
    };
    Ok((shown, judgement.exit()))
}

impl Judgement {
    fn make(evidence: &Evidence) -> Result<Self, Obstacle> {
        let common = evidence.common();
        let mut files = Files::new();
        let policy = policy::read(&common.policy, &mut files)?;
        let expected = expected::read(common, &mut files)?;
        let folder = common.collateral.as_deref();
        let shelf = folder.map(|folder| Shelf::read(folder, &mut files));
        let shelf = shelf.transpose()?.unwrap_or_default();
        let collateral = shelf.as_collateral();
        let given = Given::read(evidence, &mut files)?;
        let now_secs = common.time.unwrap_or_else(Moment::now).0;
        let mut budget = Budget::for_one_round();
        let alone = |verdict: Verdict| (verdict, Vec::new());
        let judged = match (given.as_kbs(), evidence.device_report_data()) {
            (Ok(kbs), Some(device_data)) => {
                let expected = CompositeExpected {
                    primary: expected,
                    device_nonce: DeviceNonce::of(&device_data.0),
                };
                judge_composite(&kbs, &expected, &policy, &collateral, now_secs, &mut budget)
                    .map(Composite::into_parts)
            }
            (Ok(kbs), None) => {
                judge(&kbs, &expected, &policy, &collateral, now_secs, &mut budget).map(alone)
            }
            (Err(raw), _) => judge_allegation(
                raw.clone(),
                &expected,
                &policy,
                &collateral,
                now_secs,
                &mut budget,
            )
            .map(alone),
        };
        let mut devices = Vec::new();
        let mut tee = given.tee();
        let outcome = match judged {
            Ok((verdict, beside)) => {
                devices = beside;
                Outcome::Authentic(Box::new(verdict))
            }
            Err(refused) => {
                // One device that is not authentic refuses all.
                tee = refused.tee;
                match missing(&refused) {
                    Some(obstacle) => Outcome::Missing(refused, obstacle),
                    None => Outcome::NotAuthentic(refused),
                }
            }
        };
        Ok(Self {
            tee,
            devices,
            time_secs: now_secs,
            policy: common.policy.display().to_string(),
            outcome,
        })
    }

    /// Every check that was made, in order.
    pub(crate) fn checks(&self) -> &[Check] {
        match &self.outcome {
            Outcome::Authentic(verdict) => verdict.checks(),
            Outcome::NotAuthentic(refused) | Outcome::Missing(refused, _) => &refused.checks,
        }
    }

    /// Whether vendors' hardware vouches for all that was judged, and all of it is wanted.
    pub(crate) fn is_genuine(&self) -> bool {
        match &self.outcome {
            Outcome::Authentic(verdict) => {
                verdict.is_genuine() && self.devices.iter().all(Verdict::is_genuine)
            }
            Outcome::NotAuthentic(_) | Outcome::Missing(..) => false,
        }
    }

    pub(crate) fn exit(&self) -> Exit {
        match &self.outcome {
            Outcome::Authentic(verdict) => {
                // Either alone would do; a core in which they differ accepts nothing.
                let is_unwanted = |verdict: &Verdict| {
                    let failed = verdict.failures().next().is_some();
                    failed || verdict.status() == EarStatus::Contraindicated
                };
                if is_unwanted(verdict) || self.devices.iter().any(is_unwanted) {
                    Exit::Refused
                } else {
                    Exit::Accepted
                }
            }
            Outcome::NotAuthentic(_) => Exit::Refused,
            Outcome::Missing(..) => Exit::NotJudged,
        }
    }
}

/// Whether the operator has to bring something before anybody can say.
fn missing(refused: &Refused) -> Option<Obstacle> {
    let last = refused.checks.last();
    let at_intel = |check: &Check| {
        check.name == checks::tdx::COLLATERAL && matches!(check.outcome, CheckOutcome::Failed(_))
    };
    let remedy = match &refused.cause {
        Refusal::Snp(SnpRefusal::CertificateMissing(_)) => {
            "give it with --certificate, or put it into DIR/amd/PRODUCT of --collateral DIR (collateral \
             fetch)"
        }
        Refusal::Snp(SnpRefusal::CrlMissing { .. }) => {
            "put AMD's revocation list into DIR/amd/PRODUCT of --collateral DIR (collateral fetch)"
        }
        Refusal::Tdx(_) if last.is_some_and(at_intel) => {
            "put it into DIR/intel of --collateral DIR (collateral fetch)"
        }
        _ => return None,
    };
    Some(Obstacle::of("collateral", told(&refused.cause), remedy))
}
