use super::{
    ENVELOPE_VERSION, Envelope, EnvelopeFields, EnvelopePolicy, ReleaseTo, ReleaseToError,
};
use crate::cose::{Frame, TAG_BYTE, read_frame, read_protected, signature_prefix, without_bytes};
use crate::limits::{
    MAX_ENVELOPE_LEN, MAX_KEY_TYPE_LEN, MAX_MATERIAL_LEN, MAX_POLICY_ENTRIES, MAX_POLICY_TEXT_LEN,
    MAX_TENANT_LEN,
};
use crate::resource::{self, ResourcePathError};
use nitride_cbor::{DecodeError, EncodeError, Reader};
use std::fmt;
use thiserror::Error;

/// An envelope whose frame has its form; nobody has vouched for it, and its payload is unread.
pub struct UnverifiedEnvelope<'a> {
    frame: Frame<'a>,
    kid: &'a [u8],
}

/// Why bytes are no envelope, or none that was verified, or fields make none.
#[derive(Debug, Error)]
pub enum EnvelopeError {
    /// More than [`MAX_ENVELOPE_LEN`] bytes.
    #[error("envelope has {len} bytes, more than {MAX_ENVELOPE_LEN}")]
    TooLong {
        /// Bytes found.
        len: usize,
    },
    /// The frame or the payload is not the CBOR of the CDDL. Offsets count from the beginning of
    /// the part.
    #[error("{part} of the envelope is malformed")]
    Malformed {
        /// "frame", "protected header" or "payload".
        part: &'static str,
        /// What the reader says.
        #[source]
        source: DecodeError,
    },
    /// The payload is of another version than [`ENVELOPE_VERSION`].
    #[error("envelope has version {found}, not {ENVELOPE_VERSION}")]
    UnknownVersion {
        /// The version found.
        found: u64,
    },
    /// A field has its type and is outside what it may be.
    #[error("{field} of the envelope is out of range")]
    OutOfRange {
        /// The field's name in the CDDL.
        field: &'static str,
    },
    /// A list of the policy names something twice.
    #[error("{field} of the envelope names an entry twice")]
    Duplicate {
        /// The field's name in the CDDL.
        field: &'static str,
    },
    /// The path is no resource's.
    #[error("path of the envelope names no resource")]
    Path(#[source] ResourcePathError),
    /// An entry of release-to names nobody.
    #[error("release-to of the envelope is malformed")]
    ReleaseTo(#[source] ReleaseToError),
    /// The signature check said no.
    #[error("signature of the envelope does not verify")]
    SignatureInvalid,
    /// What was to be written is larger than any envelope.
    #[error("envelope cannot be written")]
    Encode(#[from] EncodeError),
}

/// Whether bytes begin as an envelope does. A plain resource may, too: this tells which error to
/// give, and never which check to leave out.
pub fn looks_like_envelope(bytes: &[u8]) -> bool {
    bytes.first() == Some(&TAG_BYTE)
}

impl<'a> UnverifiedEnvelope<'a> {
    /// Takes at most [`MAX_ENVELOPE_LEN`] bytes, which stay where they are.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, EnvelopeError> {
        if bytes.len() > MAX_ENVELOPE_LEN {
            return Err(EnvelopeError::TooLong { len: bytes.len() });
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

    /// What was signed, in two parts to be hashed one after the other: the beginning of the
    /// Sig_structure (RFC 9052, 4.4), and the payload where it lies.
    pub fn signed_parts(&self) -> (Vec<u8>, &'a [u8]) {
        // The prefix is bounded by the protected header, which is: it always fits.
        let prefix =
            signature_prefix(self.frame.protected, self.frame.payload.len()).unwrap_or_default();
        (prefix, self.frame.payload)
    }

    /// `r || s`, big-endian.
    pub fn signature(&self) -> &'a [u8; 64] {
        self.frame.signature
    }

    /// Reads the payload if `check` accepts the signature over the parts. The check holds a key
    /// that the caller chose for [`UnverifiedEnvelope::kid`] beforehand.
    pub fn verified_by(
        self,
        check: impl FnOnce(&[&[u8]], &[u8; 64]) -> bool,
    ) -> Result<Envelope<'a>, EnvelopeError> {
        let (prefix, payload) = self.signed_parts();
        if !check(&[&prefix, payload], self.frame.signature) {
            return Err(EnvelopeError::SignatureInvalid);
        }
        let fields = read_payload(payload)?;
        check_fields(&fields)?;
        Ok(Envelope { fields })
    }
}

impl fmt::Debug for UnverifiedEnvelope<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("UnverifiedEnvelope")
            .field("payload_len", &self.frame.payload.len())
            .finish_non_exhaustive()
    }
}

/// Names the part, and repeats none of what was read.
fn in_part(part: &'static str) -> impl FnOnce(DecodeError) -> EnvelopeError {
    move |source| EnvelopeError::Malformed {
        part,
        source: without_bytes(source),
    }
}

fn read_payload(bytes: &[u8]) -> Result<EnvelopeFields<'_>, EnvelopeError> {
    let mut reader = Reader::new(bytes);
    let version = reader
        .array_of(8)
        .and_then(|()| reader.u64())
        .map_err(in_part("payload"))?;
    if version != ENVELOPE_VERSION {
        return Err(EnvelopeError::UnknownVersion { found: version });
    }
    read_fields(reader).map_err(in_part("payload"))
}

fn read_fields<'a>(mut reader: Reader<'a>) -> Result<EnvelopeFields<'a>, DecodeError> {
    let fields = EnvelopeFields {
        path: reader.text()?,
        key_type: reader.text()?,
        version: reader.u32("version")?,
        tenant: reader.optional(Reader::text)?,
        created_secs: reader.u64()?,
        policy: read_policy(&mut reader)?,
        material: reader.bytes()?,
    };
    reader.finish()?;
    Ok(fields)
}

fn read_policy<'a>(reader: &mut Reader<'a>) -> Result<EnvelopePolicy<'a>, DecodeError> {
    reader.array_of(6)?;
    Ok(EnvelopePolicy {
        operations: read_texts(reader, "operations")?,
        wrappable_by: read_texts(reader, "wrappable-by")?,
        release_to: read_texts(reader, "release-to")?,
        lease_secs: reader.optional(Reader::u64)?,
        not_after_secs: reader.optional(Reader::u64)?,
        disk: reader.optional(|reader| read_texts(reader, "disk"))?,
    })
}

fn read_texts<'a>(
    reader: &mut Reader<'a>,
    field: &'static str,
) -> Result<Vec<&'a str>, DecodeError> {
    let len = reader.array_up_to(MAX_POLICY_ENTRIES, field)?;
    (0..len).map(|_| reader.text()).collect()
}

/// What types cannot say; held against fields that are read and that are to be written alike.
pub(super) fn check_fields(fields: &EnvelopeFields<'_>) -> Result<(), EnvelopeError> {
    let within = |field, len: usize, max: usize| {
        (1..=max)
            .contains(&len)
            .then_some(())
            .ok_or(EnvelopeError::OutOfRange { field })
    };
    resource::check(fields.path).map_err(EnvelopeError::Path)?;
    within("key-type", fields.key_type.len(), MAX_KEY_TYPE_LEN)?;
    within("material", fields.material.len(), MAX_MATERIAL_LEN)?;
    within("version", fields.version.min(1) as usize, 1)?;
    if let Some(tenant) = fields.tenant {
        within("tenant", tenant.len(), MAX_TENANT_LEN)?;
    }
    let policy = &fields.policy;
    check_texts("operations", &policy.operations)?;
    check_texts("wrappable-by", &policy.wrappable_by)?;
    check_texts("release-to", &policy.release_to)?;
    for text in &policy.release_to {
        ReleaseTo::parse(text).map_err(EnvelopeError::ReleaseTo)?;
    }
    policy
        .disk
        .as_deref()
        .map_or(Ok(()), |disk| check_texts("disk", disk))
}

fn check_texts(field: &'static str, texts: &[&str]) -> Result<(), EnvelopeError> {
    if texts.len() > MAX_POLICY_ENTRIES {
        return Err(EnvelopeError::OutOfRange { field });
    }
    for (index, text) in texts.iter().enumerate() {
        if text.is_empty() || text.len() > MAX_POLICY_TEXT_LEN {
            return Err(EnvelopeError::OutOfRange { field });
        }
        if texts.iter().take(index).any(|earlier| earlier == text) {
            return Err(EnvelopeError::Duplicate { field });
        }
    }
    Ok(())
}
