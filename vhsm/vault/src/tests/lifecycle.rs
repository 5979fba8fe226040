//! Enable, disable, destroy: of keys and of versions.

use super::world::{EVERYTHING, Not, World, kbs, key, name, policy, rule};
use crate::policy::Source;
use nitride_protocol::admin::Destroy;
use nitride_protocol::application::{Decrypt, Describe, Disable, Enable, Encrypt, Mac, VerifyMac};
use nitride_protocol::{KeyState, KeyType, Operation, Status};

fn world() -> World {
    let keys = vec![
        key("gcm", KeyType::Aes256Gcm, Source::Generate),
        key("tag", KeyType::HmacSha256, kbs("r/t/tag")),
    ];
    World::new(policy(vec![rule(1, "**", EVERYTHING)], keys))
}

fn encrypt() -> Encrypt<'static> {
    Encrypt {
        key: name("gcm"),
        plaintext: b"plain",
        aad: b"",
        scheme: None,
    }
}

fn mac() -> Mac<'static> {
    Mac {
        key: name("tag"),
        data: b"data",
    }
}

fn disable(key: &str, version: Option<u32>) -> Disable<'_> {
    Disable {
        key: name(key),
        version,
    }
}

fn enable(key: &str, version: Option<u32>) -> Enable<'_> {
    Enable {
        key: name(key),
        version,
    }
}

fn destroy(key: &str, version: Option<u32>) -> Destroy<'_> {
    Destroy {
        key: name(key),
        version,
    }
}

#[test]
fn a_disabled_key_does_nothing_until_it_is_enabled() {
    let mut world = world();
    let mut app = world.application(1);
    let sealed = world.ask(&mut app, &encrypt()).unwrap();
    let decrypt = Decrypt {
        key: name("gcm"),
        ciphertext: sealed.result().ciphertext,
        aad: b"",
        version: None,
        scheme: None,
        nonce: None,
    };
    world.ask(&mut app, &disable("gcm", None)).unwrap();
    let disabled = Not::Done(Status::KeyDisabled);
    assert_eq!(world.ask(&mut app, &encrypt()).unwrap_err(), disabled);
    assert_eq!(world.ask(&mut app, &decrypt).unwrap_err(), disabled);
    world.ask(&mut app, &enable("gcm", None)).unwrap();
    world.ask(&mut app, &decrypt).unwrap();
}

#[test]
fn a_destroyed_key_is_gone_for_good_and_leaves_a_tombstone() {
    let mut world = world();
    let (mut app, mut admin) = (world.application(1), world.admin(0));
    world.ask(&mut app, &encrypt()).unwrap();
    world.ask(&mut admin, &destroy("gcm", None)).unwrap();
    let destroyed = Not::Done(Status::KeyDestroyed);
    assert_eq!(world.ask(&mut app, &encrypt()).unwrap_err(), destroyed);
    let again = world.ask(&mut app, &enable("gcm", None)).unwrap_err();
    assert_eq!(again, destroyed);
    let again = world.ask(&mut admin, &destroy("gcm", None)).unwrap_err();
    assert_eq!(again, destroyed);
    let describe = Describe { key: name("gcm") };
    let described = world.ask(&mut app, &describe).unwrap();
    assert_eq!(described.result().state, KeyState::Destroyed);
    let key = world.vault.keys.find("gcm").unwrap().unwrap();
    let body = key.read().unwrap();
    assert!(body.versions.iter().all(|v| v.material().is_none()));
}

#[test]
fn a_destroyed_provisioned_key_is_not_fetched_again() {
    let mut world = world();
    let (mut app, mut admin) = (world.application(1), world.admin(0));
    world.deliver("tag", &[1; 32]);
    world.ask(&mut app, &mac()).unwrap();
    world.ask(&mut admin, &destroy("tag", None)).unwrap();
    let destroyed = Not::Done(Status::KeyDestroyed);
    assert_eq!(world.ask(&mut app, &mac()).unwrap_err(), destroyed);
    let refused = world.deliver_with("tag", &[1; 32], |_| {});
    assert_eq!(refused, Err(crate::keys::CommitRefused::Destroyed));
    let newer = world.deliver_with("tag", &[2; 32], |envelope| envelope.version = 2);
    assert_eq!(newer, Err(crate::keys::CommitRefused::Destroyed));
    assert_eq!(world.ask(&mut app, &mac()).unwrap_err(), destroyed);
    let policy = world.vault.policy();
    let rule = policy.key_rule("tag").unwrap();
    assert!(!world.vault.keys.is_missing(&policy, rule, world.now));
}

#[test]
fn one_version_is_disabled_and_destroyed_by_itself() {
    let mut world = world();
    let (mut app, mut admin) = (world.application(1), world.admin(0));
    world.deliver("tag", &[1; 32]);
    let first = world.ask(&mut app, &mac()).unwrap();
    world
        .deliver_with("tag", &[2; 32], |envelope| envelope.version = 2)
        .unwrap();
    let second = world.ask(&mut app, &mac()).unwrap();
    assert_eq!((first.result().version, second.result().version), (1, 2));
    let verify = |version, tag| VerifyMac {
        key: name("tag"),
        version,
        data: b"data",
        tag,
    };
    let old = verify(Some(1), first.result().tag);
    world.ask(&mut app, &old).unwrap();

    world.ask(&mut app, &disable("tag", Some(1))).unwrap();
    let refused = world.ask(&mut app, &old).unwrap_err();
    assert_eq!(refused, Not::Done(Status::KeyDisabled));
    world
        .ask(&mut app, &verify(Some(2), second.result().tag))
        .unwrap();
    world.ask(&mut app, &enable("tag", Some(1))).unwrap();

    // The newest protects: when it is disabled, nothing older takes its place silently.
    world.ask(&mut app, &disable("tag", Some(2))).unwrap();
    let refused = world.ask(&mut app, &mac()).unwrap_err();
    assert_eq!(refused, Not::Done(Status::KeyDisabled));
    // When it is destroyed, the one before is the newest.
    world
        .ask(&mut admin, &destroy("tag", Some(2)))
        .unwrap_or_else(|not| panic!("{not:?}"));
    assert_eq!(world.ask(&mut app, &mac()).unwrap().result().version, 1);
    let refused = world.ask(&mut app, &verify(Some(2), second.result().tag));
    assert_eq!(refused.unwrap_err(), Not::Done(Status::KeyDestroyed));
    let again = world.deliver_with("tag", &[2; 32], |envelope| envelope.version = 2);
    assert_eq!(again, Err(crate::keys::CommitRefused::Destroyed));
    // With its last version goes the key.
    world.ask(&mut admin, &destroy("tag", Some(1))).unwrap();
    let describe = Describe { key: name("tag") };
    let described = world.ask(&mut app, &describe).unwrap();
    assert_eq!(described.result().state, KeyState::Destroyed);
}

#[test]
fn a_version_that_is_not_there_is_named() {
    let mut world = world();
    let mut app = world.application(1);
    world.ask(&mut app, &encrypt()).unwrap();
    let refused = world.ask(&mut app, &disable("gcm", Some(9))).unwrap_err();
    assert_eq!(refused, Not::Done(Status::VersionNotFound));
}

#[test]
fn a_key_that_was_never_here_cannot_be_changed() {
    let mut world = world();
    let (mut app, mut admin) = (world.application(1), world.admin(0));
    let missing = Not::Done(Status::KeyNotFound);
    for key in ["tag", "nowhere"] {
        let refused = world.ask(&mut app, &disable(key, None)).unwrap_err();
        assert_eq!(refused, missing);
        let refused = world.ask(&mut admin, &destroy(key, None)).unwrap_err();
        assert_eq!(refused, missing);
    }
}

#[test]
fn enabling_takes_a_rule_of_its_own() {
    let keys = vec![key("gcm", KeyType::Aes256Gcm, Source::Generate)];
    let rules = vec![
        rule(1, "**", EVERYTHING),
        rule(2, "**", &[Operation::Encrypt]),
    ];
    let mut world = World::new(policy(rules, keys));
    let mut other = world.application(2);
    world.ask(&mut other, &encrypt()).unwrap();
    for refused in [
        world.ask(&mut other, &disable("gcm", None)).map(drop),
        world.ask(&mut other, &enable("gcm", None)).map(drop),
    ] {
        assert_eq!(refused, Err(Not::Done(Status::Denied)));
    }
}
