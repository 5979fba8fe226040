//! What one peer may use at most, so that another is still served.
#![forbid(unsafe_code)]

use anyhow::Result;
use nitride_protocol::application::Encrypt;
use nitride_protocol::{KeyName, KeyType, Status};
use nitride_support::asker::Asker;
use nitride_support::plan::Plan;
use nitride_support::program::wait_until;
use nitride_support::unit::is_root_or_says_so;
use nitride_support::world::{World, outcome};
use std::time::Duration;

const NEVER: &str = r#"
[[key]]
name = "app/never"
type = "hmac-sha256"
source = "kbs:///demo/key/never"
service = "main"
signer = "owner"
operations = ["mac"]
"#;

fn world(limits: &str) -> Result<World> {
    let mut plan = Plan::without_agent(NEVER);
    plan.with_service = false;
    plan.vhsmd_tables = format!("[limits]\n{limits}\n");
    World::start(plan)
}

#[test]
fn connections_beyond_the_peers_quota_are_refused_and_freed_ones_serve_again() -> Result<()> {
    let world = world("connections-per-uid = 8")?;
    let mut open = Vec::new();
    for _ in 0..8 {
        open.push(world.application_waiting(Duration::ZERO)?);
    }
    assert!(
        world.application_waiting(Duration::ZERO).is_err(),
        "a ninth got in"
    );
    // Those who are in are served.
    for client in &mut open {
        client.random(16)?;
    }
    open.truncate(4);
    wait_until("room is made", Duration::from_secs(10), || {
        Ok(world.application_waiting(Duration::ZERO).is_ok())
    })
}

#[test]
fn requests_that_wait_beyond_the_peers_quota_are_refused() -> Result<()> {
    let world = world("parked-per-uid = 5\nmax-wait-ms = 30000")?;
    // Somebody has to be the agent, or nothing waits.
    let _courier = nitride_support::courier::Courier::connect(&world.path("agent.sock"))?;
    let call = nitride_protocol::application::Mac {
        key: KeyName::parse("app/never")?,
        data: b"d",
    };
    let mut asker = Asker::connect(&world.path("vhsm.sock"), Duration::from_secs(5))?;
    let ids = (0..12)
        .map(|_| asker.send(&call))
        .collect::<Result<Vec<_>>>()?;
    let mut refused = 0;
    for id in ids {
        match asker.answer_to(id)?.status {
            Status::QuotaExceeded => refused += 1,
            status => assert_eq!(status, Status::TimedOut),
        }
    }
    assert!(refused >= 7, "only {refused} of 12 were refused");
    Ok(())
}

#[test]
fn a_request_waits_no_longer_than_the_vault_allows() -> Result<()> {
    let world = world("max-wait-ms = 500")?;
    let _courier = nitride_support::courier::Courier::connect(&world.path("agent.sock"))?;
    let began = std::time::Instant::now();
    let mut app = world.application_waiting(Duration::from_secs(20))?;
    assert_eq!(outcome(app.mac("app/never", b"d"))?, Status::TimedOut);
    assert!(
        began.elapsed() < Duration::from_secs(5),
        "{:?}",
        began.elapsed()
    );
    Ok(())
}

#[test]
fn keys_beyond_the_peers_quota_are_refused_and_those_there_still_work() -> Result<()> {
    let world = world("keys-per-uid = 10")?;
    let mut app = world.application_waiting(Duration::ZERO)?;
    for number in 0..10 {
        app.generate(&format!("app/k{number}"), KeyType::HmacSha256, None)?;
    }
    let eleventh = app.generate("app/eleventh", KeyType::HmacSha256, None);
    assert_eq!(outcome(eleventh)?, Status::QuotaExceeded);
    app.mac("app/k0", b"d")?;
    Ok(())
}

#[test]
fn keys_beyond_the_vaults_own_limit_are_refused() -> Result<()> {
    let world = world("keys = 3")?;
    let mut app = world.application_waiting(Duration::ZERO)?;
    for number in 0..3 {
        app.generate(&format!("app/k{number}"), KeyType::HmacSha256, None)?;
    }
    let fourth = app.generate("app/fourth", KeyType::HmacSha256, None);
    assert_eq!(outcome(fourth)?, Status::QuotaExceeded);
    Ok(())
}

#[test]
fn a_full_arena_is_an_answer_and_not_an_end() -> Result<()> {
    let mut plan = Plan::vault("");
    plan.vhsmd_tables = String::new();
    let world = World::start(plan)?;
    let (mut app, mut admin) = (world.application_waiting(Duration::ZERO)?, world.admin()?);
    app.generate("app/first", KeyType::EcP256, None)?;
    let material = vec![0x5a; 16_384];
    let mut stored = 0;
    let mut warned_at = None;
    let full = loop {
        let warnings = app.status()?.warnings;
        if warnings.iter().any(|each| each.contains("records arena")) {
            warned_at.get_or_insert(stored);
        }
        let name = format!("app/large{stored}");
        match outcome(admin.import(&name, KeyType::Secret, None, &material))? {
            Status::Ok => stored += 1,
            status => break status,
        }
        assert!(stored < 1000, "3 MiB hold {stored} secrets of 16 KiB");
    };
    assert_eq!(full, Status::ArenaFull);
    assert!(stored > 50, "only {stored} secrets of 16 KiB fit");
    // Said in time to do something about it.
    assert!(
        warned_at.is_some_and(|at| at + 10 < stored),
        "{warned_at:?} of {stored}"
    );
    app.sign("app/first", None, b"m")?;
    // Two neighbours: the new key's own record may take a page of what the first leaves.
    admin.destroy("app/large0", None)?;
    admin.destroy("app/large1", None)?;
    admin.import("app/again", KeyType::Secret, None, &material)?;
    Ok(())
}

#[test]
fn many_large_requests_at_once_stay_within_the_peers_buffers() -> Result<()> {
    let world = world("buffers-per-uid = \"256KiB\"")?;
    world
        .application_waiting(Duration::ZERO)?
        .generate("app/data", KeyType::Aes256Gcm, None)?;
    let plaintext = vec![1; 65_536];
    let call = Encrypt {
        key: KeyName::parse("app/data")?,
        plaintext: &plaintext,
        aad: b"",
        scheme: None,
    };
    let mut askers = (0..16)
        .map(|_| Asker::connect(&world.path("vhsm.sock"), Duration::ZERO))
        .collect::<Result<Vec<_>>>()?;
    for _ in 0..5 {
        let ids = askers
            .iter_mut()
            .map(|asker| asker.send(&call))
            .collect::<Result<Vec<_>>>()?;
        for (asker, id) in askers.iter_mut().zip(ids) {
            let status = asker.answer_to(id)?.status;
            assert!(
                matches!(status, Status::Ok | Status::QuotaExceeded),
                "{status}"
            );
        }
    }
    world
        .application_waiting(Duration::ZERO)?
        .encrypt("app/data", &plaintext, b"")?;
    Ok(())
}

#[test]
fn one_users_greed_leaves_another_user_served() -> Result<()> {
    if !is_root_or_says_so("one_users_greed_leaves_another_user_served") {
        return Ok(());
    }
    let mut plan = Plan::vault(
        "[[rule]]\nname = \"other\"\nkeys = [\"**\"]\npeers = [{ uid = 4321 }]\noperations = [\"random\"]\n",
    );
    plan.vhsmd_tables = "[limits]\nconnections-per-uid = 8\n".to_owned();
    let world = World::start(plan)?;
    let greedy = (0..8)
        .map(|_| world.application_waiting(Duration::ZERO))
        .collect::<Result<Vec<_>>>()?;
    let other = nitride_support::program::RunAs {
        user: Some((4321, 4321)),
        ..Default::default()
    };
    let output = world.vhsm(&other, &["random", "16"], b"")?;
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    drop(greedy);
    Ok(())
}
