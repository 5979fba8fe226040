use crate::Refusal;
use nitride_protocol::{DecodeError, EncodeError, KeyNameBuf};
use nitride_secmem::ArenaFull;
use nitride_secmem::crypto::CryptoError;
use thiserror::Error;

/// Why nothing is sealed, or nothing unsealed. Nothing has changed then.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SealFault {
    /// It does not begin as one.
    #[error("it is no sealed file")]
    NotASeal,
    /// Of a later vault.
    #[error("the sealed file's format is {format}, and this vault reads 1")]
    UnknownFormat {
        /// As it stands there.
        format: u64,
    },
    /// Bytes that no vault writes.
    #[error("the sealed file is malformed")]
    Malformed(#[from] DecodeError),
    /// Genuine, and yet nothing that a vault writes.
    #[error("the sealed file contradicts itself: {what}")]
    Inconsistent {
        /// What of it.
        what: &'static str,
    },
    /// It ends too early.
    #[error("the end of the sealed file is missing")]
    Cut,
    /// Longer than a sealed file may be.
    #[error("the sealed file is longer than 64 MiB")]
    TooLong,
    /// What the platform wants back is longer than a head may have.
    #[error("the platform's params are longer than 4096 bytes")]
    ParamsTooLong,
    /// It was changed, or its key is another one.
    #[error(
        "the sealed file does not open: it was changed, or sealed on another platform, under \
         another credential, or under another version of the provisioned part"
    )]
    NotGenuine,
    /// The head's provisioned part is not here yet.
    #[error("the provisioned part, key {0}, is not here yet")]
    WaitsFor(KeyNameBuf),
    /// The head's provisioned part is none that may be used for this.
    #[error(
        "key {key} is no provisioned part: it is not of a kbs:/// source, is disabled or \
         destroyed, or is bound to a gate, a time or a number of uses"
    )]
    UnfitPart {
        /// Which.
        key: KeyNameBuf,
    },
    /// The platform's part could be guessed.
    #[error("the platform's part has {len} bytes, and needs 32")]
    ShortPart {
        /// Of what came.
        len: usize,
    },
    /// A sealing key seals one file, the one whose head is new.
    #[error("the sealing key is spent: a file needs a new head and its key")]
    KeySpent,
    /// The sealing key is that of another head.
    #[error("the sealing key is not that of this head")]
    OtherHead,
    /// A key of it cannot come back, so none does.
    #[error("key {name} is not unsealed, and so none is: {refusal}")]
    Key {
        /// Which.
        name: KeyNameBuf,
        /// Why.
        refusal: Refusal,
    },
    /// What is in memory was current before this file was written, by somebody else: another copy
    /// of the machine.
    #[error(
        "key {key} is older in memory than in the sealed file: another copy of this machine has \
         written it"
    )]
    OlderMemory {
        /// Which.
        key: KeyNameBuf,
    },
    /// The vault cannot.
    #[error(transparent)]
    Vault(#[from] Refusal),
}

impl From<CryptoError> for SealFault {
    fn from(error: CryptoError) -> Self {
        match error {
            CryptoError::NotAuthentic => Self::NotGenuine,
            error => Self::Vault(error.into()),
        }
    }
}

impl From<ArenaFull> for SealFault {
    fn from(error: ArenaFull) -> Self {
        Self::Vault(error.into())
    }
}

impl From<EncodeError> for SealFault {
    fn from(error: EncodeError) -> Self {
        Self::Vault(error.into())
    }
}
