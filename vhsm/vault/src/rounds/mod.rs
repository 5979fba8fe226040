//! Attestation rounds: what is wanted, who asked, and what the courier brought.
//!
//! ```text
//! application      vault                               courier            service
//!   missing ────> want() ── single flight
//!                 next_order() ──── service, resources ──>  auth ───────────>
//!                 challenge() <──── nonce ────────────────────────────────────
//!                   fresh TEE key; report_data ── evidence ──> attest ───────>
//!                 accept_result() <── token, for a gate ──────────────────────
//!                 accept_resource() <── JWE ──────────────────────────────────
//!                   open, verify, compare, commit
//!   perform <──── finish(): every want settles
//! ```
//!
//! Principles:
//! - **The courier chooses nothing.** It gets what to fetch, and what it brings back counts only if
//!   it opens with this round's key and names itself, signed by a pinned signer.
//!   What the policy has brought in the clear is the exception, key by key: rounds of their own, without
//!   a key, in which nothing else is taken.
//! - **Its word is a hint.** A failure that it reports ends the wait of those who asked, and begins
//!   a back-off that is bounded and that a new connection of the agent clears; nothing else is
//!   remembered of it.
//! - **Single flight.** One want is in one round at a time, however many ask; one order carries all
//!   that is wanted of a service when it is taken.
//! - **Another service where one is not reached.** A key may name several, in its order; the vault
//!   goes on to the next, and those who wait go on waiting. A service that answers has spoken.
//! - **Leases are asked for again before they end**, so that a service that is down takes no key
//!   away before its time, and one that refuses does ([`Vault::renew_leases`]).
//! - **Work is metered.** A round has one challenge, one result and one delivery of each resource,
//!   and ends by itself; there are only so many rounds at a time.
//!
//! - **Whose signature counts comes first.** Where a key's signer has a list, every order for the key
//!   asks for the list before it.
//!
//! What a vault that was just started cannot know is which versions were held before: that older
//! envelopes are refused holds from the first one that it takes.

mod back_off;
mod failure;
mod order;
mod reach;
mod renewal;
mod resource;
mod stage;
mod table;
mod tee_key;

#[cfg(test)]
mod tests;

pub use crate::gate::GateFault;
pub use failure::{RoundError, RoundFailure, WantRefused};
pub use order::{EvidenceWanted, Order, RoundId, Settled};
pub use resource::{ResourceFault, Told};
pub(crate) use table::Rounds;

use crate::policy::{ActivePolicy, Source};
use crate::signers::room_beside_lists;
use crate::{Draw, ListTaken, Now, Vault, Want};
use nitride_protocol::agent::{FailureClass, RoundCause};
use stage::Destination;
use table::Asked;

impl Vault {
    /// Joins the round that is to bring `want`, or begins one.
    ///
    /// # Errors
    /// [`WantRefused`], whose status whoever waits may be given.
    pub fn want(&self, want: &Want, now: Now, draw: &mut dyn Draw) -> Result<RoundId, WantRefused> {
        let policy = self.policy();
        let services = services_of(&policy, want).ok_or(WantRefused::NoService)?;
        let asked = Asked {
            services,
            cause: RoundCause::Request,
            room: room_beside_lists(policy.set()),
        };
        self.rounds.lock().want(want, asked, now, draw)
    }

    /// Begins rounds for every key that is missing and that its rule says to fetch beforehand, and
    /// for lists of signers before they are too old. What is backed off is left for later.
    pub fn prefetch(&self, now: Now, draw: &mut dyn Draw) {
        let policy = self.policy();
        let room = room_beside_lists(policy.set());
        let mut rounds = self.rounds.lock();
        for (name, services) in policy.lists_due(now) {
            let name = name.to_owned();
            let asked = Asked {
                services: services.to_vec(),
                cause: RoundCause::Prefetch,
                room,
            };
            let _ = rounds.want(&Want::Signers { name }, asked, now, draw);
        }
        for (name, rule) in policy.key_rules() {
            if let Source::Kbs { services, .. } = &rule.source
                && rule.prefetch
                && self.keys.is_missing(&policy, rule, now)
            {
                let name = name.clone();
                let asked = Asked {
                    services: services.clone(),
                    cause: RoundCause::Prefetch,
                    room,
                };
                // Nobody waits for it who would have to learn why it is not tried now.
                let _ = rounds.want(&Want::Key { name }, asked, now, draw);
            }
        }
    }

    /// The next order for the courier; `None` if nothing is wanted, or too much is under way.
    pub fn next_order(&self, now: Now) -> Option<Order> {
        self.with_destination(|rounds, to| rounds.next_order(to, now))
    }

    /// Takes the service's nonce, once a round: makes the round's key, in the form that the policy
    /// wants of those that the service offers, and says what evidence is to be made over.
    ///
    /// # Errors
    /// [`RoundError`]; the round stays as it was.
    pub fn challenge(
        &self,
        round: &RoundId,
        nonce: &str,
        offered: &[&str],
        now: Now,
    ) -> Result<EvidenceWanted, RoundError> {
        self.with_destination(|rounds, to| rounds.challenge(round, nonce, offered, to, now))
    }

    /// Takes the attestation result, once a round that wants one, and approves the gates whose
    /// every condition it meets.
    ///
    /// # Errors
    /// [`RoundError`]; a gate that is named by it is not approved.
    pub fn accept_result(&self, round: &RoundId, token: &str, now: Now) -> Result<(), RoundError> {
        self.with_destination(|rounds, to| rounds.challenged(round, now)?.take_result(token, to))
    }

    /// Takes a resource of the order, once, and commits the key in it; gives the list of signers
    /// where it is one that was not here before.
    ///
    /// # Errors
    /// [`RoundError`]; no key was added or changed.
    pub fn accept_resource(
        &self,
        round: &RoundId,
        path: &str,
        jwe: &[u8],
        now: Now,
        draw: &mut dyn Draw,
    ) -> Result<Option<ListTaken>, RoundError> {
        self.with_destination(|rounds, to| {
            let round = rounds.challenged(round, now)?;
            round.take_resource(path, jwe, to, now, draw)
        })
    }

    /// Takes a resource that the courier has read, once, in a round whose service the policy says that of,
    /// for the keys that say so, too. In every other round it is refused, and what waits for the
    /// resource learns why, unless it comes as it should.
    ///
    /// # Errors
    /// [`RoundError`]; no key was added or changed.
    pub fn accept_plaintext(
        &self,
        round: &RoundId,
        path: &str,
        read: (&[u8], Told),
        now: Now,
        draw: &mut dyn Draw,
    ) -> Result<(), RoundError> {
        self.with_destination(|rounds, to| match rounds.in_clear(round, now) {
            Ok(in_clear) => in_clear.take(path, read, to, now, draw),
            Err(RoundError::NotInClear) => {
                let refused = RoundFailure::PlaintextRefused;
                rounds
                    .live(round, now)?
                    .note_failure(Some(path), refused, 0)?;
                Err(RoundError::NotInClear)
            }
            Err(error) => Err(error),
        })
    }

    /// Takes the courier's word on why a resource (`path`), or all of them, do not come.
    ///
    /// # Errors
    /// [`RoundError`] for an unknown round or a resource outside its order.
    pub fn record_failure(
        &self,
        round: &RoundId,
        path: Option<&str>,
        class: FailureClass,
        retry_after_ms: u32,
        now: Now,
    ) -> Result<(), RoundError> {
        let mut rounds = self.rounds.lock();
        let ordered = rounds.live(round, now)?;
        ordered.note_failure(path, class.into(), retry_after_ms)
    }

    /// The keys for which the courier is not blind, each in a line, for the log and the status.
    pub fn plaintext_warnings(&self) -> Vec<String> {
        let policy = self.policy();
        let in_clear = policy.set().keys.iter();
        in_clear
            .filter(|rule| rule.plaintext_courier)
            .map(|rule| {
                format!(
                    "PLAINTEXT-COURIER: the agent reads key {}, and whoever has the agent has the key",
                    rule.name
                )
            })
            .collect()
    }

    /// Whether the courier has this round, and it has not ended.
    pub fn is_under_way(&self, round: &RoundId) -> bool {
        self.rounds.lock().is_live(round)
    }

    /// Ends a round: everything it was for settles, but for what another service is asked for now,
    /// since this one was not reached. Empty for an unknown round.
    pub fn finish(&self, round: &RoundId, now: Now) -> Vec<Settled> {
        self.fail_round(round, RoundFailure::NotDelivered, now)
    }

    /// Ends a round that cannot go on; what was not delivered and has no reason of its own settles
    /// with `failure`. Empty for an unknown round.
    pub fn fail_round(&self, round: &RoundId, failure: RoundFailure, now: Now) -> Vec<Settled> {
        self.rounds.lock().end(round, &failure, now)
    }

    /// Ends every round, those that nobody has taken yet included.
    pub fn abandon_all(&self, now: Now, failure: RoundFailure) -> Vec<Settled> {
        self.rounds.lock().end_all(&failure, now)
    }

    /// Ends the rounds whose budget is spent, and hands out what settled without one: what was
    /// there already when its order was put together, or is no longer to be had. To be called
    /// every second or so, and after [`Vault::next_order`].
    pub fn expire(&self, now: Now) -> Vec<Settled> {
        self.rounds.lock().expire(now)
    }

    /// To be called when an agent has connected: what the one before said of failures is forgotten.
    pub fn agent_connected(&self) {
        self.rounds.lock().forget_failures();
    }

    /// Services that could have been offered a hybrid key, and whose last round had another.
    pub(crate) fn weaker_services(&self) -> Vec<String> {
        let policy = self.policy();
        let rounds = self.rounds.lock();
        let services = policy.set().services.iter().map(|service| &service.name);
        services
            .filter(|name| rounds.is_weaker(name))
            .cloned()
            .collect()
    }

    fn with_destination<R>(&self, act: impl FnOnce(&mut table::Table, &Destination<'_>) -> R) -> R {
        let policy = self.policy();
        let to = Destination {
            policy: &policy,
            keys: &self.keys,
            gates: &self.gates,
            current: &self.current,
            lists: &self.lists,
        };
        act(&mut self.rounds.lock(), &to)
    }
}

/// Who brings `want`, by the policy of this moment.
fn services_of(policy: &ActivePolicy, want: &Want) -> Option<Vec<String>> {
    match want {
        Want::Key { name } => match &policy.key_rule(name.as_str())?.source {
            Source::Kbs { services, .. } => Some(services.clone()),
            Source::Generate | Source::Local => None,
        },
        Want::Gate { name } => Some(vec![policy.gate_rule(name)?.service.clone()]),
        Want::Signers { name } => Some(policy.services_of_list(name).to_vec()),
    }
}
