use super::*;
use crate::audit::entry::Event;
use serde_json::Value;

/// One hook of these topics, without anybody who empties it.
fn webhooks(topics: &[Topic]) -> Webhooks {
    Webhooks {
        hooks: vec![Hook {
            name: "of the test".to_owned(),
            topics: topics.iter().copied().collect(),
            queue: Arc::new(Queue::default()),
        }],
        service: "https://provision.example".to_owned(),
        process: "00".to_owned(),
        told: AtomicU64::new(0),
    }
}

fn event(kind: Kind, outcome: &str) -> Event<'_> {
    Event {
        what: "a/b/c".into(),
        outcome: outcome.into(),
        ..Event::own(kind, "because")
    }
}

fn waiting(webhooks: &Webhooks) -> usize {
    webhooks.figures().map(|(_, figures)| figures.waiting).sum()
}

#[test]
fn each_event_is_of_one_topic_or_of_none() {
    for (kind, outcome, topic) in [
        (Kind::Release, "ok", Some(Topic::Release)),
        (Kind::Attest, "affirming", None),
        (Kind::Attest, "warning", Some(Topic::AttestationFailure)),
        (
            Kind::Attest,
            "contraindicated",
            Some(Topic::AttestationFailure),
        ),
        (
            Kind::Refusal,
            "AttestationError",
            Some(Topic::AttestationFailure),
        ),
        (Kind::Refusal, "PolicyDeny", Some(Topic::Denial)),
        (Kind::Refusal, "AdminAuthError", Some(Topic::Denial)),
        (Kind::Refusal, "InvalidRequest", None),
        (Kind::Refusal, "TooManyRequests", None),
        (Kind::Admin, "asked", None),
        (Kind::Admin, "ok", Some(Topic::Admin)),
        (Kind::Revocation, "revoked", Some(Topic::Revocation)),
        (Kind::Reload, "refused", Some(Topic::Reload)),
        (Kind::Witness, "ok", None),
        (Kind::Witness, "withheld", None),
        (Kind::Witness, "forked", Some(Topic::WitnessFork)),
        (Kind::Witness, "went-back", Some(Topic::WitnessFork)),
        (Kind::Start, "ok", None),
    ] {
        assert_eq!(
            Topic::of(&event(kind, outcome)),
            topic,
            "{kind:?} {outcome}"
        );
    }
}

#[test]
fn only_what_was_chosen_is_queued() {
    let webhooks = webhooks(&[Topic::Denial]);
    webhooks.tell(&event(Kind::Release, "ok"), 1);
    assert_eq!(waiting(&webhooks), 0);
    webhooks.tell(&event(Kind::Refusal, "PolicyDeny"), 1);
    assert_eq!(waiting(&webhooks), 1);
}

#[test]
fn a_notice_has_what_an_entry_has_and_a_name_of_its_own() {
    let webhooks = webhooks(&Topic::ALL);
    for number in 0..2 {
        let long = Event {
            reason: "\u{1f980}\n".repeat(9999).into(),
            ..event(Kind::Release, "ok")
        };
        webhooks.tell(&long, 7);
        let notice = webhooks.hooks[0].queue.first().unwrap();
        assert_eq!(notice.id.as_ref(), format!("00-{number}"));
        let body: Value = serde_json::from_slice(&notice.body).unwrap();
        assert_eq!(body["type"], "release");
        assert_eq!(body["timestamp"], 7);
        assert_eq!(body["service"], "https://provision.example");
        assert_eq!(body["data"]["what"], "a/b/c");
        let reason = body["data"]["reason"].as_str().unwrap();
        assert!(reason.len() <= 512 && reason.bytes().all(|byte| byte == b'?'));
        webhooks.hooks[0].queue.take_off(true);
    }
}
