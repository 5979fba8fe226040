use super::*;
use crate::decision::Question;
use nitride_kbs::resource::ResourcePath;
use nitride_kbs::token::EarClaims;
use serde_json::json;

fn evaluator() -> Evaluator {
    Evaluator::new(Duration::from_secs(5))
}

fn claims(status: &str, tee: &str, svn: u64) -> EarClaims {
    serde_json::from_value(json!({
        "eat_profile": "p", "iss": "i", "iat": 1, "exp": 2,
        "submods": { "cpu0": {
            "ear.status": status,
            "ear.trustworthiness-vector": { "executables": 3, "hardware": 2 },
            "ear.veraison.annotated-evidence": { tee: { "svn": svn } },
        } },
    }))
    .unwrap()
}

fn asked(text: &str, claims: &EarClaims, path: &str) -> Result<(), RegoFault> {
    let path = ResourcePath::parse(path).unwrap();
    let question = Question {
        claims,
        path: &path,
    };
    answer_to(&mut evaluator(), text, &question)
}

fn answer_to(
    evaluator: &mut Evaluator,
    text: &str,
    question: &Question<'_>,
) -> Result<(), RegoFault> {
    let module = RegoModule::new(text, "p.rego").unwrap();
    let ask = Ask::Allow {
        input: question.input(),
        data: question.data(),
        traced: false,
    };
    let answer = match evaluator.answer(&Request::of(&module, ask.clone(), false)) {
        Answer::UnknownModule => evaluator.answer(&Request::of(&module, ask, true)),
        answer => answer,
    };
    match answer {
        Answer::Yes(_) => Ok(()),
        Answer::No(fault, _) => Err(fault),
        other => panic!("{other:?}"),
    }
}

fn fault(body: &str) -> RegoFault {
    let text = format!("package policy\n{body}\n");
    asked(&text, &claims("affirming", "sample", 1), "a/b/c").unwrap_err()
}

fn checked(text: &str) -> Result<(), RegoFault> {
    let module = RegoModule::new(text, "p.rego").unwrap();
    match evaluator().answer(&Request::of(&module, Ask::Check, true)) {
        Answer::Yes(_) => Ok(()),
        Answer::No(fault, _) => Err(fault),
        other => panic!("{other:?}"),
    }
}

/// Of the forms that Trustee's documentation has: by status of every submodule, by the absence of
/// sample evidence, and by a tenant's own path and a claim.
#[test]
fn policies_of_trustees_forms_decide() {
    let all_affirming = "package policy\nimport rego.v1\n\ndefault allow = false\n\n\
        allow if {\n\tcount(input.submods) > 0\n\tnot some_other\n}\n\n\
        some_other if {\n\tsome _, submod in input.submods\n\
        \tsubmod[\"ear.status\"] != \"affirming\"\n}\n";
    let real = "package policy\n\ndefault allow = false\n\nplugin = data.plugin\n\n\
        allow if {\n\tplugin == \"resource\"\n\
        \tnot input[\"submods\"][\"cpu0\"][\"ear.veraison.annotated-evidence\"][\"sample\"]\n}\n";
    let own = "package policy\n\ndefault allow = false\n\npath := data[\"resource-path\"]\n\n\
        allow if {\n\tpath[0] == \"team\"\n\tcount(path) == 3\n\
        \tinput.submods.cpu0[\"ear.trustworthiness-vector\"].hardware == 2\n\
        \tinput.submods.cpu0[\"ear.veraison.annotated-evidence\"].snp.svn >= 2\n}\n\n\
        allow if {\n\tpath[1] == \"public\"\n}\n";
    for (text, status, tee, svn, path, allowed) in [
        (all_affirming, "affirming", "snp", 1, "a/b/c", true),
        (all_affirming, "warning", "snp", 1, "a/b/c", false),
        (real, "contraindicated", "snp", 1, "a/b/c", true),
        (real, "affirming", "sample", 1, "a/b/c", false),
        (own, "affirming", "snp", 2, "team/b/c", true),
        (own, "affirming", "snp", 1, "team/b/c", false),
        (own, "affirming", "snp", 2, "other/b/c", false),
        (own, "affirming", "sample", 0, "other/public/c", true),
    ] {
        assert_eq!(checked(text), Ok(()), "{text}");
        let decided = asked(text, &claims(status, tee, svn), path);
        let expected = if allowed {
            Ok(())
        } else {
            Err(RegoFault::False)
        };
        assert_eq!(decided, expected, "{status} {tee} {svn} {path} by\n{text}");
    }
}

#[test]
fn everything_but_true_denies_by_its_name() {
    assert_eq!(fault("default allow := false"), RegoFault::False);
    assert_eq!(fault("allow if input.colour"), RegoFault::Undefined);
    for value in ["\"true\"", "1", "[true]", "{\"a\": true}", "null", "{true}"] {
        let fault = fault(&format!("allow := {value}"));
        assert!(
            matches!(fault, RegoFault::NotBoolean(_)),
            "{value}: {fault}"
        );
    }
    for body in [
        "allow = true\nallow = false",
        "allow if to_number(\"x\") == 1",
        "allow if 1 / 0 > 0",
        "allow if http.send({}).status_code == 200",
    ] {
        assert!(matches!(fault(body), RegoFault::RunTime(_)), "{body}");
    }
    assert_eq!(
        fault("other := true"),
        RegoFault::NoRule("allow".to_owned())
    );
    let elsewhere = "package other\nallow := true\n";
    let claims = claims("affirming", "sample", 1);
    let fault = asked(elsewhere, &claims, "a/b/c").unwrap_err();
    assert_eq!(fault, RegoFault::WrongPackage("other".to_owned()));
}

#[test]
fn an_endless_evaluation_ends_by_its_time() {
    let text = "package policy\nallow if {\n\tsome i in numbers.range(1, 20000)\n\
        \tsome j in numbers.range(1, 20000)\n\ti * j == -1\n}\n";
    let path = ResourcePath::parse("a/b/c").unwrap();
    let claims = claims("affirming", "sample", 1);
    let question = Question {
        claims: &claims,
        path: &path,
    };
    let mut evaluator = Evaluator::new(Duration::from_millis(50));
    let begun = Instant::now();
    let fault = answer_to(&mut evaluator, text, &question).unwrap_err();
    assert!(matches!(fault, RegoFault::OutOfTime(_)), "{fault}");
    assert!(begun.elapsed() < Duration::from_secs(20));
    // And the next has all of its own time.
    let next = answer_to(&mut evaluator, "package policy\nallow := true\n", &question);
    assert_eq!(next, Ok(()));
}

/// What would make a decision depend on something that the policy was not given, or tell somebody.
#[test]
fn no_function_reaches_outside() {
    for call in [
        "http.send({\"method\": \"get\", \"url\": \"http://localhost\"})",
        "opa.runtime()",
        "time.now_ns()",
        "rand.intn(\"x\", 2)",
        "uuid.rfc4122(\"x\")",
        "net.lookup_ip_addr(\"localhost\")",
    ] {
        let fault = checked(&format!("package policy\nallow if {call}\n")).unwrap_err();
        assert!(
            matches!(&fault, RegoFault::RunTime(reason) if reason.contains("could not find function")),
            "{call}: {fault}"
        );
    }
}

#[test]
fn what_is_no_module_is_told_with_its_line() {
    for text in [
        "",
        "package",
        "package policy\nallow {\n  true\n}\n",
        "package policy\nallow if (((((((((((((((((((((((((((((((((((((((((1)))))",
        "{\"allow\": true}",
        "version = 1",
    ] {
        let fault = checked(text).unwrap_err();
        assert!(
            matches!(fault, RegoFault::Malformed(_)),
            "{text:?}: {fault}"
        );
        assert!(!fault.to_string().contains('\n'), "{fault}");
    }
    let fault = checked("package policy\n\nallow {\n  true\n}\n").unwrap_err();
    assert!(fault.to_string().contains("p.rego:3"), "{fault}");
}

#[test]
fn a_trace_has_the_lines_that_decided() {
    let text = "package policy\ndefault allow := false\nallow if {\n\tinput.iss == \"other\"\n\
        \tinput.exp > 1\n}\n";
    let claims = claims("affirming", "sample", 1);
    let module = RegoModule::new(text, "p.rego").unwrap();
    let ask = Ask::Allow {
        input: claims.to_json(),
        data: "{}".to_owned(),
        traced: true,
    };
    let answer = evaluator().answer(&Request::of(&module, ask, true));
    let Answer::No(RegoFault::False, Some(trace)) = answer else {
        panic!("{answer:?}");
    };
    assert!(trace.evaluated.contains(&4), "{trace:?}");
    assert!(trace.not_reached.contains(&5), "{trace:?}");
}

#[test]
fn a_policy_sees_nothing_of_the_question_before() {
    let text = "package policy\ndefault allow := false\nallow if input.submods.cpu0[\"ear.status\"] == \"affirming\"\n";
    let path = ResourcePath::parse("a/b/c").unwrap();
    let mut evaluator = evaluator();
    for status in ["affirming", "warning", "affirming", "none"] {
        let claims = claims(status, "sample", 1);
        let question = Question {
            claims: &claims,
            path: &path,
        };
        let decided = answer_to(&mut evaluator, text, &question);
        assert_eq!(decided.is_ok(), status == "affirming");
    }
    assert_eq!(evaluator.prepared.len(), 1, "the module was read once");
}

#[test]
fn the_modules_that_are_kept_are_bounded() {
    let path = ResourcePath::parse("a/b/c").unwrap();
    let claims = claims("affirming", "sample", 1);
    let question = Question {
        claims: &claims,
        path: &path,
    };
    let mut evaluator = evaluator();
    for number in 0..MAX_PREPARED + 5 {
        let text = format!("package policy\nallow := true\nnumber := {number}\n");
        assert_eq!(answer_to(&mut evaluator, &text, &question), Ok(()));
    }
    assert_eq!(evaluator.prepared.len(), MAX_PREPARED);
}

/// Of the form that Trustee's own attestation policies have: defaults that say "not recognized", and
/// better claims where a reference value is met.
const APPRAISAL: &str = "package policy\nimport rego.v1\n\ndefault executables := 33\n\
    default hardware := 97\n\ntrust_claims := {\n\t\"executables\": executables,\n\
    \t\"hardware\": hardware,\n}\n\nexecutables := 3 if {\n\tinput.sample\n\
    \tinput.sample.svn in query_reference_value(\"svn\")\n}\n\nhardware := 2 if input.sample\n";

fn appraised(text: &str, reference: &str) -> Result<BTreeMap<String, i8>, RegoFault> {
    let module = RegoModule::new(text, "a.rego").unwrap();
    let ask = Ask::Appraise {
        input: "{\"sample\":{\"svn\":\"7\"}}".to_owned(),
        reference: reference.to_owned(),
    };
    match evaluator().answer(&Request::of(&module, ask, true)) {
        Answer::Claims(claims) => Ok(claims),
        Answer::No(fault, _) => Err(fault),
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_attestation_policy_of_trustees_form_claims_by_reference_values() {
    for (reference, executables) in [
        ("{\"svn\": [\"6\", \"7\"]}", 3),
        ("{\"svn\": [\"6\"]}", 33),
        ("{}", 33),
    ] {
        let claims = appraised(APPRAISAL, reference).unwrap();
        assert_eq!(claims["executables"], executables, "{reference}");
        assert_eq!(claims["hardware"], 2);
    }
    let module = RegoModule::new(APPRAISAL, "a.rego").unwrap();
    let checked = evaluator().answer(&Request::of(&module, Ask::CheckAppraisal, true));
    assert_eq!(checked, Answer::Yes(None));
}

#[test]
fn claims_that_are_none_are_a_fault() {
    for (body, word) in [
        ("other := 1", "no rule trust_claims"),
        ("trust_claims := {}", "empty"),
        ("trust_claims := {\"hardware\": 200}", "cannot be used"),
        ("trust_claims := {\"hardware\": \"2\"}", "cannot be used"),
        ("trust_claims := {\"colour\": 2}", "colour"),
        ("trust_claims := 2", "cannot be used"),
        (
            "trust_claims := {\"hardware\": 2} if input.colour",
            "undefined",
        ),
    ] {
        let fault = appraised(&format!("package policy\n{body}\n"), "{}").unwrap_err();
        assert!(fault.to_string().contains(word), "{body}: {fault}");
    }
}

proptest::proptest! {
    #[test]
    fn any_text_is_a_policy_or_a_fault(text in "(package policy\n)?\\PC{0,40}(\n\\PC{0,40}){0,4}") {
        let _ = checked(&text);
    }
}

#[test]
fn modules_are_kept_by_the_length_of_their_texts_too() {
    let mut evaluator = evaluator();
    let ask = || Ask::Allow {
        input: "{}".to_owned(),
        data: "{}".to_owned(),
        traced: false,
    };
    let line = format!("# {}\n", "x".repeat(97));
    let text = |number: usize| {
        let comment = format!(
            "# {number}\n{}",
            line.repeat(MAX_PREPARED_LEN / 5 / line.len())
        );
        format!("package policy\nimport rego.v1\nallow if true\n{comment}")
    };
    let module = |number: usize| RegoModule::new(&text(number), "p.rego").unwrap();
    for number in 0..6 {
        let answer = evaluator.answer(&Request::of(&module(number), ask(), true));
        assert_eq!(answer, Answer::Yes(None));
    }
    // Five do not fit: each is a bit longer than a fifth.
    let mut known = |number| evaluator.answer(&Request::of(&module(number), ask(), false));
    for number in 0..2 {
        assert_eq!(known(number), Answer::UnknownModule);
    }
    for number in 2..6 {
        assert_eq!(known(number), Answer::Yes(None), "{number}");
    }
}
