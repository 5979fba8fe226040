use super::*;
use crate::policy::{NamePattern, ReleaseTo, Rule};
use crate::tests::world::{gate, kbs, key, policy, uid};
use nitride_protocol::OperationSet;

type Change<T> = (fn(&mut T), &'static str);

fn fault_of(change: impl FnOnce(&mut PolicySet)) -> PolicyFault {
    let mut provisioned = key("k", KeyType::Secret, kbs("r/t/k"));
    provisioned.lease_secs = Some(1);
    let local = key("l", KeyType::EcP256, Source::Local);
    let mut set = policy(vec![], vec![provisioned, local]);
    set.rules.push(Rule {
        name: "r".into(),
        keys: vec![NamePattern::parse("**").unwrap()],
        peers: vec![uid(1)],
        operations: OperationSet::ALL,
    });
    assert_eq!(set.check(), Ok(()));
    change(&mut set);
    set.check().unwrap_err()
}

fn name(text: &str) -> KeyNameBuf {
    text.parse().unwrap()
}

#[test]
fn an_empty_policy_has_no_fault_and_allows_nothing() {
    assert_eq!(PolicySet::default().check(), Ok(()));
}

#[test]
fn what_is_stated_twice_is_named() {
    let fault = fault_of(|set| set.keys.push(set.keys[0].clone()));
    assert_eq!(fault, PolicyFault::DuplicateKey { key: name("k") });
    let fault = fault_of(|set| set.gates.push(gate("vm", 1)));
    assert!(matches!(fault, PolicyFault::Duplicate { kind: "gate", .. }));
    let fault = fault_of(|set| set.signers.push(set.signers[0].clone()));
    assert!(matches!(
        fault,
        PolicyFault::Duplicate { kind: "signer", .. }
    ));
    let fault = fault_of(|set| {
        let mut other = set.signers[0].clone();
        other.name = "other".into();
        other.point = [5; 65];
        set.signers.push(other);
    });
    let of_other = PolicyFault::Duplicate {
        kind: "kid of signer",
        name: "other".into(),
    };
    assert_eq!(fault, of_other);
    let fault = fault_of(|set| {
        let volume = ReleaseTo::Volume("root".into());
        let mut other = set.keys[0].clone();
        other.name = name("other");
        other.release_to = vec![volume.clone()];
        set.keys[0].release_to = vec![volume];
        set.keys.push(other);
    });
    assert!(matches!(
        fault,
        PolicyFault::Duplicate { kind: "volume", .. }
    ));
}

#[test]
fn what_is_referred_to_and_not_there_is_named() {
    let changes: [Change<PolicySet>; 4] = [
        (|set| set.keys[0].gate = Some("x".into()), "gate"),
        (|set| set.keys[0].signer.push("x".into()), "signer"),
        (|set| set.services.clear(), "service"),
        (|set| set.signers.clear(), "signer"),
    ];
    for (change, expected) in changes {
        let fault = fault_of(change);
        assert!(matches!(fault, PolicyFault::Unknown { kind, .. } if kind == expected));
    }
}

#[test]
fn a_key_states_only_what_its_type_and_its_source_have() {
    let key = || name("l");
    let key_type = KeyType::EcP256;
    let fault = fault_of(|set| set.keys[1].operations.insert(Operation::Encrypt));
    let operation = Operation::Encrypt;
    let of_type = PolicyFault::NotOfType {
        key: key(),
        key_type,
        operation,
    };
    assert_eq!(fault, of_type);
    let fault = fault_of(|set| set.keys[1].release_to.push(ReleaseTo::Uid(0)));
    let released = PolicyFault::NeverReleased {
        key: key(),
        key_type,
    };
    assert_eq!(fault, released);
    let changes: [Change<KeyRule>; 5] = [
        (|rule| rule.lease_secs = Some(1), "lease"),
        (|rule| rule.prefetch = true, "prefetch"),
        (|rule| rule.signer.push("owner".into()), "a signer"),
        (|rule| rule.tenant = Some("t".into()), "a tenant"),
        (|rule| rule.unsigned = Unsigned::Accept, "unsigned"),
    ];
    for (change, field) in changes {
        let fault = fault_of(|set| change(&mut set.keys[1]));
        assert_eq!(fault, PolicyFault::NotProvisioned { key: key(), field });
    }
}

#[test]
fn what_could_never_hold_is_named() {
    let key = || name("k");
    let fault = fault_of(|set| set.keys[0].signer.clear());
    assert_eq!(fault, PolicyFault::NoSigner { key: key() });
    let fault = fault_of(|set| {
        set.keys[0] = crate::tests::world::key("k", KeyType::Aes256Kwp, kbs("r/t/k"));
        set.keys[0].unsigned = Unsigned::Accept;
    });
    assert_eq!(fault, PolicyFault::UnsignedWrappingKey { key: key() });
    let fault = fault_of(|set| {
        set.keys[0].not_before = Some(2);
        set.keys[0].not_after = Some(1);
    });
    assert_eq!(fault, PolicyFault::NeverValid { key: key() });
    let fault = fault_of(|set| set.gates[0].max_age_ms = 0);
    assert_eq!(fault, PolicyFault::NeverOpen { gate: "vm".into() });
}

#[test]
fn limits_that_nothing_could_meet_are_named() {
    let key = || name("l");
    let changes: [Change<KeyRule>; 6] = [
        (|rule| rule.max_uses = Some(0), "max-uses"),
        (
            |rule| {
                rule.rate = Some(Rate {
                    uses: 0,
                    per_secs: 1,
                });
            },
            "rate",
        ),
        (
            |rule| {
                rule.rate = Some(Rate {
                    uses: 1,
                    per_secs: 0,
                });
            },
            "rate",
        ),
        (|rule| rule.min_version = Some(0), "min-version"),
        (|rule| rule.rotate_after_secs = Some(0), "rotate-after"),
        (|rule| rule.rotate_after_uses = Some(0), "rotate-after-uses"),
    ];
    for (change, field) in changes {
        let fault = fault_of(|set| change(&mut set.keys[1]));
        assert_eq!(fault, PolicyFault::Zero { key: key(), field });
    }
}

#[test]
fn only_what_is_made_here_rotates_here() {
    let fault = fault_of(|set| set.keys[0].rotate_after_secs = Some(1));
    let key = name("k");
    let field = "rotate-after";
    assert_eq!(fault, PolicyFault::RotatedElsewhere { key, field });
    let fault = fault_of(|set| {
        set.keys[1].key_type = KeyType::Secret;
        set.keys[1].operations = OperationSet::EMPTY;
        set.keys[1].rotate_after_uses = Some(1);
    });
    assert!(matches!(fault, PolicyFault::NotRotated { .. }));
}

#[test]
fn a_key_is_wrappable_by_wrapping_keys_alone() {
    let fault = fault_of(|set| set.keys[1].wrappable_by = vec![name("l")]);
    assert_eq!(fault, PolicyFault::WrapsItself { key: name("l") });
    let fault = fault_of(|set| set.keys[1].wrappable_by = vec![name("elsewhere"), name("k")]);
    let wraps_nothing = PolicyFault::NotAWrappingKey {
        key: name("l"),
        by: name("k"),
        key_type: KeyType::Secret,
    };
    assert_eq!(fault, wraps_nothing);
    let mut set = policy(vec![], vec![key("l", KeyType::EcP256, Source::Local)]);
    set.keys.push(key("w", KeyType::Aes256Kwp, Source::Local));
    set.keys[0].wrappable_by = vec![name("w"), name("of-no-rule")];
    assert_eq!(set.check(), Ok(()));
}

#[test]
fn what_there_is_too_much_of_is_named_with_its_number() {
    type Excess = (fn(&mut PolicySet), &'static str, usize);
    let changes: [Excess; 7] = [
        (
            |set| set.rules = vec![set.rules[0].clone(); 4097],
            "rules",
            4097,
        ),
        (
            |set| set.keys = vec![set.keys[0].clone(); 65_537],
            "keys",
            65_537,
        ),
        (
            |set| set.gates = vec![set.gates[0].clone(); 257],
            "gates",
            257,
        ),
        (
            |set| set.rules[0].keys = vec![set.rules[0].keys[0].clone(); 1025],
            "names",
            1025,
        ),
        (|set| set.rules[0].peers = vec![uid(1); 257], "peers", 257),
        (|set| set.admins = vec![uid(1); 257], "peers", 257),
        (
            |set| set.keys[0].signer = vec!["owner".into(); 17],
            "signers",
            17,
        ),
    ];
    for (change, of_what, count) in changes {
        match fault_of(change) {
            PolicyFault::TooMany { what, len, max, .. } => {
                assert_eq!((what, len), (of_what, count));
                assert_eq!(max, count - 1);
            }
            other => panic!("{other}"),
        }
    }
}

#[test]
fn a_peer_is_not_known_by_its_program_alone() {
    let alone = PeerMatch {
        executable_digest: Some([1; 32]),
        per_message: true,
        ..PeerMatch::default()
    };
    let with_user = PeerMatch {
        uid: Some(1),
        ..alone.clone()
    };
    let by = "rule r".to_owned();
    let fault = fault_of(|set| set.rules[0].peers.push(alone));
    assert_eq!(fault, PolicyFault::OnlyAHint { by });
    let mut set = PolicySet::default();
    set.admins.push(with_user);
    assert_eq!(set.check(), Ok(()));
}

#[test]
fn a_peer_without_a_condition_or_with_a_relative_cgroup_is_named() {
    let rule = || "rule r".to_owned();
    let fault = fault_of(|set| set.rules[0].peers.push(PeerMatch::default()));
    assert_eq!(fault, PolicyFault::AnyPeer { by: rule() });
    let fault = fault_of(|set| set.admins.push(PeerMatch::default()));
    let by = "admin".to_owned();
    assert_eq!(fault, PolicyFault::AnyPeer { by });
    let fault = fault_of(|set| {
        set.rules[0].peers[0].cgroup_prefix = Some("system.slice".into());
    });
    assert_eq!(fault, PolicyFault::RelativeCgroup { by: rule() });
}
