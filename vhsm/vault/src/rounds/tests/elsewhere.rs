//! Keys that several services have.

use super::world::*;
use crate::Want;
use crate::policy::{PolicyFault, PolicySet, Source};
use crate::rounds::{Order, RoundFailure};
use nitride_protocol::agent::FailureClass;

/// The signing key is with both services, the secret with one.
fn two_services() -> PolicySet {
    let mut policy = policy();
    let Source::Kbs { services, .. } = &mut policy.keys[0].source else {
        panic!("the signing key is provisioned");
    };
    *services = vec!["main".into(), "other".into()];
    policy
}

fn fail(world: &World, order: &Order, class: FailureClass) {
    let vault = &world.vault;
    vault
        .record_failure(&order.round, None, class, 0, world.now())
        .unwrap();
}

#[test]
fn a_service_that_is_not_reached_is_followed_by_the_next_and_nobody_is_told_before() {
    let world = World::under(two_services());
    world.want(&key(SIGNING)).unwrap();
    let first = world.order().unwrap();
    assert_eq!(first.service, "main");
    fail(&world, &first, FailureClass::Unreachable);
    assert!(world.finish(&first.round).is_empty());
    // Whoever asks meanwhile joins what goes on.
    let joined = world.want(&key(SIGNING)).unwrap();
    let second = world.order().unwrap();
    assert_eq!((second.service.as_str(), second.round), ("other", joined));
    assert_ne!(second.round, first.round);
    let evidence = world
        .vault
        .challenge(&second.round, NONCE, &[], world.now());
    let round = Challenged {
        order: second,
        evidence: evidence.unwrap(),
    };
    world
        .deliver(&round, SIGNING_PATH, &signing_envelope())
        .unwrap();
    let settled = only(world.finish(&round.order.round));
    assert!(settled.outcome.is_ok());
    assert_eq!(world.held(SIGNING), Some((1, SCALAR.to_vec())));
}

#[test]
fn a_courier_that_says_nothing_in_time_does_not_keep_the_next_service_away() {
    let world = World::under(two_services());
    world.want(&key(SIGNING)).unwrap();
    let first = world.order().unwrap();
    // Less time than where there is no other service.
    assert_eq!(first.budget_ms, 10_000);
    world.wait_ms(12_000);
    assert!(world.vault.expire(world.now()).is_empty());
    assert_eq!(world.order().unwrap().service, "other");
}

#[test]
fn once_no_service_was_reached_those_who_wait_are_told() {
    let world = World::under(two_services());
    world.want(&key(SIGNING)).unwrap();
    let first = world.order().unwrap();
    fail(&world, &first, FailureClass::Unreachable);
    assert!(world.finish(&first.round).is_empty());
    let second = world.order().unwrap();
    assert_eq!(second.budget_ms, 30_000);
    fail(&world, &second, FailureClass::TimedOut);
    let settled = only(world.finish(&second.round));
    assert!(matches!(settled.outcome, Err(RoundFailure::TimedOut)));
    assert_eq!(world.order(), None);
}

#[test]
fn a_service_that_answers_has_spoken_and_no_other_is_asked() {
    for class in [FailureClass::Refused, FailureClass::NotFound] {
        let world = World::under(two_services());
        world.want(&key(SIGNING)).unwrap();
        let order = world.order().unwrap();
        fail(&world, &order, class);
        let settled = only(world.finish(&order.round));
        assert!(settled.outcome.is_err());
        assert_eq!(world.order(), None);
        world.wait_ms(300);
        world.want(&key(SIGNING)).unwrap();
        assert_eq!(world.order().unwrap().service, "main");
    }
}

#[test]
fn what_one_service_has_alone_is_not_taken_elsewhere() {
    let world = World::under(two_services());
    for name in [SIGNING, SECRET] {
        world.want(&key(name)).unwrap();
    }
    let [first, second] = [world.order().unwrap(), world.order().unwrap()];
    for order in [&first, &second] {
        assert_eq!(order.service, "main");
        fail(&world, order, FailureClass::Unreachable);
    }
    assert!(world.finish(&first.round).is_empty());
    assert_eq!(only(world.finish(&second.round)).want, key(SECRET));
    let third = world.order().unwrap();
    let paths: Vec<_> = third.resources.iter().map(|path| path.as_str()).collect();
    assert_eq!(
        (third.service.as_str(), paths),
        ("other", vec![SIGNING_PATH])
    );
}

#[test]
fn a_service_that_was_not_reached_lately_is_asked_last_until_it_was_long_enough() {
    let world = World::under(two_services());
    world.want(&key(SIGNING)).unwrap();
    for service in ["main", "other"] {
        let order = world.order().unwrap();
        assert_eq!(order.service, service);
        let class = match service {
            "main" => FailureClass::Unreachable,
            _ => FailureClass::Refused,
        };
        fail(&world, &order, class);
        world.finish(&order.round);
    }
    world.wait_ms(1_000);
    world.want(&key(SIGNING)).unwrap();
    let order = world.order().unwrap();
    assert_eq!(order.service, "other");
    fail(&world, &order, FailureClass::Refused);
    world.finish(&order.round);
    world.wait_ms(15_000);
    world.want(&key(SIGNING)).unwrap();
    assert_eq!(world.order().unwrap().service, "main");
}

#[test]
fn a_new_agent_begins_with_the_first_service_again() {
    let world = World::under(two_services());
    world.want(&key(SIGNING)).unwrap();
    let order = world.order().unwrap();
    fail(&world, &order, FailureClass::Unreachable);
    world.finish(&order.round);
    world
        .vault
        .abandon_all(world.now(), RoundFailure::AgentAbsent);
    world.vault.agent_connected();
    world.want(&key(SIGNING)).unwrap();
    assert_eq!(world.order().unwrap().service, "main");
}

#[test]
fn a_service_that_a_new_policy_no_longer_names_is_not_asked() {
    let world = World::under(two_services());
    world.want(&key(SIGNING)).unwrap();
    let order = world.order().unwrap();
    fail(&world, &order, FailureClass::Unreachable);
    assert!(world.finish(&order.round).is_empty());
    world.vault.replace_policy(policy(), world.now()).unwrap();
    assert_eq!(world.order(), None);
    let settled = only(world.vault.expire(world.now()));
    assert!(matches!(settled.outcome, Err(RoundFailure::PolicyChanged)));
}

#[test]
fn a_key_names_services_that_are_stated_and_each_once() {
    let with = |stated: &[&str]| {
        let mut policy = policy();
        if let Source::Kbs { services, .. } = &mut policy.keys[0].source {
            *services = stated.iter().map(|name| (*name).to_owned()).collect();
        }
        policy.check()
    };
    assert_eq!(with(&["main", "other"]), Ok(()));
    let refused = |stated: &[&str]| with(stated).unwrap_err();
    assert!(matches!(refused(&[]), PolicyFault::NoService { .. }));
    assert!(matches!(
        refused(&["main", "other", "main"]),
        PolicyFault::ServiceTwice { .. }
    ));
    assert!(matches!(
        refused(&["main", "third"]),
        PolicyFault::Unknown { .. }
    ));
}

/// Kept from a want that was settled: the next one has all services again.
#[test]
fn each_want_may_go_through_all_services_again() {
    let world = World::under(two_services());
    for _ in 0..2 {
        world.want(&Want::clone(&key(SIGNING))).unwrap();
        let mut asked = Vec::new();
        while let Some(order) = world.order() {
            fail(&world, &order, FailureClass::Unreachable);
            world.finish(&order.round);
            asked.push(order.service);
        }
        asked.sort_unstable();
        assert_eq!(asked, ["main", "other"]);
        world.wait_ms(30_000);
    }
}
