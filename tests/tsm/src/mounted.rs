//! What a test holds of the file system.

use crate::fault::Fault;
use crate::file_system::FileSystem;
use crate::provider::Provider;
use anyhow::{Context, Result, ensure};
use fuser::{BackgroundSession, Config, MountOption, spawn_mount};
use nitride_support::folder::Folder;
use nix::unistd::getuid;
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A configfs-tsm, mounted for as long as it is held.
#[derive(Debug)]
pub struct Tsm {
    reports: PathBuf,
    shared: Arc<Shared>,
    session: Option<BackgroundSession>,
    folder: Folder,
}

/// What the file system and the test both see.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) provider: Provider,
    script: Mutex<Script>,
    resumed: Condvar,
}

#[derive(Debug, Default)]
struct Script {
    /// Of the requests to come, one each.
    faults: VecDeque<Option<Fault>>,
    /// What was done, in its order.
    steps: Vec<String>,
    stalled: usize,
    is_over: bool,
}

impl Shared {
    fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The fault of the request that is made now; `None` where there is no provider.
    pub(crate) fn next_request(&self) -> Option<Option<Fault>> {
        match self.provider {
            Provider::Absent => None,
            _ => Some(self.script().faults.pop_front().flatten()),
        }
    }

    pub(crate) fn note(&self, step: String) {
        self.script().steps.push(step);
    }

    /// Waits so long, or until the test says that it is over.
    pub(crate) fn stall(&self, time: Duration) {
        let mut script = self.script();
        script.stalled += 1;
        let waited = self
            .resumed
            .wait_timeout_while(script, time, |script| !script.is_over);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }
}

impl Tsm {
    /// Mounts one; `None`, and says so, where that cannot be done.
    ///
    /// # Errors
    /// When it should have gone well: as root with `/dev/fuse`, and in CI.
    pub fn mount(provider: Provider) -> Result<Option<Self>> {
        let is_able = getuid().is_root() && Path::new("/dev/fuse").exists();
        if !is_able {
            ensure!(
                std::env::var_os("CI").is_none(),
                "CI plays configfs-tsm by FUSE: it takes root and /dev/fuse"
            );
            eprintln!("skipped: configfs-tsm by FUSE takes root and /dev/fuse");
            return Ok(None);
        }
        let folder = Folder::new()?;
        let reports = folder.join("report");
        std::fs::create_dir(&reports)?;
        let shared = Arc::new(Shared {
            provider,
            script: Mutex::default(),
            resumed: Condvar::new(),
        });
        let mut config = Config::default();
        config.mount_options = vec![MountOption::FSName("nitride-tsm".to_owned())];
        let session = spawn_mount(FileSystem::new(Arc::clone(&shared)), &reports, &config)
            .context("mount by FUSE")?;
        Ok(Some(Self {
            reports,
            shared,
            session: Some(session),
            folder,
        }))
    }

    /// Where requests are made.
    #[must_use]
    pub fn reports(&self) -> &Path {
        &self.reports
    }

    /// A folder beside it.
    #[must_use]
    pub fn folder(&self) -> &Folder {
        &self.folder
    }

    /// The next request has this fault; those after it the ones that are given after it.
    pub fn inject(&self, fault: impl Into<Option<Fault>>) {
        self.shared.script().faults.push_back(fault.into());
    }

    /// What was done since this was asked last.
    #[must_use]
    pub fn take_steps(&self) -> Vec<String> {
        std::mem::take(&mut self.shared.script().steps)
    }

    /// How many requests have waited, or wait, for a provider that stalls.
    #[must_use]
    pub fn stalled(&self) -> usize {
        self.shared.script().stalled
    }

    /// Ends every stall, those to come as well.
    pub fn resume(&self) {
        self.shared.script().is_over = true;
        self.shared.resumed.notify_all();
    }

    /// Folders of requests that are there.
    ///
    /// # Errors
    /// When they cannot be listed.
    pub fn left(&self) -> Result<Vec<String>> {
        let entries = std::fs::read_dir(&self.reports)?;
        entries
            .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
            .collect()
    }
}

impl Drop for Tsm {
    fn drop(&mut self) {
        self.resume();
        if let Some(session) = self.session.take()
            && let Err(error) = session.umount_and_join()
        {
            eprintln!("{}: {error}", self.reports.display());
        }
    }
}
