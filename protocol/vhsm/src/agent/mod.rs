//! The agent socket: vhsmd listens, nitride-agent connects and only asks.
//!
//! ```text
//! hello                      once
//! next-round                 held back until a round is wanted; may be outstanding beside the rest
//!   challenge                the service's nonce in, evidence out; once a round
//!   result, resource ...     what the service gave, still sealed
//!   plaintext ...            what it gave in the clear, in a round of which the order says so: then
//!                            there is no challenge, no result and no resource
//!   failure ...              what it did not give
//!   finish                   the round is over
//! ```
//!
//! Nothing here is a secret but what is in `plaintext`, and nothing the agent says is believed before
//! vhsmd has checked it.

pub mod challenge;
pub mod failure;
pub mod finish;
pub mod next_round;
pub mod plaintext;
pub mod resource;
pub mod result;

use std::fmt;

pub use crate::application::hello::{Hello, Welcome};
pub use challenge::{AUDIT_HEAD_FEATURE, Challenge, Evidence, TEE_KEYS_FEATURE};
pub use failure::{Failure, FailureClass};
pub use finish::Finish;
pub use next_round::{NextRound, PLAINTEXT_FEATURE, ROUND_CAUSE_FEATURE, RoundCause, RoundOrder};
pub use plaintext::PlaintextResource;
pub use resource::Resource;
pub use result::AttestationResult;

/// An operation of the agent socket, under its number on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u16)]
pub enum AgentOperation {
    /// Agree on a version; the same message as on the application socket.
    Hello = 0,
    /// Ask for work.
    NextRound = 1,
    /// Hand over the service's nonce and take evidence.
    Challenge = 2,
    /// Deliver the attestation result.
    Result = 3,
    /// Deliver a resource.
    Resource = 4,
    /// Say that something cannot be had.
    Failure = 5,
    /// End the round.
    Finish = 6,
    /// Deliver a resource that the agent has read.
    Plaintext = 7,
}

impl AgentOperation {
    /// Every operation, at the index of its number.
    pub const ALL: [Self; 8] = [
        Self::Hello,
        Self::NextRound,
        Self::Challenge,
        Self::Result,
        Self::Resource,
        Self::Failure,
        Self::Finish,
        Self::Plaintext,
    ];

    /// The operation's verb.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hello => "hello",
            Self::NextRound => "next-round",
            Self::Challenge => "challenge",
            Self::Result => "result",
            Self::Resource => "resource",
            Self::Failure => "failure",
            Self::Finish => "finish",
            Self::Plaintext => "plaintext",
        }
    }

    /// The operation's number on the wire.
    pub const fn to_wire(self) -> u16 {
        self as u16
    }

    /// The operation with this number.
    pub fn from_wire(number: u16) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }
}

impl fmt::Display for AgentOperation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
