//! Who may what: rule and key policy, state, validity, gate, sockets.

use super::world::{EVERYTHING, Not, World, gate, key, name, peer, policy, rule, uid};
use crate::policy::{NamePattern, PeerMatch, Rule, Source};
use crate::{Refusal, Socket, Want};
use nitride_protocol::admin::{Destroy, Import, Reload};
use nitride_protocol::application::{Describe, Generate, Random, Sign, StatusRequest};
use nitride_protocol::{KeyType, MaterialFormat, Operation, OperationSet, Status};

const DENIED: Not = Not::Done(Status::Denied);
/// Of the other socket.
const ELSEWHERE: Not = Not::Done(Status::UnknownOperation);

fn sign(key: &str) -> Sign<'_> {
    Sign {
        key: name(key),
        scheme: None,
        message: b"message",
        prehashed: false,
    }
}

fn ec(name: &str) -> crate::policy::KeyRule {
    key(name, KeyType::EcP256, Source::Generate)
}

#[test]
fn without_a_rule_everything_is_denied() {
    let mut world = World::new(policy(vec![], vec![ec("k")]));
    let mut app = world.application(1);
    assert_eq!(world.ask(&mut app, &sign("k")).unwrap_err(), DENIED);
    assert_eq!(world.ask(&mut app, &Random { len: 1 }).unwrap_err(), DENIED);
    let generate = Generate {
        key: name("new"),
        key_type: KeyType::EcP256,
        operations: None,
        wrappable_by: Vec::new(),
    };
    assert_eq!(world.ask(&mut app, &generate).unwrap_err(), DENIED);
}

#[test]
fn a_rule_is_about_its_peers_its_names_and_its_operations_alone() {
    let rules = vec![rule(1, "app/*", &[Operation::Sign])];
    let keys = vec![ec("app/k"), ec("other/k")];
    let mut world = World::new(policy(rules, keys));
    let mut named = world.application(1);
    let mut other = world.application(2);
    world.ask(&mut named, &sign("app/k")).unwrap();
    assert_eq!(world.ask(&mut other, &sign("app/k")).unwrap_err(), DENIED);
    assert_eq!(world.ask(&mut named, &sign("other/k")).unwrap_err(), DENIED);
    let describe = Describe { key: name("app/k") };
    assert_eq!(world.ask(&mut named, &describe).unwrap_err(), DENIED);
}

#[test]
fn conditions_of_one_match_are_all_asked_and_matches_are_alternatives() {
    let both = PeerMatch {
        unit: Some("unit-1.service".into()),
        ..uid(1)
    };
    let wrong_unit = PeerMatch {
        unit: Some("unit-9.service".into()),
        ..uid(2)
    };
    let one_rule = Rule {
        name: "units".into(),
        keys: vec![NamePattern::parse("k").unwrap()],
        peers: vec![both, wrong_unit],
        operations: OperationSet::of(&[Operation::Sign]),
    };
    let mut world = World::new(policy(vec![one_rule], vec![ec("k")]));
    let mut first = world.application(1);
    let mut second = world.application(2);
    world.ask(&mut first, &sign("k")).unwrap();
    assert_eq!(world.ask(&mut second, &sign("k")).unwrap_err(), DENIED);
}

#[test]
fn both_rule_and_key_policy_must_allow() {
    let mut narrow = ec("narrow");
    narrow.operations = OperationSet::of(&[Operation::Verify]);
    let rules = vec![rule(1, "**", EVERYTHING)];
    let mut world = World::new(policy(rules, vec![narrow, ec("wide")]));
    let mut app = world.application(1);
    world.ask(&mut app, &sign("wide")).unwrap();
    assert_eq!(world.ask(&mut app, &sign("narrow")).unwrap_err(), DENIED);
    let operation = Operation::Sign;
    assert_eq!(app.refusal(), Some(Refusal::KeyForbids { operation }));
    // Denied before anything was made for it.
    assert!(world.vault.keys.find("narrow").unwrap().is_none());
}

#[test]
fn what_travels_with_a_key_must_allow_too() {
    let rules = vec![rule(1, "**", EVERYTHING)];
    let mut world = World::new(policy(rules, vec![]));
    let mut app = world.application(1);
    let generate = Generate {
        key: name("k"),
        key_type: KeyType::EcP256,
        operations: Some(OperationSet::of(&[Operation::Verify])),
        wrappable_by: Vec::new(),
    };
    world.ask(&mut app, &generate).unwrap();
    assert_eq!(world.ask(&mut app, &sign("k")).unwrap_err(), DENIED);
}

#[test]
fn a_stranger_cannot_tell_a_key_from_no_key() {
    let rules = vec![rule(1, "**", EVERYTHING)];
    let mut world = World::new(policy(rules, vec![ec("there")]));
    let mut owner = world.application(1);
    let mut stranger = world.application(2);
    world.ask(&mut owner, &sign("there")).unwrap();
    for operation_on in ["there", "nowhere"] {
        assert_eq!(
            world.ask(&mut stranger, &sign(operation_on)).unwrap_err(),
            DENIED
        );
        let describe = Describe {
            key: name(operation_on),
        };
        assert_eq!(world.ask(&mut stranger, &describe).unwrap_err(), DENIED);
    }
    let missing = world.ask(&mut owner, &sign("nowhere")).unwrap_err();
    assert_eq!(missing, Not::Done(Status::KeyNotFound));
}

#[test]
fn the_wrong_type_is_named_before_anything_is_made() {
    let rules = vec![rule(1, "**", EVERYTHING)];
    let keys = vec![key("tag", KeyType::HmacSha256, Source::Generate)];
    let mut world = World::new(policy(rules, keys));
    let mut app = world.application(1);
    let refused = world.ask(&mut app, &sign("tag")).unwrap_err();
    assert_eq!(refused, Not::Done(Status::WrongKeyType));
    assert!(world.vault.keys.find("tag").unwrap().is_none());
}

#[test]
fn a_key_is_used_between_not_before_and_not_after_alone() {
    let mut bounded = ec("k");
    bounded.not_before = Some(1_800_000_010);
    bounded.not_after = Some(1_800_000_020);
    let mut world = World::new(policy(vec![rule(1, "**", EVERYTHING)], vec![bounded]));
    let mut app = world.application(1);
    for (wall_secs, expected) in [
        (0, Err(Not::Done(Status::KeyExpired))), // unknown
        (1_800_000_009, Err(Not::Done(Status::NotYetValid))),
        (1_800_000_010, Ok(())),
        (1_800_000_020, Ok(())),
        (1_800_000_021, Err(Not::Done(Status::KeyExpired))),
    ] {
        world.now.wall_secs = wall_secs;
        let asked = world.ask(&mut app, &sign("k")).map(drop);
        assert_eq!(asked, expected, "at {wall_secs}");
    }
}

#[test]
fn an_unknown_wall_clock_is_before_no_end() {
    let mut ending = ec("k");
    ending.not_after = Some(1_900_000_000);
    let mut world = World::new(policy(vec![rule(1, "**", EVERYTHING)], vec![ending]));
    let mut app = world.application(1);
    world.ask(&mut app, &sign("k")).unwrap();
    world.now.wall_secs = 0;
    let expired = Not::Done(Status::KeyExpired);
    assert_eq!(world.ask(&mut app, &sign("k")).unwrap_err(), expired);
}

#[test]
fn a_gate_is_asked_at_every_use_and_approvals_age() {
    let mut gated = ec("k");
    gated.gate = Some("vm".into());
    let mut world = World::new(policy(vec![rule(1, "**", EVERYTHING)], vec![gated]));
    let mut app = world.application(1);
    let wanted = Not::Yet(Want::Gate { name: "vm".into() });
    assert_eq!(world.ask(&mut app, &sign("k")).unwrap_err(), wanted);
    assert!(world.vault.keys.find("k").unwrap().is_none());
    world.approve("vm", 50_000);
    world.ask(&mut app, &sign("k")).unwrap();
    world.pass_secs(10);
    world.ask(&mut app, &sign("k")).unwrap();
    world.now.boot_ms += 1;
    assert_eq!(world.ask(&mut app, &sign("k")).unwrap_err(), wanted);
}

#[test]
fn a_gate_does_not_hide_what_can_only_be_refused() {
    let mut gated = ec("k");
    gated.gate = Some("vm".into());
    gated.operations = OperationSet::of(&[Operation::Sign]);
    let rules = vec![rule(1, "**", EVERYTHING)];
    let mut world = World::new(policy(rules, vec![gated]));
    let mut app = world.application(1);
    let public_key = nitride_protocol::application::PublicKey {
        key: name("k"),
        version: None,
    };
    assert_eq!(world.ask(&mut app, &public_key).unwrap_err(), DENIED);
    // Describing uses nothing.
    let describe = Describe { key: name("k") };
    let described = world.ask(&mut app, &describe).unwrap();
    assert_eq!(described.result().gate, Some("vm"));
}

#[test]
fn a_gate_counts_under_the_rule_by_which_it_was_judged() {
    let mut gated = ec("k");
    gated.gate = Some("vm".into());
    let rules = vec![rule(1, "**", EVERYTHING)];
    let mut set = policy(rules, vec![gated]);
    let mut world = World::new(set.clone());
    let mut app = world.application(1);
    world.approve("vm", 0);
    world.ask(&mut app, &sign("k")).unwrap();
    set.gates = vec![crate::policy::GateRule {
        audience: "another".into(),
        ..gate("vm", 60_000)
    }];
    world.vault.replace_policy(set, world.now).unwrap();
    let wanted = Not::Yet(Want::Gate { name: "vm".into() });
    assert_eq!(world.ask(&mut app, &sign("k")).unwrap_err(), wanted);
}

#[test]
fn an_administrators_operations_are_not_for_the_application_socket() {
    let rules = vec![rule(0, "**", EVERYTHING)];
    let mut world = World::new(policy(rules, vec![ec("k")]));
    let mut root = world.application(0);
    world.ask(&mut root, &sign("k")).unwrap();
    let destroy = Destroy {
        key: name("k"),
        version: None,
    };
    assert_eq!(world.ask(&mut root, &destroy).unwrap_err(), ELSEWHERE);
    let import = Import {
        key: name("new"),
        key_type: KeyType::Secret,
        operations: None,
        material: b"material",
        format: MaterialFormat::Raw,
        wrapping_key: None,
        wrappable_by: Vec::new(),
    };
    assert_eq!(world.ask(&mut root, &import).unwrap_err(), ELSEWHERE);
    assert_eq!(world.ask(&mut root, &Reload).unwrap_err(), ELSEWHERE);
}

#[test]
fn keys_are_not_used_over_the_admin_socket() {
    let rules = vec![rule(0, "**", EVERYTHING)];
    let mut world = World::new(policy(rules, vec![ec("k")]));
    let mut root = world.admin(0);
    assert_eq!(world.ask(&mut root, &sign("k")).unwrap_err(), ELSEWHERE);
    assert_eq!(
        world.ask(&mut root, &Random { len: 1 }).unwrap_err(),
        ELSEWHERE
    );
}

#[test]
fn only_administrators_do_anything_on_the_admin_socket() {
    let rules = vec![rule(5, "**", EVERYTHING)];
    let mut world = World::new(policy(rules, vec![ec("k")]));
    let mut other = world.vault.session(peer(5), Socket::Admin);
    let describe = Describe { key: name("k") };
    assert_eq!(world.ask(&mut other, &describe).unwrap_err(), DENIED);
    assert_eq!(world.ask(&mut other, &Reload).unwrap_err(), DENIED);
    assert_eq!(
        world
            .ask(&mut other, &StatusRequest::default())
            .unwrap_err(),
        DENIED
    );
    assert_eq!(other.refusal(), Some(Refusal::NotAdmin));
    let mut admin = world.admin(0);
    world.ask(&mut admin, &describe).unwrap();
}

#[test]
fn without_stated_administrators_there_are_none() {
    let mut set = policy(vec![], vec![ec("k")]);
    set.admins = vec![];
    let mut world = World::new(set);
    let mut root = world.admin(0);
    let describe = Describe { key: name("k") };
    assert_eq!(world.ask(&mut root, &describe).unwrap_err(), DENIED);
}
