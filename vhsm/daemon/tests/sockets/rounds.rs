//! The agent's channel, with an agent and an evidence helper played by the test.

use crate::world::{Client, Vhsmd, read, sign};
use nitride_ipc::Listener;
use nitride_protocol::agent::{
    Challenge, Evidence, Failure, FailureClass, Finish, NextRound, Resource, RoundCause, RoundOrder,
};
use nitride_protocol::quote::{EvidenceReply, EvidenceRequest};
use nitride_protocol::{Message, Status, open_request, write_reply};
use std::thread;
use std::time::{Duration, Instant};

const POLICY: &str = r#"
[[rule]]
name = "tests"
keys = ["app/**"]
peers = [{ uid = UID }]
operations = ["sign", "random", "list"]

[[key]]
name = "app/remote"
type = "ec-p256"
source = "kbs:///default/key/remote"
service = "main"
unsigned = "accept"
operations = ["sign"]
"#;

const AGENT: &str = "[agent]\nuid = UID\n";

/// A request that waits on a connection of its own.
fn waiting(vhsmd: &Vhsmd) -> Client {
    let mut client = vhsmd.greeted("vhsm.sock", 20_000);
    client.send(&sign("app/remote"));
    client
}

/// The order that the agent has asked for with `id`.
fn order(agent: &Client, id: u32) -> [u8; 16] {
    let (answered, status, packet) = agent.receive();
    assert_eq!((answered, status), (id, Status::Ok));
    let order: RoundOrder<'_> = read(&packet);
    assert_eq!((order.service, order.tee), ("main", "sample"));
    assert_eq!(order.resources, ["default/key/remote"]);
    assert!(!order.result_wanted);
    // An agent of before would not understand it.
    assert_eq!(order.cause, None);
    order.round
}

#[test]
fn an_agent_that_asks_why_there_is_a_round_is_told() {
    let vhsmd = Vhsmd::start(POLICY, AGENT);
    let mut agent = vhsmd.greeted("agent.sock", 0);
    agent.send(&NextRound {
        also_cause: true,
        takes_plaintext: true,
    });
    let _waits = waiting(&vhsmd);
    let (_, _, packet) = agent.receive();
    let order: RoundOrder<'_> = read(&packet);
    assert_eq!(order.cause, Some(RoundCause::Request));
    assert!(!order.plaintext);
}

#[test]
fn an_agent_that_does_not_read_is_not_told_to_and_no_round_in_the_clear_has_a_challenge() {
    let words = "plaintext-courier = true\n";
    let policy = POLICY.replace("unsigned", &format!("{words}unsigned"));
    let tables = format!("{words}{AGENT}");
    for takes_plaintext in [false, true] {
        let vhsmd = Vhsmd::start(&policy, &tables);
        let mut agent = vhsmd.greeted("agent.sock", 0);
        agent.send(&NextRound {
            takes_plaintext,
            ..NextRound::default()
        });
        let _waits = waiting(&vhsmd);
        let (_, _, packet) = agent.receive();
        let order: RoundOrder<'_> = read(&packet);
        assert_eq!((order.cause, order.plaintext), (None, takes_plaintext));
        let challenge = Challenge {
            round: order.round,
            nonce: "bm9uY2U=",
            hash: None,
            tee_keys: vec![],
            wants_audit_head: false,
        };
        assert_eq!(agent.call(&challenge), Err(Status::Denied));
    }
}

#[test]
fn nobody_is_the_agent_unless_the_configuration_says_who() {
    for tables in [
        "",
        "[agent]\nuid = 4294967294\n",
        "[agent]\nuid = UID\nunit = \"a.service\"\n",
    ] {
        let vhsmd = Vhsmd::start(POLICY, tables);
        let agent = vhsmd.connect("agent.sock");
        assert_eq!(agent.connection.next_len().unwrap(), None);
        assert!(vhsmd.log().contains("agent refused"));
    }
}

#[test]
fn second_agent_is_refused_while_the_first_lives() {
    let vhsmd = Vhsmd::start(POLICY, AGENT);
    let first = vhsmd.greeted("agent.sock", 0);
    let second = vhsmd.connect("agent.sock");
    assert_eq!(second.connection.next_len().unwrap(), None);
    drop(first);
    // The first is gone once vhsmd has seen that; a later one is taken.
    let deadline = Instant::now() + Duration::from_secs(5);
    while vhsmd.connect("agent.sock").hello_if_open().is_none() {
        assert!(Instant::now() < deadline);
        thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn agent_that_comes_back_at_once_is_taken() {
    let vhsmd = Vhsmd::start(POLICY, AGENT);
    for _ in 0..200 {
        drop(vhsmd.greeted("agent.sock", 0));
    }
}

#[test]
fn many_who_wait_for_one_key_cause_one_round() {
    let vhsmd = Vhsmd::start(POLICY, AGENT);
    let mut agent = vhsmd.greeted("agent.sock", 0);
    let asked = agent.send(&NextRound::default());
    let mut client = vhsmd.greeted("vhsm.sock", 20_000);
    let ids: Vec<u32> = (0..100).map(|_| client.send(&sign("app/remote"))).collect();
    let round = order(&agent, asked);
    agent
        .call(&Failure {
            round,
            resource: None,
            class: FailureClass::Refused,
            reason: "policy",
            retry_after_ms: 0,
        })
        .unwrap();
    // All of them wait before it ends.
    client
        .call(&nitride_protocol::application::Random { len: 1 })
        .unwrap();
    agent.send(&NextRound::default());
    agent.send(&Finish { round });
    assert_eq!(agent.receive().1, Status::Ok);
    let mut answered: Vec<u32> = ids
        .iter()
        .map(|_| {
            let (id, status, _) = client.receive();
            assert_eq!(status, Status::DeniedByVerifier);
            id
        })
        .collect();
    answered.sort_unstable();
    assert_eq!(answered, ids);
    // The next-round that is asked for since then has nothing to bring.
    let limit = Some(Duration::from_millis(300));
    agent.connection.set_read_timeout(limit).unwrap();
    assert!(agent.connection.next_len().is_err());
    assert_eq!(vhsmd.log().matches("round ordered").count(), 1);
}

#[test]
fn who_waited_before_the_agent_came_is_served_by_it() {
    let vhsmd = Vhsmd::start(POLICY, AGENT);
    let _waits = waiting(&vhsmd);
    thread::sleep(Duration::from_millis(50));
    let mut agent = vhsmd.greeted("agent.sock", 0);
    let asked = agent.send(&NextRound::default());
    order(&agent, asked);
}

#[test]
fn agent_that_goes_leaves_agent_absent_behind() {
    let vhsmd = Vhsmd::start(POLICY, AGENT);
    let mut agent = vhsmd.greeted("agent.sock", 0);
    let asked = agent.send(&NextRound::default());
    let client = waiting(&vhsmd);
    order(&agent, asked);
    drop(agent);
    assert_eq!(client.receive().1, Status::AgentAbsent);
}

#[test]
fn agent_says_hello_and_asks_for_one_round_at_a_time() {
    let vhsmd = Vhsmd::start(POLICY, AGENT);
    let mut agent = vhsmd.connect("agent.sock");
    assert_eq!(
        agent.call(&NextRound::default()),
        Err(Status::UnsupportedVersion)
    );
    agent.hello(0).unwrap();
    agent.send(&NextRound::default());
    assert_eq!(
        agent.call(&NextRound::default()),
        Err(Status::QuotaExceeded)
    );
    let unknown = Finish { round: [0; 16] };
    assert_eq!(agent.call(&unknown), Err(Status::RoundNotFound));
    let resource = Resource {
        round: [0; 16],
        resource: "a/b/c",
        jwe: b"{}",
    };
    assert_eq!(agent.call(&resource), Err(Status::RoundNotFound));
    // [1, 99, []] and [1, 2, 0].
    assert_eq!(
        agent.receive_after(&[0x83, 0x01, 0x18, 0x63, 0x80]).1,
        Status::UnknownOperation
    );
    assert_eq!(
        agent.receive_after(&[0x83, 0x01, 0x02, 0x00]).1,
        Status::Malformed
    );
}

#[test]
fn challenge_is_answered_with_evidence_over_what_the_vault_chose_once() {
    let vhsmd = Vhsmd::start(POLICY, AGENT);
    let quote = Listener::bind(&vhsmd.path("quote.sock"), 0o600).unwrap();
    let helper = thread::spawn(move || {
        let connection = quote.accept().unwrap();
        let mut packet = vec![0; 4096];
        let len = connection.recv(&mut packet).unwrap().unwrap();
        let (head, params) = open_request(&packet[..len]).unwrap();
        let request = EvidenceRequest::decode_last(params).unwrap();
        let report_data = request.report_data.to_vec();
        let made = EvidenceReply {
            tee: "sample",
            primary_evidence: "{\"svn\":\"1\"}",
            additional_evidence: "",
        };
        let mut reply = vec![0; 4096];
        let len = write_reply(&mut reply, head.id, Status::Ok, &made).unwrap();
        connection.send(&reply[..len]).unwrap();
        report_data
    });
    let mut agent = vhsmd.greeted("agent.sock", 0);
    let asked = agent.send(&NextRound::default());
    let _waits = waiting(&vhsmd);
    let round = order(&agent, asked);
    let challenge = |hash| Challenge {
        round,
        nonce: "bm9uY2U",
        hash,
        tee_keys: vec![],
        wants_audit_head: false,
    };
    assert_eq!(
        agent.call(&challenge(Some("sha512"))),
        Err(Status::EvidenceUnavailable)
    );
    let packet = agent.call(&challenge(Some("sha384"))).unwrap();
    let evidence: Evidence<'_> = read(&packet);
    assert_eq!(evidence.primary_evidence, "{\"svn\":\"1\"}");
    assert!(evidence.tee_pubkey.contains("\"crv\":\"P-256\""));
    assert!(helper.join().unwrap().iter().any(|byte| *byte != 0));
    assert_eq!(agent.call(&challenge(None)), Err(Status::Denied));
}

#[test]
fn missing_evidence_is_told_to_agent_and_to_who_waits() {
    let vhsmd = Vhsmd::start(POLICY, AGENT);
    let mut agent = vhsmd.greeted("agent.sock", 0);
    let asked = agent.send(&NextRound::default());
    let client = waiting(&vhsmd);
    let round = order(&agent, asked);
    let challenge = Challenge {
        round,
        nonce: "bm9uY2U",
        hash: None,
        tee_keys: vec![],
        wants_audit_head: false,
    };
    assert_eq!(agent.call(&challenge), Err(Status::EvidenceUnavailable));
    assert_eq!(client.receive().1, Status::EvidenceUnavailable);
    assert!(vhsmd.log().contains("nitride-quote cannot be reached"));
}

#[test]
fn evidence_whose_parts_fit_and_whose_whole_does_not_fails_its_round_by_name() {
    const PART_LEN: usize = 120_000;
    // Its devices are asked for in a packet of their own.
    let vhsmd = Vhsmd::start_by(POLICY, AGENT, |dir| {
        let path = dir.join("vhsmd.toml");
        let text = std::fs::read_to_string(&path).unwrap();
        let with_devices =
            text.replace("tee = \"sample\"", "tee = \"sample\"\ndevices = \"nvidia\"");
        std::fs::write(&path, with_devices).unwrap();
        std::process::Command::new(crate::world::BINARY)
    });
    let quote = Listener::bind(&vhsmd.path("quote.sock"), 0o600).unwrap();
    let helper = thread::spawn(move || {
        for _ in 0..2 {
            let connection = quote.accept().unwrap();
            let mut packet = vec![0; 4096];
            let len = connection.recv(&mut packet).unwrap().unwrap();
            let (head, params) = open_request(&packet[..len]).unwrap();
            let tee = EvidenceRequest::decode_last(params).unwrap().tee;
            let long = "a".repeat(PART_LEN);
            let (primary_evidence, additional_evidence) = match tee {
                "nvidia" => ("", long.as_str()),
                _ => (long.as_str(), ""),
            };
            let made = EvidenceReply {
                tee,
                primary_evidence,
                additional_evidence,
            };
            let mut reply = vec![0; PART_LEN + 4096];
            let len = write_reply(&mut reply, head.id, Status::Ok, &made).unwrap();
            connection.send(&reply[..len]).unwrap();
        }
    });
    let mut agent = vhsmd.greeted("agent.sock", 0);
    let asked = agent.send(&NextRound::default());
    let client = waiting(&vhsmd);
    let round = order(&agent, asked);
    let challenge = Challenge {
        round,
        nonce: "bm9uY2U",
        hash: None,
        tee_keys: vec![],
        wants_audit_head: false,
    };
    assert_eq!(agent.call(&challenge), Err(Status::EvidenceUnavailable));
    assert_eq!(client.receive().1, Status::EvidenceUnavailable);
    helper.join().unwrap();
    let log = vhsmd.log();
    assert!(
        log.contains("evidence of 120000 bytes, 120000 of devices"),
        "{log}"
    );
}
