//! A local folder: resources as `repository/type/tag.sealed`, records below `.records`, each file
//! written atomically, 0600, one writer at a time.

mod lock;

use super::sealed_file::{self, OVERHEAD_LEN, OpenError};
use super::{
    Expected, Listing, Pending, Place, RecordName, Resource, SUFFIX, Store, StoreError, Stored,
    Under, Version,
};
use crate::atomic_file;
use crate::entropy::KernelEntropy;
use crate::key_file::{Key32, read_up_to};
use lock::Lock;
use nitride_kbs::resource::ResourcePath;
use nix::unistd::geteuid;
use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What a file name may have on every file system that matters (NAME_MAX), less the suffix.
const MAX_PART_LEN: usize = 255 - SUFFIX.len();
/// A listing ends here, so that a hostile folder cannot fill the memory.
const MAX_LISTED: usize = 1_000_000;
/// No repository begins with a dot.
const RECORDS: &str = ".records";
/// Resources lie so deep, and records no deeper below their own folder.
const RESOURCE_DEPTH: usize = 3;
const RECORD_DEPTH: usize = 4;

/// The folder and the key that its files are sealed under.
#[derive(Debug, Clone)]
pub(crate) struct DirStore(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    folder: PathBuf,
    key: Key32,
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

    fn read_now(&self, place: &Place) -> Result<Option<Stored>, StoreError> {
        let file_path = self.file_path(place)?;
        let Some(bytes) = read_file(&file_path, place)? else {
            return Ok(None);
        };
        let at = || file_path.display().to_string();
        match sealed_file::open(&self.0.key, place, &bytes) {
            Ok(stored) => Ok(Some(stored)),
            Err(OpenError::UnknownForm) => Err(StoreError::UnknownForm { at: at() }),
            Err(OpenError::NotAuthentic) => Err(StoreError::NotAuthentic { at: at() }),
        }
    }

    fn write_now(
        &self,
        place: &Place,
        bytes: &[u8],
        expected: Expected,
    ) -> Result<Version, StoreError> {
        place.check_len(bytes.len())?;
        let file_path = self.file_path(place)?;
        let lock = Lock::take(&self.0.folder)?;
        let found = self.version_now(place, expected)?;
        expected.check(place, found)?;
        let version = lock.next_version(found)?;
        let sealed = sealed_file::seal(&self.0.key, place, version, bytes, &mut KernelEntropy)
            .map_err(|_| StoreError::Seal)?;
        for folder in self.folders_of(&file_path) {
            atomic_file::ensure_folder(folder).map_err(io_error("make folder", folder))?;
        }
        atomic_file::replace(&file_path, &sealed, 0o600).map_err(io_error("write", &file_path))?;
        Ok(version)
    }

    fn delete_now(&self, place: &Place, expected: Expected) -> Result<bool, StoreError> {
        let file_path = self.file_path(place)?;
        let lock = Lock::take(&self.0.folder)?;
        let found = self.version_now(place, expected)?;
        expected.check(place, found)?;
        if let Some(found) = found {
            // Remembered before it is gone: the place's next version is another one.
            lock.next_version(Some(found))?;
        }
        match atomic_file::remove(&file_path) {
            Ok(()) => Ok(true),
            Err(error) if is_absent(&error) => Ok(false),
            Err(error) => Err(io_error("delete", &file_path)(error)),
        }
    }

    /// The version that lies there. Who expects nothing in particular may replace or remove what
    /// cannot be opened, too: that is how a damaged store is mended.
    fn version_now(
        &self,
        place: &Place,
        expected: Expected,
    ) -> Result<Option<Version>, StoreError> {
        match self.read_now(place) {
            Ok(stored) => Ok(stored.map(|stored| stored.version)),
            Err(
                StoreError::NotAuthentic { .. }
                | StoreError::UnknownForm { .. }
                | StoreError::TooLarge { .. }
                | StoreError::NotAFile { .. },
            ) if expected == Expected::Any => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn list_now(&self, under: Under<'_>) -> Result<Listing, StoreError> {
        let (root, depth) = match under {
            Under::Resources => (self.0.folder.clone(), RESOURCE_DEPTH),
            Under::AllRecords | Under::Records(_) => (self.0.folder.join(RECORDS), RECORD_DEPTH),
        };
        let mut listing = Listing::default();
        self.walk(&root, depth, under, &mut listing)?;
        listing.places.sort();
        listing.strangers.sort();
        Ok(listing)
    }

    /// Names alone: no file is opened.
    fn walk(
        &self,
        folder: &Path,
        depth: usize,
        under: Under<'_>,
        listing: &mut Listing,
    ) -> Result<(), StoreError> {
        for entry in entries_in(folder)? {
            let is_own = folder == self.0.folder
                && [RECORDS, lock::NAME]
                    .iter()
                    .any(|name| entry.ends_with(name));
            if is_own {
                continue;
            }
            if depth > 1 && fs::symlink_metadata(&entry).is_ok_and(|metadata| metadata.is_dir()) {
                self.walk(&entry, depth - 1, under, listing)?;
                continue;
            }
            match self.place_of(&entry, under) {
                Some(place) if place.is_under(under) => listing.places.push(place),
                Some(_) => {}
                None => listing.strangers.push(entry.display().to_string()),
            }
            if listing.places.len() + listing.strangers.len() > MAX_LISTED {
                return Err(StoreError::TooMany { max: MAX_LISTED });
            }
        }
        Ok(())
    }

    /// A path below the folder, always: the parts of a [`Place`]'s name have no separator and do not
    /// begin with a dot.
    fn file_path(&self, place: &Place) -> Result<PathBuf, StoreError> {
        let (mut file_path, name) = match place {
            Place::Resource(path) => (self.0.folder.clone(), path.as_str()),
            Place::Record(name) => (self.0.folder.join(RECORDS), name.as_str()),
        };
        if name.split('/').any(|part| part.len() > MAX_PART_LEN) {
            return Err(StoreError::NameTooLong { max: MAX_PART_LEN });
        }
        file_path.push(format!("{name}{SUFFIX}"));
        Ok(file_path)
    }

    /// The folders between the store's own and a file, from above.
    fn folders_of<'a>(&self, file_path: &'a Path) -> Vec<&'a Path> {
        let below = |folder: &&Path| *folder != self.0.folder;
        let mut folders: Vec<&Path> = file_path.ancestors().skip(1).take_while(below).collect();
        folders.reverse();
        folders
    }

    fn place_of(&self, file: &Path, under: Under<'_>) -> Option<Place> {
        let relative = file.strip_prefix(&self.0.folder).ok()?.to_str()?;
        let name = relative.strip_suffix(SUFFIX)?;
        let place = match under {
            Under::Resources => Place::Resource(ResourcePath::parse(name).ok()?),
            Under::AllRecords | Under::Records(_) => {
                let name = name.strip_prefix(RECORDS)?.strip_prefix('/')?;
                Place::Record(RecordName::parse(name).ok()?)
            }
        };
        fs::symlink_metadata(file).ok()?.is_file().then_some(place)
    }
}

impl Store for DirStore {
    fn read<'a>(&'a self, place: &'a Place) -> Pending<'a, Option<Stored>> {
        let (store, place) = (self.clone(), place.clone());
        Box::pin(off_thread(move || store.read_now(&place)))
    }

    fn write<'a>(
        &'a self,
        place: &'a Place,
        bytes: Resource,
        expected: Expected,
    ) -> Pending<'a, Version> {
        let (store, place) = (self.clone(), place.clone());
        Box::pin(off_thread(move || {
            store.write_now(&place, &bytes, expected)
        }))
    }

    fn delete<'a>(&'a self, place: &'a Place, expected: Expected) -> Pending<'a, bool> {
        let (store, place) = (self.clone(), place.clone());
        Box::pin(off_thread(move || store.delete_now(&place, expected)))
    }

    /// There is one version, always.
    fn erase_older<'a>(&'a self, _: &'a Place) -> Pending<'a, ()> {
        Box::pin(async { Ok(()) })
    }

    fn list<'a>(&'a self, under: Under<'a>) -> Pending<'a, Listing> {
        let store = self.clone();
        // What is listed of records is owned by the caller: the thread gets its own.
        match under {
            Under::Resources => Box::pin(off_thread(move || store.list_now(Under::Resources))),
            Under::AllRecords => Box::pin(off_thread(move || store.list_now(Under::AllRecords))),
            Under::Records(folder) => {
                let folder = folder.clone();
                Box::pin(off_thread(move || store.list_now(Under::Records(&folder))))
            }
        }
    }

    fn count<'a>(&'a self, folder: &'a RecordName) -> Pending<'a, usize> {
        let folder = self.0.folder.join(RECORDS).join(folder.as_str());
        Box::pin(off_thread(move || Ok(entries_in(&folder)?.len())))
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

fn read_file(path: &Path, place: &Place) -> Result<Option<Vec<u8>>, StoreError> {
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
        Err(error) => return Err(io_error("open", path)(error)),
    };
    let metadata = file.metadata().map_err(io_error("inspect", path))?;
    if !metadata.is_file() {
        return Err(StoreError::NotAFile {
            path: path.to_owned(),
        });
    }
    let len = usize::try_from(metadata.len()).unwrap_or(usize::MAX);
    place.check_len(len.saturating_sub(OVERHEAD_LEN))?;
    // One byte more than was seen, so that growth meanwhile is noticed.
    let mut bytes = vec![0; len + 1];
    let len = read_up_to(&mut file, &mut bytes).map_err(io_error("read", path))?;
    bytes.truncate(len);
    Ok(Some(bytes))
}

fn entries_in(folder: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let failed = || io_error("list", folder);
    let mut entries = Vec::new();
    let listed = match fs::read_dir(folder) {
        Ok(listed) => listed,
        // Of records there may be none yet.
        Err(error) if is_absent(&error) => return Ok(entries),
        Err(error) => return Err(failed()(error)),
    };
    for entry in listed {
        if entries.len() >= MAX_LISTED {
            return Err(StoreError::TooMany { max: MAX_LISTED });
        }
        entries.push(entry.map_err(failed())?.path());
    }
    Ok(entries)
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
