//! How material comes to be, in the form in which it is stored: raw bytes, scalar or seed; of an
//! RSA key PKCS#8.

use super::expanded::{curve_of, hash_of, rsa_size_of};
use super::{Expanded, Material};
use crate::{Draw, Refusal};
use nitride_protocol::KeyType;
use nitride_protocol::limits::MAX_SECRET_LEN;
use nitride_secmem::SecretBuf;
use nitride_secmem::crypto::{
    CryptoError, Ec, Ed25519, MlDsa65, MlKem768, Rsa, X25519, parse_pkcs8,
};

/// What an HMAC key that comes from elsewhere may have (NIST SP 800-107: at least 112 bits).
const HMAC_KEY_LEN: std::ops::RangeInclusive<usize> = 16..=1024;

impl Material {
    /// A fresh key, as it is stored. Symmetric ones are drawn straight into the arena; the others
    /// are drawn by AWS-LC.
    pub(crate) fn draw(key_type: KeyType, draw: &mut dyn Draw) -> Result<SecretBuf, Refusal> {
        if let Some(curve) = curve_of(key_type) {
            let key = Ec::generate(curve)?;
            let mut scalar = SecretBuf::with_len(curve.scalar_len())?;
            key.scalar_into(scalar.expose_mut())?;
            return Ok(scalar);
        }
        if let Some(size) = rsa_size_of(key_type) {
            return Ok(Rsa::generate(size)?.pkcs8()?);
        }
        Ok(match key_type {
            KeyType::Ed25519 => in_arena(|out| Ed25519::generate().map(|key| key.seed_into(out)))?,
            KeyType::X25519 => in_arena(|out| X25519::generate().map(|key| key.private_into(out)))?,
            KeyType::MlDsa65 => in_arena(|out| MlDsa65::generate().map(|key| key.seed_into(out)))?,
            KeyType::MlKem768 => {
                in_arena(|out| MlKem768::generate().map(|key| key.seed_into(out)))?
            }
            _ => {
                let mut bytes = SecretBuf::with_len(drawn_len(key_type))?;
                draw.fill(bytes.expose_mut());
                bytes
            }
        })
    }

    /// A key from elsewhere, as it is stored: `raw` lies in the arena and is copied. An RSA key
    /// has no raw form but PKCS#8.
    pub(crate) fn accept(key_type: KeyType, raw: &[u8]) -> Result<SecretBuf, Refusal> {
        let fits = match key_type {
            KeyType::HmacSha256 | KeyType::HmacSha384 | KeyType::HmacSha512 => {
                HMAC_KEY_LEN.contains(&raw.len())
            }
            KeyType::Secret => (1..=MAX_SECRET_LEN).contains(&raw.len()),
            // The library looks at the length of what is not just bytes.
            KeyType::Aes128Gcm
            | KeyType::Aes256Gcm
            | KeyType::Aes256GcmSiv
            | KeyType::ChaCha20Poly1305
            | KeyType::Aes256Kwp => raw.len() == drawn_len(key_type),
            _ => true,
        };
        if !fits {
            return Err(Refusal::BadMaterial { key_type });
        }
        // Expanded once, so that what is no key is refused where it comes in.
        Expanded::new(key_type, raw).map_err(|error| of_material(error, key_type))?;
        Ok(SecretBuf::copy_of(raw)?)
    }

    /// A key from elsewhere in a PKCS#8 file, as it is stored.
    pub(crate) fn accept_pkcs8(key_type: KeyType, der: &[u8]) -> Result<SecretBuf, Refusal> {
        if rsa_size_of(key_type).is_some() {
            return Self::accept(key_type, der);
        }
        let checked = match (key_type, curve_of(key_type)) {
            (_, Some(curve)) => Ec::from_pkcs8(curve, der).map(drop),
            (KeyType::Ed25519, _) => Ed25519::from_pkcs8(der).map(drop),
            (KeyType::X25519, _) => X25519::from_pkcs8(der).map(drop),
            (KeyType::MlDsa65, _) => MlDsa65::from_pkcs8(der).map(drop),
            (KeyType::MlKem768, _) => MlKem768::from_pkcs8(der).map(drop),
            // Other types have no such form.
            _ => return Err(Refusal::WrongFormat { key_type }),
        };
        checked.map_err(|error| of_material(error, key_type))?;
        let info = parse_pkcs8(der).map_err(|error| of_material(error, key_type))?;
        Ok(SecretBuf::copy_of(info.secret)?)
    }

    /// How many bytes a key of a symmetric type is derived of; `None` for types that are not
    /// derived. Wrapping keys and secrets are not: whoever knows what they are derived of could
    /// take out what they guard, or be told what was never to be told.
    pub(crate) fn derived_len(key_type: KeyType) -> Option<usize> {
        match key_type {
            KeyType::Aes128Gcm
            | KeyType::Aes256Gcm
            | KeyType::Aes256GcmSiv
            | KeyType::ChaCha20Poly1305 => Some(drawn_len(key_type)),
            _ => hash_of(key_type).map(|_| drawn_len(key_type)),
        }
    }
}

/// Bytes of a symmetric key that the vault makes; an HMAC key has those of its digest.
fn drawn_len(key_type: KeyType) -> usize {
    match key_type {
        KeyType::Aes128Gcm => 16,
        _ => hash_of(key_type).map_or(32, |hash| hash.digest_len()),
    }
}

fn of_material(error: CryptoError, key_type: KeyType) -> Refusal {
    match error {
        CryptoError::InvalidKey
        | CryptoError::InvalidPoint
        | CryptoError::InvalidPublicKey
        | CryptoError::BadEncoding
        | CryptoError::WrongAlgorithm
        | CryptoError::NoSeed
        | CryptoError::BadLength => Refusal::BadMaterial { key_type },
        error => error.into(),
    }
}

/// Bytes of this length in the arena, written in place.
fn in_arena<const N: usize>(
    write: impl FnOnce(&mut [u8; N]) -> Result<(), CryptoError>,
) -> Result<SecretBuf, Refusal> {
    let mut bytes = SecretBuf::with_len(N)?;
    if let Ok(out) = bytes.expose_mut().try_into() {
        write(out)?;
    }
    Ok(bytes)
}
