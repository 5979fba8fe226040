//! For people: one row a check, then what follows from them.

use super::{anchor_word, not_reached, number, outcome_word, printable, warnings};
use crate::exit::Exit;
use crate::judgement::{Judgement, Outcome};
use nitride_verify::{CheckOutcome, checks};
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

fn rows(judgement: &Judgement) -> Vec<Row> {
    let made = judgement.checks();
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
                    format!("line {line} of {}", printable(&judgement.policy))
                }
                CheckOutcome::Passed | CheckOutcome::NotApplicable => String::new(),
            },
        })
        .collect();
    let missed = not_reached(made, checks::all(judgement.tee));
    rows.extend(missed.into_iter().map(|name| Row {
        number: number(name),
        name: name.name,
        outcome: "not-reached",
        reason: String::new(),
    }));
    rows
}

fn write(judgement: &Judgement, out: &mut String) -> std::fmt::Result {
    let rows = rows(judgement);
    let width = rows.iter().map(|row| row.name.len()).max().unwrap_or(0);
    writeln!(out, "number  {:width$}  {:14}  reason", "check", "outcome")?;
    for row in &rows {
        let (number, name) = (&row.number, row.name);
        let line = format!(
            "{number:>6}  {name:width$}  {:14}  {}",
            row.outcome, row.reason
        );
        writeln!(out, "{}", line.trim_end())?;
    }
    writeln!(out)?;
    if let Outcome::Authentic(verdict) = &judgement.outcome {
        for (name, claim) in verdict.claims().iter() {
            writeln!(out, "{name}: {}", printable(&claim.to_string()))?;
        }
        writeln!(out)?;
        for (name, claim) in verdict.vector().named() {
            writeln!(out, "{name}: {claim}")?;
        }
        writeln!(out, "anchor: {}", anchor_word(verdict.anchor()))?;
        writeln!(out)?;
    }
    conclude(judgement, out)
}

/// The last lines, which a person reads first.
fn conclude(judgement: &Judgement, out: &mut String) -> std::fmt::Result {
    let tee = judgement.tee;
    match (&judgement.outcome, judgement.exit()) {
        (Outcome::Authentic(verdict), Exit::Accepted) => {
            for warning in warnings(verdict) {
                writeln!(out, "WARNING: {warning}")?;
            }
            let genuine = if verdict.is_genuine() {
                "genuine"
            } else {
                "NOT genuine"
            };
            writeln!(out, "{tee} evidence accepted, {genuine}")
        }
        (Outcome::Authentic(verdict), _) => {
            let failed: Vec<&str> = verdict.failures().map(|(name, _)| name).collect();
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
