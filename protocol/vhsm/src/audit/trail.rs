use super::{AuditFault, AuditFile, Digest, ENTRY_HEAD_LEN, Linked, MAX_ENTRY_LEN};
use crate::limits::AUDIT_DIGEST_LEN;
use thiserror::Error;

/// How the reason of an entry begins that follows one that was cut off by a crash. It is the first
/// of its file, and what was cut off is the end of the file before.
pub const CUT_OFF: &str = "the end of the file before was cut off";

/// What the first entry of all follows.
const NO_ENTRY: Digest = [0; AUDIT_DIGEST_LEN];

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

/// What is wrong with the files together. Files are counted from 0, the oldest; which one it is that
/// has the fault says [`TrailFault::file`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum TrailFault {
    /// A file has a fault.
    #[error("the file has a fault")]
    File {
        /// Which.
        file: usize,
        /// The fault.
        #[source]
        fault: AuditFault,
    },
    /// Between a file and the one before it entries are missing.
    #[error("the file begins with entry {found}, and between it and entry {last} there is nothing")]
    Missing {
        /// Which.
        file: usize,
        /// The number of the newest entry before it.
        last: u64,
        /// The number it begins with.
        found: u64,
    },
    /// A file is doubled, or in another's place.
    #[error("the file begins with entry {found}, though entry {last} stands before it")]
    OutOfOrder {
        /// Which.
        file: usize,
        /// The number of the newest entry before it.
        last: u64,
        /// The number it begins with.
        found: u64,
    },
    /// A file goes on with the right number, and not from the entry before it.
    #[error("the file begins with entry {sequence} of another chain")]
    Foreign {
        /// Which.
        file: usize,
        /// The number it begins with.
        sequence: u64,
    },
    /// The end of a file is cut off, and no entry says so: vhsmd crashed and has not been started
    /// since, or somebody has changed it.
    #[error("the end of the file is cut off, and no entry says so")]
    CutOff {
        /// Which.
        file: usize,
        /// How.
        #[source]
        fault: AuditFault,
    },
}

impl TrailFault {
    /// Which file has it, counted from 0, the oldest.
    pub fn file(&self) -> usize {
        match self {
            Self::File { file, .. }
            | Self::Missing { file, .. }
            | Self::OutOfOrder { file, .. }
            | Self::Foreign { file, .. }
            | Self::CutOff { file, .. } => *file,
        }
    }
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
        // Before the first entry of all there is none, and that has a digest too.
        let first = (found == 1).then_some((0, NO_ENTRY));
        if let Some((last, digest)) = self.head.or(first) {
            if found <= last {
                return Err(TrailFault::OutOfOrder { file, last, found });
            }
            if found - last > 1 {
                return Err(TrailFault::Missing { file, last, found });
            }
            if *linked.entry.previous != digest {
                let sequence = found;
                return Err(TrailFault::Foreign { file, sequence });
            }
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
        // Half of an entry may have a wrong digest, which stands at its end, and no wrong number.
        let is_whole = matches!(fault, AuditFault::Sequence { .. });
        if self.cut_off.is_some() || is_whole || rest.iter().any(|byte| *byte != 0) {
            return Err(TrailFault::File { file, fault });
        }
        self.cut_off = Some(fault);
        Ok(())
    }
}
