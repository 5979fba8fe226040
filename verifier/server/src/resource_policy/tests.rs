use super::*;
use crate::token::tests::{NOW_SECS, issuer, reissue, runtime, verdict};
use nitride_kbs::token::{EarClaims, PRIMARY_SUBMOD};
use serde_json::json;

const GOOD: &str = "version = 1\n[[rule]]\nname = \"demo\"\nresources = [\"demo/*/*\"]\n\
    status = \"affirming\"\ntee = [\"sample\"]\ndanger-allow-simulated = true\n\
    danger-allow-debug = false\nclaims = { \"sample.svn\" = [\"1\", \"2\"] }\n";

fn policy(text: &str) -> ResourcePolicy {
    ResourcePolicy::parse(text, "resource.toml").unwrap()
}

fn token(svn: &str) -> AcceptedToken {
    let issuer = issuer();
    let token = issuer.issue(&verdict(svn), &runtime(), NOW_SECS);
    issuer.accept(&token, NOW_SECS).unwrap()
}

fn denial(text: &str, svn: &str) -> String {
    let path = ResourcePath::parse("demo/key/one").unwrap();
    policy(text)
        .decide(&token(svn), &path)
        .unwrap_err()
        .to_string()
}

#[test]
fn a_rule_that_is_satisfied_allows_and_names_the_key_of_the_token() {
    let policy = policy(GOOD);
    let token = token("1");
    let path = ResourcePath::parse("demo/key/one").unwrap();
    let allowed = policy.decide(&token, &path).unwrap();
    assert_eq!(allowed.rule(), "demo");
    assert_eq!(*allowed.tee_key(), token.tee_key());
    assert_eq!(allowed.path(), &path);
}

#[test]
fn what_no_rule_names_is_denied() {
    let path = ResourcePath::parse("other/key/one").unwrap();
    for text in [GOOD, "version = 1\n"] {
        let policy = policy(text);
        let denied = policy.decide(&token("1"), &path).unwrap_err();
        assert_eq!(denied, Denied::NotNamed { path: path.clone() });
    }
}

#[test]
fn each_condition_denies_by_itself() {
    assert!(denial(GOOD, "3").contains("cpu0 is contraindicated"));
    let replaced = |from: &str, to: &str| denial(&GOOD.replace(from, to), "1");
    assert!(replaced("simulated = true", "simulated = false").contains("simulated"));
    assert!(replaced("tee = [\"sample\"]", "tee = []").contains("tee sample"));
    assert!(replaced("[\"1\", \"2\"]", "[\"2\"]").contains("sample.svn is \"1\""));
    assert!(replaced("sample.svn", "sample.colour").contains("sample.colour is not claimed"));
}

#[test]
fn a_contraindicated_result_passes_no_status() {
    let text = GOOD.replace("\"affirming\"", "\"warning\"");
    assert!(denial(&text, "3").contains("contraindicated"));
}

/// What the policy says to a token of ours whose claims were changed.
fn decided(text: &str, change: fn(&mut EarClaims)) -> Result<(), String> {
    let issuer = issuer();
    let token = issuer.accept(&reissue(&issuer, change), NOW_SECS).unwrap();
    let path = ResourcePath::parse("demo/key/one").unwrap();
    policy(text)
        .decide(&token, &path)
        .map(|_| ())
        .map_err(|denied| denied.to_string())
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
    assert_eq!(decided(GOOD, |claims| add_device(claims, |_| {})), Ok(()));
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
        let reason = decided(GOOD, change).unwrap_err();
        assert!(reason.contains(word), "{reason}");
    }
}

#[test]
fn debug_is_denied_and_so_is_a_flag_that_is_not_stated() {
    for change in [
        |claims: &mut EarClaims| claims.debug = Some(true),
        |claims: &mut EarClaims| claims.debug = None,
    ] {
        assert!(decided(GOOD, change).unwrap_err().contains("debug"));
        let allowing = GOOD.replace("debug = false", "debug = true");
        assert_eq!(decided(&allowing, change), Ok(()));
    }
    let genuine = GOOD.replace("simulated = true", "simulated = false");
    assert!(
        decided(&genuine, |claims| claims.simulated = None)
            .unwrap_err()
            .contains("simulated")
    );
    assert_eq!(
        decided(&genuine, |claims| claims.simulated = Some(false)),
        Ok(())
    );
}

#[test]
fn a_later_rule_may_allow_what_an_earlier_one_does_not() {
    let strict = GOOD.replace("[\"1\", \"2\"]", "[\"9\"]");
    let second = GOOD
        .replace("version = 1\n", "")
        .replace("\"demo\"", "\"second\"");
    let policy = policy(&(strict + &second));
    let path = ResourcePath::parse("demo/key/one").unwrap();
    assert_eq!(policy.decide(&token("1"), &path).unwrap().rule(), "second");
}

#[test]
fn each_field_left_out_is_an_error() {
    for field in GOOD.lines().filter(|line| !line.starts_with('[')) {
        let text = GOOD.replace(field, "");
        let error = ResourcePolicy::parse(&text, "resource.toml").unwrap_err();
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
        let error = ResourcePolicy::parse(&GOOD.replace(from, to), "resource.toml").unwrap_err();
        assert_eq!(error.line, line, "{error}");
        assert!(error.reason.contains(word), "{error}");
        assert!(!error.remedy.is_empty());
    }
    let twice = GOOD.to_owned() + &GOOD.replace("version = 1\n", "");
    assert!(
        ResourcePolicy::parse(&twice, "a")
            .unwrap_err()
            .reason
            .contains("twice")
    );
    let unknown = GOOD.to_owned() + "colour = 1\n";
    assert!(
        ResourcePolicy::parse(&unknown, "a")
            .unwrap_err()
            .reason
            .contains("colour")
    );
}

proptest::proptest! {
    #[test]
    fn any_policy_text_gives_a_policy_or_an_error_with_a_line(text in "\\PC{0,30}(\n\\PC{0,30}){0,5}") {
        if let Err(error) = ResourcePolicy::parse(&text, "a") {
            proptest::prop_assert!(error.line >= 1 && !error.reason.is_empty());
        }
    }
}
