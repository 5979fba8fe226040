//! What vhsmd makes of such peers.

use crate::kernel::{STRANGER, as_user};
use crate::peers::{send, start, statuses, steps};
use anyhow::{Context, Result};
use aws_lc_rs::digest::{SHA256, digest};
use nitride_protocol::application::{Hello, Sign};
use nitride_protocol::{KeyName, KeyType, Status};
use nitride_support::plan::Plan;
use nitride_support::program::RunAs;
use nitride_support::unit::{Unit, is_root_or_says_so};
use nitride_support::world::World;

/// A vault with a key on which the peers of one rule may sign.
pub(crate) fn world(peer: &str) -> Result<World> {
    let mut plan = Plan::vault("");
    plan.policy = format!(
        "[[rule]]\nname = \"tested\"\nkeys = [\"app/**\"]\npeers = [{{ {peer} }}]\n\
         operations = [\"sign\"]\n\
         [[rule]]\nname = \"setup\"\nkeys = [\"app/k\"]\npeers = [{{ uid = @UID@ }}]\n\
         operations = [\"generate\"]\n"
    );
    let world = World::start(plan)?;
    let mut client = world.application()?;
    client.generate("app/k", KeyType::EcP256, None)?;
    Ok(world)
}

fn hello() -> Result<String> {
    send(
        0,
        &Hello {
            min_version: 1,
            max_version: 1,
            client: "peer.py",
            wait_ms: 0,
            attaches: false,
        },
    )
}

fn sign(id: u32) -> Result<String> {
    send(
        id,
        &Sign {
            key: KeyName::parse("app/k").ok().context("a name")?,
            scheme: None,
            message: b"message",
            prehashed: false,
        },
    )
}

/// What a peer is answered that says hello, asks, does `way`, and asks again.
fn before_and_after(world: &World, run_as: &RunAs, way: &str) -> Result<Vec<Status>> {
    let (hello, first, second) = (hello()?, sign(1)?, sign(2)?);
    let words = [
        "connect", &hello, "recv", &first, "recv", way, &second, "recv",
    ];
    let peer = start(run_as, &[], &world.path("vhsm.sock"), &steps(&words))?;
    let found = statuses(&peer.finish()?)?;
    assert_eq!(found[0], Status::Ok);
    Ok(found[1..].to_vec())
}

#[test]
fn a_rule_that_asks_for_it_refuses_messages_of_others_on_the_peers_connection() -> Result<()> {
    if !is_root_or_says_so("a_rule_that_asks_for_it_refuses_messages_of_others") {
        return Ok(());
    }
    let world = world("uid = 0, per-message = true")?;
    let root = RunAs::default();
    for way in ["fork", "hand-over", "setuid=4321"] {
        let found = before_and_after(&world, &root, way)?;
        assert_eq!(found, [Status::Ok, Status::Denied], "{way}");
    }
    let found = before_and_after(&world, &root, "exec")?;
    assert_eq!(found, [Status::Ok, Status::Ok]);
    assert!(
        world
            .logs()
            .contains("another process than the one that connected")
    );
    Ok(())
}

#[test]
fn without_such_a_rule_a_connection_is_the_one_who_connected() -> Result<()> {
    if !is_root_or_says_so("without_such_a_rule_a_connection_is_the_one_who_connected") {
        return Ok(());
    }
    let world = world("uid = 0")?;
    for way in ["fork", "hand-over", "setuid=4321", "exec"] {
        let found = before_and_after(&world, &RunAs::default(), way)?;
        assert_eq!(found, [Status::Ok, Status::Ok], "{way}");
    }
    Ok(())
}

#[test]
fn a_process_with_a_dead_peers_number_and_connection_is_refused() -> Result<()> {
    if !is_root_or_says_so("a_process_with_a_dead_peers_number_and_connection_is_refused") {
        return Ok(());
    }
    let world = world("uid = 0, per-message = true")?;
    let (hello, first, second) = (hello()?, sign(1)?, sign(2)?);
    let words = [
        "victim=5", "connect", &hello, "recv", &first, "recv", "reborn", &second, "recv",
    ];
    let words = steps(&words);
    let peer = start(&RunAs::default(), &[], &world.path("vhsm.sock"), &words)?;
    let found = statuses(&peer.finish()?)?;
    assert_eq!(found, [Status::Ok, Status::Ok, Status::Denied]);
    Ok(())
}

#[test]
fn a_rule_that_begins_to_ask_on_reload_is_about_new_connections() -> Result<()> {
    if !is_root_or_says_so("a_rule_that_begins_to_ask_on_reload_is_about_new_connections") {
        return Ok(());
    }
    let mut world = world("uid = 0")?;
    let mut client = world.application()?;
    client.sign("app/k", None, b"m")?;
    let rules = "[[rule]]\nname = \"tested\"\nkeys = [\"app/**\"]\n\
         peers = [{ uid = 0, per-message = true }]\noperations = [\"sign\"]\n";
    world.set_policy(rules)?;
    world.admin()?.reload()?;
    assert!(client.sign("app/k", None, b"m").is_err());
    world.application()?.sign("app/k", None, b"m")?;
    Ok(())
}

#[test]
fn a_rule_may_ask_which_program_a_peer_runs() -> Result<()> {
    if !is_root_or_says_so("a_rule_may_ask_which_program_a_peer_runs") {
        return Ok(());
    }
    let python = std::fs::read("/usr/bin/python3")?;
    let digest = digest(&SHA256, &python);
    let digest = crate::peers::hex(digest.as_ref());
    let world = world(&format!(
        "uid = 4321, executable-digest = \"sha256:{digest}\""
    ))?;
    let stranger = as_user(STRANGER);
    let (hello, asks) = (hello()?, sign(1)?);
    let words = steps(&["connect", &hello, "recv", &asks, "recv"]);
    let peer = start(&stranger, &[], &world.path("vhsm.sock"), &words)?;
    assert_eq!(statuses(&peer.finish()?)?, [Status::Ok, Status::Ok]);
    // Another program of the same user, and the same program of another user.
    let output = world.vhsm(&stranger, &["sign", "app/k"], b"m")?;
    assert_eq!(output.status.code(), Some(1));
    let peer = start(&as_user(4322), &[], &world.path("vhsm.sock"), &words)?;
    assert_eq!(statuses(&peer.finish()?)?, [Status::Ok, Status::Denied]);
    Ok(())
}

#[test]
fn a_peer_in_a_namespace_of_its_own_is_served_as_who_it_is_outside() -> Result<()> {
    if !is_root_or_says_so("a_peer_in_a_namespace_of_its_own_is_served_as_who_it_is_outside") {
        return Ok(());
    }
    let world = world("uid = 0, per-message = true")?;
    let (hello, asks) = (hello()?, sign(1)?);
    let words = steps(&["connect", &hello, "recv", &asks, "recv"]);
    let socket = world.path("vhsm.sock");
    // Its own root is not ours.
    let inside = ["unshare", "--user", "--map-root-user"];
    let peer = start(&as_user(STRANGER), &inside, &socket, &words)?;
    assert_eq!(statuses(&peer.finish()?)?, [Status::Ok, Status::Denied]);
    let inside = ["unshare", "--pid", "--fork", "--kill-child", "--cgroup"];
    let peer = start(&RunAs::default(), &inside, &socket, &words)?;
    assert_eq!(statuses(&peer.finish()?)?, [Status::Ok, Status::Ok]);
    Ok(())
}

#[test]
fn a_cgroup_prefix_ends_where_a_folder_ends() -> Result<()> {
    if !is_root_or_says_so("a_cgroup_prefix_ends_where_a_folder_ends") {
        return Ok(());
    }
    let slice = Unit::create_slice("nitride-e2e-web.slice")?;
    let longer = Unit::create_slice("nitride-e2e-web.slicer")?;
    let inside = slice.delegate("web.service")?;
    let world = world("cgroup-prefix = \"/nitride-e2e-web.slice\"")?;
    let (hello, asks) = (hello()?, sign(1)?);
    let words = steps(&["connect", &hello, "recv", &asks, "recv"]);
    for (folder, status) in [
        (slice.folder().to_owned(), Status::Ok),
        (inside, Status::Ok),
        (longer.folder().to_owned(), Status::Denied),
    ] {
        let run_as = RunAs {
            cgroup: Some(folder.clone()),
            ..RunAs::default()
        };
        let peer = start(&run_as, &[], &world.path("vhsm.sock"), &words)?;
        let found = statuses(&peer.finish()?)?;
        assert_eq!(found, [Status::Ok, status], "{}", folder.display());
    }
    Ok(())
}

#[test]
fn peers_that_end_while_they_connect_cost_nothing_but_a_line_in_the_log() -> Result<()> {
    if !is_root_or_says_so("peers_that_end_while_they_connect_cost_nothing") {
        return Ok(());
    }
    let world = world("uid = 0, per-message = true")?;
    let storm = steps(&["storm=300"]);
    let peer = start(&as_user(STRANGER), &[], &world.path("vhsm.sock"), &storm)?;
    peer.finish()?;
    world.application()?.sign("app/k", None, b"m")?;
    Ok(())
}
