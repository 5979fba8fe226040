//! What holds whatever happens.

use super::{answer, endpoints, glad, good, order, play, refusal};
use crate::{
    Effect, Ending, Event, HttpAnswer, Order, Question, Round, TransportFault, VaultAnswer,
};
use nitride_protocol::Status;
use proptest::prelude::*;

#[test]
fn a_vault_that_never_answers_ends_the_round_at_its_deadline() {
    for silent_at in ["challenge", "result", "resource", "finish"] {
        let order = order(&["a/b/c"], true, 5000);
        let story = play(
            order,
            &mut endpoints(&[1]),
            |r, _| Some(good(r)),
            |question| match question.name() {
                name if name == silent_at || name == "finish" => None,
                _ => glad(question),
            },
        );
        assert_eq!(story.outcome.unwrap().ending, Ending::OutOfTime);
        assert_eq!(story.ended_ms, 5000);
        assert_eq!(story.questions().last(), Some(&"finish"));
    }
}

#[test]
fn without_a_budget_nothing_is_asked_of_the_service() {
    let order = order(&["a/b/c"], true, 0);
    let story = play(order, &mut endpoints(&[1]), |r, _| Some(good(r)), glad);
    assert!(story.requests.is_empty());
    assert_eq!(story.outcome.unwrap().ending, Ending::OutOfTime);
}

#[test]
fn without_an_endpoint_the_round_fails_at_once() {
    let order = order(&["a/b/c"], true, 5000);
    let story = play(order, &mut endpoints(&[]), |r, _| Some(good(r)), glad);
    assert_eq!(story.questions(), ["failure", "finish"]);
    assert!(story.ended_ms < 10);
}

#[test]
fn an_event_that_answers_nothing_under_way_changes_nothing() {
    let mut endpoints = endpoints(&[1]);
    let (mut round, effect) = Round::begin(order(&[], true, 5000), &mut endpoints, 0, 0);
    assert!(matches!(effect, Effect::Http { until_ms: 2000, .. }));
    let stray = [Event::Vault(VaultAnswer::Accepted), Event::Timer];
    for event in stray {
        assert_eq!(round.step(event, &mut endpoints, 10, 0), None);
    }
    let auth = match effect {
        Effect::Http { request, .. } => good(&request),
        _ => unreachable!(),
    };
    let next = round.step(Event::Http(auth), &mut endpoints, 20, 0);
    assert!(matches!(
        next,
        Some(Effect::AskVault {
            question: Question::Challenge { .. },
            ..
        })
    ));
}

#[test]
fn nothing_that_is_shown_holds_a_credential() {
    let order = order(&["a/b/c"], true, 5000);
    let story = play(order, &mut endpoints(&[1]), |r, _| Some(good(r)), glad);
    let shown = format!("{story:?}");
    for hidden in [super::TOKEN, super::COOKIE, super::NONCE] {
        assert!(!shown.contains(hidden));
    }
    let token = answer(200, super::TOKEN);
    assert!(!format!("{:?}", Event::Http(Ok(token))).contains("eyJ"));
}

fn any_http() -> impl Strategy<Value = Result<HttpAnswer, TransportFault>> {
    let bodies = prop_oneof![
        Just(r#"{"nonce":"n","extra-params":""}"#.as_bytes().to_vec()),
        Just(br#"{"token":"a.b.c"}"#.to_vec()),
        Just(super::sealed().into_bytes()),
        Just(refusal(401, "PolicyDeny").body),
        proptest::collection::vec(any::<u8>(), 0..40),
    ];
    let faults = prop_oneof![
        Just(TransportFault::Unreachable),
        Just(TransportFault::NotTrusted),
        Just(TransportFault::TimedOut),
        Just(TransportFault::TooLarge),
        Just(TransportFault::NotHttp),
    ];
    let answers = (
        prop_oneof![Just(200u16), Just(401), Just(404), Just(503), any::<u16>()],
        proptest::collection::vec("\\PC{0,12}|a=b", 0..2),
        proptest::option::of(prop_oneof![0u32..4, any::<u32>()]),
        bodies,
    )
        .prop_map(|(status, set_cookies, retry_after_secs, body)| HttpAnswer {
            status,
            set_cookies,
            retry_after_secs,
            body,
        });
    prop_oneof![4 => answers.prop_map(Ok), 1 => faults.prop_map(Err)]
}

fn any_event() -> impl Strategy<Value = Event> {
    let evidence = ("\\PC{0,8}|[{]\"a\":1[}]", proptest::option::of("\\PC{0,8}"));
    let vault = prop_oneof![
        Just(VaultAnswer::Accepted),
        (0..26u16).prop_map(|number| {
            VaultAnswer::Refused(Status::from_wire(number).unwrap_or(Status::Internal))
        }),
        Just(
            glad(&Question::Challenge {
                nonce: String::new(),
                hash: None,
                tee_keys: vec![],
                wants_audit_head: false
            })
            .unwrap()
        ),
        evidence.prop_map(|(primary_evidence, init_data)| VaultAnswer::Evidence {
            tee_pubkey: super::PUBKEY.to_owned(),
            primary_evidence,
            additional_evidence: String::new(),
            init_data,
            audit_head: None,
        }),
    ];
    prop_oneof![
        3 => any_http().prop_map(Event::Http),
        3 => vault.prop_map(Event::Vault),
        1 => Just(Event::Timer),
    ]
}

proptest! {
    #[test]
    fn any_sequence_of_events_ends_within_the_budget(
        events in proptest::collection::vec((any_event(), 0u64..400, any::<u64>()), 0..200),
        resources in 0usize..6,
        priorities in proptest::collection::vec(0u32..3, 0..4),
        budget_ms in 0u32..20_000,
        result_wanted: bool,
    ) {
        let paths: Vec<String> = (0..resources).map(|n| format!("a/b/{n}")).collect();
        let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
        let order = Order::new([0; 16], "sample", &paths, result_wanted, budget_ms).unwrap();
        let mut endpoints = endpoints(&priorities);
        let mut now_ms = 5;
        let deadline_ms = now_ms + u64::from(budget_ms);
        let (mut round, mut effect) = Round::begin(order, &mut endpoints, now_ms, 1);
        let mut challenges = 0;
        for (event, later_ms, draw) in events {
            match &effect {
                Effect::Done(_) => break,
                Effect::Http { until_ms, .. }
                | Effect::AskVault { until_ms, .. }
                | Effect::Wait { until_ms } => prop_assert!(*until_ms <= deadline_ms),
            }
            now_ms += later_ms;
            if let Some(next) = round.step(event, &mut endpoints, now_ms, draw) {
                let challenge = matches!(
                    next,
                    Effect::AskVault { question: Question::Challenge { .. }, .. }
                );
                challenges += u32::from(challenge);
                effect = next;
            }
        }
        prop_assert!(challenges <= 1);
        if !matches!(effect, Effect::Done(_)) {
            let ended = round.step(Event::Timer, &mut endpoints, now_ms.max(deadline_ms), 0);
            prop_assert!(matches!(ended, Some(Effect::Done(_))), "{ended:?}");
        }
        prop_assert_eq!(round.step(Event::Timer, &mut endpoints, u64::MAX, 0), None);
    }
}
