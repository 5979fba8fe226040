//! Versions that this vault makes: the newest protects, older ones open while they may.

use super::limits::{change, decrypt, encrypt, everything, made, rotate};
use super::world::{Not, World, kbs, key, name};
use crate::Refusal;
use crate::policy::KeyRule;
use nitride_protocol::admin::{Destroy, Import, Rotate};
use nitride_protocol::limits::MAX_VERSIONS_LEN;
use nitride_protocol::{KeyType, MaterialFormat, Status};

/// The version that made a ciphertext.
fn maker(ciphertext: &[u8]) -> u32 {
    u32::from_be_bytes(ciphertext[20..24].try_into().unwrap())
}

fn newest(world: &World) -> u32 {
    let key = world.vault.keys.find("k").unwrap().unwrap();
    key.read().unwrap().newest_version()
}

#[test]
fn the_newest_version_protects_and_every_enabled_one_opens() {
    let mut world = made(|_| {});
    let (mut app, mut admin) = (world.application(1), world.admin(0));
    let first = world.ask(&mut app, &encrypt()).unwrap();
    let rotated = world.ask(&mut admin, &rotate()).unwrap();
    assert_eq!(rotated.result().version, 2);
    let second = world.ask(&mut app, &encrypt()).unwrap();
    let made: Vec<u32> = [&first, &second]
        .map(|sealed| maker(sealed.result().ciphertext))
        .into();
    assert_eq!(made, [1, 2]);
    for sealed in [&first, &second] {
        let opened = world.ask(&mut app, &decrypt(sealed.result().ciphertext));
        assert_eq!(opened.unwrap().result().plaintext, b"plain");
    }
    let raised = change("k", |policy| policy.min_version = Some(2));
    world.ask(&mut admin, &raised).unwrap();
    let refused = world.ask(&mut app, &decrypt(first.result().ciphertext));
    assert_eq!(refused.unwrap_err(), Not::Done(Status::KeyDisabled));
    let below = Refusal::BelowMinVersion { lowest: 2 };
    assert_eq!(app.refusal(), Some(below));
    world
        .ask(&mut app, &decrypt(second.result().ciphertext))
        .unwrap();
    // Lowered again, the older one opens; a lowest beyond the newest is none.
    let lowered = change("k", |policy| policy.min_version = Some(1));
    world.ask(&mut admin, &lowered).unwrap();
    world
        .ask(&mut app, &decrypt(first.result().ciphertext))
        .unwrap();
    for nowhere in [0, 3] {
        let asked = change("k", |policy| policy.min_version = Some(nowhere));
        let refused = world.ask(&mut admin, &asked).unwrap_err();
        assert_eq!(refused, Not::Done(Status::VersionNotFound));
    }
    let destroy = Destroy {
        key: name("k"),
        version: Some(1),
    };
    world.ask(&mut admin, &destroy).unwrap();
    let refused = world.ask(&mut app, &decrypt(first.result().ciphertext));
    assert_eq!(refused.unwrap_err(), Not::Done(Status::KeyDestroyed));
}

#[test]
fn a_rules_lowest_version_counts_too() {
    let mut world = made(|rule| rule.min_version = Some(2));
    let (mut app, mut admin) = (world.application(1), world.admin(0));
    let refused = world.ask(&mut app, &encrypt()).unwrap_err();
    assert_eq!(refused, Not::Done(Status::KeyDisabled));
    world.ask(&mut admin, &rotate()).unwrap();
    world.ask(&mut app, &encrypt()).unwrap();
}

#[test]
fn a_key_with_as_many_versions_as_it_may_have_is_not_rotated() {
    let mut world = made(|_| {});
    let (mut app, mut admin) = (world.application(1), world.admin(0));
    world.ask(&mut app, &encrypt()).unwrap();
    for _ in 1..MAX_VERSIONS_LEN {
        world.ask(&mut admin, &rotate()).unwrap();
    }
    let refused = world.ask(&mut admin, &rotate()).unwrap_err();
    assert_eq!(refused, Not::Done(Status::QuotaExceeded));
    assert_eq!(admin.refusal(), Some(Refusal::TooManyVersions));
    // A destroyed one gives its place, and its number to nobody.
    let last = u32::try_from(MAX_VERSIONS_LEN).unwrap();
    let (key, version) = (name("k"), Some(last));
    world.ask(&mut admin, &Destroy { key, version }).unwrap();
    let rotated = world.ask(&mut admin, &rotate()).unwrap();
    assert_eq!(rotated.result().version, last + 1);
}

#[test]
fn only_what_was_generated_here_is_rotated() {
    let tag = key("tag", KeyType::HmacSha256, kbs("r/t/tag"));
    let mut world = World::new(everything(vec![tag]));
    let mut admin = world.admin(0);
    world.deliver("tag", &[1; 32]);
    let import = Import {
        key: name("brought"),
        key_type: KeyType::HmacSha256,
        operations: None,
        material: &[2; 32],
        format: MaterialFormat::Raw,
        wrapping_key: None,
        wrappable_by: Vec::new(),
    };
    world.ask(&mut admin, &import).unwrap();
    for key in ["tag", "brought"] {
        let refused = world.ask(&mut admin, &Rotate { key: name(key) });
        assert_eq!(refused.unwrap_err(), Not::Done(Status::Denied));
        assert_eq!(admin.refusal(), Some(Refusal::NotGeneratedHere));
    }
    let missing = world.ask(&mut admin, &rotate()).unwrap_err();
    assert_eq!(missing, Not::Done(Status::KeyNotFound));
}

#[test]
fn a_version_that_is_old_or_used_up_is_followed_by_another_at_its_next_use() {
    let by_age: fn(&mut KeyRule) = |rule| rule.rotate_after_secs = Some(60);
    let by_uses: fn(&mut KeyRule) = |rule| rule.rotate_after_uses = Some(3);
    for (stated, secs, uses) in [(by_age, 60, 1), (by_uses, 0, 3)] {
        let mut world = made(stated);
        let mut app = world.application(1);
        for _ in 0..uses {
            let sealed = world.ask(&mut app, &encrypt()).unwrap();
            assert_eq!(maker(sealed.result().ciphertext), 1);
        }
        world.pass_secs(secs);
        let sealed = world.ask(&mut app, &encrypt()).unwrap();
        assert_eq!(maker(sealed.result().ciphertext), 2);
    }
}

#[test]
fn what_nobody_uses_is_rotated_too() {
    let mut world = made(|rule| rule.rotate_after_secs = Some(60));
    let mut app = world.application(1);
    world.ask(&mut app, &encrypt()).unwrap();
    for expected in [1, 2, 2, 3] {
        world.vault.rotate_due(world.now, &mut world.draw).unwrap();
        assert_eq!(newest(&world), expected);
        world.pass_secs(if expected == 2 { 30 } else { 60 });
    }
}

#[test]
fn a_rotation_that_has_no_room_refuses_no_use_and_is_told() {
    let mut world = made(|rule| rule.rotate_after_uses = Some(1));
    let mut app = world.application(1);
    for _ in 0..MAX_VERSIONS_LEN + 5 {
        world.ask(&mut app, &encrypt()).unwrap();
    }
    assert_eq!(usize::try_from(newest(&world)).unwrap(), MAX_VERSIONS_LEN);
    let policy = world.vault.policy();
    let warnings = world.vault.keys.warnings(&policy, true, world.now);
    let overdue = "key k should have been rotated, and was not";
    assert_eq!(warnings.unwrap(), [overdue]);
}
