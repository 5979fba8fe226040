//! A hostile courier: the test takes the agent's place at the vault's agent socket, with the same
//! uid, and lies.
#![forbid(unsafe_code)]

use anyhow::{Context, Result, ensure};
use nitride_protocol::agent::{FailureClass, NextRound};
use nitride_protocol::{KeyType, Status};
use nitride_support::courier::{BoundEvidence, Courier, KbsSession, Order};
use nitride_support::forge::Signatory;
use nitride_support::owner::Deposit;
use nitride_support::plan::Plan;
use nitride_support::program::wait_until;
use nitride_support::rules::{GATED, provisioned};
use nitride_support::world::{World, outcome};
use serde_json::{Value, json};
use std::time::Duration;

const ONE: &str = "demo/key/one";
const TWO: &str = "demo/key/two";

fn world() -> Result<World> {
    let gated = GATED.replace("\"local\"", "\"generate\"");
    let keys = [
        provisioned("app/one", KeyType::HmacSha256, ONE),
        provisioned("app/two", KeyType::HmacSha256, TWO),
        gated.replace("10m", "1s"),
    ];
    let world = World::start(Plan::without_agent(&keys.concat()))?;
    let owner = world.owner();
    owner.deposit(&Deposit::key(ONE, KeyType::HmacSha256, &[1; 32]))?;
    owner.deposit(&Deposit::key(TWO, KeyType::HmacSha256, &[2; 32]))?;
    Ok(world)
}

/// A round that an application waits for, with the courier about to act.
struct Round<'w> {
    world: &'w World,
    courier: Courier,
    session: KbsSession,
    order: Order,
    nonce: String,
    evidence: BoundEvidence,
}

impl Round<'_> {
    fn attest(&mut self) -> Result<String> {
        self.session.attest(&self.nonce, &self.evidence)
    }
}

/// Has an application ask for `keys`, takes the order, and challenges the vault honestly; then
/// `act` does what it likes, and the round is finished. Returns how each request ended.
fn round(
    world: &World,
    keys: &[&str],
    act: impl FnOnce(&mut Round<'_>) -> Result<()>,
) -> Result<Vec<Status>> {
    let mut courier = Courier::connect(&world.path("agent.sock"))?;
    std::thread::scope(|scope| {
        let waiting: Vec<_> = keys
            .iter()
            .map(|key| scope.spawn(|| outcome(world.application()?.mac(key, b"data"))))
            .collect();
        let parked = wait_until("the requests wait", Duration::from_secs(20), || {
            let status = world.application_waiting(Duration::ZERO)?.status()?;
            Ok(status.parked == keys.len() as u64)
        });
        let acted = parked.and_then(|()| {
            let order = courier.next_round()?;
            let mut session = KbsSession::open(&world.service_upstream()?)?;
            let nonce = session.auth(&order.tee)?;
            let evidence = courier.challenge(&order, &nonce)?;
            let mut round = Round {
                world,
                courier,
                session,
                order,
                nonce,
                evidence,
            };
            act(&mut round)?;
            let finished = round.courier.finish(&round.order)?;
            ensure!(finished == Status::Ok, "finish: {finished}");
            Ok(())
        });
        // A courier that fails here is gone, which ends the waits.
        acted?;
        waiting
            .into_iter()
            .map(|thread| thread.join().ok().context("no panic")?)
            .collect()
    })
}

#[test]
fn an_honest_courier_of_the_test_is_served() -> Result<()> {
    // The control of everything below.
    let world = world()?;
    let ended = round(&world, &["app/one", "app/two"], |round| {
        assert_eq!(round.order.resources, [ONE, TWO]);
        round.attest()?;
        for path in [ONE, TWO] {
            let jwe = round.session.resource(path)?;
            assert_eq!(
                round.courier.resource(&round.order, path, &jwe)?,
                Status::Ok
            );
        }
        Ok(())
    })?;
    assert_eq!(ended, [Status::Ok, Status::Ok]);
    Ok(())
}

#[test]
fn an_agent_that_substitutes_its_own_key_gets_no_token() -> Result<()> {
    let world = world()?;
    let ended = round(&world, &["app/one"], |round| {
        let mut mine = Signatory::numbered(3)?.jwk();
        mine["alg"] = json!("ECDH-ES+A256KW");
        let substituted = BoundEvidence {
            tee_pubkey: mine.to_string(),
            ..round.evidence.clone()
        };
        let response = round.session.post_evidence(&round.nonce, &substituted)?;
        assert_ne!(response.status(), 200);
        let resource = round.session.fetch(ONE)?;
        assert_ne!(resource.status(), 200);
        Ok(())
    })?;
    assert_ne!(ended, [Status::Ok]);
    Ok(())
}

#[test]
fn evidence_for_one_challenge_does_not_answer_another() -> Result<()> {
    let world = world()?;
    round(&world, &["app/one"], |round| {
        let mut other = KbsSession::open(&round.world.service_upstream()?)?;
        let nonce = other.auth(&round.order.tee)?;
        assert_ne!(other.post_evidence(&nonce, &round.evidence)?.status(), 200);
        // Nor does a challenge that no service made.
        let response = round
            .session
            .post_evidence("bm90IGEgY2hhbGxlbmdl", &round.evidence)?;
        assert_ne!(response.status(), 200);
        Ok(())
    })?;
    Ok(())
}

#[test]
fn two_swapped_resources_are_both_refused() -> Result<()> {
    let world = world()?;
    let ended = round(&world, &["app/one", "app/two"], |round| {
        round.attest()?;
        let (one, two) = (round.session.resource(ONE)?, round.session.resource(TWO)?);
        let taken = round.courier.resource(&round.order, ONE, &two)?;
        assert_eq!(taken, Status::ResourceRefused);
        let taken = round.courier.resource(&round.order, TWO, &one)?;
        assert_eq!(taken, Status::ResourceRefused);
        Ok(())
    })?;
    assert_eq!(ended, [Status::ResourceRefused, Status::ResourceRefused]);
    Ok(())
}

#[test]
fn a_ciphertext_of_an_earlier_round_does_not_open() -> Result<()> {
    let world = world()?;
    let mut hoarded = Vec::new();
    round(&world, &["app/two"], |round| {
        round.attest()?;
        hoarded = round.session.resource(ONE)?;
        let two = round.session.resource(TWO)?;
        assert_eq!(round.courier.resource(&round.order, TWO, &two)?, Status::Ok);
        Ok(())
    })?;
    let ended = round(&world, &["app/one"], |round| {
        round.attest()?;
        let taken = round.courier.resource(&round.order, ONE, &hoarded)?;
        assert_eq!(taken, Status::ResourceRefused);
        Ok(())
    })?;
    assert_eq!(ended, [Status::ResourceRefused]);
    Ok(())
}

#[test]
fn a_token_of_an_earlier_round_approves_nothing() -> Result<()> {
    let world = world()?;
    let mut hoarded = String::new();
    let ended = round(&world, &["app/gated"], |round| {
        assert!(round.order.result_wanted);
        hoarded = round.attest()?;
        assert_eq!(round.courier.result(&round.order, &hoarded)?, Status::Ok);
        Ok(())
    })?;
    assert_eq!(ended, [Status::Ok]);
    let mut hasty = world.application_waiting(Duration::ZERO)?;
    wait_until("the approval ages", Duration::from_secs(10), || {
        Ok(outcome(hasty.mac("app/gated", b"d"))? != Status::Ok)
    })?;
    let ended = round(&world, &["app/gated"], |round| {
        let taken = round.courier.result(&round.order, &hoarded)?;
        assert_eq!(taken, Status::ResourceRefused);
        Ok(())
    })?;
    assert_eq!(ended, [Status::ResourceRefused]);
    Ok(())
}

#[test]
fn a_jwe_that_was_tampered_with_in_any_part_is_refused() -> Result<()> {
    for part in ["protected", "encrypted_key", "iv", "ciphertext", "tag"] {
        let world = world()?;
        let ended = round(&world, &["app/one"], |round| {
            round.attest()?;
            let mut jwe: Value = serde_json::from_slice(&round.session.resource(ONE)?)?;
            let text = jwe[part].as_str().context("a JWE has this part")?;
            let middle = text.len() / 2;
            let other = if text.as_bytes()[middle] == b'A' {
                "B"
            } else {
                "A"
            };
            let changed = format!("{}{other}{}", &text[..middle], &text[middle + 1..]);
            jwe[part] = json!(changed);
            let jwe = jwe.to_string();
            let taken = round.courier.resource(&round.order, ONE, jwe.as_bytes())?;
            assert_eq!(taken, Status::ResourceRefused, "{part}");
            Ok(())
        })?;
        assert_eq!(ended, [Status::ResourceRefused], "{part}");
    }
    Ok(())
}

#[test]
fn a_round_is_challenged_once_and_only_what_it_ordered_is_taken_once() -> Result<()> {
    let world = world()?;
    let ended = round(&world, &["app/one"], |round| {
        let again = round.courier.challenge(&round.order, &round.nonce);
        assert!(again.is_err(), "a second challenge was answered");
        round.attest()?;
        let (one, two) = (round.session.resource(ONE)?, round.session.resource(TWO)?);
        let order = round.order.clone();
        assert_eq!(round.courier.resource(&order, TWO, &two)?, Status::Denied);
        let token = "a.b.c";
        assert_eq!(round.courier.result(&order, token)?, Status::Denied);
        assert_eq!(round.courier.resource(&order, ONE, &one)?, Status::Ok);
        assert_eq!(round.courier.resource(&order, ONE, &one)?, Status::Denied);
        let stranger = Order {
            round: [9; 16],
            ..order.clone()
        };
        assert_eq!(
            round.courier.resource(&stranger, ONE, &one)?,
            Status::RoundNotFound
        );
        assert_eq!(round.courier.finish(&stranger)?, Status::RoundNotFound);
        Ok(())
    })?;
    assert_eq!(ended, [Status::Ok]);
    Ok(())
}

#[test]
fn nothing_is_taken_before_the_round_has_its_key() -> Result<()> {
    let world = world()?;
    let mut courier = Courier::connect(&world.path("agent.sock"))?;
    let ended = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| outcome(world.application()?.mac("app/one", b"d")));
        let acted = courier.next_round().and_then(|order| {
            let taken = courier.resource(&order, ONE, b"{}")?;
            ensure!(taken == Status::Denied, "taken: {taken}");
            ensure!(courier.finish(&order)? == Status::Ok);
            Ok(())
        });
        drop(courier);
        acted?;
        waiting.join().ok().context("no panic")?
    })?;
    assert_ne!(ended, Status::Ok);
    Ok(())
}

#[test]
fn a_lie_about_a_failure_is_forgotten_after_a_moment() -> Result<()> {
    let mut world = world()?;
    for class in [
        FailureClass::NotFound,
        FailureClass::Refused,
        FailureClass::Unreachable,
        FailureClass::Protocol,
    ] {
        let mut courier = Courier::connect(&world.path("agent.sock"))?;
        let ended = std::thread::scope(|scope| {
            let waiting = scope.spawn(|| -> Result<Status> {
                let mut app = world.application()?;
                let mut status = Status::Ok;
                wait_until("a round begins", Duration::from_secs(30), || {
                    let before = world.vhsmd()?.log().len();
                    status = outcome(app.mac("app/one", b"d"))?;
                    Ok(status != Status::Ok && world.vhsmd()?.log().len() >= before)
                })?;
                Ok(status)
            });
            let acted = courier.next_round().and_then(|order| {
                courier.failure(&order, Some(ONE), class)?;
                courier.finish(&order)
            });
            acted?;
            waiting.join().ok().context("no panic")?
        })?;
        assert_ne!(ended, Status::Ok);
    }
    world.start_agent()?;
    let mut app = world.application()?;
    wait_until("the truth arrives", Duration::from_secs(40), || {
        Ok(outcome(app.mac("app/one", b"d"))? == Status::Ok)
    })
}

#[test]
fn an_agent_that_stalls_costs_the_waiting_no_more_than_their_own_deadline() -> Result<()> {
    let world = world()?;
    let mut courier = Courier::connect(&world.path("agent.sock"))?;
    let mut app = world.application_waiting(Duration::from_millis(800))?;
    let began = std::time::Instant::now();
    let ended = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| outcome(app.mac("app/one", b"d")));
        let taken = courier.next_round();
        let ended = waiting.join().ok().context("no panic")?;
        taken?;
        ended
    })?;
    assert_eq!(ended, Status::TimedOut);
    assert!(
        began.elapsed() < Duration::from_secs(4),
        "{:?}",
        began.elapsed()
    );
    Ok(())
}

#[test]
fn an_agent_is_told_nothing_that_it_could_not_post_to_the_service_anyway() -> Result<()> {
    let world = world()?;
    round(&world, &["app/one"], |round| {
        let key: Value = serde_json::from_str(&round.evidence.tee_pubkey)?;
        let members: Vec<&String> = key.as_object().context("a JWK")?.keys().collect();
        assert_eq!(members, ["alg", "crv", "kty", "x", "y"]);
        Ok(())
    })?;
    Ok(())
}

#[test]
fn each_round_has_a_key_of_its_own() -> Result<()> {
    let world = world()?;
    let mut keys = Vec::new();
    for name in ["app/one", "app/two"] {
        round(&world, &[name], |round| {
            keys.push(round.evidence.tee_pubkey.clone());
            Ok(())
        })?;
    }
    assert_ne!(keys[0], keys[1]);
    Ok(())
}

#[test]
fn the_agent_socket_knows_no_verb_of_the_other_sockets() -> Result<()> {
    use nitride_protocol::application::{Random, StatusRequest};
    let world = world()?;
    let mut courier = Courier::connect(&world.path("agent.sock"))?;
    let asker = courier.asker();
    assert_ne!(asker.ask(&Random { len: 32 })?.status, Status::Ok);
    assert_ne!(asker.ask(&StatusRequest::default())?.status, Status::Ok);
    // And the application socket knows none of the agent's: 1 is generate there, not next-round.
    let mut app = nitride_support::asker::Asker::connect(&world.path("vhsm.sock"), Duration::ZERO)?;
    assert_eq!(app.ask(&NextRound::default())?.status, Status::Malformed);
    Ok(())
}
