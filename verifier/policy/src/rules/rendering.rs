//! Rules as a Rego module that decides alike. `a_rule_and_its_rego_decide_alike` holds the two
//! against each other.

use super::pattern::{Part, Pattern};
use super::{Rule, WantedClaim};
use nitride_kbs::token::EarStatus;
use nitride_verify::Tee;
use serde_json::Value;
use std::fmt::Write;

const EVIDENCE: &str = "ear.veraison.annotated-evidence";

/// The whole module.
pub(super) fn module(rules: &[Rule]) -> String {
    let mut text = format!(
        "package policy\n\nimport rego.v1\n\ndefault allow := false\n\n\
         known_tees := {}\n\n\
         evidence_of(submod) := object.get(submod, {EVIDENCE:?}, {{}})\n\n\
         tees_of(submod) := {{tee | some tee in known_tees; tee in object.keys(evidence_of(submod))}}\n",
        set(Tee::ALL.iter().map(|tee| literal(tee.as_str())))
    );
    for (index, rule) in rules.iter().enumerate() {
        write_rule(&mut text, index, rule);
    }
    text
}

fn write_rule(text: &mut String, index: usize, rule: &Rule) {
    let mut body = vec![
        "data.plugin == \"resource\"".to_owned(),
        format!("names_{index}"),
    ];
    for (claim, allowed) in [
        ("nitride.simulated", rule.danger_allow_simulated),
        ("nitride.debug", rule.danger_allow_debug),
    ] {
        if !allowed {
            body.push(format!("input[{claim:?}] == false"));
        }
    }
    body.push("count(input.submods) > 0".to_owned());
    body.push(format!(
        "every submod in input.submods {{ submod_{index}(submod) }}"
    ));
    for (number, claim) in rule.claims.iter().enumerate() {
        let tee = literal(claim.tee.as_str());
        body.push(format!(
            "count([1 | some submod in input.submods; {tee} in object.keys(evidence_of(submod))]) > 0"
        ));
        body.push(format!(
            "every submod in input.submods {{ claim_{index}_{number}(submod) }}"
        ));
    }
    // A comment ends with its line: a name's own line ends are escaped.
    // Writing to a String does not fail.
    let _ = write!(text, "\n# rule {:?}\n", rule.name);
    write_body(text, "allow", &body);
    for pattern in &rule.resources {
        write_body(text, &format!("names_{index}"), &path_is(pattern));
    }
    if rule.resources.is_empty() {
        write_body(text, &format!("names_{index}"), &["false".to_owned()]);
    }
    let statuses: &[EarStatus] = match rule.worst_status {
        EarStatus::Warning => &[EarStatus::Affirming, EarStatus::Warning],
        _ => &[EarStatus::Affirming],
    };
    let submod = [
        format!(
            "submod[\"ear.status\"] in {}",
            set(statuses.iter().map(|status| literal(status.as_str())))
        ),
        "count(tees_of(submod)) == 1".to_owned(),
        format!(
            "every tee in tees_of(submod) {{ tee in {} }}",
            set(rule.tees.iter().map(|tee| literal(tee.as_str())))
        ),
    ];
    write_body(text, &format!("submod_{index}(submod)"), &submod);
    for (number, claim) in rule.claims.iter().enumerate() {
        write_claim(text, &format!("claim_{index}_{number}(submod)"), claim);
    }
}

fn write_claim(text: &mut String, head: &str, claim: &WantedClaim) {
    let tee = literal(claim.tee.as_str());
    let absent = format!("not {tee} in object.keys(evidence_of(submod))");
    write_body(text, head, &[absent]);
    let values = claim.values.iter().flat_map(|value| spellings(value));
    let wanted = format!(
        "evidence_of(submod)[{tee}][{}] in {}",
        literal(&claim.name),
        set(values)
    );
    write_body(text, head, &[wanted]);
}

fn write_body(text: &mut String, head: &str, body: &[String]) {
    let _ = writeln!(text, "{head} if {{");
    for line in body {
        let _ = writeln!(text, "\t{line}");
    }
    let _ = writeln!(text, "}}");
}

fn path_is(pattern: &Pattern) -> Vec<String> {
    let parts = pattern.parts.iter().enumerate();
    let mut body: Vec<String> = parts
        .filter_map(|(index, part)| match part {
            Part::Any => None,
            Part::Exactly(name) => Some(format!(
                "data[\"resource-path\"][{index}] == {}",
                literal(name)
            )),
        })
        .collect();
    body.push("count(data[\"resource-path\"]) == 3".to_owned());
    body
}

/// The JSON values whose text a rule takes for `value`: text itself, and what is written so.
fn spellings(value: &str) -> Vec<String> {
    let mut spellings = vec![literal(value)];
    let is_flag = matches!(value, "true" | "false");
    let is_number = [
        value.parse::<i64>().map(|number| number.to_string()),
        value.parse::<u64>().map(|number| number.to_string()),
    ]
    .into_iter()
    .any(|text| text.as_deref() == Ok(value));
    if is_flag || is_number {
        spellings.push(value.to_owned());
    }
    spellings
}

/// A set of literals; the empty one has no braces of its own in Rego.
fn set(values: impl Iterator<Item = String>) -> String {
    let values: Vec<String> = values.collect();
    if values.is_empty() {
        "set()".to_owned()
    } else {
        format!("{{{}}}", values.join(", "))
    }
}

/// A text as Rego writes it, which is as JSON does.
fn literal(text: &str) -> String {
    Value::from(text).to_string()
}
