mod decisions;

use crate::keys::{Key, Keys, Noted};
use crate::policy::{ActivePolicy, GateRule, KeyRule};
use crate::{Peer, Refusal, Vault};
use decisions::Decisions;
use nitride_protocol::{KeyName, KeyType, Operation, OperationSet};
use std::cell::Cell;
use std::sync::Arc;

/// Over which socket the peer came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Socket {
    /// `vhsm.sock`.
    Application,
    /// `admin.sock`.
    Admin,
}

/// One connection's peer and what the policy says of it, remembered until the policy changes.
///
/// Made by [`Vault::session`]. When the peer's identity has to be taken anew, make a new one.
#[derive(Debug)]
pub struct Session {
    peer: Peer,
    socket: Socket,
    wait_ms: u32,
    attaches: bool,
    refusal: Option<Refusal>,
    batch_refusals: Vec<BatchRefusal>,
    used: Cell<Option<Used>>,
    noted: Noted,
    /// What [`Vault`]'s epoch was when `policy` was taken.
    epoch: u64,
    policy: Arc<ActivePolicy>,
    is_admin: bool,
    /// What the rules grant the peer on any name.
    anywhere: OperationSet,
    decisions: Decisions,
}

/// What one generation of the policy says of one peer and one name.
#[derive(Debug)]
pub(crate) struct Decision {
    /// What the rules grant; to an administrator on the admin socket, everything.
    pub(crate) granted: OperationSet,
    pub(crate) rule: Option<Arc<KeyRule>>,
    pub(crate) gate: Option<Arc<GateRule>>,
    /// The key, once it is there: a name keeps its key for as long as the vault runs.
    pub(crate) key: Option<Arc<Key>>,
}

/// What a request has used, for the audit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Used {
    /// The key's type.
    pub key_type: KeyType,
    /// Its version.
    pub version: u32,
    /// Whether the seal has this key, or another one that the request used: what was made with it
    /// is lost with it, so no answer may leave before the file has it. By its rule: that a use of
    /// one that a file has was counted, [`Session::has_changed`] says.
    pub is_sealed: bool,
}

/// An item of a batch that was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchRefusal {
    /// Its place in the batch, from 0.
    pub item: usize,
    /// What was asked.
    pub operation: Operation,
    /// Why not; `None` where it would have had to wait.
    pub refusal: Option<Refusal>,
}

impl Session {
    pub(crate) fn new(peer: Peer, socket: Socket, epoch: u64, policy: Arc<ActivePolicy>) -> Self {
        Self {
            is_admin: policy.is_admin(&peer),
            anywhere: policy.granted_anywhere(&peer),
            decisions: Decisions::default(),
            wait_ms: 0,
            attaches: false,
            refusal: None,
            batch_refusals: Vec::new(),
            used: Cell::new(None),
            noted: Noted::default(),
            peer,
            socket,
            epoch,
            policy,
        }
    }

    /// Who is asking.
    pub fn peer(&self) -> &Peer {
        &self.peer
    }

    /// Over which socket.
    pub fn socket(&self) -> Socket {
        self.socket
    }

    /// For how many milliseconds a request may wait for a round, as `hello` said last; 0 until
    /// then, which is not at all.
    pub fn wait_ms(&self) -> u32 {
        self.wait_ms
    }

    /// Whether packets may carry descriptors, as `hello` said last; not until then.
    pub fn attaches(&self) -> bool {
        self.attaches
    }

    /// Why the last request was refused, for the log; `None` if it was not.
    pub fn refusal(&self) -> Option<Refusal> {
        self.refusal
    }

    /// Why items of the last request were refused, if that was a batch: for the log.
    pub fn batch_refusals(&self) -> &[BatchRefusal] {
        &self.batch_refusals
    }

    /// Which key the last request was let use, if any: the last one of a batch.
    pub fn used(&self) -> Option<Used> {
        self.used.get()
    }

    /// Whether the last request has itself changed what [`Vault::seal_changes`] counts, whatever
    /// others changed meanwhile.
    pub fn has_changed(&self) -> bool {
        self.noted.has_changed()
    }

    /// Where a change is noted that the seal has to know of.
    pub(crate) fn noted(&self) -> &Noted {
        &self.noted
    }

    /// Where a granted use notes its key.
    pub(crate) fn note_of_use(&self) -> &Cell<Option<Used>> {
        &self.used
    }

    pub(crate) fn set_batch_refusals(&mut self, refusals: Vec<BatchRefusal>) {
        self.batch_refusals = refusals;
    }

    pub(crate) fn set_wait_ms(&mut self, wait_ms: u32) {
        self.wait_ms = wait_ms;
    }

    pub(crate) fn set_attaches(&mut self, attaches: bool) {
        self.attaches = attaches;
    }

    pub(crate) fn set_refusal(&mut self, refusal: Option<Refusal>) {
        self.refusal = refusal;
    }

    /// What the peer may ask that is about no key.
    pub(crate) fn granted_anywhere(&self) -> OperationSet {
        match self.socket {
            Socket::Application => self.anywhere,
            Socket::Admin if self.is_admin => OperationSet::ALL,
            Socket::Admin => OperationSet::EMPTY,
        }
    }

    pub(crate) fn policy(&self) -> &ActivePolicy {
        &self.policy
    }

    /// Forgets every decision if the policy has changed since they were taken.
    pub(crate) fn refresh(&mut self, vault: &Vault) {
        // The epoch first: if the policy changes in between, this epoch is already old again.
        let epoch = vault.epoch();
        if self.epoch != epoch {
            self.epoch = epoch;
            self.policy = vault.policy();
            self.is_admin = self.policy.is_admin(&self.peer);
            self.anywhere = self.policy.granted_anywhere(&self.peer);
            self.decisions.clear();
        }
    }

    /// Works out what the policy says of `name`, unless that is remembered already together with
    /// the key. Nothing is remembered of a name on which the peer is granted nothing.
    pub(crate) fn decide(&mut self, keys: &Keys, name: KeyName<'_>) -> Result<(), Refusal> {
        let known = self.decisions.recall(name.as_str());
        if known.is_some_and(|decision| decision.key.is_some()) {
            return Ok(());
        }
        let granted = self.granted_on(name);
        if granted.is_empty() {
            return Ok(());
        }
        let rule = self.policy.key_rule(name.as_str()).cloned();
        let gate = rule
            .as_ref()
            .and_then(|rule| self.policy.gate_rule(rule.gate.as_deref()?))
            .cloned();
        let decision = Decision {
            granted,
            rule,
            gate,
            key: keys.find(name.as_str())?,
        };
        self.decisions.insert(name.as_str(), decision);
        Ok(())
    }

    /// The same for two names, both of which are remembered then.
    pub(crate) fn decide_both(
        &mut self,
        keys: &Keys,
        one: KeyName<'_>,
        other: KeyName<'_>,
    ) -> Result<(), Refusal> {
        self.decide(keys, one)?;
        self.decide(keys, other)?;
        // Making room for the other may have cost the one its place.
        self.decide(keys, one)
    }

    /// For how many names decisions are remembered.
    #[cfg(test)]
    pub(crate) fn remembered(&self) -> usize {
        self.decisions.len()
    }

    /// What [`Session::decide`] found, if the peer is granted anything on `name`.
    pub(crate) fn decision(&self, name: KeyName<'_>) -> Option<&Decision> {
        self.decisions.get(name.as_str())
    }

    /// What the names begin with on which the peer may ask `operation`, in order.
    pub(crate) fn starts_granted(&self, operation: Operation) -> Vec<&str> {
        match self.socket {
            Socket::Application => self.policy.starts_granted(&self.peer, operation),
            Socket::Admin if self.is_admin => vec![""],
            Socket::Admin => Vec::new(),
        }
    }

    /// What the peer may ask on `name`. Which of an administrator's operations its socket takes is
    /// for the table in `permissions.rs` to say.
    pub(crate) fn granted_on(&self, name: KeyName<'_>) -> OperationSet {
        match self.socket {
            Socket::Application => self.policy.granted_on(&self.peer, name),
            Socket::Admin if self.is_admin => OperationSet::ALL,
            Socket::Admin => OperationSet::EMPTY,
        }
    }
}
