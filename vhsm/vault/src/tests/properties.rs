//! Random policies: what is not stated is denied, and nothing that narrows widens.

use super::world::{Not, Sequence, World, arenas, ask, key, name, peer, policy, uid};
use crate::policy::{KeyRule, NamePattern, PeerMatch, PolicySet, Rule, Source};
use crate::{Peer, Socket, Vault, VaultLimits};
use nitride_protocol::application::{
    Decrypt, Describe, Encrypt, Mac, PublicKey, Random, Release, Sign, Verify, VerifyMac,
};
use nitride_protocol::{KeyType, Operation, OperationSet, Status};
use proptest::prelude::*;

const NAMES: [&str; 4] = ["a", "b", "a/x", "a/x/y"];
const PATTERNS: [&str; 7] = ["a", "a/x", "*", "**", "a/*", "a/**", "b"];

fn operations() -> impl Strategy<Value = OperationSet> {
    any::<u64>().prop_map(|bits| {
        Operation::ALL
            .into_iter()
            .filter(|operation| bits >> operation.to_wire() & 1 == 1)
            .collect()
    })
}

fn peer_match() -> impl Strategy<Value = PeerMatch> {
    let unit = prop_oneof![
        3 => Just(None),
        1 => (0u32..3).prop_map(|n| Some(format!("unit-{n}.service"))),
    ];
    let prefix = prop_oneof![
        3 => Just(None),
        1 => Just(Some("/system.slice".to_owned())),
        1 => Just(Some("/user.slice".to_owned())),
    ];
    let any_id = || prop::option::of(0u32..3);
    (any_id(), any_id(), any_id(), unit, prefix).prop_filter_map(
        "states nothing",
        |(uid, gid, group, unit, cgroup_prefix)| {
            let stated = PeerMatch {
                uid,
                user: None,
                gid,
                group,
                unit,
                cgroup_prefix,
                ..PeerMatch::default()
            };
            stated.states_anything().then_some(stated)
        },
    )
}

fn one_rule() -> impl Strategy<Value = Rule> {
    (
        prop::collection::vec(prop::sample::select(&PATTERNS[..]), 0..3),
        prop::collection::vec(peer_match(), 0..3),
        operations(),
    )
        .prop_map(|(patterns, peers, operations)| Rule {
            name: "random".into(),
            keys: patterns
                .into_iter()
                .map(|pattern| NamePattern::parse(pattern).unwrap())
                .collect(),
            peers,
            operations,
        })
}

fn key_rules() -> impl Strategy<Value = Vec<KeyRule>> {
    let one = |name: &'static str| {
        // Not RSA, whose keys take seconds to draw.
        let is_quick = |key_type: &KeyType| !key_type.as_str().starts_with("rsa");
        let quick: Vec<KeyType> = KeyType::ALL.into_iter().filter(is_quick).collect();
        let key_type = prop::sample::select(quick);
        prop::option::of((key_type, operations())).prop_map(move |stated| {
            let (key_type, operations) = stated?;
            let mut rule = key(name, key_type, Source::Generate);
            rule.operations = operations.intersection(key_type.operations());
            Some(rule)
        })
    };
    (one("a"), one("b"), one("a/x"), one("a/x/y"))
        .prop_map(|(a, b, c, d)| [a, b, c, d].into_iter().flatten().collect())
}

fn policies() -> impl Strategy<Value = PolicySet> {
    (prop::collection::vec(one_rule(), 0..5), key_rules())
        .prop_map(|(rules, keys)| policy(rules, keys))
}

fn vault(set: &PolicySet) -> (Vault, crate::Now) {
    arenas();
    let limits = VaultLimits {
        keys: 10,
        keys_per_uid: 10,
        expanded_len: 256 << 10,
    };
    let world = World::with_limits(set.clone(), limits);
    (world.vault, world.now)
}

/// What [`is_done`] tries.
const TRIED: [Operation; 10] = [
    Operation::Sign,
    Operation::Verify,
    Operation::PublicKey,
    Operation::Encrypt,
    Operation::Decrypt,
    Operation::Mac,
    Operation::VerifyMac,
    Operation::Release,
    Operation::Describe,
    Operation::Random,
];

/// Whether the vault does `operation` for `peer` on `name`: anything but a denial, an absence or
/// a type that does not fit counts as done.
fn is_done(vault: &Vault, now: crate::Now, of: &Peer, operation: Operation, key: &str) -> bool {
    let mut session = vault.session(of.clone(), Socket::Application);
    let mut draw = Sequence(5);
    let key = name(key);
    let (message, signature, aad) = (&b""[..], &[0; 64][..], &b""[..]);
    let (version, scheme) = (None, None);
    macro_rules! asked {
        ($call:expr) => {
            ask(vault, &mut session, now, &mut draw, &$call).map(drop)
        };
    }
    let asked = match operation {
        Operation::Sign => asked!(Sign {
            key,
            scheme,
            message,
            prehashed: false
        }),
        Operation::Verify => asked!(Verify {
            key,
            version,
            scheme,
            message,
            signature,
            prehashed: false
        }),
        Operation::PublicKey => asked!(PublicKey { key, version }),
        Operation::Encrypt => asked!(Encrypt {
            key,
            plaintext: message,
            aad,
            scheme: None
        }),
        Operation::Decrypt => asked!(Decrypt {
            key,
            ciphertext: &crate::ciphertext::Algorithm::Aes256Gcm
                .header(&[0; 16], 1)
                .into_iter()
                .chain([0; 28])
                .collect::<Vec<u8>>(),
            aad,
            version: None,
            scheme: None,
            nonce: None
        }),
        Operation::Mac => asked!(Mac { key, data: message }),
        Operation::VerifyMac => asked!(VerifyMac {
            key,
            version,
            data: message,
            tag: &[0; 32]
        }),
        Operation::Release => asked!(Release { key, version }),
        Operation::Describe => asked!(Describe { key }),
        Operation::Random => asked!(Random { len: 1 }),
        _ => return false,
    };
    match asked {
        Ok(()) => true,
        Err(Not::Done(Status::VerificationFailed)) => true,
        Err(Not::Done(Status::Denied | Status::KeyNotFound | Status::WrongKeyType)) => false,
        Err(not) => panic!("{operation} ended with {not:?}"),
    }
}

/// The same, worked out without the vault.
fn is_allowed(set: &PolicySet, of: &Peer, operation: Operation, key: &str) -> bool {
    let is_about = |rule: &&Rule, patterns: bool| {
        rule.peers.iter().any(|stated| {
            stated.uid.is_none_or(|uid| uid == of.uid)
                && stated.gid.is_none_or(|gid| gid == of.gid)
                && stated
                    .group
                    .is_none_or(|gid| gid == of.gid || of.groups.contains(&gid))
                && stated
                    .unit
                    .as_ref()
                    .is_none_or(|u| of.unit.as_ref() == Some(u))
                && stated
                    .cgroup_prefix
                    .as_deref()
                    .is_none_or(|p| p == "/system.slice")
        }) && (!patterns
            || rule.keys.iter().any(|pattern| {
                let pattern = pattern.to_string();
                match pattern.as_str() {
                    "**" => true,
                    "*" => !key.contains('/'),
                    "a/*" => key == "a/x",
                    "a/**" => key.starts_with("a/"),
                    exact => exact == key,
                }
            }))
    };
    let granted = |patterns| {
        set.rules
            .iter()
            .filter(|rule| is_about(rule, patterns))
            .any(|rule| rule.operations.contains(operation))
    };
    let rule = set.keys.iter().find(|rule| rule.name.as_str() == key);
    match operation {
        Operation::Random => granted(false),
        Operation::Describe => granted(true) && rule.is_some(),
        _ => {
            granted(true)
                && rule.is_some_and(|rule| {
                    rule.operations.contains(operation)
                        && !uses_of_the_rule(rule).is_empty()
                        && rule.release_to.iter().any(|to| to.is_peer(of))
                            == (operation == Operation::Release)
                })
        }
    }
}

/// A key for nothing is not made.
fn uses_of_the_rule(rule: &KeyRule) -> OperationSet {
    let uses = crate::permissions::uses_of(rule.key_type);
    rule.operations.intersection(uses)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_policy_allows_what_it_states_and_nothing_else(
        set in policies(),
        who in 0u32..3,
        groups in prop::collection::vec(0u32..3, 0..2),
    ) {
        let (vault, now) = vault(&set);
        let of = Peer { groups, ..peer(who) };
        for operation in Operation::ALL {
            for key in NAMES {
                if is_done(&vault, now, &of, operation, key) {
                    prop_assert!(
                        is_allowed(&set, &of, operation, key),
                        "{operation} on {key} for {of:?}"
                    );
                } else if TRIED.contains(&operation) {
                    prop_assert!(
                        !is_allowed(&set, &of, operation, key),
                        "{operation} on {key} for {of:?} was refused"
                    );
                }
            }
        }
    }

    #[test]
    fn taking_a_rule_away_never_allows_more(set in policies(), gone in any::<prop::sample::Index>(), who in 0u32..3) {
        prop_assume!(!set.rules.is_empty());
        let mut narrower = set.clone();
        narrower.rules.remove(gone.index(set.rules.len()));
        never_more(&set, &narrower, &peer(who))?;
    }

    #[test]
    fn another_condition_never_allows_more(set in policies(), at in any::<prop::sample::Index>(), who in 0u32..3) {
        prop_assume!(!set.rules.is_empty());
        let mut narrower = set.clone();
        for stated in &mut narrower.rules[at.index(set.rules.len())].peers {
            stated.user = uid(1).uid;
        }
        never_more(&set, &narrower, &peer(who))?;
    }

    #[test]
    fn a_narrower_key_policy_never_allows_more(set in policies(), kept in operations(), who in 0u32..3) {
        let mut narrower = set.clone();
        for rule in &mut narrower.keys {
            rule.operations = rule.operations.intersection(kept);
        }
        never_more(&set, &narrower, &peer(who))?;
    }

    #[test]
    fn an_empty_policy_allows_nothing(who in 0u32..3) {
        let (vault, now) = vault(&PolicySet::default());
        for operation in Operation::ALL {
            for key in NAMES {
                prop_assert!(!is_done(&vault, now, &peer(who), operation, key));
            }
        }
    }
}

fn never_more(wide: &PolicySet, narrow: &PolicySet, of: &Peer) -> Result<(), TestCaseError> {
    let (wide, now) = vault(wide);
    let (narrow, _) = vault(narrow);
    for operation in Operation::ALL {
        for key in NAMES {
            let before = is_done(&wide, now, of, operation, key);
            let after = is_done(&narrow, now, of, operation, key);
            prop_assert!(before || !after, "{operation} on {key} for {of:?}");
        }
    }
    Ok(())
}
