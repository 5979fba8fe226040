use super::decode::check_fields;
use super::{ENVELOPE_VERSION, EnvelopeError, EnvelopeFields};
use crate::cose::{self, signature_prefix, write_frame};
use crate::limits::MAX_ENVELOPE_LEN;
use nitride_cbor::{EncodeError, Writer, encode_to_vec};
use zeroize::Zeroizing;

/// What the owner signs: the whole Sig_structure. It holds the material in the clear, and is the
/// caller's to wipe; the copies on the way to it are wiped here.
pub fn to_be_signed(kid: &[u8], fields: &EnvelopeFields<'_>) -> Result<Vec<u8>, EnvelopeError> {
    let protected = protected_header(kid)?;
    let payload = payload(fields)?;
    let prefix = signature_prefix(&protected, payload.len())?;
    // Sized once, so that no growing leaves the material behind.
    let mut signed = Vec::with_capacity(prefix.len() + payload.len());
    signed.extend(prefix);
    signed.extend_from_slice(&payload);
    Ok(signed)
}

/// The envelope, with the signature `r || s` over [`to_be_signed`]. It, too, is to be wiped.
pub fn assemble(
    kid: &[u8],
    fields: &EnvelopeFields<'_>,
    signature: &[u8; 64],
) -> Result<Vec<u8>, EnvelopeError> {
    let protected = protected_header(kid)?;
    let payload = payload(fields)?;
    Ok(encode_to_vec(MAX_ENVELOPE_LEN, |writer| {
        write_frame(writer, &protected, &payload, signature)
    })?)
}

fn protected_header(kid: &[u8]) -> Result<Vec<u8>, EnvelopeError> {
    let header = cose::protected_header(kid).ok_or(EnvelopeError::OutOfRange { field: "kid" })?;
    Ok(header?)
}

fn payload(fields: &EnvelopeFields<'_>) -> Result<Zeroizing<Vec<u8>>, EnvelopeError> {
    check_fields(fields)?;
    let policy = &fields.policy;
    let payload = encode_to_vec(MAX_ENVELOPE_LEN, |writer| {
        writer.array(8)?;
        writer.u64(ENVELOPE_VERSION)?;
        writer.text(fields.path)?;
        writer.text(fields.key_type)?;
        writer.u64(fields.version.into())?;
        writer.optional(fields.tenant, |writer, tenant| writer.text(tenant))?;
        writer.u64(fields.created_secs)?;
        writer.array(6)?;
        write_texts(writer, &policy.operations)?;
        write_texts(writer, &policy.wrappable_by)?;
        write_texts(writer, &policy.release_to)?;
        writer.optional(policy.lease_secs, Writer::u64)?;
        writer.optional(policy.not_after_secs, Writer::u64)?;
        writer.optional(policy.disk.as_deref(), write_texts)?;
        writer.bytes(fields.material)
    })?;
    Ok(Zeroizing::new(payload))
}

fn write_texts(writer: &mut Writer<'_>, texts: &[&str]) -> Result<(), EncodeError> {
    writer.array(texts.len())?;
    texts.iter().try_for_each(|text| writer.text(text))
}
