//! Many threads at once.

use super::world::{EVERYTHING, Not, Sequence, World, ask, key, name, peer, policy, rule};
use crate::policy::Source;
use crate::{Now, Socket, Vault};
use nitride_protocol::admin::Destroy;
use nitride_protocol::application::{Encrypt, PublicKey};
use nitride_protocol::{KeyType, Status};
use std::collections::HashSet;
use std::sync::Barrier;

/// Seeds of the threads, one each.
const SEEDS: std::ops::Range<u64> = 0..8;
const THREADS: usize = 8;

fn vault(key_type: KeyType) -> (Vault, Now) {
    let keys = vec![key("k", key_type, Source::Generate)];
    let rules = vec![rule(1, "**", EVERYTHING)];
    let world = World::new(policy(rules, keys));
    (world.vault, world.now)
}

fn encrypt() -> Encrypt<'static> {
    Encrypt {
        key: name("k"),
        plaintext: b"plain",
        aad: b"",
        scheme: None,
    }
}

#[test]
fn no_nonce_is_used_twice_among_threads() {
    for key_type in [KeyType::Aes256Gcm, KeyType::Aes256GcmSiv] {
        let (vault, now) = vault(key_type);
        let start = Barrier::new(THREADS);
        let nonces: Vec<Vec<u8>> = std::thread::scope(|scope| {
            let threads: Vec<_> = SEEDS
                .map(|seed| {
                    let (vault, start) = (&vault, &start);
                    scope.spawn(move || {
                        let mut session = vault.session(peer(1), Socket::Application);
                        let mut draw = Sequence(seed << 32);
                        start.wait();
                        (0..500)
                            .map(|_| {
                                ask(vault, &mut session, now, &mut draw, &encrypt())
                                    .unwrap()
                                    .result()
                                    .ciphertext[24..36]
                                    .to_vec()
                            })
                            .collect::<Vec<_>>()
                    })
                })
                .collect();
            let joined = threads
                .into_iter()
                .flat_map(|thread| thread.join().unwrap());
            joined.collect()
        });
        let distinct: HashSet<_> = nonces.iter().collect();
        assert_eq!(distinct.len(), THREADS * 500);
        // The first use made the key once: every thread used that one.
        let key = vault.keys.find("k").unwrap().unwrap();
        assert_eq!(key.read().unwrap().versions[0].uses(), 8 * 500);
    }
}

#[test]
fn a_first_use_by_many_makes_one_key() {
    let (vault, now) = vault(KeyType::EcP256);
    let start = Barrier::new(THREADS);
    let keys: HashSet<Vec<u8>> = std::thread::scope(|scope| {
        let threads: Vec<_> = SEEDS
            .map(|seed| {
                let (vault, start) = (&vault, &start);
                scope.spawn(move || {
                    let mut session = vault.session(peer(1), Socket::Application);
                    let mut draw = Sequence(seed << 32);
                    start.wait();
                    let public_key = PublicKey {
                        key: name("k"),
                        version: None,
                    };
                    let made = ask(vault, &mut session, now, &mut draw, &public_key).unwrap();
                    made.result().spki.to_vec()
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    assert_eq!(keys.len(), 1);
}

#[test]
fn after_destroy_has_answered_no_thread_uses_the_key() {
    let (vault, now) = vault(KeyType::Aes256Gcm);
    let destroyed = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        for seed in SEEDS {
            let (vault, destroyed) = (&vault, &destroyed);
            scope.spawn(move || {
                let mut session = vault.session(peer(1), Socket::Application);
                let mut draw = Sequence(seed << 32);
                loop {
                    let was_destroyed = destroyed.load(std::sync::atomic::Ordering::SeqCst);
                    match ask(vault, &mut session, now, &mut draw, &encrypt()) {
                        Ok(_) => assert!(!was_destroyed),
                        Err(not) => {
                            assert_eq!(not, Not::Done(Status::KeyDestroyed));
                            break;
                        }
                    }
                }
            });
        }
        let mut admin = vault.session(peer(0), Socket::Admin);
        let destroy = Destroy {
            key: name("k"),
            version: None,
        };
        let mut draw = Sequence(1 << 60);
        while ask(&vault, &mut admin, now, &mut draw, &destroy).is_err() {
            std::thread::yield_now();
        }
        destroyed.store(true, std::sync::atomic::Ordering::SeqCst);
    });
}

#[test]
fn policies_that_alternate_never_mix() {
    // Under neither policy may user 1 encrypt: one has the rule, the other has the key policy.
    let keys = |operations: &[nitride_protocol::Operation]| {
        let mut rule = key("k", KeyType::Aes256Gcm, Source::Local);
        rule.operations = nitride_protocol::OperationSet::of(operations);
        vec![rule]
    };
    let seal = [nitride_protocol::Operation::Encrypt];
    let open = [nitride_protocol::Operation::Decrypt];
    let one = policy(vec![rule(1, "k", &seal)], keys(&open));
    let other = policy(vec![rule(1, "k", &open)], keys(&seal));
    let mut world = World::new(policy(
        vec![rule(1, "k", EVERYTHING)],
        vec![key("k", KeyType::Aes256Gcm, Source::Local)],
    ));
    let generate = nitride_protocol::application::Generate {
        key: name("k"),
        key_type: KeyType::Aes256Gcm,
        operations: None,
        wrappable_by: Vec::new(),
    };
    let mut app = world.application(1);
    world.ask(&mut app, &generate).unwrap();
    world.vault.replace_policy(one.clone(), world.now).unwrap();
    let (vault, now) = (world.vault, world.now);
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        for seed in 0..4 {
            let (vault, done) = (&vault, &done);
            scope.spawn(move || {
                let mut session = vault.session(peer(1), Socket::Application);
                let mut draw = Sequence(seed << 32);
                while !done.load(std::sync::atomic::Ordering::Relaxed) {
                    let asked = ask(vault, &mut session, now, &mut draw, &encrypt());
                    assert_eq!(asked.unwrap_err(), Not::Done(Status::Denied));
                }
            });
        }
        for _ in 0..300 {
            vault.replace_policy(other.clone(), now).unwrap();
            vault.replace_policy(one.clone(), now).unwrap();
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
    });
}

#[test]
fn a_copied_vm_gets_nonces_of_its_own() {
    let (vault, now) = vault(KeyType::Aes256Gcm);
    let mut session = vault.session(peer(1), Socket::Application);
    let mut nonce = |draw: &mut Sequence| {
        let sealed = ask(&vault, &mut session, now, draw, &encrypt()).unwrap();
        sealed.result().ciphertext[24..36].to_vec()
    };
    let mut draw = Sequence(1);
    let before = nonce(&mut draw);
    vault.renew_nonce_prefixes(&mut Sequence(2)).unwrap();
    let after = nonce(&mut draw);
    assert_ne!(before[..8], after[..8]);
    assert_eq!(after[8..], [0, 0, 0, 1]);
}
