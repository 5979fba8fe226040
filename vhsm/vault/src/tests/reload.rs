//! A new policy counts at once, as a whole, or not at all.

use super::world::{EVERYTHING, Not, World, key, name, policy, rule};
use crate::policy::{PolicyFault, Source};
use crate::{Outcome, Refusal};
use nitride_protocol::admin::Import;
use nitride_protocol::application::{Generate, Mac, Sign, Verify};
use nitride_protocol::{
    Call, KeyType, MaterialFormat, Operation, OperationSet, Status, open_reply, open_request,
    write_request,
};

const DENIED: Not = Not::Done(Status::Denied);

fn sign() -> Sign<'static> {
    Sign {
        key: name("k"),
        scheme: None,
        message: b"message",
        prehashed: false,
    }
}

fn ec() -> crate::policy::KeyRule {
    key("k", KeyType::EcP256, Source::Generate)
}

#[test]
fn a_session_that_remembers_an_allowance_forgets_it() {
    let mut world = World::new(policy(vec![rule(1, "**", EVERYTHING)], vec![ec()]));
    let mut app = world.application(1);
    world.ask(&mut app, &sign()).unwrap();
    world.ask(&mut app, &sign()).unwrap();
    let narrower = policy(vec![rule(1, "**", &[Operation::Verify])], vec![ec()]);
    world.vault.replace_policy(narrower, world.now).unwrap();
    assert_eq!(world.ask(&mut app, &sign()).unwrap_err(), DENIED);
}

#[test]
fn a_session_that_was_denied_is_asked_anew() {
    let mut world = World::new(policy(vec![], vec![ec()]));
    let mut app = world.application(1);
    assert_eq!(world.ask(&mut app, &sign()).unwrap_err(), DENIED);
    let wider = policy(vec![rule(1, "k", &[Operation::Sign])], vec![ec()]);
    world.vault.replace_policy(wider, world.now).unwrap();
    world.ask(&mut app, &sign()).unwrap();
}

#[test]
fn the_same_generation_number_does_not_hide_a_change() {
    let mut world = World::new(policy(vec![rule(1, "**", EVERYTHING)], vec![ec()]));
    let mut app = world.application(1);
    world.ask(&mut app, &sign()).unwrap();
    let other = policy(vec![], vec![ec()]);
    assert_eq!(other.generation, 1);
    world.vault.replace_policy(other, world.now).unwrap();
    assert_eq!(world.ask(&mut app, &sign()).unwrap_err(), DENIED);
}

#[test]
fn a_key_rule_narrows_a_key_that_is_there() {
    let rules = vec![rule(1, "**", EVERYTHING)];
    let mut world = World::new(policy(rules.clone(), vec![]));
    let mut app = world.application(1);
    let generate = Generate {
        key: name("k"),
        key_type: KeyType::EcP256,
        operations: None,
        wrappable_by: Vec::new(),
    };
    world.ask(&mut app, &generate).unwrap();
    world.ask(&mut app, &sign()).unwrap();
    let mut narrow = ec();
    narrow.operations = OperationSet::of(&[Operation::Verify]);
    let narrow = policy(rules.clone(), vec![narrow]);
    world.vault.replace_policy(narrow, world.now).unwrap();
    assert_eq!(world.ask(&mut app, &sign()).unwrap_err(), DENIED);
    // Made without a rule, it needs none when there is none again.
    let none = policy(rules, vec![]);
    world.vault.replace_policy(none, world.now).unwrap();
    world.ask(&mut app, &sign()).unwrap();
}

#[test]
fn a_key_rule_that_allows_more_does_so_for_a_key_that_is_there() {
    let rules = vec![rule(1, "**", EVERYTHING)];
    let mut narrow = ec();
    narrow.operations = OperationSet::of(&[Operation::PublicKey]);
    let mut world = World::new(policy(rules.clone(), vec![narrow]));
    let mut app = world.application(1);
    let generate = Generate {
        key: name("k"),
        key_type: KeyType::EcP256,
        operations: Some(OperationSet::of(&[Operation::PublicKey, Operation::Sign])),
        wrappable_by: Vec::new(),
    };
    world.ask(&mut app, &generate).unwrap();
    assert_eq!(world.ask(&mut app, &sign()).unwrap_err(), DENIED);
    let wider = policy(rules, vec![ec()]);
    world.vault.replace_policy(wider, world.now).unwrap();
    world.ask(&mut app, &sign()).unwrap();
    // But not what was not asked for when it was made.
    let verify = Verify {
        key: name("k"),
        version: None,
        scheme: None,
        message: b"message",
        signature: &[0; 64],
        prehashed: false,
    };
    assert_eq!(world.ask(&mut app, &verify).unwrap_err(), DENIED);
}

#[test]
fn taking_a_key_rule_away_does_not_widen() {
    let rules = vec![rule(1, "**", EVERYTHING)];
    let mut narrow = ec();
    narrow.operations = OperationSet::of(&[Operation::Sign]);
    let mut world = World::new(policy(rules.clone(), vec![narrow]));
    let mut app = world.application(1);
    world.ask(&mut app, &sign()).unwrap();
    let none = policy(rules, vec![]);
    world.vault.replace_policy(none, world.now).unwrap();
    assert_eq!(world.ask(&mut app, &sign()).unwrap_err(), DENIED);
}

#[test]
fn a_key_of_another_type_than_its_rule_says_is_not_used() {
    let rules = vec![rule(1, "**", EVERYTHING)];
    let mut world = World::new(policy(rules.clone(), vec![ec()]));
    let mut app = world.application(1);
    world.ask(&mut app, &sign()).unwrap();
    let other_type = key("k", KeyType::Ed25519, Source::Generate);
    let other_type = policy(rules, vec![other_type]);
    world.vault.replace_policy(other_type, world.now).unwrap();
    assert_eq!(world.ask(&mut app, &sign()).unwrap_err(), DENIED);
}

#[test]
fn an_imported_key_does_not_stand_in_for_one_that_is_to_be_made_here() {
    let rules = vec![rule(1, "**", EVERYTHING)];
    let mut world = World::new(policy(rules.clone(), vec![]));
    let (mut app, mut admin) = (world.application(1), world.admin(0));
    let import = Import {
        key: name("k"),
        key_type: KeyType::EcP256,
        operations: None,
        material: &[1; 32],
        format: MaterialFormat::Raw,
        wrapping_key: None,
        wrappable_by: Vec::new(),
    };
    world.ask(&mut admin, &import).unwrap();
    world.ask(&mut app, &sign()).unwrap();
    let made_here = policy(rules.clone(), vec![ec()]);
    world.vault.replace_policy(made_here, world.now).unwrap();
    assert_eq!(world.ask(&mut app, &sign()).unwrap_err(), DENIED);
    assert_eq!(app.refusal(), Some(Refusal::RuleContradicts));
    let by_request = key("k", KeyType::EcP256, Source::Local);
    let by_request = policy(rules, vec![by_request]);
    world.vault.replace_policy(by_request, world.now).unwrap();
    world.ask(&mut app, &sign()).unwrap();
}

#[test]
fn a_policy_that_contradicts_itself_is_not_taken() {
    let mut world = World::new(policy(vec![rule(1, "**", EVERYTHING)], vec![ec()]));
    let mut app = world.application(1);
    let doubled = policy(vec![], vec![ec(), ec()]);
    let refused = world.vault.replace_policy(doubled, world.now);
    let fault = PolicyFault::DuplicateKey {
        key: "k".parse().unwrap(),
    };
    assert_eq!(refused, Err(fault));
    world.ask(&mut app, &sign()).unwrap();
}

#[test]
fn administrators_change_with_the_policy() {
    let mut set = policy(vec![], vec![ec()]);
    let mut world = World::new(set.clone());
    let mut admin = world.admin(0);
    let describe = nitride_protocol::application::Describe { key: name("k") };
    world.ask(&mut admin, &describe).unwrap();
    set.admins = vec![];
    world.vault.replace_policy(set, world.now).unwrap();
    assert_eq!(world.ask(&mut admin, &describe).unwrap_err(), DENIED);
}

#[test]
fn a_session_remembers_a_bounded_number_of_names() {
    let rules = vec![rule(1, "**", &[Operation::Sign])];
    let mut world = World::new(policy(rules, vec![]));
    let mut app = world.application(1);
    for n in 0..2000 {
        let text = format!("k/{n}");
        let sign = Sign {
            key: name(&text),
            ..sign()
        };
        let missing = world.ask(&mut app, &sign).unwrap_err();
        assert_eq!(missing, Not::Done(Status::KeyNotFound));
        assert!(app.remembered() <= 256);
    }
    let mut stranger = world.application(2);
    assert_eq!(world.ask(&mut stranger, &sign()).unwrap_err(), DENIED);
    assert_eq!(stranger.remembered(), 0);
}

#[test]
fn a_million_names_leave_nothing_behind() {
    let rules = vec![rule(1, "**", EVERYTHING)];
    let mut world = World::new(policy(rules, vec![]));
    let mut app = world.application(1);
    let (mut packet, mut reply) = ([0; 128], [0; 128]);
    for number in 0..1_000_000 {
        let text = format!("k/{number}");
        let mac = Mac {
            key: name(&text),
            data: b"",
        };
        let len = write_request(&mut packet, 7, Mac::OPERATION, &mac).unwrap();
        let (head, params) = open_request(&packet[..len]).unwrap();
        let (now, draw) = (world.now, &mut world.draw);
        let vault = &world.vault;
        let outcome = vault.perform(&mut app, head, params, now, draw, &mut reply);
        let Outcome::Reply(len) = outcome else {
            panic!("{outcome:?}");
        };
        let (head, _) = open_reply(&reply[..len]).unwrap();
        assert_eq!(head.status, Status::KeyNotFound);
    }
    assert!(app.remembered() <= 256);
    assert_eq!(world.vault.keys.count(), Ok(0));
}
