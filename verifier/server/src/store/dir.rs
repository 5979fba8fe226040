//! Resources in a local folder: `repository/type/tag.sealed`, each written atomically, 0600.

use super::sealed_file::{self, MAX_FILE_LEN, OpenError};
use super::{MAX_RESOURCE_LEN, Pending, Resource, Store, StoreError};
use crate::atomic_file;
use crate::entropy::KernelEntropy;
use crate::key_file::{Key32, read_up_to};
use nitride_kbs::resource::ResourcePath;
use nix::unistd::geteuid;
use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

const SUFFIX: &str = ".sealed";
/// What a file name may have on every file system that matters (NAME_MAX), less the suffix.
const MAX_PART_LEN: usize = 255 - SUFFIX.len();
/// A listing ends here, so that a hostile folder cannot fill the memory.
const MAX_LISTED: usize = 1_000_000;

/// The folder and the key that its files are sealed under.
#[derive(Debug, Clone)]
pub(crate) struct DirStore(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    folder: PathBuf,
    key: Key32,
}

/// What lies in a store.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Listing {
    /// The resources, sorted.
    pub(crate) resources: Vec<ResourcePath>,
    /// What else lies there and should not.
    pub(crate) strangers: Vec<PathBuf>,
}

impl DirStore {
    /// Opens the store at `folder`, which is made (0700) if only its parent exists.
    pub(crate) fn open(folder: &Path, key: Key32) -> Result<Self, StoreError> {
        atomic_file::ensure_folder(folder).map_err(io_error("open store", folder))?;
        // What root wrote here the service could not read, and would stumble over for good.
        let owner = fs::metadata(folder)
            .map_err(io_error("open store", folder))?
            .uid();
        if owner != geteuid().as_raw() {
            return Err(StoreError::OfAnotherUser {
                path: folder.to_owned(),
                owner,
            });
        }
        Ok(Self(Arc::new(Inner {
            folder: folder.to_owned(),
            key,
        })))
    }

    /// The resource, or `None`.
    pub(crate) fn read_now(&self, path: &ResourcePath) -> Result<Option<Resource>, StoreError> {
        let file_path = self.file_path(path)?;
        let Some(bytes) = read_file(&file_path)? else {
            return Ok(None);
        };
        match sealed_file::open(&self.0.key, path, &bytes) {
            Ok(resource) => Ok(Some(resource)),
            Err(OpenError::UnknownForm) => Err(StoreError::UnknownForm { path: file_path }),
            Err(OpenError::NotAuthentic) => Err(StoreError::NotAuthentic { path: file_path }),
        }
    }

    /// Stores or replaces the resource.
    pub(crate) fn write_now(&self, path: &ResourcePath, resource: &[u8]) -> Result<(), StoreError> {
        if resource.len() > MAX_RESOURCE_LEN {
            return Err(StoreError::TooLarge);
        }
        let file_path = self.file_path(path)?;
        let bytes = sealed_file::seal(&self.0.key, path, resource, &mut KernelEntropy)
            .map_err(|_| StoreError::Seal)?;
        let repository = self.0.folder.join(path.repository());
        let folder = repository.join(path.resource_type());
        for folder in [&repository, &folder] {
            atomic_file::ensure_folder(folder).map_err(io_error("make folder", folder))?;
        }
        atomic_file::replace(&file_path, &bytes, 0o600)
            .map_err(io_error("write resource", &file_path))
    }

    /// Removes the resource; whether it was there.
    pub(crate) fn delete_now(&self, path: &ResourcePath) -> Result<bool, StoreError> {
        let file_path = self.file_path(path)?;
        match atomic_file::remove(&file_path) {
            Ok(()) => Ok(true),
            Err(error) if is_absent(&error) => Ok(false),
            Err(error) => Err(io_error("delete resource", &file_path)(error)),
        }
    }

    /// Every resource by name, without reading one.
    pub(crate) fn list_now(&self) -> Result<Listing, StoreError> {
        let mut listing = Listing::default();
        for repository in folders_in(&self.0.folder, &mut listing.strangers)? {
            for resource_type in folders_in(&repository, &mut listing.strangers)? {
                for entry in entries_in(&resource_type)? {
                    match self.resource_of(&entry) {
                        Some(path) => listing.resources.push(path),
                        None => listing.strangers.push(entry),
                    }
                }
                if listing.resources.len() + listing.strangers.len() > MAX_LISTED {
                    return Err(StoreError::TooLarge);
                }
            }
        }
        listing.resources.sort();
        listing.strangers.sort();
        Ok(listing)
    }

    /// A path below the folder, always: the parts of a [`ResourcePath`] have no separator and do
    /// not begin with a dot.
    fn file_path(&self, path: &ResourcePath) -> Result<PathBuf, StoreError> {
        let parts = [path.repository(), path.resource_type(), path.tag()];
        if parts.iter().any(|part| part.len() > MAX_PART_LEN) {
            return Err(StoreError::NameTooLong { max: MAX_PART_LEN });
        }
        let mut file_path = self.0.folder.join(path.repository());
        file_path.push(path.resource_type());
        file_path.push(format!("{}{SUFFIX}", path.tag()));
        Ok(file_path)
    }

    fn resource_of(&self, file: &Path) -> Option<ResourcePath> {
        let relative = file.strip_prefix(&self.0.folder).ok()?.to_str()?;
        let path = ResourcePath::parse(relative.strip_suffix(SUFFIX)?).ok()?;
        fs::symlink_metadata(file).ok()?.is_file().then_some(path)
    }
}

impl Store for DirStore {
    fn read<'a>(&'a self, path: &'a ResourcePath) -> Pending<'a, Option<Resource>> {
        let (store, path) = (self.clone(), path.clone());
        Box::pin(off_thread(move || store.read_now(&path)))
    }

    fn write<'a>(&'a self, path: &'a ResourcePath, resource: Resource) -> Pending<'a, ()> {
        let (store, path) = (self.clone(), path.clone());
        Box::pin(off_thread(move || store.write_now(&path, &resource)))
    }

    fn delete<'a>(&'a self, path: &'a ResourcePath) -> Pending<'a, bool> {
        let (store, path) = (self.clone(), path.clone());
        Box::pin(off_thread(move || store.delete_now(&path)))
    }
}

/// Disks block, so that they are waited for on a thread of their own.
async fn off_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or(Err(StoreError::ShuttingDown))
}

fn read_file(path: &Path) -> Result<Option<Vec<u8>>, StoreError> {
    // A link would lead out of the store, and a FIFO would block the reader for ever.
    let opened = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(path);
    let mut file = match opened {
        Ok(file) => file,
        Err(error) if is_absent(&error) => return Ok(None),
        Err(error) if error.raw_os_error() == Some(libc::ELOOP) => {
            return Err(StoreError::NotAFile {
                path: path.to_owned(),
            });
        }
        Err(error) => return Err(io_error("open resource", path)(error)),
    };
    let metadata = file
        .metadata()
        .map_err(io_error("inspect resource", path))?;
    if !metadata.is_file() {
        return Err(StoreError::NotAFile {
            path: path.to_owned(),
        });
    }
    let fits = usize::try_from(metadata.len())
        .ok()
        .filter(|len| *len <= MAX_FILE_LEN);
    // One byte more than was seen, so that growth meanwhile is noticed.
    let mut bytes = vec![0; fits.ok_or(StoreError::TooLarge)? + 1];
    let len = read_up_to(&mut file, &mut bytes).map_err(io_error("read resource", path))?;
    bytes.truncate(len);
    Ok(Some(bytes))
}

fn entries_in(folder: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let failed = || io_error("list", folder);
    let mut entries = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed())? {
        if entries.len() >= MAX_LISTED {
            return Err(StoreError::TooLarge);
        }
        entries.push(entry.map_err(failed())?.path());
    }
    Ok(entries)
}

fn folders_in(folder: &Path, strangers: &mut Vec<PathBuf>) -> Result<Vec<PathBuf>, StoreError> {
    let is_folder =
        |path: &PathBuf| fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_dir());
    let (folders, others): (Vec<_>, Vec<_>) = entries_in(folder)?.into_iter().partition(is_folder);
    strangers.extend(others);
    Ok(folders)
}

fn is_absent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

fn io_error<'a>(action: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> StoreError + 'a {
    move |source| StoreError::Io {
        action,
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests;
