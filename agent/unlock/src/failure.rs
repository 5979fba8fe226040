use crate::config::ConfigError;
use crate::copy::CopyError;
use crate::cryptsetup::CryptsetupError;
use crate::enrol::{DiskError, EnrolError};
use crate::hardening::HardeningError;
use crate::key_file::KeyFileError;
use crate::leave::LeaveError;
use crate::passphrase::PassphraseError;
use std::path::PathBuf;
use thiserror::Error;

/// Why a verb did not do what it is for.
#[derive(Debug, Error)]
pub(crate) enum Failure {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Hardening(#[from] HardeningError),
    #[error(transparent)]
    Copy(#[from] CopyError),
    #[error(transparent)]
    Cryptsetup(#[from] CryptsetupError),
    #[error(transparent)]
    KeyFile(#[from] KeyFileError),
    #[error(transparent)]
    Leave(#[from] LeaveError),
    #[error(transparent)]
    Enrol(#[from] EnrolError<DiskError>),
    #[error("the existing passphrase cannot be had from {}", .from.display())]
    Existing {
        from: PathBuf,
        source: PassphraseError,
    },
    #[error("none of the volume's passphrases unlocks it")]
    NoneUnlocks,
    #[error("{name} is mapped already, and not by this program")]
    AlreadyMapped { name: String },
    #[error("the passphrases {lost} could not be had, and the slots {left:?} were not removed")]
    NotRetired { lost: String, left: Vec<u8> },
    #[error("the volume has no passphrase {name:?}")]
    NoPassphrase { name: String },
    #[error("standard output cannot be written")]
    Output(#[source] std::io::Error),
    #[error("no volume is configured, so there is nothing to look for")]
    NoVolumes,
    #[error(
        "{found} of {asked} checks found what would keep this machine from unlocking, or let somebody else in"
    )]
    Doctor { found: usize, asked: usize },
}

impl Failure {
    /// What to do about it, as a sentence without its stop; `None` where the text says it.
    pub(crate) fn remedy(&self) -> Option<&'static str> {
        match self {
            Self::Config(_) | Self::Output(_) | Self::Doctor { .. } => None,
            Self::Hardening(error) => Some(error.remedy()),
            Self::Copy(error) => Some(error.remedy()),
            Self::Cryptsetup(error) => Some(error.remedy()),
            Self::KeyFile(error) => Some(error.remedy()),
            Self::Leave(error) => Some(error.remedy()),
            Self::Enrol(EnrolError::Slots(error)) => Some(error.remedy()),
            Self::Enrol(error) => error.remedy(),
            Self::Existing { .. } => Some(
                "name a file that has the passphrase and nothing else, or - for standard input",
            ),
            Self::NoVolumes => Some("add a [[volume]] to the configuration"),
            Self::NoneUnlocks => {
                Some("enrol one first: nitride-unlock enroll; status lists the slots")
            }
            Self::AlreadyMapped { .. } => Some(
                "somebody opened it by the header that the host wrote: take it out of crypttab and off \
                 the command line (rd.luks=0 luks=0), as nitride-unlock doctor says",
            ),
            Self::NotRetired { .. } => Some(
                "the new passphrase unlocks; rotate again once the old ones can be had, or say \
                 --remove-slot for each that is left",
            ),
            Self::NoPassphrase { .. } => Some("add it to `passphrases` of the volume"),
        }
    }
}
