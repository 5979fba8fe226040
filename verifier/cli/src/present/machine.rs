//! For machines: one JSON object a judgement.

use super::{anchor_word, not_reached, outcome_word};
use crate::judgement::{Judgement, Outcome};
use nitride_kbs::token::EarStatus;
use nitride_verify::{Check, CheckOutcome, Tee, Verdict, checks};
use serde_json::{Map, Value, json};

pub(crate) fn json(judgement: &Judgement) -> String {
    let mut shown = json!({
        "tee": judgement.tee.as_str(),
        "outcome": judgement.exit().as_str(),
        "genuine": judgement.is_genuine(),
        "time": judgement.time_secs,
        "policy": judgement.policy,
        "checks": rows(judgement.checks(), judgement.tee),
    });
    match &judgement.outcome {
        Outcome::Authentic(verdict) => state(&mut shown, verdict),
        Outcome::NotAuthentic(_) => {}
        Outcome::Missing(_, obstacle) => shown["error"] = obstacle.to_json()["error"].take(),
    }
    if !judgement.devices.is_empty() {
        let devices = judgement.devices.iter().enumerate();
        let devices = devices.map(|(index, device)| {
            let mut shown = json!({
                "name": format!("gpu{index}"),
                "tee": device.tee().as_str(),
                "genuine": device.is_genuine(),
                "checks": rows(device.checks(), device.tee()),
            });
            state(&mut shown, device);
            shown
        });
        shown["devices"] = devices.collect();
    }
    format!("{shown}\n")
}

/// Every check of the TEE, those that nobody came to last.
fn rows(made: &[Check], tee: Tee) -> Vec<Value> {
    let mut rows: Vec<Value> = made.iter().map(check).collect();
    let missed = not_reached(made, checks::all(tee));
    rows.extend(
        missed.into_iter().map(
            |name| json!({ "number": name.number, "name": name.name, "outcome": "not-reached" }),
        ),
    );
    rows
}

/// What a verdict says.
fn state(shown: &mut Value, verdict: &Verdict) {
    let claims: Map<String, Value> = verdict
        .claims()
        .iter()
        .map(|(name, claim)| (name.to_owned(), claim.clone()))
        .collect();
    shown["simulated"] = verdict.is_simulated().into();
    shown["debug"] = verdict.is_debug().into();
    shown["anchor"] = anchor_word(verdict.anchor()).into();
    shown["status"] = status_word(verdict.status()).into();
    shown["trust-vector"] = json!(verdict.vector().named());
    shown["claims"] = Value::Object(claims);
}

fn check(check: &Check) -> Value {
    let mut shown = json!({
        "number": check.name.number,
        "name": check.name.name,
        "outcome": outcome_word(&check.outcome),
    });
    match &check.outcome {
        CheckOutcome::Failed(reason) => shown["reason"] = reason.as_str().into(),
        CheckOutcome::WaivedByPolicyLine(line) => shown["policy-line"] = (*line).into(),
        CheckOutcome::Passed | CheckOutcome::NotApplicable => {}
    }
    shown
}

/// In the token's words.
fn status_word(status: EarStatus) -> &'static str {
    match status {
        EarStatus::None => "none",
        EarStatus::Affirming => "affirming",
        EarStatus::Warning => "warning",
        EarStatus::Contraindicated => "contraindicated",
    }
}
