//! The types that hold secrets.

use std::fmt;

/// The arena has no room for what was asked, or [`crate::install`] has not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("locked arena has no room left")]
pub struct ArenaFull;

/// Bytes of any length in the heap arena, zeroed when dropped.
pub struct SecretBuf {
    len: usize,
}

impl SecretBuf {
    /// `len` zero bytes, to be filled in place.
    ///
    /// # Errors
    /// [`ArenaFull`].
    pub fn with_len(_len: usize) -> Result<Self, ArenaFull> {
        Err(ArenaFull)
    }

    /// A copy of `bytes`; the caller answers for where those were.
    ///
    /// # Errors
    /// [`ArenaFull`].
    pub fn copy_of(_bytes: &[u8]) -> Result<Self, ArenaFull> {
        Err(ArenaFull)
    }

    /// The bytes.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &[]
    }

    /// The bytes, to be written in place.
    pub fn expose_mut(&mut self) -> &mut [u8] {
        &mut []
    }

    /// Length in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Shortens to `len` bytes and zeroes what is cut off. Longer than now changes nothing.
    pub fn truncate(&mut self, _len: usize) {}
}

impl fmt::Debug for SecretBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretBuf(redacted)")
    }
}

/// Key material of fixed length in the records arena, zeroed when dropped.
pub struct Record {}

impl Record {
    /// A copy of `bytes`; the caller answers for where those were.
    ///
    /// # Errors
    /// [`ArenaFull`].
    pub fn new(_bytes: &[u8]) -> Result<Self, ArenaFull> {
        Err(ArenaFull)
    }

    /// `len` bytes that `fill` writes in place; they are zero before.
    ///
    /// # Errors
    /// [`ArenaFull`]; `fill` is not called then.
    pub fn from_fn(_len: usize, _fill: impl FnOnce(&mut [u8])) -> Result<Self, ArenaFull> {
        Err(ArenaFull)
    }

    /// The bytes.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &[]
    }

    /// Length in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        0
    }

    /// Whether there are no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        true
    }

    /// Whether the bytes are `other`, in time that depends on the lengths alone.
    #[must_use]
    pub fn ct_eq(&self, _other: &[u8]) -> bool {
        false
    }
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Record(redacted)")
    }
}
