//! The descriptor store of a service manager: what a program has kept in it outlives the program.

use std::ffi::OsString;
use std::fmt::Write;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result};
use rustix::io::{FdFlags, fcntl_dupfd_cloexec, fcntl_setfd};

/// Descriptors are handed over from numbers above this, where nothing else of a fresh program is.
const FIRST_SOURCE: i32 = 200;
/// Where a program finds the first one (sd_listen_fds(3)).
const FIRST_TARGET: i32 = 3;

/// What one service has stored, by name.
#[derive(Debug)]
pub struct DescriptorStore {
    capacity: usize,
    kept: Mutex<Vec<(String, OwnedFd)>>,
}

impl DescriptorStore {
    /// An empty one (`FileDescriptorStoreMax=`).
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self {
            capacity,
            kept: Mutex::default(),
        }
    }

    /// How much it keeps at most.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// How much it keeps.
    #[must_use]
    pub fn len(&self) -> usize {
        self.kept().len()
    }

    /// Whether it keeps nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.kept().is_empty()
    }

    /// Does what a notification with descriptors asks for. What is beyond the capacity is dropped
    /// without a word, as systemd does; with `BARRIER=1`, all are closed.
    pub fn take(&self, message: &str, descriptors: Vec<OwnedFd>) {
        if !message.lines().any(|line| line == "FDSTORE=1") {
            return;
        }
        let name = message
            .lines()
            .find_map(|line| line.strip_prefix("FDNAME="))
            .unwrap_or("stored");
        for descriptor in descriptors {
            self.put(name, descriptor);
        }
    }

    /// Keeps a descriptor, if there is room.
    pub fn put(&self, name: &str, descriptor: OwnedFd) {
        let mut kept = self.kept();
        if kept.len() < self.capacity {
            kept.push((name.to_owned(), descriptor));
        }
    }

    /// Takes a descriptor out.
    pub fn remove(&self, index: usize) -> Option<(String, OwnedFd)> {
        let mut kept = self.kept();
        (index < kept.len()).then(|| kept.remove(index))
    }

    /// The same descriptor again.
    ///
    /// # Errors
    /// When there is none of that number, or it cannot be copied.
    pub fn copy(&self, index: usize) -> Result<(String, OwnedFd)> {
        let kept = self.kept();
        let (name, descriptor) = kept.get(index).context("nothing is stored there")?;
        Ok((name.clone(), descriptor.try_clone()?))
    }

    /// How a shell hands everything that is kept to `program`, as systemd does.
    ///
    /// # Errors
    /// When a descriptor cannot be copied.
    pub fn handing_to(&self, program: &Path) -> Result<Handing> {
        let (mut sources, mut names) = (Vec::new(), Vec::new());
        let mut redirections = String::new();
        for (target, (name, descriptor)) in (FIRST_TARGET..).zip(self.kept().iter()) {
            let source = fcntl_dupfd_cloexec(descriptor, FIRST_SOURCE)?;
            // Or the shell would not have it.
            fcntl_setfd(&source, FdFlags::empty())?;
            let number = source.as_raw_fd();
            write!(redirections, " {target}<&{number} {number}<&-")?;
            sources.push(source);
            names.push(name.clone());
        }
        let script = format!("export LISTEN_PID=$$; exec \"$0\" \"$@\"{redirections}");
        Ok(Handing {
            arguments: vec!["-c".into(), script.into(), program.into()],
            environment: vec![
                ("LISTEN_FDS".into(), names.len().to_string().into()),
                ("LISTEN_FDNAMES".into(), names.join(":").into()),
                ("FDSTORE".into(), self.capacity.to_string().into()),
            ],
            _sources: sources,
        })
    }

    fn kept(&self) -> MutexGuard<'_, Vec<(String, OwnedFd)>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What `bash` is started with so that it becomes a program which has the descriptors. It must live
/// until then.
#[derive(Debug)]
pub struct Handing {
    /// The arguments of `bash`, to which those of the program are added.
    pub arguments: Vec<OsString>,
    /// What is added to its environment.
    pub environment: Vec<(OsString, OsString)>,
    _sources: Vec<OwnedFd>,
}
