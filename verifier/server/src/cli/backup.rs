//! `backup` and `restore`: beside the store, by who has its key; nobody gets everything over HTTP.

use super::ConfigPath;
use super::opened_store::OpenedStore;
use crate::atomic_file;
use crate::backup::{self, BackupError, Item, Writer};
use crate::entropy::KernelEntropy;
use crate::key_file::Key32;
use crate::policy_set::POLICY_SET;
use crate::revocation;
use crate::revocation::Restored::{Added, Left, There};
use crate::store::{Expected, Place, RecordName, StoreError, Under, Version};
use anyhow::{Context, Result, bail};
use clap::Args;
use std::fs::File;
use std::io::{self, BufReader, Write};
use std::path::{Path, PathBuf};

/// So many conflicts are named.
const MAX_NAMED: usize = 10;

/// What `backup` takes.
#[derive(Debug, Args)]
pub(crate) struct Backup {
    #[command(flatten)]
    config: ConfigPath,
    /// The 32 bytes that the backup is protected with: `store-key generate`. Keep them elsewhere.
    #[arg(long, value_name = "PATH")]
    key: PathBuf,
    /// Where the backup goes; no file is overwritten.
    #[arg(long, value_name = "PATH")]
    out: PathBuf,
}

/// What `restore` takes.
#[derive(Debug, Args)]
pub(crate) struct Restore {
    #[command(flatten)]
    config: ConfigPath,
    /// The key that the backup was made with.
    #[arg(long, value_name = "PATH")]
    key: PathBuf,
    /// Replace what is in the store and differs, and add what was revoked to what is. Without it nothing
    /// that is there is touched. What was deleted since comes back either way.
    #[arg(long)]
    replace: bool,
    /// The backup.
    file: PathBuf,
}

impl Backup {
    pub(crate) fn run(self) -> Result<()> {
        let key = Key32::read(&self.key)?;
        let store = OpenedStore::open(&self.config)?;
        let before = policies_version(&store)?;
        let places = places(&store)?;
        let mut count = 0_u64;
        let written = atomic_file::create_by(&self.out, 0o600, |file| {
            count = write(file, &key, &store, &places).map_err(io::Error::other)?;
            let now = policies_version(&store).map_err(io::Error::other)?;
            check_policies(before, now).map_err(io::Error::other)
        });
        written.with_context(|| format!("write {}", self.out.display()))?;
        println!("{count} items");
        Ok(())
    }
}

/// How often the set of policies was changed; `None` where there is none.
fn policies_version(store: &OpenedStore) -> Result<Option<Version>> {
    let place = Place::from(&RecordName::parse(POLICY_SET)?);
    let stored = store.ask(|store| store.read(&place))?;
    Ok(stored.map(|stored| stored.version))
}

/// A set whose texts were replaced on the way would be restored without them.
fn check_policies(before: Option<Version>, now: Option<Version>) -> Result<()> {
    if before != now {
        bail!("the policies were changed meanwhile; make the backup again");
    }
    Ok(())
}

/// Everything there is, by name.
fn places(store: &OpenedStore) -> Result<Vec<Place>> {
    let mut listing = store.ask(|store| store.list(Under::Resources))?;
    let records = store.ask(|store| store.list(Under::AllRecords))?;
    listing.places.extend(records.places);
    listing.strangers.extend(records.strangers);
    for stranger in &listing.strangers {
        tracing::warn!(
            path = stranger,
            "this is in the store and not in the backup"
        );
    }
    Ok(listing.places)
}

fn write(
    file: &mut File,
    key: &Key32,
    store: &OpenedStore,
    places: &[Place],
) -> Result<u64, Box<dyn std::error::Error + Send + Sync>> {
    let (mut writer, head) = Writer::begin(key, &mut KernelEntropy)?;
    file.write_all(&head)?;
    let mut count = 0;
    for place in places {
        // What was deleted meanwhile is not there.
        let stored = store.ask(|store| store.read(place));
        let Some(stored) = stored.map_err(Box::<dyn std::error::Error + Send + Sync>::from)? else {
            continue;
        };
        let item = Item {
            place: place.clone(),
            version: stored.version,
            bytes: stored.bytes,
        };
        file.write_all(&writer.item(&item)?)?;
        count += 1;
    }
    file.write_all(&writer.end()?)?;
    Ok(count)
}

impl Restore {
    pub(crate) fn run(self) -> Result<()> {
        let key = Key32::read(&self.key)?;
        let file = &self.file;
        let of_file = || file.display().to_string();
        // The whole file first: of one that was cut off nothing is restored.
        let whole = |_: Item| Ok::<_, BackupError>(());
        backup::read(&key, &mut open(file)?, whole).with_context(of_file)?;
        let store = OpenedStore::open(&self.config)?;
        let mut restored = Restored::default();
        let put = |item: Item| restored.put(&store, item, self.replace);
        backup::read(&key, &mut open(file)?, put).with_context(of_file)?;
        println!(
            "{} items restored, {} were there already",
            restored.written, restored.same
        );
        if restored.conflicts.is_empty() {
            return Ok(());
        }
        let named: Vec<_> = restored.conflicts.iter().take(MAX_NAMED).cloned().collect();
        bail!(
            "{} items differ from what is in the store, and were left as they are there: {}; \
             --replace takes those of the backup",
            restored.conflicts.len(),
            named.join(", ")
        );
    }
}

fn open(path: &Path) -> Result<BufReader<File>> {
    let file = File::open(path).with_context(|| format!("open {}", path.display()))?;
    Ok(BufReader::new(file))
}

#[derive(Debug, Default)]
struct Restored {
    written: u64,
    same: u64,
    conflicts: Vec<String>,
}

impl Restored {
    /// Each write is whole or not at all, so that a restore that was killed can be begun again.
    fn put(&mut self, store: &OpenedStore, item: Item, replace: bool) -> Result<()> {
        let Item { place, bytes, .. } = item;
        if revocation::is_list(&place) {
            let restoring = revocation::restore(store.store(), &bytes, replace);
            match store.wait(restoring).context("restore what is revoked")? {
                Added => self.written += 1,
                There => self.same += 1,
                Left => self.conflicts.push(place.to_string()),
            }
            return Ok(());
        }
        let there = store.ask(|store| store.read(&place))?;
        let expected = match &there {
            None => Expected::Absent,
            Some(stored) if *stored.bytes == *bytes => {
                self.same += 1;
                return Ok(());
            }
            Some(stored) if replace => Expected::Version(stored.version),
            Some(_) => {
                self.conflicts.push(place.to_string());
                return Ok(());
            }
        };
        let written = store.ask(|store| store.write(&place, bytes, expected));
        match written {
            Ok(_) => self.written += 1,
            Err(error) if is_conflict(&error) => self.conflicts.push(place.to_string()),
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

/// Whether somebody wrote there meanwhile.
pub(super) fn is_conflict(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(StoreError::Conflict { .. }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backup_during_which_the_policies_changed_is_none() {
        let [none, one, two] = [None, Some(Version::new(1)), Some(Version::new(2))];
        for same in [none, one] {
            check_policies(same, same).unwrap();
        }
        for (before, now) in [(none, one), (one, two), (one, none)] {
            assert!(check_policies(before, now).is_err());
        }
    }
}
