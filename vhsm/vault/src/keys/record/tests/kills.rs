use super::super::trace::{self, Store, recovered};
use super::{images, picture};
use crate::keys::{Delivered, Keys, Noted, Owner, Voucher};
use crate::policy::{KeyRule, PolicySet, Rate, Source};
use crate::tests::world::{EVERYTHING, World, kbs, key, name, policy, rule};
use crate::{Refusal, VaultLimits};
use nitride_protocol::admin::Destroy;
use nitride_protocol::application::{Disable, Encrypt, Generate, Mac, Sign};
use nitride_protocol::limits::MAX_VERSIONS_LEN;
use nitride_protocol::{KeyPolicy, KeyType, Operation, OperationSet};
use std::collections::HashSet;

const LIMITS: VaultLimits = VaultLimits {
    keys: 1000,
    keys_per_uid: 100,
    expanded_len: 256 << 10,
};

fn stated() -> Vec<KeyRule> {
    vec![
        key("made", KeyType::EcP256, Source::Generate),
        key("tag", KeyType::HmacSha256, kbs("r/t/tag")),
        key("brought", KeyType::HmacSha256, Source::Local),
    ]
}

fn everything(keys: Vec<KeyRule>) -> PolicySet {
    policy(vec![rule(1, "**", EVERYTHING)], keys)
}

/// What a process finds that begins with these records.
fn found(store: &Store) -> Keys {
    let (keys, refused) = Keys::new(LIMITS, recovered(store));
    assert_eq!(refused, Vec::<String>::new());
    keys
}

/// Every change that there is, one after the other.
fn changes() -> Vec<fn(&mut World)> {
    vec![
        |world| {
            let mut app = world.application(1);
            let asked = Generate {
                key: name("app/gcm"),
                key_type: KeyType::Aes256Gcm,
                operations: None,
                wrappable_by: Vec::new(),
            };
            world.ask(&mut app, &asked).unwrap();
        },
        |world| {
            let mut app = world.application(1);
            let asked = Sign {
                key: name("made"),
                scheme: None,
                message: b"message",
                prehashed: false,
            };
            world.ask(&mut app, &asked).unwrap();
        },
        |world| world.deliver("tag", &[1; 32]),
        |world| {
            deliver(world, 2, |envelope| {
                envelope.operations = OperationSet::of(&[Operation::Mac]);
            });
        },
        // Renewed as it was, and renewed under narrower terms.
        |world| {
            world.pass_secs(10);
            deliver(world, 2, |_| {});
        },
        |world| {
            world.pass_secs(10);
            deliver(world, 2, |envelope| envelope.lease_secs = Some(60));
        },
        |world| disable(world, "tag", Some(2)),
        // Lapsed, and brought again: disabled as it was.
        |world| {
            world.pass_secs(70);
            world.vault.end_leases(world.now).unwrap();
        },
        |world| deliver(world, 2, |envelope| envelope.lease_secs = Some(60)),
        |world| rotate(world, "made").unwrap(),
        |world| {
            set_policy(world, "made", |policy| {
                policy.max_uses = Some(1000);
                policy.min_version = Some(2);
                policy.not_after = Some(2_000_000_000);
            });
        },
        |world| set_policy(world, "tag", |policy| policy.max_uses = Some(50)),
        |world| destroy(world, "made", Some(1)),
        |world| disable(world, "made", None),
        // Another resource in the place of the first, and back.
        |world| {
            let moved = key("tag", KeyType::HmacSha256, kbs("r/t/moved"));
            let set = everything(vec![moved]);
            world.vault.replace_policy(set, world.now).unwrap();
            deliver(world, 1, |_| {});
        },
        |world| {
            let set = everything(stated());
            world.vault.replace_policy(set, world.now).unwrap();
            deliver(world, 2, |_| {});
        },
        |world| destroy(world, "app/gcm", None),
        |world| destroy(world, "tag", None),
    ]
}

fn deliver(world: &mut World, number: u32, change: impl FnOnce(&mut Delivered<'_>)) {
    let material = [number.to_be_bytes()[3]; 32];
    world
        .deliver_with("tag", &material, |envelope| {
            envelope.version = number;
            change(envelope);
        })
        .unwrap();
}

fn disable(world: &mut World, key: &str, version: Option<u32>) {
    let mut app = world.application(1);
    let key = name(key);
    world.ask(&mut app, &Disable { key, version }).unwrap();
}

fn destroy(world: &mut World, key: &str, version: Option<u32>) {
    let mut admin = world.admin(0);
    let key = name(key);
    world.ask(&mut admin, &Destroy { key, version }).unwrap();
}

fn rotate(world: &mut World, key: &str) -> Result<(), Refusal> {
    let key = world.vault.keys.find(key)?.unwrap();
    let rotated =
        world
            .vault
            .keys
            .rotate((&*key, None, &Noted::default()), world.now, &mut world.draw);
    rotated.map(drop)
}

fn set_policy(world: &mut World, key: &str, change: impl FnOnce(&mut KeyPolicy<'_>)) {
    let key = world.vault.keys.find(key).unwrap().unwrap();
    let mut policy = KeyPolicy::default();
    change(&mut policy);
    world
        .vault
        .keys
        .set_policy((&*key, None, &Noted::default()), &policy)
        .unwrap();
}

#[test]
fn a_kill_between_any_two_steps_finds_each_change_done_or_not_begun() {
    let mut world = World::new(everything(stated()));
    trace::begin();
    for (number, change) in changes().into_iter().enumerate() {
        let first = trace::steps().len();
        let before = picture(&world.vault.keys);
        change(&mut world);
        let after = picture(&world.vault.keys);
        let steps = trace::steps();
        assert!(steps.len() > first || before == after, "change {number}");
        for (step, store) in steps.iter().enumerate().skip(first) {
            let keys = found(store);
            let found = picture(&keys);
            // Each version lapses by itself; those that are still to be swept are at the start.
            keys.sweep(&world.vault.policy(), world.now).unwrap();
            assert!(
                found == before || found == after || picture(&keys) == after,
                "change {number}, step {step}:\n{before:#?}\n{after:#?}\n{found:#?}"
            );
        }
        // What was acknowledged is there.
        assert_eq!(picture(&found(steps.last().unwrap())), after, "{number}");
        assert_eq!(picture(&found(&images(&world.vault.keys))), after);
    }
}

#[test]
fn a_start_that_is_killed_itself_is_gone_on_with() {
    let mut world = World::new(everything(stated()));
    changes().into_iter().for_each(|change| change(&mut world));
    trace::begin();
    let mut app = world.application(1);
    let asked = Generate {
        key: name("again"),
        key_type: KeyType::HmacSha256,
        operations: None,
        wrappable_by: Vec::new(),
    };
    world.ask(&mut app, &asked).unwrap();
    rotate(&mut world, "again").unwrap();
    let acknowledged = trace::steps().len();
    destroy(&mut world, "again", None);
    let steps = trace::steps();
    // Stopped in the middle: the state says destroyed, the material is there.
    for store in &steps[acknowledged..] {
        trace::begin();
        let first = found(store);
        let key = first.find("again").unwrap().unwrap();
        assert!(
            key.read()
                .unwrap()
                .versions
                .iter()
                .all(|v| v.material().is_none())
        );
        // And what it wrote itself is nothing new.
        for of_start in trace::steps().iter().skip(1) {
            let mut merged = store.clone();
            merged.extend(of_start.clone());
            assert_eq!(picture(&found(&merged)), picture(&first));
        }
    }
}

#[test]
fn no_nonce_comes_twice_over_any_number_of_starts() {
    let mut world = World::new(everything(stated()));
    let mut seen = HashSet::new();
    let mut store = Store::new();
    for start in 0..20 {
        if start > 0 {
            let recovered = recovered(&store);
            let set = everything(stated());
            world.vault = crate::Vault::new(set, LIMITS, recovered).unwrap().0;
        }
        let mut app = world.application(1);
        let asked = Generate {
            key: name("gcm"),
            key_type: KeyType::Aes256Gcm,
            operations: None,
            wrappable_by: Vec::new(),
        };
        let _ = world.ask(&mut app, &asked);
        for _ in 0..=start % 3 {
            let asked = Encrypt {
                key: name("gcm"),
                scheme: None,
                plaintext: b"plain",
                aad: b"",
            };
            let sealed = world.ask(&mut app, &asked).unwrap();
            let nonce: [u8; 12] = sealed.result().ciphertext[24..36].try_into().unwrap();
            assert!(seen.insert(nonce), "start {start}");
        }
        store = images(&world.vault.keys);
    }
    let taken = world.vault.keys.find("gcm").unwrap().unwrap();
    let uses = taken.read().unwrap().uses_taken();
    assert_eq!(usize::try_from(uses).unwrap(), seen.len());
}

#[test]
fn uses_that_are_limited_stay_limited_over_a_start() {
    let mut limited = key("tag", KeyType::HmacSha256, Source::Generate);
    limited.max_uses = Some(3);
    limited.rate = Some(Rate {
        uses: 100,
        per_secs: 1,
    });
    let set = || everything(vec![limited.clone()]);
    let asked = Mac {
        key: name("tag"),
        data: b"data",
    };
    let mut world = World::new(set());
    for left in [2, 1, 0] {
        let mut app = world.application(1);
        world.ask(&mut app, &asked).unwrap();
        let store = images(&world.vault.keys);
        let vault = crate::Vault::new(set(), LIMITS, recovered(&store));
        world.vault = vault.unwrap().0;
        let key = world.vault.keys.find("tag").unwrap().unwrap();
        assert_eq!(key.read().unwrap().uses_taken(), 3 - left);
    }
    let mut app = world.application(1);
    world.ask(&mut app, &asked).unwrap_err();
    assert_eq!(app.refusal(), Some(Refusal::KeyExhausted));
}

#[test]
fn quotas_count_what_was_found_again() {
    let mut world = World::new(everything(vec![]));
    let mut app = world.application(1);
    let asked = |name| Generate {
        key: name,
        key_type: KeyType::HmacSha256,
        operations: None,
        wrappable_by: Vec::new(),
    };
    world.ask(&mut app, &asked(name("one"))).unwrap();
    let store = images(&world.vault.keys);
    let narrow = VaultLimits {
        keys_per_uid: 1,
        ..LIMITS
    };
    let vault = crate::Vault::new(everything(vec![]), narrow, recovered(&store));
    world.vault = vault.unwrap().0;
    let mut app = world.application(1);
    world.ask(&mut app, &asked(name("two"))).unwrap_err();
    assert_eq!(app.refusal(), Some(Refusal::TooManyKeysOfUser));
}

#[test]
fn a_version_that_gives_up_its_place_leaves_its_narrowing() {
    let mut world = World::new(everything(stated()));
    let last = u32::try_from(MAX_VERSIONS_LEN).unwrap();
    for number in 1..=last {
        deliver(&mut world, number, |envelope| {
            if number == 2 {
                envelope.operations = OperationSet::of(&[Operation::Mac]);
            }
        });
    }
    destroy(&mut world, "tag", Some(2));
    deliver(&mut world, last + 1, |_| {});
    for keys in [&world.vault.keys, &found(&images(&world.vault.keys))] {
        let key = keys.find("tag").unwrap().unwrap();
        let body = key.read().unwrap();
        assert_eq!(body.versions.len(), MAX_VERSIONS_LEN);
        let first = &body.versions[0];
        assert_eq!(first.number, 1);
        let left = OperationSet::of(&[Operation::Mac]);
        assert_eq!(body.own_operations(first), left);
    }
}

#[test]
fn a_kill_while_versions_of_a_retired_signer_go_leaves_what_the_other_vouches_for() {
    let mut set = everything(stated());
    let mut heir = set.signers[0].clone();
    (heir.name, heir.kid, heir.point) = ("heir".into(), vec![2], [5; 65]);
    set.signers.push(heir);
    set.keys[1].signer.push("heir".into());
    let mut world = World::new(set.clone());
    trace::begin();
    let of_heir = |envelope: &mut Delivered<'_>| {
        let (point, tenant) = ([5; 65], None);
        envelope.voucher = Voucher::Owner(Box::new(Owner { point, tenant }));
    };
    deliver(&mut world, 1, of_heir);
    deliver(&mut world, 2, of_heir);
    for number in [8, 9] {
        deliver(&mut world, number, |envelope| {
            envelope.operations = OperationSet::of(&[Operation::Mac]);
        });
    }
    disable(&mut world, "tag", Some(8));
    set.keys[1].signer.remove(0);
    world.vault.replace_policy(set, world.now).unwrap();
    let first = trace::steps().len();
    deliver(&mut world, 2, of_heir);
    let steps = trace::steps();
    assert_eq!(
        steps.len(),
        first + 4,
        "one remembered, two dropped, one renewed"
    );
    for (step, store) in steps.iter().enumerate().skip(first) {
        let keys = found(store);
        let key = keys.find("tag").unwrap().unwrap();
        let body = key.read().unwrap();
        let is_whole = |number| {
            let mut versions = body.versions.iter();
            versions.any(|version| version.number == number && version.material().is_some())
        };
        assert!(is_whole(1) && is_whole(2), "step {step}");
        let left: Vec<_> = body.former.iter().map(|one| one.number).collect();
        assert_eq!(left, [8], "step {step}");
    }
    let after = picture(&world.vault.keys);
    assert_eq!(picture(&found(steps.last().unwrap())), after);
}

/// The number of a version that was destroyed is nobody's again, whenever it ends: its ciphertexts
/// name it, and a service may have it still.
#[test]
fn a_kill_while_the_newest_version_gives_up_its_place_does_not_free_its_number() {
    let last = u32::try_from(MAX_VERSIONS_LEN).unwrap();
    for key in ["tag", "made"] {
        let mut world = World::new(everything(stated()));
        trace::begin();
        changes()[1](&mut world);
        deliver(&mut world, 1, |_| {});
        let more = |world: &mut World, number| match key {
            "tag" => deliver(world, number, |_| {}),
            _ => rotate(world, key).unwrap(),
        };
        (2..=last).for_each(|number| more(&mut world, number));
        destroy(&mut world, key, Some(last));
        let first = trace::steps().len();
        more(&mut world, last + 1);
        for (step, store) in trace::steps().iter().enumerate().skip(first - 1) {
            let keys = found(store);
            let key = keys.find(key).unwrap().unwrap();
            let body = key.read().unwrap();
            assert!(body.newest_version() >= last, "step {step}");
            assert_eq!(body.versions.len(), MAX_VERSIONS_LEN, "step {step}");
        }
    }
}
