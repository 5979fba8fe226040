//! Leases are asked for again before they end, and end where that is refused.

use super::world::{EVERYTHING, Not, World, kbs, key, name, policy, rule};
use crate::policy::KeyRule;
use crate::rounds::Order;
use nitride_protocol::agent::{FailureClass, RoundCause};
use nitride_protocol::application::Mac;
use nitride_protocol::{KeyState, KeyType};

const LEASE_SECS: u64 = 600;

fn leased(name: &str, path: &str, prefetch: bool) -> KeyRule {
    KeyRule {
        lease_secs: Some(LEASE_SECS),
        prefetch,
        ..key(name, KeyType::HmacSha256, kbs(path))
    }
}

fn world(keys: Vec<KeyRule>) -> World {
    World::new(policy(vec![rule(1, "**", EVERYTHING)], keys))
}

fn mac(key: &str) -> Mac<'_> {
    Mac {
        key: name(key),
        data: b"data",
    }
}

/// What is ordered at this moment, if anything is.
fn ordered(world: &mut World) -> Option<Order> {
    world.vault.renew_leases(world.now, &mut world.draw);
    let order = world.vault.next_order(world.now);
    // What settles in passing is handed out.
    world.vault.expire(world.now);
    order
}

fn paths(order: &Order) -> Vec<&str> {
    order.resources.iter().map(|path| path.as_str()).collect()
}

#[test]
fn a_key_that_is_used_is_asked_for_again_between_half_and_three_quarters_of_its_lease() {
    let mut world = world(vec![leased("tag", "r/t/tag", false)]);
    let mut app = world.application(1);
    world.deliver("tag", &[1; 32]);
    world.ask(&mut app, &mac("tag")).unwrap();
    world.pass_secs(LEASE_SECS / 2 - 1);
    assert_eq!(ordered(&mut world), None);
    world.pass_secs(LEASE_SECS / 4 + 1);
    let order = ordered(&mut world).unwrap();
    assert_eq!(order.cause, RoundCause::Renewal);
    assert_eq!(paths(&order), ["r/t/tag"]);
    // While it is under way, the key is used.
    world.ask(&mut app, &mac("tag")).unwrap();
    world.deliver("tag", &[1; 32]);
    world.vault.finish(&order.round, world.now);
    world.pass_secs(LEASE_SECS / 2 - 1);
    world.ask(&mut app, &mac("tag")).unwrap();
    assert_eq!(ordered(&mut world), None);
}

#[test]
fn a_key_that_nobody_used_in_its_lease_ends_with_it() {
    let mut world = world(vec![leased("tag", "r/t/tag", false)]);
    let mut app = world.application(1);
    world.deliver("tag", &[1; 32]);
    for _ in 0..LEASE_SECS {
        assert_eq!(ordered(&mut world), None);
        world.pass_secs(1);
    }
    assert!(matches!(world.ask(&mut app, &mac("tag")), Err(Not::Yet(_))));
}

#[test]
fn a_use_in_the_lease_before_does_not_renew_this_one() {
    let mut world = world(vec![leased("tag", "r/t/tag", false)]);
    let mut app = world.application(1);
    world.deliver("tag", &[1; 32]);
    world.ask(&mut app, &mac("tag")).unwrap();
    world.pass_secs(LEASE_SECS / 2);
    world.deliver("tag", &[1; 32]);
    world.pass_secs(LEASE_SECS - 1);
    assert_eq!(ordered(&mut world), None);
}

#[test]
fn what_is_to_be_there_beforehand_is_renewed_whether_or_not_it_is_used() {
    let mut world = world(vec![leased("tag", "r/t/tag", true)]);
    world.deliver("tag", &[1; 32]);
    world.pass_secs(LEASE_SECS * 3 / 4);
    assert!(ordered(&mut world).is_some());
}

#[test]
fn one_round_renews_every_lease_that_is_past_its_half() {
    let keys = ["a", "b", "c"].map(|name| leased(name, &format!("r/t/{name}"), true));
    let mut world = world(keys.into());
    world.deliver("a", &[1; 32]);
    world.pass_secs(LEASE_SECS / 8);
    world.deliver("b", &[2; 32]);
    world.pass_secs(LEASE_SECS / 4);
    world.deliver("c", &[3; 32]);
    world.pass_secs(LEASE_SECS * 3 / 8);
    // a is at three quarters, b past its half, c before it.
    assert_eq!(paths(&ordered(&mut world).unwrap()), ["r/t/a", "r/t/b"]);
}

#[test]
fn machines_that_booted_together_do_not_come_back_together() {
    let mut moments = std::collections::BTreeSet::new();
    for machine in 0..8 {
        let mut world = world(vec![leased("tag", "r/t/tag", true)]);
        world.draw.0 = machine * 37;
        world.deliver("tag", &[1; 32]);
        world.pass_secs(LEASE_SECS / 2);
        let mut secs = 0;
        while ordered(&mut world).is_none() {
            world.pass_secs(1);
            secs += 1;
        }
        assert!(secs <= LEASE_SECS / 4, "{secs}");
        moments.insert(secs);
    }
    assert!(moments.len() > 4, "{moments:?}");
}

#[test]
fn a_service_that_is_down_takes_no_key_away_before_its_lease_ends_and_is_tried_until_then() {
    let mut world = world(vec![leased("tag", "r/t/tag", true)]);
    let mut app = world.application(1);
    world.deliver("tag", &[1; 32]);
    let mut tries = 0;
    for _ in 0..LEASE_SECS - 1 {
        world.pass_secs(1);
        world.ask(&mut app, &mac("tag")).unwrap();
        if let Some(order) = ordered(&mut world) {
            tries += 1;
            let class = FailureClass::Unreachable;
            let vault = &world.vault;
            vault
                .record_failure(&order.round, None, class, 0, world.now)
                .unwrap();
            vault.finish(&order.round, world.now);
        }
    }
    assert!(tries > 4, "{tries}");
    world.pass_secs(1);
    assert!(world.ask(&mut app, &mac("tag")).is_err());
}

#[test]
fn a_renewal_that_is_refused_ends_the_key_with_its_lease_and_not_before() {
    let mut world = world(vec![leased("tag", "r/t/tag", true)]);
    let mut app = world.application(1);
    world.deliver("tag", &[1; 32]);
    world.pass_secs(LEASE_SECS * 3 / 4);
    let order = ordered(&mut world).unwrap();
    let class = FailureClass::Refused;
    let vault = &world.vault;
    vault
        .record_failure(&order.round, None, class, 0, world.now)
        .unwrap();
    vault.finish(&order.round, world.now);
    let warnings = vault.fetching_warnings(64, world.now);
    assert_eq!(
        warnings,
        [
            "the lease of key tag is not renewed and ends in 150 s: the provisioning service denied the \
          machine; next try in 1 s"
        ]
    );
    world.pass_secs(LEASE_SECS / 4 - 1);
    world.ask(&mut app, &mac("tag")).unwrap();
    world.pass_secs(1);
    world.vault.end_leases(world.now).unwrap();
    let held = world.vault.keys.find("tag").unwrap().unwrap();
    let body = held.read().unwrap();
    assert!(body.versions.iter().all(|v| v.material().is_none()));
}

#[test]
fn a_version_that_the_owner_rotated_in_comes_with_the_renewal_and_the_old_one_ends_with_its_lease()
{
    let mut world = world(vec![leased("tag", "r/t/tag", true)]);
    world.deliver("tag", &[1; 32]);
    world.pass_secs(LEASE_SECS * 3 / 4);
    ordered(&mut world).unwrap();
    world
        .deliver_with("tag", &[2; 32], |envelope| envelope.version = 2)
        .unwrap();
    world.pass_secs(LEASE_SECS / 4);
    world.vault.end_leases(world.now).unwrap();
    let held = world.vault.keys.find("tag").unwrap().unwrap();
    let body = held.read().unwrap();
    let here: Vec<_> = body
        .versions
        .iter()
        .filter(|v| v.material().is_some())
        .collect();
    assert_eq!(here.iter().map(|v| v.number).collect::<Vec<_>>(), [2]);
}

#[test]
fn a_key_that_an_administrator_disabled_is_not_renewed() {
    let mut world = world(vec![leased("tag", "r/t/tag", true)]);
    world.deliver("tag", &[1; 32]);
    {
        let held = world.vault.keys.find("tag").unwrap().unwrap();
        let noted = crate::keys::Noted::default();
        let keys = &world.vault.keys;
        keys.set_state((&held, None, &noted), None, KeyState::Disabled)
            .unwrap();
    }
    world.pass_secs(LEASE_SECS * 3 / 4);
    assert_eq!(ordered(&mut world), None);
}

#[test]
fn a_prefetched_key_that_does_not_come_is_a_warning_with_its_reason_and_its_next_try() {
    let mut world = world(vec![leased("tag", "r/t/tag", true)]);
    let warnings = world.vault.fetching_warnings(64, world.now);
    assert_eq!(
        warnings,
        ["key tag is to be fetched beforehand and is not here yet"]
    );
    world.vault.prefetch(world.now, &mut world.draw);
    let order = world.vault.next_order(world.now).unwrap();
    assert_eq!(order.cause, RoundCause::Prefetch);
    let class = FailureClass::Unreachable;
    let vault = &world.vault;
    vault
        .record_failure(&order.round, None, class, 9_000, world.now)
        .unwrap();
    vault.finish(&order.round, world.now);
    assert_eq!(
        vault.fetching_warnings(64, world.now),
        [
            "key tag is to be fetched beforehand and is not here: the provisioning service was not \
          reached; next try in 9 s"
        ]
    );
    world.deliver("tag", &[1; 32]);
    assert!(world.vault.fetching_warnings(64, world.now).is_empty());
}
