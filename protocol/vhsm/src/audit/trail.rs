use super::{AuditFault, AuditFile, Digest, ENTRY_HEAD_LEN, Linked, MAX_ENTRY_LEN};
use thiserror::Error;

/// How the reason of an entry begins that follows one that was cut off by a crash. It is the first
/// of its file, and what was cut off is the end of the file before.
pub const CUT_OFF: &str = "the end of the file before was cut off";

/// Files of one audit, oldest first, each checked against the ones before it.
#[derive(Debug, Clone)]
pub struct Trail<H> {
    sha256: H,
    files: usize,
    entries: u64,
    first: Option<u64>,
    head: Option<(u64, Digest)>,
    /// What is cut off at the end of the last file, until an entry says so.
    cut_off: Option<AuditFault>,
}

/// What holds of the files together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verified {
    /// How many entries there are.
    pub entries: u64,
    /// The first one's number; more than 1 where older files are gone. `None` is no entry.
    pub first: Option<u64>,
    /// The newest one's number and digest.
    pub head: Option<(u64, Digest)>,
}

/// What is wrong with the files together. Files are counted from 0, the oldest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum TrailFault {
    /// A file has a fault.
    #[error("file {file} has a fault")]
    File {
        /// Which.
        file: usize,
        /// The fault.
        #[source]
        fault: AuditFault,
    },
    /// A file does not go on where the one before it ended.
    #[error("file {file} begins with entry {found}, which does not follow entry {last}")]
    Gap {
        /// Which.
        file: usize,
        /// The number of the newest entry before it.
        last: u64,
        /// The number it begins with.
        found: u64,
    },
    /// The end of a file is cut off, and no entry says so: vhsmd crashed and has not been started
    /// since, or somebody has changed it.
    #[error("the end of file {file} is cut off, and no entry says so")]
    CutOff {
        /// Which.
        file: usize,
        /// How.
        #[source]
        fault: AuditFault,
    },
}

impl<H: Fn(&[&[u8]]) -> Digest + Copy> Trail<H> {
    /// No file yet.
    pub fn new(sha256: H) -> Self {
        Self {
            sha256,
            files: 0,
            entries: 0,
            first: None,
            head: None,
            cut_off: None,
        }
    }

    /// Takes the next file and hands each of its entries to `seen`.
    ///
    /// # Errors
    /// [`TrailFault`]; then nothing that came after the fault counts.
    pub fn add(
        &mut self,
        bytes: &[u8],
        mut seen: impl FnMut(&Linked<'_>),
    ) -> Result<(), TrailFault> {
        let file = self.files;
        self.files += 1;
        let mut entries = match AuditFile::new(bytes, self.sha256) {
            Ok(entries) => entries,
            Err(fault) => return self.note_cut_off(file, bytes, 0, fault),
        };
        let mut is_first = true;
        loop {
            let at = entries.position();
            let linked = match entries.next() {
                None => return Ok(()),
                Some(Ok(linked)) => linked,
                Some(Err(fault)) => return self.note_cut_off(file, bytes, at, fault),
            };
            if is_first {
                self.follows(file, &linked)?;
                is_first = false;
            }
            self.first.get_or_insert(linked.entry.sequence);
            self.head = Some((linked.entry.sequence, linked.digest));
            self.entries += 1;
            seen(&linked);
        }
    }

    /// What holds of all that was added.
    ///
    /// # Errors
    /// [`TrailFault::CutOff`] where the last file has a torn end.
    pub fn finish(&self) -> Result<Verified, TrailFault> {
        if let Some(fault) = self.cut_off {
            let file = self.files.saturating_sub(1);
            return Err(TrailFault::CutOff { file, fault });
        }
        Ok(Verified {
            entries: self.entries,
            first: self.first,
            head: self.head,
        })
    }

    fn follows(&mut self, file: usize, linked: &Linked<'_>) -> Result<(), TrailFault> {
        let found = linked.entry.sequence;
        if let Some((last, digest)) = self.head
            && (last.checked_add(1) != Some(found) || *linked.entry.previous != digest)
        {
            return Err(TrailFault::Gap { file, last, found });
        }
        match self.cut_off.take() {
            Some(fault) if !linked.entry.reason.starts_with(CUT_OFF) => Err(TrailFault::CutOff {
                file: file.saturating_sub(1),
                fault,
            }),
            _ => Ok(()),
        }
    }

    /// A crash cuts off one entry, the last; what goes on after that is something else.
    fn note_cut_off(
        &mut self,
        file: usize,
        bytes: &[u8],
        at: usize,
        fault: AuditFault,
    ) -> Result<(), TrailFault> {
        let after = at.saturating_add(ENTRY_HEAD_LEN + MAX_ENTRY_LEN);
        let rest = bytes.get(after..).unwrap_or_default();
        if self.cut_off.is_some() || rest.iter().any(|byte| *byte != 0) {
            return Err(TrailFault::File { file, fault });
        }
        self.cut_off = Some(fault);
        Ok(())
    }
}
