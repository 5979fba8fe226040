use super::{against, options};
use crate::{AgentConnection, ClientError, PlaintextResource};
use nitride_protocol::agent as wire;
use nitride_protocol::agent::{AgentOperation, FailureClass};
use nitride_protocol::{Empty, Message, Status, open_request};
use std::time::Duration;

const ROUND: [u8; 16] = [9; 16];

#[tokio::test]
async fn an_order_can_be_outstanding_while_a_round_runs() {
    let (connection, peer) = against(|mut peer| {
        peer.welcome();
        let (held, packet) = peer.next();
        assert_eq!(held.operation, AgentOperation::NextRound.to_wire());
        // It has not said that it takes more.
        let (_, params) = open_request(&packet).unwrap();
        let asked = wire::NextRound::decode_last(params).unwrap();
        assert_eq!(asked, wire::NextRound::default());
        let (challenge, packet) = peer.next();
        let (_, params) = open_request(&packet).unwrap();
        assert_eq!(wire::Challenge::decode_last(params).unwrap().nonce, "nonce");
        let evidence = wire::Evidence {
            tee_pubkey: "{}",
            primary_evidence: "{\"svn\":\"1\"}",
            additional_evidence: "",
            init_data: None,
            audit_head: None,
        };
        peer.reply(challenge.id, &evidence);
        for expected in [
            AgentOperation::Result,
            AgentOperation::Resource,
            AgentOperation::Plaintext,
            AgentOperation::Finish,
        ] {
            let (head, _) = peer.next();
            assert_eq!(head.operation, expected.to_wire());
            peer.reply(head.id, &Empty);
        }
        let order = wire::RoundOrder {
            round: ROUND,
            service: "main",
            tee: "sample",
            resources: vec!["a/b/c"],
            result_wanted: true,
            budget_ms: 1000,
            // Nor does it say more.
            cause: None,
            plaintext: false,
        };
        peer.reply(held.id, &order);
    });
    let agent = AgentConnection::over(connection, options()).await.unwrap();
    let next = agent.next_round();
    tokio::pin!(next);
    let round = async {
        // Lets the order be asked for first.
        tokio::time::sleep(Duration::from_millis(20)).await;
        let evidence = agent
            .challenge(ROUND, "nonce", None, &["form"], true)
            .await
            .unwrap();
        assert_eq!(evidence.primary_evidence, "{\"svn\":\"1\"}");
        agent.result(ROUND, "a.b.c").await.unwrap();
        agent.resource(ROUND, "a/b/c", b"{}").await.unwrap();
        let read = PlaintextResource {
            version: 1,
            lease_secs: None,
            material: b"bytes",
        };
        agent.plaintext(ROUND, "a/b/c", read).await.unwrap();
        agent.finish(ROUND).await.unwrap();
    };
    let (order, ()) = tokio::join!(&mut next, round);
    let order = order.unwrap();
    assert_eq!((order.round, order.result_wanted), (ROUND, true));
    assert_eq!(order.resources, ["a/b/c"]);
    assert_eq!(order.cause, None);
    peer.join().unwrap();
}

#[tokio::test]
async fn vhsmd_is_asked_for_what_it_says_that_it_has() {
    let (connection, peer) = against(|mut peer| {
        let (hello, _) = peer.next();
        let features = vec![
            wire::TEE_KEYS_FEATURE,
            wire::AUDIT_HEAD_FEATURE,
            wire::ROUND_CAUSE_FEATURE,
            wire::PLAINTEXT_FEATURE,
        ];
        let welcome = wire::Welcome {
            features,
            ..super::welcome()
        };
        peer.reply(hello.id, &welcome);
        let (next, packet) = peer.next();
        let (_, params) = open_request(&packet).unwrap();
        let asked = wire::NextRound::decode_last(params).unwrap();
        assert!(asked.also_cause && asked.takes_plaintext);
        let order = wire::RoundOrder {
            round: ROUND,
            service: "main",
            tee: "sample",
            resources: vec![],
            result_wanted: true,
            budget_ms: 1000,
            cause: Some(wire::RoundCause::Renewal),
            plaintext: true,
        };
        peer.reply(next.id, &order);
        let (challenge, packet) = peer.next();
        let (_, params) = open_request(&packet).unwrap();
        let asked = wire::Challenge::decode_last(params).unwrap();
        assert_eq!(
            (asked.tee_keys, asked.wants_audit_head),
            (vec!["form"], true)
        );
        peer.refuse(challenge.id, Status::EvidenceUnavailable);
    });
    let agent = AgentConnection::over(connection, options()).await.unwrap();
    let order = agent.next_round().await.unwrap();
    assert_eq!(order.cause, Some(wire::RoundCause::Renewal));
    assert!(order.plaintext);
    let refused = agent.challenge(ROUND, "nonce", None, &["form"], true).await;
    let status = refused.unwrap_err().status();
    assert_eq!(status, Some(Status::EvidenceUnavailable));
    peer.join().unwrap();
}

#[tokio::test]
async fn waiting_for_an_order_has_no_deadline_and_ends_with_the_peer() {
    let (connection, peer) = against(|mut peer| {
        peer.welcome();
        peer.next();
        std::thread::sleep(Duration::from_millis(200));
    });
    let hasty = super::hasty();
    let agent = AgentConnection::over(connection, hasty).await.unwrap();
    let error = agent.next_round().await.unwrap_err();
    assert!(matches!(
        error,
        ClientError::Closed {
            operation: "next-round"
        }
    ));
    peer.join().unwrap();
}

#[tokio::test]
async fn a_reason_from_anywhere_becomes_a_line_the_protocol_takes() {
    let (connection, peer) = against(|mut peer| {
        peer.welcome();
        let (head, packet) = peer.next();
        let (_, params) = open_request(&packet).unwrap();
        let failure = wire::Failure::decode_last(params).unwrap();
        assert!(failure.reason.starts_with("403  no: ä"));
        assert!(failure.reason.len() > 500 && failure.reason.len() <= 512);
        assert_eq!(failure.retry_after_ms, 2000);
        assert_eq!(failure.class, FailureClass::Refused);
        peer.refuse(head.id, Status::RoundNotFound);
    });
    let agent = AgentConnection::over(connection, options()).await.unwrap();
    let reason = format!("403\r\nno: {}", "ä".repeat(600));
    let error = agent
        .failure(
            ROUND,
            None,
            FailureClass::Refused,
            &reason,
            Duration::from_secs(2),
        )
        .await
        .unwrap_err();
    assert_eq!(error.status(), Some(Status::RoundNotFound));
    peer.join().unwrap();
}
