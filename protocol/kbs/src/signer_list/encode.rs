use super::{LABEL, SignerList, SignerListError};
use crate::cose::{protected_header, signature_prefix, write_frame};
use crate::limits::MAX_SIGNER_LIST_LEN;
use nitride_cbor::{Writer, encode_to_vec};

/// What the owner's list key signs: the whole Sig_structure (RFC 9052, 4.4).
pub fn to_be_signed(kid: &[u8], list: &SignerList) -> Result<Vec<u8>, SignerListError> {
    let payload = payload(list)?;
    let mut signed = signature_prefix(&header(kid)?, payload.len())?;
    signed.extend_from_slice(&payload);
    Ok(signed)
}

/// The list, with the signature `r || s` over [`to_be_signed`].
pub fn assemble(
    kid: &[u8],
    list: &SignerList,
    signature: &[u8; 64],
) -> Result<Vec<u8>, SignerListError> {
    let (header, payload) = (header(kid)?, payload(list)?);
    Ok(encode_to_vec(MAX_SIGNER_LIST_LEN, |writer| {
        write_frame(writer, &header, &payload, signature)
    })?)
}

fn header(kid: &[u8]) -> Result<Vec<u8>, SignerListError> {
    let header = protected_header(kid).ok_or(SignerListError::OutOfRange { field: "kid" })?;
    Ok(header?)
}

fn payload(list: &SignerList) -> Result<Vec<u8>, SignerListError> {
    list.check()?;
    Ok(encode_to_vec(MAX_SIGNER_LIST_LEN, |writer| {
        writer.array(6)?;
        writer.text(LABEL)?;
        writer.text(&list.owner)?;
        writer.u64(list.serial)?;
        writer.optional(list.previous.as_ref(), |writer, digest| {
            writer.bytes(digest)
        })?;
        writer.u64(list.created_secs)?;
        writer.array(list.keys.len())?;
        list.keys.iter().try_for_each(|key| {
            writer.array(3)?;
            writer.bytes(&key.point)?;
            writer.u64(key.from_secs)?;
            writer.optional(key.until_secs, Writer::u64)
        })
    })?)
}
