//! The file: its bytes, and that no other bytes are taken for it.

use super::super::*;
use super::world::{Machine, PART, local, part, sealing_key};
use crate::tests::calls::import;
use aes_gcm::aead::{Aead, KeyInit, Payload};
use nitride_protocol::KeyType;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use sha2::{Digest, Sha256};

const CHUNK_LEN: usize = (64 << 10) + 16;
const GOLDEN: &str = include_str!("golden.hex");

fn small() -> Machine {
    let mut machine = Machine::new(vec![local("gcm", KeyType::Aes256Gcm)]);
    machine.generate("gcm", KeyType::Aes256Gcm);
    machine
}

/// One whose file has three chunks.
fn large() -> Machine {
    let name = |number: usize| format!("secrets/{number:02}");
    let rules = (0..10).map(|number| local(&name(number), KeyType::Secret));
    let mut machine = Machine::new(rules.collect());
    for number in 0..10_u8 {
        let name = name(number.into());
        let secret = vec![number + 1; 16_000];
        machine
            .admin(&import(&name, KeyType::Secret, &secret))
            .unwrap();
    }
    machine
}

/// What becomes of a file on a machine that has nothing.
fn taken(machine: &Machine, file: &[u8]) -> Result<u64, SealFault> {
    let policy = machine.world.vault.policy().set().clone();
    let mut fresh = Machine::under(policy, Sealing::Closed);
    let result = fresh.unseal(file);
    if result.is_err() {
        assert_eq!(fresh.world.vault.keys.count(), Ok(0));
    }
    result
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn golden() -> Vec<u8> {
    let digits: Vec<u8> = GOLDEN.bytes().filter(u8::is_ascii_hexdigit).collect();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}

#[test]
fn the_format_is_what_it_was() {
    let mut machine = small();
    let file = machine.seal().file;
    assert_eq!(hex(&file), hex(&golden()), "the format has changed");
    let (head, len) = Head::parse(&file).unwrap();
    assert_eq!(head.platform, Platform::Sample);
    assert_eq!((&head.params[..], &head.provisioned), (&[1, 2][..], &None));
    assert_eq!((head.generation, len), (Generation(5), 56));
    assert_eq!(taken(&machine, &golden()), Ok(1));
}

fn hmac(key: &[u8], message: &[&[u8]]) -> [u8; 32] {
    let mut block = [0; 64];
    block[..key.len()].copy_from_slice(key);
    let mut inner = Sha256::new();
    inner.update(block.map(|byte| byte ^ 0x36));
    message.iter().for_each(|part| inner.update(part));
    let mut outer = Sha256::new();
    outer.update(block.map(|byte| byte ^ 0x5c));
    outer.update(inner.finalize());
    outer.finalize().into()
}

/// As the text of the format says, with another library.
#[test]
fn another_program_opens_it_by_the_words_of_the_format() {
    let mut machine = small();
    let file = machine.seal().file;
    let (head, len) = Head::parse(&file).unwrap();
    let digest = Sha256::digest(&file[..len]);
    let mixed = [&32_u32.to_be_bytes()[..], &PART].concat();
    let extracted = hmac(&head.salt, &[&mixed]);
    let info = [&b"nitride seal v1\0"[..], &digest].concat();
    let key = hmac(&extracted, &[&info, &[1]]);
    let cipher = aes_gcm::Aes256Gcm::new(&key.into());
    let nonce = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
    let payload = Payload {
        msg: &file[len..],
        aad: &digest,
    };
    let items = cipher.decrypt(&nonce.into(), payload).unwrap();
    let (len, rest) = items.split_first_chunk::<4>().unwrap();
    let (key, rest) = rest.split_at(u32::from_be_bytes(*len) as usize);
    assert_eq!(key[0], 0x84);
    let (len, version) = rest.split_first_chunk::<4>().unwrap();
    assert_eq!(u32::from_be_bytes(*len) as usize, version.len());
    let found = machine.world.vault.keys.find("gcm").unwrap().unwrap();
    let body = found.read().unwrap();
    let material = body.versions[0].material().unwrap().record().expose();
    assert!(version.ends_with(material));
}

#[test]
fn a_file_with_any_byte_changed_or_cut_off_anywhere_is_refused() {
    let mut machine = small();
    let file = machine.seal().file;
    for at in 0..file.len() {
        for bit in [1, 0x80] {
            let mut changed = file.clone();
            changed[at] ^= bit;
            assert!(taken(&machine, &changed).is_err(), "byte {at}");
        }
        assert!(taken(&machine, &file[..at]).is_err(), "cut at {at}");
    }
    let mut longer = file.clone();
    longer.push(0);
    assert_eq!(taken(&machine, &longer), Err(SealFault::NotGenuine));
    assert_eq!(taken(&machine, &file), Ok(1));
}

#[test]
fn no_change_of_a_file_of_many_chunks_is_taken() {
    let mut machine = large();
    let file = machine.seal().file;
    let (_, start) = Head::parse(&file).unwrap();
    assert!((2 * CHUNK_LEN..3 * CHUNK_LEN).contains(&(file.len() - start)));
    assert_eq!(taken(&machine, &file), Ok(10));
    let chunk = |at: usize| &file[start + at * CHUNK_LEN..][..CHUNK_LEN];
    let head = &file[..start];
    let last = &file[start + 2 * CHUNK_LEN..];
    let other = machine.seal().file;
    assert_ne!(other, file);
    let other_chunk = &other[start + CHUNK_LEN..][..CHUNK_LEN];
    let cases: [(&str, Vec<&[u8]>); 9] = [
        ("two chunks swapped", vec![head, chunk(1), chunk(0), last]),
        ("the last one missing", vec![head, chunk(0), chunk(1)]),
        ("the first one missing", vec![head, chunk(1), last]),
        ("one in the middle missing", vec![head, chunk(0), last]),
        ("one twice", vec![head, chunk(0), chunk(0), chunk(1), last]),
        (
            "the last one twice",
            vec![head, chunk(0), chunk(1), last, last],
        ),
        (
            "a chunk of another file",
            vec![head, chunk(0), other_chunk, last],
        ),
        ("another file's head", vec![&other[..start], &file[start..]]),
        ("no chunk", vec![head]),
    ];
    for (case, parts) in cases {
        let fault = taken(&machine, &parts.concat()).unwrap_err();
        assert!(
            matches!(fault, SealFault::NotGenuine | SealFault::Cut),
            "{case}: {fault}"
        );
    }
    let mut runner = TestRunner::new(Config {
        failure_persistence: None,
        ..Config::with_cases(64)
    });
    let strategy = (0..file.len(), 1..=255_u8, 0..file.len());
    runner
        .run(&strategy, |(at, mask, cut)| {
            let mut changed = file.clone();
            changed[at] ^= mask;
            prop_assert!(taken(&machine, &changed).is_err());
            prop_assert!(taken(&machine, &file[..cut]).is_err());
            Ok(())
        })
        .unwrap();
}

#[test]
fn a_head_says_the_same_in_one_way_only() {
    let strategy = (
        proptest::sample::select(Platform::ALL.to_vec()),
        proptest::collection::vec(any::<u8>(), 0..4097),
        proptest::option::of("[a-z]{1,20}/[a-z]{1,230}"),
        any::<u64>(),
        any::<u64>(),
    );
    let mut runner = TestRunner::new(Config {
        failure_persistence: None,
        ..Config::default()
    });
    runner
        .run(&strategy, |(platform, params, name, counter, seed)| {
            let name = name.map(|name| name.parse().unwrap());
            let mut draw = crate::tests::world::Sequence(seed);
            let generation = Generation(counter);
            let head = Head::new(platform, params, name, generation, &mut draw).unwrap();
            let bytes = head.encode().unwrap();
            let (read, len) = Head::parse(&bytes).unwrap();
            prop_assert_eq!(len, bytes.len());
            prop_assert_eq!(&read.encode().unwrap(), &bytes);
            prop_assert!(!read.is_new() && head.is_new());
            for len in 0..bytes.len() {
                prop_assert!(Head::parse(&bytes[..len]).is_err());
            }
            Ok(())
        })
        .unwrap();
}

#[test]
fn a_head_of_another_format_is_told_from_a_file_of_another_kind() {
    let mut machine = small();
    let mut file = machine.seal().file;
    let cases: [(usize, u8, SealFault); 4] = [
        (0, b'n', SealFault::NotASeal),
        (9, 2, SealFault::UnknownFormat { format: 2 }),
        (8, 0x87, SealFault::Inconsistent { what: "fields" }),
        (11, b'S', SealFault::Inconsistent { what: "platform" }),
    ];
    for (at, byte, fault) in cases {
        let before = std::mem::replace(&mut file[at], byte);
        assert_eq!(Head::parse(&file).unwrap_err(), fault);
        file[at] = before;
    }
    let long = vec![0; 4097];
    let draw = &mut machine.world.draw;
    let refused = Head::new(Platform::Tpm, long, None, Generation::NONE, draw);
    assert_eq!(refused, Err(SealFault::ParamsTooLong));
    let longest = vec![0; MAX_FILE_LEN + 1];
    let head = machine.head();
    let key = sealing_key(&machine.world.vault, &head);
    let mut file = head.encode().unwrap();
    file.extend(longest);
    let (now, draw) = (machine.world.now, &mut machine.world.draw);
    let refused = machine
        .world
        .vault
        .unseal(&head, std::slice::from_ref(&key), &file, now, draw);
    assert_eq!(refused, Err(SealFault::TooLong));
}

/// A genuine file of items that no vault writes.
fn of_items(machine: &mut Machine, items: &[u8]) -> Vec<u8> {
    let head = machine.head();
    let key = sealing_key(&machine.world.vault, &head);
    key.seal_anything(&head, items).unwrap()
}

#[test]
fn even_a_genuine_file_is_looked_through_before_anything_of_it_is_kept() {
    let mut machine = small();
    let mut items = Vec::new();
    let body = machine.world.vault.keys.find("gcm").unwrap().unwrap();
    let write = |items: &mut Vec<u8>| {
        let body = body.read().unwrap();
        let now = machine.world.now;
        body.write_items(body_name(), Generation(5), now, &mut |bytes| {
            items.extend_from_slice(bytes);
            Ok(())
        })
        .unwrap();
    };
    write(&mut items);
    let whole = items.len();
    write(&mut items);
    let file = of_items(&mut machine, &items);
    let twice = SealFault::Inconsistent { what: "names" };
    assert_eq!(taken(&machine, &file), Err(twice));
    let file = of_items(&mut machine, &items[..whole]);
    assert_eq!(taken(&machine, &file), Ok(1));
    // Cut anywhere, or with a length that is none.
    for len in 1..whole {
        let file = of_items(&mut machine, &items[..len]);
        assert!(taken(&machine, &file).is_err(), "{len}");
    }
    let file = of_items(&mut machine, &[0xff; 8]);
    let what = "the length of an item";
    assert_eq!(
        taken(&machine, &file),
        Err(SealFault::Inconsistent { what })
    );
    let file = of_items(&mut machine, &[]);
    assert_eq!(taken(&machine, &file), Ok(0));
}

fn body_name() -> &'static nitride_protocol::KeyNameBuf {
    static NAME: std::sync::OnceLock<nitride_protocol::KeyNameBuf> = std::sync::OnceLock::new();
    NAME.get_or_init(|| "gcm".parse().unwrap())
}

#[test]
fn a_file_under_another_part_is_refused() {
    let mut machine = small();
    let file = machine.seal().file;
    let (head, _) = Head::parse(&file).unwrap();
    let vault = &machine.world.vault;
    let other = SecretBuf::copy_of(&[8; 32]).unwrap();
    let key = vault.sealing_key(&head, &other).unwrap();
    let (now, draw) = (machine.world.now, &mut machine.world.draw);
    let refused = vault.unseal(&head, std::slice::from_ref(&key), &file, now, draw);
    assert_eq!(refused, Err(SealFault::NotGenuine));
    let longer = SecretBuf::copy_of(&[PART, PART].concat()).unwrap();
    let key = vault.sealing_key(&head, &longer).unwrap();
    let refused = vault.unseal(&head, std::slice::from_ref(&key), &file, now, draw);
    assert_eq!(refused, Err(SealFault::NotGenuine));
    assert_eq!(part().len(), MIN_PART_LEN);
}
