//! Every operation of every type while the arenas have less and less room: it is done, or refused
//! by that name, and a refusal leaves nothing behind.
//!
//! In a process of its own, since nobody else could work meanwhile.

use super::calls::{
    agree, decapsulate, decrypt, derive, encapsulate, encrypt, generate, import, mac, sign, unwrap,
    verify, wrap,
};
use super::world::{EVERYTHING, Not, World, key, name, policy, rule};
use crate::policy::{KeyRule, Source};
use crate::{Session, VaultLimits};
use nitride_protocol::admin::{Destroy, Rotate};
use nitride_protocol::application::{Disable, PublicKey, VerifyMac};
use nitride_protocol::{Call, KeyType, Message, Operation, Status};
use nitride_secmem::{Record, SecretBuf, usage};
use std::process::{Command, Stdio};

const CHILD: &str = "NITRIDE_VAULT_FULL";

/// Sizes of what fills an arena, in bytes: whole pages, and then each class below.
const PIECES: [usize; 22] = [
    65_536, 4096, 2048, 1360, 1008, 816, 672, 576, 512, 400, 320, 256, 192, 160, 128, 112, 96, 80,
    64, 48, 32, 16,
];
/// Of the smallest pieces, so many are given back one by one; then as many at once as were before.
const ONE_BY_ONE: usize = 24;

/// RSA keys of one size: the others differ in lengths alone, and take seconds to make.
fn types() -> impl Iterator<Item = KeyType> {
    let slow = [KeyType::Rsa3072, KeyType::Rsa4096];
    KeyType::ALL
        .into_iter()
        .filter(move |each| !slow.contains(each))
}

struct Full {
    world: World,
    app: Session,
    admin: Session,
    /// How many names were used up.
    names: usize,
    refusals: usize,
}

type Step<'s> = &'s mut dyn FnMut(&mut Full, &str) -> Result<(), Not>;

impl Full {
    fn new() -> Self {
        let keys = types().map(|key_type| KeyRule {
            wrappable_by: vec!["kek".parse().unwrap()],
            ..key(key_type.as_str(), key_type, Source::Local)
        });
        let kek = key("kek", KeyType::Aes256Kwp, Source::Generate);
        let keys = keys.chain([kek]).collect();
        let limits = VaultLimits {
            keys: 1_000_000,
            keys_per_uid: 1_000_000,
            // Nothing is kept expanded, so that each use has to find room.
            expanded_len: 0,
        };
        let world = World::with_limits(policy(vec![rule(1, "**", EVERYTHING)], keys), limits);
        let (app, admin) = (world.application(1), world.admin(0));
        let mut full = Self {
            world,
            app,
            admin,
            names: 0,
            refusals: 0,
        };
        for key_type in types() {
            let mut asked = generate(key_type.as_str(), key_type);
            asked.wrappable_by = vec![name("kek")];
            full.app(&asked).unwrap();
        }
        full
    }

    fn app<'a, C: Call + Message<'a>>(&mut self, call: &C) -> Result<(), Not> {
        self.world.ask(&mut self.app, call).map(drop)
    }

    fn admin<'a, C: Call + Message<'a>>(&mut self, call: &C) -> Result<(), Not> {
        self.world.ask(&mut self.admin, call).map(drop)
    }

    /// Takes the step while `fill` leaves less than nothing, and again with more and more room,
    /// until it is done. Each refusal leaves the arenas as they were, and no key.
    fn sweep<P>(&mut self, what: &str, fill: fn() -> Vec<P>, step: Step<'_>) {
        let mut pieces = fill();
        let mut left = 0;
        loop {
            self.names += 1;
            let new = format!("new/{}", self.names);
            let before = usage();
            let result = step(self, &new);
            let Err(not) = result else {
                return;
            };
            let refused = [self.app.refusal(), self.admin.refusal()];
            let is_full = not == Not::Done(Status::ArenaFull);
            assert!(is_full, "{what}, {left} pieces: {not:?} {refused:?}");
            self.refusals += 1;
            let after = usage();
            assert_eq!(
                after.records_used, before.records_used,
                "{what} leaves records"
            );
            // The key that is kept expanded may have made room, and where there is room, it stays.
            let most = before.heap_used.max(before.heap_size / 2);
            assert!(after.heap_used <= most, "{what} leaves objects");
            assert!(
                self.world.vault.keys.find(&new).unwrap().is_none(),
                "{what}"
            );
            let free = if left < ONE_BY_ONE { 1 } else { left };
            left += free;
            assert!(!pieces.is_empty(), "{what} is refused for ever");
            pieces.truncate(pieces.len().saturating_sub(free));
        }
    }
}

fn fill_heap() -> Vec<SecretBuf> {
    let mut pieces = Vec::new();
    for len in PIECES {
        while let Ok(piece) = SecretBuf::with_len(len) {
            pieces.push(piece);
        }
    }
    pieces
}

fn fill_records() -> Vec<Record> {
    let mut pieces = Vec::new();
    for len in PIECES {
        while let Ok(piece) = Record::from_fn(len, |bytes| bytes.fill(7)) {
            pieces.push(piece);
        }
    }
    pieces
}

/// Runs the test again in a process of its own; tells whether this is that one.
fn is_child(test: &str) -> bool {
    if std::env::var_os(CHILD).is_some() {
        return true;
    }
    let ended = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(CHILD, "1")
        .stdout(Stdio::inherit())
        .status()
        .unwrap();
    assert!(ended.success(), "{ended}");
    false
}

#[test]
fn a_use_that_finds_no_room_is_refused_by_name_and_leaves_nothing() {
    if !is_child(
        "tests::full_arena::a_use_that_finds_no_room_is_refused_by_name_and_leaves_nothing",
    ) {
        return;
    }
    let mut full = Full::new();
    for key_type in types() {
        let of = key_type.as_str();
        let uses = key_type.operations();
        let can = |operation| uses.contains(operation);
        if can(Operation::Sign) {
            let mut signature = Vec::new();
            full.sweep(of, fill_heap, &mut |full, _| {
                let signed = full.world.ask(&mut full.app, &sign(of, None, b"m"))?;
                signature = signed.result().signature.to_vec();
                Ok(())
            });
            full.sweep(of, fill_heap, &mut |full, _| {
                full.app(&verify(of, None, b"m", &signature))
            });
        }
        if can(Operation::PublicKey) {
            let asked = PublicKey {
                key: name(of),
                version: None,
            };
            full.sweep(of, fill_heap, &mut |full, _| full.app(&asked));
        }
        if can(Operation::Encrypt) {
            let mut sealed = Vec::new();
            full.sweep(of, fill_heap, &mut |full, _| {
                let done = full.world.ask(&mut full.app, &encrypt(of, b"p", b"a"))?;
                sealed = done.result().ciphertext.to_vec();
                Ok(())
            });
            full.sweep(of, fill_heap, &mut |full, _| {
                full.app(&decrypt(of, &sealed, b"a"))
            });
        }
        if can(Operation::Mac) {
            let mut tag = Vec::new();
            full.sweep(of, fill_heap, &mut |full, _| {
                let done = full.world.ask(&mut full.app, &mac(of, b"d"))?;
                tag = done.result().tag.to_vec();
                Ok(())
            });
            full.sweep(of, fill_heap, &mut |full, _| {
                full.app(&VerifyMac {
                    key: name(of),
                    version: None,
                    data: b"d",
                    tag: &tag,
                })
            });
        }
    }
    println!("{} refusals", full.refusals);
    assert!(
        full.refusals > 100,
        "{} refusals are too few",
        full.refusals
    );
}

/// What makes keys, in either arena.
fn make_all<P>(full: &mut Full, fill: fn() -> Vec<P>) {
    for key_type in types() {
        let of = key_type.as_str();
        full.sweep(of, fill, &mut |full, new| {
            full.app(&generate(new, key_type))
        });
        let material = full.world.vault.keys.find(of).unwrap().unwrap();
        let material = material.read().unwrap().versions[0]
            .material()
            .unwrap()
            .record()
            .expose()
            .to_vec();
        if key_type != KeyType::Aes256Kwp && !of.starts_with("rsa") {
            full.sweep(of, fill, &mut |full, new| {
                full.admin(&import(new, key_type, &material))
            });
        }
        let uses = key_type.operations();
        if uses.contains(Operation::Derive) {
            full.sweep(of, fill, &mut |full, new| {
                full.app(&derive(of, new, KeyType::HmacSha256))
            });
        }
        if uses.contains(Operation::Agree) {
            let asked = PublicKey {
                key: name(of),
                version: None,
            };
            let told = full.world.ask(&mut full.app, &asked).unwrap();
            let public = told.result().spki.to_vec();
            full.sweep(of, fill, &mut |full, new| {
                full.app(&agree(of, &public, new, KeyType::HmacSha256))
            });
        }
        if uses.contains(Operation::Encapsulate) {
            full.sweep(of, fill, &mut |full, new| {
                full.app(&encapsulate(of, new, KeyType::HmacSha256))
            });
            full.sweep(of, fill, &mut |full, new| {
                full.app(&decapsulate(of, &[9; 1088], new, KeyType::HmacSha256))
            });
        }
        let mut wrapped = Vec::new();
        full.sweep(of, fill, &mut |full, _| {
            let done = full.world.ask(&mut full.app, &wrap("kek", of))?;
            wrapped = done.result().wrapped.to_vec();
            Ok(())
        });
        full.sweep(of, fill, &mut |full, new| {
            full.app(&unwrap("kek", &wrapped, new, key_type))
        });
        let rotate = Rotate { key: name(of) };
        full.sweep(of, fill, &mut |full, _| full.admin(&rotate));
    }
    println!("{} refusals", full.refusals);
    assert!(
        full.refusals > 100,
        "{} refusals are too few",
        full.refusals
    );
}

#[test]
fn a_key_that_finds_no_room_to_be_made_in_is_refused_by_name_and_leaves_nothing() {
    let test = "a_key_that_finds_no_room_to_be_made_in_is_refused_by_name_and_leaves_nothing";
    if is_child(&format!("tests::full_arena::{test}")) {
        make_all(&mut Full::new(), fill_heap);
    }
}

#[test]
fn a_key_that_finds_no_record_is_refused_by_name_and_what_is_there_can_still_be_ended() {
    let test = "a_key_that_finds_no_record_is_refused_by_name_and_what_is_there_can_still_be_ended";
    if !is_child(&format!("tests::full_arena::{test}")) {
        return;
    }
    let mut full = Full::new();
    make_all(&mut full, fill_records);
    let _full = (fill_records(), fill_heap());
    for key_type in types() {
        let (key, version) = (name(key_type.as_str()), None);
        full.app(&Disable { key, version }).unwrap();
        full.admin(&Destroy { key, version }).unwrap();
    }
}
