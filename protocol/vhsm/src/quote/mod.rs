//! The quote socket: nitride-quote listens, and vhsmd alone connects.

pub mod evidence;

use std::fmt;

pub use evidence::{EvidenceReply, EvidenceRequest};

/// An operation of the quote socket, under its number on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u16)]
pub enum QuoteOperation {
    /// Ask for evidence over report data.
    Evidence = 1,
}

impl QuoteOperation {
    /// Every operation.
    pub const ALL: [Self; 1] = [Self::Evidence];

    /// The operation's verb.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Evidence => "evidence",
        }
    }

    /// The operation's number on the wire.
    pub const fn to_wire(self) -> u16 {
        self as u16
    }

    /// The operation with this number.
    pub fn from_wire(number: u16) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|operation| operation.to_wire() == number)
    }
}

impl fmt::Display for QuoteOperation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
