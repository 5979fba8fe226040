//! Rounds in which an OpenBao is read here.

use super::*;
use crate::Secrets;
use nitride_openbao::answer::Encoding;
use nitride_openbao::{Kv, Request};
use nitride_protocol::Status;
use nitride_protocol::agent::FailureClass;

const TOKEN_OF_BAO: &str = "s.abcDEF";
const LOGIN: &str =
    r#"{"auth":{"client_token":"s.abcDEF","lease_duration":3600,"renewable":true}}"#;

fn secrets() -> Secrets {
    Secrets {
        kv: Kv::new("secret", "machines").unwrap(),
        field: "value".to_owned(),
        encoding: Encoding::Base64,
    }
}

fn secret(value: &str) -> String {
    format!(
        r#"{{"data":{{"data":{{"value":"{value}"}},"metadata":{{"version":3,"custom_metadata":{{"nitride-lease-secs":"60"}}}}}}}}"#
    )
}

fn read(
    resources: &[&str],
    endpoints: &mut Endpoints,
    service: impl FnMut(&HttpRequest, u64) -> Option<HttpResult>,
    vault: impl FnMut(&Question) -> Option<VaultAnswer>,
) -> Story {
    let order = order(resources, false, 30_000);
    let login = Request::app_role("approle", "role", "the secret id").unwrap();
    let begin = |endpoints: &mut Endpoints, now_ms| {
        Round::begin_in_clear(order, (login, &secrets()), endpoints, now_ms, 0).unwrap()
    };
    play_from(begin, endpoints, service, vault)
}

/// OpenBao as it is when all is well.
fn bao(request: &HttpRequest) -> HttpResult {
    Ok(match request.path.as_str() {
        "/v1/auth/approle/login" => answer(200, LOGIN),
        "/v1/auth/token/revoke-self" => answer(204, ""),
        _ => answer(200, secret("aHVudGVyMg==")),
    })
}

fn taken(_: &Question) -> Option<VaultAnswer> {
    Some(VaultAnswer::Accepted)
}

#[test]
fn a_login_a_read_for_each_resource_and_the_token_is_given_back() {
    let story = read(
        &["a/b/one", "a/b/two"],
        &mut endpoints(&[1]),
        |request, _| Some(bao(request)),
        taken,
    );
    assert_eq!(
        story.calls(),
        [
            "0 /v1/auth/approle/login",
            "0 /v1/secret/data/machines/a/b/one",
            "0 /v1/secret/data/machines/a/b/two",
            "0 /v1/auth/token/revoke-self",
        ]
    );
    assert_eq!(story.questions(), ["plaintext", "plaintext", "finish"]);
    let Question::Plaintext {
        resource,
        version,
        lease_secs,
        material,
    } = &story.questions[0]
    else {
        panic!("what was read");
    };
    assert_eq!(
        (resource.as_str(), *version, *lease_secs),
        ("a/b/one", 3, Some(60))
    );
    assert_eq!(material.as_slice(), b"hunter2");
    let token = |request: &HttpRequest| {
        let mut headers = request.headers.iter();
        let found = headers.find(|(name, _)| *name == "X-Vault-Token");
        found.map(|(_, value)| value.clone())
    };
    let shown: Vec<_> = story.requests.iter().map(token).collect();
    assert_eq!(shown[0], None);
    assert!(
        shown[1..]
            .iter()
            .all(|shown| shown.as_deref() == Some(TOKEN_OF_BAO))
    );
    // Nothing of it is shown.
    let debug = format!("{:?} {:?}", story.questions, story.requests);
    for hidden in ["hunter2", "104, 117", TOKEN_OF_BAO, "the secret id"] {
        assert!(!debug.contains(hidden), "{hidden}");
    }
    let outcome = story.outcome.unwrap();
    assert_eq!((outcome.delivered, outcome.failed), (2, 0));
}

#[test]
fn a_node_that_cannot_say_is_followed_by_another_with_the_same_token() {
    let story = read(
        &["a/b/one"],
        &mut endpoints(&[1, 2]),
        |request, _| {
            let is_read = request.path.contains("/data/");
            match (request.endpoint.0, is_read) {
                (0, true) => Some(Ok(answer(503, r#"{"errors":["Vault is sealed"]}"#))),
                _ => Some(bao(request)),
            }
        },
        taken,
    );
    let calls = story.calls();
    assert_eq!(calls[1], "0 /v1/secret/data/machines/a/b/one");
    assert_eq!(calls[2], "1 /v1/secret/data/machines/a/b/one");
    assert_eq!(calls[3], "1 /v1/auth/token/revoke-self");
    assert_eq!(story.outcome.unwrap().delivered, 1);
}

#[test]
fn what_openbao_says_no_to_is_told_and_the_rest_goes_on() {
    let story = read(
        &["a/b/denied", "a/b/none", "a/b/odd", "a/b/one"],
        &mut endpoints(&[1]),
        |request, _| {
            Some(match request.path.rsplit('/').next() {
                Some("denied") => Ok(answer(403, r#"{"errors":["permission denied"]}"#)),
                Some("none") => Ok(answer(404, r#"{"errors":[]}"#)),
                Some("odd") => Ok(answer(200, secret("hunter2."))),
                _ => bao(request),
            })
        },
        taken,
    );
    let told: Vec<_> = story
        .failures()
        .iter()
        .map(|failure| (failure.resource.as_deref().unwrap(), failure.class))
        .collect();
    assert_eq!(
        told,
        [
            ("a/b/denied", FailureClass::Refused),
            ("a/b/none", FailureClass::NotFound),
            ("a/b/odd", FailureClass::Refused),
        ]
    );
    assert_eq!(story.failures()[0].reason, "secret: HTTP 403");
    assert!(!format!("{:?}", story.failures()).contains("hunter2"));
    assert_eq!(story.outcome.unwrap().delivered, 1);
}

#[test]
fn a_login_that_is_refused_ends_the_round_and_one_that_nobody_answers_too() {
    let story = read(
        &["a/b/one"],
        &mut endpoints(&[1]),
        |_, _| {
            Some(Ok(answer(
                400,
                r#"{"errors":["invalid role or secret ID"]}"#,
            )))
        },
        taken,
    );
    assert_eq!(story.calls().len(), 1);
    assert_eq!(story.questions(), ["failure", "finish"]);
    let failure = story.failures()[0];
    assert_eq!(
        (&failure.resource, failure.class),
        (&None, FailureClass::Refused)
    );
    assert_eq!(failure.reason, "login: HTTP 400");
    let story = read(&["a/b/one"], &mut endpoints(&[1]), |_, _| None, taken);
    assert_eq!(story.failures()[0].class, FailureClass::TimedOut);
    assert!(story.ended_ms <= 30_000);
}

#[test]
fn a_page_or_a_token_that_is_none_is_no_login_and_a_long_secret_is_no_resource() {
    for page in [
        "<html>",
        "{}",
        r#"{"auth":{"client_token":"a b","lease_duration":1,"renewable":false}}"#,
    ] {
        let story = read(
            &["a/b/one"],
            &mut endpoints(&[1]),
            |_, _| Some(Ok(answer(200, page))),
            taken,
        );
        assert_eq!(story.failures()[0].class, FailureClass::Protocol, "{page}");
    }
    let long = secret(&"AAAA".repeat(22_000));
    let story = read(
        &["a/b/one"],
        &mut endpoints(&[1]),
        |request, _| match request.path.contains("/data/") {
            true => Some(Ok(answer(200, long.clone()))),
            false => Some(bao(request)),
        },
        taken,
    );
    assert_eq!(story.failures()[0].class, FailureClass::Refused);
}

#[test]
fn nothing_that_openbao_says_gets_into_the_log_for_it_may_repeat_what_it_was_sent() {
    let sent = "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0";
    let words = format!(r#"{{"errors":["unknown {sent}"]}}"#);
    for (status, of_login) in [400, 403, 404, 500]
        .into_iter()
        .flat_map(|s| [(s, true), (s, false)])
    {
        let story = read(
            &["a/b/one"],
            &mut endpoints(&[1]),
            |request, _| match request.path.contains("login") == of_login {
                true => Some(Ok(answer(status, words.clone()))),
                false => Some(bao(request)),
            },
            taken,
        );
        let reason = &story.failures()[0].reason;
        assert!(reason.contains(&format!("HTTP {status}")), "{reason}");
        assert!(!reason.contains("0f1e"), "{reason}");
    }
}

#[test]
fn what_is_wrong_with_one_secret_is_no_fault_of_the_node_and_is_asked_of_no_other() {
    let lease = secret("aHVudGVyMg==").replace("\"60\"", "\"soon\"");
    let field = secret("aHVudGVyMg==").replace("value", "other");
    let long = secret(&"AAAA".repeat(22_000));
    for body in [secret("hunter2."), lease, field, long] {
        let mut nodes = endpoints(&[1, 2]);
        let story = read(
            &["a/b/odd", "a/b/one"],
            &mut nodes,
            |request, _| {
                Some(match request.path.ends_with("odd") {
                    true => Ok(answer(200, body.clone())),
                    false => bao(request),
                })
            },
            taken,
        );
        let failure = story.failures()[0];
        assert_eq!(failure.resource.as_deref(), Some("a/b/odd"));
        assert_eq!(failure.class, FailureClass::Refused);
        let asked = story.calls();
        let asked = asked.iter().filter(|call| call.ends_with("odd")).count();
        assert_eq!(asked, 1);
        assert_eq!(nodes.healthy(story.ended_ms), (2, 2));
        assert_eq!(story.outcome.unwrap().delivered, 1);
    }
}

#[test]
fn a_round_that_the_vault_has_ended_is_left_and_a_token_that_is_not_taken_back_harms_nothing() {
    let story = read(
        &["a/b/one", "a/b/two"],
        &mut endpoints(&[1]),
        |request, _| Some(bao(request)),
        |_| Some(VaultAnswer::Refused(Status::RoundNotFound)),
    );
    assert_eq!(story.questions(), ["plaintext"]);
    let story = read(
        &["a/b/one"],
        &mut endpoints(&[1]),
        |request, _| match request.path.contains("revoke") {
            true => None,
            false => Some(bao(request)),
        },
        taken,
    );
    assert_eq!(story.questions(), ["plaintext", "finish"]);
    assert!(story.ended_ms < 2_000, "{}", story.ended_ms);
}
