//! The real binary between a vault and a service that are stand-ins.
#![forbid(unsafe_code)]
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests fail as tests do"
)]

mod stand_ins;
mod status;

use nitride_protocol::Status;
use nitride_protocol::agent::{AgentOperation, FailureClass};
use nix::sys::signal::Signal;
use stand_ins::{Agent, Asked, Kbs, TOKEN, Vault, sealed};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;
use std::time::Instant;
use tokio_seqpacket::UnixSeqpacketListener;

/// A port of loopback where nobody listens.
async fn nobody() -> SocketAddr {
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
    listener.unwrap().local_addr().unwrap()
}

async fn started(endpoints: &[SocketAddr]) -> (Agent, Vault, UnixSeqpacketListener) {
    let (folder, mut listener) = Agent::prepare();
    let config = Agent::configure(folder.path(), endpoints);
    let mut agent = Agent::start(folder, &config);
    agent.told("READY=1");
    let vault = Vault::accept(&mut listener).await;
    (agent, vault, listener)
}

#[tokio::test]
async fn a_round_is_carried_and_nothing_of_it_stands_in_the_log() {
    let kbs = Kbs::start().await;
    let (mut agent, mut vault, _listener) = started(&[kbs.address]).await;
    let id = vault.wanted().await;
    vault
        .order(id, 1, "main", &["a/b/one", "a/b/missing"])
        .await;
    let story = vault.until_finish().await;
    assert_eq!(
        story,
        [
            Asked::Challenge("n0nce".to_owned()),
            Asked::Result(TOKEN.to_owned()),
            Asked::Resource("a/b/one".to_owned(), sealed().into_bytes()),
            Asked::Failure(
                Some("a/b/missing".to_owned()),
                FailureClass::NotFound,
                "resource: HTTP 404".to_owned()
            ),
            Asked::Finish([1; 16]),
        ]
    );
    agent.told("resources 1 delivered, 1 failed; PLAIN HTTP");
    let heads = kbs.heads.lock().unwrap().clone();
    assert_eq!(heads.len(), 4);
    assert!(heads[2].contains("cookie: kbs-session-id=hidden-cookie"));
    assert!(heads[2].contains(&format!("authorization: Bearer {TOKEN}")));
    let log = agent.log();
    assert!(log.contains("round ended"), "{log}");
    for hidden in ["eyJ", "hidden-cookie", "n0nce", "svn"] {
        assert!(!log.contains(hidden), "{hidden} is in {log}");
    }
}

#[tokio::test]
async fn rounds_run_beside_each_other_up_to_the_limit() {
    let kbs = Kbs::start().await;
    let (_agent, mut vault, _listener) = started(&[kbs.address]).await;
    let id = vault.wanted().await;
    vault.order(id, 1, "main", &[]).await;
    let mut wants = 0u8;
    let mut finished = Vec::new();
    // The agent asks for the second order while the first round runs, and not for a third before
    // one of them has ended.
    while finished.len() < 3 {
        match vault.asked().await.unwrap() {
            Asked::NextRound(id) => {
                wants += 1;
                assert!(usize::from(wants) <= finished.len() + 1);
                if wants < 3 {
                    vault.order(id, 1 + wants, "main", &[]).await;
                }
            }
            Asked::Finish(round) => finished.push(round[0]),
            _ => {}
        }
    }
    finished.sort_unstable();
    assert_eq!(finished, [1, 2, 3]);
}

#[tokio::test]
async fn the_next_endpoint_serves_when_the_first_is_down() {
    let kbs = Kbs::start().await;
    let (_agent, mut vault, _listener) = started(&[nobody().await, kbs.address]).await;
    let id = vault.wanted().await;
    vault.order(id, 1, "main", &["a/b/c"]).await;
    let story = vault.until_finish().await;
    assert!(matches!(&story[2], Asked::Resource(..)), "{story:?}");
}

#[tokio::test]
async fn a_service_that_is_down_fails_the_round_within_its_budget() {
    let (_agent, mut vault, _listener) = started(&[nobody().await]).await;
    let id = vault.wanted().await;
    let began = Instant::now();
    vault.order(id, 1, "main", &["a/b/c"]).await;
    let story = vault.until_finish().await;
    let Asked::Failure(None, FailureClass::Unreachable, _) = &story[0] else {
        panic!("{story:?}");
    };
    assert!(began.elapsed().as_secs() < 6, "the budget is three seconds");
}

#[tokio::test]
async fn an_unknown_service_is_declined_at_once() {
    let (_agent, mut vault, _listener) = started(&[nobody().await]).await;
    let id = vault.wanted().await;
    vault.order(id, 4, "other", &["a/b/c"]).await;
    let story = vault.until_finish().await;
    let Asked::Failure(None, FailureClass::Unreachable, reason) = &story[0] else {
        panic!("{story:?}");
    };
    assert!(reason.contains("no such service"), "{reason}");
}

#[tokio::test]
async fn a_refusal_of_the_vault_ends_the_round_before_the_service_hears_more() {
    let kbs = Kbs::start().await;
    let (_agent, mut vault, _listener) = started(&[kbs.address]).await;
    let id = vault.wanted().await;
    vault.order(id, 1, "main", &["a/b/c"]).await;
    let mut refused = vault.refuse(Status::RoundNotFound).await;
    while refused == AgentOperation::NextRound {
        refused = vault.refuse(Status::RoundNotFound).await;
    }
    assert_eq!(refused, AgentOperation::Challenge);
    // The next order is taken, so the round is over; of the first the service saw one request.
    assert_eq!(kbs.heads.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn the_agent_comes_back_when_vhsmd_does() {
    let kbs = Kbs::start().await;
    let (mut agent, mut vault, mut listener) = started(&[kbs.address]).await;
    vault.wanted().await;
    agent.told("connected to vhsmd");
    drop(vault);
    agent.told("waiting for vhsmd");
    let mut vault = Vault::accept(&mut listener).await;
    agent.told("connected to vhsmd");
    let id = vault.wanted().await;
    vault.order(id, 2, "main", &[]).await;
    assert_eq!(vault.until_finish().await.len(), 3);
}

#[tokio::test]
async fn a_reload_changes_the_services_or_nothing() {
    let kbs = Kbs::start().await;
    let (mut agent, mut vault, _listener) = started(&[nobody().await]).await;
    let config = agent.folder.path().join("agent.toml");

    std::fs::write(&config, "[vhsmd]\nsocket = 7\n").unwrap();
    agent.signal(Signal::SIGHUP);
    agent.told("RELOADING=1");
    agent.told("READY=1");
    agent.told("RELOAD FAILED, the old configuration stays");

    Agent::configure(agent.folder.path(), &[kbs.address]);
    agent.signal(Signal::SIGHUP);
    agent.told("MONOTONIC_USEC=");
    agent.told("READY=1");
    let id = vault.wanted().await;
    vault.order(id, 1, "main", &["a/b/c"]).await;
    let story = vault.until_finish().await;
    assert!(matches!(&story[2], Asked::Resource(..)), "{story:?}");
}

#[tokio::test]
async fn a_stop_lets_the_round_under_way_end() {
    let kbs = Kbs::start().await;
    let (mut agent, mut vault, _listener) = started(&[kbs.address]).await;
    agent.told("WATCHDOG=1");
    let id = vault.wanted().await;
    vault.order(id, 1, "main", &["a/b/c"]).await;
    while !matches!(vault.asked().await.unwrap(), Asked::Challenge(_)) {}
    agent.signal(Signal::SIGTERM);
    agent.told("STOPPING=1");
    let story = vault.until_finish().await;
    assert_eq!(story.last(), Some(&Asked::Finish([1; 16])));
    assert_eq!(agent.ended(), Some(0));
}

#[test]
fn a_faulty_configuration_ends_the_agent_with_file_line_and_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("agent.toml");
    std::fs::write(&config, "[vhsmd]\nsocket = \"agent.sock\"\n").unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_nitride-agent"))
        .arg("--config")
        .arg(&config)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let log = String::from_utf8(output.stderr).unwrap();
    assert!(log.contains("agent.toml:"), "{log}");
}
