//! What an administrator is told agrees with what a peer would get, and nothing happens by asking.

use super::world::{
    EVERYTHING, Not, World, gate, kbs, key, name, peer, policy, rule, secret_for, uid,
};
use crate::policy::{Asked, KeyRule, NamePattern, PeerMatch, Rate, ReleaseTo, Rule, Source};
use crate::{Explanation, Peer};
use nitride_protocol::application::Sign;
use nitride_protocol::{KeyType, Operation, OperationSet};

fn explain(world: &World, who: &Peer, operation: Operation, key: &str) -> Explanation {
    world
        .vault
        .explain(who, operation, name(key), world.now)
        .unwrap()
}

#[track_caller]
fn tells(explanation: &Explanation, text: &str) {
    let because = &explanation.because;
    assert!(
        because.iter().any(|line| line.contains(text)),
        "{text:?} in {because:#?}"
    );
}

fn ec(name: &str) -> KeyRule {
    key(name, KeyType::EcP256, Source::Generate)
}

#[test]
fn what_is_told_is_what_a_request_would_get() {
    let mut disabled = vec![];
    for rule_operations in [&[][..], &[Operation::Sign], &[Operation::Describe]] {
        for rule_uid in [1, 2] {
            for pattern in ["k", "other"] {
                for key_operations in [&[][..], &[Operation::Sign]] {
                    for window in [None, Some(1), Some(u64::MAX)] {
                        for gated in [false, true] {
                            let mut own = ec("k");
                            own.operations = OperationSet::of(key_operations);
                            own.not_after = window;
                            own.gate = gated.then(|| "vm".into());
                            let rules = vec![rule(rule_uid, pattern, rule_operations)];
                            let mut world = World::new(policy(rules, vec![own]));
                            let told = explain(&world, &peer(1), Operation::Sign, "k");
                            let mut session = world.application(1);
                            let sign = Sign {
                                key: name("k"),
                                scheme: None,
                                message: b"m",
                                prehashed: false,
                            };
                            let got = world.ask(&mut session, &sign);
                            let refused = matches!(got, Err(Not::Done(_)));
                            assert_eq!(told.allowed, !refused, "{:#?}", told.because);
                            if let Some(refusal) = session.refusal() {
                                tells(&told, &refusal.to_string());
                                disabled.push(refusal.to_string());
                            }
                        }
                    }
                }
            }
        }
    }
    disabled.sort();
    disabled.dedup();
    assert!(disabled.len() >= 3, "{disabled:?}");
}

#[test]
fn nothing_is_made_or_used_by_asking() {
    let mut own = ec("k");
    own.max_uses = Some(1);
    own.rate = Some(Rate {
        uses: 1,
        per_secs: 1000,
    });
    let rules = vec![rule(1, "**", EVERYTHING)];
    let mut world = World::new(policy(rules, vec![own]));
    for _ in 0..3 {
        assert!(explain(&world, &peer(1), Operation::Sign, "k").allowed);
    }
    let mut session = world.application(1);
    let made = world.vault.keys.find("k").unwrap();
    assert!(made.is_none(), "a key was made");
    let sign = Sign {
        key: name("k"),
        scheme: None,
        message: b"m",
        prehashed: false,
    };
    world.ask(&mut session, &sign).unwrap();
    let told = explain(&world, &peer(1), Operation::Sign, "k");
    assert!(!told.allowed);
    tells(&told, "refused: the key was used as often as it may be");
    tells(&told, "1 uses in its life");
    tells(&told, "1 uses in 1000 s");
}

#[test]
fn rules_that_nearly_grant_it_say_what_is_missing() {
    let unit = PeerMatch {
        unit: Some("web.service".into()),
        ..PeerMatch::default()
    };
    let mut web = rule(1, "k", &[Operation::Sign]);
    web.name = "web".into();
    web.peers = vec![unit];
    let mut other = rule(1, "k", &[Operation::Verify]);
    other.name = "other".into();
    let elsewhere = rule(1, "elsewhere", &[Operation::Sign]);
    let world = World::new(policy(vec![other, web, elsewhere], vec![ec("k")]));
    let told = explain(&world, &peer(1), Operation::Sign, "k");
    assert!(!told.allowed);
    assert_eq!(
        told.because[..3],
        [
            "refused: no rule grants the peer sign there",
            "rule web grants sign, but not to the peer: its system unit is \"unit-1.service\", not \
             \"web.service\"",
            "rule other is about the peer, and does not grant sign",
        ]
    );
    let unknown = Peer {
        unit: None,
        ..peer(1)
    };
    let told = explain(&world, &unknown, Operation::Sign, "k");
    tells(&told, "its system unit is unknown");
    let none = explain(&world, &peer(1), Operation::Sign, "nowhere");
    tells(&none, "no rule is about sign there");
}

#[test]
fn every_condition_of_a_peer_that_is_not_met_is_named() {
    let who = peer(7);
    let conditions: [(PeerMatch, &str); 8] = [
        (uid(8), "its user is 7, not 8"),
        (
            PeerMatch {
                user: Some(9),
                ..PeerMatch::default()
            },
            "its user is 7, not 9",
        ),
        (
            PeerMatch {
                gid: Some(8),
                ..PeerMatch::default()
            },
            "its primary group is 7, not 8",
        ),
        (
            PeerMatch {
                group: Some(8),
                ..PeerMatch::default()
            },
            "it is not in group 8",
        ),
        (
            PeerMatch {
                unit: Some("a.service".into()),
                ..PeerMatch::default()
            },
            "not \"a.service\"",
        ),
        (
            PeerMatch {
                cgroup_prefix: Some("/a".into()),
                ..PeerMatch::default()
            },
            "not below \"/a\"",
        ),
        (
            PeerMatch {
                executable_digest: Some([1; 32]),
                ..uid(7)
            },
            "its program was not",
        ),
        (
            PeerMatch {
                per_message: true,
                ..uid(7)
            },
            "not checked one by one",
        ),
    ];
    for (stated, text) in conditions {
        let unmet = stated.unmet(&who).unwrap();
        assert!(unmet.contains(text), "{text} in {unmet}");
    }
    assert_eq!(uid(7).unmet(&who), None);
    // Who would ask was told by its unit alone.
    let unmet = uid(7).unmet(&peer(u32::MAX)).unwrap();
    assert!(unmet.contains("its user is unknown, not 7"), "{unmet}");
}

#[test]
fn keys_that_have_to_come_first_are_told_of_and_so_are_gates_and_recipients() {
    let rules = vec![rule(1, "**", EVERYTHING)];
    let mut gated = ec("gated");
    gated.gate = Some("vm".into());
    let secret = secret_for("secret", kbs("r/t/k"), ReleaseTo::Uid(1));
    let mut set = policy(rules, vec![gated, secret]);
    set.gates = vec![gate("vm", 1000)];
    let world = World::new(set);
    let told = explain(&world, &peer(1), Operation::Sign, "gated");
    assert!(told.allowed);
    tells(&told, "once gate vm is approved");
    tells(&told, "gate vm has to be approved, and is not");
    world.approve("vm", 0);
    let told = explain(&world, &peer(1), Operation::Sign, "gated");
    assert_eq!(told.because[0], "allowed");
    let told = explain(&world, &peer(1), Operation::Release, "secret");
    assert!(told.allowed);
    tells(&told, "once key secret is here");
    tells(&told, "released to uid:1");
    let told = explain(&world, &peer(2), Operation::Release, "secret");
    assert!(!told.allowed);
}

#[test]
fn what_administrators_do_is_explained_by_who_is_one() {
    let world = World::new(policy(vec![], vec![]));
    assert!(explain(&world, &peer(0), Operation::Reload, "k").allowed);
    let told = explain(&world, &peer(1), Operation::Reload, "k");
    assert!(!told.allowed);
    tells(&told, "no admin entry is about the peer");
    let told = explain(&world, &peer(1), Operation::Destroy, "k");
    tells(&told, "peer is no administrator");
    assert!(explain(&world, &peer(9), Operation::Hello, "k").allowed);
}

#[test]
fn only_the_first_of_many_rules_are_told() {
    let rules = (0..100).map(|_| rule(1, "k", &[Operation::Sign])).collect();
    let world = World::new(policy(rules, vec![ec("k")]));
    let told = explain(&world, &peer(1), Operation::Sign, "k");
    assert!(told.because.len() < 32);
    tells(&told, "84 rules more");
}

#[test]
fn what_only_some_rules_ask_is_asked_of_their_peers_alone() {
    let asks = |change: fn(&mut PeerMatch)| {
        let mut stated = uid(1);
        change(&mut stated);
        let one = Rule {
            name: "r".into(),
            keys: vec![NamePattern::parse("k").unwrap()],
            peers: vec![uid(3), stated],
            operations: OperationSet::EMPTY,
        };
        let mut set = policy(vec![one], vec![]);
        set.admins = vec![PeerMatch {
            per_message: true,
            ..uid(4)
        }];
        World::new(set)
    };
    let both = asks(|stated| {
        stated.per_message = true;
        stated.executable_digest = Some([1; 32]);
    });
    let all = Asked {
        executable_digest: true,
        per_message: true,
    };
    assert_eq!(both.vault.asks_about(&peer(1)), all);
    for uid in [2, 3] {
        assert_eq!(both.vault.asks_about(&peer(uid)), Asked::default());
    }
    let of_admin = Asked {
        per_message: true,
        ..Asked::default()
    };
    assert_eq!(both.vault.asks_about(&peer(4)), of_admin);
    let program = asks(|stated| stated.executable_digest = Some([1; 32]));
    let asked = program.vault.asks_about(&peer(1));
    assert!(asked.executable_digest && !asked.per_message);
}
