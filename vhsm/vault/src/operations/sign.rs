use super::{Call, with_key};
use crate::access::{Access, Wanted};
use crate::keys::Expanded;
use crate::refusal::Stop;
use crate::{Outcome, Refusal, Session, Vault};
use nitride_protocol::application::{Sign, Signature, Verify};
use nitride_protocol::{Empty, Operation, SignScheme};
use nitride_secmem::crypto::{
    DerSignature, FixedSig, HashAlgorithm, Input, RsaPadding, RsaScheme, verify_ed25519,
};

/// A signature as it goes onto the wire: what is short makes no detour over the heap.
enum Signed {
    Fixed(FixedSig),
    Der(DerSignature),
    Ed25519([u8; 64]),
    Long(Vec<u8>),
}

impl Signed {
    fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Fixed(fixed) => fixed.as_bytes(),
            Self::Der(der) => der.as_bytes(),
            Self::Ed25519(bytes) => bytes,
            Self::Long(bytes) => bytes,
        }
    }
}

/// A scheme in its parts.
#[derive(Debug, Clone, Copy)]
enum Way {
    Ecdsa { hash: HashAlgorithm, is_der: bool },
    Rsa(RsaScheme),
    Ed25519,
    MlDsa65,
}

/// What is signed: the message, or its digest by the scheme's hash.
#[derive(Clone, Copy)]
struct Subject<'s> {
    bytes: &'s [u8],
    is_digest: bool,
}

pub(super) fn sign(
    vault: &Vault,
    session: &mut Session,
    asked: &Sign<'_>,
    call: Call<'_>,
) -> Result<Outcome, Stop> {
    let Sign {
        key,
        scheme,
        message,
        prehashed,
    } = *asked;
    let subject = Subject {
        bytes: message,
        is_digest: prehashed,
    };
    let on = (Operation::Sign, key);
    with_key(
        vault,
        session,
        on,
        Wanted::Newest,
        call,
        |access, reply, _| {
            let signed = sign_under(access, scheme, subject)?;
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
    asked: &Verify<'_>,
    call: Call<'_>,
) -> Result<Outcome, Stop> {
    let Verify {
        key,
        version,
        scheme,
        message,
        prehashed,
        signature,
    } = *asked;
    let subject = Subject {
        bytes: message,
        is_digest: prehashed,
    };
    let on = (Operation::Verify, key);
    with_key(
        vault,
        session,
        on,
        version.into(),
        call,
        |access, reply, _| {
            if !verify_under(access, scheme, subject, signature)? {
                return Err(Refusal::VerificationFailed);
            }
            reply.write(&Empty)
        },
    )
}

fn sign_under(
    access: &Access<'_>,
    scheme: Option<SignScheme>,
    subject: Subject<'_>,
) -> Result<Signed, Refusal> {
    let way = way_of(access, scheme)?;
    let live = access.live()?;
    Ok(match (live.expanded(), way) {
        (Expanded::Ec(key), Way::Ecdsa { hash, is_der }) => {
            let fixed = key.sign(hash, subject.input(hash)?)?;
            if is_der {
                Signed::Der(fixed.to_der())
            } else {
                Signed::Fixed(fixed)
            }
        }
        (Expanded::Ed25519 { key, .. }, Way::Ed25519) => {
            Signed::Ed25519(key.sign(subject.message()?)?)
        }
        (Expanded::Rsa(key), Way::Rsa(scheme)) => {
            Signed::Long(key.sign(scheme, subject.input(scheme.hash)?)?)
        }
        (Expanded::MlDsa65(key), Way::MlDsa65) => Signed::Long(key.sign(subject.message()?)?),
        _ => return Err(Refusal::WrongScheme),
    })
}

fn verify_under(
    access: &Access<'_>,
    scheme: Option<SignScheme>,
    subject: Subject<'_>,
    signature: &[u8],
) -> Result<bool, Refusal> {
    let way = way_of(access, scheme)?;
    let live = access.live()?;
    // Of another length or not DER: not a signature of this key, like any other wrong one.
    Ok(match (live.expanded(), way) {
        (Expanded::Ec(key), Way::Ecdsa { hash, is_der }) => {
            let input = subject.input(hash)?;
            if is_der {
                let fixed = FixedSig::from_der(key.curve(), signature);
                match fixed {
                    Some(fixed) => key.verify(hash, input, fixed.as_bytes())?,
                    None => false,
                }
            } else {
                key.verify(hash, input, signature)?
            }
        }
        (Expanded::Ed25519 { public, .. }, Way::Ed25519) => {
            let message = subject.message()?;
            match signature.try_into() {
                Ok(fixed) => verify_ed25519(public, message, fixed)?,
                Err(_) => false,
            }
        }
        (Expanded::Rsa(key), Way::Rsa(scheme)) => {
            key.verify(scheme, subject.input(scheme.hash)?, signature)?
        }
        (Expanded::MlDsa65(key), Way::MlDsa65) => key.verify(subject.message()?, signature)?,
        _ => return Err(Refusal::WrongScheme),
    })
}

impl<'s> Subject<'s> {
    /// For schemes that begin with a hash.
    fn input(self, hash: HashAlgorithm) -> Result<Input<'s>, Refusal> {
        match self.is_digest {
            false => Ok(Input::Message(self.bytes)),
            true if self.bytes.len() == hash.digest_len() => Ok(Input::Digest(self.bytes)),
            true => Err(Refusal::WrongDigest),
        }
    }

    /// For schemes that have no digest to begin with.
    fn message(self) -> Result<&'s [u8], Refusal> {
        match self.is_digest {
            false => Ok(self.bytes),
            true => Err(Refusal::WrongDigest),
        }
    }
}

/// The scheme that was asked for, or the default of the key's type.
fn way_of(access: &Access<'_>, scheme: Option<SignScheme>) -> Result<Way, Refusal> {
    use HashAlgorithm::{Sha256, Sha384, Sha512};
    let ecdsa = |hash, is_der| Way::Ecdsa { hash, is_der };
    let rsa = |padding, hash| Way::Rsa(RsaScheme { padding, hash });
    let scheme = scheme.or_else(|| SignScheme::default_of(access.body().key_type));
    Ok(match scheme.ok_or(Refusal::WrongScheme)? {
        SignScheme::EcdsaSha256Fixed => ecdsa(Sha256, false),
        SignScheme::EcdsaSha256Der => ecdsa(Sha256, true),
        SignScheme::EcdsaSha384Fixed => ecdsa(Sha384, false),
        SignScheme::EcdsaSha384Der => ecdsa(Sha384, true),
        SignScheme::EcdsaSha512Fixed => ecdsa(Sha512, false),
        SignScheme::EcdsaSha512Der => ecdsa(Sha512, true),
        SignScheme::Ed25519 => Way::Ed25519,
        SignScheme::RsaPssSha256 => rsa(RsaPadding::Pss, Sha256),
        SignScheme::RsaPssSha384 => rsa(RsaPadding::Pss, Sha384),
        SignScheme::RsaPssSha512 => rsa(RsaPadding::Pss, Sha512),
        SignScheme::RsaPkcs1Sha256 => rsa(RsaPadding::Pkcs1, Sha256),
        SignScheme::RsaPkcs1Sha384 => rsa(RsaPadding::Pkcs1, Sha384),
        SignScheme::RsaPkcs1Sha512 => rsa(RsaPadding::Pkcs1, Sha512),
        SignScheme::MlDsa65 => Way::MlDsa65,
        _ => return Err(Refusal::WrongScheme),
    })
}
