//! What a tenant may write as its policy: rules, a Rego module, or reference values. Modules are read
//! and not evaluated: what an evaluation may take is bounded by the process that it is in.

use nitride_policy::{Answer, Ask, Evaluator, NamedValues, RegoFault, RegoModule, Request, Rules};
use std::time::Duration;

/// Any text is a policy or an error on one line; rules that are good are good as Rego, too.
pub fn resource_policy(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    match Rules::parse(text, "fuzzed.toml") {
        Ok(rules) => {
            let fault = read(&rules.to_rego());
            assert!(is_about_the_question(&fault), "{fault}");
        }
        Err(error) => assert!(error.line >= 1 && !error.reason.is_empty()),
    }
    let fault = read(text);
    assert!(!fault.to_string().contains('\n'), "{fault:?}");
    if let Ok(values) = NamedValues::parse(text, "fuzzed.json") {
        assert!(values.at(u64::MAX).is_object());
    }
}

fn is_about_the_question(fault: &RegoFault) -> bool {
    matches!(fault, RegoFault::Question(_))
}

/// Reads a module, with a question that is none.
fn read(text: &str) -> RegoFault {
    let Ok(module) = RegoModule::new(text, "fuzzed.rego") else {
        return RegoFault::Question("too long".to_owned());
    };
    let ask = Ask::Allow {
        input: String::new(),
        data: String::new(),
        traced: false,
    };
    match Evaluator::new(Duration::from_secs(1)).answer(&Request::of(&module, ask, true)) {
        Answer::No(fault, _) => fault,
        other => panic!("{other:?} to no question"),
    }
}
