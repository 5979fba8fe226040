use super::{Call, with_key};
use crate::access::{Access, Wanted};
use crate::keys::Expanded;
use crate::refusal::Stop;
use crate::{Outcome, Refusal, Session, Vault};
use nitride_protocol::application::{Sign, Signature, Verify};
use nitride_protocol::{Empty, Message, Operation, Reader, SignScheme};
use nitride_secmem::crypto::{
    DerSignature, FixedSignature, der_to_fixed, fixed_to_der, verify_ed25519, verify_p256_sha256,
};

/// A signature as it goes onto the wire, without a detour over the heap.
enum Signed {
    Fixed([u8; 64]),
    Der(DerSignature),
}

impl Signed {
    fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Fixed(bytes) => bytes,
            Self::Der(der) => der.as_bytes(),
        }
    }
}

pub(super) fn sign(
    vault: &Vault,
    session: &mut Session,
    params: Reader<'_>,
    call: Call<'_>,
) -> Result<Outcome, Stop> {
    let Sign {
        key,
        scheme,
        message,
        prehashed,
    } = Sign::decode_last(params)?;
    if prehashed {
        return Err(Refusal::WrongScheme.into());
    }
    let on = (Operation::Sign, key);
    with_key(
        vault,
        session,
        on,
        Wanted::Newest,
        call,
        |access, reply, _| {
            let signed = sign_under(access, scheme, message)?;
            reply.write(&Signature {
                version: access.version().number,
                signature: signed.as_bytes(),
            })
        },
    )
}

pub(super) fn verify(
    vault: &Vault,
    session: &mut Session,
    params: Reader<'_>,
    call: Call<'_>,
) -> Result<Outcome, Stop> {
    let Verify {
        key,
        version,
        scheme,
        message,
        prehashed,
        signature,
    } = Verify::decode_last(params)?;
    if prehashed {
        return Err(Refusal::WrongScheme.into());
    }
    let on = (Operation::Verify, key);
    with_key(
        vault,
        session,
        on,
        version.into(),
        call,
        |access, reply, _| {
            if !verify_under(access, scheme, message, signature)? {
                return Err(Refusal::VerificationFailed);
            }
            reply.write(&Empty)
        },
    )
}

/// Without a scheme, the one that needs no encoding: `r || s`.
fn sign_under(
    access: &Access<'_>,
    scheme: Option<SignScheme>,
    message: &[u8],
) -> Result<Signed, Refusal> {
    match (access.material().expanded(), scheme) {
        (Expanded::EcP256 { key, .. }, None | Some(SignScheme::EcdsaSha256Fixed)) => {
            Ok(Signed::Fixed(key.sign(message)?))
        }
        (Expanded::EcP256 { key, .. }, Some(SignScheme::EcdsaSha256Der)) => {
            Ok(Signed::Der(fixed_to_der(&key.sign(message)?)))
        }
        (Expanded::Ed25519 { key, .. }, None | Some(SignScheme::Ed25519)) => {
            Ok(Signed::Fixed(key.sign(message)?))
        }
        _ => Err(Refusal::WrongScheme),
    }
}

fn verify_under(
    access: &Access<'_>,
    scheme: Option<SignScheme>,
    message: &[u8],
    signature: &[u8],
) -> Result<bool, Refusal> {
    // Of another length or not DER: not a signature of this key, like any other wrong one.
    let fixed: Option<FixedSignature> = match scheme {
        Some(SignScheme::EcdsaSha256Der) => der_to_fixed(signature),
        _ => signature.try_into().ok(),
    };
    let verified = |check: &dyn Fn(&FixedSignature) -> bool| fixed.as_ref().is_some_and(check);
    match (access.material().expanded(), scheme) {
        (
            Expanded::EcP256 { point, .. },
            None | Some(SignScheme::EcdsaSha256Fixed | SignScheme::EcdsaSha256Der),
        ) => Ok(verified(&|fixed| {
            verify_p256_sha256(point, &[message], fixed)
        })),
        (Expanded::Ed25519 { public, .. }, None | Some(SignScheme::Ed25519)) => {
            Ok(verified(&|fixed| verify_ed25519(public, message, fixed)))
        }
        _ => Err(Refusal::WrongScheme),
    }
}
