//! What the seal has to know, and what is refused while it cannot.

use super::super::*;
use super::world::{Machine, local, policy_of, provisioned, sealed};
use crate::keys::CommitRefused;
use crate::policy::{KeyRule, PolicySet, Source};
use crate::tests::calls::{self, derive, generate, import, mac};
use crate::tests::world::{Not, key, name};
use crate::{Now, Refusal};
use nitride_protocol::admin::{Destroy, Rotate, SetPolicy};
use nitride_protocol::application::{
    Batch, BatchItem, Describe, Disable, Enable, PublicKey, Random,
};
use nitride_protocol::{KeyPolicy, KeyType, Status};

pub(super) const CLOSED: Result<(), Not> = Err(Not::Done(Status::SealUnavailable));
pub(super) const NOT_DURABLE: Result<(), Not> = Err(Not::Done(Status::NotDurable));

pub(super) fn rotate(machine: &mut Machine, key: &str) -> Result<(), Not> {
    let key = name(key);
    machine.admin(&Rotate { key }).map(drop)
}

pub(super) fn disable(machine: &mut Machine, key: &str) -> Result<(), Not> {
    let (key, version) = (name(key), None);
    machine.admin(&Disable { key, version }).map(drop)
}

pub(super) fn enable(machine: &mut Machine, key: &str) -> Result<(), Not> {
    let (key, version) = (name(key), None);
    machine.admin(&Enable { key, version }).map(drop)
}

pub(super) fn destroy(machine: &mut Machine, key: &str) -> Result<(), Not> {
    let (key, version) = (name(key), None);
    machine.admin(&Destroy { key, version }).map(drop)
}

pub(super) fn limit(machine: &mut Machine, key: &str, max_uses: Option<u64>) -> Result<(), Not> {
    let policy = KeyPolicy {
        max_uses,
        not_after: Some(2_000_000_000),
        ..KeyPolicy::default()
    };
    let key = name(key);
    machine.admin(&SetPolicy { key, policy }).map(drop)
}

/// A sealed key and one that is not, both here.
fn both() -> Machine {
    let keys = vec![
        local("sealed", KeyType::Aes256Gcm),
        key("plain", KeyType::Aes256Gcm, Source::Local),
        local("absent", KeyType::Aes256Gcm),
        sealed("made", KeyType::Aes256Gcm, Source::Generate),
        provisioned("brought"),
    ];
    let mut machine = Machine::new(keys);
    machine.generate("sealed", KeyType::Aes256Gcm);
    machine.generate("plain", KeyType::Aes256Gcm);
    machine
}

#[test]
fn while_it_is_closed_nothing_of_the_seal_is_made_up_or_changed() {
    let mut machine = both();
    machine.world.vault.set_sealing(Sealing::Closed);
    let changes = machine.world.vault.seal_changes();
    // What is not here, whatever its source, may be in the file.
    for absent in ["absent", "made"] {
        assert_eq!(machine.encrypt(absent).map(drop), CLOSED, "{absent}");
        assert_eq!(machine.refusal(), Some(Refusal::SealClosed));
    }
    assert_eq!(machine.ask(&mac("brought", b"data")).map(drop), CLOSED);
    for absent in ["absent", "made", "brought"] {
        let key = name(absent);
        assert_eq!(machine.ask(&Describe { key }).map(drop), CLOSED);
        let (key, version) = (key, None);
        assert_eq!(destroy(&mut machine, absent), CLOSED);
        assert_eq!(rotate(&mut machine, absent), CLOSED);
        let public = machine.ask(&PublicKey { key, version });
        assert!(public.is_err());
    }
    let asked = generate("absent", KeyType::Aes256Gcm);
    assert_eq!(machine.ask(&asked).map(drop), CLOSED);
    let asked = import("absent", KeyType::Aes256Gcm, &[1; 32]);
    assert_eq!(machine.admin(&asked).map(drop), CLOSED);
    let refused = machine.world.deliver_with("brought", &[3; 32], |_| {});
    let closed = CommitRefused::Internal(Refusal::SealClosed);
    assert_eq!(refused, Err(closed));
    // What is here may be used, and changes when the seal is open.
    assert!(machine.encrypt("sealed").is_ok());
    assert_eq!(rotate(&mut machine, "sealed"), CLOSED);
    assert_eq!(disable(&mut machine, "sealed"), CLOSED);
    assert_eq!(enable(&mut machine, "sealed"), CLOSED);
    assert_eq!(destroy(&mut machine, "sealed"), CLOSED);
    assert_eq!(limit(&mut machine, "sealed", None), CLOSED);
    assert_eq!(machine.world.vault.seal_changes(), changes);
    // What the seal does not have is as ever.
    assert_eq!(rotate(&mut machine, "plain"), Ok(()));
    assert_eq!(limit(&mut machine, "plain", Some(100)), Ok(()));
    assert_eq!(destroy(&mut machine, "plain"), Ok(()));
    let missing = machine.described("nowhere");
    assert_eq!(missing, Err(Not::Done(Status::KeyNotFound)));
    // The same once it is open.
    let sealing = Sealing::Open { is_durable: true };
    machine.world.vault.set_sealing(sealing);
    for open in ["absent", "made"] {
        let _ = machine.ask(&generate(open, KeyType::Aes256Gcm));
    }
    assert!(machine.encrypt("made").is_ok());
    machine.world.deliver("brought", &[3; 32]);
    assert_eq!(rotate(&mut machine, "sealed"), Ok(()));
}

#[test]
fn no_round_is_begun_for_a_key_that_the_file_may_have() {
    let machine = both();
    let is_missing = || {
        let policy = machine.world.vault.policy();
        let rule = policy.key_rule("brought").unwrap();
        let keys = &machine.world.vault.keys;
        keys.is_missing(&policy, rule, machine.world.now)
    };
    assert!(is_missing());
    machine.world.vault.set_sealing(Sealing::Closed);
    assert!(!is_missing());
}

#[test]
fn without_a_counter_no_use_is_limited_and_nothing_sealed_is_destroyed() {
    let mut machine = both();
    let sealing = Sealing::Open { is_durable: false };
    machine.world.vault.set_sealing(sealing);
    assert_eq!(destroy(&mut machine, "sealed"), NOT_DURABLE);
    assert_eq!(limit(&mut machine, "sealed", Some(3)), NOT_DURABLE);
    let refused = machine.admin.refusal();
    assert_eq!(refused, Some(Refusal::NotDurable));
    // What can be taken back without breaking a promise can be done.
    assert_eq!(limit(&mut machine, "sealed", None), Ok(()));
    assert_eq!(disable(&mut machine, "sealed"), Ok(()));
    assert_eq!(enable(&mut machine, "sealed"), Ok(()));
    assert_eq!(rotate(&mut machine, "sealed"), Ok(()));
    assert_eq!(limit(&mut machine, "plain", Some(100)), Ok(()));
    assert_eq!(destroy(&mut machine, "plain"), Ok(()));
    // A limit that came when there was a counter is not forgotten: its key is not used.
    let sealing = Sealing::Open { is_durable: true };
    machine.world.vault.set_sealing(sealing);
    assert_eq!(limit(&mut machine, "sealed", Some(3)), Ok(()));
    assert!(machine.encrypt("sealed").is_ok());
    let sealing = Sealing::Open { is_durable: false };
    machine.world.vault.set_sealing(sealing);
    assert_eq!(machine.encrypt("sealed").map(drop), NOT_DURABLE);
    machine.world.vault.set_sealing(Sealing::Closed);
    assert_eq!(machine.encrypt("sealed").map(drop), CLOSED);
}

#[test]
fn a_child_with_a_limit_gets_no_sealed_name_without_a_counter() {
    let keys = vec![local("child", KeyType::Aes256Gcm)];
    let open = Sealing::Open { is_durable: false };
    let mut machine = Machine::under(policy_of(false, keys), open);
    machine.generate("parent", KeyType::HmacSha256);
    assert_eq!(limit(&mut machine, "parent", Some(9)), Ok(()));
    let asked = derive("parent", "child", KeyType::Aes256Gcm);
    assert_eq!(machine.ask(&asked).map(drop), NOT_DURABLE);
}

#[test]
fn each_change_that_the_file_must_have_is_counted_and_no_other() {
    let counted = KeyRule {
        max_uses: Some(2),
        ..local("counted", KeyType::Aes256Gcm)
    };
    let due = KeyRule {
        rotate_after_uses: Some(1),
        ..local("due", KeyType::Aes256Gcm)
    };
    let mut machine = Machine::new(vec![
        counted,
        due,
        local("sealed", KeyType::Aes256Gcm),
        sealed("made", KeyType::Aes256Gcm, Source::Generate),
        key("plain", KeyType::Aes256Gcm, Source::Local),
        provisioned("brought"),
    ]);
    let mut before = 0;
    let mut changed = |machine: &Machine| {
        let now = machine.world.vault.seal_changes();
        std::mem::replace(&mut before, now) != now
    };
    for key in ["counted", "due", "sealed"] {
        machine.generate(key, KeyType::Aes256Gcm);
        assert!(changed(&machine), "{key}");
    }
    machine.encrypt("made").unwrap();
    assert!(changed(&machine) && machine.app.has_changed());
    let steps: [fn(&mut Machine); 8] = [
        |machine| rotate(machine, "sealed").unwrap(),
        |machine| disable(machine, "sealed").unwrap(),
        |machine| enable(machine, "sealed").unwrap(),
        |machine| limit(machine, "sealed", None).unwrap(),
        |machine| drop(machine.encrypt("counted").unwrap()),
        |machine| machine.world.deliver("brought", &[3; 32]),
        |machine| destroy(machine, "sealed").unwrap(),
        |machine| {
            let policy = machine.world.vault.policy().set().clone();
            let now = machine.world.now;
            machine.world.vault.replace_policy(policy, now).unwrap();
        },
    ];
    for (at, step) in steps.iter().enumerate() {
        step(&mut machine);
        assert!(changed(&machine), "{at}");
    }
    // A use that makes a new version is a change, too.
    machine.encrypt("due").unwrap();
    assert!(!changed(&machine) && !machine.app.has_changed());
    machine.encrypt("due").unwrap();
    assert!(changed(&machine) && machine.app.has_changed());
    machine.encrypt("counted").unwrap();
    assert!(changed(&machine) && machine.app.has_changed());
    let others: [fn(&mut Machine); 9] = [
        |machine| assert!(machine.encrypt("counted").is_err()),
        |machine| drop(machine.encrypt("made").unwrap()),
        |machine| machine.generate("plain", KeyType::Aes256Gcm),
        |machine| rotate(machine, "plain").unwrap(),
        |machine| machine.generate("ruleless", KeyType::Aes256Gcm),
        |machine| destroy(machine, "ruleless").unwrap(),
        |machine| assert!(destroy(machine, "sealed").is_err()),
        |machine| machine.world.deliver("brought", &[3; 32]),
        |machine| drop(machine.ask(&Random { len: 9 }).unwrap()),
    ];
    for (at, step) in others.iter().enumerate() {
        step(&mut machine);
        assert!(!changed(&machine), "{at}");
    }
    assert!(!machine.app.has_changed());
    assert!(!machine.admin.has_changed());
    // What others change meanwhile is not theirs.
    machine.ask(&Random { len: 9 }).unwrap();
    rotate(&mut machine, "due").unwrap();
    assert!(changed(&machine));
    let whose = (machine.app.has_changed(), machine.admin.has_changed());
    assert_eq!(whose, (false, true));
}

#[test]
fn a_file_covers_what_changed_before_it_was_asked_for() {
    let mut machine = both();
    let sealed = machine.seal();
    assert_eq!(sealed.changes, machine.world.vault.seal_changes());
    assert_eq!(rotate(&mut machine, "sealed"), Ok(()));
    assert!(machine.world.vault.seal_changes() > sealed.changes);
}

#[test]
fn what_was_used_says_whether_the_seal_has_it() {
    let mut machine = both();
    let mac = || BatchItem::Mac(mac("tag", b"data"));
    machine.generate("tag", KeyType::HmacSha256);
    let sealed = || BatchItem::Encrypt(calls::encrypt("sealed", b"plain", b""));
    let is_sealed = |machine: &Machine| machine.app.used().map(|used| used.is_sealed);
    for (items, expected) in [
        (vec![sealed(), mac()], true),
        (vec![mac()], false),
        (vec![mac(), sealed(), mac()], true),
    ] {
        machine.ask(&Batch { items }).unwrap();
        assert_eq!(is_sealed(&machine), Some(expected));
    }
    for (key, expected) in [("sealed", true), ("plain", false)] {
        machine.encrypt(key).unwrap();
        assert_eq!(is_sealed(&machine), Some(expected));
    }
}

#[test]
fn whoever_sees_a_new_policy_finds_its_change_counted() {
    let machine = both();
    let vault = &machine.world.vault;
    let set = vault.policy().set().clone();
    let (now, last) = (machine.world.now, 20_000);
    let first = vault.seal_changes();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for generation in 1..=last {
                let set = PolicySet {
                    generation: first + generation,
                    ..set.clone()
                };
                vault.replace_policy(set, now).unwrap();
            }
        });
        let seen = || vault.policy().set().generation;
        while seen() < first + last {
            let (generation, changes) = (seen(), vault.seal_changes());
            assert!(changes >= generation, "{changes} of {generation}");
        }
    });
}

#[test]
fn what_gets_older_in_the_file_is_written_now_and_then() {
    let ages = |rule: KeyRule| {
        let (name, key_type) = (rule.name.to_string(), rule.key_type);
        let mut machine = Machine::new(vec![rule]);
        assert_eq!(machine.world.vault.seal_ages(), Ok(false));
        machine.generate(&name, key_type);
        machine.world.vault.seal_ages().unwrap()
    };
    let rotated = |rule| KeyRule {
        rotate_after_secs: Some(10),
        ..rule
    };
    let by_uses = |rule| KeyRule {
        rotate_after_uses: Some(10),
        ..rule
    };
    let siv = local("siv", KeyType::Aes256GcmSiv);
    assert!(ages(siv));
    let signs = || local("signs", KeyType::EcP256);
    assert!(!ages(signs()));
    assert!(ages(rotated(signs())));
    assert!(ages(by_uses(signs())));
    let unsealed = key("unsealed", KeyType::EcP256, Source::Local);
    assert!(!ages(rotated(unsealed)));
}

#[test]
fn what_is_due_waits_until_the_seal_is_open() {
    let due = KeyRule {
        rotate_after_secs: Some(10),
        ..local("due", KeyType::Aes256Gcm)
    };
    let mut machine = Machine::new(vec![due]);
    machine.generate("due", KeyType::Aes256Gcm);
    machine.world.pass_secs(20);
    machine.world.vault.set_sealing(Sealing::Closed);
    let newest = |machine: &Machine| {
        let key = machine.world.vault.keys.find("due").unwrap().unwrap();
        key.read().unwrap().newest_version()
    };
    let sweep = |machine: &mut Machine| {
        let now: Now = machine.world.now;
        let draw = &mut machine.world.draw;
        machine.world.vault.rotate_due(now, draw)
    };
    assert_eq!(sweep(&mut machine), Ok(()));
    assert!(machine.encrypt("due").is_ok());
    assert_eq!(newest(&machine), 1);
    let sealing = Sealing::Open { is_durable: true };
    machine.world.vault.set_sealing(sealing);
    assert_eq!(sweep(&mut machine), Ok(()));
    assert_eq!(newest(&machine), 2);
}
