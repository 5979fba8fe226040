//! The only way out: `release` of a secret, to peers and to volumes.

use super::world::{EVERYTHING, Not, World, kbs, key, name, policy, rule, secret_for};
use crate::policy::{KeyRule, ReleaseTo, Source};
use crate::{Refusal, VolumeRefusal, Want};
use nitride_protocol::admin::Import;
use nitride_protocol::application::{Generate, Release};
use nitride_protocol::{KeyType, MaterialFormat, Operation, OperationSet, Status};
use std::sync::{Arc, Mutex};

const DENIED: Not = Not::Done(Status::Denied);

fn release(key: &str) -> Release<'_> {
    Release {
        key: name(key),
        version: None,
    }
}

fn to_unit() -> ReleaseTo {
    ReleaseTo::Unit("unit-1.service".into())
}

fn to_volume() -> ReleaseTo {
    ReleaseTo::Volume("root".into())
}

fn everything() -> Vec<crate::policy::Rule> {
    vec![rule(1, "**", EVERYTHING), rule(2, "**", EVERYTHING)]
}

#[test]
fn a_secret_goes_to_whom_release_to_names_and_to_nobody_else() {
    for to in [ReleaseTo::Uid(1), to_unit()] {
        let keys = vec![secret_for("s", kbs("r/t/s"), to)];
        let mut world = World::new(policy(everything(), keys));
        let (mut one, mut two) = (world.application(1), world.application(2));
        // Refused before anything is fetched.
        assert_eq!(world.ask(&mut two, &release("s")).unwrap_err(), DENIED);
        world.deliver("s", b"passphrase");
        let released = world.ask(&mut one, &release("s")).unwrap();
        assert_eq!(released.result().secret, b"passphrase");
        assert_eq!(released.result().version, 1);
        assert_eq!(world.ask(&mut two, &release("s")).unwrap_err(), DENIED);
        assert_eq!(two.refusal(), Some(Refusal::NotReleasedToPeer));
    }
}

#[test]
fn a_release_that_is_to_be_measured_is_or_is_not_done() {
    let measured = || {
        let mut rule = secret_for("s", kbs("r/t/s"), ReleaseTo::Uid(1));
        rule.measure_release = true;
        rule.max_uses = Some(2);
        let mut world = World::new(policy(everything(), vec![rule]));
        world.deliver("s", b"passphrase");
        world
    };
    // Nobody can measure it.
    let mut world = measured();
    let mut app = world.application(1);
    let refused = world.ask(&mut app, &release("s")).unwrap_err();
    assert_eq!(refused, Not::Done(Status::EvidenceUnavailable));
    assert_eq!(app.refusal(), Some(Refusal::ReleaseNotMeasured));
    let (mut world, asked) = (measured(), Arc::new(Mutex::new(Vec::new())));
    let note = Arc::clone(&asked);
    let now = world.now;
    world.vault.set_measure(Box::new(move |key| {
        let mut asked = note.lock().unwrap();
        asked.push(key.as_str().to_owned());
        (asked.len() > 1).then_some(now)
    }));
    let (mut app, mut two) = (world.application(1), world.application(2));
    // Who may not have it has nothing measured.
    assert_eq!(world.ask(&mut two, &release("s")).unwrap_err(), DENIED);
    assert!(asked.lock().unwrap().is_empty());
    let refused = world.ask(&mut app, &release("s")).unwrap_err();
    assert_eq!(refused, Not::Done(Status::EvidenceUnavailable));
    // Measured once, and what was refused counts as no use.
    for _ in 0..2 {
        world.ask(&mut app, &release("s")).unwrap();
    }
    assert_eq!(*asked.lock().unwrap(), ["s", "s"]);
    let refused = world.ask(&mut app, &release("s")).unwrap_err();
    assert_eq!(refused, Not::Done(Status::KeyExhausted));
}

#[test]
fn what_ends_while_a_release_is_measured_is_released_no_more() {
    let ends: [fn(&mut KeyRule); 3] = [
        |rule| rule.lease_secs = Some(60),
        |rule| rule.not_after = Some(1_800_000_059),
        |rule| rule.gate = Some("vm".into()),
    ];
    for end in ends {
        for takes_secs in [0, 60] {
            let mut stated = secret_for("s", kbs("r/t/s"), ReleaseTo::Uid(1));
            stated.measure_release = true;
            end(&mut stated);
            let mut world = World::new(policy(everything(), vec![stated]));
            world.approve("vm", 1);
            world.deliver("s", b"passphrase");
            let mut later = world.now;
            later.boot_ms += takes_secs * 1000;
            later.wall_secs += takes_secs;
            world.vault.set_measure(Box::new(move |_| Some(later)));
            let mut app = world.application(1);
            let released = world.ask(&mut app, &release("s"));
            assert_eq!(released.is_ok(), takes_secs == 0, "{released:?}");
        }
    }
}

#[test]
fn release_takes_a_rule_besides_release_to() {
    let keys = vec![secret_for("s", kbs("r/t/s"), ReleaseTo::Uid(1))];
    let rules = vec![rule(1, "**", &[Operation::Describe])];
    let mut world = World::new(policy(rules, keys));
    world.deliver("s", b"passphrase");
    let mut app = world.application(1);
    assert_eq!(world.ask(&mut app, &release("s")).unwrap_err(), DENIED);
}

#[test]
fn release_takes_the_operation_in_the_keys_own_policy() {
    let mut stated = secret_for("s", kbs("r/t/s"), ReleaseTo::Uid(1));
    stated.operations = OperationSet::EMPTY;
    let mut world = World::new(policy(everything(), vec![stated]));
    world.deliver("s", b"passphrase");
    let mut app = world.application(1);
    assert_eq!(world.ask(&mut app, &release("s")).unwrap_err(), DENIED);
}

#[test]
fn the_envelope_must_name_the_peer_too() {
    let mut stated = secret_for("s", kbs("r/t/s"), ReleaseTo::Uid(1));
    stated.release_to.push(ReleaseTo::Uid(2));
    let mut world = World::new(policy(everything(), vec![stated]));
    world
        .deliver_with("s", b"passphrase", |envelope| {
            envelope.release_to = vec![to_unit()];
        })
        .unwrap();
    let (mut one, mut two) = (world.application(1), world.application(2));
    world.ask(&mut one, &release("s")).unwrap();
    assert_eq!(world.ask(&mut two, &release("s")).unwrap_err(), DENIED);
}

#[test]
fn an_envelope_that_names_nobody_releases_to_nobody() {
    let keys = vec![secret_for("s", kbs("r/t/s"), ReleaseTo::Uid(1))];
    let mut world = World::new(policy(everything(), keys));
    world
        .deliver_with("s", b"passphrase", |envelope| envelope.release_to.clear())
        .unwrap();
    let mut app = world.application(1);
    assert_eq!(world.ask(&mut app, &release("s")).unwrap_err(), DENIED);
}

#[test]
fn without_a_key_rule_no_secret_leaves() {
    let mut world = World::new(policy(everything(), vec![]));
    let (mut app, mut admin) = (world.application(1), world.admin(0));
    let generate = Generate {
        key: name("made"),
        key_type: KeyType::Secret,
        operations: None,
        wrappable_by: Vec::new(),
    };
    world.ask(&mut app, &generate).unwrap();
    let import = Import {
        key: name("brought"),
        key_type: KeyType::Secret,
        operations: None,
        material: b"passphrase",
        format: MaterialFormat::Raw,
        wrapping_key: None,
        wrappable_by: Vec::new(),
    };
    world.ask(&mut admin, &import).unwrap();
    for key in ["made", "brought"] {
        assert_eq!(world.ask(&mut app, &release(key)).unwrap_err(), DENIED);
    }
}

#[test]
fn an_imported_secret_goes_to_whom_its_rule_names() {
    let keys = vec![secret_for("s", Source::Local, ReleaseTo::Uid(1))];
    let mut world = World::new(policy(everything(), keys));
    let (mut app, mut admin) = (world.application(1), world.admin(0));
    let long = vec![0xab; 16_384];
    let import = Import {
        key: name("s"),
        key_type: KeyType::Secret,
        operations: None,
        material: &long,
        format: MaterialFormat::Raw,
        wrapping_key: None,
        wrappable_by: Vec::new(),
    };
    world.ask(&mut admin, &import).unwrap();
    let released = world.ask(&mut app, &release("s")).unwrap();
    assert_eq!(released.result().secret, long);
}

#[test]
fn no_other_type_is_ever_released() {
    for key_type in KeyType::ALL {
        if key_type == KeyType::Secret {
            continue;
        }
        let keys = vec![key("k", key_type, Source::Generate)];
        let mut world = World::new(policy(everything(), keys));
        let mut app = world.application(1);
        let refused = world.ask(&mut app, &release("k")).unwrap_err();
        assert_eq!(refused, Not::Done(Status::WrongKeyType));
    }
}

#[test]
fn a_volume_gets_its_secret_and_no_peer_does() {
    let keys = vec![secret_for("s", kbs("r/t/s"), to_volume())];
    let mut world = World::new(policy(everything(), keys));
    world.deliver("s", b"passphrase");
    let released = world
        .vault
        .release_to_volume("root", None, world.now)
        .unwrap();
    assert_eq!(released.secret.expose(), b"passphrase");
    assert_eq!(released.version, 1);
    let mut app = world.application(1);
    assert_eq!(world.ask(&mut app, &release("s")).unwrap_err(), DENIED);
}

#[test]
fn a_volume_that_no_key_names_gets_nothing() {
    let keys = vec![secret_for("s", kbs("r/t/s"), ReleaseTo::Uid(0))];
    let mut world = World::new(policy(everything(), keys));
    world.deliver("s", b"passphrase");
    let refused = world.vault.release_to_volume("root", None, world.now);
    assert_eq!(refused.unwrap_err(), VolumeRefusal::Denied);
}

#[test]
fn a_volume_that_the_envelope_does_not_name_gets_nothing() {
    let keys = vec![secret_for("s", kbs("r/t/s"), to_volume())];
    let mut world = World::new(policy(everything(), keys));
    world
        .deliver_with("s", b"passphrase", |envelope| {
            envelope.release_to = vec![ReleaseTo::Volume("data".into()), ReleaseTo::Uid(0)];
        })
        .unwrap();
    let refused = world.vault.release_to_volume("root", None, world.now);
    let named = VolumeRefusal::Refused(Refusal::NotReleasedToPeer);
    assert_eq!(refused.unwrap_err(), named);
}

#[test]
fn a_volume_waits_for_its_key_and_its_gate() {
    let mut stated = secret_for("s", kbs("r/t/s"), to_volume());
    stated.gate = Some("vm".into());
    stated.lease_secs = Some(60);
    let mut world = World::new(policy(everything(), vec![stated]));
    let ask = |world: &World| world.vault.release_to_volume("root", None, world.now);
    let gate = VolumeRefusal::Want(Want::Gate { name: "vm".into() });
    assert_eq!(ask(&world).unwrap_err(), gate);
    world.approve("vm", 0);
    let key = || {
        VolumeRefusal::Want(Want::Key {
            name: "s".parse().unwrap(),
        })
    };
    assert_eq!(ask(&world).unwrap_err(), key());
    world.deliver("s", b"passphrase");
    ask(&world).unwrap();
    world.pass_secs(60);
    assert_eq!(ask(&world).unwrap_err(), key());
}

#[test]
fn a_volumes_key_is_not_made_up() {
    let keys = vec![secret_for("s", Source::Generate, to_volume())];
    let world = World::new(policy(everything(), keys));
    let refused = world.vault.release_to_volume("root", None, world.now);
    let missing = VolumeRefusal::Refused(Refusal::KeyNotFound);
    assert_eq!(refused.unwrap_err(), missing);
}

#[test]
fn a_units_credential_takes_the_key_rule_and_the_envelope_and_no_rule() {
    let keys = vec![secret_for("s", kbs("r/t/s"), to_unit())];
    let mut world = World::new(policy(vec![], keys));
    let ask = |world: &World, key, unit| world.vault.release_to_unit(name(key), unit, world.now);
    let wanted = VolumeRefusal::Want(Want::Key {
        name: "s".parse().unwrap(),
    });
    assert_eq!(ask(&world, "s", "unit-1.service").unwrap_err(), wanted);
    let unnamed = || VolumeRefusal::Refused(Refusal::NotReleasedToPeer);
    // Refused before anything is fetched.
    assert_eq!(ask(&world, "s", "unit-2.service").unwrap_err(), unnamed());
    world.deliver("s", b"api key");
    let released = ask(&world, "s", "unit-1.service").unwrap();
    assert_eq!(released.secret.expose(), b"api key");
    assert_eq!(ask(&world, "s", "unit-2.service").unwrap_err(), unnamed());
    let unruled = ask(&world, "other", "unit-1.service").unwrap_err();
    assert_eq!(unruled, VolumeRefusal::Denied);
}

#[test]
fn a_credential_that_the_envelope_gives_to_another_unit_stays() {
    let keys = vec![secret_for("s", kbs("r/t/s"), to_unit())];
    let mut world = World::new(policy(vec![], keys));
    world
        .deliver_with("s", b"api key", |envelope| {
            envelope.release_to = vec![ReleaseTo::Unit("unit-2.service".into()), ReleaseTo::Uid(0)];
        })
        .unwrap();
    let refused = world
        .vault
        .release_to_unit(name("s"), "unit-1.service", world.now);
    let unnamed = VolumeRefusal::Refused(Refusal::NotReleasedToPeer);
    assert_eq!(refused.unwrap_err(), unnamed);
}
