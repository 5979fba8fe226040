use super::RoundFailure;
use crate::Want;
use nitride_kbs::audit_head::AuditHead;
use nitride_kbs::report_data::{device_report_data, report_data_with_head};
use nitride_kbs::resource::ResourcePath;
use nitride_kbs::tee_key::{TeeKeyForm, TeePublicKey};
use nitride_protocol::agent::RoundCause;
use std::fmt;

/// Names a round. It is drawn by the vault; who knows it can only bring what the round asks for.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct RoundId(pub [u8; 16]);

impl RoundId {
    /// The one that goes on elsewhere with what this one did not bring: the next number, so that a
    /// log shows them together.
    pub(super) fn following(self) -> Self {
        Self(u128::from_be_bytes(self.0).wrapping_add(1).to_be_bytes())
    }
}

impl fmt::Display for RoundId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for RoundId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What the courier is asked to bring.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// The round.
    pub round: RoundId,
    /// From which service.
    pub service: String,
    /// Resources, each once, at most
    /// [`MAX_RESOURCES_PER_ROUND`](nitride_protocol::limits::MAX_RESOURCES_PER_ROUND).
    pub resources: Vec<ResourcePath>,
    /// Whether the attestation result itself is wanted, for a gate.
    pub result_wanted: bool,
    /// For how long the courier may try, in milliseconds from now.
    pub budget_ms: u32,
    /// Why there is a round, for people.
    pub cause: RoundCause,
    /// Whether the agent reads what it brings: the service is one in the clear.
    pub in_clear: bool,
}

/// What evidence is to be made over; the vault computes it, so nobody else chooses what is bound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EvidenceWanted {
    pub(super) nonce: Box<str>,
    pub(super) public: TeePublicKey,
    /// The round's public key as JWK, for the service.
    pub tee_pubkey_jwk: String,
}

impl EvidenceWanted {
    /// Which form the round's key has.
    #[must_use]
    pub fn form(&self) -> TeeKeyForm {
        self.public.form()
    }

    /// What the evidence helper is asked for of the machine. `additional_evidence` is that of devices
    /// beside it, `""` where there are none: it is bound by the machine's, and so is the head of the
    /// audit where the service witnesses it.
    #[must_use]
    pub fn report_data(
        &self,
        additional_evidence: &str,
        audit_head: Option<&AuditHead>,
    ) -> [u8; 48] {
        report_data_with_head(&self.nonce, &self.public, additional_evidence, audit_head)
    }

    /// What it is asked for of each device.
    #[must_use]
    pub fn device_data(&self) -> [u8; 48] {
        device_report_data(&self.nonce, &self.public)
    }
}

/// A want whose round has ended.
#[derive(Debug, Clone)]
pub struct Settled {
    /// What was wanted.
    pub want: Want,
    /// `Ok`: the key is committed, or the gate approved; perform what waits for it again.
    pub outcome: Result<(), RoundFailure>,
    /// Whether it came, and the agent has read it.
    pub in_clear: bool,
}
