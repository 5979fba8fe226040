//! Where resources are kept. One trait, so that a fleet's store (issue: OpenBao) can stand where a
//! local folder does; what is served is the stored bytes, unmodified.

mod dir;
#[cfg(test)]
pub(crate) mod memory;
mod sealed_file;

pub(crate) use dir::DirStore;

use nitride_kbs::limits::MAX_ENVELOPE_LEN;
use nitride_kbs::resource::ResourcePath;
use std::fmt;
use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use thiserror::Error;
use zeroize::Zeroizing;

/// No resource is longer: an envelope of the longest material fits.
pub(crate) const MAX_RESOURCE_LEN: usize = MAX_ENVELOPE_LEN;

/// A resource's bytes, wiped when dropped.
pub(crate) type Resource = Zeroizing<Vec<u8>>;

/// What a store's call gives, sooner or later.
pub(crate) type Pending<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// A place for resources. Every call is whole or not at all.
pub(crate) trait Store: fmt::Debug + Send + Sync {
    /// The resource, or `None` if there is none of that name.
    fn read<'a>(&'a self, path: &'a ResourcePath) -> Pending<'a, Option<Resource>>;

    /// Stores or replaces it.
    fn write<'a>(&'a self, path: &'a ResourcePath, resource: Resource) -> Pending<'a, ()>;

    /// Removes it; whether it was there.
    fn delete<'a>(&'a self, path: &'a ResourcePath) -> Pending<'a, bool>;
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
    /// Larger than any resource.
    #[error("resource is larger than {MAX_RESOURCE_LEN} bytes")]
    TooLarge,
    /// The file was not written by a store of this form.
    #[error("{} is not a sealed resource of version 1", path.display())]
    UnknownForm { path: PathBuf },
    /// The file was changed, is another resource's, or was sealed under another store key.
    #[error("{} is not authentic under this store key and name", path.display())]
    NotAuthentic { path: PathBuf },
    /// Part of a name is longer than the file system takes.
    #[error("part of the resource path is longer than {max} bytes")]
    NameTooLong { max: usize },
    /// No randomness, or a cipher's defect.
    #[error("seal resource")]
    Seal,
    /// The work was not done because the service ends.
    #[error("store is shutting down")]
    ShuttingDown,
}
