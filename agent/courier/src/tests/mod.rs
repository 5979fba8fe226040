//! Whole rounds on a virtual clock, against a service and a vault that are closures.

mod bounds;
#[cfg(feature = "openbao")]
mod direct;
mod faults;
mod paths;

use crate::{
    Backoff, Effect, Endpoints, Event, HttpAnswer, HttpRequest, Order, Outcome, Question, Round,
    TransportFault, VaultAnswer,
};
use nitride_kbs::{jwe, messages};

pub(crate) const NONCE: &str = "Le+ufDeHlV73E/wKRnP77EnZS10c+oXMASUFxR6BOmQ=";
pub(crate) const TOKEN: &str = "eyJhbGciOiJFUzI1NiJ9.e30.c2ln";
pub(crate) const COOKIE: &str = "kbs-session-id=00112233445566778899aabbccddeeff";
pub(crate) const PUBKEY: &str = r#"{"alg":"ECDH-ES+A256KW","crv":"P-256","kty":"EC","x":"4NUXj5NxFdcPEdqNbrW_fYWQnRbQgrqkiXdFLOWxYFQ","y":"udSzbwTP71PNZiVSXswOcNZKa3BvMDkparTVQ0QG-Zo"}"#;

pub(crate) type HttpResult = Result<HttpAnswer, TransportFault>;

/// What one round did, and when.
#[derive(Debug, Default)]
pub(crate) struct Story {
    pub(crate) requests: Vec<HttpRequest>,
    pub(crate) questions: Vec<Question>,
    pub(crate) ended_ms: u64,
    pub(crate) outcome: Option<Outcome>,
}

impl Story {
    /// Who was asked for what, such as `1 /kbs/v0/auth`.
    pub(crate) fn calls(&self) -> Vec<String> {
        let call = |request: &HttpRequest| {
            let path = request.path.trim_start_matches("/kbs/v0/");
            format!("{} {path}", request.endpoint.0)
        };
        self.requests.iter().map(call).collect()
    }

    pub(crate) fn questions(&self) -> Vec<&'static str> {
        self.questions.iter().map(Question::name).collect()
    }

    pub(crate) fn failures(&self) -> Vec<&crate::Failure> {
        let mut failures = Vec::new();
        for question in &self.questions {
            if let Question::Failure(failure) = question {
                failures.push(failure);
            }
        }
        failures
    }
}

/// Plays a round to its end. The service answers in 10 ms, or not at all (`None`).
pub(crate) fn play(
    order: Order,
    endpoints: &mut Endpoints,
    service: impl FnMut(&HttpRequest, u64) -> Option<HttpResult>,
    vault: impl FnMut(&Question) -> Option<VaultAnswer>,
) -> Story {
    let begin = |endpoints: &mut Endpoints, now_ms| Round::begin(order, endpoints, now_ms, 0);
    play_from(begin, endpoints, service, vault)
}

/// The same of a round that begins in another way.
pub(crate) fn play_from(
    begin: impl FnOnce(&mut Endpoints, u64) -> (Round, Effect),
    endpoints: &mut Endpoints,
    mut service: impl FnMut(&HttpRequest, u64) -> Option<HttpResult>,
    mut vault: impl FnMut(&Question) -> Option<VaultAnswer>,
) -> Story {
    let mut story = Story::default();
    let mut now_ms = 1_000_000;
    let (mut round, mut effect) = begin(endpoints, now_ms);
    for draw in 1.. {
        assert!(draw < 10_000, "the round does not end");
        let (event, at_ms) = match effect {
            Effect::Http { request, until_ms } => {
                let answer = service(&request, now_ms);
                story.requests.push(request);
                match answer {
                    Some(result) => (Event::Http(result), now_ms + 10),
                    None => (Event::Timer, until_ms),
                }
            }
            Effect::AskVault { question, until_ms } => {
                let answer = vault(&question);
                story.questions.push(question);
                match answer {
                    Some(answer) => (Event::Vault(answer), now_ms + 1),
                    None => (Event::Timer, until_ms),
                }
            }
            Effect::Wait { until_ms } => (Event::Timer, until_ms),
            Effect::Done(outcome) => {
                story.ended_ms = now_ms - 1_000_000;
                story.outcome = Some(outcome);
                break;
            }
        };
        now_ms = at_ms;
        effect = round
            .step(event, endpoints, now_ms, draw)
            .expect("each event answers the effect under way");
    }
    story
}

pub(crate) fn order(resources: &[&str], result_wanted: bool, budget_ms: u32) -> Order {
    Order::new([7; 16], "sample", resources, result_wanted, budget_ms).unwrap()
}

pub(crate) fn endpoints(priorities: &[u32]) -> Endpoints {
    let backoff = Backoff {
        first_ms: 100,
        max_ms: 1000,
    };
    Endpoints::new(priorities, backoff, 2000)
}

pub(crate) fn answer(status: u16, body: impl Into<Vec<u8>>) -> HttpAnswer {
    HttpAnswer {
        status,
        body: body.into(),
        ..HttpAnswer::default()
    }
}

/// A refusal with one of the protocol's error types.
pub(crate) fn refusal(status: u16, variant: &str) -> HttpAnswer {
    answer(
        status,
        messages::ErrorInformation::new(variant, "because").to_json(),
    )
}

/// A service that gives whatever is asked for.
pub(crate) fn good(request: &HttpRequest) -> HttpResult {
    Ok(match request.path.as_str() {
        "/kbs/v0/auth" => HttpAnswer {
            set_cookies: vec![format!("{COOKIE}; Expires=Thu, 01 Jan 2026 00:00:00 GMT")],
            ..answer(200, format!(r#"{{"nonce":"{NONCE}","extra-params":""}}"#))
        },
        "/kbs/v0/attest" => answer(200, format!(r#"{{"token":"{TOKEN}"}}"#)),
        _ => answer(200, sealed()),
    })
}

pub(crate) fn sealed() -> String {
    let protected = jwe::protected_header(&jwe::Header::EcP256 { epk: [4; 65] });
    jwe::to_json(&protected, &[1; 40], &[2; 12], b"sealed", &[3; 16])
}

/// A vault that takes whatever it is given.
pub(crate) fn glad(question: &Question) -> Option<VaultAnswer> {
    Some(match question {
        Question::Challenge { .. } => VaultAnswer::Evidence {
            tee_pubkey: PUBKEY.to_owned(),
            primary_evidence: r#"{"svn":"1","report_data":"AA=="}"#.to_owned(),
            additional_evidence: String::new(),
            init_data: None,
            audit_head: None,
        },
        _ => VaultAnswer::Accepted,
    })
}
