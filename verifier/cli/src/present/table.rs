//! For people: one row a check, then what follows from them.

use super::{anchor_word, not_reached, number, outcome_word, printable, warnings};
use crate::exit::Exit;
use crate::judgement::{Judgement, Outcome};
use nitride_verify::{Check, CheckOutcome, Tee, Verdict, checks};
use std::fmt::Write;

pub(crate) fn table(judgement: &Judgement) -> String {
    let mut shown = String::new();
    // Writing to a String does not fail.
    let _ = write(judgement, &mut shown);
    shown
}

struct Row {
    number: String,
    name: &'static str,
    outcome: &'static str,
    reason: String,
}

fn rows(made: &[Check], tee: Tee, policy: &str) -> Vec<Row> {
    let mut rows: Vec<Row> = made
        .iter()
        .map(|check| Row {
            number: number(check.name),
            name: check.name.name,
            outcome: match &check.outcome {
                CheckOutcome::Failed(_) => "FAILED",
                other => outcome_word(other),
            },
            reason: match &check.outcome {
                CheckOutcome::Failed(reason) => printable(reason),
                CheckOutcome::WaivedByPolicyLine(line) => {
                    format!("line {line} of {}", printable(policy))
                }
                CheckOutcome::Passed | CheckOutcome::NotApplicable => String::new(),
            },
        })
        .collect();
    let missed = not_reached(made, checks::all(tee));
    rows.extend(missed.into_iter().map(|name| Row {
        number: number(name),
        name: name.name,
        outcome: "not-reached",
        reason: String::new(),
    }));
    rows
}

fn write(judgement: &Judgement, out: &mut String) -> std::fmt::Result {
    let policy = &judgement.policy;
    write_rows(&rows(judgement.checks(), judgement.tee, policy), out)?;
    if let Outcome::Authentic(verdict) = &judgement.outcome {
        write_verdict(verdict, out)?;
    }
    for (index, device) in judgement.devices.iter().enumerate() {
        writeln!(out, "gpu{index}")?;
        write_rows(&rows(device.checks(), device.tee(), policy), out)?;
        write_verdict(device, out)?;
    }
    conclude(judgement, out)
}

fn write_rows(rows: &[Row], out: &mut String) -> std::fmt::Result {
    let width = rows.iter().map(|row| row.name.len()).max().unwrap_or(0);
    writeln!(out, "number  {:width$}  {:14}  reason", "check", "outcome")?;
    for row in rows {
        let (number, name) = (&row.number, row.name);
        let line = format!(
            "{number:>6}  {name:width$}  {:14}  {}",
            row.outcome, row.reason
        );
        writeln!(out, "{}", line.trim_end())?;
    }
    writeln!(out)
}

fn write_verdict(verdict: &Verdict, out: &mut String) -> std::fmt::Result {
    for (name, claim) in verdict.claims().iter() {
        writeln!(out, "{name}: {}", printable(&claim.to_string()))?;
    }
    writeln!(out)?;
    for (name, claim) in verdict.vector().named() {
        writeln!(out, "{name}: {claim}")?;
    }
    writeln!(out, "anchor: {}", anchor_word(verdict.anchor()))?;
    writeln!(out)
}

/// The last lines, which a person reads first.
fn conclude(judgement: &Judgement, out: &mut String) -> std::fmt::Result {
    let tee = judgement.tee;
    match (&judgement.outcome, judgement.exit()) {
        (Outcome::Authentic(verdict), Exit::Accepted) => {
            for warning in warnings(verdict) {
                writeln!(out, "WARNING: {warning}")?;
            }
            for (index, device) in judgement.devices.iter().enumerate() {
                for warning in warnings(device) {
                    writeln!(out, "WARNING: gpu{index}: {warning}")?;
                }
            }
            let genuine = if judgement.is_genuine() {
                "genuine"
            } else {
                "NOT genuine"
            };
            writeln!(out, "{tee} evidence accepted, {genuine}")
        }
        (Outcome::Authentic(verdict), _) => {
            let failures = judgement.devices.iter().flat_map(Verdict::failures);
            let failures = verdict.failures().chain(failures);
            let failed: Vec<&str> = failures.map(|(name, _)| name).collect();
            writeln!(
                out,
                "{tee} evidence refused: it is authentic and not wanted: {}",
                failed.join(", ")
            )
        }
        (Outcome::NotAuthentic(refused), _) => {
            let last = refused.checks.last().map_or("", |check| check.name.name);
            writeln!(out, "{tee} evidence refused: it is not authentic: {last}")
        }
        (Outcome::Missing(_, obstacle), _) => {
            writeln!(
                out,
                "{tee} evidence not judged: {}",
                printable(&obstacle.to_string())
            )
        }
    }
}
