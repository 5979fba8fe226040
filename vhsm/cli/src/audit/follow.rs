use super::AuditFailure;
use super::files::{PAUSE, TRIES, files, unreadable};
use super::lines::{line, value};
use crate::answer::Answer;
use crate::failure::Failure;
use nitride_protocol::audit::{AuditFault, AuditFile, CUT_OFF, Digest, Linked, MAGIC};
use nitride_secmem::crypto::sha256;
use std::fs;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// How often files are looked at.
const POLL: Duration = Duration::from_millis(250);
/// A file that was changed longer ago is as it was read: clocks of file systems are coarse.
const SETTLED: Duration = Duration::from_secs(2);

/// Where to read on in the audit's files while vhsmd writes them.
#[derive(Debug)]
pub(super) struct Follower {
    path: PathBuf,
    /// Where the next entry of the file begins.
    at: usize,
    /// The entry that was read last.
    head: Option<(u64, Digest)>,
    /// When the file had been changed as it was read.
    modified: Option<SystemTime>,
    /// That the file before this one has a torn end, until an entry says so.
    cut_off: Option<AuditFault>,
    /// How often a fault was read that may be half of an entry.
    tries: u8,
}

impl Follower {
    /// Reads on after `head`, the last entry in `path`, of which `bytes` were read and checked.
    pub(super) fn new(path: PathBuf, bytes: &[u8], head: Option<(u64, Digest)>) -> Self {
        let mut at = MAGIC.len();
        if let Ok(mut file) = AuditFile::new(bytes, sha256) {
            while let Some(Ok(_)) = file.next() {}
            at = file.position();
        }
        Self {
            path,
            at,
            head,
            modified: None,
            cut_off: None,
            tries: 0,
        }
    }

    /// Hands each entry to `seen` that has come since, over as many files as there are.
    pub(super) fn step(
        &mut self,
        seen: &mut dyn FnMut(&Linked<'_>) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        loop {
            // Looked for first: once there is a later file, nothing is written to this one.
            let later = self.later()?;
            if later.is_none() && self.is_as_read() {
                return Ok(());
            }
            let fault = self.read(seen)?;
            let Some(path) = later else {
                return self.wait_out(fault);
            };
            self.path = path;
            self.at = MAGIC.len();
            self.modified = None;
            self.cut_off = fault;
            self.tries = 0;
        }
    }

    /// The entries of the file from where it was left, to its end or a fault.
    fn read(
        &mut self,
        seen: &mut dyn FnMut(&Linked<'_>) -> Result<(), Failure>,
    ) -> Result<Option<AuditFault>, Failure> {
        self.modified = modified(&self.path);
        let bytes = match fs::read(&self.path) {
            Ok(bytes) => bytes,
            // It has rotated out; whether all of it was read shows in the next one.
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(unreadable(&self.path, error)),
        };
        if !bytes.starts_with(MAGIC) {
            return Ok(Some(AuditFault::NotAnAudit));
        }
        let mut file = AuditFile::resume(&bytes, self.at, self.head, sha256);
        let mut found = None;
        for linked in file.by_ref() {
            match linked {
                Ok(linked) => {
                    if let Some(fault) = self.cut_off.take()
                        && !linked.entry.reason.starts_with(CUT_OFF)
                    {
                        return Err(fault_in(&self.path, fault));
                    }
                    seen(&linked)?;
                }
                Err(fault) => found = Some(fault),
            }
        }
        self.at = file.position();
        self.head = file.head();
        Ok(found)
    }

    /// What is being written may be read half written: a fault is one that stays.
    fn wait_out(&mut self, fault: Option<AuditFault>) -> Result<(), Failure> {
        match fault {
            None => self.tries = 0,
            // Half of an entry has no wrong number.
            Some(fault) if self.tries >= TRIES || matches!(fault, AuditFault::Sequence { .. }) => {
                return Err(fault_in(&self.path, fault));
            }
            Some(_) => {
                self.tries += 1;
                self.modified = None;
                std::thread::sleep(PAUSE);
            }
        }
        Ok(())
    }

    /// The file after this one.
    fn later(&self) -> Result<Option<PathBuf>, Failure> {
        let folder = self.path.parent().unwrap_or(Path::new("."));
        let files = files(folder).map_err(|error| unreadable(folder, error))?;
        Ok(files.into_iter().find(|path| *path > self.path))
    }

    fn is_as_read(&self) -> bool {
        let now = modified(&self.path);
        let age = now.and_then(|time| time.elapsed().ok());
        now.is_some() && now == self.modified && age.is_some_and(|age| age > SETTLED)
    }
}

fn modified(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).ok()?.modified().ok()
}

fn fault_in(path: &Path, fault: AuditFault) -> Failure {
    let path = path.to_owned();
    AuditFailure::Followed { path, fault }.into()
}

/// Prints `newest`, and every entry that comes after, until nobody reads any more.
pub(super) fn print_for_ever(
    newest: Answer,
    mut follower: Follower,
    as_json: bool,
) -> Result<(), Failure> {
    let put = |text: &str| {
        let mut out = io::stdout().lock();
        let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
        written.map_err(|source| Failure::Write { path: None, source })
    };
    let mut print = || -> Result<(), Failure> {
        if let Answer::Text { text, json } = &newest {
            match json.as_array().filter(|_| as_json) {
                Some(values) => values
                    .iter()
                    .try_for_each(|value| put(&format!("{value}\n")))?,
                None => put(text)?,
            }
        }
        loop {
            follower.step(&mut |linked| match as_json {
                true => put(&format!("{}\n", value(&linked.entry))),
                false => put(&line(&linked.entry)),
            })?;
            std::thread::sleep(POLL);
        }
    };
    match print() {
        Err(Failure::Write { source, .. }) if source.kind() == ErrorKind::BrokenPipe => Ok(()),
        ended => ended,
    }
}
