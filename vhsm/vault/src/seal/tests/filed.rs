//! A key that is in a file, whatever its rule says by now: what becomes of it, the seal knows.

use super::super::*;
use super::changes::{CLOSED, NOT_DURABLE, destroy, disable, enable, limit, rotate};
use super::world::{Machine, local, policy_of, provisioned, sealing_key};
use crate::VaultLimits;
use crate::keys::record::trace;
use crate::policy::{KeyRule, PolicySet, Source};
use crate::tests::world::{Not, key};
use nitride_protocol::{KeyType, Status};

const OPEN: Sealing = Sealing::Open { is_durable: true };
const GCM: KeyType = KeyType::Aes256Gcm;

/// A file that has the key `k`, and a policy that does not seal it.
fn filed(unsealed: KeyRule) -> (Vec<u8>, PolicySet) {
    let mut first = Machine::new(vec![local("k", GCM)]);
    first.generate("k", GCM);
    (first.seal().file, policy_of(true, vec![unsealed]))
}

fn plain() -> KeyRule {
    key("k", GCM, Source::Local)
}

/// The machine after a boot under `policy`, its key brought by the file.
fn booted(file: &[u8], policy: PolicySet) -> Machine {
    let mut next = Machine::under(policy, Sealing::Closed);
    next.world.draw.0 = 1_000_003;
    assert_eq!(next.unseal(file), Ok(1));
    next.world.vault.set_sealing(OPEN);
    next
}

fn has_changed(machine: &mut Machine, step: fn(&mut Machine)) -> bool {
    let before = machine.world.vault.seal_changes();
    step(machine);
    machine.world.vault.seal_changes() > before
}

fn seal_at(machine: &mut Machine, generation: u64) -> Vec<u8> {
    let generation = Generation(generation);
    let draw = &mut machine.world.draw;
    let head = Head::new(Platform::Sample, vec![1, 2], None, generation, draw).unwrap();
    let vault = &machine.world.vault;
    let key = sealing_key(vault, &head);
    vault.seal(&head, &key, machine.world.now).unwrap().file
}

const CHANGES: [fn(&mut Machine); 5] = [
    |machine| disable(machine, "k").unwrap(),
    |machine| enable(machine, "k").unwrap(),
    |machine| limit(machine, "k", Some(9)).unwrap(),
    |machine| rotate(machine, "k").unwrap(),
    |machine| destroy(machine, "k").unwrap(),
];

#[test]
fn what_becomes_of_a_filed_key_is_written_though_its_rule_was_changed_while_it_was_off() {
    let (file, policy) = filed(plain());
    let mut next = booted(&file, policy.clone());
    // The file has what it should not have.
    assert!(next.world.vault.seal_changes() > 0);
    for (at, change) in CHANGES.into_iter().enumerate() {
        assert!(has_changed(&mut next, change), "{at}");
        assert!(next.admin.has_changed(), "{at}");
        let _ = next.described("k");
        assert!(!next.admin.has_changed(), "{at}");
    }
    // Without a counter, none of it is promised.
    let mut next = booted(&file, policy);
    let open = Sealing::Open { is_durable: false };
    next.world.vault.set_sealing(open);
    assert_eq!(destroy(&mut next, "k"), NOT_DURABLE);
    assert_eq!(limit(&mut next, "k", Some(3)), NOT_DURABLE);
    assert_eq!(disable(&mut next, "k"), Ok(()));
}

#[test]
fn uses_of_a_filed_key_are_written_for_as_long_as_it_is_limited() {
    let limited = KeyRule {
        max_uses: Some(2),
        ..plain()
    };
    let (file, policy) = filed(limited);
    let mut next = booted(&file, policy);
    let encrypt: fn(&mut Machine) = |machine| drop(machine.encrypt("k").unwrap());
    // Each is the request's own change, whatever its rule says of the seal: its answer rests on it.
    for _ in 0..2 {
        assert!(has_changed(&mut next, encrypt));
        assert!(next.app.has_changed());
        assert!(!next.app.used().unwrap().is_sealed);
    }
    let refused = next.encrypt("k").map(drop);
    assert_eq!(refused, Err(Not::Done(Status::KeyExhausted)));
}

#[test]
fn a_version_more_that_is_due_of_a_filed_key_is_written_and_waits_while_the_seal_is_closed() {
    let due = KeyRule {
        rotate_after_secs: Some(10),
        ..plain()
    };
    let (file, policy) = filed(due);
    let mut next = booted(&file, policy);
    let sweep = |machine: &mut Machine| {
        let (now, draw) = (machine.world.now, &mut machine.world.draw);
        machine.world.vault.rotate_due(now, draw).unwrap();
        let key = machine.world.vault.keys.find("k").unwrap().unwrap();
        let newest = key.read().unwrap().newest_version();
        (newest, machine.world.vault.seal_changes())
    };
    let (newest, changes) = sweep(&mut next);
    next.world.pass_secs(20);
    next.world.vault.set_sealing(Sealing::Closed);
    assert_eq!(sweep(&mut next), (newest, changes));
    next.world.vault.set_sealing(OPEN);
    assert_eq!(sweep(&mut next), (newest + 1, changes + 1));
}

#[test]
fn what_a_round_brings_for_a_filed_key_is_written() {
    let mut first = Machine::new(vec![provisioned("brought")]);
    first.world.deliver("brought", &[3; 32]);
    let file = first.seal().file;
    let leased = KeyRule {
        lease_secs: Some(60),
        ..provisioned("brought")
    };
    let mut next = booted(&file, policy_of(true, vec![leased]));
    assert!(has_changed(&mut next, |machine| {
        let world = &mut machine.world;
        let newer = world.deliver_with("brought", &[4; 32], |delivered| delivered.version = 2);
        newer.unwrap();
    }));
}

#[test]
fn a_policy_that_no_longer_seals_a_key_leaves_it_filed_until_a_file_without_it_counts() {
    let mut machine = Machine::new(vec![local("k", GCM)]);
    machine.generate("k", GCM);
    seal_at(&mut machine, 7);
    machine.world.vault.seal_kept(Generation(7));
    let now = machine.world.now;
    let unsealed = policy_of(true, vec![plain()]);
    machine.world.vault.replace_policy(unsealed, now).unwrap();
    let off: fn(&mut Machine) = |machine| disable(machine, "k").unwrap();
    let on: fn(&mut Machine) = |machine| enable(machine, "k").unwrap();
    assert!(has_changed(&mut machine, off));
    // Written is not yet counted.
    seal_at(&mut machine, 8);
    assert!(has_changed(&mut machine, on));
    machine.world.vault.seal_kept(Generation(8));
    assert!(!has_changed(&mut machine, off));
    assert!(!has_changed(&mut machine, on));
    assert_eq!(destroy(&mut machine, "k"), Ok(()));
}

/// A vault with what the records are that `steps` end with.
fn restarted(machine: &mut Machine, steps: &[trace::Store]) {
    let policy = machine.world.vault.policy().set().clone();
    let limits = VaultLimits {
        keys: 10,
        keys_per_uid: 10,
        expanded_len: 0,
    };
    let records = trace::recovered(steps.last().unwrap());
    let (vault, recovery) = Vault::new(policy, limits, records).unwrap();
    assert_eq!((recovery.keys, recovery.refused.len()), (1, 0));
    machine.world.vault = vault;
    machine.app = machine.world.application(1);
    machine.admin = machine.world.admin(0);
}

#[test]
fn a_restart_knows_what_is_filed_before_the_file_is_open() {
    trace::begin();
    let mut machine = Machine::new(vec![local("k", GCM)]);
    machine.generate("k", GCM);
    seal_at(&mut machine, 7);
    let steps = trace::steps();
    let now = machine.world.now;
    let unsealed = policy_of(true, vec![plain()]);
    machine.world.vault.replace_policy(unsealed, now).unwrap();
    restarted(&mut machine, &steps);
    machine.world.vault.set_sealing(Sealing::Closed);
    assert_eq!(destroy(&mut machine, "k"), CLOSED);
    assert_eq!(disable(&mut machine, "k"), CLOSED);
}

#[test]
fn memory_that_is_older_than_the_file_is_not_preferred_to_it() {
    trace::begin();
    let mut machine = Machine::new(vec![local("k", GCM)]);
    machine.generate("k", GCM);
    seal_at(&mut machine, 7);
    let older = trace::steps();
    // What another copy of the machine writes.
    rotate(&mut machine, "k").unwrap();
    let newer_file = seal_at(&mut machine, 9);
    let newer = trace::steps();
    let uncounted = seal_at(&mut machine, 0);
    // This memory has written it.
    restarted(&mut machine, &newer);
    assert_eq!(machine.unseal(&newer_file), Ok(0));
    // This one is a copy from before.
    restarted(&mut machine, &older);
    let key: nitride_protocol::KeyNameBuf = "k".parse().unwrap();
    let refused = Err(SealFault::OlderMemory { key });
    assert_eq!(machine.unseal(&newer_file), refused);
    let described = machine.world.vault.keys.find("k").unwrap().unwrap();
    assert_eq!(described.read().unwrap().newest_version(), 1);
    // Without a counter nobody can tell.
    assert_eq!(machine.unseal(&uncounted), Ok(0));
}

/// A genuine file of three keys with two versions each; the material of the last is none.
fn half_fit(machine: &mut Machine) -> Vec<u8> {
    let mut items = Vec::new();
    for name in ["one", "three", "two"] {
        let key = machine.world.vault.keys.find(name).unwrap().unwrap();
        let mut push = |bytes: &[u8]| {
            items.extend_from_slice(bytes);
            Ok(())
        };
        let body = key.read().unwrap();
        body.write_items(key.name(), Generation(5), machine.world.now, &mut push)
            .unwrap();
    }
    let material = items.len() - 32;
    items[material..].fill(0xff);
    let head = machine.head();
    let key = sealing_key(&machine.world.vault, &head);
    key.seal_anything(&head, &items).unwrap()
}

#[test]
fn an_unseal_that_fails_halfway_leaves_no_record_behind() {
    let names = ["one", "three", "two"];
    let mut first = Machine::new(names.map(|name| local(name, KeyType::EcP256)).into());
    for name in names {
        first.generate(name, KeyType::EcP256);
        rotate(&mut first, name).unwrap();
    }
    let file = half_fit(&mut first);
    let policy = first.world.vault.policy().set().clone();
    let mut next = Machine::under(policy, Sealing::Closed);
    trace::begin();
    let refused = next.unseal(&file);
    assert!(matches!(refused, Err(SealFault::Key { .. })), "{refused:?}");
    let steps = trace::steps();
    let most = steps.iter().map(std::collections::BTreeMap::len).max();
    // The group, two keys with two versions each, and one version.
    assert_eq!(most, Some(1 + 2 * 3 + 1));
    assert_eq!(steps.last().map(std::collections::BTreeMap::len), Some(0));
    assert_eq!(next.world.vault.keys.count(), Ok(0));
    // At each moment a restart would find none of them.
    for step in steps {
        restarted_without_keys(&next, &step);
    }
}

fn restarted_without_keys(machine: &Machine, step: &trace::Store) {
    let policy = machine.world.vault.policy().set().clone();
    let limits = VaultLimits {
        keys: 10,
        keys_per_uid: 10,
        expanded_len: 0,
    };
    let (_, recovery) = Vault::new(policy, limits, trace::recovered(step)).unwrap();
    assert_eq!(recovery.keys, 0);
}
