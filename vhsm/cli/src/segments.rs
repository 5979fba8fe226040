//! Files of segments: data of any length, encrypted a segment at a time.
//!
//! ```text
//! "NVF1"  segment length, u32 big-endian  file id[16]          24 bytes, the head
//! segment 0, 1, 2 ...                                          each in vhsmd's chunked format
//! ```
//!
//! Every segment but the last has as much plaintext as the head says. Each is encrypted by itself,
//! with the additional data
//!
//! ```text
//! "nitride file v1" 0x00  head[24]  number[8, big-endian, from 0]  last[1, 0 or 1]  the user's own
//! ```
//!
//! so that a segment proves genuine in its place in its file alone: none can be left out, put
//! elsewhere, taken from another file, or be the last when it is not.

use crate::failure::Failure;
use nitride_protocol::limits::{MAX_AAD_LEN, chunked_len};
use thiserror::Error;
use zeroize::Zeroizing;

const MAGIC: &[u8; 4] = b"NVF1";
const DOMAIN: &[u8; 16] = b"nitride file v1\0";
/// Bytes before the first segment.
pub(crate) const HEAD_LEN: usize = 24;
/// Plaintext in a segment that this program writes.
pub(crate) const SEGMENT_LEN: u32 = 1 << 20;
/// Plaintext in a segment that this program reads at most.
const MAX_SEGMENT_LEN: u32 = 16 << 20;
/// The user's own additional data.
pub(crate) const MAX_USER_AAD_LEN: usize = MAX_AAD_LEN - DOMAIN.len() - HEAD_LEN - 9;

/// What is wrong with a file of segments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(crate) enum SegmentFault {
    /// The head is cut off or says what cannot be.
    #[error("the head is not that of a file of segments")]
    Head,
    /// A segment is shorter than any can be.
    #[error("segment {number} is cut off")]
    CutOff {
        /// Which.
        number: u64,
    },
}

/// Whether the bytes begin as a file of segments does.
pub(crate) fn is_file(beginning: &[u8]) -> bool {
    beginning.starts_with(MAGIC)
}

/// A file's head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    bytes: [u8; HEAD_LEN],
    segment_len: u32,
}

impl Head {
    /// A new file's, with an id that no other file has.
    pub(crate) fn new(id: [u8; 16]) -> Self {
        let mut bytes = [0; HEAD_LEN];
        bytes[..4].copy_from_slice(MAGIC);
        bytes[4..8].copy_from_slice(&SEGMENT_LEN.to_be_bytes());
        bytes[8..].copy_from_slice(&id);
        Self {
            bytes,
            segment_len: SEGMENT_LEN,
        }
    }

    pub(crate) fn parse(bytes: [u8; HEAD_LEN]) -> Result<Self, SegmentFault> {
        let [m0, m1, m2, m3, l0, l1, l2, l3, ..] = bytes;
        let segment_len = u32::from_be_bytes([l0, l1, l2, l3]);
        if [m0, m1, m2, m3] != *MAGIC || segment_len == 0 || segment_len > MAX_SEGMENT_LEN {
            return Err(SegmentFault::Head);
        }
        Ok(Self { bytes, segment_len })
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Plaintext in each segment but the last.
    pub(crate) fn segment_len(&self) -> usize {
        self.segment_len as usize
    }

    /// The same, encrypted.
    pub(crate) fn sealed_len(&self) -> usize {
        let sealed = chunked_len(self.segment_len.into());
        // A u32 and what the format adds fit.
        sealed
            .and_then(|len| usize::try_from(len).ok())
            .unwrap_or(usize::MAX)
    }

    fn aad(&self, number: u64, last: bool, users: &[u8]) -> Vec<u8> {
        let mut aad = DOMAIN.to_vec();
        aad.extend_from_slice(&self.bytes);
        aad.extend_from_slice(&number.to_be_bytes());
        aad.push(u8::from(last));
        aad.extend_from_slice(users);
        aad
    }
}

/// What encrypts and decrypts one segment.
pub(crate) trait Sealer {
    fn seal(&mut self, plaintext: &[u8], aad: &[u8]) -> Result<Vec<u8>, Failure>;
    fn open(&mut self, sealed: &[u8], aad: &[u8]) -> Result<Zeroizing<Vec<u8>>, Failure>;
}

/// Fills a buffer from the input: fewer bytes than it has at the end alone.
pub(crate) trait Source {
    fn fill(&mut self, out: &mut [u8]) -> Result<usize, Failure>;
}

/// Where the result goes; gets the length of the input that is done with, too.
pub(crate) trait Sink {
    fn put(&mut self, bytes: &[u8], input_done: u64) -> Result<(), Failure>;
}

/// Encrypts all of `from`.
pub(crate) fn encrypt(
    head: Head,
    users_aad: &[u8],
    from: &mut impl Source,
    to: &mut impl Sink,
    sealer: &mut impl Sealer,
) -> Result<(), Failure> {
    to.put(head.as_bytes(), 0)?;
    run(head.segment_len(), from, |number, plaintext, last, done| {
        let sealed = sealer.seal(plaintext, &head.aad(number, last, users_aad))?;
        to.put(&sealed, done)
    })
}

/// Decrypts all of `from`. What reaches `to` is genuine so far as it goes; only when this returns
/// `Ok` is it whole.
pub(crate) fn decrypt(
    users_aad: &[u8],
    from: &mut impl Source,
    to: &mut impl Sink,
    sealer: &mut impl Sealer,
) -> Result<(), Failure> {
    let mut bytes = [0; HEAD_LEN];
    if from.fill(&mut bytes)? < HEAD_LEN {
        return Err(SegmentFault::Head.into());
    }
    let head = Head::parse(bytes)?;
    run(head.sealed_len(), from, |number, sealed, last, done| {
        // The format's own: a chunk of nothing is as short as a segment can be.
        if chunked_len(0).is_none_or(|least| (sealed.len() as u64) < least) {
            return Err(SegmentFault::CutOff { number }.into());
        }
        let plaintext = sealer.open(sealed, &head.aad(number, last, users_aad))?;
        to.put(&plaintext, done)
    })
}

/// Gives `from` to `act` in pieces of `len` bytes, the last one shorter or as long; one behind, so
/// that the last one is known as it. There is always at least one.
fn run(
    len: usize,
    from: &mut impl Source,
    mut act: impl FnMut(u64, &[u8], bool, u64) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut this = Zeroizing::new(vec![0; len]);
    let mut next = Zeroizing::new(vec![0; len]);
    let mut this_len = from.fill(&mut this)?;
    let mut done = 0;
    for number in 0.. {
        let next_len = match this_len {
            full if full == len => from.fill(&mut next)?,
            _ => 0,
        };
        done += this_len as u64;
        act(number, &this[..this_len], next_len == 0, done)?;
        if next_len == 0 {
            break;
        }
        std::mem::swap(&mut this, &mut next);
        this_len = next_len;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Source for &[u8] {
        fn fill(&mut self, out: &mut [u8]) -> Result<usize, Failure> {
            let len = self.len().min(out.len());
            let (now, later) = self.split_at(len);
            out[..len].copy_from_slice(now);
            *self = later;
            Ok(len)
        }
    }

    impl Sink for Vec<u8> {
        fn put(&mut self, bytes: &[u8], _: u64) -> Result<(), Failure> {
            self.extend_from_slice(bytes);
            Ok(())
        }
    }

    /// As long as the format, and bound to the additional data; no encryption.
    struct Fake;

    const ADDED: usize = 56;

    fn tags(aad: &[u8], count: usize) -> Vec<u8> {
        let sum = aad.iter().fold(7u128, |sum, byte| {
            sum.wrapping_mul(0x0100_0000_01b3)
                .wrapping_add(u128::from(*byte) + 1)
        });
        sum.to_be_bytes().repeat(count)
    }

    impl Sealer for Fake {
        fn seal(&mut self, plaintext: &[u8], aad: &[u8]) -> Result<Vec<u8>, Failure> {
            let chunks = plaintext.len().div_ceil(65_536).max(1);
            Ok([&[0; ADDED], plaintext, &tags(aad, chunks)].concat())
        }

        fn open(&mut self, sealed: &[u8], aad: &[u8]) -> Result<Zeroizing<Vec<u8>>, Failure> {
            let body = &sealed[ADDED..];
            let genuine = (1..=body.len() / 16).find(|chunks| {
                let plaintext = body.len() - chunks * 16;
                plaintext.div_ceil(65_536).max(1) == *chunks
            });
            let at = body.len() - genuine.unwrap() * 16;
            if body[at..] != tags(aad, genuine.unwrap()) {
                return Err(Failure::Form("not genuine"));
            }
            Ok(Zeroizing::new(body[..at].to_vec()))
        }
    }

    fn sealed(plaintext: &[u8], id: u8) -> Vec<u8> {
        let mut out = Vec::new();
        let head = Head::new([id; 16]);
        encrypt(head, b"mine", &mut &*plaintext, &mut out, &mut Fake).unwrap();
        out
    }

    fn opened(file: &[u8], aad: &[u8]) -> Result<Vec<u8>, Failure> {
        let mut out = Vec::new();
        decrypt(aad, &mut &*file, &mut out, &mut Fake).map(|()| out)
    }

    #[test]
    fn data_of_any_length_comes_back() {
        let segment = SEGMENT_LEN as usize;
        for len in [
            0,
            1,
            segment - 1,
            segment,
            segment + 1,
            2 * segment,
            2 * segment + 7,
        ] {
            let plaintext: Vec<u8> = (0..=250).cycle().take(len).collect();
            let file = sealed(&plaintext, 1);
            assert!(is_file(&file));
            assert_eq!(opened(&file, b"mine").unwrap(), plaintext, "{len}");
            assert!(opened(&file, b"yours").is_err());
        }
    }

    #[test]
    fn no_segment_is_left_out_moved_or_taken_from_another_file() {
        let segment = SEGMENT_LEN as usize;
        let sealed_len = Head::new([0; 16]).sealed_len();
        let plaintext = vec![5; 3 * segment];
        let file = sealed(&plaintext, 1);
        let at = |number: usize| HEAD_LEN + number * sealed_len;
        let piece = |number: usize| &file[at(number)..at(number + 1)];
        let head = &file[..HEAD_LEN];
        assert!(opened(&[head, piece(0), piece(1), piece(2)].concat(), b"mine").is_ok());
        for (defect, pieces) in [
            ("cut off at the end", vec![piece(0), piece(1)]),
            ("cut off at the beginning", vec![piece(1), piece(2)]),
            ("one left out", vec![piece(0), piece(2)]),
            ("two exchanged", vec![piece(1), piece(0), piece(2)]),
            ("one twice", vec![piece(0), piece(0), piece(1), piece(2)]),
            ("none", vec![]),
            ("one more", vec![piece(0), piece(1), piece(2), piece(2)]),
        ] {
            let file = [head, &pieces.concat()].concat();
            assert!(opened(&file, b"mine").is_err(), "{defect}");
        }
        let other = sealed(&plaintext, 2);
        let mixed = [&file[..at(1)], &other[at(1)..]].concat();
        assert!(opened(&mixed, b"mine").is_err());
        assert!(opened(&file[..file.len() - 1], b"mine").is_err());
    }

    #[test]
    fn a_head_that_cannot_be_is_refused() {
        let fault = |bytes: &[u8]| match opened(bytes, b"") {
            Err(Failure::Segments(fault)) => fault,
            other => panic!("{other:?}"),
        };
        assert_eq!(fault(b"NVF1"), SegmentFault::Head);
        let mut huge = Head::new([0; 16]).bytes;
        huge[4] = 0xff;
        assert_eq!(fault(&huge), SegmentFault::Head);
        huge[4..8].fill(0);
        assert_eq!(fault(&huge), SegmentFault::Head);
        let whole = Head::new([0; 16]).bytes;
        assert_eq!(fault(&whole), SegmentFault::CutOff { number: 0 });
    }
}
