//! What comes back: the key itself, and no copy that counts nonces.

use super::super::*;
use super::world::{Machine, local, provisioned, sealed};
use crate::ciphertext::{Algorithm, UnverifiedCiphertext};
use crate::keys::record::trace;
use crate::policy::{KeyRule, Source};
use crate::tests::calls::{generate, import, mac};
use crate::tests::world::{Not, key, name};
use crate::{Refusal, VaultLimits};
use nitride_protocol::admin::{Destroy, Rotate, SetPolicy};
use nitride_protocol::application::Disable;
use nitride_protocol::{KeyPolicy, KeyType, Status};
use std::collections::HashSet;

fn algorithm(ciphertext: &[u8]) -> Algorithm {
    let parsed = UnverifiedCiphertext::parse(ciphertext).unwrap();
    parsed.head.algorithm.unwrap()
}

fn rotate(key: &str) -> Rotate<'_> {
    Rotate { key: name(key) }
}

fn destroy(key: &str, version: Option<u32>) -> Destroy<'_> {
    let key = name(key);
    Destroy { key, version }
}

fn disable(key: &str, version: Option<u32>) -> Disable<'_> {
    let key = name(key);
    Disable { key, version }
}

#[test]
fn keys_come_back_as_they_were_and_others_do_not() {
    let types = [
        KeyType::Aes256Gcm,
        KeyType::Aes256Kwp,
        KeyType::HmacSha512,
        KeyType::EcP256,
        KeyType::Ed25519,
        KeyType::X25519,
        KeyType::Rsa2048,
        KeyType::MlDsa65,
        KeyType::MlKem768,
        KeyType::Secret,
    ];
    let named = |key_type: KeyType| format!("keys/{key_type}");
    let mut rules: Vec<_> = types.map(|of| local(&named(of), of)).into();
    rules.push(local("brought", KeyType::HmacSha256));
    rules.push(key("unsealed", KeyType::EcP256, Source::Local));
    let mut first = Machine::new(rules);
    for key_type in types {
        first.generate(&named(key_type), key_type);
    }
    first.generate("unsealed", KeyType::EcP256);
    first.generate("ruleless", KeyType::EcP256);
    first
        .admin(&import("brought", KeyType::HmacSha256, &[9; 32]))
        .unwrap();
    // One with all that a key can have.
    let gcm = named(KeyType::Aes256Gcm);
    for _ in 0..3 {
        first.admin(&rotate(&gcm)).unwrap();
    }
    first.admin(&disable(&gcm, Some(2))).unwrap();
    first.admin(&destroy(&gcm, Some(3))).unwrap();
    let policy = KeyPolicy {
        min_version: Some(2),
        not_before: Some(1_700_000_000),
        max_uses: Some(10),
        ..KeyPolicy::default()
    };
    let key = name(&gcm);
    first.admin(&SetPolicy { key, policy }).unwrap();
    let ciphertext = first.encrypt(&gcm).unwrap();

    let sealed = first.seal();
    assert_eq!((sealed.keys, sealed.left_out.as_deref()), (11, None));
    let (mut next, keys) = first.rebooted(&sealed.file);
    assert_eq!(keys, 11);
    for key_type in types {
        let key = named(key_type);
        assert_eq!(next.described(&key), first.described(&key), "{key}");
    }
    assert_eq!(next.described("brought"), first.described("brought"));
    let data = mac("brought", b"data");
    assert_eq!(next.ask(&data), first.ask(&data));
    assert!(next.opens(&gcm, &ciphertext));
    for absent in ["unsealed", "ruleless"] {
        assert_eq!(next.described(absent), Err(Not::Done(Status::KeyNotFound)));
    }
    // And once more, with what was unsealed.
    let sealed = next.seal();
    let (mut third, keys) = next.rebooted(&sealed.file);
    assert_eq!(keys, 11);
    assert_eq!(third.described(&gcm), next.described(&gcm));
    assert!(third.opens(&gcm, &ciphertext));
}

#[test]
fn what_was_destroyed_stays_destroyed_and_its_material_is_not_in_the_file() {
    let mut first = Machine::new(vec![local("gone", KeyType::EcP256)]);
    first.generate("gone", KeyType::EcP256);
    let before = first.seal().file.len();
    first.admin(&destroy("gone", None)).unwrap();
    let sealed = first.seal();
    assert_eq!((sealed.keys, sealed.file.len()), (1, before - 32 - 1));
    let (mut next, keys) = first.rebooted(&sealed.file);
    assert_eq!(keys, 1);
    let again = next.ask(&generate("gone", KeyType::EcP256)).map(drop);
    assert_eq!(again, Err(Not::Done(Status::KeyDestroyed)));
}

#[test]
fn uses_go_on_where_they_were() {
    let rule = KeyRule {
        max_uses: Some(5),
        ..local("counted", KeyType::Aes256Gcm)
    };
    let mut machine = Machine::new(vec![rule]);
    machine.generate("counted", KeyType::Aes256Gcm);
    for uses in 0..5 {
        machine.encrypt("counted").unwrap();
        let file = machine.seal().file;
        machine = machine.rebooted(&file).0;
        let left = machine.encrypt("counted");
        match uses {
            0..=1 => assert!(left.is_ok()),
            _ => {
                assert_eq!(left, Err(Not::Done(Status::KeyExhausted)));
                return;
            }
        }
    }
}

#[test]
fn no_version_that_was_unsealed_counts_nonces_and_one_made_after_it_does() {
    let types = [
        KeyType::Aes256Gcm,
        KeyType::Aes128Gcm,
        KeyType::ChaCha20Poly1305,
        KeyType::Aes256GcmSiv,
    ];
    let named = |key_type: KeyType| format!("keys/{key_type}");
    let mut first = Machine::new(types.map(|of| local(&named(of), of)).into());
    let ciphertexts = types.map(|key_type| {
        first.generate(&named(key_type), key_type);
        first.encrypt(&named(key_type)).unwrap()
    });
    assert_eq!(algorithm(&ciphertexts[0]), Algorithm::Aes256Gcm);
    let file = first.seal().file;
    let (mut next, _) = first.rebooted(&file);
    for (key_type, ciphertext) in types.iter().zip(&ciphertexts) {
        let key = named(*key_type);
        assert!(next.opens(&key, ciphertext));
        let again = next.encrypt(&key);
        match key_type {
            KeyType::Aes256Gcm => assert_eq!(algorithm(&again.unwrap()), Algorithm::Xaes256Gcm),
            KeyType::Aes256GcmSiv => {
                assert_eq!(algorithm(&again.unwrap()), Algorithm::Aes256GcmSiv);
            }
            _ => {
                assert_eq!(again, Err(Not::Done(Status::WrongKeyType)));
                let key_type = *key_type;
                assert_eq!(next.refusal(), Some(Refusal::SharedKey { key_type }));
            }
        }
        // A rotation draws what no other machine has.
        next.admin(&rotate(&key)).unwrap();
        let new = algorithm(&next.encrypt(&key).unwrap());
        assert_eq!(new, algorithm(ciphertext), "{key}");
        assert!(next.opens(&key, ciphertext));
    }
}

#[test]
fn a_restart_after_an_unseal_does_not_count_nonces_either() {
    let mut first = Machine::new(vec![local("gcm", KeyType::Aes256Gcm)]);
    first.generate("gcm", KeyType::Aes256Gcm);
    let file = first.seal().file;
    trace::begin();
    let (next, _) = first.rebooted(&file);
    let steps = trace::steps();
    drop(next);
    let policy = first.world.vault.policy().set().clone();
    let limits = VaultLimits {
        keys: 10,
        keys_per_uid: 10,
        expanded_len: 0,
    };
    let records = trace::recovered(steps.last().unwrap());
    let (vault, recovery) = Vault::new(policy, limits, records).unwrap();
    assert_eq!((recovery.keys, recovery.refused.len()), (1, 0));
    first.world.vault = vault;
    let sealing = Sealing::Open { is_durable: true };
    first.world.vault.set_sealing(sealing);
    first.app = first.world.application(1);
    let ciphertext = first.encrypt("gcm").unwrap();
    assert_eq!(algorithm(&ciphertext), Algorithm::Xaes256Gcm);
}

#[test]
fn a_kill_at_any_step_of_an_unseal_leaves_all_keys_or_none() {
    let names = ["one", "two", "three"];
    let mut first = Machine::new(names.map(|name| local(name, KeyType::EcP256)).into());
    for name in names {
        first.generate(name, KeyType::EcP256);
        first.admin(&rotate(name)).unwrap();
    }
    let file = first.seal().file;
    trace::begin();
    drop(first.rebooted(&file));
    let policy = first.world.vault.policy().set().clone();
    let limits = VaultLimits {
        keys: 10,
        keys_per_uid: 10,
        expanded_len: 0,
    };
    let mut found = HashSet::new();
    for step in trace::steps() {
        let records = trace::recovered(&step);
        let (vault, recovery) = Vault::new(policy.clone(), limits, records).unwrap();
        assert!(matches!(recovery.keys, 0 | 3), "{}", recovery.keys);
        found.insert(recovery.keys);
        first.world.vault = vault;
        assert_eq!(first.unseal(&file), Ok(3 - recovery.keys as u64));
        assert_eq!(first.world.vault.keys.count(), Ok(3));
    }
    assert_eq!(found.len(), 2);
}

#[test]
fn a_key_that_is_here_wins_and_the_file_is_written_again() {
    let rules = vec![
        local("both", KeyType::Aes256GcmSiv),
        local("filed", KeyType::Aes256GcmSiv),
    ];
    let mut first = Machine::new(rules);
    for key in ["both", "filed"] {
        first.generate(key, KeyType::Aes256GcmSiv);
    }
    let file = first.seal().file;
    let policy = first.world.vault.policy().set().clone();
    let mut here = Machine::under(policy, Sealing::Open { is_durable: true });
    here.world.draw.0 = 99;
    here.generate("both", KeyType::Aes256GcmSiv);
    let ciphertext = here.encrypt("both").unwrap();
    let before = here.world.vault.seal_changes();
    assert_eq!(here.unseal(&file), Ok(1));
    assert!(here.world.vault.seal_changes() > before);
    assert!(here.opens("both", &ciphertext));
    let of_file = first.encrypt("both").unwrap();
    assert!(!here.opens("both", &of_file));
    // All of it is here: nothing to write.
    let file = here.seal().file;
    let (next, _) = here.rebooted(&file);
    assert_eq!(next.world.vault.seal_changes(), 0);
}

#[test]
fn a_provisioned_key_comes_back_with_who_vouches_for_it_and_a_leased_one_does_not() {
    let leased = KeyRule {
        lease_secs: Some(60),
        ..provisioned("leased")
    };
    let mut first = Machine::new(vec![provisioned("kept"), provisioned("own"), leased]);
    let deliver = |machine: &mut Machine, key: &str, lease_secs| {
        let world = &mut machine.world;
        world
            .deliver_with(key, &[3; 32], |delivered| delivered.lease_secs = lease_secs)
            .unwrap();
    };
    deliver(&mut first, "kept", None);
    deliver(&mut first, "own", Some(60));
    deliver(&mut first, "leased", None);
    let sealed = first.seal();
    let left_out = Some("keys that are not sealed: 2 leased");
    assert_eq!((sealed.keys, sealed.left_out.as_deref()), (1, left_out));
    let (mut next, keys) = first.rebooted(&sealed.file);
    assert_eq!(keys, 1);
    assert_eq!(next.described("kept"), first.described("kept"));
    let data = mac("kept", b"data");
    assert_eq!(next.ask(&data), first.ask(&data));
    // Its service is asked for no key that is here, and for those that are not.
    let policy = next.world.vault.policy();
    let is_missing = |key: &str| {
        let rule = policy.key_rule(key).unwrap();
        next.world
            .vault
            .keys
            .is_missing(&policy, rule, next.world.now)
    };
    assert_eq!(
        ["kept", "own", "leased"].map(is_missing),
        [false, true, true]
    );
}

#[test]
fn a_version_does_not_get_younger_by_a_reboot() {
    let rule = KeyRule {
        rotate_after_secs: Some(1000),
        ..sealed("aging", KeyType::Aes256Gcm, Source::Generate)
    };
    let mut machine = Machine::new(vec![rule]);
    let newest = |machine: &Machine| {
        let key = machine.world.vault.keys.find("aging").unwrap().unwrap();
        key.read().unwrap().newest_version()
    };
    machine.encrypt("aging").unwrap();
    for reboot in 1..=3 {
        machine.world.pass_secs(400);
        let file = machine.seal().file;
        machine = machine.rebooted(&file).0;
        machine.encrypt("aging").unwrap();
        assert_eq!(newest(&machine), if reboot < 3 { 1 } else { 2 });
    }
}

#[test]
fn what_the_seal_brings_is_not_warned_of() {
    let mut machine = Machine::new(vec![local("sealed", KeyType::EcP256)]);
    machine.generate("sealed", KeyType::EcP256);
    let warned = |machine: &Machine| {
        let policy = machine.world.vault.policy();
        let keys = &machine.world.vault.keys;
        keys.warnings(&policy, false, machine.world.now).unwrap()
    };
    assert_eq!(warned(&machine), Vec::<String>::new());
    machine.world.vault.set_sealing(Sealing::Closed);
    assert_eq!(warned(&machine).len(), 1);
    let sealing = Sealing::Open { is_durable: false };
    machine.world.vault.set_sealing(sealing);
    assert_eq!(warned(&machine), Vec::<String>::new());
    machine.generate("unsealed", KeyType::EcP256);
    assert_eq!(warned(&machine).len(), 1);
}
