//! Malformed packets: each gets a named refusal or ends its connection, changes nothing, and is
//! nobody else's concern.
#![forbid(unsafe_code)]

use anyhow::{Context, Result};
use nitride_protocol::application::Hello;
use nitride_protocol::limits::MAX_PACKET_LEN;
use nitride_protocol::{KeyType, Operation, Status, open_request};
use nitride_support::asker::Asker;
use nitride_support::plan::Plan;
use nitride_support::world::World;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use std::path::Path;
use std::time::Duration;

/// Sends a packet on a fresh connection, and a hello after it; the status of what is answered
/// first, `None` when the connection was ended instead. A packet may have no answer of its own for
/// now (`next-round` is held back), but the hello behind it has.
fn answered(socket: &Path, packet: &[u8]) -> Result<Option<Status>> {
    let mut asker = Asker::connect(socket, Duration::ZERO)?;
    asker.send_packet(packet)?;
    // The vault may have ended the connection already.
    let _ = asker.send(&Hello {
        min_version: 1,
        max_version: 1,
        client: "tests",
        wait_ms: 0,
        attaches: false,
    });
    Ok(asker.receive()?.map(|(_, answer)| answer.status))
}

/// What the vault shows of itself that a packet could have changed.
fn state(world: &World) -> Result<(u64, u64, Vec<String>)> {
    let mut app = world.application_waiting(Duration::ZERO)?;
    let status = app.status()?;
    let keys = app.list("", None, 256)?.entries;
    let keys = keys.iter().map(|entry| format!("{entry:?}")).collect();
    Ok((status.keys, status.policy_generation, keys))
}

fn world() -> Result<World> {
    let world = World::start(Plan::vault(""))?;
    world
        .application()?
        .generate("app/k", KeyType::EcP256, None)?;
    Ok(world)
}

/// Every golden packet of the protocol: the begin of every mutation.
fn golden() -> Result<Vec<Vec<u8>>> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../protocol/vhsm/golden");
    let mut packets = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let text = std::fs::read_to_string(entry?.path())?;
        let digits: Vec<u32> = text
            .lines()
            .map(|line| line.split('#').next().unwrap_or_default())
            .flat_map(str::chars)
            .filter_map(|character| character.to_digit(16))
            .collect();
        let bytes = digits
            .chunks_exact(2)
            .map(|pair| u8::try_from(pair[0] << 4 | pair[1]));
        packets.push(bytes.collect::<Result<_, _>>()?);
    }
    packets.sort();
    assert!(packets.len() > 20, "only {} golden packets", packets.len());
    Ok(packets)
}

#[test]
fn packets_that_are_no_request_are_refused_by_name() -> Result<()> {
    let world = world()?;
    let before = state(&world)?;
    for socket in ["vhsm.sock", "admin.sock", "agent.sock"] {
        let socket = world.path(socket);
        for (what, packet) in [
            ("not CBOR", &b"\xff"[..]),
            ("a text", b"\x65hello"),
            ("an empty array", b"\x80"),
            ("params missing", b"\x82\x01\x05"),
            ("four members", b"\x84\x01\x05\x80\x00"),
            ("a long integer", b"\x83\x18\x01\x11\x80"),
            ("an indefinite array", b"\x9f\x01\x11\x80\xff"),
            ("a byte after it", b"\x83\x01\x11\x80\x00"),
            ("a negative id", b"\x83\x20\x11\x80"),
            ("an unknown operation", b"\x83\x01\x19\xff\xff\x80"),
            (
                "a claim of 4 GiB",
                b"\x83\x01\x0c\x81\x5b\x00\x00\x00\x01\x00\x00\x00\x00",
            ),
            ("a deep nest", &[0x81; 4000]),
        ] {
            let status = answered(&socket, packet)?;
            assert!(
                matches!(
                    status,
                    None | Some(Status::Malformed | Status::UnknownOperation | Status::TooLarge)
                ),
                "{what}: {status:?}"
            );
        }
    }
    assert_eq!(state(&world)?, before);
    Ok(())
}

#[test]
fn a_packet_over_the_limit_is_refused_and_the_next_connection_serves() -> Result<()> {
    let world = world()?;
    let asker = Asker::connect(&world.path("vhsm.sock"), Duration::ZERO)?;
    asker.send_packet(&vec![0; MAX_PACKET_LEN + 1]).ok();
    world.application()?.random(16)?;
    Ok(())
}

#[test]
fn a_request_before_hello_is_answered_or_refused_but_harms_nobody() -> Result<()> {
    let world = world()?;
    let mut silent = Asker::connect_silently(&world.path("vhsm.sock"))?;
    silent.send_packet(b"\x83\x01\x11\x80")?;
    silent.set_patience(Duration::from_secs(10))?;
    let _ = silent.receive()?;
    world.application()?.random(16)?;
    Ok(())
}

#[test]
fn any_mutation_of_a_golden_packet_leaves_the_vault_serving_on_every_socket() -> Result<()> {
    let world = world()?;
    let golden = golden()?;
    let mutation = (
        0..golden.len(),
        prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        any::<prop::sample::Index>(),
        prop::collection::vec(any::<u8>(), 0..40),
        0..4_u8,
    );
    let cases = 400;
    for socket in ["vhsm.sock", "admin.sock", "agent.sock"] {
        let socket = world.path(socket);
        let mut runner = TestRunner::new(Config {
            cases,
            failure_persistence: None,
            ..Config::default()
        });
        runner
            .run(&mutation, |(which, flips, cut, tail, kind)| {
                let mut packet = golden[which].clone();
                for (at, value) in flips {
                    if !packet.is_empty() {
                        let at = at.index(packet.len());
                        packet[at] = value;
                    }
                }
                match kind {
                    0 => packet.truncate(cut.index(packet.len() + 1)),
                    1 => packet.extend_from_slice(&tail),
                    2 => packet = tail,
                    _ => {}
                }
                if packet.is_empty() {
                    packet.push(0);
                }
                // A mutation may be a good request: of destroy on a key that is not there, say.
                // An administrator's wipe is one that ends the vault, as it should; so is the end of a phase.
                let ends = [Operation::Wipe, Operation::EndPhase].map(Operation::to_wire);
                let request = open_request(&packet);
                if request.is_ok_and(|(head, _)| ends.contains(&head.operation)) {
                    return Ok(());
                }
                answered(&socket, &packet)
                    .map(drop)
                    .map_err(|error| TestCaseError::fail(format!("{error:#}: {packet:02x?}")))
            })
            .map_err(|error| anyhow::anyhow!("{error}"))?;
    }
    let vhsmd = world.vhsmd()?;
    assert_eq!(vhsmd.exited(), None);
    assert!(!vhsmd.log().contains("panicked"), "a thread panicked");
    world.application()?.sign("app/k", None, b"m")?;
    Ok(())
}

#[test]
fn a_malformed_packet_does_not_disturb_others_on_its_own_connection() -> Result<()> {
    let world = world()?;
    let mut asker = Asker::connect(&world.path("vhsm.sock"), Duration::ZERO)?;
    let call = nitride_protocol::application::Random { len: 8 };
    let first = asker.send(&call)?;
    asker.send_packet(b"\x83\x19\x03\xe7\x0c\x81\x61a")?;
    let (refused, status) = loop {
        let (id, answer) = asker.receive()?.context("the connection was ended")?;
        if id != first {
            break (id, answer.status);
        }
        assert_eq!(answer.status, Status::Ok);
    };
    assert_eq!((refused, status), (999, Status::Malformed));
    assert_eq!(asker.ask(&call)?.status, Status::Ok);
    Ok(())
}
