//! What happens to keys that a round has brought.

use super::world::{EVERYTHING, Not, World, kbs, key, name, policy, rule};
use crate::keys::CommitRefused;
use crate::policy::{KeyRule, Source};
use crate::{Refusal, Want};
use nitride_protocol::application::{Decrypt, Describe, Encrypt, Generate, Mac};
use nitride_protocol::{KeyType, Operation, OperationSet, Origin, Status};

fn tag_rule() -> KeyRule {
    key("tag", KeyType::HmacSha256, kbs("r/t/tag"))
}

fn world() -> World {
    let keys = vec![
        tag_rule(),
        key("gcm", KeyType::Aes256Gcm, kbs("r/t/gcm")),
        key("siv", KeyType::Aes256GcmSiv, kbs("r/t/siv")),
    ];
    World::new(policy(vec![rule(1, "**", EVERYTHING)], keys))
}

fn mac() -> Mac<'static> {
    Mac {
        key: name("tag"),
        data: b"data",
    }
}

fn wanted() -> Not {
    let name = "tag".parse().unwrap();
    Not::Yet(Want::Key { name })
}

#[test]
fn a_missing_key_is_wanted_after_access_was_decided() {
    let mut world = world();
    let mut app = world.application(1);
    let mut stranger = world.application(2);
    assert_eq!(world.ask(&mut app, &mac()).unwrap_err(), wanted());
    let denied = Not::Done(Status::Denied);
    assert_eq!(world.ask(&mut stranger, &mac()).unwrap_err(), denied);
    // A use that the key's rule does not allow fetches nothing.
    let mut narrow = tag_rule();
    narrow.operations = OperationSet::of(&[Operation::VerifyMac]);
    let narrow = policy(vec![rule(1, "**", EVERYTHING)], vec![narrow]);
    world.vault.replace_policy(narrow, world.now).unwrap();
    assert_eq!(world.ask(&mut app, &mac()).unwrap_err(), denied);
}

#[test]
fn the_gate_comes_before_the_fetch() {
    let mut gated = tag_rule();
    gated.gate = Some("vm".into());
    let mut world = World::new(policy(vec![rule(1, "**", EVERYTHING)], vec![gated]));
    let mut app = world.application(1);
    let gate = Not::Yet(Want::Gate { name: "vm".into() });
    assert_eq!(world.ask(&mut app, &mac()).unwrap_err(), gate);
    world.approve("vm", 0);
    assert_eq!(world.ask(&mut app, &mac()).unwrap_err(), wanted());
    world.deliver("tag", &[1; 32]);
    world.ask(&mut app, &mac()).unwrap();
}

#[test]
fn an_envelope_narrows_what_the_rule_allows() {
    let mut world = world();
    let mut app = world.application(1);
    let only_verify = OperationSet::of(&[Operation::VerifyMac]);
    world
        .deliver_with("tag", &[1; 32], |envelope| {
            envelope.operations = only_verify;
        })
        .unwrap();
    let denied = world.ask(&mut app, &mac()).unwrap_err();
    assert_eq!(denied, Not::Done(Status::Denied));
    let described = world.ask(&mut app, &Describe { key: name("tag") }).unwrap();
    let described = described.result();
    assert_eq!(described.operations, only_verify);
    assert_eq!(described.origin, Origin::Provisioned);
    assert_eq!(described.origin_uri, Some("kbs:///r/t/tag"));
}

#[test]
fn an_envelope_ends_the_key() {
    let mut world = world();
    let mut app = world.application(1);
    let end = world.now.wall_secs + 5;
    world
        .deliver_with("tag", &[1; 32], |envelope| {
            envelope.not_after_secs = Some(end);
        })
        .unwrap();
    world.pass_secs(5);
    world.ask(&mut app, &mac()).unwrap();
    world.pass_secs(1);
    let expired = world.ask(&mut app, &mac()).unwrap_err();
    assert_eq!(expired, Not::Done(Status::KeyExpired));
}

#[test]
fn a_newer_version_protects_and_an_older_one_is_a_roll_back() {
    let mut world = world();
    let mut app = world.application(1);
    let version = |number| {
        move |envelope: &mut crate::keys::Delivered<'_>| {
            envelope.version = number;
        }
    };
    world.deliver_with("tag", &[5; 32], version(5)).unwrap();
    world.deliver_with("tag", &[6; 32], version(6)).unwrap();
    let made = world.ask(&mut app, &mac()).unwrap();
    assert_eq!(made.result().version, 6);
    let refused = world.deliver_with("tag", &[5; 32], version(5));
    assert_eq!(refused, Err(CommitRefused::OlderVersion { held: 6 }));
}

#[test]
fn the_same_version_with_other_material_is_refused_and_changes_nothing() {
    let mut world = world();
    let mut app = world.application(1);
    world.deliver("tag", &[1; 32]);
    let before = world.ask(&mut app, &mac()).unwrap();
    let refused = world.deliver_with("tag", &[2; 32], |_| {});
    assert_eq!(refused, Err(CommitRefused::OtherMaterial));
    assert_eq!(world.ask(&mut app, &mac()).unwrap(), before);
}

#[test]
fn the_same_version_again_can_only_narrow() {
    let mut world = world();
    let mut app = world.application(1);
    let only_verify = OperationSet::of(&[Operation::VerifyMac]);
    world
        .deliver_with("tag", &[1; 32], |envelope| {
            envelope.operations = only_verify;
        })
        .unwrap();
    world.deliver("tag", &[1; 32]);
    let denied = Not::Done(Status::Denied);
    assert_eq!(world.ask(&mut app, &mac()).unwrap_err(), denied);
    // The next version's owner may say something else.
    world
        .deliver_with("tag", &[2; 32], |envelope| envelope.version = 2)
        .unwrap();
    world.ask(&mut app, &mac()).unwrap();
}

#[test]
fn a_key_from_elsewhere_or_of_no_use_is_refused() {
    let mut world = world();
    let other = world.deliver_with("tag", &[1; 32], |envelope| {
        envelope.origin_uri = "kbs:///r/t/other".into();
    });
    assert_eq!(other, Err(CommitRefused::OtherSource));
    let short = world.deliver_with("tag", &[1; 15], |_| {});
    assert_eq!(short, Err(CommitRefused::BadMaterial));
    let short = world.deliver_with("gcm", &[1; 16], |_| {});
    assert_eq!(short, Err(CommitRefused::BadMaterial));
    assert_eq!(world.vault.keys.count(), Ok(0));
}

#[test]
fn a_key_made_here_is_not_replaced_by_a_provisioned_one() {
    let mut world = World::new(policy(vec![rule(1, "**", EVERYTHING)], vec![]));
    let mut app = world.application(1);
    let generate = Generate {
        key: name("tag"),
        key_type: KeyType::HmacSha256,
        operations: None,
        wrappable_by: Vec::new(),
    };
    world.ask(&mut app, &generate).unwrap();
    let stated = policy(vec![rule(1, "**", EVERYTHING)], vec![tag_rule()]);
    world.vault.replace_policy(stated, world.now).unwrap();
    let refused = world.deliver_with("tag", &[1; 32], |_| {});
    assert_eq!(refused, Err(CommitRefused::NotProvisioned));
    // Nor does what somebody made under that name stand in for it.
    let denied = world.ask(&mut app, &mac()).unwrap_err();
    assert_eq!(denied, Not::Done(Status::Denied));
    assert_eq!(app.refusal(), Some(Refusal::RuleContradicts));
}

#[test]
fn a_rule_that_speaks_of_another_resource_fetches_that_one() {
    let mut world = world();
    let mut app = world.application(1);
    world.deliver("tag", &[1; 32]);
    let before = world.ask(&mut app, &mac()).unwrap();
    let moved = key("tag", KeyType::HmacSha256, kbs("r/t/moved"));
    let moved = policy(vec![rule(1, "**", EVERYTHING)], vec![moved]);
    world.vault.replace_policy(moved, world.now).unwrap();
    assert_eq!(world.ask(&mut app, &mac()).unwrap_err(), wanted());
    let policy = world.vault.policy();
    let rule = policy.key_rule("tag").unwrap();
    assert!(world.vault.keys.is_missing(&policy, rule, world.now));
    world.deliver("tag", &[2; 32]);
    assert_ne!(world.ask(&mut app, &mac()).unwrap(), before);
}

#[test]
fn a_provisioned_key_needs_its_rule_for_as_long_as_it_lives() {
    let mut world = world();
    let mut app = world.application(1);
    world.deliver("tag", &[1; 32]);
    world.ask(&mut app, &mac()).unwrap();
    let gone = policy(vec![rule(1, "**", EVERYTHING)], vec![]);
    world.vault.replace_policy(gone, world.now).unwrap();
    let denied = world.ask(&mut app, &mac()).unwrap_err();
    assert_eq!(denied, Not::Done(Status::Denied));
    assert_eq!(app.refusal(), Some(Refusal::RuleGone));
    let mut other_source = tag_rule();
    other_source.source = Source::Local;
    other_source.signer = vec![];
    let other_source = policy(vec![rule(1, "**", EVERYTHING)], vec![other_source]);
    world.vault.replace_policy(other_source, world.now).unwrap();
    assert!(world.ask(&mut app, &mac()).is_err());
    assert_eq!(app.refusal(), Some(Refusal::RuleContradicts));
}

#[test]
fn a_provisioned_gcm_key_encrypts_each_message_under_a_key_of_its_own() {
    let mut world = world();
    let mut app = world.application(1);
    world.deliver("gcm", &[1; 32]);
    world.deliver("siv", &[1; 32]);
    for (key, algorithm) in [("gcm", 3), ("siv", 2)] {
        let encrypt = Encrypt {
            key: name(key),
            plaintext: b"plain",
            aad: b"",
            scheme: None,
        };
        let sealed = world.ask(&mut app, &encrypt).unwrap();
        assert_eq!(sealed.result().ciphertext[3], algorithm);
    }
}

#[test]
fn what_one_vault_sealed_with_a_shared_key_another_one_opens() {
    let mut one = world();
    let mut other = world();
    other.draw.0 = 99;
    one.deliver("siv", &[1; 32]);
    other.deliver("siv", &[1; 32]);
    let (mut app, mut other_app) = (one.application(1), other.application(1));
    let encrypt = Encrypt {
        key: name("siv"),
        plaintext: b"plain",
        aad: b"",
        scheme: None,
    };
    let sealed = one.ask(&mut app, &encrypt).unwrap();
    let decrypt = Decrypt {
        key: name("siv"),
        ciphertext: sealed.result().ciphertext,
        aad: b"",
        version: None,
        scheme: None,
        nonce: None,
    };
    let opened = other.ask(&mut other_app, &decrypt).unwrap();
    assert_eq!(opened.result().plaintext, b"plain");
}

#[test]
fn a_disabled_key_stays_disabled_when_it_is_delivered_again() {
    let mut world = world();
    let mut app = world.application(1);
    world.deliver("tag", &[1; 32]);
    let disable = nitride_protocol::application::Disable {
        key: name("tag"),
        version: None,
    };
    world.ask(&mut app, &disable).unwrap();
    world.deliver("tag", &[1; 32]);
    let refused = world.ask(&mut app, &mac()).unwrap_err();
    assert_eq!(refused, Not::Done(Status::KeyDisabled));
}

#[test]
fn only_what_a_round_could_bring_is_missing() {
    let keys = vec![
        tag_rule(),
        key("made", KeyType::EcP256, Source::Generate),
        key("local", KeyType::EcP256, Source::Local),
    ];
    let mut world = World::new(policy(vec![rule(1, "**", EVERYTHING)], keys));
    let is_missing = |world: &World, name: &str| {
        let policy = world.vault.policy();
        let rule = policy.key_rule(name).unwrap();
        world.vault.keys.is_missing(&policy, rule, world.now)
    };
    assert!(is_missing(&world, "tag"));
    assert!(!is_missing(&world, "made") && !is_missing(&world, "local"));
    world
        .deliver_with("tag", &[1; 32], |envelope| envelope.lease_secs = Some(10))
        .unwrap();
    assert!(!is_missing(&world, "tag"));
    world.pass_secs(10);
    assert!(is_missing(&world, "tag"));
}
