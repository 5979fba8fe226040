//! Whose signatures count for an owner: COSE_Sign1 (RFC 9052, 4.2) by the owner's list key, around
//! a payload that names the owner and counts up. The CDDL is `cddl/signer-list.cddl`.
//!
//! A vault pins the list key and nothing else: which keys sign envelopes the list says, and the next
//! list says otherwise. A list is public; what it takes to make one is the list key.
//!
//! ```text
//! bytes ──parse──> UnverifiedSignerList ──verified_by(check)──> SignerList ──> owner, serial, keys
//! ```
//!
//! Its payload begins with a text, where an envelope's begins with a number: neither reads as the
//! other, whichever key has signed it.

mod encode;

pub use encode::{assemble, to_be_signed};

use crate::cose::{Frame, read_frame, read_protected, signature_prefix, without_bytes};
use crate::limits::{MAX_LISTED_KEYS, MAX_OWNER_LEN, MAX_SIGNER_LIST_LEN};
use nitride_cbor::{DecodeError, EncodeError, Reader};
use sha2::{Digest, Sha256};
use std::fmt;
use thiserror::Error;

/// What the payload begins with: its name and its version in one.
const LABEL: &str = "nitride signer list 1";
/// The first byte of an uncompressed point (SEC 1, 2.3.3).
const UNCOMPRESSED: u8 = 4;

/// A list whose signature the caller's check accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignerList {
    /// Whose list it is: the name under which vaults pin its key.
    pub owner: String,
    /// Counts up from 1 with each list.
    pub serial: u64,
    /// [`UnverifiedSignerList::digest`] of the list before; none before the first.
    pub previous: Option<[u8; 32]>,
    /// When it was signed, in seconds since 1970 by the owner's clock, for people to read.
    pub created_secs: u64,
    /// Keys whose signatures count, each once. Empty: nobody's.
    pub keys: Vec<ListedKey>,
}

/// A key whose signatures count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedKey {
    /// An uncompressed point on P-256. Its key id is SHA-256 over its SPKI DER.
    pub point: [u8; 65],
    /// From when on they count, in seconds since 1970; 0: since ever.
    pub from_secs: u64,
    /// Until when, that second included; `None`: until a list names it no more.
    pub until_secs: Option<u64>,
}

impl ListedKey {
    /// Whether it counts at `wall_secs`. Without a clock, which is 0, only what has no bounds does.
    pub fn counts_at(&self, wall_secs: u64) -> bool {
        match wall_secs {
            0 => self.from_secs == 0 && self.until_secs.is_none(),
            now => self.from_secs <= now && self.until_secs.is_none_or(|until| now <= until),
        }
    }
}

/// A list whose frame has its form; nobody has vouched for it, and its payload is unread.
pub struct UnverifiedSignerList<'a> {
    frame: Frame<'a>,
    kid: &'a [u8],
}

/// Why bytes are no list, or none that was verified, or a list cannot be written.
#[derive(Debug, Error)]
pub enum SignerListError {
    /// More than [`MAX_SIGNER_LIST_LEN`] bytes.
    #[error("list of signers has {len} bytes, more than {MAX_SIGNER_LIST_LEN}")]
    TooLong {
        /// Bytes found.
        len: usize,
    },
    /// The frame or the payload is not the CBOR of the CDDL. Offsets count from the beginning of
    /// the part.
    #[error("{part} of the list of signers is malformed")]
    Malformed {
        /// "frame", "protected header" or "payload".
        part: &'static str,
        /// What the reader says.
        #[source]
        source: DecodeError,
    },
    /// What is signed is no list of signers, or one of another version.
    #[error("what is signed does not call itself {LABEL:?}")]
    OtherLabel,
    /// A field has its type and is outside what it may be.
    #[error("{field} of the list of signers is out of range")]
    OutOfRange {
        /// The field's name in the CDDL.
        field: &'static str,
    },
    /// A key is named twice: its validity would be two.
    #[error("the list of signers names a key twice")]
    DuplicateKey,
    /// The signature check said no.
    #[error("signature of the list of signers does not verify")]
    SignatureInvalid,
    /// What was to be written is larger than any list.
    #[error("list of signers cannot be written")]
    Encode(#[from] EncodeError),
}

impl<'a> UnverifiedSignerList<'a> {
    /// Takes at most [`MAX_SIGNER_LIST_LEN`] bytes, which stay where they are.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, SignerListError> {
        if bytes.len() > MAX_SIGNER_LIST_LEN {
            return Err(SignerListError::TooLong { len: bytes.len() });
        }
        let frame = read_frame(bytes).map_err(in_part("frame"))?;
        Ok(Self {
            kid: read_protected(frame.protected).map_err(in_part("protected header"))?,
            frame,
        })
    }

    /// The id of the key that is said to have signed: 1 to 64 bytes.
    pub fn kid(&self) -> &'a [u8] {
        self.kid
    }

    /// SHA-256 over what is signed: a list's identity, since its signature has two spellings.
    pub fn digest(&self) -> [u8; 32] {
        let (prefix, payload) = self.signed_parts();
        Sha256::new()
            .chain_update(prefix)
            .chain_update(payload)
            .finalize()
            .into()
    }

    /// Reads the payload if `check` accepts the signature over the parts. The check holds the list
    /// key of the owner whose list was asked for.
    pub fn verified_by(
        self,
        check: impl FnOnce(&[&[u8]], &[u8; 64]) -> bool,
    ) -> Result<SignerList, SignerListError> {
        let (prefix, payload) = self.signed_parts();
        if !check(&[&prefix, payload], self.frame.signature) {
            return Err(SignerListError::SignatureInvalid);
        }
        let list = read_payload(payload)?;
        list.check()?;
        Ok(list)
    }

    fn signed_parts(&self) -> (Vec<u8>, &'a [u8]) {
        // The prefix is bounded by the protected header, which is: it always fits.
        let prefix =
            signature_prefix(self.frame.protected, self.frame.payload.len()).unwrap_or_default();
        (prefix, self.frame.payload)
    }
}

impl fmt::Debug for UnverifiedSignerList<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("UnverifiedSignerList")
            .field("payload_len", &self.frame.payload.len())
            .finish_non_exhaustive()
    }
}

impl SignerList {
    /// What types cannot say; held against lists that are read and that are to be written alike.
    fn check(&self) -> Result<(), SignerListError> {
        let within = |field, is_within: bool| {
            let fault = SignerListError::OutOfRange { field };
            is_within.then_some(()).ok_or(fault)
        };
        within("owner", (1..=MAX_OWNER_LEN).contains(&self.owner.len()))?;
        within("serial", self.serial > 0)?;
        // The first follows none, and every other one says which it follows.
        within("previous", self.previous.is_none() == (self.serial == 1))?;
        within("keys", self.keys.len() <= MAX_LISTED_KEYS)?;
        for (index, key) in self.keys.iter().enumerate() {
            within("point", key.point.first() == Some(&UNCOMPRESSED))?;
            let is_ever = key.until_secs.is_none_or(|until| key.from_secs <= until);
            within("until-secs", is_ever)?;
            let mut earlier = self.keys.iter().take(index);
            if earlier.any(|earlier| earlier.point == key.point) {
                return Err(SignerListError::DuplicateKey);
            }
        }
        Ok(())
    }
}

/// Names the part, and repeats none of what was read: a courier may deliver a secret as a list.
fn in_part(part: &'static str) -> impl FnOnce(DecodeError) -> SignerListError {
    move |source| SignerListError::Malformed {
        part,
        source: without_bytes(source),
    }
}

fn read_payload(bytes: &[u8]) -> Result<SignerList, SignerListError> {
    let mut reader = Reader::new(bytes);
    let label = reader
        .array_of(6)
        .and_then(|()| reader.text())
        .map_err(in_part("payload"))?;
    if label != LABEL {
        return Err(SignerListError::OtherLabel);
    }
    read_fields(reader).map_err(in_part("payload"))
}

fn read_fields(mut reader: Reader<'_>) -> Result<SignerList, DecodeError> {
    let list = SignerList {
        owner: reader.text()?.to_owned(),
        serial: reader.u64()?,
        previous: reader.optional(|reader| reader.byte_array("previous").copied())?,
        created_secs: reader.u64()?,
        keys: {
            let len = reader.array_up_to(MAX_LISTED_KEYS, "keys")?;
            (0..len)
                .map(|_| read_key(&mut reader))
                .collect::<Result<_, _>>()?
        },
    };
    reader.finish()?;
    Ok(list)
}

fn read_key(reader: &mut Reader<'_>) -> Result<ListedKey, DecodeError> {
    reader.array_of(3)?;
    Ok(ListedKey {
        point: *reader.byte_array("point")?,
        from_secs: reader.u64()?,
        until_secs: reader.optional(Reader::u64)?,
    })
}

#[cfg(test)]
mod tests;
