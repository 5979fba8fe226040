use super::evidence::{self, MadeEvidence, NoEvidence};
use super::inbox::Inbox;
use crate::audit::Unaudited;
use crate::daemon::Daemon;
use crate::event::Event;
use crate::randomness::SystemDraw;
use nitride_kbs::audit_head::AuditHead;
use nitride_protocol::agent::{
    AUDIT_HEAD_FEATURE, AgentOperation, AttestationResult, Challenge, Evidence, Failure, Finish,
    Hello, NextRound, PLAINTEXT_FEATURE, PlaintextResource, ROUND_CAUSE_FEATURE, Resource,
    RoundOrder, TEE_KEYS_FEATURE, Welcome,
};
use nitride_protocol::application::Head;
use nitride_protocol::limits::{MAX_INLINE_LEN, MAX_PACKET_LEN};
use nitride_protocol::{
    Empty, Message, Reader, RequestHead, Status, open_request, refusal_of, write_refusal,
    write_reply,
};
use nitride_vault::rounds::{
    EvidenceWanted, ResourceFault, RoundError, RoundFailure, RoundId, Told,
};
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_seqpacket::UnixSeqpacket;

/// How long an answer may wait for the agent to read the ones before.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// Challenges that wait for evidence; the vault has no more rounds than this at a time. A courier
/// can end a round and begin another while the evidence of the first is still being made.
const MAX_EVIDENCE: usize = 16;

/// The agent's connection, from its hello to its end.
///
/// It only asks. `next-round` is answered when there is work; everything else at once, but for
/// `challenge`, whose answer is made by nitride-quote meanwhile.
#[derive(Debug)]
pub(super) struct AgentSession {
    daemon: Arc<Daemon>,
    socket: UnixSeqpacket,
    is_greeted: bool,
    /// The `next-round` that waits, by its id.
    next_round: Option<(u32, NextRound)>,
    evidence: mpsc::Sender<Made>,
    evidence_under_way: usize,
}

/// Evidence that was asked for, and for what.
#[derive(Debug)]
struct Made {
    id: u32,
    round: RoundId,
    tee_pubkey_jwk: String,
    /// With the head of the audit that it binds, if one was wanted and there is one.
    made: Result<(MadeEvidence, Option<AuditHead>), NoEvidence>,
}

/// The connection has ended, or has to.
struct Ended;

/// What is wrong with a message that the vault is not asked about.
#[derive(Debug, thiserror::Error)]
enum AgentFault {
    /// The message does not decode.
    #[error("the message is malformed")]
    Malformed(#[source] nitride_protocol::DecodeError),
    /// It speaks another version.
    #[error("the agent speaks no version of the protocol that vhsmd speaks")]
    UnsupportedVersion,
    /// No hello was said.
    #[error("no hello was said")]
    NotGreeted,
    /// No operation has this number.
    #[error("no operation has this number")]
    UnknownOperation,
    /// Two questions for work at a time.
    #[error("next-round was asked twice at a time")]
    AskedTwice,
    /// More challenges than evidence can be made for.
    #[error("as many challenges wait for evidence as may")]
    TooManyChallenges,
    /// The service wants its runtime data bound by another hash.
    #[error("the service wants a hash that is not sha384")]
    OtherHash,
    /// What is done with it might have no entry.
    #[error(transparent)]
    Unaudited(#[from] Unaudited),
    /// The vault refuses it.
    #[error("the vault refuses it")]
    Round(#[from] RoundError),
}

impl From<nitride_protocol::DecodeError> for AgentFault {
    fn from(error: nitride_protocol::DecodeError) -> Self {
        Self::Malformed(error)
    }
}

impl AgentFault {
    fn status(&self) -> Status {
        match self {
            Self::Malformed(error) => refusal_of(error),
            Self::UnsupportedVersion | Self::NotGreeted => Status::UnsupportedVersion,
            Self::UnknownOperation => Status::UnknownOperation,
            Self::AskedTwice | Self::TooManyChallenges => Status::QuotaExceeded,
            Self::OtherHash => Status::EvidenceUnavailable,
            Self::Unaudited(_) => Status::AuditUnavailable,
            Self::Round(error) => error.status(),
        }
    }
}

impl AgentSession {
    /// Answers the agent until it goes, is cut off, or breaks the protocol's frame.
    pub(super) async fn run(daemon: Arc<Daemon>, socket: UnixSeqpacket) {
        let (evidence, mut made) = mpsc::channel(MAX_EVIDENCE);
        let mut session = Self {
            daemon,
            socket,
            is_greeted: false,
            next_round: None,
            evidence,
            evidence_under_way: 0,
        };
        let mut inbox = Inbox::new();
        loop {
            let turn = tokio::select! {
                received = session.socket.recv(inbox.room()) => match received {
                    Ok(received) if received.bytes_read() > 0 => {
                        let len = received.bytes_read();
                        let turn = session.answer(inbox.packet(len)).await;
                        inbox.wipe(len);
                        turn
                    }
                    _ => Err(Ended),
                },
                Some(made) = made.recv() => session.answer_challenge(made).await,
                () = session.daemon.waiting.order_bell.notified() => Ok(()),
            };
            if turn.is_err() || session.hand_out_order(&mut inbox).await.is_err() {
                return;
            }
            // The runtime has one thread, and a packet that is there already is no reason to leave
            // it: a courier that never stops sending would keep deadlines, signals and the watchdog
            // from it.
            tokio::task::yield_now().await;
        }
    }

    async fn answer(&mut self, packet: &[u8]) -> Result<(), Ended> {
        let (head, params) = match open_request(packet) {
            Ok(opened) => opened,
            Err(error) => {
                let id = error.id.ok_or(Ended)?;
                let fault = AgentFault::Malformed(error.error);
                return self.refuse(id, "unknown", &fault).await;
            }
        };
        let operation = AgentOperation::from_wire(head.operation);
        let answered = match operation {
            None => Err(AgentFault::UnknownOperation),
            Some(AgentOperation::Hello) => self.hello(head, params),
            Some(_) if !self.is_greeted => Err(AgentFault::NotGreeted),
            Some(operation) => self.perform(operation, head, params),
        };
        match answered {
            Ok(Some(reply)) => self.send(&reply).await,
            Ok(None) => Ok(()),
            Err(fault) => {
                let operation = operation.map_or("unknown", AgentOperation::as_str);
                self.refuse(head.id, operation, &fault).await
            }
        }
    }

    fn hello(
        &mut self,
        head: RequestHead,
        params: Reader<'_>,
    ) -> Result<Option<Vec<u8>>, AgentFault> {
        let hello = Hello::decode_last(params)?;
        let version = hello
            .agreed_version()
            .ok_or(AgentFault::UnsupportedVersion)?;
        self.is_greeted = true;
        let len = |len: usize| u32::try_from(len).unwrap_or(u32::MAX);
        let welcome = Welcome {
            version,
            server: concat!("vhsmd ", env!("CARGO_PKG_VERSION")),
            max_packet: len(MAX_PACKET_LEN),
            max_inline: len(MAX_INLINE_LEN),
            features: vec![
                TEE_KEYS_FEATURE,
                AUDIT_HEAD_FEATURE,
                ROUND_CAUSE_FEATURE,
                PLAINTEXT_FEATURE,
            ],
        };
        Ok(Some(reply(head.id, &welcome)))
    }

    /// Does what is asked; `None` where the answer comes later.
    fn perform(
        &mut self,
        operation: AgentOperation,
        head: RequestHead,
        params: Reader<'_>,
    ) -> Result<Option<Vec<u8>>, AgentFault> {
        let now = Daemon::now();
        let vault = &self.daemon.vault;
        match operation {
            AgentOperation::NextRound => {
                let asked = NextRound::decode_last(params)?;
                if self.next_round.is_some() {
                    return Err(AgentFault::AskedTwice);
                }
                self.next_round = Some((head.id, asked));
                return Ok(None);
            }
            AgentOperation::Challenge => {
                let challenge = Challenge::decode_last(params)?;
                if challenge.hash.is_some_and(|hash| hash != "sha384") {
                    return Err(AgentFault::OtherHash);
                }
                if self.evidence_under_way >= MAX_EVIDENCE {
                    return Err(AgentFault::TooManyChallenges);
                }
                let round = RoundId(challenge.round);
                let wanted = vault.challenge(&round, challenge.nonce, &challenge.tee_keys, now)?;
                self.daemon.watch.challenged(&round, wanted.form());
                self.evidence_under_way += 1;
                self.make_evidence(head.id, round, wanted, challenge.wants_audit_head);
                return Ok(None);
            }
            AgentOperation::Result => {
                let result = AttestationResult::decode_last(params)?;
                vault.accept_result(&RoundId(result.round), result.token, now)?;
            }
            AgentOperation::Resource => {
                let resource = Resource::decode_last(params)?;
                let round = RoundId(resource.round);
                let draw = &mut SystemDraw;
                // A list changes who is believed, and has its entry as a policy has.
                let reserved = self.daemon.watch.before_order()?;
                let (path, jwe) = (resource.resource, resource.jwe);
                if let Some(list) = vault.accept_resource(&round, path, jwe, now, draw)? {
                    self.daemon.watch.list_taken(&list, reserved);
                }
            }
            AgentOperation::Plaintext => {
                let read = PlaintextResource::decode_last(params)?;
                let round = RoundId(read.round);
                let told = Told {
                    version: read.version,
                    lease_secs: read.lease_secs,
                };
                let draw = &mut SystemDraw;
                let material = (read.material, told);
                vault.accept_plaintext(&round, read.resource, material, now, draw)?;
            }
            AgentOperation::Failure => {
                let failure = Failure::decode_last(params)?;
                let round = RoundId(failure.round);
                let Failure {
                    resource,
                    class,
                    reason,
                    retry_after_ms,
                    ..
                } = failure;
                self.daemon.log_of_agent(&Event::CourierFailed {
                    round: &round,
                    resource,
                    class,
                    reason,
                });
                vault.record_failure(&round, resource, class, retry_after_ms, now)?;
            }
            AgentOperation::Finish => {
                let round = RoundId(Finish::decode_last(params)?.round);
                if !vault.is_under_way(&round) {
                    return Err(RoundError::UnknownRound.into());
                }
                self.daemon.waiting.settle(|| vault.finish(&round, now));
            }
            AgentOperation::Hello => return Err(AgentFault::UnknownOperation),
        }
        Ok(Some(reply(head.id, &Empty)))
    }

    /// Has nitride-quote make evidence, which may take a while, on a thread of its own.
    fn make_evidence(&self, id: u32, round: RoundId, wanted: EvidenceWanted, wants_head: bool) {
        let answer = self.evidence.clone();
        let from = self.daemon.config.evidence.clone();
        let daemon = Arc::clone(&self.daemon);
        tokio::spawn(async move {
            // Kept until the thread that asks has ended, whether or not the agent stays.
            let _seat = tokio::select! {
                seat = daemon.evidence_seats.acquire() => seat,
                () = answer.closed() => return,
            };
            let tee_pubkey_jwk = wanted.tee_pubkey_jwk.clone();
            let made = match from {
                None => Err(NoEvidence::NotConfigured),
                Some(from) => {
                    let daemon = Arc::clone(&daemon);
                    let ask = move || {
                        let audit = &daemon.watch.audit;
                        let head = wants_head.then(|| audit.witnessed_head()).flatten();
                        let bound =
                            |additional: &str| wanted.report_data(additional, head.as_ref());
                        let made = evidence::ask_with_devices(&from, &wanted.device_data(), bound);
                        made.map(|made| (made, head))
                    };
                    tokio::task::spawn_blocking(ask)
                        .await
                        .unwrap_or(Err(NoEvidence::ThreadDied))
                }
            };
            let made = Made {
                id,
                round,
                tee_pubkey_jwk,
                made,
            };
            // The agent may have gone meanwhile, and its rounds with it.
            let _ = answer.send(made).await;
        });
    }

    async fn answer_challenge(&mut self, made: Made) -> Result<(), Ended> {
        self.evidence_under_way = self.evidence_under_way.saturating_sub(1);
        let init_data = self.daemon.init_data.as_deref();
        let packet = made.made.and_then(|(evidence, head)| {
            let evidence = Evidence {
                tee_pubkey: &made.tee_pubkey_jwk,
                primary_evidence: &evidence.primary,
                additional_evidence: &evidence.additional,
                init_data,
                audit_head: head.as_ref().map(|head| Head {
                    sequence: head.sequence,
                    digest: &head.digest,
                }),
            };
            // Each part fits, and all of them need not.
            whole(made.id, &evidence).ok_or(NoEvidence::TooLarge {
                primary_len: evidence.primary_evidence.len(),
                additional_len: evidence.additional_evidence.len(),
                init_data_len: init_data.map_or(0, str::len),
            })
        });
        match packet {
            Ok(packet) => self.send(&packet).await,
            Err(error) => {
                Event::NoEvidence {
                    round: &made.round,
                    error: &error,
                }
                .emit();
                let vault = &self.daemon.vault;
                let failure = RoundFailure::EvidenceUnavailable;
                self.daemon
                    .waiting
                    .settle(|| vault.fail_round(&made.round, failure, Daemon::now()));
                self.send(&refusal(made.id, Status::EvidenceUnavailable))
                    .await
            }
        }
    }

    /// Answers the `next-round` that waits, if there is work. What is read is sent after its order alone, so
    /// that the inbox is ready for it from then on.
    async fn hand_out_order(&mut self, inbox: &mut Inbox) -> Result<(), Ended> {
        let Some((id, asked)) = self.next_round else {
            return Ok(());
        };
        // Without an entry nothing is fetched, and who waits for it is told at its deadline.
        let Ok(reserved) = self.daemon.watch.before_order() else {
            return Ok(());
        };
        let vault = &self.daemon.vault;
        let order = loop {
            let mut order = None;
            // What is there already settles while the order is put together, and is handed out after.
            self.daemon.waiting.settle(|| {
                let now = Daemon::now();
                order = vault.next_order(now);
                vault.expire(now)
            });
            let Some(order) = order else {
                return Ok(());
            };
            if inbox.make_ready(order.in_clear).is_ok() {
                break order;
            }
            // No other round is worse for it. Each that ends so waits for its next try.
            let text = "the arena has no room for what the agent reads: give [arena] heap more";
            self.daemon.log_of_agent(&Event::Warning { text });
            let failure = RoundFailure::ResourceRefused(ResourceFault::ArenaFull);
            let fail = || vault.fail_round(&order.round, failure, Daemon::now());
            self.daemon.waiting.settle(fail);
        };
        Event::Ordered { order: &order }.emit();
        self.daemon.watch.ordered(&order, reserved);
        self.next_round = None;
        let tee = self.daemon.config.evidence.as_ref();
        let packet = reply(
            id,
            &RoundOrder {
                round: order.round.0,
                service: &order.service,
                tee: tee.map_or("none", |from| &from.tee),
                resources: order.resources.iter().map(|path| path.as_str()).collect(),
                result_wanted: order.result_wanted,
                budget_ms: order.budget_ms,
                cause: asked.also_cause.then_some(order.cause),
                plaintext: asked.takes_plaintext && order.in_clear,
            },
        );
        self.send(&packet).await
    }

    async fn refuse(&self, id: u32, operation: &str, fault: &AgentFault) -> Result<(), Ended> {
        let error: &dyn Error = fault;
        self.daemon
            .log_of_agent(&Event::RoundRefused { operation, error });
        self.send(&refusal(id, fault.status())).await
    }

    async fn send(&self, packet: &[u8]) -> Result<(), Ended> {
        match tokio::time::timeout(WRITE_TIMEOUT, self.socket.send(packet)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(Ended),
        }
    }
}

/// A whole reply, if it fits a packet.
fn whole<'a, M: Message<'a>>(id: u32, result: &M) -> Option<Vec<u8>> {
    let mut packet = vec![0; MAX_PACKET_LEN];
    let len = write_reply(&mut packet, id, Status::Ok, result).ok()?;
    packet.truncate(len);
    Some(packet)
}

/// A whole reply; [`Status::Internal`] for one that does not fit a packet.
fn reply<'a, M: Message<'a>>(id: u32, result: &M) -> Vec<u8> {
    whole(id, result).unwrap_or_else(|| refusal(id, Status::Internal))
}

fn refusal(id: u32, status: Status) -> Vec<u8> {
    let mut packet = vec![0; 64];
    // A refusal always fits; were it not so, an empty packet would end the connection.
    let len = write_refusal(&mut packet, id, status).unwrap_or(0);
    packet.truncate(len);
    packet
}
