//! A passphrase of a volume, in memory that neither moves nor grows.

use std::fmt;
use std::io::{ErrorKind, Read};
use thiserror::Error;
use zeroize::Zeroizing;

/// Bytes of the longest passphrase: what every pipe takes at once, so that writing one never waits
/// for its reader.
pub(crate) const MAX_LEN: usize = 4096;
/// From this on a passphrase that was drawn at random needs no stretching.
pub(crate) const STRONG_LEN: usize = 32;

/// 1 to [`MAX_LEN`] bytes, erased when dropped. The process keeps its memory out of swap (see
/// [`crate::hardening`]).
pub(crate) struct Passphrase {
    buffer: Zeroizing<Box<[u8]>>,
    len: usize,
}

/// Why there is no passphrase.
#[derive(Debug, Error)]
pub(crate) enum PassphraseError {
    #[error("nothing came, so no passphrase is to be had")]
    Empty,
    #[error("more than {MAX_LEN} bytes came, so it is no passphrase")]
    TooLong,
    #[error("the passphrase did not come in time")]
    TimedOut,
    #[error("the passphrase cannot be read")]
    Unreadable(#[source] std::io::Error),
}

impl Passphrase {
    /// Reads to the end of `from`; every byte counts, a line's end too.
    pub(crate) fn read(mut from: impl Read) -> Result<Self, PassphraseError> {
        let mut buffer = Zeroizing::new(vec![0; MAX_LEN + 1].into_boxed_slice());
        let mut len = 0;
        loop {
            match from.read(&mut buffer[len..]) {
                Ok(0) => break,
                Ok(read) => len += read,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    return Err(PassphraseError::TimedOut);
                }
                Err(error) => return Err(PassphraseError::Unreadable(error)),
            }
            if len > MAX_LEN {
                return Err(PassphraseError::TooLong);
            }
        }
        match len {
            0 => Err(PassphraseError::Empty),
            _ => Ok(Self { buffer, len }),
        }
    }

    /// The bytes, for a pipe to cryptsetup alone.
    pub(crate) fn expose(&self) -> &[u8] {
        &self.buffer[..self.len]
    }

    /// Whether it is long enough to need no stretching.
    pub(crate) fn is_strong(&self) -> bool {
        self.len >= STRONG_LEN
    }

    /// Whether both are the same, in a time that depends on their lengths alone.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        let pairs = self.buffer.iter().zip(other.buffer.iter());
        let difference = pairs.fold(0, |difference, (one, two)| difference | (one ^ two));
        self.len == other.len && std::hint::black_box(difference) == 0
    }
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Passphrase")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_counts() {
        let read = Passphrase::read(&b"secret\n"[..]).unwrap();
        assert_eq!(read.expose(), b"secret\n");
    }

    #[test]
    fn nothing_and_too_much_are_refused() {
        let empty = Passphrase::read(&b""[..]);
        assert!(matches!(empty, Err(PassphraseError::Empty)));
        assert!(Passphrase::read(&[7; MAX_LEN][..]).is_ok());
        let long = Passphrase::read(std::io::repeat(7));
        assert!(matches!(long, Err(PassphraseError::TooLong)));
    }

    #[test]
    fn equal_bytes_alone_are_the_same() {
        let of = |bytes: &[u8]| Passphrase::read(bytes).unwrap();
        assert!(of(b"abc").is_same(&of(b"abc")));
        for other in [&b"abd"[..], b"ab", b"abc\0", b"abcd"] {
            assert!(!of(b"abc").is_same(&of(other)));
        }
    }

    #[test]
    fn debug_shows_nothing() {
        let shown = format!("{:?}", Passphrase::read(&b"hunter2"[..]).unwrap());
        assert_eq!(shown, "Passphrase");
    }

    #[test]
    fn from_32_bytes_on_it_is_strong() {
        assert!(Passphrase::read(&[7; 32][..]).unwrap().is_strong());
        assert!(!Passphrase::read(&[7; 31][..]).unwrap().is_strong());
    }
}
