//! The types that hold secrets.

use crate::arena::Draw;
use crate::arenas::arenas;
use crate::mapping::wipe;
#[cfg(test)]
use crate::redirect::sabotage;
use std::fmt;
use std::ptr::NonNull;

/// The arena has no room for what was asked, or [`crate::install`] has not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("locked arena has no room left")]
pub struct ArenaFull;

/// Bytes of any length in the heap arena, zeroed when dropped.
///
/// There is no way to copy, compare, print or serialise one; [`SecretBuf::expose`] is the one
/// place where the bytes come out.
///
/// ```
/// # use nitride_secmem::{install, ArenaSizes, BackingChoice, SecretBuf};
/// # install(ArenaSizes { records_len: 1 << 16, records_max_len: 1 << 16, heap_len: 1 << 20 }, BackingChoice::Best, Vec::new())?;
/// let secret = SecretBuf::copy_of(b"correct horse")?;
/// assert_eq!(secret.expose(), b"correct horse");
/// assert_eq!(format!("{secret:?}"), "SecretBuf(13 bytes, redacted)");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
/// ```compile_fail,E0599
/// fn copy(secret: &nitride_secmem::SecretBuf) -> nitride_secmem::SecretBuf {
///     secret.clone()
/// }
/// ```
/// ```compile_fail,E0369
/// fn compare(one: &nitride_secmem::SecretBuf, other: &nitride_secmem::SecretBuf) -> bool {
///     one == other
/// }
/// ```
/// ```compile_fail,E0277
/// fn print(secret: &nitride_secmem::SecretBuf) -> String {
///     format!("{secret}")
/// }
/// ```
/// ```compile_fail,E0277
/// fn view(secret: &nitride_secmem::SecretBuf) {
///     fn takes_bytes(_: impl AsRef<[u8]>) {}
///     takes_bytes(secret)
/// }
/// ```
/// ```compile_fail,E0608
/// fn pick(secret: &nitride_secmem::SecretBuf) -> u8 {
///     secret[0]
/// }
/// ```
pub struct SecretBuf {
    bytes: ArenaBytes,
}

impl SecretBuf {
    /// `len` zero bytes, to be filled in place.
    ///
    /// # Errors
    /// [`ArenaFull`].
    pub fn with_len(len: usize) -> Result<Self, ArenaFull> {
        Ok(Self {
            bytes: ArenaBytes::allocate(len)?,
        })
    }

    /// A copy of `bytes`; the caller answers for where those were.
    ///
    /// # Errors
    /// [`ArenaFull`].
    pub fn copy_of(bytes: &[u8]) -> Result<Self, ArenaFull> {
        let mut secret = Self::with_len(bytes.len())?;
        secret.expose_mut().copy_from_slice(bytes);
        Ok(secret)
    }

    /// The bytes.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        self.bytes.as_slice()
    }

    /// The bytes, to be written in place.
    pub fn expose_mut(&mut self) -> &mut [u8] {
        self.bytes.as_mut_slice()
    }

    /// Length in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.len
    }

    /// Whether there are no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.len == 0
    }

    /// Shortens to `len` bytes and zeroes what is cut off. Longer than now changes nothing.
    pub fn truncate(&mut self, len: usize) {
        self.bytes.truncate(len);
    }
}

impl fmt::Debug for SecretBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretBuf({} bytes, redacted)", self.len())
    }
}

/// An object of the heap arena that we alone hold, and give back when dropped.
struct ArenaBytes {
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: the object is reached through its one owner only, and the arena takes it back on any
// thread.
unsafe impl Send for ArenaBytes {}
// SAFETY: through a shared reference, the bytes are only read.
unsafe impl Sync for ArenaBytes {}

impl ArenaBytes {
    fn allocate(len: usize) -> Result<Self, ArenaFull> {
        #[cfg(test)]
        if sabotage::strikes() {
            return Err(ArenaFull);
        }
        // A slice may be no longer than isize::MAX; an arena never is.
        let start = arenas()
            .and_then(|arenas| arenas.heap.allocate(len, Draw::Ordinary))
            .ok_or(ArenaFull)?;
        #[cfg(test)]
        sabotage::count(1);
        Ok(Self { start, len })
    }

    fn as_slice(&self) -> &[u8] {
        // SAFETY: the arena gave us at least `len` initialised (zeroed) bytes at `start`, which
        // stay until drop; the borrow of self keeps that away and every writer out.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }

    fn as_mut_slice(&mut self) -> &mut [u8] {
        // SAFETY: as above; the exclusive borrow of the only owner keeps readers out too.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }

    fn truncate(&mut self, len: usize) {
        if let Some(cut) = self.as_mut_slice().get_mut(len..) {
            // SAFETY: the pointer and the length are those of a slice that we alone borrow.
            unsafe { wipe(cut.as_mut_ptr(), cut.len()) };
            self.len = len;
        }
    }
}

impl Drop for ArenaBytes {
    fn drop(&mut self) {
        if let Some(arenas) = arenas() {
            // SAFETY: the owner goes away, and every borrow with it.
            unsafe { arenas.heap.release(self.start) };
            #[cfg(test)]
            sabotage::count(-1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Record;
    use crate::install::arena_ranges;
    use crate::testing::installed;

    fn is_within(bytes: &[u8], range: (usize, usize)) -> bool {
        let start = bytes.as_ptr().addr();
        start >= range.0 && start + bytes.len() <= range.0 + range.1
    }

    #[test]
    fn each_type_lies_in_its_arena() {
        installed();
        let ranges = arena_ranges();
        let (heap, records) = ranges.split_last().unwrap();
        for len in [0, 1, 32, 5000] {
            let record = Record::from_fn(len, |bytes| bytes.fill(9)).unwrap();
            assert!(is_within(record.expose(), records[0]));
            assert_eq!(record.expose(), vec![9; len]);
            assert_eq!((record.len(), record.is_empty()), (len, len == 0));
            let secret = SecretBuf::with_len(len).unwrap();
            assert!(is_within(secret.expose(), *heap));
            assert_eq!(secret.expose(), vec![0; len]);
            assert_eq!((secret.len(), secret.is_empty()), (len, len == 0));
        }
    }

    #[test]
    fn what_is_cut_off_is_zeroed_at_once() {
        installed();
        let mut secret = SecretBuf::copy_of(&[0xaa; 100]).unwrap();
        secret.truncate(200);
        assert_eq!(secret.expose(), [0xaa; 100]);
        let tail = secret.expose()[60..].as_ptr();
        secret.truncate(60);
        assert_eq!(secret.expose(), [0xaa; 60]);
        // SAFETY: the object still has room for 100 bytes, of which nobody else knows.
        let tail = unsafe { std::slice::from_raw_parts(tail, 40) };
        assert_eq!(tail, [0; 40]);
        secret.truncate(0);
        assert!(secret.is_empty());
    }

    #[test]
    fn a_length_beyond_the_arena_is_refused() {
        installed();
        for len in [3 << 20, usize::MAX / 2, usize::MAX] {
            assert_eq!(SecretBuf::with_len(len).unwrap_err(), ArenaFull);
            let refused = Record::from_fn(len, |_| panic!("nothing to fill"));
            assert_eq!(refused.unwrap_err(), ArenaFull);
        }
    }

    #[test]
    fn records_compare_by_length_and_every_byte() {
        installed();
        let record = Record::new(b"passphrase").unwrap();
        assert!(record.ct_eq(b"passphrase"));
        assert!(!record.ct_eq(b"passphrasE"));
        assert!(!record.ct_eq(b"passphras"));
        assert!(!record.ct_eq(b""));
    }
}
