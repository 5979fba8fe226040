//! Each version has its own terms and its own voucher, and an administrator's word outlasts both.

use super::world::{EVERYTHING, Not, World, kbs, key, name, policy, rule, secret_for, service};
use crate::keys::{CommitRefused, Delivered, Owner, Voucher};
use crate::policy::{KeyRule, PolicySet, ReleaseTo, Unsigned};
use crate::{Refusal, VolumeRefusal, Want};
use nitride_protocol::admin::Destroy;
use nitride_protocol::application::{Disable, Mac, Release, VerifyMac};
use nitride_protocol::limits::MAX_VERSIONS_LEN;
use nitride_protocol::{KeyType, Operation, OperationSet, Status};

const DENIED: Not = Not::Done(Status::Denied);

fn tag_rule() -> KeyRule {
    key("tag", KeyType::HmacSha256, kbs("r/t/tag"))
}

fn under(keys: Vec<KeyRule>) -> PolicySet {
    let rules = vec![rule(1, "**", EVERYTHING), rule(2, "**", EVERYTHING)];
    policy(rules, keys)
}

fn mac() -> Mac<'static> {
    Mac {
        key: name("tag"),
        data: b"data",
    }
}

fn verify(version: u32, tag: &[u8]) -> VerifyMac<'_> {
    VerifyMac {
        key: name("tag"),
        version: Some(version),
        data: b"data",
        tag,
    }
}

fn wanted() -> Not {
    let name = "tag".parse().unwrap();
    Not::Yet(Want::Key { name })
}

fn numbered(number: u32) -> impl FnOnce(&mut Delivered<'_>) {
    move |envelope| envelope.version = number
}

fn is_missing(world: &World) -> bool {
    let policy = world.vault.policy();
    let rule = policy.key_rule("tag").unwrap();
    world.vault.keys.is_missing(&policy, rule, world.now)
}

/// What another owner's envelope delivers.
fn of_heir(number: u32) -> impl FnOnce(&mut Delivered<'_>) {
    move |envelope| {
        envelope.version = number;
        envelope.voucher = Voucher::Owner(Box::new(Owner {
            point: [5; 65],
            tenant: None,
        }));
    }
}

/// The same policy, with another key under the signer's name.
fn with_heir(mut set: PolicySet) -> PolicySet {
    set.signers[0].point = [5; 65];
    set
}

#[test]
fn an_older_version_does_not_go_to_whom_a_newer_envelope_names() {
    let mut stated = secret_for("s", kbs("r/t/s"), ReleaseTo::Uid(1));
    stated
        .release_to
        .extend([ReleaseTo::Uid(2), ReleaseTo::Volume("root".into())]);
    let mut world = World::new(under(vec![stated]));
    for (version, to) in [(1, 1), (2, 2)] {
        world
            .deliver_with("s", &[b'0' + version; 8], |envelope| {
                envelope.version = version.into();
                envelope.release_to = vec![ReleaseTo::Uid(to)];
            })
            .unwrap();
    }
    let (mut one, mut two) = (world.application(1), world.application(2));
    let release = |version| Release {
        key: name("s"),
        version,
    };
    let newest = world.ask(&mut two, &release(None)).unwrap();
    assert_eq!(newest.result().secret, b"22222222");
    assert_eq!(world.ask(&mut two, &release(Some(1))), Err(DENIED));
    assert_eq!(two.refusal(), Some(Refusal::NotReleasedToPeer));
    // Nor did the newer one's owner mean to leave it to whom the older one named.
    assert_eq!(world.ask(&mut one, &release(Some(1))), Err(DENIED));
    assert_eq!(world.ask(&mut one, &release(None)), Err(DENIED));
    let volume = world.vault.release_to_volume("root", None, world.now);
    let unnamed = VolumeRefusal::Refused(Refusal::NotReleasedToPeer);
    assert_eq!(volume.unwrap_err(), unnamed);
}

#[test]
fn an_older_version_keeps_its_own_end_lease_and_uses() {
    type Terms = fn(&mut Delivered<'_>);
    let own: [(Terms, Not); 3] = [
        (
            |envelope| envelope.not_after_secs = Some(1_800_000_005),
            Not::Done(Status::KeyExpired),
        ),
        (
            |envelope| envelope.lease_secs = Some(10),
            Not::Done(Status::KeyExpired),
        ),
        (
            |envelope| envelope.operations = OperationSet::of(&[Operation::Mac]),
            DENIED,
        ),
    ];
    for (terms, refused) in own {
        let mut world = World::new(under(vec![tag_rule()]));
        let mut app = world.application(1);
        world.deliver_with("tag", &[1; 32], terms).unwrap();
        let first = world.ask(&mut app, &mac()).unwrap();
        world.deliver_with("tag", &[2; 32], numbered(2)).unwrap();
        world.pass_secs(10);
        let old = verify(1, first.result().tag);
        assert_eq!(world.ask(&mut app, &old), Err(refused));
        world.ask(&mut app, &mac()).unwrap();
    }
}

#[test]
fn narrower_terms_are_for_the_versions_before_too() {
    let mut world = World::new(under(vec![tag_rule()]));
    let mut app = world.application(1);
    world.deliver("tag", &[1; 32]);
    let first = world.ask(&mut app, &mac()).unwrap();
    let old = verify(1, first.result().tag);
    world.ask(&mut app, &old).unwrap();
    world
        .deliver_with("tag", &[2; 32], |envelope| {
            envelope.version = 2;
            envelope.operations = OperationSet::of(&[Operation::Mac]);
        })
        .unwrap();
    assert_eq!(world.ask(&mut app, &old), Err(DENIED));
}

#[test]
fn a_key_is_not_used_once_its_signer_is_not_believed_any_more() {
    let mut world = World::new(under(vec![tag_rule()]));
    let mut app = world.application(1);
    world.deliver("tag", &[1; 32]);
    world.ask(&mut app, &mac()).unwrap();
    let renamed = {
        let mut set = under(vec![tag_rule()]);
        set.signers[0].name = "heir".into();
        set.keys[0].signer = vec!["heir".into()];
        set
    };
    world.vault.replace_policy(renamed, world.now).unwrap();
    world.ask(&mut app, &mac()).unwrap();
    assert!(!is_missing(&world));

    let revoked = with_heir(under(vec![tag_rule()]));
    world.vault.replace_policy(revoked, world.now).unwrap();
    assert_eq!(world.ask(&mut app, &mac()).unwrap_err(), wanted());
    assert!(is_missing(&world));
    // Who is believed now counts from one again, and may bring other material.
    world.deliver_with("tag", &[2; 32], of_heir(1)).unwrap();
    world.ask(&mut app, &mac()).unwrap();
    assert!(!is_missing(&world));
}

#[test]
fn a_signer_who_is_not_believed_any_more_does_not_block_the_next_one() {
    let mut world = World::new(under(vec![tag_rule()]));
    world
        .deliver_with("tag", &[1; 32], numbered(u32::MAX))
        .unwrap();
    let revoked = with_heir(under(vec![tag_rule()]));
    world.vault.replace_policy(revoked, world.now).unwrap();
    world.deliver_with("tag", &[2; 32], of_heir(1)).unwrap();
}

/// Both owners sign the key.
fn of_both() -> PolicySet {
    let mut both = under(vec![tag_rule()]);
    let mut heir = both.signers[0].clone();
    (heir.name, heir.kid, heir.point) = ("heir".into(), vec![2], [5; 65]);
    both.signers.push(heir);
    both.keys[0].signer.push("heir".into());
    both
}

/// The first of both signs it no more.
fn retire(world: &World) {
    let mut set = of_both();
    set.keys[0].signer.remove(0);
    world.vault.replace_policy(set, world.now).unwrap();
}

#[test]
fn versions_of_a_retired_signer_go_and_those_below_of_the_other_stay() {
    let mut world = World::new(of_both());
    let mut app = world.application(1);
    world.deliver_with("tag", &[1; 32], of_heir(1)).unwrap();
    let first = world.ask(&mut app, &mac()).unwrap();
    let old = verify(1, first.result().tag);
    world.deliver_with("tag", &[2; 32], of_heir(2)).unwrap();
    world
        .deliver_with("tag", &[9; 32], |envelope| {
            envelope.version = 9;
            envelope.operations = OperationSet::of(&[Operation::Mac]);
        })
        .unwrap();
    assert_eq!(world.ask(&mut app, &old), Err(DENIED));
    retire(&world);
    assert_eq!(world.ask(&mut app, &mac()).unwrap_err(), wanted());
    // Neither the number nor the terms of what is not believed hold the others down.
    let refused = world.deliver_with("tag", &[1; 32], of_heir(1));
    assert_eq!(refused, Err(CommitRefused::OlderVersion { held: 2 }));
    let refused = world.deliver_with("tag", &[9; 32], of_heir(2));
    assert_eq!(refused, Err(CommitRefused::OtherMaterial));
    world.deliver_with("tag", &[2; 32], of_heir(2)).unwrap();
    assert_eq!(world.ask(&mut app, &mac()).unwrap().result().version, 2);
    world.ask(&mut app, &old).unwrap();
    world.deliver_with("tag", &[3; 32], of_heir(9)).unwrap();
    world.ask(&mut app, &old).unwrap();
}

#[test]
fn what_was_changed_of_a_retired_signer_is_so_when_the_other_brings_it() {
    let mut world = World::new(of_both());
    let (mut app, mut admin) = (world.application(1), world.admin(0));
    world.deliver_with("tag", &[1; 32], of_heir(1)).unwrap();
    world.deliver_with("tag", &[8; 32], numbered(8)).unwrap();
    world.deliver_with("tag", &[9; 32], numbered(9)).unwrap();
    let (key, version) = (name("tag"), Some(8));
    world.ask(&mut app, &Disable { key, version }).unwrap();
    let version = Some(9);
    world.ask(&mut admin, &Destroy { key, version }).unwrap();
    retire(&world);
    world.deliver_with("tag", &[1; 32], of_heir(1)).unwrap();
    let refused = world.deliver_with("tag", &[9; 32], of_heir(9));
    assert_eq!(refused, Err(CommitRefused::Destroyed));
    assert_eq!(world.ask(&mut app, &mac()).unwrap().result().version, 1);
    world.deliver_with("tag", &[8; 32], of_heir(8)).unwrap();
    let refused = world.ask(&mut app, &mac()).unwrap_err();
    assert_eq!(refused, Not::Done(Status::KeyDisabled));
}

#[test]
fn an_older_version_of_a_signer_who_is_not_believed_any_more_is_denied() {
    let mut both = of_both();
    let mut world = World::new(both.clone());
    let mut app = world.application(1);
    world.deliver("tag", &[1; 32]);
    let first = world.ask(&mut app, &mac()).unwrap();
    world.deliver_with("tag", &[2; 32], of_heir(2)).unwrap();
    let old = verify(1, first.result().tag);
    world.ask(&mut app, &old).unwrap();
    both.keys[0].signer.remove(0);
    world.vault.replace_policy(both, world.now).unwrap();
    assert_eq!(world.ask(&mut app, &old), Err(DENIED));
    assert_eq!(app.refusal(), Some(Refusal::NotVouchedFor));
    world.ask(&mut app, &mac()).unwrap();
}

#[test]
fn a_key_of_another_tenant_is_not_used_once_the_rule_names_one() {
    let mut world = World::new(under(vec![tag_rule()]));
    let mut app = world.application(1);
    world.deliver("tag", &[1; 32]);
    let mut of_acme = tag_rule();
    of_acme.tenant = Some("acme".into());
    let of_acme = under(vec![of_acme]);
    world.vault.replace_policy(of_acme, world.now).unwrap();
    assert_eq!(world.ask(&mut app, &mac()).unwrap_err(), wanted());
}

#[test]
fn an_unsigned_key_is_not_used_once_it_would_be_refused() {
    let mut accepting = tag_rule();
    accepting.unsigned = Unsigned::Accept;
    let unsigned = |envelope: &mut Delivered<'_>| {
        envelope.voucher = Voucher::Service("main".into());
    };
    let mut world = World::new(under(vec![accepting.clone()]));
    let mut app = world.application(1);
    world.deliver_with("tag", &[1; 32], unsigned).unwrap();
    world.ask(&mut app, &mac()).unwrap();
    let refusing = under(vec![tag_rule()]);
    world.vault.replace_policy(refusing, world.now).unwrap();
    assert_eq!(world.ask(&mut app, &mac()).unwrap_err(), wanted());
    // Another service has to bring it itself.
    accepting.source = crate::policy::Source::Kbs {
        services: vec!["other".into()],
        path: "r/t/tag".parse().unwrap(),
    };
    let mut elsewhere = under(vec![accepting]);
    elsewhere.services.push(service("other"));
    world.vault.replace_policy(elsewhere, world.now).unwrap();
    assert_eq!(world.ask(&mut app, &mac()).unwrap_err(), wanted());
}

#[test]
fn what_was_destroyed_or_disabled_is_so_when_its_resource_comes_back() {
    let here = || under(vec![tag_rule()]);
    let elsewhere = || under(vec![key("tag", KeyType::HmacSha256, kbs("r/t/moved"))]);
    let mut world = World::new(here());
    let (mut app, mut admin) = (world.application(1), world.admin(0));
    world.deliver("tag", &[1; 32]);
    world.deliver_with("tag", &[2; 32], numbered(2)).unwrap();
    world.deliver_with("tag", &[3; 32], numbered(3)).unwrap();
    let (key, disabled) = (name("tag"), Some(3));
    let disable = Disable {
        key,
        version: disabled,
    };
    world.ask(&mut app, &disable).unwrap();
    let version = Some(2);
    world.ask(&mut admin, &Destroy { key, version }).unwrap();

    world.vault.replace_policy(elsewhere(), world.now).unwrap();
    world.deliver_with("tag", &[9; 32], numbered(2)).unwrap();
    world.ask(&mut app, &mac()).unwrap();
    world.vault.replace_policy(here(), world.now).unwrap();
    let refused = world.deliver_with("tag", &[2; 32], numbered(2));
    assert_eq!(refused, Err(CommitRefused::Destroyed));
    assert_eq!(world.ask(&mut app, &mac()).unwrap_err(), wanted());
    world.deliver_with("tag", &[3; 32], numbered(3)).unwrap();
    let refused = world.ask(&mut app, &mac()).unwrap_err();
    assert_eq!(refused, Not::Done(Status::KeyDisabled));
    // And once more, since a version was there in between.
    world.vault.replace_policy(elsewhere(), world.now).unwrap();
    world.deliver_with("tag", &[9; 32], numbered(2)).unwrap();
    world.vault.replace_policy(here(), world.now).unwrap();
    let refused = world.deliver_with("tag", &[2; 32], numbered(2));
    assert_eq!(refused, Err(CommitRefused::Destroyed));
}

#[test]
fn a_key_that_is_rotated_for_ever_forgets_versions_that_have_lapsed() {
    let mut leased = tag_rule();
    leased.lease_secs = Some(60);
    let mut world = World::new(under(vec![leased]));
    let mut app = world.application(1);
    let last = u32::try_from(MAX_VERSIONS_LEN).unwrap();
    for number in 1..=last {
        world
            .deliver_with("tag", &[1; 32], numbered(number))
            .unwrap();
    }
    let full = world.deliver_with("tag", &[1; 32], numbered(last + 1));
    assert_eq!(full, Err(CommitRefused::TooManyVersions));
    world.pass_secs(60);
    world.vault.end_leases(world.now).unwrap();
    for number in last + 1..last + 10 {
        world
            .deliver_with("tag", &[1; 32], numbered(number))
            .unwrap();
        let made = world.ask(&mut app, &mac()).unwrap();
        assert_eq!(made.result().version, number);
    }
    let refused = world.deliver_with("tag", &[1; 32], numbered(1));
    assert!(matches!(refused, Err(CommitRefused::OlderVersion { .. })));
}
