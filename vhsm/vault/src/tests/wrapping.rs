//! Keys that travel under another one.

use super::calls::{decrypt, encrypt, generate, import, mac, sign, unwrap, verify, wrap};
use super::world::{EVERYTHING, Not, World, gate, kbs, key, name, policy, rule, secret_for};
use crate::policy::{KeyRule, Rate, ReleaseTo, Source, limits};
use crate::{Refusal, Session};
use nitride_protocol::admin::{Import, Rotate};
use nitride_protocol::application::{Describe, Generate, Release};
use nitride_protocol::limits::{MAX_NAME_LEN, MAX_SECRET_LEN};
use nitride_protocol::{KeyNameBuf, KeyType, MaterialFormat, Operation, OperationSet, Status};
use nitride_secmem::crypto::Kwp;
use std::iter;

/// A wrapping key, and a key rule of each type whose keys it may wrap, named by their types.
fn world() -> (World, Session) {
    let mut keys: Vec<KeyRule> = KeyType::ALL
        .into_iter()
        .filter(|key_type| !key_type.as_str().starts_with("rsa"))
        .map(|key_type| KeyRule {
            wrappable_by: vec!["kek".parse().unwrap()],
            ..key(key_type.as_str(), key_type, Source::Generate)
        })
        .collect();
    keys.push(key("kek", KeyType::Aes256Kwp, Source::Generate));
    keys.push(key("other-kek", KeyType::Aes256Kwp, Source::Generate));
    let world = World::new(policy(vec![rule(1, "**", EVERYTHING)], keys));
    let app = world.application(1);
    (world, app)
}

fn wrapped(world: &mut World, app: &mut Session, key: &str) -> Vec<u8> {
    let wrapped = world.ask(app, &wrap("kek", key)).unwrap();
    assert_eq!(wrapped.result().wrapping_version, 1);
    wrapped.result().wrapped.to_vec()
}

#[test]
fn a_key_of_every_type_comes_back_as_it_was() {
    let (mut world, mut app) = world();
    for key_type in KeyType::ALL {
        let key = key_type.as_str();
        if key.starts_with("rsa") {
            continue;
        }
        let wrapped = wrapped(&mut world, &mut app, key);
        let new = format!("back/{key}");
        let asked = unwrap("kek", &wrapped, &new, key_type);
        world.ask(&mut app, &asked).unwrap();
        let uses = key_type.operations();
        if uses.contains(Operation::Encrypt) {
            let sealed = world.ask(&mut app, &encrypt(key, b"p", b"")).unwrap();
            let open = decrypt(&new, sealed.result().ciphertext, b"");
            world.ask(&mut app, &open).unwrap();
        } else if uses.contains(Operation::Mac) {
            let one = world.ask(&mut app, &mac(key, b"d")).unwrap();
            let other = world.ask(&mut app, &mac(&new, b"d")).unwrap();
            assert_eq!(one.result().tag, other.result().tag);
        } else if uses.contains(Operation::Sign) {
            let signed = world.ask(&mut app, &sign(key, None, b"m")).unwrap();
            let good = verify(&new, None, b"m", signed.result().signature);
            world.ask(&mut app, &good).unwrap();
        }
        let one = world.vault.keys.find(key).unwrap().unwrap();
        let other = world.vault.keys.find(&new).unwrap().unwrap();
        let (one, other) = (one.read().unwrap(), other.read().unwrap());
        let bytes =
            |version: &crate::keys::Version| version.material().unwrap().record().expose().to_vec();
        assert_eq!(bytes(&one.versions[0]), bytes(&other.versions[0]), "{key}");
    }
}

#[test]
fn an_rsa_key_comes_back_as_it_was() {
    let (mut world, mut app) = world();
    let mut asked: Generate<'_> = generate("rsa", KeyType::Rsa2048);
    asked.wrappable_by = vec![name("kek")];
    world.ask(&mut app, &asked).unwrap();
    let wrapped = wrapped(&mut world, &mut app, "rsa");
    let asked = unwrap("kek", &wrapped, "back", KeyType::Rsa2048);
    world.ask(&mut app, &asked).unwrap();
    let signed = world.ask(&mut app, &sign("rsa", None, b"m")).unwrap();
    let good = verify("back", None, b"m", signed.result().signature);
    world.ask(&mut app, &good).unwrap();
}

fn long(start: &str, number: usize, len: usize) -> String {
    let ending = format!("{number}.service");
    let filling = "x".repeat(len - start.len() - ending.len());
    [start, &filling, &ending].concat()
}

#[test]
fn the_largest_secret_with_the_largest_policy_comes_back_and_a_larger_one_is_refused_by_name() {
    let gate_name = long("gate", 0, MAX_NAME_LEN);
    let by: Vec<KeyNameBuf> = iter::once("kek".to_owned())
        .chain((1..limits::WRAPPING_KEYS).map(|number| long("kek", number, MAX_NAME_LEN)))
        .map(|name| name.parse().unwrap())
        .collect();
    let with_recipients = |name: &str, name_len| KeyRule {
        release_to: (0..limits::RECIPIENTS)
            .map(|number| ReleaseTo::Unit(long("unit", number, name_len)))
            .collect(),
        wrappable_by: by.clone(),
        gate: Some(gate_name.clone()),
        not_before: Some(1),
        not_after: Some(u64::MAX),
        rate: Some(Rate {
            uses: u32::MAX,
            per_secs: 86_400,
        }),
        ..key(name, KeyType::Secret, Source::Local)
    };
    let keys = vec![
        key("kek", KeyType::Aes256Kwp, Source::Generate),
        with_recipients("largest", MAX_NAME_LEN),
        // No unit has such a name.
        with_recipients("larger", 2 * MAX_NAME_LEN),
    ];
    let mut set = policy(vec![rule(1, "**", EVERYTHING)], keys);
    set.gates.push(gate(&gate_name, 60_000));
    let mut world = World::new(set);
    world.approve(&gate_name, 0);
    let (mut app, mut admin) = (world.application(1), world.admin(0));
    let secret = [7; MAX_SECRET_LEN];
    for name in ["largest", "larger"] {
        let mut import = import(name, KeyType::Secret, &secret);
        import.wrappable_by = by.iter().map(KeyNameBuf::as_name).collect();
        world.ask(&mut admin, &import).unwrap();
    }
    let wrapped = wrapped(&mut world, &mut app, "largest");
    assert!(wrapped.len() > MAX_SECRET_LEN + limits::RECIPIENTS * MAX_NAME_LEN);
    let asked = unwrap("kek", &wrapped, "back", KeyType::Secret);
    world.ask(&mut app, &asked).unwrap();
    let back = world.vault.keys.find("back").unwrap().unwrap();
    let body = back.read().unwrap();
    let version = &body.versions[0];
    let material = version.material().unwrap().record().expose();
    assert!(material == secret);
    assert_eq!(
        body.effective(version).release_to.map(|named| named.len()),
        Some(limits::RECIPIENTS)
    );
    let refused = world.ask(&mut app, &wrap("kek", "larger")).unwrap_err();
    assert_eq!(refused, Not::Done(Status::TooLarge));
    assert_eq!(app.refusal(), Some(Refusal::TooLarge));
}

#[test]
fn a_wrapped_key_is_no_key_of_another_type() {
    let (mut world, mut app) = world();
    let wrapped = wrapped(&mut world, &mut app, "aes-256-gcm");
    for key_type in KeyType::ALL {
        if key_type == KeyType::Aes256Gcm {
            continue;
        }
        let asked = unwrap("kek", &wrapped, "new", key_type);
        let refused = world.ask(&mut app, &asked).unwrap_err();
        assert_eq!(refused, Not::Done(Status::WrongParameters));
        let key_type = KeyType::Aes256Gcm;
        assert_eq!(app.refusal(), Some(Refusal::WrappedOtherwise { key_type }));
    }
}

#[test]
fn what_was_changed_or_cut_off_anywhere_does_not_unwrap() {
    let (mut world, mut app) = world();
    let whole = wrapped(&mut world, &mut app, "aes-256-gcm");
    let mut try_it = |bytes: &[u8]| {
        let asked = unwrap("kek", bytes, "new", KeyType::Aes256Gcm);
        world.ask(&mut app, &asked).unwrap_err()
    };
    for len in 0..whole.len() {
        let refused = try_it(&whole[..len]);
        assert!(
            matches!(
                refused,
                Not::Done(Status::Malformed | Status::VerificationFailed)
            ),
            "{len}: {refused:?}"
        );
    }
    for at in 0..whole.len() {
        let mut changed = whole.clone();
        changed[at] ^= 1;
        let expected = match at {
            0..4 => Status::Malformed,
            20..24 => Status::VersionNotFound,
            _ => Status::VerificationFailed,
        };
        assert_eq!(try_it(&changed), Not::Done(expected), "byte {at}");
    }
    let foreign = unwrap("other-kek", &whole, "new", KeyType::Aes256Gcm);
    let refused = world.ask(&mut app, &foreign).unwrap_err();
    assert_eq!(refused, Not::Done(Status::VerificationFailed));
}

#[test]
fn what_is_said_of_a_key_travels_with_it() {
    let (mut world, mut app) = world();
    let narrow = KeyRule {
        operations: OperationSet::of(&[Operation::VerifyMac]),
        not_before: Some(1_700_000_000),
        not_after: Some(1_900_000_000),
        wrappable_by: vec!["kek".parse().unwrap()],
        gate: Some("vm".into()),
        ..key("narrow", KeyType::HmacSha256, Source::Generate)
    };
    let kek = key("kek", KeyType::Aes256Kwp, Source::Generate);
    let set = policy(vec![rule(1, "**", EVERYTHING)], vec![narrow, kek]);
    world.vault.replace_policy(set, world.now).unwrap();
    world.approve("vm", 0);
    let wrapped = wrapped(&mut world, &mut app, "narrow");
    let asked = unwrap("kek", &wrapped, "new", KeyType::HmacSha256);
    world.ask(&mut app, &asked).unwrap();
    let told = world.ask(&mut app, &Describe { key: name("new") }).unwrap();
    let told = told.result();
    assert_eq!(told.operations, OperationSet::of(&[Operation::VerifyMac]));
    assert_eq!(told.not_before, Some(1_700_000_000));
    assert_eq!(told.not_after, Some(1_900_000_000));
    assert_eq!(told.gate, Some("vm"));
    assert_eq!(told.wrappable_by, [name("kek")]);
    world.ask(&mut app, &mac("new", b"data")).unwrap_err();
    let operation = Operation::Mac;
    assert_eq!(app.refusal(), Some(Refusal::KeyForbids { operation }));
}

/// A copy begins with version 1, whatever the lowest version of the key was.
#[test]
fn a_key_whose_older_versions_are_not_used_comes_back_to_be_used() {
    let rotated = KeyRule {
        min_version: Some(2),
        wrappable_by: vec!["kek".parse().unwrap()],
        ..key("rotated", KeyType::HmacSha256, Source::Generate)
    };
    let kek = key("kek", KeyType::Aes256Kwp, Source::Generate);
    let set = policy(vec![rule(1, "**", EVERYTHING)], vec![rotated, kek]);
    let mut world = World::new(set);
    let (mut app, mut admin) = (world.application(1), world.admin(0));
    let _ = world.ask(&mut app, &mac("rotated", b"d"));
    let rotate = Rotate {
        key: name("rotated"),
    };
    world.ask(&mut admin, &rotate).unwrap();
    let one = world.ask(&mut app, &mac("rotated", b"d")).unwrap();
    let wrapped = wrapped(&mut world, &mut app, "rotated");
    let asked = unwrap("kek", &wrapped, "new", KeyType::HmacSha256);
    world.ask(&mut app, &asked).unwrap();
    let other = world.ask(&mut app, &mac("new", b"d")).unwrap();
    assert_eq!(one.result().tag, other.result().tag);
}

#[test]
fn a_secret_that_comes_back_goes_to_whom_it_went_before() {
    let secret = KeyRule {
        wrappable_by: vec!["kek".parse().unwrap()],
        ..secret_for("secret", Source::Generate, ReleaseTo::Uid(2))
    };
    let wider = secret_for("wider", Source::Local, ReleaseTo::Uid(1));
    let kek = key("kek", KeyType::Aes256Kwp, Source::Generate);
    let rules = vec![rule(1, "**", EVERYTHING), rule(2, "**", EVERYTHING)];
    let mut world = World::new(policy(rules, vec![secret, wider, kek]));
    let mut app = world.application(1);
    let wrapped = wrapped(&mut world, &mut app, "secret");
    let asked = unwrap("kek", &wrapped, "wider", KeyType::Secret);
    world.ask(&mut app, &asked).unwrap();
    for uid in [1, 2] {
        let mut app = world.application(uid);
        let release = Release {
            key: name("wider"),
            version: None,
        };
        world.ask(&mut app, &release).unwrap_err();
        assert_eq!(app.refusal(), Some(Refusal::NotReleasedToPeer));
    }
}

#[test]
fn material_that_another_program_wrapped_is_imported_under_the_wrapping_key() {
    let kek = key("kek", KeyType::Aes256Kwp, kbs("r/t/kek"));
    let mut world = World::new(policy(vec![rule(1, "**", EVERYTHING)], vec![kek]));
    let (mut app, mut admin) = (world.application(1), world.admin(0));
    world.deliver("kek", &[9; 32]);
    let mut wrapped = [0; 40];
    let by_another = Kwp::new(&[9; 32]).unwrap();
    assert_eq!(by_another.wrap(&[3; 32], &mut wrapped), Ok(40));
    let mut asked = Import {
        key: name("new"),
        key_type: KeyType::HmacSha256,
        operations: None,
        material: &wrapped,
        format: MaterialFormat::Raw,
        wrapping_key: Some(name("kek")),
        wrappable_by: Vec::new(),
    };
    world.ask(&mut admin, &asked).unwrap();
    asked.key = name("plain");
    asked.wrapping_key = None;
    asked.material = &[3; 32];
    world.ask(&mut admin, &asked).unwrap();
    let one = world.ask(&mut app, &mac("new", b"d")).unwrap();
    let other = world.ask(&mut app, &mac("plain", b"d")).unwrap();
    assert_eq!(one.result().tag, other.result().tag);
    asked.key = name("third");
    asked.wrapping_key = Some(name("kek"));
    for (material, status) in [
        (&wrapped[..39], Status::Malformed),
        (&wrapped[..32], Status::VerificationFailed),
        (&[0; 40], Status::VerificationFailed),
    ] {
        asked.material = material;
        let refused = world.ask(&mut admin, &asked).unwrap_err();
        assert_eq!(refused, Not::Done(status));
    }
}
