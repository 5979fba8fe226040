use super::world::*;
use crate::Want;
use crate::policy::{KeyRule, PolicySet, Source};
use crate::rounds::{RoundFailure, WantRefused};
use nitride_kbs::resource::ResourcePath;
use nitride_protocol::KeyType;
use nitride_protocol::limits::MAX_RESOURCES_PER_ROUND;
use std::collections::HashSet;

fn many_keys(count: usize) -> PolicySet {
    let keys = (0..count)
        .map(|at| KeyRule {
            prefetch: true,
            ..rule(
                &format!("many/{at}"),
                KeyType::Secret,
                "main",
                &format!("default/many/{at}"),
            )
        })
        .collect();
    PolicySet { keys, ..policy() }
}

#[test]
fn a_missing_key_arrives_in_one_round() {
    let world = World::new();
    let round = world.challenged(&key(SIGNING));
    assert_eq!(round.order.service, "main");
    let path = ResourcePath::parse(SIGNING_PATH).unwrap();
    assert_eq!(round.order.resources, [path]);
    assert!(!round.order.result_wanted);
    world
        .deliver(&round, SIGNING_PATH, &signing_envelope())
        .unwrap();
    let settled = only(world.finish(&round.order.round));
    assert_eq!(settled.want, key(SIGNING));
    assert!(settled.outcome.is_ok());
    assert_eq!(world.held(SIGNING), Some((1, SCALAR.to_vec())));
}

#[test]
fn a_thousand_wants_of_one_key_are_one_round() {
    let world = World::new();
    let first = world.want(&key(SIGNING)).unwrap();
    for _ in 0..499 {
        assert_eq!(world.want(&key(SIGNING)).unwrap(), first);
    }
    let order = world.order().unwrap();
    assert_eq!(order.round, first);
    world
        .vault
        .challenge(&first, NONCE, &[], world.now())
        .unwrap();
    for _ in 0..500 {
        assert_eq!(world.want(&key(SIGNING)).unwrap(), first);
    }
    assert_eq!(world.order(), None);
    assert_eq!(world.finish(&first).len(), 1);
}

#[test]
fn many_threads_that_want_one_key_get_one_round() {
    let world = World::new();
    let vault = &world.vault;
    let now = world.now();
    let rounds: HashSet<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|_| {
                let mut draw = world.draw();
                scope.spawn(move || {
                    let mut want = || vault.want(&key(SIGNING), now, &mut draw).unwrap();
                    (0..125).map(|_| want()).collect::<HashSet<_>>()
                })
            })
            .collect();
        threads
            .into_iter()
            .flat_map(|thread| thread.join().unwrap())
            .collect()
    });
    assert_eq!(rounds.len(), 1);
    assert!(world.order().is_some());
    assert_eq!(world.order(), None);
}

#[test]
fn one_order_carries_all_that_is_wanted_of_a_service() {
    let world = World::new();
    for want in [key(SIGNING), key(ELSEWHERE), gate(), key(SECRET)] {
        world.want(&want).unwrap();
    }
    let main = world.order().unwrap();
    let paths: Vec<_> = main.resources.iter().map(ResourcePath::as_str).collect();
    assert_eq!(
        (main.service.as_str(), paths),
        ("main", vec![SIGNING_PATH, SECRET_PATH])
    );
    assert!(main.result_wanted);
    let other = world.order().unwrap();
    assert_eq!(
        (other.service.as_str(), other.result_wanted),
        ("other", false)
    );
    assert_ne!(main.round, other.round);
    assert_eq!(world.order(), None);
}

#[test]
fn what_is_wanted_after_the_order_was_taken_goes_into_the_next() {
    let world = World::new();
    let first = world.want(&key(SIGNING)).unwrap();
    world.order().unwrap();
    let second = world.want(&key(SECRET)).unwrap();
    assert_ne!(first, second);
    assert_eq!(world.order().unwrap().round, second);
}

#[test]
fn what_exceeds_one_round_goes_into_the_next() {
    let world = World::under(many_keys(MAX_RESOURCES_PER_ROUND + 6));
    for at in 0..MAX_RESOURCES_PER_ROUND + 6 {
        world.want(&key(&format!("many/{at}"))).unwrap();
    }
    assert_eq!(
        world.order().unwrap().resources.len(),
        MAX_RESOURCES_PER_ROUND
    );
    assert_eq!(world.order().unwrap().resources.len(), 6);
    assert_eq!(world.order(), None);
}

#[test]
fn prefetch_orders_every_missing_key_of_a_service_at_once() {
    let world = World::under(many_keys(3));
    world.want(&key("many/1")).unwrap();
    for _ in 0..2 {
        world.vault.prefetch(world.now(), &mut world.draw());
    }
    assert_eq!(world.order().unwrap().resources.len(), 3);
    assert_eq!(world.order(), None);
}

#[test]
fn prefetch_leaves_alone_what_is_there_and_what_is_fetched_on_use() {
    let mut policy = policy();
    policy.keys[0].prefetch = true;
    let world = World::under(policy);
    let round = world.challenged(&key(SIGNING));
    world
        .deliver(&round, SIGNING_PATH, &signing_envelope())
        .unwrap();
    world.finish(&round.order.round);
    world.vault.prefetch(world.now(), &mut world.draw());
    assert_eq!(world.order(), None);
}

#[test]
fn a_key_that_arrived_meanwhile_is_not_ordered_again() {
    let world = World::new();
    let round = world.challenged(&key(SIGNING));
    world
        .deliver(&round, SIGNING_PATH, &signing_envelope())
        .unwrap();
    world.finish(&round.order.round);
    // Whoever saw it missing just before it came.
    world.want(&key(SIGNING)).unwrap();
    assert_eq!(world.order(), None);
    assert!(only(world.vault.expire(world.now())).outcome.is_ok());
}

#[test]
fn a_gate_that_was_approved_meanwhile_is_not_ordered_again() {
    let world = World::new();
    let rule = &policy().gates[0];
    world.want(&gate()).unwrap();
    world.vault.gates.approve_unjudged(rule, world.now.get());
    assert_eq!(world.order(), None);
    assert!(only(world.vault.expire(world.now())).outcome.is_ok());
    // Once it has aged, it is.
    world.wait_ms(rule.max_age_ms + 1);
    world.want(&gate()).unwrap();
    assert!(world.order().unwrap().result_wanted);
}

#[test]
fn two_keys_of_one_resource_share_its_delivery() {
    let mut policy = policy();
    policy
        .keys
        .push(rule("app/alias", KeyType::EcP256, "main", SIGNING_PATH));
    let world = World::under(policy);
    world.want(&key("app/alias")).unwrap();
    let round = world.challenged(&key(SIGNING));
    assert_eq!(round.order.resources.len(), 1);
    world
        .deliver(&round, SIGNING_PATH, &signing_envelope())
        .unwrap();
    let settled = world.finish(&round.order.round);
    assert!(settled.len() == 2 && settled.iter().all(|one| one.outcome.is_ok()));
    assert_eq!(world.held("app/alias"), world.held(SIGNING));
}

#[test]
fn what_no_service_brings_is_not_wanted() {
    let mut policy = policy();
    policy.keys[0].source = Source::Local;
    policy.keys[0].signer = vec![];
    let world = World::under(policy);
    let no_gate = Want::Gate { name: "no".into() };
    for want in [key(SIGNING), key("app/unknown"), no_gate] {
        assert!(matches!(world.want(&want), Err(WantRefused::NoService)));
    }
    assert_eq!(world.order(), None);
}

#[test]
fn what_the_new_policy_brings_no_more_or_from_elsewhere_settles_without_an_order() {
    let world = World::new();
    world.want(&key(SIGNING)).unwrap();
    world.want(&gate()).unwrap();
    world.want(&key(SECRET)).unwrap();
    world.want(&key(PLAIN)).unwrap();
    let mut changed = policy();
    changed.keys[1].source = Source::Local;
    changed.keys[1].signer.clear();
    changed.keys[2].source = Source::Kbs {
        services: vec!["other".into()],
        path: ResourcePath::parse(PLAIN_PATH).unwrap(),
    };
    changed.keys.remove(0);
    changed.gates.clear();
    world.vault.replace_policy(changed, world.now()).unwrap();
    assert_eq!(world.order(), None);
    let settled = world.vault.expire(world.now());
    assert_eq!(settled.len(), 4);
    for one in settled {
        assert!(matches!(one.outcome, Err(RoundFailure::PolicyChanged)));
    }
}

#[test]
fn a_courier_that_ends_no_round_gets_only_so_many() {
    let world = World::under(many_keys(40));
    for at in 0..40 {
        world.want(&key(&format!("many/{at}"))).unwrap();
        // Each its own round: the order is taken before the next is wanted.
        world.order();
    }
    assert_eq!(world.order(), None);
    world.wait_ms(60_000);
    assert_eq!(world.vault.expire(world.now()).len(), 16);
    assert_eq!(world.order().unwrap().resources.len(), 24);
}

#[test]
fn a_round_id_is_never_given_twice() {
    let world = World::under(many_keys(10));
    let rounds: HashSet<_> = (0..10)
        .map(|at| {
            let round = world.want(&key(&format!("many/{at}"))).unwrap();
            world.order().unwrap();
            round
        })
        .collect();
    assert_eq!(rounds.len(), 10);
}
