//! What came out, for people and for machines.

mod machine;
mod table;

pub(crate) use machine::json;
pub(crate) use table::table;

use nitride_verify::{Anchor, Check, CheckName, CheckOutcome, Verdict};

/// A check's number in the table of its TEE.
pub(crate) fn number(name: CheckName) -> String {
    match name.number {
        0 => "-".to_owned(),
        number => number.to_string(),
    }
}

/// Text that no terminal acts on: some of it was written by whoever made the evidence.
pub(crate) fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        // The marks that turn the direction of writing are no control characters.
        let turns = matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if c.is_control() || turns {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    shown
}

/// The checks of this TEE that nobody came to, after the one that refused.
fn not_reached(made: &[Check], all: &[CheckName]) -> Vec<CheckName> {
    let was_made = |name: &CheckName| made.iter().any(|check| check.name == *name);
    all.iter().copied().filter(|name| !was_made(name)).collect()
}

fn outcome_word(outcome: &CheckOutcome) -> &'static str {
    match outcome {
        CheckOutcome::Passed => "passed",
        CheckOutcome::Failed(_) => "failed",
        CheckOutcome::NotApplicable => "not-applicable",
        CheckOutcome::WaivedByPolicyLine(_) => "waived",
    }
}

fn anchor_word(anchor: Anchor) -> &'static str {
    match anchor {
        Anchor::Vendor => "vendor",
        Anchor::Operator => "operator",
        Anchor::Test => "test",
        Anchor::Nobody => "nobody",
    }
}

/// What an operator must not overlook about evidence that the policy takes.
fn warnings(verdict: &Verdict) -> Vec<&'static str> {
    let mut said = Vec::new();
    match verdict.anchor() {
        Anchor::Vendor => {}
        Anchor::Operator => {
            said.push("the policy's own pins vouch for it, and no hardware: who runs the host can say this");
        }
        Anchor::Test => said.push("a test anchor vouches for it, which proves nothing"),
        Anchor::Nobody => said.push("nothing vouches for it: it proves nothing"),
    }
    if verdict.is_debug() {
        said.push("its host may look into it");
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_acts_on_nothing_that_evidence_says() {
        let told = printable("a\u{1b}[2Jb\r\nc\u{202e}d é");
        assert_eq!(told, "a\\u{1b}[2Jb\\r\\nc\\u{202e}d é");
    }
}
