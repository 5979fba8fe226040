use super::*;
use crate::decision::Condition;
use crate::evaluator::{Answer, Ask, Evaluator, Request};
use crate::rego::{RegoFault, RegoModule};
use nitride_kbs::token::{EarClaims, PRIMARY_SUBMOD, Submod};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::time::Duration;

const GOOD: &str = "version = 1\n[[rule]]\nname = \"demo\"\nresources = [\"demo/*/*\"]\n\
    status = \"affirming\"\ntee = [\"sample\"]\ndanger-allow-simulated = true\n\
    danger-allow-debug = false\nclaims = { \"sample.svn\" = [\"1\", \"2\"] }\n";

fn rules(text: &str) -> Rules {
    Rules::parse(text, "resource.toml").unwrap()
}

/// What our service says of sample evidence.
fn claims(status: &str, svn: &str) -> EarClaims {
    serde_json::from_value(json!({
        "eat_profile": "p", "iss": "i", "iat": 1, "exp": 2,
        "nitride.simulated": true, "nitride.debug": false,
        "submods": { PRIMARY_SUBMOD: {
            "ear.status": status,
            "ear.veraison.annotated-evidence": { "sample": { "svn": svn } },
        } },
    }))
    .unwrap()
}

fn decided(text: &str, claims: &EarClaims, path: &str) -> Result<String, String> {
    let path = ResourcePath::parse(path).unwrap();
    match rules(text).decide(&Question {
        claims,
        path: &path,
    }) {
        Decision::Allowed { rule } => Ok(rule),
        Decision::Denied(denied) => Err(denied.to_string()),
    }
}

fn denial(text: &str, claims: &EarClaims) -> String {
    decided(text, claims, "demo/key/one").unwrap_err()
}

/// Good claims, changed.
fn changed(change: fn(&mut EarClaims)) -> EarClaims {
    let mut claims = claims("affirming", "1");
    change(&mut claims);
    claims
}

#[test]
fn a_rule_that_is_satisfied_allows_and_is_named() {
    let allowed = decided(GOOD, &claims("affirming", "1"), "demo/key/one");
    assert_eq!(allowed.as_deref(), Ok("demo"));
}

#[test]
fn what_no_rule_names_is_denied() {
    for text in [GOOD, "version = 1\n"] {
        let denied = decided(text, &claims("affirming", "1"), "other/key/one");
        assert_eq!(denied.unwrap_err(), "no rule names other/key/one");
    }
}

#[test]
fn each_condition_denies_by_itself() {
    let bad = claims("contraindicated", "3");
    assert!(denial(GOOD, &bad).contains("cpu0 is contraindicated"));
    let warned = claims("warning", "1");
    assert!(denial(GOOD, &warned).contains("cpu0 is warning"));
    let nothing = changed(|claims| claims.submods.clear());
    assert!(denial(GOOD, &nothing).contains("token has no submodules"));
    let good = claims("affirming", "1");
    let replaced = |from: &str, to: &str| denial(&GOOD.replace(from, to), &good);
    assert!(replaced("simulated = true", "simulated = false").contains("simulated"));
    assert!(replaced("tee = [\"sample\"]", "tee = []").contains("tee sample"));
    assert!(replaced("[\"1\", \"2\"]", "[\"2\"]").contains("sample.svn is \"1\""));
    assert!(replaced("sample.svn", "sample.colour").contains("sample.colour is not claimed"));
    assert!(replaced("sample.svn", "snp.vmpl").contains("snp.vmpl is not claimed"));
    let of_no_claim = GOOD.replace("{ \"sample.svn\" = [\"1\", \"2\"] }", "{}");
    assert!(decided(&of_no_claim, &good, "demo/key/one").is_ok());
    let nothing = changed(|claims| claims.submods.clear());
    assert!(denial(&of_no_claim, &nothing).contains("no submodules"));
}

#[test]
fn a_contraindicated_result_passes_no_status() {
    let text = GOOD.replace("\"affirming\"", "\"warning\"");
    assert!(denial(&text, &claims("contraindicated", "1")).contains("contraindicated"));
    assert!(decided(&text, &claims("warning", "1"), "demo/key/one").is_ok());
}

/// Adds a device that is like the TEE itself, and then changed.
fn add_device(claims: &mut EarClaims, change: fn(&mut Submod)) {
    let mut device = claims.submods[PRIMARY_SUBMOD].clone();
    change(&mut device);
    claims.submods.insert("gpu0".to_owned(), device);
}

fn sample_of(submod: &mut Submod) -> &mut Value {
    let evidence = submod.annotated_evidence.as_mut().unwrap();
    evidence.tee_claims.get_mut("sample").unwrap()
}

#[test]
fn one_bad_device_denies_for_all() {
    let two = changed(|claims| add_device(claims, |_| {}));
    assert!(decided(GOOD, &two, "demo/key/one").is_ok());
    type Defect = (fn(&mut EarClaims), &'static str);
    let denied: [Defect; 5] = [
        (
            |claims| add_device(claims, |gpu| gpu.status = EarStatus::Contraindicated),
            "gpu0 is contraindicated",
        ),
        (
            |claims| add_device(claims, |gpu| gpu.status = EarStatus::None),
            "gpu0 is none",
        ),
        (
            |claims| add_device(claims, |gpu| gpu.annotated_evidence = None),
            "gpu0 is of no known tee",
        ),
        (
            |claims| add_device(claims, |gpu| *sample_of(gpu) = json!({ "svn": "9" })),
            "sample.svn is \"9\"",
        ),
        (
            |claims| add_device(claims, |gpu| *sample_of(gpu) = json!({})),
            "sample.svn is not claimed",
        ),
    ];
    for (change, word) in denied {
        let reason = denial(GOOD, &changed(change));
        assert!(reason.contains(word), "{reason}");
    }
}

#[test]
fn debug_is_denied_and_so_is_a_flag_that_is_not_stated() {
    for claims in [
        changed(|claims| claims.debug = Some(true)),
        changed(|claims| claims.debug = None),
    ] {
        assert!(denial(GOOD, &claims).contains("debug"));
        let allowing = GOOD.replace("debug = false", "debug = true");
        assert!(decided(&allowing, &claims, "demo/key/one").is_ok());
    }
    let genuine = GOOD.replace("simulated = true", "simulated = false");
    let unstated = changed(|claims| claims.simulated = None);
    assert!(denial(&genuine, &unstated).contains("simulated"));
    let real = changed(|claims| claims.simulated = Some(false));
    assert!(decided(&genuine, &real, "demo/key/one").is_ok());
}

#[test]
fn a_later_rule_may_allow_what_an_earlier_one_does_not() {
    let strict = GOOD.replace("[\"1\", \"2\"]", "[\"9\"]");
    let second = GOOD
        .replace("version = 1\n", "")
        .replace("\"demo\"", "\"second\"");
    let allowed = decided(
        &(strict + &second),
        &claims("affirming", "1"),
        "demo/key/one",
    );
    assert_eq!(allowed.as_deref(), Ok("second"));
}

#[test]
fn an_explanation_has_what_was_wanted_and_what_was_seen() {
    let path = ResourcePath::parse("demo/key/one").unwrap();
    let claims = claims("affirming", "3");
    let question = Question {
        claims: &claims,
        path: &path,
    };
    let reports = rules(GOOD).explain(&question);
    let [report] = reports.as_slice() else {
        panic!("one rule names it");
    };
    assert!(!report.allows());
    let failed: Vec<&Condition> = report
        .conditions
        .iter()
        .filter(|condition| !condition.holds)
        .collect();
    let svn = Condition {
        what: "sample.svn".to_owned(),
        wanted: "1 or 2".to_owned(),
        seen: "3".to_owned(),
        holds: false,
    };
    assert_eq!(failed, [&svn]);
    assert_eq!(report.conditions.len(), 6);
}

#[test]
fn a_tenants_rules_speak_of_its_own_resources_alone() {
    assert!(Rules::parse_of("demo", GOOD, "demo.toml").is_ok());
    for pattern in ["other/*/*", "*/*/*", "**", "*/key/one"] {
        let text = GOOD.replace("demo/*/*", pattern);
        let error = Rules::parse_of("demo", &text, "demo.toml").unwrap_err();
        assert_eq!(error.line, 4);
        assert!(error.reason.contains("is not of demo"), "{error}");
    }
}

#[test]
fn each_field_left_out_is_an_error() {
    for field in GOOD.lines().filter(|line| !line.starts_with('[')) {
        let text = GOOD.replace(field, "");
        let error = Rules::parse(&text, "resource.toml").unwrap_err();
        let name = field.split(' ').next().unwrap();
        assert!(error.reason.contains(name), "{error}");
    }
}

#[test]
fn wrong_fields_name_their_line_and_remedy() {
    for (from, to, line, word) in [
        ("version = 1", "version = 2", 1, "version 2"),
        ("name = \"demo\"", "name = \"\"", 3, "empty"),
        ("demo/*/*", "demo/*", 4, "three parts"),
        ("\"affirming\"", "\"contraindicated\"", 5, "contraindicated"),
        ("tee = [\"sample\"]", "tee = [\"sgx\"]", 6, "sgx"),
        ("debug = false", "debug = \"no\"", 8, "invalid type"),
        ("sample.svn", "svn", 9, "tee.claim"),
        ("[\"1\", \"2\"]", "[]", 9, "no value"),
    ] {
        let error = Rules::parse(&GOOD.replace(from, to), "resource.toml").unwrap_err();
        assert_eq!(error.line, line, "{error}");
        assert!(error.reason.contains(word), "{error}");
        assert!(!error.remedy.is_empty());
    }
    let twice = GOOD.to_owned() + &GOOD.replace("version = 1\n", "");
    assert!(
        Rules::parse(&twice, "a")
            .unwrap_err()
            .reason
            .contains("twice")
    );
    let unknown = GOOD.to_owned() + "colour = 1\n";
    assert!(
        Rules::parse(&unknown, "a")
            .unwrap_err()
            .reason
            .contains("colour")
    );
}

/// What the rules' own Rego says.
fn by_rego(evaluator: &mut Evaluator, rules: &Rules, question: &Question<'_>) -> bool {
    let module = RegoModule::new(&rules.to_rego(), "rendered.rego").unwrap();
    let ask = Ask::Allow {
        input: question.input(),
        data: question.data(),
        traced: false,
    };
    match evaluator.answer(&Request::of(&module, ask, true)) {
        Answer::Yes(_) => true,
        Answer::No(RegoFault::False, _) => false,
        other => panic!("{other:?} of\n{}", module.text()),
    }
}

fn a_pattern() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["**", "a/**", "a/b/*", "a/*/c", "a/b/c", "*/b/**"])
}

fn a_rule(number: usize) -> impl Strategy<Value = String> {
    let tees = prop::sample::subsequence(vec!["sample", "snp", "nvidia"], 0..=3);
    let values = prop::sample::subsequence(
        vec!["1", "true", "x\\\"y", "007", "18446744073709551615"],
        1..=3,
    );
    let claim = prop::option::of((
        prop::sample::select(vec!["sample.a", "snp.a", "snp.b c"]),
        values,
    ));
    (
        prop::collection::vec(a_pattern(), 0..3),
        prop::bool::ANY,
        tees,
        prop::bool::ANY,
        prop::bool::ANY,
        claim,
    )
        .prop_map(move |(patterns, warning, tees, simulated, debug, claim)| {
            let claims = claim.map_or_else(String::new, |(name, values)| {
                let values: Vec<String> = values.iter().map(|v| format!("\"{v}\"")).collect();
                format!("\"{name}\" = [{}]", values.join(", "))
            });
            let status = if warning { "warning" } else { "affirming" };
            format!(
                "[[rule]]\nname = \"rule \\n{number}\"\nresources = {patterns:?}\nstatus = \"{status}\"\n\
                 tee = {tees:?}\ndanger-allow-simulated = {simulated}\n\
                 danger-allow-debug = {debug}\nclaims = {{ {claims} }}\n"
            )
        })
}

fn some_rules() -> impl Strategy<Value = String> {
    prop::option::of(a_rule(0)).prop_flat_map(|first| {
        a_rule(1).prop_map(move |second| {
            let first = first.clone().unwrap_or_default();
            format!("version = 1\n{first}{second}")
        })
    })
}

fn a_value() -> impl Strategy<Value = Value> {
    prop::sample::select(vec![
        json!("1"),
        json!(1),
        json!("true"),
        json!(true),
        json!("x\"y"),
        json!("007"),
        json!(7),
        json!(u64::MAX),
        json!(null),
        json!([1]),
        json!({ "a": 1 }),
        json!(-1),
    ])
}

fn a_submod() -> impl Strategy<Value = Value> {
    let status = prop::sample::select(vec!["none", "affirming", "warning", "contraindicated"]);
    let tees = prop::sample::subsequence(vec!["sample", "snp", "nvidia", "unknown"], 0..=2);
    let claims =
        prop::collection::btree_map(prop::sample::select(vec!["a", "b c"]), a_value(), 0..3);
    (status, prop::option::of((tees, claims))).prop_map(|(status, evidence)| {
        let mut submod = json!({ "ear.status": status });
        if let Some((tees, claims)) = evidence {
            let tees: serde_json::Map<String, Value> = tees
                .iter()
                .map(|tee| ((*tee).to_owned(), json!(claims)))
                .collect();
            submod["ear.veraison.annotated-evidence"] = tees.into();
        }
        submod
    })
}

fn some_claims() -> impl Strategy<Value = EarClaims> {
    let submods =
        prop::collection::btree_map(prop::sample::select(vec!["cpu0", "gpu0"]), a_submod(), 0..3);
    let flag = || prop::option::of(prop::bool::ANY);
    (submods, flag(), flag()).prop_map(|(submods, simulated, debug)| {
        let mut claims = json!({
            "eat_profile": "p", "iss": "i", "iat": 1, "exp": 2, "submods": submods,
        });
        for (name, flag) in [("nitride.simulated", simulated), ("nitride.debug", debug)] {
            if let Some(flag) = flag {
                claims[name] = flag.into();
            }
        }
        serde_json::from_value(claims).unwrap()
    })
}

proptest! {
    #[test]
    fn a_rule_and_its_rego_decide_alike(
        text in some_rules(), claims in some_claims(),
        path in prop::sample::select(vec!["a/b/c", "a/x/c", "x/b/c"]),
    ) {
        let path = ResourcePath::parse(path).unwrap();
        let question = Question { claims: &claims, path: &path };
        let rules = rules(&text);
        let allowed = matches!(rules.decide(&question), Decision::Allowed { .. });
        let mut evaluator = Evaluator::new(Duration::from_secs(10));
        prop_assert_eq!(by_rego(&mut evaluator, &rules, &question), allowed);
        // And an explanation ends in what is decided.
        let reports = rules.explain(&question);
        prop_assert_eq!(reports.iter().any(RuleReport::allows), allowed);
    }

    #[test]
    fn any_policy_text_gives_a_policy_or_an_error_with_a_line(
        text in "\\PC{0,30}(\n\\PC{0,30}){0,5}",
    ) {
        if let Err(error) = Rules::parse(&text, "a") {
            prop_assert!(error.line >= 1 && !error.reason.is_empty());
        }
    }
}

/// The property would hold of rules that never allow, too.
#[test]
fn the_rego_of_a_rule_allows_what_the_rule_allows() {
    let path = ResourcePath::parse("demo/key/one").unwrap();
    let mut evaluator = Evaluator::new(Duration::from_secs(10));
    for (svn, allowed) in [("1", true), ("2", true), ("3", false)] {
        let claims = claims("affirming", svn);
        let question = Question {
            claims: &claims,
            path: &path,
        };
        assert_eq!(by_rego(&mut evaluator, &rules(GOOD), &question), allowed);
    }
}
