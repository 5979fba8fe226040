//! Any order of calls, by a courier that is late, confused or lying: what is wanted settles once.

use super::service::{claims, encrypt, fields, signed, token};
use super::world::*;
use crate::Want;
use crate::rounds::{EvidenceWanted, RoundFailure, RoundId, Settled};
use nitride_kbs::envelope::EnvelopeFields;
use nitride_protocol::agent::FailureClass;
use proptest::prelude::*;
use std::collections::HashMap;

#[derive(Debug, Clone)]
enum Action {
    Want(usize),
    Prefetch,
    Order,
    Challenge(usize),
    /// A genuine resource of the second key, delivered as the first.
    Deliver(usize, usize, usize),
    Result(usize),
    Fail(usize, Option<usize>, usize, u32),
    Finish(usize),
    Wait(u64),
    Expire,
    AbandonAll,
    AgentConnected,
}

const KEYS: [(&str, &str); 3] = [
    (SIGNING, SIGNING_PATH),
    (SECRET, SECRET_PATH),
    (PLAIN, PLAIN_PATH),
];

fn wants() -> [Want; 5] {
    [
        key(SIGNING),
        key(SECRET),
        key(PLAIN),
        key(ELSEWHERE),
        gate(),
    ]
}

fn genuine(at: usize) -> Vec<u8> {
    match at {
        0 => signing_envelope(),
        1 => signed(&EnvelopeFields {
            key_type: "secret",
            ..fields(SECRET_PATH, b"hunter2")
        }),
        _ => b"plain".to_vec(),
    }
}

fn action() -> impl Strategy<Value = Action> {
    let round = 0..4usize;
    let at = 0..3usize;
    prop_oneof![
        4 => (0..5usize).prop_map(Action::Want),
        1 => Just(Action::Prefetch),
        3 => Just(Action::Order),
        3 => round.clone().prop_map(Action::Challenge),
        2 => (round.clone(), at.clone()).prop_map(|(round, at)| Action::Deliver(round, at, at)),
        1 => (round.clone(), at.clone(), at.clone())
            .prop_map(|(round, path, of)| Action::Deliver(round, path, of)),
        1 => round.clone().prop_map(Action::Result),
        1 => (round.clone(), proptest::option::of(at), 0..5usize, any::<u32>())
            .prop_map(|(round, path, class, after)| Action::Fail(round, path, class, after)),
        2 => round.prop_map(Action::Finish),
        1 => (0..40_000u64).prop_map(Action::Wait),
        1 => Just(Action::Expire),
        1 => Just(Action::AbandonAll),
        1 => Just(Action::AgentConnected),
    ]
}

/// What the test knows of the vault, to hold it to.
struct Model {
    world: World,
    outstanding: HashMap<Want, RoundId>,
    /// The last orders, and the answers to their challenges.
    rounds: Vec<(RoundId, Option<EvidenceWanted>)>,
}

impl Model {
    fn round(&self, at: usize) -> (RoundId, Option<EvidenceWanted>) {
        let newest_first = self.rounds.iter().rev().nth(at).cloned();
        newest_first.unwrap_or((RoundId([0xee; 16]), None))
    }

    fn settle(&mut self, settled: Vec<Settled>) {
        for Settled { want, outcome, .. } in settled {
            assert!(self.outstanding.remove(&want).is_some(), "{want:?} twice");
            match &want {
                Want::Key { name } if outcome.is_ok() => {
                    assert!(self.world.held(name.as_str()).is_some());
                }
                Want::Gate { .. } if outcome.is_ok() => assert!(self.world.is_approved()),
                _ => {}
            }
        }
    }

    fn act(&mut self, action: Action) {
        let now = self.world.now();
        match action {
            Action::Want(at) => {
                let want = wants()[at].clone();
                if let Ok(round) = self.world.want(&want) {
                    let joined = *self.outstanding.entry(want).or_insert(round);
                    assert_eq!(joined, round);
                }
            }
            // No rule says to prefetch: nothing may come of it.
            Action::Prefetch => self.world.vault.prefetch(now, &mut self.world.draw()),
            Action::Order => {
                if let Some(order) = self.world.order() {
                    self.rounds.push((order.round, None));
                }
            }
            Action::Challenge(at) => {
                let (round, before) = self.round(at);
                let answer = self.world.vault.challenge(&round, NONCE, &[], now);
                assert!(before.is_none() || answer.is_err());
                if let (Ok(evidence), Some(known)) = (
                    answer,
                    self.rounds.iter_mut().find(|(known, _)| *known == round),
                ) {
                    known.1 = Some(evidence);
                }
            }
            Action::Deliver(at, path, of) => {
                let (round, evidence) = self.round(at);
                let jwk = evidence.map(|evidence| evidence.tee_pubkey_jwk);
                let jwe = jwk.map_or(vec![], |jwk| encrypt(&jwk, &genuine(of)));
                let before = self.world.held(KEYS[path].0);
                let taken = self.world.deliver_jwe(&round, KEYS[path].1, &jwe);
                if taken.is_err() {
                    assert_eq!(self.world.held(KEYS[path].0), before);
                } else if path != 2 {
                    // Only what accepts unsigned resources can be given another's.
                    assert_eq!(path, of);
                }
            }
            Action::Result(at) => {
                let (round, evidence) = self.round(at);
                if let Some(evidence) = evidence {
                    let token = token(&claims(&evidence.tee_pubkey_jwk, NONCE));
                    let _ = self.world.vault.accept_result(&round, &token, now);
                }
            }
            Action::Fail(at, path, class, after) => {
                let path = path.map(|path| KEYS[path].1);
                let class = FailureClass::ALL[class];
                let round = self.round(at).0;
                let vault = &self.world.vault;
                let _ = vault.record_failure(&round, path, class, after, now);
            }
            Action::Finish(at) => {
                let settled = self.world.finish(&self.round(at).0);
                self.settle(settled);
            }
            Action::Wait(ms) => self.world.wait_ms(ms),
            Action::Expire => {
                let settled = self.world.vault.expire(now);
                self.settle(settled);
            }
            Action::AbandonAll => {
                let failure = RoundFailure::AgentAbsent;
                let settled = self.world.vault.abandon_all(now, failure);
                self.settle(settled);
                assert!(self.outstanding.is_empty());
            }
            Action::AgentConnected => self.world.vault.agent_connected(),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_want_settles_exactly_once_in_any_order_of_calls(
        actions in proptest::collection::vec(action(), 0..60),
    ) {
        let mut model = Model {
            world: World::new(),
            outstanding: HashMap::new(),
            rounds: Vec::new(),
        };
        for action in actions {
            model.act(action);
        }
        model.act(Action::AbandonAll);
    }
}
