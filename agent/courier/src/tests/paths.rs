//! What a round does when everyone does their part.

use super::{COOKIE, NONCE, PUBKEY, TOKEN, endpoints, glad, good, order, play, sealed};
use crate::{Ending, Method, Outcome, Question, VaultAnswer};
use nitride_kbs::messages::{ErrorInformation, parse_attestation, parse_request};
use nitride_kbs::tee_key::TeeKeyForm;
use nitride_protocol::Status;

#[test]
fn a_round_carries_result_and_resources_in_their_order() {
    let order = order(&["a/b/one", "a/b/two"], true, 10_000);
    let story = play(order, &mut endpoints(&[1]), |r, _| Some(good(r)), glad);
    assert_eq!(
        story.calls(),
        [
            "0 auth",
            "0 attest",
            "0 resource/a/b/one",
            "0 resource/a/b/two"
        ]
    );
    assert_eq!(
        story.questions,
        [
            Question::Challenge {
                nonce: NONCE.to_owned(),
                hash: None,
                tee_keys: vec![],
                wants_audit_head: false
            },
            Question::Result {
                token: TOKEN.to_owned()
            },
            Question::Resource {
                resource: "a/b/one".to_owned(),
                jwe: sealed().into_bytes()
            },
            Question::Resource {
                resource: "a/b/two".to_owned(),
                jwe: sealed().into_bytes()
            },
            Question::Finish,
        ]
    );
    assert_eq!(
        story.outcome,
        Some(Outcome {
            ending: Ending::Finished,
            delivered: 2,
            refused_by_vault: 0,
            failed: 0
        })
    );
    assert_eq!(story.ended_ms, 4 * 10 + 5);
}

#[test]
fn a_gate_round_fetches_nothing() {
    let order = order(&[], true, 10_000);
    let story = play(order, &mut endpoints(&[1]), |r, _| Some(good(r)), glad);
    assert_eq!(story.calls(), ["0 auth", "0 attest"]);
    assert_eq!(story.questions(), ["challenge", "result", "finish"]);
}

#[test]
fn a_result_that_nobody_wants_is_not_delivered() {
    let order = order(&["a/b/c"], false, 10_000);
    let story = play(order, &mut endpoints(&[1]), |r, _| Some(good(r)), glad);
    assert_eq!(story.questions(), ["challenge", "resource", "finish"]);
}

#[test]
fn requests_have_the_protocols_forms() {
    let order = order(&["a/b/c"], false, 10_000);
    let story = play(order, &mut endpoints(&[1]), |r, _| Some(good(r)), glad);
    let [auth, attest, fetch] = &story.requests[..] else {
        panic!("three requests");
    };

    let request = parse_request(&auth.body).unwrap();
    assert_eq!(request.version, "0.4.0");
    assert_eq!(request.tee, "sample");
    assert_eq!(
        auth.headers,
        [("content-type", "application/json".to_owned())]
    );

    let attestation = parse_attestation(&attest.body).unwrap();
    assert!(attestation.init_data.is_none());
    assert_eq!(attestation.runtime_data.nonce, NONCE);
    assert_eq!(attestation.runtime_data.tee_pubkey.to_jwk_json(), PUBKEY);
    let evidence = attestation.tee_evidence.primary_evidence.get();
    assert_eq!(evidence, r#"{"svn":"1","report_data":"AA=="}"#);
    assert!(attest.headers.contains(&("cookie", COOKIE.to_owned())));
    let wanted = ("nitride-resources", "a/b/c".to_owned());
    assert!(attest.headers.contains(&wanted));

    assert_eq!((fetch.method, fetch.body.len()), (Method::Get, 0));
    assert_eq!(
        fetch.headers,
        [
            ("cookie", COOKIE.to_owned()),
            ("authorization", format!("Bearer {TOKEN}"))
        ]
    );
}

#[test]
fn init_data_of_the_vault_reaches_the_service_as_it_was_hashed() {
    let with_init_data = |question: &Question| match glad(question) {
        Some(VaultAnswer::Evidence {
            tee_pubkey,
            primary_evidence,
            additional_evidence,
            ..
        }) => Some(VaultAnswer::Evidence {
            tee_pubkey,
            primary_evidence,
            additional_evidence,
            init_data: Some(r#"{"format":"toml","body":"version = \"0.1.0\"\n"}"#.to_owned()),
            audit_head: None,
        }),
        other => other,
    };
    let order = order(&[], true, 10_000);
    let story = play(
        order,
        &mut endpoints(&[1]),
        |r, _| Some(good(r)),
        with_init_data,
    );
    let attestation = parse_attestation(&story.requests[1].body).unwrap();
    assert_eq!(attestation.init_data.unwrap().body, "version = \"0.1.0\"\n");
}

#[test]
fn a_token_too_long_for_a_header_leaves_it_to_the_session() {
    let long = "e".repeat(20_000);
    let order = order(&["a/b/c"], false, 10_000);
    let story = play(
        order,
        &mut endpoints(&[1]),
        |request, _| match request.path.as_str() {
            "/kbs/v0/attest" => Some(Ok(super::answer(200, format!(r#"{{"token":"{long}"}}"#)))),
            _ => Some(good(request)),
        },
        glad,
    );
    assert_eq!(story.requests[2].headers, [("cookie", COOKIE.to_owned())]);
    assert_eq!(story.outcome.unwrap().delivered, 1);
}

#[test]
fn a_token_too_long_for_a_header_goes_in_a_body_to_a_service_that_takes_it_there() {
    for len in [16_384, 16_385, 100_000] {
        let token = "e".repeat(len);
        let body = format!(r#"{{"token":"{token}"}}"#);
        let story = play(
            order(&["a/b/c"], false, 10_000),
            &mut endpoints(&[1]),
            |request, _| match request.path.as_str() {
                "/kbs/v0/auth" => Some(Ok(super::answer(
                    200,
                    r#"{"nonce":"n","extra-params":{"nitride-token-in-body":true}}"#,
                ))),
                "/kbs/v0/attest" => Some(Ok(super::answer(200, body.as_str()))),
                _ => Some(good(request)),
            },
            glad,
        );
        let fetch = &story.requests[2];
        let in_body = len > 16_384;
        assert_eq!(fetch.method == Method::Post, in_body, "{len}");
        let path = match in_body {
            true => "/kbs/v0/resource-by-token/a/b/c",
            false => "/kbs/v0/resource/a/b/c",
        };
        assert_eq!(fetch.path, path);
        let has_header = fetch
            .headers
            .iter()
            .any(|(name, _)| *name == "authorization");
        assert_eq!(has_header, !in_body);
        assert_eq!(fetch.body, if in_body { body.as_bytes() } else { b"" });
        assert_eq!(story.outcome.unwrap().delivered, 1);
    }
}

#[test]
fn a_service_that_wants_another_version_of_ours_is_asked_in_it_once() {
    let refused = |version: &str| {
        let detail = format!("this service speaks KBS {version}");
        let body = ErrorInformation::new("ProtocolVersion", &detail).to_json();
        Some(Ok(super::answer(400, body)))
    };
    let versions = |wanted: &str| {
        let story = play(
            order(&["a/b/c"], false, 10_000),
            &mut endpoints(&[1]),
            |request, _| match request.path.as_str() {
                "/kbs/v0/auth" if parse_request(&request.body).unwrap().version != wanted => {
                    refused(wanted)
                }
                _ => Some(good(request)),
            },
            glad,
        );
        let asked = story.requests.iter().filter(|r| r.path == "/kbs/v0/auth");
        let asked = asked.map(|request| parse_request(&request.body).unwrap().version);
        (asked.collect::<Vec<_>>(), story.outcome.unwrap().delivered)
    };
    assert_eq!(versions("0.4.0"), (vec!["0.4.0".to_owned()], 1));
    let both = vec!["0.4.0".to_owned(), "0.4.7".to_owned()];
    assert_eq!(versions("0.4.7"), (both, 1));
    // What is not spoken here is not tried.
    assert_eq!(versions("0.5.0"), (vec!["0.4.0".to_owned()], 0));
}

#[test]
fn a_service_that_never_likes_the_version_that_it_named_is_given_up() {
    let story = play(
        order(&["a/b/c"], false, 10_000),
        &mut endpoints(&[1]),
        |_, _| {
            let detail = "this service speaks KBS 0.4.7, and then 0.4.8";
            let body = ErrorInformation::new("ProtocolVersion", detail).to_json();
            Some(Ok(super::answer(400, body)))
        },
        glad,
    );
    assert_eq!(story.requests.len(), 2);
    assert_eq!(story.questions(), ["failure", "finish"]);
}

#[test]
fn a_hash_that_the_service_selects_is_for_the_vault_to_judge() {
    let order = order(&[], true, 10_000);
    let story = play(
        order,
        &mut endpoints(&[1]),
        |request, _| match request.path.as_str() {
            "/kbs/v0/auth" => Some(Ok(super::answer(
                200,
                r#"{"nonce":"n","extra-params":{"selected-hash-algorithm":"sha256"}}"#,
            ))),
            _ => Some(good(request)),
        },
        glad,
    );
    let Question::Challenge { hash, .. } = &story.questions[0] else {
        panic!("a challenge");
    };
    assert_eq!(hash.as_deref(), Some("sha256"));
}

#[test]
fn the_service_s_offer_of_tee_keys_is_carried_and_what_is_none_is_not() {
    for (extra, expected) in [
        (
            r#"{"nitride-tee-keys":["x","nitride-X25519MLKEM768+A256KW","ECDH-ES+A256KW-P256"]}"#,
            &[TeeKeyForm::EcP256, TeeKeyForm::X25519MlKem768][..],
        ),
        (r#"{"nitride-tee-keys":"ECDH-ES+A256KW-P256"}"#, &[]),
        (r#""""#, &[]),
    ] {
        let body = format!(r#"{{"nonce":"n","extra-params":{extra}}}"#);
        let story = play(
            order(&["a/b/one"], false, 10_000),
            &mut endpoints(&[1]),
            |request, _| match request.path.as_str() {
                "/kbs/v0/auth" => Some(Ok(super::answer(200, body.as_str()))),
                _ => Some(good(request)),
            },
            glad,
        );
        let Question::Challenge { tee_keys, .. } = &story.questions[0] else {
            panic!("a challenge");
        };
        assert_eq!(tee_keys, expected);
    }
}

#[test]
fn a_vault_that_gives_no_evidence_ends_the_round_before_the_service_sees_any() {
    let order = order(&["a/b/c"], true, 10_000);
    let story = play(
        order,
        &mut endpoints(&[1]),
        |r, _| Some(good(r)),
        |question| match question {
            Question::Challenge { .. } => Some(VaultAnswer::Refused(Status::EvidenceUnavailable)),
            _ => Some(VaultAnswer::Accepted),
        },
    );
    assert_eq!(story.calls(), ["0 auth"]);
    assert_eq!(story.questions(), ["challenge", "finish"]);
}

#[test]
fn a_delivery_that_the_vault_refuses_does_not_keep_the_rest_back() {
    let order = order(&["a/b/one", "a/b/two"], true, 10_000);
    let story = play(
        order,
        &mut endpoints(&[1]),
        |r, _| Some(good(r)),
        |question| match question {
            Question::Result { .. } => Some(VaultAnswer::Refused(Status::DeniedByVerifier)),
            Question::Resource { resource, .. } if resource.ends_with("one") => {
                Some(VaultAnswer::Refused(Status::ResourceRefused))
            }
            _ => glad(question),
        },
    );
    let outcome = story.outcome.unwrap();
    assert_eq!((outcome.delivered, outcome.refused_by_vault), (1, 2));
}

#[test]
fn a_round_that_the_vault_forgot_ends_at_once() {
    for gone in [Status::RoundNotFound, Status::ShuttingDown] {
        for at in ["challenge", "result", "resource"] {
            let order = order(&["a/b/one", "a/b/two"], true, 10_000);
            let story = play(
                order,
                &mut endpoints(&[1]),
                |r, _| Some(good(r)),
                |question| match question.name() == at {
                    true => Some(VaultAnswer::Refused(gone)),
                    false => glad(question),
                },
            );
            assert_eq!(story.questions().last(), Some(&at));
            assert_eq!(story.outcome.unwrap().ending, Ending::Forgotten);
        }
    }
}
