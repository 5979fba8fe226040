use super::*;
use crate::keys::record::tests::{disk, policies};
use proptest::prelude::*;

fn sealing() -> OwnPolicy {
    OwnPolicy::of(uses_of(KeyType::Aes256Gcm))
}

proptest! {
    #[test]
    fn what_both_allow_is_no_wider_than_either(one in policies(), other in policies()) {
        let both = one.narrowed_by(&other);
        prop_assert!(one.is_no_narrower_than(&both), "{one:?}\n{both:?}");
        prop_assert!(other.is_no_narrower_than(&both), "{other:?}\n{both:?}");
        prop_assert_eq!(both.narrowed_by(&other), both.clone());
        prop_assert!(both.is_no_narrower_than(&both));
    }

    #[test]
    fn a_child_is_no_wider_than_its_parent(parent in policies(), asked in policies()) {
        let parent_type = KeyType::HmacSha256;
        let of_type = KeyType::Aes256Gcm.operations();
        let asked = asked.operations.intersection(of_type);
        let child =
            OwnPolicy::child_of(&parent, parent_type, Some(asked), KeyType::Aes256Gcm).unwrap();
        prop_assert!(child.operations.is_subset_of(asked.with_implied()));
        let same_operations = OwnPolicy {
            operations: OperationSet::ALL,
            min_version: None,
            ..parent.clone()
        };
        prop_assert!(same_operations.is_no_narrower_than(&child));
        prop_assert!(child.release_to.is_some() && child.wrappable_by.is_some());
    }
}

#[test]
fn each_field_that_is_wider_is_found() {
    let wider: [fn(&mut OwnPolicy); 12] = [
        |policy| policy.operations = OperationSet::ALL,
        |policy| policy.release_to = Some(vec![ReleaseTo::Uid(1), ReleaseTo::Uid(2)]),
        |policy| policy.release_to = None,
        |policy| policy.disks = None,
        |policy| policy.disks = Some(vec![disk("first"), disk("other")]),
        |policy| policy.lease_secs = Some(61),
        |policy| policy.not_before = None,
        |policy| policy.not_after = Some(201),
        |policy| policy.max_uses = None,
        |policy| {
            policy.rate = Some(Rate {
                uses: 2,
                per_secs: 5,
            });
        },
        |policy| policy.gates.clear(),
        |policy| policy.min_version = Some(1),
    ];
    let said = OwnPolicy {
        release_to: Some(vec![ReleaseTo::Uid(1)]),
        disks: Some(vec![disk("first")]),
        lease_secs: Some(60),
        not_before: Some(100),
        not_after: Some(200),
        max_uses: Some(10),
        rate: Some(Rate {
            uses: 1,
            per_secs: 5,
        }),
        gates: vec!["vm".into()],
        wrappable_by: Some(vec!["kek".parse().unwrap()]),
        min_version: Some(2),
        ..sealing()
    };
    assert!(said.is_no_narrower_than(&said));
    for (number, widen) in wider.into_iter().enumerate() {
        let mut asked = said.clone();
        widen(&mut asked);
        assert!(!said.is_no_narrower_than(&asked), "{number}");
    }
    let mut asked = said.clone();
    asked.wrappable_by = Some(vec!["kek".parse().unwrap(), "other".parse().unwrap()]);
    assert!(!said.is_no_narrower_than(&asked));
    asked.wrappable_by = Some(vec![]);
    asked.max_uses = Some(9);
    assert!(said.is_no_narrower_than(&asked));
}

#[test]
fn two_rates_give_one_that_keeps_within_both() {
    let rate = |uses, per_secs| Some(Rate { uses, per_secs });
    assert_eq!(slower(rate(10, 1), rate(100, 60)), rate(10, 60));
    assert_eq!(slower(rate(10, 1), None), rate(10, 1));
    assert_eq!(slower(None, None), None);
}

#[test]
fn what_a_parent_may_not_its_child_may_not_either() {
    let parent = OwnPolicy::of(OperationSet::of(&[Operation::Derive]));
    let secret = KeyType::Secret;
    let child = OwnPolicy::child_of(&parent, secret, None, secret).unwrap();
    assert!(!child.operations.contains(Operation::Release));
    assert!(child.operations.contains(Operation::Derive));
    let asked = Some(OperationSet::of(&[Operation::Sign]));
    let refused = OwnPolicy::child_of(&parent, secret, asked, KeyType::Aes256Gcm);
    assert!(matches!(refused, Err(Refusal::WrongKeyType { .. })));
}
