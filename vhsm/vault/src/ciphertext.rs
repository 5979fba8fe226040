//! The form of a ciphertext; the CDDL of `encrypt` documents it.
//!
//! ```text
//! "NV" 01 alg  key id    version    nonce     ciphertext  tag
//!  2   1  1    16        4, be      12        any         16    bytes
//! └──── authenticated ──────────┘
//! ```
//!
//! The first 24 bytes and then the caller's additional data are the cipher's additional data.

use crate::Refusal;
use nitride_protocol::KeyType;

/// Bytes before the nonce.
pub(crate) const HEADER_LEN: usize = 24;
pub(crate) const NONCE_LEN: usize = 12;
pub(crate) const TAG_LEN: usize = 16;
/// By how much a ciphertext is longer than its plaintext.
pub(crate) const OVERHEAD_LEN: usize = HEADER_LEN + NONCE_LEN + TAG_LEN;

const MAGIC: [u8; 3] = *b"NV\x01";

/// What a ciphertext says of itself. An allegation until it has opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct UnverifiedCiphertext<'c> {
    /// The authenticated bytes.
    pub(crate) header: &'c [u8; HEADER_LEN],
    pub(crate) algorithm: u8,
    pub(crate) key_id: &'c [u8; 16],
    pub(crate) version: u32,
    pub(crate) nonce: &'c [u8; NONCE_LEN],
    pub(crate) ciphertext_and_tag: &'c [u8],
}

impl<'c> UnverifiedCiphertext<'c> {
    pub(crate) fn parse(bytes: &'c [u8]) -> Result<Self, Refusal> {
        let parts = || {
            let (header, rest) = bytes.split_first_chunk::<HEADER_LEN>()?;
            let (nonce, ciphertext_and_tag) = rest.split_first_chunk::<NONCE_LEN>()?;
            let (magic, rest) = header.split_first_chunk::<3>()?;
            let (&algorithm, rest) = rest.split_first()?;
            let (key_id, rest) = rest.split_first_chunk::<16>()?;
            let version = u32::from_be_bytes(*rest.first_chunk::<4>()?);
            (*magic == MAGIC && ciphertext_and_tag.len() >= TAG_LEN).then_some(Self {
                header,
                algorithm,
                key_id,
                version,
                nonce,
                ciphertext_and_tag,
            })
        };
        parts().ok_or(Refusal::NotACiphertext)
    }
}

/// The authenticated bytes of a ciphertext that is being made.
pub(crate) fn header(algorithm: u8, key_id: &[u8; 16], version: u32) -> [u8; HEADER_LEN] {
    let [m0, m1, m2] = MAGIC;
    let mut header = [0; HEADER_LEN];
    let bytes = [m0, m1, m2, algorithm]
        .into_iter()
        .chain(*key_id)
        .chain(version.to_be_bytes());
    for (place, byte) in header.iter_mut().zip(bytes) {
        *place = byte;
    }
    header
}

/// The number of a type's cipher in the header.
pub(crate) fn algorithm(key_type: KeyType) -> Option<u8> {
    match key_type {
        KeyType::Aes256Gcm => Some(1),
        KeyType::Aes256GcmSiv => Some(2),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nitride_protocol::limits::CIPHERTEXT_OVERHEAD_LEN;

    #[test]
    fn the_overhead_is_what_the_protocol_says() {
        const { assert!(OVERHEAD_LEN <= CIPHERTEXT_OVERHEAD_LEN) };
    }

    #[test]
    fn a_header_reads_as_it_was_written() {
        let mut bytes = header(2, &[7; 16], 0x0102_0304).to_vec();
        bytes.extend([9; NONCE_LEN]);
        bytes.extend([5; TAG_LEN]);
        let read = UnverifiedCiphertext::parse(&bytes).unwrap();
        assert_eq!((read.algorithm, read.version), (2, 0x0102_0304));
        assert_eq!((read.key_id, read.nonce), (&[7; 16], &[9; NONCE_LEN]));
        assert_eq!(read.ciphertext_and_tag, [5; TAG_LEN]);
        assert_eq!(&bytes[..4], b"NV\x01\x02");
    }

    #[test]
    fn what_is_too_short_or_not_ours_is_no_ciphertext() {
        let whole = [&header(1, &[0; 16], 1)[..], &[0; NONCE_LEN + TAG_LEN]].concat();
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
