//! An agent that lies, and an OpenBao that does.

use crate::{BLIND, PLAIN, READ, STATUS};
use crate::{agent_status, envelope, envelope_by, plan, read_by_agent_at, store, vhsm, world_of};
use anyhow::{Context, Result, ensure};
use nitride_protocol::Status;
use nitride_support::courier::{Courier, Order};
use nitride_support::forge::Signatory;
use nitride_support::http::HttpMessage;
use nitride_support::program::wait_until;
use nitride_support::relay::{Fate, Honest, OnRequest, OnResponse, Relay};
use nitride_support::world::{World, outcome};
use std::time::Duration;

/// Asks for a key until vhsmd's log or the agent's status says why it does not come.
fn is_refused(world: &World, key: &str, said: &str) -> Result<()> {
    let mut app = world.application_waiting(Duration::from_secs(8))?;
    wait_until(said, Duration::from_secs(40), || {
        let asked = outcome(app.release(key, None))?;
        ensure!(asked != Status::Ok, "{key} came, and not {said:?}");
        Ok(agent_status(world)?.contains(said) || world.vhsmd()?.log().contains(said))
    })
}

#[test]
fn a_hostile_openbao_brings_nothing_and_is_told_of_by_name() -> Result<()> {
    let (bao, mut world) = world_of(plan())?;
    let genuine = envelope(&world, READ, 1, b"read by the agent")?;
    store(&bao, READ, &genuine)?;
    store(&bao, PLAIN, &envelope(&world, PLAIN, 1, b"another's")?)?;
    let relay = Relay::start(&world.pki.server()?, vec![bao.upstream(0)?])?;
    let url = format!("https://localhost:{}", relay.address().port());
    world.plan.agent_tables = format!("{STATUS}{}", read_by_agent_at(&[url], "bao"));
    world.start_agent()?;
    // For another path: what lies there, whole and signed.
    relay.meddle(OnRequest(|request: &mut HttpMessage| {
        request.first_line = request.first_line.replace(READ, PLAIN);
        Fate::Forward
    }));
    is_refused(
        &world,
        "app/read",
        "the envelope is of another resource than was asked for",
    )?;
    // Junk, something of the right form, and more than anybody takes.
    let value = |value: &str| {
        format!(r#"{{"data":{{"data":{{"value":"{value}"}},"metadata":{{"version":1}}}}}}"#)
    };
    for (body, said) in [
        (
            "<html>".to_owned(),
            "secret: answer is not what the engine answers",
        ),
        (value("hunter2."), "is not base64"),
        (value("aHVudGVyMg=="), "the resource is not signed"),
        (value(""), "the resource is empty"),
        (
            value(&"A".repeat(200_000)),
            "secret: the answer is too large",
        ),
    ] {
        relay.meddle(OnResponse(
            move |request: &HttpMessage, response: &mut HttpMessage| {
                if request.target().1.contains("/data/") {
                    response.body = body.clone().into_bytes();
                }
            },
        ));
        is_refused(&world, "app/read", said)?;
    }
    // Slowly: no answer to the login, and then none to what is asked, which may be of the same round.
    for (silent, said) in [
        ("/v1/auth/", "login: no answer in time"),
        ("/v1/secret/data/", "secret: no answer in time"),
    ] {
        relay.meddle(OnRequest(move |request: &mut HttpMessage| {
            match request.target().1.starts_with(silent) {
                true => Fate::Stall,
                false => Fate::Forward,
            }
        }));
        is_refused(&world, "app/read", said)?;
    }
    let listed = vhsm(&world, &["list"])?;
    ensure!(!listed.contains("PLAINTEXT-COURIER"), "{listed}");
    relay.meddle(Honest);
    let mut app = world.application_waiting(Duration::from_secs(8))?;
    wait_until("the genuine one", Duration::from_secs(60), || {
        Ok(app
            .release("app/read", None)
            .is_ok_and(|released| **released.secret == *b"read by the agent"))
    })?;
    // What a hostile store gave is in no log.
    let logs = world.logs();
    ensure!(
        !logs.contains("hunter2") && !logs.contains("aHVudGVyMg"),
        "{logs}"
    );
    Ok(())
}

/// Has an application ask for a key, and the test be the agent that gets the order.
fn round(
    world: &World,
    key: &str,
    act: impl FnOnce(&mut Courier, &Order) -> Result<()>,
) -> Result<Status> {
    let mut courier = Courier::connect(&world.path("agent.sock"))?;
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| outcome(world.application()?.release(key, None)));
        let acted = courier.next_round().and_then(|order| {
            act(&mut courier, &order)?;
            courier.finish(&order).map(drop)
        });
        // A courier that fails here is gone, which ends the wait.
        drop(courier);
        acted?;
        waiting.join().ok().context("no panic")?
    })
}

#[test]
fn a_lying_agent_brings_no_key_in_the_clear_that_the_policy_does_not_say_that_of() -> Result<()> {
    let world = World::start(plan())?;
    let genuine = envelope(&world, BLIND, 1, b"for the vault alone")?;
    let ended = round(&world, "app/blind", |courier, order| {
        assert!(!order.plaintext);
        for lie in [&b"a key of its own"[..], &genuine] {
            assert_eq!(courier.plaintext(order, BLIND, lie)?, Status::Denied);
        }
        // Nor after a challenge, nor as what another key may be.
        courier.challenge(order, "bm9uY2U=")?;
        for path in [BLIND, READ, PLAIN] {
            assert_eq!(courier.plaintext(order, path, &genuine)?, Status::Denied);
        }
        Ok(())
    })?;
    assert_eq!(ended, Status::ResourceRefused);
    let log = world.vhsmd()?.log();
    for said in [
        "nothing is taken in the clear from the round's service",
        "the agent brought it in the clear, which the policy does not allow for its service",
    ] {
        assert!(log.contains(said), "{said:?} is not in {log}");
    }
    let listed = vhsm(&world, &["list"])?;
    let blind = listed.lines().find(|line| line.starts_with("app/blind"));
    assert!(
        blind.is_some_and(|line| line.contains("pending")),
        "{listed}"
    );
    Ok(())
}

#[test]
fn an_agent_that_reads_forges_nothing_and_brings_nothing_else() -> Result<()> {
    let world = World::start(plan())?;
    let forged = envelope_by(&Signatory::numbered(3)?, READ, 1, b"forged")?;
    let swapped = envelope(&world, PLAIN, 1, b"swapped")?;
    for lie in [&b"a key of its own"[..], &forged, &swapped, b""] {
        let ended = round(&world, "app/read", |courier, order| {
            assert!(order.plaintext && !order.result_wanted);
            let taken = courier.plaintext(order, READ, lie)?;
            assert_eq!(taken, Status::ResourceRefused);
            Ok(())
        })?;
        assert_eq!(ended, Status::ResourceRefused);
    }
    let genuine = envelope(&world, READ, 1, b"read by the agent")?;
    let ended = round(&world, "app/read", |courier, order| {
        assert!(courier.challenge(order, "bm9uY2U=").is_err());
        assert_eq!(courier.result(order, "a.b.c")?, Status::Denied);
        assert_eq!(courier.resource(order, READ, b"{}")?, Status::Denied);
        let blind = envelope(&world, BLIND, 1, b"x")?;
        assert_eq!(courier.plaintext(order, BLIND, &blind)?, Status::Denied);
        assert_eq!(courier.plaintext(order, READ, &genuine)?, Status::Ok);
        assert_eq!(courier.plaintext(order, READ, &genuine)?, Status::Denied);
        Ok(())
    })?;
    assert_eq!(ended, Status::Ok);
    Ok(())
}
