//! How a request ended.

use std::fmt;

/// How a request ended. It says what a caller can act on, and less than the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[repr(u16)]
pub enum Status {
    /// Done; the result follows.
    Ok = 0,
    /// The packet is not a request of this protocol.
    Malformed = 1,
    /// No version that the caller speaks is spoken here.
    UnsupportedVersion = 2,
    /// The operation does not exist on this socket.
    UnknownOperation = 3,
    /// The data is longer than a request may carry.
    TooLarge = 4,
    /// No rule allows it, or the key's own policy forbids it.
    Denied = 5,
    /// There is no such key.
    KeyNotFound = 6,
    /// There is such a key already.
    KeyExists = 7,
    /// A key of this type cannot do this.
    WrongKeyType = 8,
    /// The key or the version is disabled.
    KeyDisabled = 9,
    /// The key or the version is destroyed.
    KeyDestroyed = 10,
    /// The key's time is over, or its lease has ended.
    KeyExpired = 11,
    /// The version has been used as often as it may.
    KeyExhausted = 12,
    /// The signature, code or ciphertext is not genuine.
    VerificationFailed = 13,
    /// The caller has as many keys, connections or waiting requests as it may.
    QuotaExceeded = 14,
    /// The vault's locked memory is full.
    ArenaFull = 15,
    /// The provisioning service does not trust this machine for what was asked.
    DeniedByVerifier = 16,
    /// No provisioning service could be reached.
    ServiceUnreachable = 17,
    /// The request's own deadline passed first.
    TimedOut = 18,
    /// No agent is connected, so nothing can be fetched.
    AgentAbsent = 19,
    /// vhsmd is stopping.
    ShuttingDown = 20,
    /// The TEE gave no evidence.
    EvidenceUnavailable = 21,
    /// The service has no such resource, or the vault refused what was delivered.
    ResourceRefused = 22,
    /// There is no such round, or it has ended.
    RoundNotFound = 23,
    /// A fault of vhsmd itself; its log says which.
    Internal = 24,
    /// The key has no such version.
    VersionNotFound = 25,
    /// The key has been used as often as it may for now.
    RateLimited = 26,
    /// The key's time has not begun.
    NotYetValid = 27,
    /// The audit cannot be written, and nothing is done without it.
    AuditUnavailable = 28,
    /// The scheme, the peer's key, the label or the format does not fit the key's type.
    WrongParameters = 29,
    /// There is no such buffer on this connection, or no memory came with the packet.
    BufferNotFound = 30,
    /// The policy is not one.
    PolicyInvalid = 31,
    /// What is sealed is not here, or a change of it could not be sealed.
    SealUnavailable = 32,
    /// An older sealed file would take it back: without a counter it is not promised.
    NotDurable = 33,
    /// The sealing platform is not there, is another, or does not work.
    PlatformAbsent = 34,
    /// The machine is not in the state that its secret was sealed in.
    PlatformChanged = 35,
    /// The sealing platform did not make what it was given.
    PlatformForeign = 36,
    /// The platform has no counter any more, or has one that counts something else.
    CounterLost = 37,
}

impl Status {
    /// Every status, at the index of its number.
    pub const ALL: [Self; 38] = [
        Self::Ok,
        Self::Malformed,
        Self::UnsupportedVersion,
        Self::UnknownOperation,
        Self::TooLarge,
        Self::Denied,
        Self::KeyNotFound,
        Self::KeyExists,
        Self::WrongKeyType,
        Self::KeyDisabled,
        Self::KeyDestroyed,
        Self::KeyExpired,
        Self::KeyExhausted,
        Self::VerificationFailed,
        Self::QuotaExceeded,
        Self::ArenaFull,
        Self::DeniedByVerifier,
        Self::ServiceUnreachable,
        Self::TimedOut,
        Self::AgentAbsent,
        Self::ShuttingDown,
        Self::EvidenceUnavailable,
        Self::ResourceRefused,
        Self::RoundNotFound,
        Self::Internal,
        Self::VersionNotFound,
        Self::RateLimited,
        Self::NotYetValid,
        Self::AuditUnavailable,
        Self::WrongParameters,
        Self::BufferNotFound,
        Self::PolicyInvalid,
        Self::SealUnavailable,
        Self::NotDurable,
        Self::PlatformAbsent,
        Self::PlatformChanged,
        Self::PlatformForeign,
        Self::CounterLost,
    ];

    /// The status's word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Malformed => "malformed",
            Self::UnsupportedVersion => "unsupported-version",
            Self::UnknownOperation => "unknown-operation",
            Self::TooLarge => "too-large",
            Self::Denied => "denied",
            Self::KeyNotFound => "key-not-found",
            Self::KeyExists => "key-exists",
            Self::WrongKeyType => "wrong-key-type",
            Self::KeyDisabled => "key-disabled",
            Self::KeyDestroyed => "key-destroyed",
            Self::KeyExpired => "key-expired",
            Self::KeyExhausted => "key-exhausted",
            Self::VerificationFailed => "verification-failed",
            Self::QuotaExceeded => "quota-exceeded",
            Self::ArenaFull => "arena-full",
            Self::DeniedByVerifier => "denied-by-verifier",
            Self::ServiceUnreachable => "service-unreachable",
            Self::TimedOut => "timed-out",
            Self::AgentAbsent => "agent-absent",
            Self::ShuttingDown => "shutting-down",
            Self::EvidenceUnavailable => "evidence-unavailable",
            Self::ResourceRefused => "resource-refused",
            Self::RoundNotFound => "round-not-found",
            Self::Internal => "internal",
            Self::VersionNotFound => "version-not-found",
            Self::RateLimited => "rate-limited",
            Self::NotYetValid => "not-yet-valid",
            Self::AuditUnavailable => "audit-unavailable",
            Self::WrongParameters => "wrong-parameters",
            Self::BufferNotFound => "buffer-not-found",
            Self::PolicyInvalid => "policy-invalid",
            Self::SealUnavailable => "seal-unavailable",
            Self::NotDurable => "not-durable",
            Self::PlatformAbsent => "platform-absent",
            Self::PlatformChanged => "platform-changed",
            Self::PlatformForeign => "platform-foreign",
            Self::CounterLost => "counter-lost",
        }
    }

    /// The status's number on the wire.
    pub const fn to_wire(self) -> u16 {
        self as u16
    }

    /// The status with this number.
    pub fn from_wire(number: u16) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_stands_at_its_number() {
        for (number, status) in (0..).zip(Status::ALL) {
            assert_eq!(status.to_wire(), number);
            assert_eq!(Status::from_wire(number), Some(status));
        }
        assert_eq!(Status::from_wire(38), None);
    }
}
