//! What limits a key's uses: how many, how often, from when on, and what an administrator says.

use super::world::{EVERYTHING, Not, World, kbs, key, name, peer, policy, rule};
use crate::keys::{NewKey, Noted, OwnPolicy};
use crate::policy::{KeyRule, PolicySet, Rate, Source};
use crate::{Refusal, Socket};
use nitride_protocol::admin::{Destroy, Rotate, SetPolicy};
use nitride_protocol::application::{
    Decrypt, Describe, Encrypt, Generate, Mac, PublicKey, Sign, Verify,
};
use nitride_protocol::{KeyName, KeyPolicy, KeyType, Operation, OperationSet, Origin, Status};
use nitride_secmem::SecretBuf;

pub(super) fn everything(keys: Vec<KeyRule>) -> PolicySet {
    policy(
        vec![rule(1, "**", EVERYTHING), rule(2, "**", EVERYTHING)],
        keys,
    )
}

pub(super) fn made(change: impl FnOnce(&mut KeyRule)) -> World {
    let mut stated = key("k", KeyType::Aes256Gcm, Source::Generate);
    change(&mut stated);
    World::new(everything(vec![stated]))
}

pub(super) fn mac() -> Mac<'static> {
    let key = name("tag");
    Mac { key, data: b"data" }
}

pub(super) fn encrypt() -> Encrypt<'static> {
    Encrypt {
        key: name("k"),
        scheme: None,
        plaintext: b"plain",
        aad: b"",
    }
}

pub(super) fn decrypt(ciphertext: &[u8]) -> Decrypt<'_> {
    Decrypt {
        key: name("k"),
        version: None,
        scheme: None,
        ciphertext,
        aad: b"",
        nonce: None,
    }
}

pub(super) fn rotate() -> Rotate<'static> {
    Rotate { key: name("k") }
}

pub(super) fn change<'p>(key: &'p str, change: impl FnOnce(&mut KeyPolicy<'p>)) -> SetPolicy<'p> {
    let mut policy = KeyPolicy::default();
    change(&mut policy);
    let key = name(key);
    SetPolicy { key, policy }
}

#[test]
fn a_key_ends_with_its_last_use_whoever_makes_it() {
    let mut world = made(|rule| rule.max_uses = Some(3));
    let (mut one, mut two) = (world.application(1), world.application(2));
    let sealed = world.ask(&mut one, &encrypt()).unwrap();
    world.ask(&mut two, &encrypt()).unwrap();
    // One that fails was one: it used the key.
    let mut broken = sealed.result().ciphertext.to_vec();
    *broken.last_mut().unwrap() ^= 1;
    world.ask(&mut one, &decrypt(&broken)).unwrap_err();
    for session in [&mut one, &mut two] {
        let refused = world.ask(session, &encrypt()).unwrap_err();
        assert_eq!(refused, Not::Done(Status::KeyExhausted));
        assert_eq!(session.refusal(), Some(Refusal::KeyExhausted));
    }
    let describe = Describe { key: name("k") };
    let described = world.ask(&mut one, &describe).unwrap();
    let described = described.result();
    assert_eq!(
        (described.max_uses, described.uses_left),
        (Some(3), Some(0))
    );
}

#[test]
fn uses_that_were_refused_for_another_reason_are_not_counted() {
    let mut world = made(|rule| {
        rule.max_uses = Some(1);
        rule.not_before = Some(1_800_000_100);
    });
    let mut app = world.application(1);
    for _ in 0..5 {
        let refused = world.ask(&mut app, &encrypt()).unwrap_err();
        assert_eq!(refused, Not::Done(Status::NotYetValid));
    }
    world.pass_secs(100);
    world.ask(&mut app, &encrypt()).unwrap();
}

#[test]
fn no_two_threads_get_the_last_use() {
    let mut world = made(|rule| rule.max_uses = Some(100));
    let mut app = world.application(1);
    world.ask(&mut app, &encrypt()).unwrap();
    let world = &world;
    let done: usize = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|seed| {
                scope.spawn(move || {
                    let mut app = world.application(1);
                    let mut draw = super::world::Sequence(seed);
                    (0..50)
                        .filter(|_| {
                            let now = world.now;
                            let vault = &world.vault;
                            super::world::ask(vault, &mut app, now, &mut draw, &encrypt()).is_ok()
                        })
                        .count()
                })
            })
            .collect();
        threads.into_iter().map(|t| t.join().unwrap()).sum()
    });
    assert_eq!(done, 99);
}

#[test]
fn the_public_half_is_not_counted() {
    let mut stated = key("k", KeyType::EcP256, Source::Generate);
    stated.max_uses = Some(1);
    let mut world = World::new(everything(vec![stated]));
    let mut app = world.application(1);
    let public = PublicKey {
        key: name("k"),
        version: None,
    };
    let sign = Sign {
        key: name("k"),
        scheme: None,
        message: b"message",
        prehashed: false,
    };
    world.ask(&mut app, &public).unwrap();
    let signed = world.ask(&mut app, &sign).unwrap();
    let verify = Verify {
        key: name("k"),
        version: None,
        scheme: None,
        message: b"message",
        prehashed: false,
        signature: signed.result().signature,
    };
    world.ask(&mut app, &verify).unwrap();
    world.ask(&mut app, &public).unwrap();
    let refused = world.ask(&mut app, &sign).unwrap_err();
    assert_eq!(refused, Not::Done(Status::KeyExhausted));
}

#[test]
fn a_rate_is_each_peers_own_and_fills_again() {
    let mut world = made(|rule| {
        rule.rate = Some(Rate {
            uses: 2,
            per_secs: 10,
        });
    });
    let (mut one, mut two) = (world.application(1), world.application(2));
    for session in [&mut one, &mut two] {
        world.ask(session, &encrypt()).unwrap();
        world.ask(session, &encrypt()).unwrap();
        let refused = world.ask(session, &encrypt()).unwrap_err();
        assert_eq!(refused, Not::Done(Status::RateLimited));
        assert_eq!(session.refusal(), Some(Refusal::RateLimited));
    }
    // Another connection, even of another process, is no other peer.
    let mut another = peer(1);
    another.pid = 777;
    let mut again = world.vault.session(another, Socket::Application);
    world.ask(&mut again, &encrypt()).unwrap_err();
    world.pass_secs(5);
    world.ask(&mut one, &encrypt()).unwrap();
    world.ask(&mut one, &encrypt()).unwrap_err();
}

#[test]
fn a_use_over_the_rate_is_none_of_the_uses() {
    let mut world = made(|rule| {
        rule.max_uses = Some(2);
        rule.rate = Some(Rate {
            uses: 1,
            per_secs: 10,
        });
    });
    let mut app = world.application(1);
    world.ask(&mut app, &encrypt()).unwrap();
    for _ in 0..5 {
        world.ask(&mut app, &encrypt()).unwrap_err();
    }
    world.pass_secs(10);
    world.ask(&mut app, &encrypt()).unwrap();
}

#[test]
fn an_administrator_changes_what_was_made_here_within_its_type() {
    let mut world = World::new(everything(vec![]));
    let (mut app, mut admin) = (world.application(1), world.admin(0));
    let generate = Generate {
        key: name("k"),
        key_type: KeyType::Aes256Gcm,
        operations: Some(OperationSet::of(&[Operation::Encrypt])),
        wrappable_by: Vec::new(),
    };
    world.ask(&mut app, &generate).unwrap();
    let sealed = world.ask(&mut app, &encrypt()).unwrap();
    let opening = decrypt(sealed.result().ciphertext);
    world.ask(&mut app, &opening).unwrap_err();
    let both = OperationSet::of(&[Operation::Encrypt, Operation::Decrypt]);
    let widened = change("k", |policy| policy.operations = Some(both));
    world.ask(&mut admin, &widened).unwrap();
    world.ask(&mut app, &opening).unwrap();
    let signing = OperationSet::of(&[Operation::Sign]);
    let foreign = change("k", |policy| policy.operations = Some(signing));
    let refused = world.ask(&mut admin, &foreign).unwrap_err();
    assert_eq!(refused, Not::Done(Status::WrongKeyType));
    let ended = change("k", |policy| policy.not_after = Some(1_700_000_000));
    world.ask(&mut admin, &ended).unwrap();
    let refused = world.ask(&mut app, &opening).unwrap_err();
    assert_eq!(refused, Not::Done(Status::KeyExpired));
    let later = change("k", |policy| policy.not_after = Some(1_900_000_000));
    world.ask(&mut admin, &later).unwrap();
    // Uses before the limit was set are uses.
    let few = change("k", |policy| policy.max_uses = Some(3));
    world.ask(&mut admin, &few).unwrap();
    world.ask(&mut app, &opening).unwrap();
    let refused = world.ask(&mut app, &opening).unwrap_err();
    assert_eq!(refused, Not::Done(Status::KeyExhausted));
    let rated = change("k", |policy| {
        policy.max_uses = Some(1000);
        policy.rate = Some(nitride_protocol::Rate {
            uses: 1,
            per_secs: 60,
        });
    });
    world.ask(&mut admin, &rated).unwrap();
    world.ask(&mut app, &opening).unwrap();
    let refused = world.ask(&mut app, &opening).unwrap_err();
    assert_eq!(refused, Not::Done(Status::RateLimited));
    // Nobody but an administrator.
    let refused = world.ask(&mut app, &few).unwrap_err();
    assert_eq!(refused, Not::Done(Status::UnknownOperation));
}

#[test]
fn a_provisioned_key_is_narrowed_and_never_widened() {
    type Ask = fn(&mut KeyPolicy<'_>);
    let tag = key("tag", KeyType::HmacSha256, kbs("r/t/tag"));
    let mut world = World::new(everything(vec![tag]));
    let (mut app, mut admin) = (world.application(1), world.admin(0));
    let mac_alone = OperationSet::of(&[Operation::Mac]);
    world
        .deliver_with("tag", &[1; 32], |envelope| {
            envelope.operations = mac_alone;
            envelope.not_after_secs = Some(1_900_000_000);
        })
        .unwrap();
    let wider: [Ask; 3] = [
        |policy| {
            let both = [Operation::Mac, Operation::VerifyMac];
            policy.operations = Some(OperationSet::of(&both));
        },
        |policy| policy.not_after = Some(1_900_000_001),
        |policy| policy.wrappable_by = Some(vec![KeyName::parse("kek").unwrap()]),
    ];
    for (number, ask) in wider.into_iter().enumerate() {
        let refused = world.ask(&mut admin, &change("tag", ask)).unwrap_err();
        assert_eq!(refused, Not::Done(Status::Denied), "{number}");
        assert_eq!(admin.refusal(), Some(Refusal::WouldWiden), "{number}");
    }
    let narrower = change("tag", |policy| policy.not_after = Some(1_800_000_010));
    world.ask(&mut admin, &narrower).unwrap();
    world.ask(&mut app, &mac()).unwrap();
    let back = change("tag", |policy| policy.not_after = Some(1_900_000_000));
    world.ask(&mut admin, &back).unwrap_err();
    // A newer envelope does not lift it either.
    world
        .deliver_with("tag", &[2; 32], |envelope| envelope.version = 2)
        .unwrap();
    world.pass_secs(11);
    let refused = world.ask(&mut app, &mac()).unwrap_err();
    assert_eq!(refused, Not::Done(Status::KeyExpired));
}

#[test]
fn a_destroyed_key_is_neither_rotated_nor_changed() {
    let mut world = made(|_| {});
    let (mut app, mut admin) = (world.application(1), world.admin(0));
    world.ask(&mut app, &encrypt()).unwrap();
    let (key, version) = (name("k"), None);
    world.ask(&mut admin, &Destroy { key, version }).unwrap();
    let destroyed = Not::Done(Status::KeyDestroyed);
    let refused = world.ask(&mut admin, &rotate()).unwrap_err();
    assert_eq!(refused, destroyed);
    let asked = change("k", |policy| policy.max_uses = Some(1));
    assert_eq!(world.ask(&mut admin, &asked).unwrap_err(), destroyed);
}

#[test]
fn keys_that_would_end_with_the_process_are_told() {
    let mut world = made(|_| {});
    let mut app = world.application(1);
    let policy = world.vault.policy();
    let told = |world: &World, kept| {
        let warnings = world.vault.keys.warnings(&policy, kept, world.now);
        warnings.unwrap().len()
    };
    assert_eq!((told(&world, false), told(&world, true)), (0, 0));
    world.ask(&mut app, &encrypt()).unwrap();
    assert_eq!((told(&world, false), told(&world, true)), (1, 0));
    let mut admin = world.admin(0);
    let (key, version) = (name("k"), None);
    world.ask(&mut admin, &Destroy { key, version }).unwrap();
    assert_eq!(told(&world, false), 0);
}

#[test]
fn what_was_counted_goes_on_when_a_version_is_brought_again() {
    let tag = key("tag", KeyType::HmacSha256, kbs("r/t/tag"));
    let mut world = World::new(everything(vec![tag]));
    let mut app = world.application(1);
    let leased = |envelope: &mut crate::keys::Delivered<'_>| envelope.lease_secs = Some(60);
    world.deliver_with("tag", &[1; 32], leased).unwrap();
    world.ask(&mut app, &mac()).unwrap();
    world.ask(&mut app, &mac()).unwrap();
    let messages = |world: &World| {
        let key = world.vault.keys.find("tag").unwrap().unwrap();
        let body = key.read().unwrap();
        let nonce = body.versions[0].nonces().count().unwrap();
        (nonce, body.versions[0].uses(), body.uses_taken())
    };
    let (nonce, uses, taken) = messages(&world);
    assert_eq!((uses, taken), (2, 2));
    world.pass_secs(60);
    world.vault.end_leases(world.now).unwrap();
    world.deliver_with("tag", &[1; 32], leased).unwrap();
    let (next, uses, taken) = messages(&world);
    assert_eq!((uses, taken), (2, 2));
    // The same prefix, and the number after.
    assert_eq!(next[..8], nonce[..8]);
    assert_eq!((nonce[11], next[11]), (0, 1));
}

#[test]
fn a_gate_that_travels_with_a_key_has_to_be_open_and_stated() {
    let mut world = World::new(everything(vec![]));
    let mut app = world.application(1);
    let noted = Noted::default();
    let new = NewKey {
        name: name("tag"),
        key_type: KeyType::HmacSha256,
        operations: None,
        wrappable_by: None,
        rule: None,
        noted: &noted,
        uid: 1,
        now: world.now,
    };
    let terms = OwnPolicy {
        gates: vec!["vm".into()],
        ..OwnPolicy::of(OperationSet::of(&[Operation::Mac]))
    };
    let material = SecretBuf::copy_of(&[7; 32]).unwrap();
    let keys = &world.vault.keys;
    let derived = Origin::Derived;
    keys.adopt(new, derived, terms, &material, [1; 16], &mut world.draw)
        .unwrap();
    let gate = crate::Want::Gate { name: "vm".into() };
    assert_eq!(world.ask(&mut app, &mac()).unwrap_err(), Not::Yet(gate));
    world.approve("vm", 0);
    world.ask(&mut app, &mac()).unwrap();
    let mut without = everything(vec![]);
    without.gates.clear();
    world.vault.replace_policy(without, world.now).unwrap();
    let refused = world.ask(&mut app, &mac()).unwrap_err();
    assert_eq!(refused, Not::Done(Status::Denied));
    assert_eq!(app.refusal(), Some(Refusal::GateGone));
}

#[test]
fn a_derived_key_ends_with_its_lease_for_good() {
    let mut world = World::new(everything(vec![]));
    let mut app = world.application(1);
    let noted = Noted::default();
    let new = NewKey {
        name: name("tag"),
        key_type: KeyType::HmacSha256,
        operations: None,
        wrappable_by: None,
        rule: None,
        noted: &noted,
        uid: 1,
        now: world.now,
    };
    let terms = OwnPolicy {
        lease_secs: Some(60),
        ..OwnPolicy::of(OperationSet::of(&[Operation::Mac]))
    };
    let material = SecretBuf::copy_of(&[7; 32]).unwrap();
    let keys = &world.vault.keys;
    let derived = Origin::Derived;
    keys.adopt(new, derived, terms, &material, [1; 16], &mut world.draw)
        .unwrap();
    world.ask(&mut app, &mac()).unwrap();
    world.pass_secs(60);
    // Nobody sweeps in between.
    let refused = world.ask(&mut app, &mac()).unwrap_err();
    assert_eq!(refused, Not::Done(Status::KeyExpired));
    let refused = world.ask(&mut app, &mac()).unwrap_err();
    assert_eq!(refused, Not::Done(Status::KeyDestroyed));
}
