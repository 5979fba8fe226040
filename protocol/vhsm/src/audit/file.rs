use super::{AuditEntry, Digest, ENTRY_HEAD_LEN, MAGIC, MAX_ENTRY_LEN, chain};
use crate::Message;
use nitride_cbor::{DecodeError, Reader};
use thiserror::Error;

/// What is wrong with a file of the audit, and at which byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum AuditFault {
    /// The file does not begin as one of the audit's does.
    #[error("file is not one of the audit's")]
    NotAnAudit,
    /// An entry ends after the file does.
    #[error("entry at byte {at} is cut off")]
    CutOff {
        /// Where the entry begins.
        at: usize,
    },
    /// An entry announces more than an entry has.
    #[error("entry at byte {at} announces {len} bytes")]
    TooLong {
        /// Where the entry begins.
        at: usize,
        /// What it announces.
        len: usize,
    },
    /// An entry is not of the format.
    #[error("entry at byte {at} cannot be read")]
    Malformed {
        /// Where the entry begins.
        at: usize,
        /// What is wrong with it.
        #[source]
        source: DecodeError,
    },
    /// An entry has a number that does not follow.
    #[error("entry at byte {at} has the number {found} instead of {expected}")]
    Sequence {
        /// Where the entry begins.
        at: usize,
        /// The number after that of the entry before it.
        expected: u64,
        /// Its number.
        found: u64,
    },
    /// An entry does not have the digest of the one before it.
    #[error("entry {sequence} at byte {at} does not follow from the one before it")]
    Chain {
        /// Where the entry begins.
        at: usize,
        /// Its number.
        sequence: u64,
    },
}

/// An entry that follows from the one before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Linked<'f> {
    /// The entry.
    pub entry: AuditEntry<'f>,
    /// Its digest.
    pub digest: Digest,
}

/// The entries of a file in their order, each checked against the one before it. The first one's
/// `previous` is for the caller to compare with where the file before it ended.
///
/// After a fault there are no more entries.
#[derive(Debug, Clone)]
pub struct AuditFile<'f, H> {
    bytes: &'f [u8],
    at: usize,
    head: Option<(u64, Digest)>,
    sha256: H,
}

impl<'f, H: Fn(&[&[u8]]) -> Digest> AuditFile<'f, H> {
    /// A whole file.
    ///
    /// # Errors
    /// [`AuditFault::NotAnAudit`].
    pub fn new(bytes: &'f [u8], sha256: H) -> Result<Self, AuditFault> {
        if !bytes.starts_with(MAGIC) {
            return Err(AuditFault::NotAnAudit);
        }
        Ok(Self {
            bytes,
            at: MAGIC.len(),
            head: None,
            sha256,
        })
    }

    /// The rest of a file of which what stands before `at` was read earlier; `head` is the entry
    /// that was read last, in this file or in the one before it. Nothing is looked at before `at`.
    pub fn resume(bytes: &'f [u8], at: usize, head: Option<(u64, Digest)>, sha256: H) -> Self {
        Self {
            bytes,
            at,
            head,
            sha256,
        }
    }

    /// The number and the digest of the entry that was read last.
    pub fn head(&self) -> Option<(u64, Digest)> {
        self.head
    }

    /// Where the next entry begins: after the last one, where it would be written.
    pub fn position(&self) -> usize {
        self.at
    }

    fn link(&mut self) -> Result<Option<Linked<'f>>, AuditFault> {
        let at = self.at;
        let rest = self.bytes.get(at..).unwrap_or_default();
        // A file has its length from the beginning. Looked at until the first byte that is not zero,
        // which is in an entry's own head where there is an entry.
        if rest.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        let (head, rest) = rest
            .split_first_chunk::<ENTRY_HEAD_LEN>()
            .ok_or(AuditFault::CutOff { at })?;
        let len = u32::from_be_bytes(*head) as usize;
        if len > MAX_ENTRY_LEN {
            return Err(AuditFault::TooLong { at, len });
        }
        let bytes = rest.get(..len).ok_or(AuditFault::CutOff { at })?;
        let entry = AuditEntry::decode_last(Reader::new(bytes))
            .map_err(|source| AuditFault::Malformed { at, source })?;
        if let Some((sequence, digest)) = self.head {
            let expected = sequence.saturating_add(1);
            if entry.sequence != expected {
                let found = entry.sequence;
                return Err(AuditFault::Sequence {
                    at,
                    expected,
                    found,
                });
            }
            if *entry.previous != digest {
                let sequence = entry.sequence;
                return Err(AuditFault::Chain { at, sequence });
            }
        }
        let digest = chain(entry.previous, bytes, &self.sha256);
        self.head = Some((entry.sequence, digest));
        self.at = at + ENTRY_HEAD_LEN + len;
        Ok(Some(Linked { entry, digest }))
    }
}

impl<'f, H: Fn(&[&[u8]]) -> Digest> Iterator for AuditFile<'f, H> {
    type Item = Result<Linked<'f>, AuditFault>;

    fn next(&mut self) -> Option<Self::Item> {
        let linked = self.link();
        if linked.is_err() {
            self.bytes = &[];
        }
        linked.transpose()
    }
}
