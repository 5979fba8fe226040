//! Rounds in the clear, and what an agent cannot make of them.

use super::service::{self, fields, signed};
use super::world::*;
use crate::policy::{KeyRule, PolicySet, Service, Source, Unsigned};
use crate::rounds::{Order, ResourceFault, RoundError, RoundFailure, Told};
use nitride_kbs::envelope::EnvelopeFields;
use nitride_protocol::{Operation, OperationSet, Status};

const SAID: Told = Told {
    version: 1,
    lease_secs: None,
};

/// The secret is with `main`, which is blind, and with two that are not; nothing else is.
fn in_clear() -> PolicySet {
    let mut policy = policy();
    for name in ["bao", "spare"] {
        policy.services.push(Service {
            plaintext_courier: true,
            ..served(name)
        });
    }
    let secret = secret_of(&mut policy);
    secret.plaintext_courier = true;
    secret.operations = OperationSet::of(&[Operation::Release]);
    name_services(secret, &["bao"]);
    policy
}

fn secret_of(policy: &mut PolicySet) -> &mut KeyRule {
    &mut policy.keys[1]
}

fn name_services(rule: &mut KeyRule, names: &[&str]) {
    let Source::Kbs { services, .. } = &mut rule.source else {
        panic!("the secret is provisioned");
    };
    *services = names.iter().map(|name| (*name).to_owned()).collect();
}

fn unsigned() -> PolicySet {
    let mut policy = in_clear();
    secret_of(&mut policy).unsigned = Unsigned::Accept;
    policy
}

fn envelope(version: u32, material: &[u8]) -> Vec<u8> {
    signed(&EnvelopeFields {
        key_type: "secret",
        version,
        ..fields(SECRET_PATH, material)
    })
}

impl World {
    fn ordered(&self, name: &str) -> Order {
        self.want(&key(name)).unwrap();
        self.order().unwrap()
    }

    fn read(
        &self,
        order: &Order,
        path: &str,
        material: &[u8],
        told: Told,
    ) -> Result<(), RoundError> {
        let draw = &mut self.draw();
        let read = (material, told);
        self.vault
            .accept_plaintext(&order.round, path, read, self.now(), draw)
    }

    /// A round for the secret that brings this.
    fn brings(&self, material: &[u8], told: Told) -> Result<(), RoundError> {
        let order = self.ordered(SECRET);
        assert!(order.in_clear);
        let taken = self.read(&order, SECRET_PATH, material, told);
        let settled = only(self.finish(&order.round));
        assert_eq!(settled.outcome.is_ok(), taken.is_ok());
        assert_eq!(settled.in_clear, taken.is_ok());
        self.vault.agent_connected();
        taken
    }

    fn is_marked(&self) -> bool {
        let key = self.vault.keys.find(SECRET).unwrap().unwrap();
        let body = key.read().unwrap();
        body.versions.last().unwrap().was_in_clear
    }

    fn is_missing(&self) -> bool {
        let policy = self.vault.policy();
        let rule = policy.key_rule(SECRET).unwrap();
        self.vault.keys.is_missing(&policy, rule, self.now())
    }
}

fn fault(error: RoundError) -> ResourceFault {
    match error {
        RoundError::Resource(fault) => fault,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_agent_that_brings_in_the_clear_what_no_policy_says_that_of_brings_nothing() {
    // Neither where no service is in the clear, nor where another key has one that is.
    for policy in [policy(), in_clear()] {
        let world = World::under(policy);
        let order = world.ordered(SIGNING);
        assert!(!order.in_clear);
        let lies = [signing_envelope(), SCALAR.to_vec()];
        for lie in &lies {
            let refused = world.read(&order, SIGNING_PATH, lie, SAID).unwrap_err();
            assert!(matches!(refused, RoundError::NotInClear));
            assert_eq!(refused.status(), Status::Denied);
        }
        // Nor once the round has its key.
        let answered = world.vault.challenge(&order.round, NONCE, &[], world.now());
        answered.unwrap();
        for lie in &lies {
            let refused = world.read(&order, SIGNING_PATH, lie, SAID);
            assert!(matches!(refused, Err(RoundError::NotInClear)));
        }
        let settled = only(world.finish(&order.round));
        assert!(!settled.in_clear);
        let failure = settled.outcome.unwrap_err();
        assert!(matches!(failure, RoundFailure::PlaintextRefused));
        assert_eq!(failure.status(), Status::ResourceRefused);
        assert_eq!(world.held(SIGNING), None);
    }
}

#[test]
fn a_lie_in_the_clear_keeps_nothing_away_that_comes_as_it_should() {
    let world = World::new();
    let round = world.challenged(&key(SIGNING));
    let lie = world.read(&round.order, SIGNING_PATH, &SCALAR, SAID);
    assert!(matches!(lie, Err(RoundError::NotInClear)));
    world
        .deliver(&round, SIGNING_PATH, &signing_envelope())
        .unwrap();
    let settled = only(world.finish(&round.order.round));
    assert!(settled.outcome.is_ok() && !settled.in_clear);
}

#[test]
fn in_a_round_in_the_clear_nothing_else_is_taken_and_nothing_outside_its_order() {
    let world = World::under(in_clear());
    let order = world.ordered(SECRET);
    let (vault, now) = (&world.vault, world.now());
    let challenged = vault.challenge(&order.round, NONCE, &[], now);
    assert!(matches!(challenged, Err(RoundError::InClear)));
    let result = vault.accept_result(&order.round, "a.b.c", now);
    assert!(matches!(result, Err(RoundError::InClear)));
    let jwe = world.deliver_jwe(&order.round, SECRET_PATH, b"{}");
    assert!(matches!(jwe, Err(RoundError::InClear)));
    let other = world.read(&order, SIGNING_PATH, &signing_envelope(), SAID);
    assert!(matches!(other, Err(RoundError::OutsideOrder)));
    world
        .read(&order, SECRET_PATH, &envelope(1, b"hunter2"), SAID)
        .unwrap();
    let again = world.read(&order, SECRET_PATH, &envelope(2, b"hunter3"), SAID);
    assert!(matches!(again, Err(RoundError::DeliveredTwice)));
    assert_eq!(world.held(SIGNING), None);
    assert_eq!(world.held(SECRET), Some((1, b"hunter2".to_vec())));
}

#[test]
fn what_the_agent_has_read_is_marked_and_an_envelope_is_judged_as_ever() {
    let world = World::under(in_clear());
    let told = Told {
        version: 9,
        lease_secs: None,
    };
    let unsigned = fault(world.brings(b"hunter2", told).unwrap_err());
    assert!(matches!(unsigned, ResourceFault::Unsigned));
    let forged = service::signed_by(service::STRANGER, service::KID, &fields(SECRET_PATH, b"x"));
    let forged = fault(world.brings(&forged, told).unwrap_err());
    assert!(matches!(forged, ResourceFault::Envelope(_)));
    let empty = fault(world.brings(b"", told).unwrap_err());
    assert!(matches!(empty, ResourceFault::Empty));
    // An envelope has its own version.
    world.brings(&envelope(2, b"hunter2"), told).unwrap();
    assert_eq!(world.held(SECRET), Some((2, b"hunter2".to_vec())));
    assert!(world.is_marked());
}

#[test]
fn the_agents_word_shortens_a_lease_and_is_the_version_of_what_says_nothing_of_itself() {
    let mut policy = unsigned();
    secret_of(&mut policy).lease_secs = Some(60);
    let world = World::under(policy);
    let say = |version, lease_secs| Told {
        version,
        lease_secs,
    };
    world.brings(b"one", say(4, Some(1_000_000))).unwrap();
    assert_eq!(world.held(SECRET), Some((4, b"one".to_vec())));
    assert!(!world.is_missing());
    world.wait_ms(61_000);
    assert!(world.is_missing(), "the rule's lease ends it");
    world.brings(b"two", say(5, Some(10))).unwrap();
    world.wait_ms(11_000);
    assert!(world.is_missing(), "the shorter one does");
    let older = fault(world.brings(b"one", say(4, None)).unwrap_err());
    assert!(matches!(older, ResourceFault::OlderVersion { held: 5 }));
}

#[test]
fn the_agents_word_on_a_lease_is_of_one_delivery_and_of_no_other_version() {
    let mut policy = in_clear();
    secret_of(&mut policy).lease_secs = Some(60);
    secret_of(&mut policy).prefetch = true;
    let world = World::under(policy);
    let say = |lease_secs| Told {
        version: 1,
        lease_secs,
    };
    world.brings(&envelope(1, b"one"), say(Some(1))).unwrap();
    world.wait_ms(2_000);
    assert!(world.is_missing());
    // The next delivery has its own word.
    world.brings(&envelope(1, b"one"), say(None)).unwrap();
    world.wait_ms(40_000);
    assert!(!world.is_missing());
    // What is said of a newer version means no older one.
    world.brings(&envelope(2, b"two"), say(Some(1))).unwrap();
    let found = world.vault.keys.find(SECRET).unwrap().unwrap();
    let body = found.read().unwrap();
    assert_eq!(body.versions.len(), 2);
    for version in &body.versions {
        let own = version.own.as_ref().unwrap();
        assert_ne!(own.lease_secs, Some(1), "version {}", version.number);
    }
}

#[test]
fn a_policy_that_takes_its_words_back_takes_along_what_the_agent_has_read() {
    let world = World::under(in_clear());
    world.brings(&envelope(1, b"hunter2"), SAID).unwrap();
    assert!(!world.is_missing());
    let mut blind = in_clear();
    let secret = secret_of(&mut blind);
    secret.plaintext_courier = false;
    name_services(secret, &["main"]);
    world.vault.replace_policy(blind, world.now()).unwrap();
    assert!(world.is_missing(), "it is not what the policy takes");
}

#[test]
fn what_was_read_once_stays_read_however_it_comes_again() {
    let mut policy = in_clear();
    let secret = secret_of(&mut policy);
    name_services(secret, &["main", "bao"]);
    secret.lease_secs = Some(60);
    secret.prefetch = true;
    let blindly = |world: &World| {
        let round = world.challenged(&key(SECRET));
        world
            .deliver(&round, SECRET_PATH, &envelope(1, b"hunter2"))
            .unwrap();
        assert!(!only(world.finish(&round.order.round)).in_clear);
    };
    let world = World::under(policy.clone());
    blindly(&world);
    assert!(!world.is_marked());
    // The first service is not reached, and the second is read.
    world.wait_ms(40_000);
    let order = world.ordered(SECRET);
    assert!(!order.in_clear);
    world.finish(&order.round);
    let order = world.order().unwrap();
    assert!(order.in_clear);
    let same = envelope(1, b"hunter2");
    world.read(&order, SECRET_PATH, &same, SAID).unwrap();
    assert!(only(world.finish(&order.round)).in_clear);
    assert!(world.is_marked());
    world.vault.agent_connected();
    world.wait_ms(40_000);
    blindly(&world);
    assert!(world.is_marked());
}

#[test]
fn a_service_that_is_not_in_the_clear_any_more_brings_nothing_of_what_was_ordered_before() {
    let mut both = in_clear();
    name_services(secret_of(&mut both), &["bao", "spare"]);
    let world = World::under(both.clone());
    let order = world.ordered(SECRET);
    // The key's rule is the same: it still has a service that is read.
    for service in &mut both.services {
        service.plaintext_courier &= service.name == "spare";
    }
    world.vault.replace_policy(both, world.now()).unwrap();
    let refused = world.read(&order, SECRET_PATH, &envelope(1, b"hunter2"), SAID);
    assert!(matches!(
        fault(refused.unwrap_err()),
        ResourceFault::PolicyChanged
    ));
    assert_eq!(world.held(SECRET), None);
}
