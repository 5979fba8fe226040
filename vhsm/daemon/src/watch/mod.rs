//! What is recorded and counted of every request, at the one place that all of them pass.
//!
//! ```text
//! request ── begin() ── room? ──> Ticket ── the vault ── end() before the reply leaves ──> send
//!                        │                                │
//!                        no: AuditUnavailable             ├─ an act: its entry, now
//!                                                         ├─ a use: this connection's Tally
//!                                                         └─ metrics
//! ```

mod subject;
mod tally;
#[cfg(test)]
mod tests;

pub(crate) use subject::key_of;
pub(crate) use tally::Tally;

use crate::audit::{self, Audit, FolderError, Reserved, Unaudited};
use crate::config::Config;
use crate::daemon::Daemon;
use crate::metrics::Metrics;
use crate::serve::Link;
use nitride_ipc::clock::boot_ns;
use nitride_kbs::tee_key::TeeKeyForm;
use nitride_protocol::application::{Batch, Batched};
use nitride_protocol::{KeyName, Message, Operation, Reader, Status, open_reply};
use nitride_vault::Used;
use nitride_vault::audit::{AuditKind, AuditPeer, Concern, Event, UsePeer, is_denial};
use nitride_vault::rounds::{Order, RoundId, Settled};
use nitride_vault::{ListTaken, Now, Want};
use std::error::Error;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use subject::{key_of_item, outcome_of, subject};
use tally::{Counters, Noted};

/// The audit and the figures.
#[derive(Debug)]
pub(crate) struct Watch {
    pub(crate) audit: Audit,
    pub(crate) metrics: Metrics,
    counters: Counters,
    /// Room that is set aside for what rounds under way will have to say.
    kept_for_rounds: AtomicUsize,
}

/// A request that has begun.
#[derive(Debug)]
pub(crate) struct Ticket<'w> {
    operation: Option<Operation>,
    /// By the boot clock.
    pub(crate) began_ns: u64,
    reserved: Option<Reserved<'w>>,
}

/// A request that has ended, and how.
#[derive(Debug)]
pub(crate) struct Ended<'e> {
    pub(crate) link: &'e Link,
    pub(crate) id: u32,
    /// As it came.
    pub(crate) params: &'e Reader<'e>,
    /// What it was let use.
    pub(crate) used: Option<Used>,
    /// What is about to be sent.
    pub(crate) reply: &'e [u8],
}

impl Watch {
    /// Takes the audit's folder.
    pub(crate) fn open(config: &Config) -> Result<Self, FolderError> {
        let key_names = config
            .metrics
            .as_ref()
            .is_some_and(|metrics| metrics.key_names);
        Ok(Self {
            audit: Audit::open(config.audit.as_ref(), Daemon::now())?,
            metrics: Metrics::new(key_names),
            counters: Counters::default(),
            kept_for_rounds: AtomicUsize::new(0),
        })
    }

    /// Without files, for tests of other rooms.
    #[cfg(test)]
    pub(crate) fn without_files() -> Self {
        Self {
            audit: Audit::open(None, Daemon::now()).unwrap(),
            metrics: Metrics::new(false),
            counters: Counters::default(),
            kept_for_rounds: AtomicUsize::new(0),
        }
    }

    /// Before anything is done: room for its entry.
    ///
    /// # Errors
    /// [`Unaudited`].
    pub(crate) fn begin(&self, operation: u16) -> Result<Ticket<'_>, Unaudited> {
        let operation = Operation::from_wire(operation);
        let concern = operation.map_or(Concern::Nothing, Concern::of);
        if concern.is_added_up() {
            self.audit.may_add_up()?;
        }
        // Who replaces the policy sets room aside itself, whether asked over a socket or not.
        let is_entry = concern.is_entry() && concern != Concern::Policy;
        Ok(Ticket {
            operation,
            began_ns: boot_ns(),
            reserved: is_entry.then(|| self.audit.set_aside(1)).transpose()?,
        })
    }

    /// Before the reply leaves: what has happened.
    pub(crate) fn end(&self, ticket: Ticket<'_>, ended: &Ended<'_>, tally: &mut Tally) {
        let link = ended.link;
        let Ok((head, result)) = open_reply(ended.reply) else {
            return;
        };
        let status = head.status;
        // The items of a batch have keys of their own.
        let used = ended
            .used
            .filter(|_| ticket.operation != Some(Operation::Batch));
        let asked = (ticket.operation, used.map(|used| used.key_type));
        let took = Duration::from_nanos(boot_ns().saturating_sub(ticket.began_ns));
        self.metrics.count(link.number, asked, status, took);
        // A denial has its entry where its reason is known.
        let Some(operation) = ticket.operation.filter(|_| !is_denial(status)) else {
            return;
        };
        match Concern::of(operation) {
            Concern::Nothing | Concern::Policy => {}
            Concern::Use => {
                let noted = Noted {
                    key: key_of(operation, ended.params),
                    version: ended.used.map(|used| used.version),
                    operation,
                    status,
                };
                tally.add(&self.counters, || who(link), &noted);
            }
            Concern::Batch => self.end_batch(ended, status, &result, tally),
            Concern::Lifecycle | Concern::Release => {
                let subject = subject(operation, ended.params, status, &result);
                let event = Event {
                    peer: Some(audit::peer(link.identity())),
                    key: key_of(operation, ended.params),
                    version: subject.version.or(ended.used.map(|used| used.version)),
                    operation: Some(operation),
                    status,
                    request: Some(audit::request(link.number, ended.id)),
                    ..Event::own(kind_of(operation), &subject.other)
                };
                let mut reserved = ticket.reserved.unwrap_or_else(|| self.audit.take_kept(0));
                self.audit.record(&event, Daemon::now(), &mut reserved);
            }
        }
    }

    fn end_batch(&self, ended: &Ended<'_>, status: Status, result: &Reader<'_>, tally: &mut Tally) {
        let link = ended.link;
        let asked = Batch::decode_last(ended.params.clone());
        let answered = Batched::decode_last(result.clone());
        let (Ok(asked), Ok(answered), Status::Ok) = (asked, answered, status) else {
            let operation = Operation::Batch;
            let noted = Noted {
                key: None,
                version: None,
                operation,
                status,
            };
            return tally.add(&self.counters, || who(link), &noted);
        };
        for (item, answer) in asked.items.iter().zip(&answered.items) {
            let (operation, key) = (item.operation(), key_of_item(item));
            let (status, version) = outcome_of(answer);
            if is_denial(status) {
                let reason = "in a batch";
                self.refused(link, ended.id, (Some(operation), key), status, reason);
            } else if Concern::of(operation) == Concern::Use {
                let noted = Noted {
                    key,
                    version,
                    operation,
                    status,
                };
                tally.add(&self.counters, || who(link), &noted);
            }
        }
    }

    /// Something was refused: the entry, if that is a denial.
    pub(crate) fn refused(
        &self,
        link: &Link,
        id: u32,
        (operation, key): (Option<Operation>, Option<KeyName<'_>>),
        status: Status,
        reason: &str,
    ) {
        if !is_denial(status) {
            return;
        }
        let event = Event {
            peer: Some(audit::peer(link.identity())),
            key,
            operation,
            status,
            request: Some(audit::request(link.number, id)),
            ..Event::own(AuditKind::Denial, reason)
        };
        self.audit.denied(&event, Daemon::now());
    }

    /// Before a secret leaves for whom nobody has asked over our protocol: a volume, a credential.
    ///
    /// # Errors
    /// [`Unaudited`]; then it stays.
    pub(crate) fn released_to(
        &self,
        peer: AuditPeer<'_>,
        (key, version): (KeyName<'_>, u32),
        to: &str,
    ) -> Result<(), Unaudited> {
        let mut reserved = self.audit.set_aside(1)?;
        let reason = format!("to {to}");
        let event = Event {
            peer: Some(peer),
            key: Some(key),
            version: Some(version),
            operation: Some(Operation::Release),
            ..Event::own(AuditKind::Release, &reason)
        };
        self.audit.record(&event, Daemon::now(), &mut reserved);
        Ok(())
    }

    /// It was refused for good.
    pub(crate) fn refused_to(
        &self,
        peer: AuditPeer<'_>,
        key: Option<KeyName<'_>>,
        to: &str,
        reason: &str,
    ) {
        let reason = format!("to {to}: {reason}");
        let event = Event {
            peer: Some(peer),
            key,
            operation: Some(Operation::Release),
            status: Status::Denied,
            ..Event::own(AuditKind::Denial, &reason)
        };
        self.audit.denied(&event, Daemon::now());
    }

    /// Before an order is taken, or something that it has brought: room for what that has to say.
    ///
    /// # Errors
    /// [`Unaudited`]; then nothing is ordered.
    pub(crate) fn before_order(&self) -> Result<Reserved<'_>, Unaudited> {
        self.audit.set_aside(1)
    }

    /// A list of signers took the place of the one before: other keys are believed.
    pub(crate) fn list_taken(&self, list: &ListTaken, mut reserved: Reserved<'_>) {
        let reason = format!(
            "signer {}: list with serial {}, digest {}, {} keys",
            list.signer,
            list.serial,
            crate::event::Hex(&list.digest),
            list.keys,
        );
        let event = Event::own(AuditKind::Policy, &reason);
        self.audit.record_soon(&event, Daemon::now(), &mut reserved);
    }

    /// An order was taken.
    pub(crate) fn ordered(&self, order: &Order, mut reserved: Reserved<'_>) {
        let reason = format!(
            "ordered: round {} of service {}, {} resources{}{}",
            order.round,
            order.service,
            order.resources.len(),
            if order.result_wanted {
                " and a result"
            } else {
                ""
            },
            if order.in_clear {
                ", plaintext-courier"
            } else {
                ""
            },
        );
        self.metrics.count_order();
        let event = Event::own(AuditKind::Round, &reason);
        self.audit.record_soon(&event, Daemon::now(), &mut reserved);
        let wants = order.resources.len() + usize::from(order.result_wanted);
        if let Ok(more) = self.audit.set_aside(wants) {
            self.kept_for_rounds
                .fetch_add(more.keep(), Ordering::Relaxed);
        }
    }

    /// A round got its key, in this form.
    pub(crate) fn challenged(&self, round: &RoundId, form: TeeKeyForm) {
        let reason = format!("challenged: round {round}, key {}", form.as_str());
        let event = Event::own(AuditKind::Round, &reason);
        self.audit.note(&event, Daemon::now());
    }

    /// Something that was wanted is there, or failed.
    pub(crate) fn settled(&self, settled: &Settled) {
        let (status, reason) = match &settled.outcome {
            Ok(()) if settled.in_clear => (
                Status::Ok,
                "plaintext-courier: the agent has read it".to_owned(),
            ),
            Ok(()) => (Status::Ok, String::new()),
            Err(failure) => (failure.status(), crate::event::Chain(failure).to_string()),
        };
        let (key, reason) = match &settled.want {
            Want::Key { name } => (Some(name.as_name()), format!("settled: {reason}")),
            Want::Gate { name } => (None, format!("settled: gate {name}: {reason}")),
            Want::Signers { name } => (None, format!("settled: signers {name}: {reason}")),
        };
        self.metrics.count_settled(status);
        let event = Event {
            key,
            status,
            ..Event::own(AuditKind::Round, reason.trim_end_matches(": "))
        };
        let one_less = |kept: usize| kept.checked_sub(1);
        let kept =
            self.kept_for_rounds
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less);
        let mut reserved = self.audit.take_kept(usize::from(kept.is_ok()));
        self.audit.record_soon(&event, Daemon::now(), &mut reserved);
    }

    /// Once a second: what was added up.
    pub(crate) fn tick(&self) {
        let uses = self.counters.collect();
        self.metrics.add_uses(&uses);
        self.audit.tick(uses, Daemon::now());
    }

    /// The end: all that was counted, and that this is the end.
    pub(crate) fn close(&self) {
        self.tick();
        self.audit.close(Daemon::now());
    }

    /// The beginning: under which policy.
    pub(crate) fn began(&self, generation: u64, digest: &[u8; 32], now: Now) {
        let digest = crate::event::Hex(digest);
        let version = env!("CARGO_PKG_VERSION");
        let reason = format!("vhsmd {version}, policy {generation}, digest {digest}");
        self.audit.note(&Event::own(AuditKind::Start, &reason), now);
    }

    /// A policy was taken, or refused.
    pub(crate) fn reloaded(
        &self,
        by: Option<(&Link, u32)>,
        outcome: Result<(u64, [u8; 32]), &dyn Error>,
        mut reserved: Reserved<'_>,
    ) {
        let (status, reason) = match outcome {
            Ok((generation, digest)) => {
                let digest = crate::event::Hex(&digest);
                let reason = format!("generation {generation}, digest {digest}");
                (Status::Ok, reason)
            }
            Err(error) => (
                Status::PolicyInvalid,
                crate::event::Chain(error).to_string(),
            ),
        };
        let event = Event {
            peer: by.map(|(link, _)| audit::peer(link.identity())),
            operation: Some(Operation::Reload),
            request: by.map(|(link, id)| audit::request(link.number, id)),
            status,
            ..Event::own(AuditKind::Policy, &reason)
        };
        self.audit.record(&event, Daemon::now(), &mut reserved);
    }
}

fn kind_of(operation: Operation) -> AuditKind {
    match Concern::of(operation) {
        Concern::Release => AuditKind::Release,
        Concern::Policy => AuditKind::Policy,
        _ => AuditKind::Lifecycle,
    }
}

fn who(link: &Link) -> UsePeer {
    let identity = link.identity();
    UsePeer {
        uid: identity.uid,
        pid: identity.pid,
        unit: identity.unit.clone(),
    }
}
