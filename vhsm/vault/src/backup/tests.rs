//! Backups: what is in them, what comes back, and what does not.

mod forged;

use super::*;
use crate::Session;
use crate::keys::Keys;
use crate::keys::record::GROUP;
use crate::keys::record::trace::{self, Store};
use crate::policy::{KeyRule, PolicySet, Source};
use crate::tests::world::{EVERYTHING, Not, Sequence, World, key, name, policy, rule};
use nitride_protocol::admin::{Destroy, Import, Rotate, SetPolicy};
use nitride_protocol::application::{Decrypt, Encrypt, Generate};
use nitride_protocol::{KeyPolicy, MaterialFormat, Origin, Status};
use nitride_secmem::crypto::{KeyAlgorithm, spki};

const KEY: &str = "backup/key";

fn everything(keys: Vec<KeyRule>) -> PolicySet {
    policy(vec![rule(1, "**", EVERYTHING)], keys)
}

fn generate<'g>(of: &'g str, key_type: KeyType) -> Generate<'g> {
    Generate {
        key: name(of),
        key_type,
        operations: None,
        wrappable_by: Vec::new(),
    }
}

fn encrypt(of: &str) -> Encrypt<'_> {
    Encrypt {
        key: name(of),
        scheme: None,
        plaintext: b"plain",
        aad: b"",
    }
}

fn decrypt<'d>(of: &'d str, ciphertext: &'d [u8]) -> Decrypt<'d> {
    Decrypt {
        key: name(of),
        version: None,
        scheme: None,
        ciphertext,
        aad: b"",
        nonce: None,
    }
}

/// A vault whose administrator is user 0 and that user 1 works with.
pub(super) struct Site {
    world: World,
    app: Session,
    admin: Session,
}

impl Site {
    fn new(keys: Vec<KeyRule>) -> Self {
        let world = World::new(everything(keys));
        let (app, admin) = (world.application(1), world.admin(0));
        Self { world, app, admin }
    }

    pub(super) fn made(names: &[(&str, KeyType)]) -> Self {
        let mut site = Self::new(Vec::new());
        for (name, key_type) in names {
            site.world
                .ask(&mut site.app, &generate(name, *key_type))
                .unwrap();
        }
        site
    }

    /// Imports a recipient's private half under `key`.
    fn with_half(mut self, half: &SecretBuf, key_type: KeyType) -> Self {
        let import = Import {
            key: name(KEY),
            key_type,
            operations: None,
            material: half.expose(),
            format: MaterialFormat::Raw,
            wrapping_key: None,
            wrappable_by: Vec::new(),
        };
        self.world.ask(&mut self.admin, &import).unwrap();
        self
    }

    pub(super) fn back_up(&mut self, recipient: &Recipient) -> Vec<Vec<u8>> {
        let mut giving = None;
        let mut parts = Vec::new();
        let mut cursor = None;
        loop {
            let cursor_now: Option<[u8; CURSOR_LEN]> = cursor;
            let cursor_now = cursor_now.as_ref().map(|cursor| &cursor[..]);
            let draw = &mut self.world.draw;
            let vault = &self.world.vault;
            let given = vault.back_up(&proof(), &mut giving, recipient, cursor_now, draw);
            let given = given.unwrap();
            parts.push(given.part);
            match given.next {
                Some(next) => cursor = Some(next),
                None => return parts,
            }
        }
    }

    fn restore(&mut self, recipients: &[Recipient], parts: &[Vec<u8>]) -> Result<u64, BackupFault> {
        let mut taking = Taking::default();
        let mut keys = 0;
        for part in parts {
            let world = &mut self.world;
            let (now, draw) = (world.now, &mut world.draw);
            let vault = &world.vault;
            keys += vault.restore(&proof(), (&mut taking, 0), recipients, part, now, draw)?;
        }
        Ok(keys)
    }

    fn count(&self) -> usize {
        self.world.vault.keys.count().unwrap()
    }
}

fn proof() -> DaemonCall {
    DaemonCall {
        id: 1,
        operation: Operation::Backup,
    }
}

/// A pair: the recipient, and its private half.
pub(super) fn pair(key_type: KeyType) -> (Recipient, SecretBuf) {
    crate::tests::world::arenas();
    let half = crate::keys::Material::draw(key_type, &mut Sequence(99)).unwrap();
    let der = match key_type {
        KeyType::X25519 => {
            let public = X25519::from_private(half.expose()).unwrap().public();
            spki(KeyAlgorithm::X25519, &public)
        }
        _ => {
            let pair = Ec::from_scalar(Curve::P256, half.expose()).unwrap();
            spki(
                KeyAlgorithm::Ec(Curve::P256),
                pair.public_point().as_bytes(),
            )
        }
    };
    let recipient = Recipient {
        name: "recovery".to_owned(),
        public_key: RecipientKey::from_spki(&der.unwrap()).unwrap(),
        key: Some(KEY.parse().unwrap()),
    };
    (recipient, half)
}

#[test]
fn keys_come_back_in_another_vault_and_open_what_they_sealed() {
    for key_type in [KeyType::EcP256, KeyType::X25519] {
        let (recipient, half) = pair(key_type);
        let mut from = Site::made(&[("k", KeyType::Aes256Gcm), ("tag", KeyType::HmacSha256)]);
        let first = from.world.ask(&mut from.app, &encrypt("k")).unwrap();
        from.world
            .ask(&mut from.admin, &Rotate { key: name("k") })
            .unwrap();
        let second = from.world.ask(&mut from.app, &encrypt("k")).unwrap();
        let parts = from.back_up(&recipient);
        assert_eq!(parts.len(), 1);

        let mut to = Site::new(Vec::new()).with_half(&half, key_type);
        assert_eq!(to.restore(std::slice::from_ref(&recipient), &parts), Ok(2));
        for sealed in [&first, &second] {
            let asked = decrypt("k", sealed.result().ciphertext);
            let opened = to.world.ask(&mut to.app, &asked).unwrap();
            assert_eq!(opened.result().plaintext, b"plain");
        }
        // A copy counts as shared: what it seals has no counted nonce (algorithm 3 is XAES).
        let sealed = to.world.ask(&mut to.app, &encrypt("k")).unwrap();
        assert_eq!(first.result().ciphertext[3], 1);
        assert_eq!(sealed.result().ciphertext[3], 3);
        let key = to.world.vault.keys.find("k").unwrap().unwrap();
        assert_eq!(key.read().unwrap().origin, Origin::Derived);
        // Once more changes nothing: they are there.
        assert_eq!(to.restore(&[recipient], &parts), Ok(0));
    }
}

#[test]
fn what_a_copy_would_outlive_is_in_no_backup() {
    let (recipient, half) = pair(KeyType::X25519);
    let names = [
        ("counted", KeyType::HmacSha256),
        ("gone", KeyType::HmacSha256),
        ("kek", KeyType::Aes256Kwp),
        ("plain", KeyType::HmacSha256),
    ];
    let mut from = Site::made(&names);
    let change = SetPolicy {
        key: name("counted"),
        policy: KeyPolicy {
            max_uses: Some(3),
            ..KeyPolicy::default()
        },
    };
    from.world.ask(&mut from.admin, &change).unwrap();
    let destroy = Destroy {
        key: name("gone"),
        version: None,
    };
    from.world.ask(&mut from.admin, &destroy).unwrap();
    let left_out = from.world.vault.left_out_of_backups().unwrap().unwrap();
    for part in [
        "1 destroyed or over",
        "1 with a lease or max-uses",
        "1 wrapping",
    ] {
        assert!(left_out.contains(part), "{left_out}");
    }
    let parts = from.back_up(&recipient);
    let mut to = Site::new(Vec::new()).with_half(&half, KeyType::X25519);
    assert_eq!(to.restore(&[recipient], &parts), Ok(1));
    assert!(to.world.vault.keys.find("plain").unwrap().is_some());
}

#[test]
fn a_backup_that_is_not_whole_genuine_and_ours_is_named_and_changes_nothing() {
    let (recipient, half) = pair(KeyType::X25519);
    let (other, _) = pair(KeyType::EcP256);
    let many: Vec<String> = (0..90).map(|number| format!("many/{number:03}")).collect();
    let mut from = Site::made(&[]);
    from.world
        .vault
        .replace_policy(everything(Vec::new()), from.world.now)
        .unwrap();
    // RSA is long enough for several parts; one key is imported under many names.
    let material = crate::keys::Material::draw(KeyType::Rsa3072, &mut Sequence(5)).unwrap();
    for name_of in &many {
        let import = Import {
            key: name(name_of),
            key_type: KeyType::Rsa3072,
            operations: None,
            material: material.expose(),
            format: MaterialFormat::Pkcs8,
            wrapping_key: None,
            wrappable_by: Vec::new(),
        };
        from.world.ask(&mut from.admin, &import).unwrap();
    }
    let parts = from.back_up(&recipient);
    let foreign = from.back_up(&recipient);
    // Room enough for the copies, too.
    drop(from);
    assert!(parts.len() >= 2, "{}", parts.len());
    let mut to = Site::new(Vec::new()).with_half(&half, KeyType::X25519);
    let ours = [recipient.clone()];
    let before = to.count();
    let changed = |at: usize| {
        let mut changed = parts.clone();
        let len = changed[0].len();
        changed[0][at.min(len - 1)] ^= 1;
        changed
    };
    let mut swapped = parts.clone();
    swapped.swap(0, 1);
    let mut doubled = parts.clone();
    doubled.insert(1, parts[0].clone());
    let mut short = parts.clone();
    short[0].pop();
    // Head: bytes 0..3 are the outer array and the head's length, then its array and its format.
    let mut older = parts.clone();
    older[0][4] = 0;
    for (parts, faults) in [
        (changed(usize::MAX), "not genuine"),
        (changed(60), "not genuine"),
        (swapped, "do not follow"),
        (parts[1..].to_vec(), "do not follow"),
        (vec![parts[0].clone(), foreign[1].clone()], "do not follow"),
        (short, "no part"),
        (older, "format is 0"),
        (vec![Vec::new()], "no part"),
    ] {
        let fault = to.restore(&ours, &parts).unwrap_err();
        assert!(fault.to_string().contains(faults), "{fault}: {faults}");
        assert_eq!(to.count(), before, "{faults}");
    }
    // One part twice begins again: the second one is the first of nothing less.
    assert_eq!(
        to.restore(&[other], &parts),
        Err(BackupFault::OtherRecipient)
    );
    let keyless = Recipient {
        key: None,
        ..recipient.clone()
    };
    let fault = to.restore(&[keyless], &parts).unwrap_err();
    assert!(matches!(fault, BackupFault::NoKeyHere { .. }));
    // Cut off before the last part, nothing has come.
    let cut = &parts[..parts.len() - 1];
    assert_eq!(to.restore(&ours, cut), Ok(0));
    assert_eq!(to.count(), before);
    assert_eq!(to.restore(&ours, &doubled), Ok(90));
    // The last part once more follows nothing.
    let again = parts[parts.len() - 1..].to_vec();
    let fault = to.restore(&ours, &again).unwrap_err();
    assert!(fault.to_string().contains("do not follow"), "{fault}");
}

/// How many keys a process finds that begins with these records.
fn found(store: &Store) -> usize {
    let limits = crate::VaultLimits {
        keys: 100,
        keys_per_uid: 100,
        expanded_len: 256 << 10,
    };
    let (keys, refused) = Keys::new(limits, trace::recovered(store));
    assert_eq!(refused, Vec::<String>::new());
    keys.count().unwrap()
}

#[test]
fn a_kill_during_a_restore_finds_all_of_it_or_nothing() {
    let (recipient, half) = pair(KeyType::X25519);
    let mut from = Site::made(&[
        ("a", KeyType::Aes256Gcm),
        ("b", KeyType::HmacSha256),
        ("c", KeyType::EcP256),
    ]);
    let asked = Rotate { key: name("a") };
    from.world.ask(&mut from.admin, &asked).unwrap();
    let parts = from.back_up(&recipient);
    let mut to = Site::new(Vec::new()).with_half(&half, KeyType::X25519);
    trace::begin();
    assert_eq!(to.restore(&[recipient], &parts).unwrap(), 3);
    let steps = trace::steps();
    // The group, four versions, three keys, and the end of the group.
    assert_eq!(steps.len(), 1 + 9);
    let (last, before) = steps.split_last().unwrap();
    assert_eq!(found(last), 3);
    for (step, store) in before.iter().enumerate() {
        assert_eq!(found(store), 0, "step {step}");
    }
    // A start that is killed while it erases them: the group goes last.
    let whole = before.last().unwrap();
    for (gone, _) in whole.iter().filter(|((kind, _), _)| *kind != GROUP) {
        let mut store = whole.clone();
        store.remove(gone);
        assert_eq!(found(&store), 0);
    }
}

#[test]
fn a_name_that_is_taken_or_was_keeps_all_of_a_backup_out() {
    let (recipient, half) = pair(KeyType::X25519);
    let mut from = Site::made(&[("a", KeyType::HmacSha256), ("b", KeyType::HmacSha256)]);
    let parts = from.back_up(&recipient);
    let ours = [recipient];
    for is_destroyed in [false, true] {
        let mut to = Site::new(Vec::new()).with_half(&half, KeyType::X25519);
        to.world
            .ask(&mut to.app, &generate("b", KeyType::HmacSha256))
            .unwrap();
        if is_destroyed {
            let destroy = Destroy {
                key: name("b"),
                version: None,
            };
            to.world.ask(&mut to.admin, &destroy).unwrap();
        }
        let refusal = match is_destroyed {
            true => Refusal::KeyDestroyed,
            false => Refusal::KeyExists,
        };
        let b: KeyNameBuf = "b".parse().unwrap();
        let fault = to.restore(&ours, &parts).unwrap_err();
        assert_eq!(fault, BackupFault::Key { name: b, refusal });
        assert!(to.world.vault.keys.find("a").unwrap().is_none());
    }
}

#[test]
fn a_rule_that_wants_a_key_made_here_takes_no_copy_and_a_narrowing_comes_along() {
    let (recipient, half) = pair(KeyType::X25519);
    let mut stated = key("k", KeyType::Aes256Gcm, Source::Local);
    stated.operations = [Operation::Encrypt].into_iter().collect();
    let mut from = Site::new(vec![stated]);
    from.world
        .ask(&mut from.app, &generate("k", KeyType::Aes256Gcm))
        .unwrap();
    let parts = from.back_up(&recipient);
    let ours = [recipient];
    let stricter = key("k", KeyType::Aes256Gcm, Source::Generate);
    let mut to = Site::new(vec![stricter]).with_half(&half, KeyType::X25519);
    let fault = to.restore(&ours, &parts).unwrap_err();
    assert!(matches!(fault, BackupFault::Key { .. }), "{fault}");
    // A wider rule widens nothing.
    let wider = key("k", KeyType::Aes256Gcm, Source::Local);
    let mut to = Site::new(vec![wider]).with_half(&half, KeyType::X25519);
    assert_eq!(to.restore(&ours, &parts), Ok(1));
    let sealed = to.world.ask(&mut to.app, &encrypt("k")).unwrap();
    let asked = decrypt("k", sealed.result().ciphertext);
    let refused = to.world.ask(&mut to.app, &asked).unwrap_err();
    assert_eq!(refused, Not::Done(Status::Denied));
}

#[test]
fn a_key_that_may_not_agree_or_is_bound_opens_no_backup() {
    let (recipient, half) = pair(KeyType::X25519);
    let mut from = Site::made(&[("a", KeyType::HmacSha256)]);
    let parts = from.back_up(&recipient);
    let ours = [recipient];
    let mut to = Site::new(Vec::new()).with_half(&half, KeyType::X25519);
    let change = SetPolicy {
        key: name(KEY),
        policy: KeyPolicy {
            max_uses: Some(100),
            ..KeyPolicy::default()
        },
    };
    to.world.ask(&mut to.admin, &change).unwrap();
    let fault = to.restore(&ours, &parts).unwrap_err();
    assert!(matches!(fault, BackupFault::UnfitKey { .. }), "{fault}");
}

#[test]
fn a_cursor_is_good_for_its_backup_alone() {
    let (recipient, _) = pair(KeyType::X25519);
    let mut site = Site::made(&[("a", KeyType::HmacSha256)]);
    let given = site.world.vault.back_up(
        &proof(),
        &mut None,
        &recipient,
        Some(&[0; CURSOR_LEN]),
        &mut site.world.draw,
    );
    assert_eq!(given, Err(BackupFault::WrongCursor));
}

#[test]
fn whatever_comes_is_refused_or_read() {
    let (recipient, half) = pair(KeyType::X25519);
    let mut from = Site::made(&[("a", KeyType::HmacSha256)]);
    let parts = from.back_up(&recipient);
    let ours = [recipient];
    let mut to = Site::new(Vec::new()).with_half(&half, KeyType::X25519);
    let before = to.count();
    for cut in 0..parts[0].len() {
        assert!(to.restore(&ours, &[parts[0][..cut].to_vec()]).is_err());
    }
    for at in 0..parts[0].len() {
        let mut changed = parts.clone();
        changed[0][at] ^= 0x20;
        assert!(to.restore(&ours, &changed).is_err(), "{at}");
    }
    assert_eq!(to.count(), before);
}

#[test]
fn a_secret_that_nobody_was_named_for_comes_back_for_nobody() {
    let (recipient, half) = pair(KeyType::X25519);
    let mut from = Site::made(&[("k", KeyType::HmacSha256)]);
    let import = Import {
        key: name("held"),
        key_type: KeyType::Secret,
        operations: None,
        material: b"held back",
        format: MaterialFormat::Raw,
        wrapping_key: None,
        wrappable_by: Vec::new(),
    };
    from.world.ask(&mut from.admin, &import).unwrap();
    let parts = from.back_up(&recipient);
    let mut to = Site::new(Vec::new()).with_half(&half, KeyType::X25519);
    assert_eq!(to.restore(std::slice::from_ref(&recipient), &parts), Ok(2));
    let key = to.world.vault.keys.find("held").unwrap().unwrap();
    assert_eq!(key.read().unwrap().terms.release_to, Some(Vec::new()));
}
