//! Real systemd units, as far as the kernel knows them: cgroup folders under `system.slice`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use nix::unistd::getuid;

use crate::program::wait_until;

/// A unit's cgroup. Dropped, it is removed.
#[derive(Debug)]
pub struct Unit {
    name: String,
    folder: PathBuf,
}

impl Unit {
    /// Makes the cgroup of a service of this name; only root can.
    ///
    /// # Errors
    /// When there is no cgroup2 mount or the folder cannot be made.
    pub fn create(name: &str) -> Result<Self> {
        Self::create_in(&cgroup2_root()?.join("system.slice"), name)
    }

    /// Makes a cgroup beside `system.slice`, in which no unit of the system is; only root can.
    ///
    /// # Errors
    /// As [`Unit::create`].
    pub fn create_slice(name: &str) -> Result<Self> {
        Self::create_in(&cgroup2_root()?, name)
    }

    fn create_in(slice: &Path, name: &str) -> Result<Self> {
        let folder = slice.join(name);
        std::fs::create_dir_all(&folder)
            .with_context(|| format!("make the cgroup {}", folder.display()))?;
        Ok(Self {
            name: name.to_owned(),
            folder,
        })
    }

    /// The unit's name, such as `web.service`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its cgroup folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// A cgroup within the unit, as a service with delegation would make.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub fn delegate(&self, name: &str) -> Result<PathBuf> {
        let folder = self.folder.join(name);
        std::fs::create_dir_all(&folder).context("make a cgroup within the unit")?;
        Ok(folder)
    }
}

impl Drop for Unit {
    fn drop(&mut self) {
        // The kernel lets go of a folder when the last process in it has been reaped.
        let _ = wait_until("the cgroup is empty", Duration::from_secs(5), || {
            remove_below(&self.folder);
            Ok(!self.folder.exists())
        });
    }
}

fn remove_below(folder: &Path) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.path().is_dir() {
            remove_below(&entry.path());
        }
    }
    let _ = std::fs::remove_dir(folder);
}

/// Where cgroup2 is mounted.
fn cgroup2_root() -> Result<PathBuf> {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").context("read the mounts")?;
    mounts
        .lines()
        .filter_map(|line| line.split_once(" - "))
        .find(|(_, kind)| kind.starts_with("cgroup2 "))
        .and_then(|(mount, _)| mount.split(' ').nth(4))
        .map(PathBuf::from)
        .context("no cgroup2 is mounted")
}

/// Whether tests that need other users and cgroups can run; says so where they cannot.
#[must_use]
pub fn is_root_or_says_so(test: &str) -> bool {
    let root = getuid().is_root();
    if !root {
        eprintln!("SKIPPED {test}: other users and cgroups need root");
    }
    root
}
