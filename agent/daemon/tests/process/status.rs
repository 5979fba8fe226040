//! What `nitride-agent status` says of a real agent.

use super::stand_ins::{Agent, Kbs};
use super::{nobody, started};
use nix::sys::signal::Signal;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

#[tokio::test]
async fn status_shows_the_endpoint_that_is_down_its_error_and_the_one_that_serves() {
    let kbs = Kbs::start().await;
    let down = nobody().await;
    let (agent, mut vault, _listener) = started(&[down, kbs.address]).await;
    let id = vault.wanted().await;
    vault
        .order(id, 1, "main", &["a/b/one", "a/b/missing"])
        .await;
    vault.until_finish().await;
    let shown = agent.status(&[]);
    for said in [
        "vhsmd: connected for ",
        "WARNING: PLAIN HTTP is configured",
        "service main\n",
        "ordered: 0 for requests, 1 for prefetch, 0 for leases",
        "last error: ",
        "not-found: a/b/missing: resource: HTTP 404",
        "next try: with the next round",
        &format!("endpoint http://{down}, priority 0: shunned for "),
        "failures in a row: 1; last error: ",
        &format!(
            "endpoint http://{}, priority 1: healthy, answered ",
            kbs.address
        ),
        "resource a/b/one: delivered, ",
        "resource a/b/missing: not-found, ",
    ] {
        assert!(shown.contains(said), "{said:?} is not in {shown}");
    }
}

#[tokio::test]
async fn status_as_json_says_the_same_and_nothing_that_was_carried() {
    let kbs = Kbs::start().await;
    let (agent, mut vault, _listener) = started(&[kbs.address]).await;
    let id = vault.wanted().await;
    vault.order(id, 1, "main", &["a/b/one"]).await;
    vault.until_finish().await;
    let shown = agent.status(&["--json"]);
    let report: serde_json::Value = serde_json::from_str(&shown).unwrap();
    let service = &report["services"][0];
    assert_eq!(report["agent"]["is_connected"], true);
    assert_eq!(service["name"], "main");
    assert!(service["last_success_ms_ago"].is_u64(), "{shown}");
    assert!(service["last_error"].is_null(), "{shown}");
    assert_eq!(service["endpoints"][0]["is_healthy"], true);
    assert_eq!(service["resources"][0]["path"], "a/b/one");
    for hidden in ["eyJ", "hidden-cookie", "n0nce", "svn"] {
        assert!(!shown.contains(hidden), "{hidden} is in {shown}");
    }
}

#[tokio::test]
async fn when_no_endpoint_answers_status_says_when_the_next_try_is() {
    let (agent, mut vault, _listener) = started(&[nobody().await]).await;
    let id = vault.wanted().await;
    vault.order(id, 1, "main", &["a/b/c"]).await;
    vault.until_finish().await;
    let shown = agent.status(&[]);
    for said in [
        "unreachable: auth: ",
        "last success: none yet",
        "next try: in ",
    ] {
        assert!(shown.contains(said), "{said:?} is not in {shown}");
    }
}

#[tokio::test]
async fn a_reload_that_failed_is_in_the_status_and_the_sockets_mode_is_the_configured_one() {
    let (mut agent, mut vault, _listener) = started(&[nobody().await]).await;
    vault.wanted().await;
    let socket = agent.folder.path().join("status.sock");
    let mode = || socket.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(), 0o600);
    let config = agent.folder.path().join("agent.toml");
    let good = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, "[vhsmd]\nsocket = 7\n").unwrap();
    agent.signal(Signal::SIGHUP);
    agent.told("RELOAD FAILED");
    std::fs::write(&config, good).unwrap();
    let shown = agent.status(&[]);
    assert!(shown.contains("WARNING: the last reload failed"), "{shown}");
}

#[test]
fn status_of_an_agent_that_is_not_there_says_where_it_was_looked_for() {
    let folder = tempfile::tempdir().unwrap();
    let config = Agent::configure(folder.path(), &[([127, 0, 0, 1], 1).into()]);
    let output = Command::new(env!("CARGO_BIN_EXE_nitride-agent"))
        .arg("--config")
        .arg(&config)
        .arg("status")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.contains("status.sock") && said.contains("[status]"),
        "{said}"
    );
}
