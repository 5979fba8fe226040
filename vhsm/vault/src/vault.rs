use crate::gate::Gates;
use crate::keys::Keys;
use crate::measured::{Measure, Releases};
use crate::operations::{self, Call, Form};
use crate::policy::{ActivePolicy, CurrentPolicy, PolicyFault, PolicySet};
use crate::refusal::Stop;
use crate::rounds::Rounds;
use crate::signers::{SIGNER_LIST, SignerLists};
use crate::{Draw, Now, Outcome, Peer, Refusal, Session, Socket};
use nitride_protocol::{Operation, Reader, RequestHead, write_refusal};
use nitride_secmem::Record;
use std::sync::Arc;

/// How much one vault keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VaultLimits {
    /// Keys that no key rule speaks of, destroyed ones included, since their names stay taken.
    pub keys: u64,
    /// The same, of one user.
    pub keys_per_uid: u64,
    /// Bytes of the heap arena for the expanded objects of keys that were used lately; others are
    /// expanded again at their next use.
    pub expanded_len: usize,
}

/// What [`Vault::new`] found again.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Recovery {
    /// How many keys, the destroyed ones included.
    pub keys: usize,
    /// What was not taken, and why, each in a line.
    pub refused: Vec<String>,
}

/// The whole state. Every method takes `&self`; any number of threads may be inside.
#[derive(Debug)]
pub struct Vault {
    pub(crate) current: CurrentPolicy,
    pub(crate) lists: SignerLists,
    pub(crate) keys: Keys,
    pub(crate) gates: Gates,
    pub(crate) releases: Releases,
    pub(crate) rounds: Rounds,
}

impl Vault {
    /// A vault under `policy`, with the keys that an earlier one has left in its records.
    /// [`nitride_secmem::install`] has to have run; it finds them.
    ///
    /// A key that cannot be read is not there, and named; its records stay as they are.
    ///
    /// # Errors
    /// [`PolicyFault`] where the policy contradicts itself; the records are dropped then.
    pub fn new(
        policy: PolicySet,
        limits: VaultLimits,
        recovered: Vec<Record>,
    ) -> Result<(Self, Recovery), PolicyFault> {
        let policy = ActivePolicy::new(policy)?;
        let is_list = |record: &Record| record.kind() == SIGNER_LIST;
        let (lists, recovered) = recovered.into_iter().partition(is_list);
        let (keys, mut refused) = Keys::new(limits, recovered);
        let (lists, refused_lists) = SignerLists::recover(lists);
        refused.extend(refused_lists);
        let recovery = Recovery {
            keys: keys.count().unwrap_or(0),
            refused,
        };
        let vault = Self {
            current: CurrentPolicy::new(policy.with_lists(lists.all())),
            lists,
            keys,
            gates: Gates::default(),
            releases: Releases::default(),
            rounds: Rounds::default(),
        };
        Ok((vault, recovery))
    }

    /// Replaces the policy as a whole; what is asked from now on is judged by the new one. Leases
    /// that it shortens run out at once.
    ///
    /// # Errors
    /// [`PolicyFault`] where it contradicts itself; then the old one stays.
    pub fn replace_policy(&self, policy: PolicySet, now: Now) -> Result<(), PolicyFault> {
        let next = ActivePolicy::new(policy)?;
        let policy = self.lists.under_lock(|lists| {
            let next = |_: &ActivePolicy| next.with_lists(lists);
            // It may speak of other keys than before. Counted later, an answer under it could
            // leave before the file has what it now should.
            self.current.replace(next, || self.keys.seal.note(true))
        });
        // A key that cannot be swept is locked for good, and then nobody uses it either.
        let _ = self.keys.sweep(&policy, now);
        Ok(())
    }

    /// A session for a peer whose identity the daemon has just established.
    pub fn session(&self, peer: Peer, socket: Socket) -> Session {
        let epoch = self.epoch();
        Session::new(peer, socket, epoch, self.policy())
    }

    /// Performs one request and writes the reply, which may hold a secret, into `reply`.
    ///
    /// `params` is what [`nitride_protocol::open_request`] left; a whole reply fits into
    /// [`nitride_protocol::limits::MAX_PACKET_LEN`] bytes. Packet and reply should lie in the
    /// arena. Nothing has happened when the outcome is [`Outcome::Park`]; otherwise what has
    /// happened is in the reply.
    pub fn perform(
        &self,
        session: &mut Session,
        head: RequestHead,
        params: Reader<'_>,
        now: Now,
        draw: &mut dyn Draw,
        reply: &mut [u8],
    ) -> Outcome {
        session.refresh(self);
        session.set_refusal(None);
        session.note_of_use().set(None);
        session.noted().clear();
        session.set_batch_refusals(Vec::new());
        let id = head.id;
        let call = Call {
            form: Form::Packet { id },
            now,
            draw,
            reply: &mut *reply,
        };
        let done = match Operation::from_wire(head.operation) {
            Some(operation) => operations::perform(self, session, operation, params, call),
            None => Err(Stop::Refused(Refusal::UnknownOperation {
                number: head.operation,
            })),
        };
        match done {
            Ok(outcome) => outcome,
            Err(Stop::Wanting(want)) => Outcome::Park(want),
            Err(Stop::Refused(refusal)) => {
                session.set_refusal(Some(refusal));
                write_refusal(reply, id, refusal.status()).map_or(Outcome::Close, Outcome::Reply)
            }
        }
    }

    /// Zeroes every key whose lease has run out, also those that nobody asks for. To be called
    /// about once a second.
    ///
    /// # Errors
    /// [`Refusal::Internal`] where a key cannot be reached; it can then not be used either.
    pub fn end_leases(&self, now: Now) -> Result<(), Refusal> {
        self.keys.sweep(&self.policy(), now)
    }

    /// How the release of a key is measured whose rule wants that. Without it none is released.
    pub fn set_measure(&self, measure: Measure) {
        self.releases.set_measure(measure);
    }

    /// Erases every key at once, names and all, and whatever was found and not understood: only while
    /// records that are dropped are not kept ([`nitride_secmem::keep_dropped_records`]).
    pub fn forget_keys(&self) {
        self.keys.forget();
        self.lists.forget();
    }

    /// Makes a version more of every key whose rule says that it is time, also of those that nobody
    /// uses. To be called about once a second.
    ///
    /// # Errors
    /// The first [`Refusal`]; that key goes on with the version that it has, and the others have
    /// had their turn.
    pub fn rotate_due(&self, now: Now, draw: &mut dyn Draw) -> Result<(), Refusal> {
        self.keys.rotate_due(&self.policy(), now, draw)
    }

    /// Draws new nonce prefixes for all keys. To be called when VMGENID has changed: another copy
    /// of this VM may be running with the same counters.
    ///
    /// # Errors
    /// [`Refusal::Internal`] where a key cannot be reached; it can then not be used either.
    pub fn renew_nonce_prefixes(&self, draw: &mut dyn Draw) -> Result<(), Refusal> {
        self.keys.renew_nonce_prefixes(draw)
    }

    /// The policy that counts now.
    pub(crate) fn policy(&self) -> Arc<ActivePolicy> {
        self.current.policy()
    }

    pub(crate) fn epoch(&self) -> u64 {
        self.current.epoch()
    }
}
