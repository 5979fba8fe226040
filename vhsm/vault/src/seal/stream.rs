//! The chunks of a sealed file, as in STREAM (Hoang, Reyhanitabar, Rogaway and Vizár, 2015): the
//! nonce counts them and marks the last, so that none can be left out, moved, doubled or cut off.
//! One chunk of plaintext is in the arena at a time.

use super::{Head, SealFault, SealingKey};
use nitride_secmem::SecretBuf;
use nitride_secmem::crypto::{AeadKey, NONCE_LEN, TAG_LEN};

/// Bytes of plaintext in every chunk but the last.
pub(super) const CHUNK_LEN: usize = 64 << 10;
/// Bytes of a sealed file, at most.
pub const MAX_FILE_LEN: usize = 64 << 20;
/// Bytes of an item: a version's fields at their longest, and its material.
const MAX_ITEM_LEN: usize = 2 << 20;

/// A file that is being sealed.
pub(super) struct Chunks<'k> {
    key: &'k AeadKey,
    digest: [u8; 32],
    /// What is not sealed yet.
    chunk: SecretBuf,
    len: usize,
    number: u32,
    file: Vec<u8>,
}

impl<'k> Chunks<'k> {
    pub(super) fn new(head: &Head, key: &'k SealingKey) -> Result<Self, SealFault> {
        Ok(Self {
            digest: key.of(head)?,
            key: &key.key,
            chunk: SecretBuf::with_len(CHUNK_LEN)?,
            len: 0,
            number: 0,
            file: head.encode()?,
        })
    }

    /// Adds bytes, wherever chunks end.
    pub(super) fn push(&mut self, mut bytes: &[u8]) -> Result<(), SealFault> {
        while !bytes.is_empty() {
            if self.len == CHUNK_LEN {
                self.seal(false)?;
            }
            let room = self
                .chunk
                .expose_mut()
                .get_mut(self.len..)
                .unwrap_or_default();
            let (now, later) = bytes.split_at(bytes.len().min(room.len()));
            if let Some(place) = room.get_mut(..now.len()) {
                place.copy_from_slice(now);
            }
            self.len += now.len();
            bytes = later;
        }
        Ok(())
    }

    /// Seals the rest; gives the file.
    pub(super) fn finish(mut self) -> Result<Vec<u8>, SealFault> {
        self.seal(true)?;
        Ok(self.file)
    }

    fn seal(&mut self, is_last: bool) -> Result<(), SealFault> {
        let start = self.file.len();
        let end = start + self.len + TAG_LEN;
        if end > MAX_FILE_LEN {
            return Err(SealFault::TooLong);
        }
        self.file.resize(end, 0);
        let place = self.file.get_mut(start..).unwrap_or_default();
        let chunk = self.chunk.expose().get(..self.len).unwrap_or_default();
        let nonce = nonce(self.number, is_last);
        self.key.seal(&nonce, &[&self.digest], chunk, place)?;
        self.number += 1;
        self.len = 0;
        Ok(())
    }
}

/// A file that is being opened.
pub(super) struct Opened<'k, 'f> {
    key: &'k AeadKey,
    digest: [u8; 32],
    /// What is not opened yet; `None` once the last chunk is.
    sealed: Option<&'f [u8]>,
    number: u32,
    chunk: SecretBuf,
    /// Of the chunk, what is read already, and how much there is.
    at: usize,
    len: usize,
}

impl<'k, 'f> Opened<'k, 'f> {
    /// Begins with the chunks after `head`, which has to be the one that `file` has.
    pub(super) fn new(head: &Head, key: &'k SealingKey, file: &'f [u8]) -> Result<Self, SealFault> {
        if file.len() > MAX_FILE_LEN {
            return Err(SealFault::TooLong);
        }
        let sealed = file.strip_prefix(head.encode()?.as_slice());
        Ok(Self {
            digest: key.of(head)?,
            key: &key.key,
            sealed: Some(sealed.ok_or(SealFault::OtherHead)?),
            number: 0,
            chunk: SecretBuf::with_len(CHUNK_LEN)?,
            at: 0,
            len: 0,
        })
    }

    /// The next item, in the arena; `None` after the last one.
    pub(super) fn item(&mut self) -> Result<Option<SecretBuf>, SealFault> {
        while self.at == self.len {
            if !self.open()? {
                return Ok(None);
            }
        }
        let mut len = [0; 4];
        self.read(&mut len)?;
        let len = u32::from_be_bytes(len) as usize;
        if len > MAX_ITEM_LEN {
            return Err(SealFault::Inconsistent {
                what: "the length of an item",
            });
        }
        let mut item = SecretBuf::with_len(len)?;
        self.read(item.expose_mut())?;
        Ok(Some(item))
    }

    fn read(&mut self, mut out: &mut [u8]) -> Result<(), SealFault> {
        while !out.is_empty() {
            if self.at == self.len && !self.open()? {
                return Err(SealFault::Cut);
            }
            let chunk = self.chunk.expose().get(self.at..self.len);
            let chunk = chunk.unwrap_or_default();
            let len = chunk.len().min(out.len());
            let (place, rest) = out.split_at_mut(len);
            place.copy_from_slice(chunk.get(..len).unwrap_or_default());
            self.at += len;
            out = rest;
        }
        Ok(())
    }

    /// Opens the next chunk; says whether there was one.
    fn open(&mut self) -> Result<bool, SealFault> {
        let Some(sealed) = self.sealed else {
            return Ok(false);
        };
        let (now, later) = match sealed.split_at_checked(CHUNK_LEN + TAG_LEN) {
            Some((now, later)) if !later.is_empty() => (now, Some(later)),
            _ => (sealed, None),
        };
        let len = now.len().checked_sub(TAG_LEN).ok_or(SealFault::Cut)?;
        // One spelling: only a file without items ends in an empty chunk.
        if len == 0 && self.number > 0 {
            return Err(SealFault::Cut);
        }
        let nonce = nonce(self.number, later.is_none());
        let place = self.chunk.expose_mut();
        self.key.open(&nonce, &[&self.digest], now, place)?;
        (self.at, self.len) = (0, len);
        self.sealed = later;
        self.number += 1;
        Ok(true)
    }
}

fn nonce(number: u32, is_last: bool) -> [u8; NONCE_LEN] {
    let [n0, n1, n2, n3] = number.to_be_bytes();
    [0, 0, 0, 0, 0, 0, 0, n0, n1, n2, n3, u8::from(is_last)]
}
