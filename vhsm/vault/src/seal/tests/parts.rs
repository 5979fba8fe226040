//! What a sealing key is made of, and how often it seals.

use super::super::*;
use super::world::{Machine, local, part, policy_of, sealed, sealing_key};
use crate::keys::{Delivered, Voucher};
use crate::policy::ReleaseTo;
use crate::policy::{KeyRule, PolicyFault, PolicySet, SealTerms, Source};
use crate::tests::world::{kbs, key, name, secret_for};
use nitride_protocol::admin::{Destroy, SetPolicy};
use nitride_protocol::application::{Disable, Enable};
use nitride_protocol::{KeyNameBuf, KeyPolicy, KeyType};

const PROVISIONED: &str = "seal/part";

fn of_part(change: impl FnOnce(&mut KeyRule)) -> PolicySet {
    let mut part = key(PROVISIONED, KeyType::Secret, kbs("r/t/part"));
    change(&mut part);
    PolicySet {
        seal: Some(SealTerms {
            provisioned: Some(provisioned()),
            is_durable: true,
        }),
        ..policy_of(true, vec![part, local("gcm", KeyType::Aes256Gcm)])
    }
}

fn provisioned() -> KeyNameBuf {
    PROVISIONED.parse().unwrap()
}

fn machine(change: impl FnOnce(&mut KeyRule)) -> Machine {
    Machine::under(of_part(change), Sealing::Open { is_durable: true })
}

fn head(machine: &mut Machine) -> Head {
    let draw = &mut machine.world.draw;
    let part = Some(provisioned());
    Head::new(Platform::Snp, Vec::new(), part, Generation::NONE, draw).unwrap()
}

fn try_key(machine: &Machine, head: &Head) -> Result<(), SealFault> {
    machine.world.vault.sealing_key(head, &part()).map(drop)
}

#[test]
fn the_provisioned_part_is_waited_for_and_then_mixed_in() {
    let mut machine = machine(|_| {});
    machine.generate("gcm", KeyType::Aes256Gcm);
    let head = head(&mut machine);
    let waits = Err(SealFault::WaitsFor(provisioned()));
    assert_eq!(try_key(&machine, &head), waits);
    let before = machine.world.vault.seal_changes();
    machine.world.deliver(PROVISIONED, &[4; 40]);
    assert!(machine.world.vault.seal_changes() > before);
    let key = sealing_key(&machine.world.vault, &head);
    let now = machine.world.now;
    let file = machine.world.vault.seal(&head, &key, now).unwrap().file;
    // Another part is another key.
    for (material, keys) in [([5; 40], None), ([4; 40], Some(1))] {
        let policy = machine.world.vault.policy().set().clone();
        let mut next = Machine::under(policy, Sealing::Closed);
        next.world.deliver(PROVISIONED, &material);
        let found = next.unseal(&file);
        assert_eq!(found, keys.ok_or(SealFault::NotGenuine));
    }
}

fn deliver(machine: &mut Machine, version: u32, change: impl FnOnce(&mut Delivered<'_>)) {
    let material = [u8::try_from(version).unwrap(); 40];
    machine
        .world
        .deliver_with(PROVISIONED, &material, |delivered| {
            delivered.version = version;
            change(delivered);
        })
        .unwrap();
}

/// The file of a machine that has this version of the part alone.
fn sealed_under(version: u32) -> Vec<u8> {
    let mut machine = machine(|_| {});
    deliver(&mut machine, version, |_| {});
    machine.generate("gcm", KeyType::Aes256Gcm);
    sealed_now(&mut machine)
}

fn sealed_now(machine: &mut Machine) -> Vec<u8> {
    let head = head(machine);
    let vault = &machine.world.vault;
    let key = sealing_key(vault, &head);
    vault.seal(&head, &key, machine.world.now).unwrap().file
}

#[test]
fn a_file_under_the_part_before_opens_and_the_next_one_is_under_the_newest_alone() {
    let file = sealed_under(1);
    let mut next = machine(|_| {});
    deliver(&mut next, 1, |_| {});
    let before = next.world.vault.seal_changes();
    deliver(&mut next, 2, |_| {});
    // The next file is another one.
    assert!(next.world.vault.seal_changes() > before);
    assert_eq!(next.unseal(&file), Ok(1));
    let file = sealed_now(&mut next);
    for (version, found) in [(1, Err(SealFault::NotGenuine)), (2, Ok(1))] {
        let mut next = machine(|_| {});
        deliver(&mut next, version, |_| {});
        assert_eq!(next.unseal(&file), found, "{version}");
    }
}

#[test]
fn a_part_before_that_was_taken_back_opens_nothing() {
    let file = sealed_under(1);
    let (key, version) = (name(PROVISIONED), Some(1));
    let takings: [&dyn Fn(&mut Machine); 3] = [
        &|machine| drop(machine.admin(&Disable { key, version }).unwrap()),
        &|machine| drop(machine.admin(&Destroy { key, version }).unwrap()),
        &|machine| {
            let policy = KeyPolicy {
                min_version: Some(2),
                ..KeyPolicy::default()
            };
            machine.admin(&SetPolicy { key, policy }).unwrap();
        },
    ];
    for (at, take_back) in takings.into_iter().enumerate() {
        let mut next = machine(|_| {});
        deliver(&mut next, 1, |_| {});
        deliver(&mut next, 2, |_| {});
        take_back(&mut next);
        assert_eq!(next.unseal(&file), Err(SealFault::NotGenuine), "{at}");
    }
}

#[test]
fn a_newest_part_that_is_yet_to_be_signed_is_waited_for_and_no_older_one_tried() {
    let file = sealed_under(2);
    let mut next = machine(|_| {});
    deliver(&mut next, 1, |_| {});
    deliver(&mut next, 2, |delivered| {
        delivered.voucher = Voucher::Service("main".into());
    });
    let waits = Err(SealFault::WaitsFor(provisioned()));
    assert_eq!(next.unseal(&file), waits);
    deliver(&mut next, 2, |_| {});
    assert_eq!(next.unseal(&file), Ok(1));
}

#[test]
fn a_part_whose_lease_is_over_is_waited_for() {
    let mut machine = machine(|part| part.lease_secs = Some(10));
    let head = head(&mut machine);
    machine.world.deliver(PROVISIONED, &[4; 40]);
    assert_eq!(try_key(&machine, &head), Ok(()));
    machine.world.pass_secs(11);
    machine.world.vault.end_leases(machine.world.now).unwrap();
    let waits = Err(SealFault::WaitsFor(provisioned()));
    assert_eq!(try_key(&machine, &head), waits);
}

#[test]
fn a_part_that_is_bound_to_more_than_its_state_is_none() {
    let unfit = || Err(SealFault::UnfitPart { key: provisioned() });
    let changes: [fn(&mut KeyRule); 4] = [
        |part| part.gate = Some("vm".into()),
        |part| part.max_uses = Some(9),
        |part| part.not_after = Some(2_000_000_000),
        |part| part.min_version = Some(2),
    ];
    for change in changes {
        let mut machine = machine(change);
        let head = head(&mut machine);
        machine.world.deliver(PROVISIONED, &[4; 40]);
        assert_eq!(try_key(&machine, &head), unfit());
    }
    let mut machine = machine(|_| {});
    let head = head(&mut machine);
    machine.world.deliver(PROVISIONED, &[4; 40]);
    let (key, version) = (name(PROVISIONED), None);
    machine.admin(&Disable { key, version }).unwrap();
    assert_eq!(try_key(&machine, &head), unfit());
    machine.admin(&Enable { key, version }).unwrap();
    assert_eq!(try_key(&machine, &head), Ok(()));
    machine.admin(&Destroy { key, version }).unwrap();
    assert_eq!(try_key(&machine, &head), unfit());
    // A signer who is no longer named takes it along.
    let mut machine = self::machine(|_| {});
    machine
        .world
        .deliver_with(PROVISIONED, &[4; 40], |delivered| {
            delivered.voucher = Voucher::Service("main".into());
        })
        .unwrap();
    let waits = Err(SealFault::WaitsFor(provisioned()));
    assert_eq!(try_key(&machine, &head), waits);
    // A file may name any key.
    let of_other = PolicySet {
        seal: None,
        ..policy_of(true, vec![key_of(Source::Local)])
    };
    let machine = Machine::under(of_other, Sealing::Off);
    assert_eq!(try_key(&machine, &head), unfit());
}

fn key_of(source: Source) -> KeyRule {
    key(PROVISIONED, KeyType::Secret, source)
}

#[test]
fn a_short_platform_part_is_refused() {
    let mut machine = Machine::new(Vec::new());
    let head = machine.head();
    for len in [0, 31] {
        let part = SecretBuf::with_len(len).unwrap();
        let refused = machine.world.vault.sealing_key(&head, &part).map(drop);
        assert_eq!(refused, Err(SealFault::ShortPart { len }));
    }
}

#[test]
fn a_key_seals_once_and_never_under_a_head_that_was_read() {
    let mut machine = Machine::new(Vec::new());
    let head = machine.head();
    let now = machine.world.now;
    let vault = &machine.world.vault;
    let key = sealing_key(vault, &head);
    let file = vault.seal(&head, &key, now).unwrap().file;
    assert_eq!(vault.seal(&head, &key, now), Err(SealFault::KeySpent));
    let (read, _) = Head::parse(&file).unwrap();
    let opening = sealing_key(vault, &read);
    assert_eq!(vault.seal(&read, &opening, now), Err(SealFault::KeySpent));
    assert_eq!(format!("{key:?}"), "SealingKey(redacted)");
    let other = machine.head();
    let vault = &machine.world.vault;
    assert_eq!(vault.seal(&other, &key, now), Err(SealFault::OtherHead));
    // That one is not spent by it.
    let key = sealing_key(vault, &other);
    assert_eq!(vault.seal(&head, &key, now), Err(SealFault::OtherHead));
    vault.seal(&other, &key, now).unwrap();
    let draw = &mut machine.world.draw;
    let refused = vault.unseal(&other, std::slice::from_ref(&key), &file, now, draw);
    assert_eq!(refused, Err(SealFault::OtherHead));
}

#[test]
fn a_policy_that_the_seal_cannot_keep_is_refused() {
    let fault = |set: PolicySet| set.check().unwrap_err();
    let key: KeyNameBuf = "gcm".parse().unwrap();
    let one = |change: fn(&mut KeyRule)| {
        let mut rule = local("gcm", KeyType::Aes256Gcm);
        change(&mut rule);
        vec![rule]
    };
    let no_seal = PolicySet {
        seal: None,
        ..policy_of(true, one(|_| {}))
    };
    let no_seal_fault = PolicyFault::NoSeal { key: key.clone() };
    assert_eq!(fault(no_seal), no_seal_fault);
    let counted = policy_of(false, one(|rule| rule.max_uses = Some(3)));
    let no_counter = PolicyFault::CountedWithoutCounter { key };
    assert_eq!(fault(counted), no_counter);
    assert_eq!(
        policy_of(true, one(|rule| rule.max_uses = Some(3))).check(),
        Ok(())
    );
    let itself = of_part(|part| part.seal = true);
    let key = provisioned();
    assert_eq!(fault(itself), PolicyFault::SealsItself { key });
    let secret = |source| secret_for(PROVISIONED, source, ReleaseTo::Uid(1));
    let unfit = [
        vec![],
        vec![secret(Source::Local)],
        vec![sealed(PROVISIONED, KeyType::EcP256, kbs("r/t/part"))],
    ];
    for keys in unfit {
        let set = PolicySet {
            keys,
            ..of_part(|_| {})
        };
        let key = provisioned();
        assert_eq!(fault(set), PolicyFault::UnfitSealPart { key });
    }
}
