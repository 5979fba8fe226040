//! Signers whose keys a list names: what counts before it, by it, and after the next one.

mod floor;

use super::service::{self, OWNER, STRANGER};
use super::world::*;
use crate::policy::{ListedSigner, PolicySet};
use crate::rounds::{ResourceFault, RoundError};
use crate::{Now, SignerListFault, Vault, VaultLimits, Want};
use nitride_kbs::resource::ResourcePath;
use nitride_kbs::signer_list::{self, ListedKey, SignerList, UnverifiedSignerList};
use nitride_protocol::agent::FailureClass;
use nitride_secmem::crypto::{p256_spki, sha256};
use p256::ecdsa::Signature;
use p256::ecdsa::signature::Signer as _;

/// Test keys by number.
const ROOT: u8 = 10;
const FIRST: u8 = 11;
const SECOND: u8 = 12;
const LIST_PATH: &str = "default/signers/owner";
const MAX_AGE_MS: u64 = 60_000;
const DAY_SECS: u64 = 86_400;

/// The world's policy, but that the owner's keys are listed.
fn listed() -> PolicySet {
    let mut set = policy();
    set.signers.retain(|signer| signer.name != "owner");
    set.listed_signers.push(ListedSigner {
        name: "owner".into(),
        list_key: service::point(ROOT),
        path: ResourcePath::parse(LIST_PATH).unwrap(),
        max_age_ms: MAX_AGE_MS,
        min_serial: 1,
    });
    set
}

fn named(number: u8) -> ListedKey {
    ListedKey {
        point: service::point(number),
        from_secs: 0,
        until_secs: None,
    }
}

fn list(serial: u64, previous: Option<&[u8]>, keys: &[u8]) -> SignerList {
    let digest = |bytes: &[u8]| UnverifiedSignerList::parse(bytes).unwrap().digest();
    SignerList {
        owner: "owner".into(),
        serial,
        previous: match serial {
            1 => None,
            _ => Some(previous.map_or([0; 32], digest)),
        },
        created_secs: 1_767_225_600,
        keys: keys.iter().map(|number| named(*number)).collect(),
    }
}

fn signed_by(number: u8, list: &SignerList) -> Vec<u8> {
    let to_be_signed = signer_list::to_be_signed(b"root", list).unwrap();
    let signature: Signature = service::signing_key(number).sign(&to_be_signed);
    signer_list::assemble(b"root", list, &signature.to_bytes().into()).unwrap()
}

fn signed(list: &SignerList) -> Vec<u8> {
    signed_by(ROOT, list)
}

/// An envelope of the signing key by a key under its own id.
fn envelope_by(number: u8) -> Vec<u8> {
    envelope_of(number, 1)
}

fn envelope_of(number: u8, version: u32) -> Vec<u8> {
    let mut fields = service::fields(SIGNING_PATH, &SCALAR);
    fields.version = version;
    let kid = sha256(&[&p256_spki(&service::point(number))]);
    service::signed_by(number, &kid, &fields)
}

/// A round for the signing key, in which the list comes first, if it comes.
fn bring(world: &World, list: Option<&[u8]>, envelope: &[u8]) -> (Told, Told) {
    world.vault.agent_connected();
    let round = world.challenged(&key(SIGNING));
    let paths: Vec<&str> = round
        .order
        .resources
        .iter()
        .map(|path| path.as_str())
        .collect();
    assert_eq!(paths, [LIST_PATH, SIGNING_PATH]);
    let of_list = list.map_or(Ok(()), |list| told(world.deliver(&round, LIST_PATH, list)));
    let of_key = told(world.deliver(&round, SIGNING_PATH, envelope));
    world.finish(&round.order.round);
    (of_list, of_key)
}

type Told = Result<(), ResourceFault>;

fn told(result: Result<(), RoundError>) -> Told {
    result.map_err(|error| match error {
        RoundError::Resource(fault) => fault,
        other => panic!("{other:?}"),
    })
}

fn fault_of_list(world: &World, list: &[u8]) -> SignerListFault {
    world.vault.agent_connected();
    let name = "owner".to_owned();
    let round = world.challenged(&Want::Signers { name });
    let fault = told(world.deliver(&round, LIST_PATH, list)).unwrap_err();
    assert!(only(world.finish(&round.order.round)).outcome.is_err());
    match fault {
        ResourceFault::SignerList(fault) => fault,
        other => panic!("{other:?}"),
    }
}

fn take(world: &World, list: &[u8]) {
    world.vault.agent_connected();
    let name = "owner".to_owned();
    let round = world.challenged(&Want::Signers { name });
    told(world.deliver(&round, LIST_PATH, list)).unwrap();
    assert!(only(world.finish(&round.order.round)).outcome.is_ok());
}

/// Whether the signing key is one that a round should bring, as it is once nobody vouches for it.
fn is_missing(world: &World) -> bool {
    let policy = world.vault.policy();
    let rule = policy.key_rule(SIGNING).unwrap();
    world.vault.keys.is_missing(&policy, rule, world.now())
}

#[test]
fn nothing_of_an_owner_is_believed_before_its_list_has_come() {
    let world = World::under(listed());
    let (_, of_key) = bring(&world, None, &envelope_by(FIRST));
    assert!(matches!(of_key, Err(ResourceFault::NoSignerList)));
    assert_eq!(world.held(SIGNING), None);
    let first = signed(&list(1, None, &[FIRST]));
    let (of_list, of_key) = bring(&world, Some(&first), &envelope_by(FIRST));
    assert!(of_list.is_ok() && of_key.is_ok());
    assert!(world.held(SIGNING).is_some() && !is_missing(&world));
    assert_eq!(world.vault.signer_list("owner"), Some((1, 1)));
}

#[test]
fn a_key_that_is_added_is_believed_and_one_that_is_removed_is_not_at_the_next_use() {
    let world = World::under(listed());
    let first = signed(&list(1, None, &[FIRST]));
    let (_, of_key) = bring(&world, Some(&first), &envelope_by(SECOND));
    assert!(matches!(of_key, Err(ResourceFault::UnknownSigner)));
    let (_, of_key) = bring(&world, Some(&first), &envelope_by(FIRST));
    assert!(of_key.is_ok());
    let both = signed(&list(2, Some(&first), &[FIRST, SECOND]));
    take(&world, &both);
    assert!(!is_missing(&world));
    let second = signed(&list(3, Some(&both), &[SECOND]));
    take(&world, &second);
    // What the first one signed is here, and nobody vouches for it any more.
    assert!(is_missing(&world));
    let (_, of_key) = bring(&world, Some(&second), &envelope_by(FIRST));
    assert!(matches!(of_key, Err(ResourceFault::UnknownSigner)));
    let (_, of_key) = bring(&world, Some(&second), &envelope_by(SECOND));
    assert!(of_key.is_ok() && !is_missing(&world));
}

#[test]
fn an_empty_list_believes_nobody() {
    let world = World::under(listed());
    let first = signed(&list(1, None, &[FIRST]));
    let (_, of_key) = bring(&world, Some(&first), &envelope_by(FIRST));
    assert!(of_key.is_ok());
    take(&world, &signed(&list(2, Some(&first), &[])));
    assert!(is_missing(&world));
}

#[test]
fn an_older_list_is_refused_and_so_is_another_one_of_the_same_serial() {
    let world = World::under(listed());
    let first = signed(&list(1, None, &[FIRST]));
    let second = signed(&list(2, Some(&first), &[SECOND]));
    take(&world, &first);
    take(&world, &second);
    assert!(matches!(
        fault_of_list(&world, &first),
        SignerListFault::Older { serial: 1, held: 2 }
    ));
    let other = signed(&list(2, Some(&first), &[FIRST]));
    assert!(matches!(
        fault_of_list(&world, &other),
        SignerListFault::Forked { serial: 2 }
    ));
    let (_, of_key) = bring(&world, Some(&first), &envelope_by(FIRST));
    assert!(matches!(of_key, Err(ResourceFault::UnknownSigner)));
    assert_eq!(world.vault.signer_list("owner"), Some((2, 1)));
}

#[test]
fn the_next_list_follows_the_one_that_was_taken_and_one_further_on_need_not() {
    let world = World::under(listed());
    let first = signed(&list(1, None, &[FIRST]));
    take(&world, &first);
    let stray = signed(&list(2, None, &[SECOND]));
    assert!(matches!(
        fault_of_list(&world, &stray),
        SignerListFault::NotTheNext { held: 1 }
    ));
    take(&world, &signed(&list(9, None, &[SECOND])));
    assert_eq!(world.vault.signer_list("owner"), Some((9, 1)));
}

#[test]
fn a_list_of_another_key_or_another_owner_is_refused() {
    let world = World::under(listed());
    let good = list(1, None, &[FIRST]);
    for number in [FIRST, OWNER, STRANGER] {
        let forged = signed_by(number, &good);
        assert!(matches!(
            fault_of_list(&world, &forged),
            SignerListFault::NotSigned(_)
        ));
    }
    let heirs = SignerList {
        owner: "heir".into(),
        ..good.clone()
    };
    assert!(matches!(
        fault_of_list(&world, &signed(&heirs)),
        SignerListFault::OtherOwner
    ));
    let genuine = signed(&good);
    let mut tampered = genuine.clone();
    tampered[genuine.len() - 70] ^= 1;
    for bytes in [&tampered[..], b"", b"hello", &envelope_by(ROOT)] {
        world.vault.agent_connected();
        let round = world.challenged(&key(SIGNING));
        assert!(told(world.deliver(&round, LIST_PATH, bytes)).is_err());
        world.finish(&round.order.round);
    }
    assert_eq!(world.vault.signer_list("owner"), None);
}

#[test]
fn a_list_below_the_stated_serial_is_refused_by_a_vault_that_has_seen_none() {
    let mut set = listed();
    set.listed_signers[0].min_serial = 3;
    let world = World::under(set);
    let second = signed(&list(2, None, &[FIRST]));
    assert!(matches!(
        fault_of_list(&world, &second),
        SignerListFault::BelowStated {
            serial: 2,
            min_serial: 3
        }
    ));
    take(&world, &signed(&list(3, None, &[FIRST])));
}

#[test]
fn a_key_is_believed_within_its_time_alone() {
    let world = World::under(listed());
    let now = world.now().wall_secs;
    let mut bounded = list(1, None, &[FIRST]);
    bounded.keys[0].from_secs = now - DAY_SECS;
    bounded.keys[0].until_secs = Some(now);
    let (_, of_key) = bring(&world, Some(&signed(&bounded)), &envelope_by(FIRST));
    assert!(of_key.is_ok());
    let policy = world.vault.policy();
    let rule = policy.key_rule(SIGNING).unwrap();
    let is_missing_at = |wall_secs| {
        let now = Now {
            wall_secs,
            ..world.now()
        };
        world.vault.keys.is_missing(&policy, rule, now)
    };
    assert!(!is_missing_at(now));
    assert!(is_missing_at(now + 1) && is_missing_at(now - DAY_SECS - 1));
    assert!(is_missing_at(0), "without a clock");
}

#[test]
fn a_list_that_no_round_brings_again_counts_no_more_when_it_is_too_old() {
    let world = World::under(listed());
    let first = signed(&list(1, None, &[FIRST]));
    let (_, of_key) = bring(&world, Some(&first), &envelope_by(FIRST));
    assert!(of_key.is_ok());
    world.vault.prefetch(world.now(), &mut world.draw());
    assert!(world.order().is_none(), "it is fresh");
    world.wait_ms(MAX_AGE_MS / 2 + 1);
    assert!(!is_missing(&world));
    world.vault.prefetch(world.now(), &mut world.draw());
    let order = world.order().unwrap();
    assert_eq!(order.resources[0].as_str(), LIST_PATH);
    world.finish(&order.round);
    world.wait_ms(MAX_AGE_MS / 2);
    assert!(is_missing(&world));
    // The same list again, in a new round, and what is here counts again.
    take(&world, &first);
    assert!(!is_missing(&world));
}

#[test]
fn a_list_that_is_due_is_asked_for_at_the_next_service_where_one_is_not_reached() {
    let world = World::under(listed());
    let first = signed(&list(1, None, &[FIRST]));
    let (_, of_key) = bring(&world, Some(&first), &envelope_by(FIRST));
    assert!(of_key.is_ok());
    world.wait_ms(MAX_AGE_MS / 2 + 1);
    world.vault.prefetch(world.now(), &mut world.draw());
    // Another key of the owner is with the other one, and its name comes first.
    for service in ["other", "main"] {
        let order = world.order().unwrap();
        assert_eq!(order.service, service);
        let class = FailureClass::Unreachable;
        let vault = &world.vault;
        vault
            .record_failure(&order.round, None, class, 0, world.now())
            .unwrap();
        world.finish(&order.round);
    }
    assert!(world.order().is_none());
}

/// A list is public, and a JWE says nothing of who made it: this is a limit that is documented, not a
/// promise. What ends it is a serial that is stated, or a key's time.
#[test]
fn an_old_list_that_is_served_on_and_on_counts_until_a_higher_serial_is_stated() {
    let world = World::under(listed());
    let first = signed(&list(1, None, &[FIRST]));
    let (_, of_key) = bring(&world, Some(&first), &envelope_by(FIRST));
    assert!(of_key.is_ok());
    for _ in 0..5 {
        world.wait_ms(MAX_AGE_MS);
        take(&world, &first);
        assert!(!is_missing(&world));
    }
    let mut raised = listed();
    raised.listed_signers[0].min_serial = 2;
    world.vault.replace_policy(raised, world.now()).unwrap();
    assert!(is_missing(&world));
    assert!(matches!(
        fault_of_list(&world, &first),
        SignerListFault::BelowStated { .. }
    ));
}

#[test]
fn another_process_knows_the_list_and_does_not_go_back() {
    let world = World::under(listed());
    let first = signed(&list(1, None, &[FIRST]));
    let second = signed(&list(2, Some(&first), &[SECOND]));
    take(&world, &first);
    take(&world, &second);
    let records = world.vault.lists.leave();
    assert_eq!(records.len(), 1, "one record a name");
    let limits = VaultLimits {
        keys: 1,
        keys_per_uid: 1,
        expanded_len: 256 << 10,
    };
    let (vault, recovery) = Vault::new(listed(), limits, records).unwrap();
    assert!(recovery.refused.is_empty());
    assert_eq!(vault.signer_list("owner"), Some((2, 1)));
    let mut world = world;
    world.vault = vault;
    assert!(matches!(
        fault_of_list(&world, &first),
        SignerListFault::Older { .. }
    ));
    let (_, of_key) = bring(&world, None, &envelope_by(SECOND));
    assert!(of_key.is_ok());
}

#[test]
fn a_list_key_is_not_exchanged_while_the_records_live() {
    let world = World::under(listed());
    take(&world, &signed(&list(1, None, &[FIRST])));
    let mut exchanged = listed();
    exchanged.listed_signers[0].list_key = service::point(SECOND);
    world.vault.replace_policy(exchanged, world.now()).unwrap();
    assert_eq!(world.vault.signer_list("owner"), None);
    let of_other = signed_by(SECOND, &list(7, None, &[SECOND]));
    assert!(matches!(
        fault_of_list(&world, &of_other),
        SignerListFault::OtherListKey
    ));
    // What was taken counts again where the policy comes back to it.
    world.vault.replace_policy(listed(), world.now()).unwrap();
    assert_eq!(world.vault.signer_list("owner"), Some((1, 1)));
}

#[test]
fn a_record_that_was_changed_is_not_believed() {
    let world = World::under(listed());
    take(&world, &signed(&list(1, None, &[FIRST])));
    let mut records = world.vault.lists.leave();
    let mut public = records[0].public().to_vec();
    let at = public.len() - 70;
    public[at] ^= 1;
    records[0].replace_public(&public).unwrap();
    let limits = VaultLimits {
        keys: 1,
        keys_per_uid: 1,
        expanded_len: 256 << 10,
    };
    let (vault, recovery) = Vault::new(listed(), limits, records).unwrap();
    assert_eq!(recovery.refused.len(), 1);
    assert_eq!(vault.signer_list("owner"), None);
    let mut world = world;
    world.vault = vault;
    take(&world, &signed(&list(1, None, &[FIRST])));
}

#[test]
fn lists_have_room_beside_as_many_keys_as_a_round_takes() {
    let mut set = listed();
    for number in 0..80 {
        let path = format!("default/many/k{number}");
        set.keys.push(rule(
            &format!("many/k{number}"),
            nitride_protocol::KeyType::Secret,
            "main",
            &path,
        ));
    }
    let world = World::under(set);
    for number in 0..80 {
        world.want(&key(&format!("many/k{number}"))).unwrap();
    }
    let order = world.order().unwrap();
    let max = nitride_protocol::limits::MAX_RESOURCES_PER_ROUND;
    assert_eq!(order.resources.len(), max);
    assert_eq!(order.resources[0].as_str(), LIST_PATH);
    let next = world.order().unwrap();
    assert_eq!(next.resources[0].as_str(), LIST_PATH);
    assert_eq!(order.resources.len() + next.resources.len(), 82);
}
