use crate::Refusal;
use nitride_protocol::{DecodeError, EncodeError, KeyNameBuf, Status, refusal_of};
use nitride_secmem::ArenaFull;
use nitride_secmem::crypto::CryptoError;
use thiserror::Error;

/// Why a backup is not made, or one is not restored. Nothing has changed then.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum BackupFault {
    /// The configuration pins no such recipient.
    #[error("the configuration has no backup recipient {name:?}")]
    NoRecipient {
        /// Who was asked for.
        name: String,
    },
    /// The cursor is not the one that this connection was given last.
    #[error("the backup goes on elsewhere, or was begun on another connection")]
    WrongCursor,
    /// One key alone is longer than a part may be.
    #[error("key {name} is longer than a part of a backup")]
    KeyTooLong {
        /// Which.
        name: KeyNameBuf,
    },
    /// Bytes that no vault writes.
    #[error("it is no part of a backup")]
    Malformed(#[from] DecodeError),
    /// Of an older or a later vault.
    #[error("the backup's format is {format}, and this vault reads 1")]
    UnknownFormat {
        /// As it stands there.
        format: u64,
    },
    /// It is sealed to a key that the configuration does not pin.
    #[error("the backup is for a recipient that the configuration does not pin")]
    OtherRecipient,
    /// The configuration names no key of this vault that opens it.
    #[error("recipient {name} has no key here that opens its backups")]
    NoKeyHere {
        /// The recipient.
        name: String,
    },
    /// The key that the configuration names is not the recipient's, or may not be used for this.
    #[error(
        "key {key} does not open backups: it is not the recipient's, is not enabled, may not agree, or is bound to a gate, a time, a lease or a number of uses"
    )]
    UnfitKey {
        /// Which.
        key: KeyNameBuf,
    },
    /// It was changed, or was not made for this key.
    #[error("the backup is not genuine")]
    NotGenuine,
    /// A part is missing, comes twice, or is of another backup.
    #[error("the parts of the backup do not follow one another")]
    OutOfOrder,
    /// More than is held at a time.
    #[error("the backup is longer than what is restored at once")]
    TooLong,
    /// A key of it cannot come back, so none does.
    #[error("key {name} is not restored, and so none is: {refusal}")]
    Key {
        /// Which.
        name: KeyNameBuf,
        /// Why.
        refusal: Refusal,
    },
    /// The vault cannot.
    #[error(transparent)]
    Vault(#[from] Refusal),
}

impl BackupFault {
    /// What the administrator learns.
    #[must_use]
    pub fn status(&self) -> Status {
        match self {
            Self::NoRecipient { .. } | Self::NoKeyHere { .. } => Status::KeyNotFound,
            Self::WrongCursor | Self::OutOfOrder => Status::Malformed,
            Self::KeyTooLong { .. } | Self::TooLong => Status::TooLarge,
            Self::Malformed(error) => refusal_of(error),
            Self::UnknownFormat { .. } => Status::UnsupportedVersion,
            Self::OtherRecipient => Status::Denied,
            Self::UnfitKey { .. } => Status::WrongParameters,
            Self::NotGenuine => Status::VerificationFailed,
            Self::Key { refusal, .. } | Self::Vault(refusal) => refusal.status(),
        }
    }
}

impl From<CryptoError> for BackupFault {
    fn from(error: CryptoError) -> Self {
        Self::Vault(error.into())
    }
}

impl From<ArenaFull> for BackupFault {
    fn from(error: ArenaFull) -> Self {
        Self::Vault(error.into())
    }
}

impl From<EncodeError> for BackupFault {
    fn from(error: EncodeError) -> Self {
        Self::Vault(error.into())
    }
}
