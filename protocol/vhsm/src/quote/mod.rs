//! The quote socket: nitride-quote listens, and vhsmd alone connects.

pub mod counter;
pub mod evidence;
pub mod forget;
pub mod measure_release;
pub mod phase;
pub mod phase_end;
pub mod platform_key;

use std::fmt;

pub use counter::{CounterReply, CounterRequest};
pub use evidence::{EvidenceReply, EvidenceRequest};
pub use forget::ForgetRequest;
pub use measure_release::{MeasureReleaseReply, MeasureReleaseRequest};
pub use phase::{PhaseReply, PhaseRequest};
pub use phase_end::{PhaseEndReply, PhaseEndRequest};
pub use platform_key::{PlatformKeyReply, PlatformKeyRequest};

/// An operation of the quote socket, under its number on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u16)]
pub enum QuoteOperation {
    /// Ask for evidence over report data.
    Evidence = 1,
    /// Ask for the platform's part of the sealing key.
    PlatformKey = 2,
    /// Read or step the platform's counter.
    Counter = 3,
    /// Remove the platform's counter.
    Forget = 4,
    /// Measure a phase of the boot.
    Phase = 5,
    /// Measure the end of a phase.
    PhaseEnd = 6,
    /// Measure that a key's secret is given away.
    MeasureRelease = 7,
}

impl QuoteOperation {
    /// Every operation.
    pub const ALL: [Self; 7] = [
        Self::Evidence,
        Self::PlatformKey,
        Self::Counter,
        Self::Forget,
        Self::Phase,
        Self::PhaseEnd,
        Self::MeasureRelease,
    ];

    /// The operation's verb.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Evidence => "evidence",
            Self::PlatformKey => "platform-key",
            Self::Counter => "counter",
            Self::Forget => "forget",
            Self::Phase => "phase",
            Self::PhaseEnd => "phase-end",
            Self::MeasureRelease => "measure-release",
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
