//! What a lease leaves behind: nothing.

use super::world::{EVERYTHING, Not, World, kbs, key, name, policy, rule};
use crate::Want;
use nitride_protocol::application::{Describe, Mac, VerifyMac};
use nitride_protocol::{KeyState, KeyType, Operation, OperationSet, Status};

fn world(rule_lease_secs: Option<u64>) -> World {
    let mut leased = key("tag", KeyType::HmacSha256, kbs("r/t/tag"));
    leased.lease_secs = rule_lease_secs;
    World::new(policy(vec![rule(1, "**", EVERYTHING)], vec![leased]))
}

fn mac() -> Mac<'static> {
    Mac {
        key: name("tag"),
        data: b"data",
    }
}

fn wanted() -> Not {
    let name = "tag".parse().unwrap();
    Not::Yet(Want::Key { name })
}

fn only_mac() -> OperationSet {
    OperationSet::of(&[Operation::Mac])
}

fn has_material(world: &World) -> bool {
    let key = world.vault.keys.find("tag").unwrap().unwrap();
    let body = key.read().unwrap();
    body.versions.iter().any(|v| v.material().is_some())
}

#[test]
fn a_key_whose_lease_ran_out_is_zeroed_and_wanted_again() {
    let mut world = world(Some(60));
    let mut app = world.application(1);
    world.deliver("tag", &[1; 32]);
    world.now.boot_ms += 59_999;
    let first = world.ask(&mut app, &mac()).unwrap();
    world.now.boot_ms += 1;
    assert_eq!(world.ask(&mut app, &mac()).unwrap_err(), wanted());
    assert!(!has_material(&world));
    world.deliver("tag", &[1; 32]);
    assert_eq!(world.ask(&mut app, &mac()).unwrap(), first);
}

#[test]
fn the_shorter_lease_counts() {
    for (rule_secs, envelope_secs, lives_secs) in [
        (Some(10), Some(20), 10),
        (Some(20), Some(10), 10),
        (None, Some(10), 10),
        (Some(10), None, 10),
    ] {
        let mut world = world(rule_secs);
        let mut app = world.application(1);
        world
            .deliver_with("tag", &[1; 32], |envelope| {
                envelope.lease_secs = envelope_secs;
            })
            .unwrap();
        world.pass_secs(lives_secs - 1);
        world.ask(&mut app, &mac()).unwrap();
        world.pass_secs(1);
        assert_eq!(world.ask(&mut app, &mac()).unwrap_err(), wanted());
    }
}

#[test]
fn a_lease_counts_on_the_boot_clock_whatever_the_host_does_to_the_wall_clock() {
    let mut world = world(Some(60));
    let mut app = world.application(1);
    world.deliver("tag", &[1; 32]);
    world.now.boot_ms += 60_000;
    world.now.wall_secs -= 1_000_000;
    assert_eq!(world.ask(&mut app, &mac()).unwrap_err(), wanted());
}

#[test]
fn a_sweep_zeroes_what_nobody_asks_for() {
    let mut world = world(Some(60));
    world.deliver("tag", &[1; 32]);
    world.pass_secs(59);
    world.vault.end_leases(world.now).unwrap();
    assert!(has_material(&world));
    world.pass_secs(1);
    world.vault.end_leases(world.now).unwrap();
    assert!(!has_material(&world));
}

#[test]
fn a_renewed_lease_counts_from_its_renewal() {
    let mut world = world(Some(60));
    let mut app = world.application(1);
    world.deliver("tag", &[1; 32]);
    world.pass_secs(50);
    world.deliver("tag", &[1; 32]);
    world.pass_secs(59);
    world.ask(&mut app, &mac()).unwrap();
    world.pass_secs(1);
    assert_eq!(world.ask(&mut app, &mac()).unwrap_err(), wanted());
}

#[test]
fn a_round_that_began_before_the_last_one_does_not_shorten_the_lease() {
    for operations in [KeyType::HmacSha256.operations(), only_mac()] {
        let mut world = world(Some(60));
        let mut app = world.application(1);
        world.pass_secs(60);
        world.deliver("tag", &[1; 32]);
        world
            .deliver_with("tag", &[1; 32], |envelope| {
                envelope.made_boot_ms -= 59_000;
                envelope.operations = operations;
            })
            .unwrap();
        world.pass_secs(59);
        world.ask(&mut app, &mac()).unwrap();
        world.pass_secs(1);
        assert_eq!(world.ask(&mut app, &mac()).unwrap_err(), wanted());
    }
}

#[test]
fn a_renewal_counts_from_the_moment_that_its_rounds_key_was_made() {
    for operations in [KeyType::HmacSha256.operations(), only_mac()] {
        let mut world = world(Some(60));
        let mut app = world.application(1);
        world.deliver("tag", &[1; 32]);
        world.pass_secs(30);
        world
            .deliver_with("tag", &[1; 32], |envelope| {
                envelope.made_boot_ms -= 20_000;
                envelope.operations = operations;
            })
            .unwrap();
        world.pass_secs(39);
        world.ask(&mut app, &mac()).unwrap();
        world.pass_secs(1);
        assert_eq!(world.ask(&mut app, &mac()).unwrap_err(), wanted());
    }
}

#[test]
fn a_lease_that_a_new_policy_shortens_has_run_out() {
    let mut shorter = key("tag", KeyType::HmacSha256, kbs("r/t/tag"));
    shorter.lease_secs = Some(30);
    let shorter = policy(vec![rule(1, "**", EVERYTHING)], vec![shorter]);
    let mut world = world(Some(60));
    world.deliver("tag", &[1; 32]);
    world.pass_secs(31);
    world.vault.replace_policy(shorter, world.now).unwrap();
    assert!(!has_material(&world));
}

#[test]
fn describe_tells_what_is_left_of_the_lease() {
    let mut world = world(Some(60));
    let mut app = world.application(1);
    let describe = Describe { key: name("tag") };
    let described = world.ask(&mut app, &describe).unwrap();
    assert_eq!(described.result().state, KeyState::Pending);
    assert_eq!(described.result().lease_secs_left, None);
    world.deliver("tag", &[1; 32]);
    world.pass_secs(25);
    let described = world.ask(&mut app, &describe).unwrap();
    assert_eq!(described.result().state, KeyState::Enabled);
    assert_eq!(described.result().lease_secs_left, Some(35));
    world.pass_secs(100);
    let described = world.ask(&mut app, &describe).unwrap();
    assert_eq!(described.result().state, KeyState::Pending);
    assert_eq!(described.result().lease_secs_left, Some(0));
}

#[test]
fn a_version_that_no_round_could_bring_back_is_not_wanted() {
    let mut world = world(Some(60));
    let mut app = world.application(1);
    world.deliver("tag", &[1; 32]);
    let first = world.ask(&mut app, &mac()).unwrap();
    world.pass_secs(30);
    world
        .deliver_with("tag", &[2; 32], |envelope| envelope.version = 2)
        .unwrap();
    let verify = VerifyMac {
        key: name("tag"),
        version: Some(1),
        data: b"data",
        tag: first.result().tag,
    };
    world.ask(&mut app, &verify).unwrap();
    world.pass_secs(30);
    let expired = Not::Done(Status::KeyExpired);
    assert_eq!(world.ask(&mut app, &verify).unwrap_err(), expired);
    world.ask(&mut app, &mac()).unwrap();
    world.pass_secs(30);
    assert_eq!(world.ask(&mut app, &verify).unwrap_err(), expired);
    assert_eq!(world.ask(&mut app, &mac()).unwrap_err(), wanted());
}
