//! Where resources and the service's own records are kept. One trait, so that what a fleet shares can
//! stand where a local folder does; what is served is the stored bytes, unmodified.
//!
//! Every place has a version, which grows with each write and is not used again after a deletion. A
//! writer says what he has seen ([`Expected`]), and of two that saw the same one is refused.

mod dir;
#[cfg(test)]
pub(crate) mod memory;
mod openbao;
mod place;
mod sealed_file;

pub(crate) use dir::DirStore;
pub(crate) use place::{Place, RecordName, RecordNameError, Under};

use crate::config::StoreConfig;
use crate::key_file::{Key32, KeyFileError};
use crate::tls::TlsError;
use nitride_kbs::limits::MAX_ENVELOPE_LEN;
use nitride_openbao::KvError;
use nitride_openbao::answer::AnswerError;
use openbao::OpenBaoStore;
use std::fmt;
use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use thiserror::Error;
use zeroize::Zeroizing;

/// No resource is longer: an envelope of the longest material fits.
pub(crate) const MAX_RESOURCE_LEN: usize = MAX_ENVELOPE_LEN;
/// No record is longer: in base64 it fits into an entry of OpenBao's integrated storage, 1 MiB.
pub(crate) const MAX_RECORD_LEN: usize = 512 * 1024;

/// What a folder's sealed files end in.
const SUFFIX: &str = ".sealed";

/// A place's bytes, wiped when dropped.
pub(crate) type Resource = Zeroizing<Vec<u8>>;

/// What a store's call gives, sooner or later.
pub(crate) type Pending<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// How often a place was written, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Version(u64);

/// What lies in a place.
pub(crate) struct Stored {
    pub(crate) bytes: Resource,
    pub(crate) version: Version,
}

/// What a writer or deleter has to find, or nothing is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expected {
    /// Whatever is there, or nothing.
    Any,
    /// Nothing.
    Absent,
    /// This version.
    Version(Version),
}

/// What lies in a store.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Listing {
    /// The places, sorted.
    pub(crate) places: Vec<Place>,
    /// What else lies there and should not, as its operator would find it.
    pub(crate) strangers: Vec<String>,
}

/// Places for resources and records. Every call is whole or not at all.
pub(crate) trait Store: fmt::Debug + Send + Sync {
    /// What lies there, or `None`.
    fn read<'a>(&'a self, place: &'a Place) -> Pending<'a, Option<Stored>>;

    /// Stores or replaces it, if `expected` lies there; the version that it now has.
    fn write<'a>(
        &'a self,
        place: &'a Place,
        bytes: Resource,
        expected: Expected,
    ) -> Pending<'a, Version>;

    /// Removes it, if `expected` lies there; whether anything did.
    fn delete<'a>(&'a self, place: &'a Place, expected: Expected) -> Pending<'a, bool>;

    /// Erases what is kept of versions that were replaced, where a store keeps them.
    fn erase_older<'a>(&'a self, place: &'a Place) -> Pending<'a, ()>;

    /// What there is, by name.
    fn list<'a>(&'a self, under: Under<'a>) -> Pending<'a, Listing>;

    /// How many names there are in a folder of records, those of deleted ones perhaps among them: one
    /// look, where a listing may take one a name.
    fn count<'a>(&'a self, folder: &'a RecordName) -> Pending<'a, usize>;
}

/// Opens the store that the configuration names, whose contents are sealed under `key`.
pub(crate) fn open(config: &StoreConfig, key: Key32) -> Result<Arc<dyn Store>, StoreError> {
    Ok(match config {
        StoreConfig::Dir(folder) => Arc::new(DirStore::open(folder, key)?),
        StoreConfig::OpenBao(engine) => Arc::new(OpenBaoStore::open(engine, key)?),
    })
}

/// Why a store did not do it.
#[derive(Debug, Error)]
pub(crate) enum StoreError {
    /// The file system refused.
    #[error("{action} {}", path.display())]
    Io {
        action: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// Files made in it would be of another user than the service's.
    #[error(
        "store {} belongs to user id {owner}; run this as that user, as by `systemd-run \
         --uid={owner}`",
        path.display()
    )]
    OfAnotherUser { path: PathBuf, owner: u32 },
    /// Something that is no plain file lies in its place.
    #[error("{} is not a regular file", path.display())]
    NotAFile { path: PathBuf },
    /// Larger than anything that is kept there.
    #[error("{place} is larger than {max} bytes")]
    TooLarge { place: Place, max: usize },
    /// A folder of a store has more entries than are listed.
    #[error("store has more than {max} entries")]
    TooMany { max: usize },
    /// What was expected to lie there does not: somebody else wrote it meanwhile.
    #[error("{place} is {}, not {}", seen(*.found), wanted(*.expected))]
    Conflict {
        place: Place,
        expected: Expected,
        found: Option<Version>,
    },
    /// The bytes were not written by a store of this form.
    #[error("{at} is not sealed in a form that is known here")]
    UnknownForm { at: String },
    /// The bytes were changed, are another place's or another version's, or were sealed under another
    /// store key.
    #[error("{at} is not authentic under this store key and name")]
    NotAuthentic { at: String },
    /// Part of a name is longer than the file system takes.
    #[error("part of the name is longer than {max} bytes")]
    NameTooLong { max: usize },
    /// No node could answer, up to the call's deadline.
    #[error(
        "OpenBao is not available: {reason}{}",
        if *may_be_done { "; whether the last write was done is not known" } else { "" }
    )]
    Unavailable { reason: String, may_be_done: bool },
    /// A node answered that it will not.
    #[error("OpenBao refuses with {status}: {told}")]
    Refused { status: u16, told: String },
    /// The token is good, and its policies do not allow this.
    #[error(
        "OpenBao's policies do not allow this service {path}; see docs/fleet.md for one that does"
    )]
    Forbidden { path: String },
    /// There is no token to be had.
    #[error("OpenBao refuses the login: {told}")]
    LoginRefused { told: String },
    /// Not what the engine answers.
    #[error("read OpenBao's answer")]
    Answer(#[from] AnswerError),
    /// An older version than this process has seen.
    #[error(
        "OpenBao has version {found} of {place}, and had {seen}: it was put back, or lags behind; if \
         its operator did that, restart this service"
    )]
    RolledBack { place: Place, found: u64, seen: u64 },
    /// The engine says that it is gone, and this service did not delete it.
    #[error(
        "{place} was deleted in OpenBao itself; undelete it there, or delete or replace it by this \
         service"
    )]
    DeletedElsewhere { place: Place },
    /// Others wrote meanwhile, and what became of this write cannot be told.
    #[error("{place} was written by others meanwhile; look at what is there, and try again")]
    Unresolved { place: Place },
    /// A name that the engine has no path for.
    #[error(transparent)]
    Name(#[from] KvError),
    #[error(transparent)]
    KeyFile(#[from] KeyFileError),
    #[error("{} is not a text", path.display())]
    NotAText { path: PathBuf },
    #[error("set up the connection to OpenBao")]
    Tls(#[from] TlsError),
    /// No randomness, or a cipher's defect.
    #[error("seal what is to be stored")]
    Seal,
    /// The work was not done because the service ends.
    #[error("store is shutting down")]
    ShuttingDown,
}

impl Version {
    pub(crate) fn new(number: u64) -> Self {
        Self(number)
    }

    pub(crate) fn number(self) -> u64 {
        self.0
    }

    /// The one after it. At one write a nanosecond the last is reached in 500 years.
    fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// What was stored is nobody's to print.
impl fmt::Debug for Stored {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Stored")
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

impl Expected {
    /// Refuses what was found if it is another thing.
    fn check(self, place: &Place, found: Option<Version>) -> Result<(), StoreError> {
        let holds = match self {
            Self::Any => true,
            Self::Absent => found.is_none(),
            Self::Version(version) => found == Some(version),
        };
        if holds {
            Ok(())
        } else {
            Err(StoreError::Conflict {
                place: place.clone(),
                expected: self,
                found,
            })
        }
    }
}

impl Place {
    /// The longest that it may hold, in bytes.
    fn max_len(&self) -> usize {
        match self {
            Self::Resource(_) => MAX_RESOURCE_LEN,
            Self::Record(_) => MAX_RECORD_LEN,
        }
    }

    fn check_len(&self, len: usize) -> Result<(), StoreError> {
        let max = self.max_len();
        if len <= max {
            return Ok(());
        }
        Err(StoreError::TooLarge {
            place: self.clone(),
            max,
        })
    }
}

pub(crate) fn seen(found: Option<Version>) -> String {
    found.map_or("absent".to_owned(), |version| {
        format!("of version {version}")
    })
}

pub(crate) fn wanted(expected: Expected) -> String {
    match expected {
        Expected::Any => "anything".to_owned(),
        Expected::Absent => "absent".to_owned(),
        Expected::Version(version) => format!("of version {version}"),
    }
}
