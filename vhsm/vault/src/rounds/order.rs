use super::RoundFailure;
use crate::Want;
use nitride_kbs::resource::ResourcePath;
use std::fmt;

/// Names a round. It is drawn by the vault; who knows it can only bring what the round asks for.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct RoundId(pub [u8; 16]);

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
}

/// What evidence is to be made over; the vault computed it, so nobody else chooses what is bound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EvidenceWanted {
    /// What the evidence helper is asked for.
    pub report_data: [u8; 48],
    /// The round's public key as JWK, for the service.
    pub tee_pubkey_jwk: String,
}

/// A want whose round has ended.
#[derive(Debug, Clone)]
pub struct Settled {
    /// What was wanted.
    pub want: Want,
    /// `Ok`: the key is committed, or the gate approved; perform what waits for it again.
    pub outcome: Result<(), RoundFailure>,
}
