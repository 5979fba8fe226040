//! The nonce of a stateless challenge: it authenticates itself, so that every replica of a service
//! that has the key can take it back. To whoever answers it, it is an opaque text.
//!
//! ```text
//!   nonce = base64(version 2 | key id 4 | issued 6 | random 16 | name of the TEE | tag 24)
//! ```
//!
//! The tag is over all that stands before it. What it is made of, and whether the challenge is still
//! alive, is for the service. Like a token, a nonce gives up its contents only to a caller who brings
//! the check of the tag; but the key's id is there to find the key by, and is worth nothing else.

use crate::limits::MAX_TEE_LEN;
use base64ct::{Base64, Encoding};
use thiserror::Error;

/// Bytes of a key's id.
pub const KEY_ID_LEN: usize = 4;
/// Bytes that make a nonce unlike every other.
pub const RANDOM_LEN: usize = 16;
/// Bytes of the tag.
pub const TAG_LEN: usize = 24;

const VERSION: u8 = 2;
/// 48 bits of seconds last nine million years.
const ISSUED_LEN: usize = 6;
const HEAD_LEN: usize = 1 + KEY_ID_LEN + ISSUED_LEN + RANDOM_LEN;
const MAX_LEN: usize = HEAD_LEN + MAX_TEE_LEN + TAG_LEN;
/// Characters of the longest nonce.
const MAX_TEXT_LEN: usize = MAX_LEN.div_ceil(3) * 4;

/// A text of a nonce's form. Nobody has vouched for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnverifiedNonce {
    body: Vec<u8>,
    tag: [u8; TAG_LEN],
    contents: VerifiedNonce,
}

/// What a nonce says, under a tag that the caller's check accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedNonce {
    key_id: [u8; KEY_ID_LEN],
    issued_secs: u64,
    random: [u8; RANDOM_LEN],
    tee: String,
}

/// Why a text is no nonce of this form, or none that was verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum NonceError {
    /// It is not base64 in its one spelling, or its bytes are not those of a nonce.
    #[error("nonce is not of this service's form")]
    Malformed,
    /// The check of the tag said no.
    #[error("nonce was not issued by this service")]
    NotAuthentic,
}

impl UnverifiedNonce {
    /// Takes the text apart.
    ///
    /// # Errors
    /// [`NonceError::Malformed`].
    pub fn parse(text: &str) -> Result<Self, NonceError> {
        if text.len() > MAX_TEXT_LEN {
            return Err(NonceError::Malformed);
        }
        let mut body = Base64::decode_vec(text).map_err(|_| NonceError::Malformed)?;
        // One spelling, whatever the decoder makes of stray bits.
        if Base64::encode_string(&body) != text {
            return Err(NonceError::Malformed);
        }
        let tag = body
            .split_last_chunk::<TAG_LEN>()
            .map(|(_, tag)| *tag)
            .ok_or(NonceError::Malformed)?;
        body.truncate(body.len().saturating_sub(TAG_LEN));
        let contents = read(&body).ok_or(NonceError::Malformed)?;
        Ok(Self {
            body,
            tag,
            contents,
        })
    }

    /// Which key to check the tag with.
    #[must_use]
    pub fn key_id(&self) -> [u8; KEY_ID_LEN] {
        self.contents.key_id
    }

    /// Gives the contents up if `check` accepts the tag over what stands before it. The check holds
    /// a key that the caller has.
    ///
    /// # Errors
    /// [`NonceError::NotAuthentic`].
    pub fn verified_by(
        self,
        check: impl FnOnce(&[u8], &[u8; TAG_LEN]) -> bool,
    ) -> Result<VerifiedNonce, NonceError> {
        if check(&self.body, &self.tag) {
            Ok(self.contents)
        } else {
            Err(NonceError::NotAuthentic)
        }
    }
}

impl VerifiedNonce {
    /// When it was issued, in seconds since 1970 by the issuing replica's clock.
    #[must_use]
    pub fn issued_secs(&self) -> u64 {
        self.issued_secs
    }

    /// What no other nonce has.
    #[must_use]
    pub fn random(&self) -> [u8; RANDOM_LEN] {
        self.random
    }

    /// The TEE that the challenge is for, by its name.
    #[must_use]
    pub fn tee(&self) -> &str {
        &self.tee
    }
}

/// What the tag is over. Of `tee` at most [`MAX_TEE_LEN`] bytes can be read back.
#[must_use]
pub fn to_be_tagged(
    key_id: [u8; KEY_ID_LEN],
    issued_secs: u64,
    random: [u8; RANDOM_LEN],
    tee: &str,
) -> Vec<u8> {
    let mut body = vec![VERSION];
    body.extend(key_id);
    body.extend(issued_secs.to_be_bytes().iter().skip(8 - ISSUED_LEN));
    body.extend(random);
    body.extend(tee.bytes());
    body
}

/// The nonce from what was tagged and its tag.
#[must_use]
pub fn assemble(mut body: Vec<u8>, tag: &[u8; TAG_LEN]) -> String {
    body.extend(tag);
    Base64::encode_string(&body)
}

fn read(body: &[u8]) -> Option<VerifiedNonce> {
    let (version, rest) = body.split_first()?;
    let (key_id, rest) = rest.split_first_chunk()?;
    let (issued, rest) = rest.split_first_chunk::<ISSUED_LEN>()?;
    let (random, tee) = rest.split_first_chunk()?;
    if *version != VERSION || tee.is_empty() || tee.len() > MAX_TEE_LEN {
        return None;
    }
    Some(VerifiedNonce {
        key_id: *key_id,
        issued_secs: issued
            .iter()
            .fold(0, |secs, byte| secs << 8 | u64::from(*byte)),
        random: *random,
        tee: std::str::from_utf8(tee).ok()?.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn nonce(tee: &str) -> String {
        let body = to_be_tagged([1, 2, 3, 4], 1_800_000_000, [7; RANDOM_LEN], tee);
        assemble(body, &[9; TAG_LEN])
    }

    #[test]
    fn a_nonce_comes_back_to_who_accepts_its_tag_and_to_nobody_else() {
        let parsed = UnverifiedNonce::parse(&nonce("sample")).unwrap();
        assert_eq!(parsed.key_id(), [1, 2, 3, 4]);
        let refused = parsed.clone().verified_by(|_, _| false);
        assert_eq!(refused, Err(NonceError::NotAuthentic));
        let verified = parsed.verified_by(|body, tag| {
            assert_eq!(body.len(), HEAD_LEN + "sample".len());
            tag == &[9; TAG_LEN]
        });
        let verified = verified.unwrap();
        assert_eq!(verified.issued_secs(), 1_800_000_000);
        assert_eq!(verified.random(), [7; RANDOM_LEN]);
        assert_eq!(verified.tee(), "sample");
    }

    #[test]
    fn what_has_another_form_is_malformed() {
        let good = Base64::decode_vec(&nonce("snp")).unwrap();
        let other_version = [&[1], &good[1..]].concat();
        let not_text = [&good[..HEAD_LEN], &[0xff], &[9; TAG_LEN]].concat();
        for bytes in [
            &[][..],
            &[VERSION; TAG_LEN],
            &good[..HEAD_LEN + TAG_LEN],
            &other_version,
            &not_text,
        ] {
            let text = Base64::encode_string(bytes);
            let parsed = UnverifiedNonce::parse(&text);
            assert_eq!(parsed, Err(NonceError::Malformed), "{bytes:02x?}");
        }
        let long = nonce(&"t".repeat(MAX_TEE_LEN + 1));
        for text in ["AAAA", "not base64", "AAA", &long, &"A".repeat(1 << 20)] {
            assert_eq!(UnverifiedNonce::parse(text), Err(NonceError::Malformed));
        }
        assert!(UnverifiedNonce::parse(&nonce(&"t".repeat(MAX_TEE_LEN))).is_ok());
    }

    #[test]
    fn a_second_spelling_of_the_same_bytes_is_none() {
        let text = nonce("snp1");
        let stray = text.replace("CQ==", "CR==");
        assert_ne!(stray, text);
        assert!(UnverifiedNonce::parse(&text).is_ok());
        assert!(UnverifiedNonce::parse(&stray).is_err());
        for other in [format!("{text} "), text.replace('=', "")] {
            assert!(UnverifiedNonce::parse(&other).is_err(), "{other:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_taken_is_written_again_as_it_was(
            bytes in proptest::collection::vec(any::<u8>(), 0..160),
            versioned: bool,
        ) {
            let mut bytes = bytes;
            if let Some(first) = bytes.first_mut().filter(|_| versioned) {
                *first = VERSION;
            }
            let text = Base64::encode_string(&bytes);
            if let Ok(parsed) = UnverifiedNonce::parse(&text) {
                let (key_id, tag) = (parsed.key_id(), parsed.tag);
                let read = parsed.verified_by(|_, _| true).unwrap();
                let body = to_be_tagged(key_id, read.issued_secs(), read.random(), read.tee());
                prop_assert_eq!(assemble(body, &tag), text);
            }
        }
    }
}
