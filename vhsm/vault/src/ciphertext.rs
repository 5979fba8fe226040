//! The form of a ciphertext; the CDDL of `encrypt` documents it.
//!
//! ```text
//! "NV" 01 alg  key id    version    nonce     ciphertext  tag
//!  2   1  1    16        4, be      12 or 24  any         16    bytes
//! └──── authenticated ──────────┘
//! ```
//!
//! The first 24 bytes and then the caller's additional data are the cipher's additional data.

use crate::Refusal;

/// Bytes before the nonce.
pub(crate) const HEADER_LEN: usize = 24;
pub(crate) const TAG_LEN: usize = 16;

const MAGIC: [u8; 3] = *b"NV\x01";

/// The number of a cipher in the header; the chunked format sets the highest bit besides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Algorithm {
    Aes256Gcm = 1,
    Aes256GcmSiv = 2,
    Xaes256Gcm = 3,
    Aes128Gcm = 4,
    ChaCha20Poly1305 = 5,
}

/// What the highest bit of the number says: chunks follow, see `operations/bulk`.
const CHUNKED: u8 = 0x80;

/// What a ciphertext says of itself. An allegation until it has opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct UnverifiedCiphertext<'c> {
    pub(crate) head: UnverifiedHeader<'c>,
    pub(crate) nonce: &'c [u8],
    pub(crate) ciphertext_and_tag: &'c [u8],
}

/// The first bytes of a ciphertext of either format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct UnverifiedHeader<'c> {
    /// The authenticated bytes.
    pub(crate) bytes: &'c [u8; HEADER_LEN],
    /// `None`: none that this vault knows.
    pub(crate) algorithm: Option<Algorithm>,
    pub(crate) is_chunked: bool,
    pub(crate) key_id: &'c [u8; 16],
    pub(crate) version: u32,
}

impl Algorithm {
    const ALL: [Self; 5] = [
        Self::Aes256Gcm,
        Self::Aes256GcmSiv,
        Self::Xaes256Gcm,
        Self::Aes128Gcm,
        Self::ChaCha20Poly1305,
    ];

    const fn to_byte(self) -> u8 {
        self as u8
    }

    pub(crate) const fn nonce_len(self) -> usize {
        match self {
            Self::Xaes256Gcm => 24,
            _ => 12,
        }
    }

    /// By how much a ciphertext is longer than its plaintext.
    pub(crate) const fn overhead_len(self) -> usize {
        HEADER_LEN + self.nonce_len() + TAG_LEN
    }

    /// The authenticated bytes of a ciphertext that is being made.
    pub(crate) fn header(self, key_id: &[u8; 16], version: u32) -> [u8; HEADER_LEN] {
        header(self.to_byte(), key_id, version)
    }

    /// The same for the chunked format.
    pub(crate) fn chunked_header(self, key_id: &[u8; 16], version: u32) -> [u8; HEADER_LEN] {
        header(self.to_byte() | CHUNKED, key_id, version)
    }
}

impl<'c> UnverifiedHeader<'c> {
    /// The header that `bytes` begin with, and what follows it.
    pub(crate) fn parse(bytes: &'c [u8]) -> Result<(Self, &'c [u8]), Refusal> {
        let parts = || {
            let (header, rest) = bytes.split_first_chunk::<HEADER_LEN>()?;
            let (magic, fields) = header.split_first_chunk::<3>()?;
            let (&number, fields) = fields.split_first()?;
            let (key_id, fields) = fields.split_first_chunk::<16>()?;
            let version = u32::from_be_bytes(*fields.first_chunk::<4>()?);
            let is_it = |algorithm: &Algorithm| algorithm.to_byte() == number & !CHUNKED;
            let head = Self {
                bytes: header,
                algorithm: Algorithm::ALL.into_iter().find(is_it),
                is_chunked: number & CHUNKED != 0,
                key_id,
                version,
            };
            (*magic == MAGIC).then_some((head, rest))
        };
        parts().ok_or(Refusal::NotACiphertext)
    }
}

impl<'c> UnverifiedCiphertext<'c> {
    pub(crate) fn parse(bytes: &'c [u8]) -> Result<Self, Refusal> {
        let (head, rest) = UnverifiedHeader::parse(bytes)?;
        let nonce_len = head.algorithm.map_or(12, Algorithm::nonce_len);
        let (nonce, ciphertext_and_tag) = rest
            .split_at_checked(nonce_len)
            .filter(|(_, sealed)| sealed.len() >= TAG_LEN)
            .ok_or(Refusal::NotACiphertext)?;
        Ok(Self {
            head,
            nonce,
            ciphertext_and_tag,
        })
    }
}

fn header(number: u8, key_id: &[u8; 16], version: u32) -> [u8; HEADER_LEN] {
    let mut header = [0; HEADER_LEN];
    // Part by part: byte by byte it took a third as long as the cipher over a short message.
    let (magic, rest) = header.split_at_mut(MAGIC.len());
    let (number_place, rest) = rest.split_at_mut(1);
    let (key_id_place, version_place) = rest.split_at_mut(key_id.len());
    magic.copy_from_slice(&MAGIC);
    number_place.fill(number);
    key_id_place.copy_from_slice(key_id);
    version_place.copy_from_slice(&version.to_be_bytes());
    header
}

#[cfg(test)]
mod tests {
    use super::*;
    use nitride_protocol::limits::CIPHERTEXT_OVERHEAD_LEN;

    #[test]
    fn the_overhead_is_at_most_what_the_protocol_says() {
        let longest = Algorithm::ALL.map(Algorithm::overhead_len);
        assert_eq!(longest.into_iter().max(), Some(CIPHERTEXT_OVERHEAD_LEN));
    }

    #[test]
    fn a_header_reads_as_it_was_written() {
        for (algorithm, number) in Algorithm::ALL.into_iter().zip(1..) {
            let mut bytes = algorithm.header(&[7; 16], 0x0102_0304).to_vec();
            bytes.extend(vec![9; algorithm.nonce_len()]);
            bytes.extend([5; TAG_LEN]);
            let read = UnverifiedCiphertext::parse(&bytes).unwrap();
            assert_eq!(read.head.algorithm, Some(algorithm));
            assert_eq!(
                (read.head.version, read.head.is_chunked),
                (0x0102_0304, false)
            );
            assert_eq!(read.head.key_id, &[7; 16]);
            assert_eq!(read.nonce, vec![9; algorithm.nonce_len()]);
            assert_eq!(read.ciphertext_and_tag, [5; TAG_LEN]);
            assert_eq!(bytes[..4], [b'N', b'V', 1, number]);
            let chunked = algorithm.chunked_header(&[7; 16], 1);
            let (head, rest) = UnverifiedHeader::parse(&chunked).unwrap();
            assert_eq!((head.algorithm, head.is_chunked), (Some(algorithm), true));
            assert!(rest.is_empty());
        }
    }

    #[test]
    fn what_is_too_short_or_not_ours_is_no_ciphertext() {
        for algorithm in Algorithm::ALL {
            let nonce_and_tag = vec![0; algorithm.nonce_len() + TAG_LEN];
            let whole = [&algorithm.header(&[0; 16], 1)[..], &nonce_and_tag].concat();
            assert!(UnverifiedCiphertext::parse(&whole).is_ok());
            for len in 0..whole.len() {
                assert_eq!(
                    UnverifiedCiphertext::parse(&whole[..len]),
                    Err(Refusal::NotACiphertext)
                );
            }
            for at in 0..3 {
                let mut foreign = whole.clone();
                foreign[at] ^= 1;
                assert!(UnverifiedCiphertext::parse(&foreign).is_err());
            }
        }
    }
}
