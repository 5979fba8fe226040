use crate::tsm::request::MAX_BLOB_LEN;
use std::io;
use std::path::PathBuf;
use thiserror::Error;

/// Why configfs-tsm gave no blobs.
#[derive(Debug, Error)]
pub(crate) enum TsmError {
    /// There is no folder to make a request in, or no provider behind it.
    #[error("cannot make a request in {}: {}", .folder.display(), absent(.source))]
    Absent { folder: PathBuf, source: io::Error },
    /// Somebody else serves the folder.
    #[error("configfs-tsm is served by {found:?}, not by {provider:?}")]
    ForeignProvider {
        found: String,
        provider: &'static str,
    },
    /// The kernel refused one step.
    #[error("configfs-tsm cannot {action} {attribute}: {}", refused(.attribute, .source))]
    Refused {
        action: &'static str,
        attribute: &'static str,
        source: io::Error,
    },
    /// An attribute does not hold what it must.
    #[error("configfs-tsm's {attribute} holds {found:?}")]
    Nonsense {
        attribute: &'static str,
        found: String,
    },
    /// What was written is not there: its storing failed when the file was closed.
    #[error("configfs-tsm did not store {attribute}: its generation stays as it was")]
    NotStored { attribute: &'static str },
    /// Somebody else changed the request.
    #[error("another process changed the request: generation {found} instead of {expected}")]
    Overtaken { expected: u64, found: u64 },
    /// There is a report of no bytes.
    #[error("configfs-tsm gave an empty report")]
    Empty,
    /// There is more than anybody has evidence of.
    #[error("configfs-tsm's {attribute} is longer than {MAX_BLOB_LEN} bytes")]
    TooLong { attribute: &'static str },
}

impl TsmError {
    /// Whether another try may go well: a request of somebody else is under way, or was in ours.
    pub(crate) fn is_passing(&self) -> bool {
        match self {
            Self::NotStored { .. } | Self::Overtaken { .. } => true,
            Self::Refused { source, .. } => {
                [Some(libc::EBUSY), Some(libc::EINTR)].contains(&source.raw_os_error())
            }
            _ => false,
        }
    }
}

fn absent(error: &io::Error) -> String {
    let remedy = match error.raw_os_error() {
        Some(libc::ENOENT) => {
            "no configfs-tsm: it takes Linux 6.7, configfs mounted, and the module of the TEE's \
             guest driver (sev-guest, tdx-guest)"
        }
        Some(libc::ENXIO) => {
            "no provider: load the TEE's guest driver (sev-guest, tdx-guest), and see that this \
             is a confidential VM"
        }
        Some(libc::EACCES | libc::EPERM | libc::EROFS) => {
            "it belongs to root, and must not be read-only: see ReadWritePaths= of the unit"
        }
        _ => return error.to_string(),
    };
    format!("{error} ({remedy})")
}

fn refused(attribute: &str, error: &io::Error) -> String {
    let reason = match (attribute, error.raw_os_error()) {
        ("privlevel", Some(libc::EINVAL)) => {
            "below privlevel_floor, or above 3: see `vmpl` in quote.toml"
        }
        ("outblob", Some(libc::EINVAL)) => "the provider does not take what was asked",
        (_, Some(libc::ETIMEDOUT)) => {
            "the host's quoting service does not answer: it stays busy with this for a while"
        }
        (_, Some(libc::EBUSY)) => "an earlier request is still with the host",
        (_, Some(libc::EFBIG)) => "longer than the kernel passes on",
        (_, Some(libc::ENOTTY | libc::ENXIO)) => {
            "the provider has gone, or its key to the firmware was wiped until the next boot"
        }
        _ => return error.to_string(),
    };
    format!("{error} ({reason})")
}
