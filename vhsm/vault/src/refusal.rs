use crate::Want;
use nitride_protocol::limits::MAX_VERSIONS_LEN;
use nitride_protocol::{DecodeError, EncodeError, KeyType, Operation, Status, refusal_of};
use nitride_secmem::ArenaFull;
use nitride_secmem::crypto::CryptoError;
use thiserror::Error;

/// Why a request was refused: for the log. The peer learns [`Refusal::status`], which says less.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The params are not those of the operation.
    #[error("params are not those of the operation")]
    Malformed(#[source] DecodeError),
    /// The client speaks no version that the vault speaks.
    #[error("client speaks no version of the protocol that the vault speaks")]
    UnsupportedVersion,
    /// No operation has this number.
    #[error("no operation has the number {number}")]
    UnknownOperation {
        /// As it came.
        number: u16,
    },
    /// The operation is not for this socket.
    #[error("{operation} is not for this socket")]
    WrongSocket {
        /// What was asked.
        operation: Operation,
    },
    /// The peer on the admin socket is no administrator.
    #[error("peer is no administrator")]
    NotAdmin,
    /// No rule grants the peer this.
    #[error("no rule grants the peer {operation} there")]
    NoRule {
        /// What was asked.
        operation: Operation,
    },
    /// The key's own policy, or what travels with the key, does not allow it.
    #[error("the key's own policy does not allow {operation}")]
    KeyForbids {
        /// What was asked.
        operation: Operation,
    },
    /// The key was made under a key rule, and there is none now.
    #[error("the key rule under which the key was made is gone")]
    RuleGone,
    /// The key rule speaks of a key of another type or from elsewhere than the one that is there.
    #[error("the key is not the one that its key rule speaks of")]
    RuleContradicts,
    /// Who signed or brought this version is nobody whom the key rule believes now, and no round
    /// could bring it again.
    #[error("nobody whom the key rule names vouches for this version any more")]
    NotVouchedFor,
    /// `release-to` does not name the peer.
    #[error("release-to does not name the peer")]
    NotReleasedToPeer,
    /// The key's rule has its release measured first, and it was not.
    #[error("the release has to be measured first, and was not: see the log of nitride-quote")]
    ReleaseNotMeasured,
    /// The key is for certain disks, and whoever asks for the volume says of none that it is on.
    #[error(
        "the key is for certain disks, and nothing was said of the volume's: nitride-unlock does"
    )]
    DiskNotStated,
    /// The key is for other disks.
    #[error("the key is for certain disks, and the volume's is none of them")]
    OtherDisk,
    /// No such key, and nothing says where it would come from.
    #[error("no key has this name")]
    KeyNotFound,
    /// The name is taken.
    #[error("a key has this name already")]
    KeyExists,
    /// The key has no such version.
    #[error("the key has no such version")]
    VersionNotFound,
    /// The key's policies do not name the wrapping key.
    #[error("the key's wrappable-by does not name the wrapping key")]
    NotWrappable,
    /// A copy would outlive the lease, or be used as often again.
    #[error("a key with a lease or with max-uses is not wrapped")]
    CountedKey,
    /// A wrapping key that neither a vault made nor a service provisioned.
    #[error("a wrapping key is generated or provisioned, and never imported or derived")]
    WrappingKeyNotOurs,
    /// A plaintext would come out of what has none to give.
    #[error("a secret is not derived, and does not come wrapped by another program")]
    SecretNotOurs,
    /// Only symmetric keys are derived.
    #[error("a key of type {key_type} is not derived")]
    NotDerived {
        /// The type.
        key_type: KeyType,
    },
    /// What was wrapped is a key of another type.
    #[error("the wrapped key is of type {key_type}")]
    WrappedOtherwise {
        /// The type that it has.
        key_type: KeyType,
    },
    /// The bytes are not of the format that `wrap` gives.
    #[error("the bytes are no wrapped key of this vault's format")]
    NotAWrappedKey,
    /// The peer's public key is not of the key's kind.
    #[error("the peer's public key is not of the kind of the key")]
    WrongPeerKey,
    /// Keys of this type cannot do this.
    #[error("a key of type {key_type} cannot {operation}")]
    WrongKeyType {
        /// The key's type.
        key_type: KeyType,
        /// What was asked.
        operation: Operation,
    },
    /// The scheme does not belong to the key's type.
    #[error("the scheme does not belong to the key's type")]
    WrongScheme,
    /// What is called a digest is none of the scheme's hash, or the scheme has none to begin with.
    #[error("what is signed is no digest of the scheme's hash")]
    WrongDigest,
    /// The format does not belong to the key's type.
    #[error("a key of type {key_type} does not come in this format")]
    WrongFormat {
        /// The key's type.
        key_type: KeyType,
    },
    /// A cipher whose nonces may not repeat, under a key that other machines may hold.
    #[error(
        "an {key_type} key that this vault did not generate does not encrypt: its nonces could \
         repeat; use aes-256-gcm or aes-256-gcm-siv"
    )]
    SharedKey {
        /// The key's type.
        key_type: KeyType,
    },
    /// A ciphertext without a header under a key that nobody else has.
    #[error("only imported and provisioned keys decrypt what has no header")]
    RawUnderOwnKey,
    /// The material is no key of this type.
    #[error("the material is no key of type {key_type}")]
    BadMaterial {
        /// The type.
        key_type: KeyType,
    },
    /// The key or the version is disabled.
    #[error("the key or its version is disabled")]
    KeyDisabled,
    /// The key or the version is destroyed.
    #[error("the key or its version is destroyed")]
    KeyDestroyed,
    /// After not-after, its lease has ended, or the wall clock is unknown.
    #[error("the key's time is over")]
    KeyExpired,
    /// Before not-before.
    #[error("the key's time has not begun")]
    NotYetValid,
    /// The key was used, or the version has protected messages, as often as it may.
    #[error("the key was used as often as it may be")]
    KeyExhausted,
    /// The peer has used the key as often as it may for now.
    #[error("the peer has used the key as often as it may for now")]
    RateLimited,
    /// The version is older than what is used now.
    #[error("versions of the key below {lowest} are not used any more")]
    BelowMinVersion {
        /// The lowest that is.
        lowest: u32,
    },
    /// The policy does not state the gate that travels with the key.
    #[error("the gate that travels with the key is not in the policy")]
    GateGone,
    /// As many versions as a key may have, none of them destroyed.
    #[error("the key has {MAX_VERSIONS_LEN} versions, and none is destroyed")]
    TooManyVersions,
    /// Only what this vault has drawn can it draw anew.
    #[error("only keys that were generated here are rotated here")]
    NotGeneratedHere,
    /// Somebody else's word on the key is narrower.
    #[error("the key's own policy can only be narrowed here")]
    WouldWiden,
    /// A signature, tag or ciphertext is not of this key.
    #[error("the signature, tag or ciphertext is not of this key")]
    VerificationFailed,
    /// The bytes are not of the ciphertext format.
    #[error("the ciphertext does not have this vault's format")]
    NotACiphertext,
    /// As many keys as there may be.
    #[error("there are as many keys as there may be")]
    TooManyKeys,
    /// As many keys as the user may have.
    #[error("the user has as many keys as it may have")]
    TooManyKeysOfUser,
    /// More was asked for than a reply carries.
    #[error("more was asked for than a reply carries")]
    TooLarge,
    /// No room in the locked memory.
    #[error("the locked arena has no room left")]
    ArenaFull,
    /// What room is left in the locked memory is not for keys that no key rule speaks of.
    #[error(
        "the rest of the locked arena is kept for keys that a key rule speaks of, for rounds and \
         for buffers"
    )]
    ArenaReserved,
    /// What the seal would bring is not here, so nothing of its own is made or changed.
    #[error("the key is sealed, and the seal is not open")]
    SealClosed,
    /// Nothing keeps the host from playing an older sealed file.
    #[error("the key is sealed without a counter: an older sealed file would take it back")]
    NotDurable,
    /// Something that should not happen; named for whoever reads the log.
    #[error("internal fault: {what}")]
    Internal {
        /// What.
        what: &'static str,
    },
}

impl Refusal {
    /// What the peer learns.
    pub fn status(self) -> Status {
        match self {
            Self::Malformed(error) => refusal_of(&error),
            Self::NotACiphertext | Self::NotAWrappedKey | Self::BadMaterial { .. } => {
                Status::Malformed
            }
            Self::UnsupportedVersion => Status::UnsupportedVersion,
            Self::UnknownOperation { .. } | Self::WrongSocket { .. } => Status::UnknownOperation,
            Self::NotAdmin
            | Self::NoRule { .. }
            | Self::KeyForbids { .. }
            | Self::RuleGone
            | Self::RuleContradicts
            | Self::NotVouchedFor
            | Self::GateGone
            | Self::NotGeneratedHere
            | Self::WouldWiden
            | Self::NotWrappable
            | Self::CountedKey
            | Self::WrappingKeyNotOurs
            | Self::SecretNotOurs
            | Self::NotReleasedToPeer
            | Self::DiskNotStated
            | Self::OtherDisk => Status::Denied,
            Self::ReleaseNotMeasured => Status::EvidenceUnavailable,
            Self::KeyNotFound => Status::KeyNotFound,
            Self::KeyExists => Status::KeyExists,
            Self::VersionNotFound => Status::VersionNotFound,
            Self::WrongKeyType { .. } | Self::SharedKey { .. } => Status::WrongKeyType,
            Self::WrongScheme
            | Self::NotDerived { .. }
            | Self::WrappedOtherwise { .. }
            | Self::WrongPeerKey
            | Self::WrongDigest
            | Self::WrongFormat { .. }
            | Self::RawUnderOwnKey => Status::WrongParameters,
            Self::KeyDisabled | Self::BelowMinVersion { .. } => Status::KeyDisabled,
            Self::KeyDestroyed => Status::KeyDestroyed,
            Self::KeyExpired => Status::KeyExpired,
            Self::NotYetValid => Status::NotYetValid,
            Self::KeyExhausted => Status::KeyExhausted,
            Self::RateLimited => Status::RateLimited,
            Self::VerificationFailed => Status::VerificationFailed,
            Self::TooManyKeys | Self::TooManyKeysOfUser | Self::TooManyVersions => {
                Status::QuotaExceeded
            }
            Self::TooLarge => Status::TooLarge,
            Self::ArenaFull | Self::ArenaReserved => Status::ArenaFull,
            Self::SealClosed => Status::SealUnavailable,
            Self::NotDurable => Status::NotDurable,
            Self::Internal { .. } => Status::Internal,
        }
    }
}

impl From<DecodeError> for Refusal {
    fn from(error: DecodeError) -> Self {
        Self::Malformed(error)
    }
}

/// Replies are bounded by the protocol's limits, so only a buffer below them can be too small.
impl From<EncodeError> for Refusal {
    fn from(EncodeError::BufferFull { .. }: EncodeError) -> Self {
        Self::TooLarge
    }
}

impl From<ArenaFull> for Refusal {
    fn from(ArenaFull: ArenaFull) -> Self {
        Self::ArenaFull
    }
}

/// For calls under a key that is already there; what is wrong with new material is named where it
/// comes in.
impl From<CryptoError> for Refusal {
    fn from(error: CryptoError) -> Self {
        match error {
            CryptoError::ArenaFull => Self::ArenaFull,
            CryptoError::NotAuthentic => Self::VerificationFailed,
            CryptoError::OutputTooShort => Self::TooLarge,
            CryptoError::NotInstalled => Self::Internal {
                what: "the arenas are not installed",
            },
            _ => Self::Internal {
                what: "the cryptographic library refused a call",
            },
        }
    }
}

/// Why a request was not performed now: for good, or until something is there.
#[derive(Debug)]
pub(crate) enum Stop {
    Refused(Refusal),
    Wanting(Want),
}

impl<E: Into<Refusal>> From<E> for Stop {
    fn from(error: E) -> Self {
        Self::Refused(error.into())
    }
}

impl From<Want> for Stop {
    fn from(want: Want) -> Self {
        Self::Wanting(want)
    }
}
