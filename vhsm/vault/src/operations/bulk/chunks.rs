//! The chunked format; the CDDL of `encrypt-buffer` documents it.
//!
//! ```text
//!  header, alg | 80   salt      chunk 0          tag   ...   last chunk      tag
//!  24                 32        65536            16          0 to 65536      16    bytes
//! ```
//!
//! Each message has a key of its own: HKDF-SHA256 of the key's bytes with the salt, whose info
//! binds the header, the length of the whole plaintext and the additional data. So a message that
//! was cut, grown or put together from two has another key, and fails at the first chunk. The
//! nonce of a chunk is its number and whether it is the last, so none can stand for another one.
//! What was opened is authentic even if a later chunk fails.

use crate::Refusal;
use crate::ciphertext::{HEADER_LEN, TAG_LEN};
use nitride_protocol::limits::{CHUNK_LEN, CHUNKED_HEADER_LEN, chunked_len};
use nitride_secmem::crypto::{AeadAlgorithm, AeadKey, HashAlgorithm, hkdf, sha256};

/// Plaintext bytes in every chunk but the last.
pub const BULK_CHUNK_LEN: usize = CHUNK_LEN;
/// Bytes before the first chunk: header and salt.
pub const BULK_PREFIX_LEN: usize = CHUNKED_HEADER_LEN;

const SALT_LEN: usize = BULK_PREFIX_LEN - HEADER_LEN;
const LABEL: &[u8] = b"nitride bulk v1\0";

/// One message in chunks, under a key of its own: no other key can be reached through it.
#[derive(Debug)]
pub(super) struct Chunks {
    cipher: AeadKey,
    prefix: [u8; BULK_PREFIX_LEN],
    /// Plaintext bytes in the chunks that are still to come.
    left_len: u64,
    /// The number of the next chunk; `None` after the last one.
    next: Option<u32>,
}

/// What a message's key depends on besides the key itself and the salt.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bound<'b> {
    pub(super) header: &'b [u8; HEADER_LEN],
    pub(super) plaintext_len: u64,
    pub(super) aad_digest: &'b [u8; 32],
}

impl Chunks {
    /// A message under the key of these bytes.
    pub(super) fn new(
        algorithm: AeadAlgorithm,
        key: &[u8],
        salt: &[u8; SALT_LEN],
        bound: Bound<'_>,
    ) -> Result<Self, Refusal> {
        if bound.plaintext_len.div_ceil(CHUNK_LEN as u64) > u64::from(u32::MAX) {
            return Err(Refusal::TooLarge);
        }
        let len = bound.plaintext_len.to_be_bytes();
        let info = [LABEL, bound.header, &len, bound.aad_digest].concat();
        let message_key = hkdf(HashAlgorithm::Sha256, key, salt, &info, 32)?;
        let mut prefix = [0; BULK_PREFIX_LEN];
        for (place, byte) in prefix.iter_mut().zip(bound.header.iter().chain(salt)) {
            *place = *byte;
        }
        Ok(Self {
            cipher: AeadKey::new(algorithm, message_key.expose())?,
            prefix,
            left_len: bound.plaintext_len,
            next: Some(0),
        })
    }

    pub(super) fn prefix(&self) -> &[u8; BULK_PREFIX_LEN] {
        &self.prefix
    }

    pub(super) fn is_done(&self) -> bool {
        self.next.is_none()
    }

    /// Seals the next chunk into the start of `out`; gives the length written.
    pub(super) fn seal(&mut self, plaintext: &[u8], out: &mut [u8]) -> Result<usize, Refusal> {
        let nonce = self.take(plaintext.len())?;
        Ok(self.cipher.seal(&nonce, &[], plaintext, out)?)
    }

    /// Opens the next chunk into the start of `out`, which is zeroed if it is not authentic; gives
    /// the length written.
    pub(super) fn open(&mut self, sealed: &[u8], out: &mut [u8]) -> Result<usize, Refusal> {
        let plaintext_len = sealed
            .len()
            .checked_sub(TAG_LEN)
            .ok_or(Refusal::NotACiphertext)?;
        let nonce = self.take(plaintext_len)?;
        let opened = self.cipher.open(&nonce, &[], sealed, out);
        if opened.is_err() {
            // Nothing after it is looked at.
            self.next = None;
        }
        Ok(opened?)
    }

    /// The nonce of the next chunk, which has to have just the length that is its turn.
    fn take(&mut self, plaintext_len: usize) -> Result<[u8; 12], Refusal> {
        let due_len = self.left_len.min(CHUNK_LEN as u64);
        let number = self.next.ok_or(OUT_OF_TURN)?;
        if u64::try_from(plaintext_len) != Ok(due_len) {
            return Err(OUT_OF_TURN);
        }
        self.left_len -= due_len;
        let is_last = self.left_len == 0;
        self.next = if is_last { None } else { number.checked_add(1) };
        let [n0, n1, n2, n3] = number.to_be_bytes();
        Ok([0, 0, 0, 0, 0, 0, 0, n0, n1, n2, n3, u8::from(is_last)])
    }
}

const OUT_OF_TURN: Refusal = Refusal::Internal {
    what: "a chunk was given out of turn",
};

/// The plaintext's length in a message of `len` bytes, if a message can have so many.
pub(super) fn plaintext_len(len: u64) -> Option<u64> {
    let body = len.checked_sub(BULK_PREFIX_LEN as u64)?;
    let chunks = body.div_ceil((CHUNK_LEN + TAG_LEN) as u64);
    let plaintext_len = body.checked_sub(chunks * TAG_LEN as u64)?;
    (chunked_len(plaintext_len) == Some(len)).then_some(plaintext_len)
}

/// Additional data as it is bound.
pub(super) fn digest_of(aad: &[u8]) -> [u8; 32] {
    sha256(&[aad])
}
