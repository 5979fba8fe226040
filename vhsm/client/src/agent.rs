use crate::channel::Channel;
use crate::{AuditHead, ClientError, Options, Server};
use nitride_ipc::Connection;
use nitride_protocol::agent as wire;
use nitride_protocol::agent::{FailureClass, RoundCause};
use nitride_protocol::limits::{MAX_REASON_LEN, ROUND_ID_LEN};
use nitride_protocol::{Call, Message};
use std::fmt;
use std::path::Path;
use std::time::Duration;

/// nitride-agent's side of the agent socket. Nothing on it is a secret but what
/// [`plaintext`](Self::plaintext) delivers.
///
/// Calls take `&self`: [`next_round`](Self::next_round) can be outstanding while the messages of
/// other rounds run. Each but that one ends within [`Options::grace`], which must leave vhsmd the
/// time to get evidence.
#[derive(Debug)]
pub struct AgentConnection {
    channel: Channel,
    server: Server,
    deadline: Duration,
}

/// A round that vhsmd wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoundOrder {
    /// The round's id.
    pub round: [u8; ROUND_ID_LEN],
    /// The service to go to.
    pub service: String,
    /// The TEE to announce in the service's protocol.
    pub tee: String,
    /// The resources to fetch, as `repository/type/tag`.
    pub resources: Vec<String>,
    /// Whether the attestation result must be delivered.
    pub result_wanted: bool,
    /// How long the round may take, in milliseconds.
    pub budget_ms: u32,
    /// Why there is a round, for people; an older vhsmd does not say.
    pub cause: Option<RoundCause>,
    /// Whether the agent is to read what it brings: no challenge, and each resource by
    /// [`AgentConnection::plaintext`].
    pub plaintext: bool,
}

/// A resource that the agent has read.
#[derive(Clone, Copy)]
pub struct PlaintextResource<'a> {
    /// Which version of the secret the service gave, from 1.
    pub version: u32,
    /// For how long the service says that it may be kept, in seconds.
    pub lease_secs: Option<u64>,
    /// The resource itself. What is made of it here is erased.
    pub material: &'a [u8],
}

impl fmt::Debug for PlaintextResource<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PlaintextResource")
            .field("version", &self.version)
            .field("lease_secs", &self.lease_secs)
            .finish_non_exhaustive()
    }
}

/// What the service needs to judge this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    /// The round's public key as JWK.
    pub tee_pubkey: String,
    /// Evidence of the CPU, as JSON.
    pub primary_evidence: String,
    /// Evidence of devices, as JSON; empty is none.
    pub additional_evidence: String,
    /// Initial data, as JSON.
    pub init_data: Option<String>,
    /// The head of the audit that the evidence binds.
    pub audit_head: Option<AuditHead>,
}

impl AgentConnection {
    /// Connects and says hello.
    ///
    /// # Errors
    /// [`ClientError::Connect`], or what refuses the hello.
    pub async fn connect(path: impl AsRef<Path>, options: Options) -> Result<Self, ClientError> {
        let (channel, server) = Channel::connect(path.as_ref(), &options).await?;
        Ok(Self {
            channel,
            server,
            deadline: options.deadline(),
        })
    }

    /// Says hello over a connection that is there already.
    ///
    /// # Errors
    /// What refuses the hello.
    pub async fn over(connection: Connection, options: Options) -> Result<Self, ClientError> {
        let (channel, server) = Channel::over(connection, &options).await?;
        Ok(Self {
            channel,
            server,
            deadline: options.deadline(),
        })
    }

    /// What vhsmd said of itself.
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// Waits, for as long as it takes, until a round is wanted.
    ///
    /// Do not drop the future and ask again, as a loop around `select!` would: an order that was
    /// on its way is lost then. Keep one future pinned, and replace it when it is done.
    ///
    /// # Errors
    /// [`ClientError::Closed`] when vhsmd goes.
    pub async fn next_round(&self) -> Result<RoundOrder, ClientError> {
        let own = |order: wire::RoundOrder<'_>| RoundOrder {
            round: order.round,
            service: order.service.to_owned(),
            tee: order.tee.to_owned(),
            resources: order
                .resources
                .iter()
                .map(|path| (*path).to_owned())
                .collect(),
            result_wanted: order.result_wanted,
            budget_ms: order.budget_ms,
            cause: order.cause,
            plaintext: order.plaintext,
        };
        let request = wire::NextRound {
            also_cause: self.server.knows(wire::ROUND_CAUSE_FEATURE),
            takes_plaintext: self.server.knows(wire::PLAINTEXT_FEATURE),
        };
        self.channel.call(&request, None, own).await
    }

    /// Hands over the service's nonce and takes evidence over it; once a round. `hash` is the hash
    /// that the service chose, `None` for `sha384`. `tee_keys` are the forms of TEE key that the
    /// service offers, and `wants_audit_head` says that it witnesses the audit; an older vhsmd is not
    /// told of what it does not know.
    ///
    /// # Errors
    /// Refused with `evidence-unavailable` where the TEE gives none, and with `round-not-found`
    /// once the round has ended or has had its challenge.
    pub async fn challenge(
        &self,
        round: [u8; ROUND_ID_LEN],
        nonce: &str,
        hash: Option<&str>,
        tee_keys: &[&str],
        wants_audit_head: bool,
    ) -> Result<Evidence, ClientError> {
        let request = wire::Challenge {
            round,
            nonce,
            hash,
            tee_keys: match self.server.knows(wire::TEE_KEYS_FEATURE) {
                true => tee_keys.to_vec(),
                false => Vec::new(),
            },
            wants_audit_head: wants_audit_head && self.server.knows(wire::AUDIT_HEAD_FEATURE),
        };
        let own = |evidence: wire::Evidence<'_>| Evidence {
            tee_pubkey: evidence.tee_pubkey.to_owned(),
            primary_evidence: evidence.primary_evidence.to_owned(),
            additional_evidence: evidence.additional_evidence.to_owned(),
            init_data: evidence.init_data.map(str::to_owned),
            audit_head: evidence.audit_head.map(AuditHead::from),
        };
        self.call(&request, own).await
    }

    /// Delivers the attestation result.
    ///
    /// # Errors
    /// Refused with `resource-refused` where vhsmd does not accept it.
    pub async fn result(&self, round: [u8; ROUND_ID_LEN], token: &str) -> Result<(), ClientError> {
        let request = wire::AttestationResult { round, token };
        self.call(&request, drop).await
    }

    /// Delivers one resource as the service sent it.
    ///
    /// # Errors
    /// Refused with `resource-refused` where vhsmd does not accept it.
    pub async fn resource(
        &self,
        round: [u8; ROUND_ID_LEN],
        resource: &str,
        jwe: &[u8],
    ) -> Result<(), ClientError> {
        let request = wire::Resource {
            round,
            resource,
            jwe,
        };
        self.call(&request, drop).await
    }

    /// Delivers one resource that the agent has read, in a round whose order says so.
    ///
    /// # Errors
    /// Refused with `denied` in every other round, and with `resource-refused` where vhsmd does not
    /// accept it.
    pub async fn plaintext(
        &self,
        round: [u8; ROUND_ID_LEN],
        resource: &str,
        read: PlaintextResource<'_>,
    ) -> Result<(), ClientError> {
        let request = wire::PlaintextResource {
            round,
            resource,
            version: read.version,
            lease_secs: read.lease_secs,
            material: read.material,
        };
        self.call(&request, drop).await
    }

    /// Says that a resource, or with `None` the whole round, cannot be had.
    ///
    /// `reason` may come from anywhere: control characters are replaced, and it is cut to what the
    /// protocol takes. `retry_after` zero is unsaid.
    ///
    /// # Errors
    /// Refused with `round-not-found` once the round has ended.
    pub async fn failure(
        &self,
        round: [u8; ROUND_ID_LEN],
        resource: Option<&str>,
        class: FailureClass,
        reason: &str,
        retry_after: Duration,
    ) -> Result<(), ClientError> {
        let reason = printable(reason);
        let request = wire::Failure {
            round,
            resource,
            class,
            reason: &reason,
            retry_after_ms: u32::try_from(retry_after.as_millis()).unwrap_or(u32::MAX),
        };
        self.call(&request, drop).await
    }

    /// Ends the round.
    ///
    /// # Errors
    /// Refused with `round-not-found` once the round has ended.
    pub async fn finish(&self, round: [u8; ROUND_ID_LEN]) -> Result<(), ClientError> {
        self.call(&wire::Finish { round }, drop).await
    }

    async fn call<'a, R, T>(
        &self,
        request: &R,
        own: impl for<'r> FnOnce(R::Reply<'r>) -> T,
    ) -> Result<T, ClientError>
    where
        R: Call + Message<'a>,
    {
        self.channel.call(request, Some(self.deadline), own).await
    }
}

/// The reason as a single line of at most [`MAX_REASON_LEN`] bytes.
fn printable(reason: &str) -> String {
    let mut line = String::with_capacity(reason.len().min(MAX_REASON_LEN));
    for c in reason.chars().map(|c| if c.is_control() { ' ' } else { c }) {
        if line.len() + c.len_utf8() > MAX_REASON_LEN {
            break;
        }
        line.push(c);
    }
    line
}
