use super::*;

const GOOD: &str = "version = 1\n\ndanger-accept-sample = true\ndanger-test-anchors = []\n\
    [sample]\nsvn = [\"1\"]\n";

#[test]
fn a_complete_policy_knows_its_lines() {
    let policy = AttestationPolicy::parse(GOOD, "a.toml").unwrap();
    assert_eq!(
        policy.danger_accept_sample(),
        &Stated {
            value: true,
            line: 3
        }
    );
    assert_eq!(
        policy.sample_svn(),
        Some(&Stated {
            value: vec!["1".to_owned()],
            line: 6
        })
    );
}

#[test]
fn each_field_left_out_is_an_error_that_names_it() {
    for field in [
        "version",
        "danger-accept-sample",
        "danger-test-anchors",
        "svn",
    ] {
        let error = AttestationPolicy::parse(&without(GOOD, field), "a.toml").unwrap_err();
        assert!(error.reason.contains(field), "{error}");
    }
}

#[test]
fn a_tee_without_a_section_is_refused() {
    let text = without(&without(GOOD, "[sample]"), "svn").replace("true", "false");
    let policy = AttestationPolicy::parse(&text, "a").unwrap();
    for tee in Tee::ALL {
        assert!(policy.admits(*tee).is_err(), "{tee}");
    }
    let policy = AttestationPolicy::parse(GOOD, "a").unwrap();
    assert!(policy.admits(Tee::Sample).is_ok());
    assert!(matches!(
        policy.admits(Tee::Snp),
        Err(Refusal::NotInPolicy { tee: Tee::Snp })
    ));
}

#[test]
fn sample_that_is_accepted_needs_its_section() {
    let text = without(&without(GOOD, "[sample]"), "svn");
    let error = AttestationPolicy::parse(&text, "a").unwrap_err();
    assert_eq!(error.line, 3, "{error}");
    assert!(error.remedy.contains("[sample]"), "{error}");
}

#[test]
fn an_unknown_field_names_its_line() {
    let text = format!("{GOOD}colour = \"red\"\n");
    let error = AttestationPolicy::parse(&text, "policy.toml").unwrap_err();
    assert_eq!((error.file.as_str(), error.line), ("policy.toml", 7));
    assert!(error.reason.contains("colour"), "{error}");
}

#[test]
fn wrong_versions_and_reference_values_are_refused() {
    let anchor = format!("anchors = [\"{}\"]", "0".repeat(63));
    for (from, to, word) in [
        ("version = 1", "version = 2", "version 2"),
        ("[\"1\"]", "[\"\"]", "empty"),
        ("[\"1\"]", "[\"1\", \"2\", \"1\"]", "twice"),
        ("[\"1\"]", "\"1\"", "invalid type"),
        ("= true", "= 1", "invalid type"),
        ("anchors = []", anchor.as_str(), "32 bytes"),
        ("anchors = []", "anchors = [\"a\", \"a\"]", "twice"),
    ] {
        let error = AttestationPolicy::parse(&GOOD.replace(from, to), "a").unwrap_err();
        assert!(error.reason.contains(word), "{error}");
    }
}

#[test]
fn an_empty_reference_list_is_a_statement() {
    let policy = AttestationPolicy::parse(&GOOD.replace("[\"1\"]", "[]"), "a").unwrap();
    assert!(policy.sample_svn().unwrap().value.is_empty());
}

/// The text less the lines that begin so.
fn without(text: &str, start: &str) -> String {
    let lines = text.lines().filter(|line| !line.starts_with(start));
    lines.map(|line| format!("{line}\n")).collect()
}
