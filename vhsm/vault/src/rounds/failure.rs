use super::ResourceFault;
use crate::gate::GateFault;
use nitride_protocol::Status;
use nitride_protocol::agent::FailureClass;
use nitride_protocol::limits::MAX_NONCE_LEN;
use thiserror::Error;

/// Why a want was not served. Those who waited get [`RoundFailure::status`], the log gets this.
///
/// The first five repeat what the courier said, who can lie: they end a wait and begin a back-off,
/// and nothing else is concluded from them.
#[derive(Debug, Clone, Error)]
#[non_exhaustive]
pub enum RoundFailure {
    /// The service or its verifier says no.
    #[error("the provisioning service denied the machine")]
    DeniedByVerifier,
    /// The service has no such resource.
    #[error("the provisioning service has no such resource")]
    NotFound,
    /// No service answered.
    #[error("the provisioning service was not reached")]
    ServiceUnreachable,
    /// The service answered against its own protocol.
    #[error("the provisioning service answered against its protocol")]
    ServiceMisbehaves,
    /// The round was finished without what it was for, and without a reason.
    #[error("the round was finished without a delivery or a reason")]
    NotDelivered,
    /// The round's budget is spent.
    #[error("the round took longer than its budget")]
    TimedOut,
    /// The agent went away.
    #[error("the agent is absent")]
    AgentAbsent,
    /// The vault stops.
    #[error("the vault is shutting down")]
    ShuttingDown,
    /// The TEE gave no evidence.
    #[error("no evidence could be had for the round")]
    EvidenceUnavailable,
    /// The service does not offer the form of TEE key that the policy wants of it, or the courier
    /// keeps its offer back.
    #[error("the service offers no form of tee key that the policy allows for it")]
    TeeKeyNotOffered,
    /// The policy no longer wants it, or wants it otherwise.
    #[error("the policy changed while the round was under way")]
    PolicyChanged,
    /// The resource came, and the vault refused it.
    #[error("the delivered resource was refused")]
    ResourceRefused(#[source] ResourceFault),
    /// The courier brought it in the clear, from a service that is to encrypt it to the vault.
    #[error("the agent brought it in the clear, which the policy does not allow for its service")]
    PlaintextRefused,
    /// The attestation result came, and does not open the gate.
    #[error("the attestation result does not open the gate")]
    GateRefused(#[source] GateFault),
}

impl RoundFailure {
    /// What those who waited learn.
    pub fn status(&self) -> Status {
        match self {
            Self::DeniedByVerifier => Status::DeniedByVerifier,
            Self::ServiceUnreachable | Self::ServiceMisbehaves | Self::NotDelivered => {
                Status::ServiceUnreachable
            }
            Self::TimedOut => Status::TimedOut,
            Self::AgentAbsent => Status::AgentAbsent,
            Self::ShuttingDown => Status::ShuttingDown,
            Self::EvidenceUnavailable => Status::EvidenceUnavailable,
            Self::ResourceRefused(ResourceFault::ArenaFull) => Status::ArenaFull,
            Self::NotFound
            | Self::PolicyChanged
            | Self::TeeKeyNotOffered
            | Self::PlaintextRefused
            | Self::ResourceRefused(_) => Status::ResourceRefused,
            Self::GateRefused(fault) if fault.is_a_verdict() => Status::DeniedByVerifier,
            Self::GateRefused(_) => Status::ResourceRefused,
        }
    }

    /// Whether to wait before the next try. What ended only because we did is tried at once.
    pub(super) fn backs_off(&self) -> bool {
        !matches!(
            self,
            Self::AgentAbsent | Self::ShuttingDown | Self::PolicyChanged
        )
    }
}

impl RoundFailure {
    /// Whether no service has spoken, as far as the courier says: another one may be asked. One that
    /// denies the machine, or that has no such resource, has; a second opinion would make every
    /// revocation as strong as the service that hears of it last.
    pub(super) fn is_no_answer(&self) -> bool {
        matches!(
            self,
            Self::ServiceUnreachable
                | Self::ServiceMisbehaves
                | Self::NotDelivered
                | Self::TimedOut
        )
    }
}

impl From<FailureClass> for RoundFailure {
    fn from(class: FailureClass) -> Self {
        match class {
            FailureClass::Unreachable => Self::ServiceUnreachable,
            FailureClass::Refused => Self::DeniedByVerifier,
            FailureClass::NotFound => Self::NotFound,
            FailureClass::Protocol => Self::ServiceMisbehaves,
            FailureClass::TimedOut => Self::TimedOut,
        }
    }
}

/// Why no round was begun or joined.
#[derive(Debug, Clone, Error)]
pub enum WantRefused {
    /// The last round for it failed; the next may begin later.
    #[error("the last round for it failed, and the next one waits")]
    BackOff {
        /// From this CLOCK_BOOTTIME in milliseconds on.
        until_boot_ms: u64,
        /// How the last one failed.
        #[source]
        last: RoundFailure,
    },
    /// No service brings it: the policy has changed, or never said so.
    #[error("no service is configured to bring it")]
    NoService,
}

impl WantRefused {
    /// What whoever wanted it learns.
    pub fn status(&self) -> Status {
        match self {
            Self::BackOff { last, .. } => last.status(),
            Self::NoService => Status::KeyNotFound,
        }
    }
}

/// Why the vault did not take what the courier brought. Nothing was changed, but that a delivery
/// that was judged counts as the one delivery of its resource.
#[derive(Debug, Clone, Error)]
#[non_exhaustive]
pub enum RoundError {
    /// No such round, or it has ended.
    #[error("no such round is under way")]
    UnknownRound,
    /// The round's budget is spent.
    #[error("the round's budget is spent")]
    Expired,
    /// A round has one challenge, since it has one key.
    #[error("the round has been challenged already")]
    AlreadyChallenged,
    /// Nothing can be judged before the round has a key.
    #[error("the round has not been challenged yet")]
    NotChallenged,
    /// The nonce is empty.
    #[error("the nonce is empty")]
    EmptyNonce,
    /// The nonce is longer than any service's.
    #[error("the nonce has {len} bytes, more than {MAX_NONCE_LEN}")]
    NonceTooLong {
        /// Bytes found.
        len: usize,
    },
    /// The TEE key could not be made.
    #[error("the key of the round cannot be made")]
    KeyNotMade(#[source] nitride_secmem::crypto::CryptoError),
    /// The service does not offer what the policy wants.
    #[error(
        "the service offers no form of tee key that the policy allows for it; \
         tee-key of its [[service]] in vhsmd.toml says which"
    )]
    TeeKeyNotOffered,
    /// What is in the clear has no key, no evidence and no result.
    #[error("the round is in the clear: plaintext is all that is taken in it")]
    InClear,
    /// Something in the clear, of a service that does not say so.
    #[error(
        "nothing is taken in the clear from the round's service; \
         plaintext-courier of its [[service]] in vhsmd.toml would have to say so"
    )]
    NotInClear,
    /// The order does not name the resource.
    #[error("the resource is not in the round's order")]
    OutsideOrder,
    /// The resource, or the result, was delivered before.
    #[error("it was delivered before in this round")]
    DeliveredTwice,
    /// The order wants no attestation result.
    #[error("the round's order wants no attestation result")]
    ResultNotWanted,
    /// The resource was refused.
    #[error("the delivered resource is refused")]
    Resource(#[source] ResourceFault),
    /// The result was refused.
    #[error("the attestation result is refused")]
    Gate(#[source] GateFault),
}

impl RoundError {
    /// What the courier learns.
    pub fn status(&self) -> Status {
        match self {
            Self::UnknownRound => Status::RoundNotFound,
            Self::Expired => Status::TimedOut,
            Self::AlreadyChallenged
            | Self::NotChallenged
            | Self::InClear
            | Self::NotInClear
            | Self::OutsideOrder
            | Self::DeliveredTwice
            | Self::ResultNotWanted => Status::Denied,
            Self::EmptyNonce => Status::Malformed,
            Self::NonceTooLong { .. } => Status::TooLarge,
            Self::KeyNotMade(_) | Self::Resource(ResourceFault::ArenaFull) => Status::ArenaFull,
            Self::TeeKeyNotOffered | Self::Resource(_) | Self::Gate(_) => Status::ResourceRefused,
        }
    }
}
