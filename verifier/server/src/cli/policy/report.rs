//! How a decision was come to, for a person.

use crate::policies::{Explanation, ResourcePolicy};
use nitride_policy::{Decision, Question, RuleReport, Trace};
use std::fmt::Write;

/// The report: each rule with its conditions, or the lines that were evaluated; at last the decision.
pub(super) fn text(
    question: &Question<'_>,
    policy: &ResourcePolicy,
    decision: &Decision,
    explanation: &Explanation,
) -> String {
    let mut text = String::new();
    match explanation {
        Explanation::Rules(reports) => reports.iter().for_each(|report| rule(&mut text, report)),
        Explanation::Rego(None) => {}
        Explanation::Rego(Some(trace)) => lines(&mut text, policy.text(), trace),
    }
    // Writing to a String does not fail.
    let _ = match decision {
        Decision::Allowed { rule } => writeln!(text, "allowed: {} by {rule:?}", question.path),
        Decision::Denied(denied) => writeln!(text, "denied: {} since {denied}", question.path),
    };
    text
}

fn rule(text: &mut String, report: &RuleReport) {
    let verdict = if report.allows() { "allows" } else { "denies" };
    let _ = writeln!(text, "rule {:?} {verdict}", report.rule);
    for condition in &report.conditions {
        let mark = if condition.holds { "holds" } else { "FAILS" };
        let (what, wanted, seen) = (&condition.what, &condition.wanted, &condition.seen);
        let _ = writeln!(text, "  {mark}  {what}: wanted {wanted}; seen {seen}");
    }
}

/// The module's lines that have code: evaluated ones are marked, and those not reached. In a body
/// the last line that is marked before one that is not reached is the one that does not hold.
fn lines(text: &mut String, module: &str, trace: &Trace) {
    for (number, line) in (1_u32..).zip(module.lines()) {
        let mark = if trace.evaluated.contains(&number) {
            "evaluated"
        } else if trace.not_reached.contains(&number) {
            "not reached"
        } else {
            continue;
        };
        let _ = writeln!(text, "  {number:>4}  {mark:<11}  {line}");
    }
}
