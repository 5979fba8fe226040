//! Case B: the key is missing, and arrives by an attestation round.
#![forbid(unsafe_code)]

use anyhow::{Context, Result};
use nitride_e2e::three;
use nitride_protocol::application::Mac;
use nitride_protocol::{KeyName, KeyState, Origin, Status};
use nitride_support::asker::Asker;
use nitride_support::http::HttpMessage;
use nitride_support::plan::Plan;
use nitride_support::program::{RunAs, wait_until};
use nitride_support::relay::{Fate, Honest, OnRequest};
use nitride_support::world::{World, outcome};
use p256::ecdsa::signature::Verifier;
use p256::ecdsa::{Signature, SigningKey};
use std::time::{Duration, Instant};

fn chain() -> Result<World> {
    let world = World::start(Plan::chain(&three::keys()))?;
    three::deposit(&world)?;
    Ok(world)
}

fn rounds(world: &World) -> Result<usize> {
    Ok(world.relay()?.count("POST", "/kbs/v0/auth"))
}

#[test]
fn a_missing_secret_arrives_on_first_use_and_then_stays() -> Result<()> {
    let world = chain()?;
    let mut app = world.application()?;
    let released = app.release("app/secret", None)?;
    assert_eq!(&**released.secret, b"correct horse battery staple");
    let description = app.describe("app/secret")?;
    assert_eq!(description.origin, Origin::Provisioned);
    assert_eq!(
        description.origin_uri.as_deref(),
        Some("kbs:///demo/secret/one")
    );
    app.release("app/secret", None)?;
    assert_eq!(rounds(&world)?, 1);
    Ok(())
}

#[test]
fn a_missing_key_arrives_on_first_use_and_signs_as_its_owner_expects() -> Result<()> {
    let world = chain()?;
    let mut app = world.application()?;
    let signature = app.sign("app/signing", None, b"message")?.signature;
    let key = SigningKey::from_slice(&[5; 32])?;
    key.verifying_key()
        .verify(b"message", &Signature::from_slice(&signature)?)?;
    Ok(())
}

#[test]
fn keys_marked_prefetch_arrive_in_one_round_before_anybody_asks() -> Result<()> {
    let keys = three::keys().replace("\nservice = ", "\nprefetch = true\nservice = ");
    let mut world = World::start(Plan::without_agent(&keys))?;
    three::deposit(&world)?;
    world.start_agent()?;
    let mut app = world.application_waiting(Duration::ZERO)?;
    wait_until("all keys are there", Duration::from_secs(20), || {
        let listed = app.list("app/", None, 256)?;
        let enabled = |state| state == KeyState::Enabled;
        Ok(listed
            .entries
            .iter()
            .filter(|entry| enabled(entry.state))
            .count()
            == 3)
    })?;
    app.sign("app/signing", None, b"m")?;
    app.mac("app/mac", b"d")?;
    app.release("app/secret", None)?;
    assert_eq!(rounds(&world)?, 1);
    Ok(())
}

#[test]
fn what_the_rules_deny_is_not_even_fetched() -> Result<()> {
    let narrow = three::keys().replace("operations = [\"release\"]", "operations = []");
    let mut plan = Plan::chain(&narrow);
    plan.policy = plan.policy.replace("\"sign\", ", "");
    let world = World::start(plan)?;
    three::deposit(&world)?;
    let mut app = world.application()?;
    assert_eq!(
        outcome(app.sign("app/signing", None, b"m"))?,
        Status::Denied
    );
    assert_eq!(outcome(app.release("app/secret", None))?, Status::Denied);
    assert_eq!(
        outcome(app.encrypt("app/mac", b"m", b""))?,
        Status::WrongKeyType
    );
    assert_eq!(rounds(&world)?, 0);
    Ok(())
}

#[test]
fn a_request_that_may_not_wait_is_refused_at_once() -> Result<()> {
    let world = chain()?;
    let mut app = world.application_waiting(Duration::ZERO)?;
    let began = Instant::now();
    assert_ne!(outcome(app.sign("app/signing", None, b"m"))?, Status::Ok);
    assert!(began.elapsed() < Duration::from_secs(2));
    Ok(())
}

#[test]
fn a_waiting_request_ends_at_its_own_deadline() -> Result<()> {
    let world = chain()?;
    world
        .relay()?
        .meddle(OnRequest(|_: &mut HttpMessage| Fate::Stall));
    let mut patient = world.application_waiting(Duration::from_millis(2500))?;
    let mut hasty = world.application_waiting(Duration::from_millis(500))?;
    let began = Instant::now();
    let (slow, fast) = std::thread::scope(|scope| {
        let slow = scope.spawn(|| (outcome(patient.mac("app/mac", b"d")), began.elapsed()));
        let fast = scope.spawn(|| (outcome(hasty.mac("app/mac", b"d")), began.elapsed()));
        (slow.join(), fast.join())
    });
    let (fast, fast_after) = fast.ok().context("no panic")?;
    let (slow, slow_after) = slow.ok().context("no panic")?;
    assert_eq!((fast?, slow?), (Status::TimedOut, Status::TimedOut));
    assert!(fast_after >= Duration::from_millis(450), "{fast_after:?}");
    assert!(fast_after < Duration::from_millis(2000), "{fast_after:?}");
    assert!(slow_after >= Duration::from_millis(2400), "{slow_after:?}");
    assert!(slow_after < Duration::from_millis(4500), "{slow_after:?}");
    Ok(())
}

#[test]
fn a_service_that_is_down_is_named_and_one_that_is_back_serves() -> Result<()> {
    let mut world = chain()?;
    world.service.take().context("the service runs")?.stop()?;
    let mut app = world.application_waiting(Duration::from_secs(3))?;
    let refused = outcome(app.mac("app/mac", b"d"))?;
    assert!(
        matches!(refused, Status::ServiceUnreachable | Status::TimedOut),
        "{refused}"
    );
    world.start_service()?;
    let mut app = world.application()?;
    wait_until("the key arrives", Duration::from_secs(40), || {
        Ok(outcome(app.mac("app/mac", b"d"))? == Status::Ok)
    })
}

#[test]
fn an_svn_that_the_service_does_not_want_gets_nothing_and_learns_why() -> Result<()> {
    let mut plan = Plan::chain(&three::keys());
    plan.svn = "0".to_owned();
    let world = World::start(plan)?;
    three::deposit(&world)?;
    let mut app = world.application()?;
    let refused = outcome(app.mac("app/mac", b"d"))?;
    assert_eq!(refused, Status::DeniedByVerifier);
    assert_eq!(app.describe("app/mac")?.state, KeyState::Pending);
    Ok(())
}

#[test]
fn sample_evidence_is_refused_by_a_service_whose_policy_does_not_name_it() -> Result<()> {
    let mut plan = Plan::chain(&three::keys());
    plan.attestation_policy = plan.attestation_policy.replace(
        "danger-accept-sample = true",
        "danger-accept-sample = false",
    );
    let world = World::start(plan)?;
    three::deposit(&world)?;
    let mut app = world.application()?;
    assert_eq!(outcome(app.mac("app/mac", b"d"))?, Status::DeniedByVerifier);
    Ok(())
}

#[test]
fn a_resource_that_no_policy_of_the_service_opens_is_denied() -> Result<()> {
    let mut plan = Plan::chain(&three::keys());
    plan.resource_policy = plan.resource_policy.replace("\"**\"", "\"other/**\"");
    let world = World::start(plan)?;
    three::deposit(&world)?;
    let mut app = world.application()?;
    assert_eq!(outcome(app.mac("app/mac", b"d"))?, Status::DeniedByVerifier);
    Ok(())
}

#[test]
fn a_resource_that_the_service_does_not_have_is_refused() -> Result<()> {
    let world = World::start(Plan::chain(&three::keys()))?;
    let mut app = world.application()?;
    assert_eq!(outcome(app.mac("app/mac", b"d"))?, Status::ResourceRefused);
    Ok(())
}

#[test]
fn without_an_agent_a_request_says_so() -> Result<()> {
    let world = World::start(Plan::without_agent(&three::keys()))?;
    let mut app = world.application_waiting(Duration::from_secs(2))?;
    assert_eq!(outcome(app.mac("app/mac", b"d"))?, Status::AgentAbsent);
    Ok(())
}

#[test]
fn the_status_says_whether_the_agent_is_there_and_what_evidence_is_worth() -> Result<()> {
    let mut world = chain()?;
    let status = |world: &World| -> Result<String> {
        let output = world.vhsm(&RunAs::default(), &["status"], b"")?;
        Ok(String::from_utf8(output.stdout)?)
    };
    let row = |text: &str, name: &str| {
        let of = text.lines().find(|line| line.starts_with(name));
        of.map(|line| line.trim_start_matches(name).trim().to_owned())
    };
    let patience = Duration::from_secs(20);
    let is_there = |world: &World| Ok(world.application()?.status()?.agent_connected);
    wait_until("an agent in the status", patience, || is_there(&world))?;
    let text = status(&world)?;
    assert_eq!(row(&text, "agent").as_deref(), Some("connected"), "{text}");
    assert_eq!(row(&text, "evidence").as_deref(), Some("sample"), "{text}");
    drop(world.agent.take());
    wait_until("no agent in the status", patience, || {
        Ok(!is_there(&world)?)
    })?;
    let text = status(&world)?;
    assert_eq!(row(&text, "agent").as_deref(), Some("absent"), "{text}");
    let output = world.vhsm(&RunAs::default(), &["--json", "status"], b"")?;
    let json: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    assert_eq!(json["agent_connected"], false);
    Ok(())
}

#[test]
fn an_agent_that_dies_mid_round_ends_the_wait_and_a_new_one_serves() -> Result<()> {
    let mut world = chain()?;
    world
        .relay()?
        .meddle(OnRequest(|_: &mut HttpMessage| Fate::Stall));
    let mut app = world.application()?;
    let agent = world.agent.take().context("the agent runs")?;
    let relay = world.relay()?;
    let status = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| outcome(app.mac("app/mac", b"d")));
        // The relay has seen nothing that it could count; the vault knows that one waits.
        let parked = wait_until("a request waits", Duration::from_secs(10), || {
            Ok(world.application_waiting(Duration::ZERO)?.status()?.parked == 1)
        });
        let killed = parked.and_then(|()| agent.kill().map(drop));
        killed.and_then(|()| waiting.join().ok().context("no panic")?)
    })?;
    assert_eq!(status, Status::AgentAbsent);
    relay.meddle(Honest);
    world.start_agent()?;
    let mut app = world.application()?;
    app.mac("app/mac", b"d")?;
    Ok(())
}

#[test]
fn a_thousand_clients_on_one_missing_key_cause_exactly_one_round() -> Result<()> {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, hard.min(65_536), hard)?;
    let world = chain()?;
    let call = Mac {
        key: KeyName::parse("app/mac")?,
        data: b"data",
    };
    let wait = Duration::from_secs(50);
    let mut askers = (0..1000)
        .map(|_| Asker::connect(&world.path("vhsm.sock"), wait))
        .collect::<Result<Vec<_>>>()?;
    let ids = askers
        .iter_mut()
        .map(|asker| asker.send(&call))
        .collect::<Result<Vec<_>>>()?;
    for (asker, id) in askers.iter_mut().zip(ids) {
        assert_eq!(asker.answer_to(id)?.status, Status::Ok);
    }
    assert_eq!(rounds(&world)?, 1);
    assert_eq!(world.relay()?.count("POST", "/kbs/v0/attest"), 1);
    assert_eq!(
        world.relay()?.count("GET", "/kbs/v0/resource/demo/key/mac"),
        1
    );
    Ok(())
}

#[test]
fn a_policy_that_is_reloaded_brings_a_key_within_reach() -> Result<()> {
    let mut world = World::start(Plan::chain(""))?;
    three::deposit(&world)?;
    let mut app = world.application()?;
    assert_eq!(outcome(app.mac("app/mac", b"d"))?, Status::KeyNotFound);
    let policy = Plan::chain(&three::keys()).policy;
    world.set_policy(&policy)?;
    app.mac("app/mac", b"d")?;
    Ok(())
}

#[test]
fn a_bad_policy_is_refused_as_a_whole_and_the_old_one_stays() -> Result<()> {
    let mut world = chain()?;
    let good = world.plan.policy.clone();
    let generation = world.admin()?.status()?.policy_generation;
    for bad in [
        good.replace("type = \"secret\"", "typo = \"secret\""),
        good.replace("signer = \"owner\"", "signer = \"nobody-knows\""),
        good.replace("kbs:///demo/secret/one", "https://example.org/"),
        "not toml [".to_owned(),
    ] {
        assert!(world.set_policy(&bad).is_err());
        assert_eq!(world.admin()?.status()?.policy_generation, generation);
        world.application()?.mac("app/mac", b"d")?;
    }
    world.set_policy(&good)
}

#[test]
fn the_vault_starts_anew_without_keys_and_fetches_them_again() -> Result<()> {
    let mut world = chain()?;
    world.application()?.mac("app/mac", b"d")?;
    world.vhsmd.take().context("vhsmd runs")?.kill()?;
    world.start_vhsmd()?;
    let mut app = world.application()?;
    wait_until("the agent is back", Duration::from_secs(20), || {
        Ok(app.status()?.agent_connected)
    })?;
    app.mac("app/mac", b"d")?;
    assert_eq!(rounds(&world)?, 2);
    Ok(())
}
