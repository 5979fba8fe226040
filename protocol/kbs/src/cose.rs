//! COSE_Sign1 (RFC 9052, 4.2) as far as it is used here: ES256, a key id, nothing unprotected, and
//! one spelling. What the payload is, is for who reads it.

use crate::limits::MAX_KID_LEN;
use nitride_cbor::{DecodeError, EncodeError, Reader, Writer, encode_to_vec};

/// COSE_Sign1 (RFC 9052, 4.2).
const TAG: u64 = 18;
/// The tag's only spelling as a first byte.
pub(crate) const TAG_BYTE: u8 = 0xd2;
/// The header parameters `alg` and `kid` (RFC 9052, 3.1), and ES256 (RFC 9053, 2.1).
const ALG: i64 = 1;
const KID: i64 = 4;
const ES256: i64 = -7;
/// What a signature of this form is over (RFC 9052, 4.4).
const CONTEXT: &str = "Signature1";

/// The array, without its unprotected header, which is empty.
pub(crate) struct Frame<'a> {
    pub(crate) protected: &'a [u8],
    pub(crate) payload: &'a [u8],
    pub(crate) signature: &'a [u8; 64],
}

pub(crate) fn read_frame(bytes: &[u8]) -> Result<Frame<'_>, DecodeError> {
    let mut reader = Reader::new(bytes);
    reader.tag(TAG, "tag")?;
    reader.array_of(4)?;
    let protected = reader.bytes()?;
    reader.map_of(0)?;
    let frame = Frame {
        protected,
        payload: reader.bytes()?,
        signature: reader.byte_array("signature")?,
    };
    reader.finish()?;
    Ok(frame)
}

/// What the reader says, without a number that it has read: what is none of ours may be a bare
/// secret, and a length that it announces is up to eight of its bytes.
pub(crate) fn without_bytes(error: DecodeError) -> DecodeError {
    match error {
        DecodeError::WrongLength { at, .. } => DecodeError::OutOfRange {
            at,
            field: "number of entries",
        },
        error => error,
    }
}

/// The kid of `{1: -7, 4: kid}` and nothing else: a parameter more could mean anything.
pub(crate) fn read_protected(bytes: &[u8]) -> Result<&[u8], DecodeError> {
    let mut reader = Reader::new(bytes);
    reader.map_of(2)?;
    read_exactly(&mut reader, ALG, "header parameter")?;
    read_exactly(&mut reader, ES256, "alg")?;
    read_exactly(&mut reader, KID, "header parameter")?;
    let at = reader.position();
    let kid = reader.bytes()?;
    reader.finish()?;
    if kid.is_empty() || kid.len() > MAX_KID_LEN {
        return Err(DecodeError::OutOfRange { at, field: "kid" });
    }
    Ok(kid)
}

fn read_exactly(
    reader: &mut Reader<'_>,
    expected: i64,
    field: &'static str,
) -> Result<(), DecodeError> {
    let at = reader.position();
    match reader.i64()? {
        found if found == expected => Ok(()),
        _ => Err(DecodeError::OutOfRange { at, field }),
    }
}

/// `None` for a kid that is none.
pub(crate) fn protected_header(kid: &[u8]) -> Option<Result<Vec<u8>, EncodeError>> {
    if kid.is_empty() || kid.len() > MAX_KID_LEN {
        return None;
    }
    Some(encode_to_vec(MAX_KID_LEN + 16, |writer| {
        writer.map(2)?;
        writer.i64(ALG)?;
        writer.i64(ES256)?;
        writer.i64(KID)?;
        writer.bytes(kid)
    }))
}

/// The Sig_structure up to and including the head of the payload.
pub(crate) fn signature_prefix(
    protected: &[u8],
    payload_len: usize,
) -> Result<Vec<u8>, EncodeError> {
    encode_to_vec(protected.len() + 64, |writer| {
        writer.array(4)?;
        writer.text(CONTEXT)?;
        writer.bytes(protected)?;
        writer.bytes(&[])?;
        writer.bytes_head(payload_len)
    })
}

pub(crate) fn write_frame(
    writer: &mut Writer<'_>,
    protected: &[u8],
    payload: &[u8],
    signature: &[u8; 64],
) -> Result<(), EncodeError> {
    writer.tag(TAG)?;
    writer.array(4)?;
    writer.bytes(protected)?;
    writer.map(0)?;
    writer.bytes(payload)?;
    writer.bytes(signature)
}
