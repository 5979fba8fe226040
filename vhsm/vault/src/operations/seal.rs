use super::{Call, with_key};
use crate::access::{Access, Wanted};
use crate::ciphertext::{
    HEADER_LEN, NONCE_LEN, OVERHEAD_LEN, TAG_LEN, UnverifiedCiphertext, algorithm, header,
};
use crate::keys::Expanded;
use crate::refusal::Stop;
use crate::{Draw, Outcome, Refusal, Session, Vault};
use nitride_protocol::application::{Decrypt, Encrypt};
use nitride_protocol::{KeyType, Message, Operation, Origin, Reader};
use nitride_secmem::crypto::AeadKey;

pub(super) fn encrypt(
    vault: &Vault,
    session: &mut Session,
    params: Reader<'_>,
    call: Call<'_>,
) -> Result<Outcome, Stop> {
    let Encrypt {
        key,
        scheme,
        plaintext,
        aad,
    } = Encrypt::decode_last(params)?;
    if scheme.is_some() {
        return Err(Refusal::WrongScheme.into());
    }
    let on = (Operation::Encrypt, key);
    with_key(
        vault,
        session,
        on,
        Wanted::Newest,
        call,
        |access, reply, draw| {
            let (cipher, algorithm) = cipher_of(access, Operation::Encrypt)?;
            // Taken before anything can fail: a nonce is used once or not at all.
            let nonce = nonce_of(access, draw)?;
            let version = access.version().number;
            let header = header(algorithm, &access.body().id, version);
            let len = plaintext.len() + OVERHEAD_LEN;
            reply.write_in_place(
                |writer| writer.array(1),
                len,
                |out| {
                    let (header_out, out) = out.split_at_mut_checked(HEADER_LEN).ok_or(SHORT)?;
                    let (nonce_out, out) = out.split_at_mut_checked(NONCE_LEN).ok_or(SHORT)?;
                    header_out.copy_from_slice(&header);
                    nonce_out.copy_from_slice(&nonce);
                    cipher.seal(&nonce, &[&header, aad], plaintext, out)?;
                    Ok(())
                },
            )
        },
    )
}

pub(super) fn decrypt(
    vault: &Vault,
    session: &mut Session,
    params: Reader<'_>,
    call: Call<'_>,
) -> Result<Outcome, Stop> {
    let Decrypt {
        key,
        version: _,
        scheme,
        ciphertext,
        aad,
        nonce,
    } = Decrypt::decode_last(params)?;
    if scheme.is_some() || nonce.is_some() {
        return Err(Refusal::WrongScheme.into());
    }
    let sealed = UnverifiedCiphertext::parse(ciphertext)?;
    let wanted = Wanted::Maker {
        id: sealed.key_id,
        version: sealed.version,
    };
    let on = (Operation::Decrypt, key);
    with_key(vault, session, on, wanted, call, |access, reply, _| {
        let (cipher, algorithm) = cipher_of(access, Operation::Decrypt)?;
        if sealed.algorithm != algorithm {
            return Err(Refusal::VerificationFailed);
        }
        let len = sealed.ciphertext_and_tag.len().saturating_sub(TAG_LEN);
        reply.write_in_place(
            |writer| writer.array(1),
            len,
            |out| {
                let header = sealed.header;
                cipher.open(sealed.nonce, &[header, aad], sealed.ciphertext_and_tag, out)?;
                Ok(())
            },
        )
    })
}

/// The reply was cut to the length that these parts have.
const SHORT: Refusal = Refusal::Internal {
    what: "the reply is shorter than the ciphertext",
};

fn cipher_of<'k>(access: &Access<'k>, operation: Operation) -> Result<(&'k AeadKey, u8), Refusal> {
    let key_type = access.body().key_type;
    match (access.material().expanded(), algorithm(key_type)) {
        (Expanded::Aead(cipher), Some(algorithm)) => Ok((cipher, algorithm)),
        _ => Err(Refusal::WrongKeyType {
            key_type,
            operation,
        }),
    }
}

/// Plain GCM counts, and only under keys that no other machine has; GCM-SIV draws.
fn nonce_of(access: &Access<'_>, draw: &mut dyn Draw) -> Result<[u8; NONCE_LEN], Refusal> {
    let nonces = &access.version().nonces;
    match (access.body().key_type, access.body().origin) {
        (KeyType::Aes256GcmSiv, _) => nonces.draw(draw),
        (_, Origin::Generated) => nonces.count(),
        _ => Err(Refusal::SharedGcmKey),
    }
}
