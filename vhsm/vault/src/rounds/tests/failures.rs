use super::world::*;
use crate::rounds::{RoundError, RoundFailure, WantRefused};
use nitride_protocol::Status;
use nitride_protocol::agent::FailureClass;

/// Says that the round of one key failed, and ends it.
fn fail(world: &World, class: FailureClass, retry_after_ms: u32) -> RoundFailure {
    world.want(&key(SIGNING)).unwrap();
    let round = world.order().unwrap().round;
    let now = world.now();
    world
        .vault
        .record_failure(&round, None, class, retry_after_ms, now)
        .unwrap();
    only(world.finish(&round)).outcome.unwrap_err()
}

fn back_off_ms(world: &World) -> u64 {
    match world.want(&key(SIGNING)) {
        Ok(_) => 0,
        Err(WantRefused::BackOff { until_boot_ms, .. }) => until_boot_ms - world.now.get(),
        Err(other) => panic!("{other:?}"),
    }
}

#[test]
fn each_class_of_failure_has_its_own_status() {
    for (class, status) in [
        (FailureClass::Unreachable, Status::ServiceUnreachable),
        (FailureClass::Refused, Status::DeniedByVerifier),
        (FailureClass::NotFound, Status::ResourceRefused),
        (FailureClass::Protocol, Status::ServiceUnreachable),
        (FailureClass::TimedOut, Status::TimedOut),
    ] {
        assert_eq!(fail(&World::new(), class, 0).status(), status, "{class}");
    }
}

#[test]
fn a_resources_own_failure_counts_before_the_rounds() {
    let world = World::new();
    world.want(&key(SECRET)).unwrap();
    world.want(&key(SIGNING)).unwrap();
    let round = world.order().unwrap().round;
    let note = |path, class| {
        world
            .vault
            .record_failure(&round, path, class, 0, world.now())
    };
    note(Some(SIGNING_PATH), FailureClass::NotFound).unwrap();
    note(None, FailureClass::Unreachable).unwrap();
    for one in world.finish(&round) {
        let failure = one.outcome.unwrap_err();
        if one.want == key(SIGNING) {
            assert!(matches!(failure, RoundFailure::NotFound));
        } else {
            assert!(matches!(failure, RoundFailure::ServiceUnreachable));
        }
    }
}

#[test]
fn a_failure_of_a_resource_outside_the_order_is_refused() {
    let world = World::new();
    world.want(&key(SIGNING)).unwrap();
    let round = world.order().unwrap().round;
    let class = FailureClass::NotFound;
    let now = world.now();
    assert!(matches!(
        world
            .vault
            .record_failure(&round, Some(SECRET_PATH), class, 0, now),
        Err(RoundError::OutsideOrder)
    ));
}

#[test]
fn a_round_that_is_finished_without_delivery_or_reason_is_a_failure() {
    let world = World::new();
    let round = world.challenged(&key(SIGNING)).order.round;
    let failure = only(world.finish(&round)).outcome.unwrap_err();
    assert!(matches!(failure, RoundFailure::NotDelivered));
    assert_eq!(world.held(SIGNING), None);
}

#[test]
fn a_failure_is_followed_by_a_back_off_that_doubles_and_then_by_a_try() {
    let world = World::new();
    for expected in [250, 500, 1000, 2000] {
        fail(&world, FailureClass::Unreachable, 0);
        assert_eq!(back_off_ms(&world), expected);
        assert_eq!(world.order(), None);
        world.wait_ms(expected);
    }
    assert_eq!(back_off_ms(&world), 0);
    assert!(world.order().is_some());
}

#[test]
fn whoever_asks_during_a_back_off_learns_how_the_last_round_failed() {
    let world = World::new();
    fail(&world, FailureClass::Refused, 0);
    let refused = world.want(&key(SIGNING)).unwrap_err();
    assert_eq!(refused.status(), Status::DeniedByVerifier);
    // Another want is not concerned.
    assert!(world.want(&key(SECRET)).is_ok());
}

#[test]
fn a_lying_agent_cannot_keep_a_key_away_for_more_than_half_a_minute() {
    let world = World::new();
    for _ in 0..20 {
        fail(&world, FailureClass::Refused, u32::MAX);
        let wait_ms = back_off_ms(&world);
        assert!(wait_ms <= 30_000, "{wait_ms}");
        world.wait_ms(wait_ms);
    }
    let round = world.challenged(&key(SIGNING));
    world
        .deliver(&round, SIGNING_PATH, &signing_envelope())
        .unwrap();
    assert!(only(world.finish(&round.order.round)).outcome.is_ok());
}

#[test]
fn a_new_connection_of_the_agent_ends_every_back_off() {
    let world = World::new();
    fail(&world, FailureClass::Refused, 30_000);
    assert_ne!(back_off_ms(&world), 0);
    world.vault.agent_connected();
    assert_eq!(back_off_ms(&world), 0);
}

#[test]
fn a_success_ends_the_back_off() {
    let mut leased = policy();
    leased.keys[0].lease_secs = Some(1);
    let world = World::under(leased);
    fail(&world, FailureClass::Unreachable, 0);
    fail_after_back_off(&world);
    world.wait_ms(back_off_ms(&world));
    let round = world.challenged(&key(SIGNING));
    world
        .deliver(&round, SIGNING_PATH, &signing_envelope())
        .unwrap();
    world.finish(&round.order.round);
    world.wait_ms(1000);
    fail(&world, FailureClass::Unreachable, 0);
    assert_eq!(back_off_ms(&world), 250);
}

fn fail_after_back_off(world: &World) {
    world.wait_ms(back_off_ms(world));
    fail(world, FailureClass::Unreachable, 0);
    assert_eq!(back_off_ms(world), 500);
}

#[test]
fn a_round_expires_when_its_budget_is_spent() {
    let world = World::new();
    let round = world.challenged(&key(SIGNING));
    let budget_ms = u64::from(round.order.budget_ms);
    world.wait_ms(budget_ms);
    assert!(world.vault.expire(world.now()).is_empty());
    world.wait_ms(2000);
    let envelope = signing_envelope();
    assert!(matches!(
        world.deliver(&round, SIGNING_PATH, &envelope),
        Err(RoundError::Expired)
    ));
    let failure = only(world.vault.expire(world.now())).outcome.unwrap_err();
    assert_eq!(failure.status(), Status::TimedOut);
    assert!(matches!(
        world.deliver(&round, SIGNING_PATH, &envelope),
        Err(RoundError::UnknownRound)
    ));
    assert_eq!(world.held(SIGNING), None);
}

#[test]
fn what_was_delivered_before_a_round_expired_stays() {
    let world = World::new();
    world.want(&key(SECRET)).unwrap();
    let round = world.challenged(&key(SIGNING));
    world
        .deliver(&round, SIGNING_PATH, &signing_envelope())
        .unwrap();
    world.wait_ms(60_000);
    let settled = world.vault.expire(world.now());
    assert_eq!(settled.len(), 2);
    for one in settled {
        assert_eq!(one.outcome.is_ok(), one.want == key(SIGNING));
    }
}

#[test]
fn an_order_that_nobody_takes_waits() {
    let world = World::new();
    let round = world.want(&key(SIGNING)).unwrap();
    world.wait_ms(3_600_000);
    assert!(world.vault.expire(world.now()).is_empty());
    assert_eq!(world.order().unwrap().round, round);
}

#[test]
fn an_agent_that_goes_away_ends_what_is_under_way_without_a_back_off() {
    let world = World::new();
    let round = world.challenged(&key(SIGNING));
    world.want(&key(SECRET)).unwrap();
    let settled = world
        .vault
        .abandon_all(world.now(), RoundFailure::AgentAbsent);
    assert_eq!(settled.len(), 2);
    for one in settled {
        assert_eq!(one.outcome.unwrap_err().status(), Status::AgentAbsent);
    }
    assert!(matches!(
        world.deliver(&round, SIGNING_PATH, &signing_envelope()),
        Err(RoundError::UnknownRound)
    ));
    assert_eq!(back_off_ms(&world), 0);
    assert!(world.order().is_some());
}

#[test]
fn a_round_without_evidence_ends_at_once() {
    let world = World::new();
    let round = world.challenged(&key(SIGNING)).order.round;
    let failure = RoundFailure::EvidenceUnavailable;
    let settled = only(world.vault.fail_round(&round, failure, world.now()));
    let status = settled.outcome.unwrap_err().status();
    assert_eq!(status, Status::EvidenceUnavailable);
    assert!(world.finish(&round).is_empty());
}
