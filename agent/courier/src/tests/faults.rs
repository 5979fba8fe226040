//! What a round does when the service or the way to it fails.

use super::{HttpResult, Story, answer, endpoints, glad, good, order, play, refusal};
use crate::{Ending, HttpAnswer, HttpRequest, TransportFault};
use nitride_protocol::agent::FailureClass;

fn with_service(
    priorities: &[u32],
    service: impl FnMut(&HttpRequest, u64) -> Option<HttpResult>,
) -> Story {
    let order = order(&["a/b/one", "a/b/two"], true, 10_000);
    play(order, &mut endpoints(priorities), service, glad)
}

/// A good service but for requests whose path ends in `at`.
fn but_at(at: &str, result: impl Fn() -> HttpResult) -> Story {
    with_service(&[1], |request, _| {
        Some(match request.path.ends_with(at) {
            true => result(),
            false => good(request),
        })
    })
}

#[test]
fn a_service_that_cannot_be_reached_is_tried_until_the_budget_is_spent() {
    let story = with_service(&[1], |_, _| Some(Err(TransportFault::Unreachable)));
    assert!(story.requests.len() > 5, "{:?}", story.calls());
    let failures = story.failures();
    assert_eq!(failures.len(), 1);
    assert_eq!(failures[0].class, FailureClass::Unreachable);
    assert_eq!(failures[0].resource, None);
    assert_eq!(story.questions(), ["failure", "finish"]);
    assert!((7_000..10_000).contains(&story.ended_ms));
    assert_eq!(story.outcome.unwrap().failed, 2);
}

#[test]
fn a_service_that_never_answers_is_timed_out() {
    let story = with_service(&[1], |_, _| None);
    assert_eq!(story.failures()[0].class, FailureClass::TimedOut);
    assert!(story.ended_ms <= 10_000);
}

#[test]
fn a_service_that_comes_back_within_the_budget_is_used() {
    let story = with_service(&[1], |request, now_ms| {
        Some(match now_ms < 1_002_000 {
            true => Err(TransportFault::Unreachable),
            false => good(request),
        })
    });
    assert_eq!(story.outcome.unwrap().delivered, 2);
    assert!(story.failures().is_empty());
}

#[test]
fn the_next_endpoint_is_asked_at_once_when_one_cannot_be_reached() {
    let story = with_service(&[1, 2], |request, _| {
        Some(match request.endpoint.0 {
            0 => Err(TransportFault::NotTrusted),
            _ => good(request),
        })
    });
    assert_eq!(story.calls()[..3], ["0 auth", "1 auth", "1 attest"]);
    assert!(story.ended_ms < 100);
}

#[test]
fn later_rounds_pass_over_an_endpoint_that_failed() {
    let mut endpoints = endpoints(&[1, 2]);
    let service = |request: &HttpRequest, _| {
        Some(match request.endpoint.0 {
            0 => Err(TransportFault::Unreachable),
            _ => good(request),
        })
    };
    let first = play(order(&[], true, 10_000), &mut endpoints, service, glad);
    let second = play(order(&[], true, 10_000), &mut endpoints, service, glad);
    assert_eq!(first.calls(), ["0 auth", "1 auth", "1 attest"]);
    assert_eq!(second.calls(), ["1 auth", "1 attest"]);
}

#[test]
fn one_challenge_a_round_also_when_the_endpoint_is_lost_after_it() {
    let mut lost = false;
    let story = with_service(&[1, 2], |request, _| {
        let home = request.endpoint.0 == 0;
        lost |= home && request.path.ends_with("one");
        Some(match lost && home {
            true => Err(TransportFault::Unreachable),
            false => good(request),
        })
    });
    assert_eq!(
        story.calls(),
        [
            "0 auth",
            "0 attest",
            "0 resource/a/b/one",
            "1 resource/a/b/one",
            "0 resource/a/b/two",
            "1 resource/a/b/two"
        ]
    );
    let challenges = story
        .questions()
        .iter()
        .filter(|q| **q == "challenge")
        .count();
    assert_eq!(challenges, 1);
    assert_eq!(story.outcome.unwrap().delivered, 2);
}

#[test]
fn another_endpoint_that_does_not_know_the_session_does_not_speak_for_the_service() {
    let mut attempts = 0;
    let story = with_service(&[1, 2], |request, _| {
        if !request.path.ends_with("attest") {
            return Some(good(request));
        }
        Some(match request.endpoint.0 {
            0 => {
                attempts += 1;
                match attempts {
                    1 => Err(TransportFault::Unreachable),
                    _ => good(request),
                }
            }
            _ => Ok(refusal(401, "AttestationError")),
        })
    });
    assert_eq!(
        story.calls()[..4],
        ["0 auth", "0 attest", "1 attest", "0 attest"]
    );
    assert_eq!(story.outcome.unwrap().delivered, 2);
}

#[test]
fn a_verifier_that_refuses_ends_the_round() {
    let story = but_at("attest", || Ok(refusal(401, "AttestationError")));
    assert_eq!(story.calls(), ["0 auth", "0 attest"]);
    assert_eq!(story.failures()[0].class, FailureClass::Refused);
    assert_eq!(story.failures()[0].resource, None);
    assert_eq!(story.questions(), ["challenge", "failure", "finish"]);
    assert_eq!(story.outcome.unwrap().ending, Ending::Finished);
}

#[test]
fn one_resource_that_is_refused_does_not_keep_the_next_back() {
    let story = but_at("one", || Ok(refusal(401, "PolicyDeny")));
    let failures = story.failures();
    assert_eq!(failures.len(), 1);
    assert_eq!(failures[0].class, FailureClass::Refused);
    assert_eq!(failures[0].resource.as_deref(), Some("a/b/one"));
    assert_eq!(
        story.questions(),
        ["challenge", "result", "failure", "resource", "finish"]
    );
    let outcome = story.outcome.unwrap();
    assert_eq!((outcome.delivered, outcome.failed), (1, 1));
}

#[test]
fn a_missing_resource_is_not_found_by_either_spelling() {
    for missing in [
        refusal(404, "ResourceNotFound"),
        refusal(401, "PluginInternalError"),
    ] {
        let story = but_at("two", || Ok(missing.clone()));
        assert_eq!(story.failures()[0].class, FailureClass::NotFound);
        assert_eq!(story.failures()[0].resource.as_deref(), Some("a/b/two"));
    }
}

#[test]
fn a_service_lost_between_resources_fails_the_rest_together() {
    let story = with_service(&[1], |request, _| {
        Some(match request.path.contains("resource") {
            true => Err(TransportFault::Unreachable),
            false => good(request),
        })
    });
    assert_eq!(story.failures().len(), 1);
    assert_eq!(story.failures()[0].resource, None);
    assert_eq!(story.outcome.unwrap().failed, 2);
}

#[test]
fn garbage_is_a_protocol_failure_at_every_step() {
    let garbage: [fn() -> HttpResult; 5] = [
        || Ok(answer(200, "<html>welcome</html>")),
        || Ok(answer(200, "")),
        || Ok(answer(302, "")),
        || Err(TransportFault::TooLarge),
        || Err(TransportFault::NotHttp),
    ];
    for at in ["auth", "attest", "one"] {
        for result in garbage {
            let story = but_at(at, result);
            assert_eq!(story.failures()[0].class, FailureClass::Protocol, "{at}");
            let asked = story.calls().iter().filter(|c| c.ends_with(at)).count();
            assert_eq!(asked, 1, "{at} is not asked again");
        }
    }
}

#[test]
fn an_endpoint_that_talks_nonsense_is_left_for_another() {
    let story = with_service(&[1, 2], |request, _| {
        Some(match request.endpoint.0 {
            0 => Ok(answer(200, "hello")),
            _ => good(request),
        })
    });
    assert_eq!(story.calls()[..3], ["0 auth", "1 auth", "1 attest"]);
    assert_eq!(story.outcome.unwrap().delivered, 2);
}

#[test]
fn a_token_that_could_break_out_of_a_header_is_refused() {
    let story = but_at("attest", || Ok(answer(200, r#"{"token":"a\r\nx: y"}"#)));
    assert_eq!(story.failures()[0].class, FailureClass::Protocol);
}

#[test]
fn a_cookie_that_could_break_out_of_a_header_is_refused() {
    let story = but_at("auth", || {
        Ok(HttpAnswer {
            set_cookies: vec!["a=b\r\nx: y".to_owned()],
            ..answer(200, r#"{"nonce":"n","extra-params":""}"#)
        })
    });
    assert_eq!(story.failures()[0].class, FailureClass::Protocol);
}

#[test]
fn a_busy_service_is_left_alone_for_as_long_as_it_asks() {
    let mut asked_at = Vec::new();
    let story = with_service(&[1], |request, now_ms| {
        asked_at.push(now_ms);
        Some(match asked_at.len() {
            1 => Ok(HttpAnswer {
                retry_after_secs: Some(3),
                ..refusal(429, "Busy")
            }),
            _ => good(request),
        })
    });
    assert_eq!(asked_at[1] - asked_at[0], 3010);
    assert_eq!(story.outcome.unwrap().delivered, 2);
}

#[test]
fn a_service_that_asks_for_more_time_than_the_budget_has_fails_the_round_at_once() {
    let story = with_service(&[1], |_, _| {
        Some(Ok(HttpAnswer {
            retry_after_secs: Some(60),
            ..refusal(503, "Busy")
        }))
    });
    assert_eq!(story.requests.len(), 1);
    assert_eq!(story.failures()[0].retry_after_ms, 60_000);
    assert!(story.ended_ms < 100);
}
