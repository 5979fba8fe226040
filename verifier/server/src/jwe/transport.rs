//! The content key, brought to the holder of a TEE key: one way for each form.
//!
//! AWS-LC's agreements and encapsulations, which TLS has linked anyhow: a tenth of what RustCrypto
//! takes. It draws for itself, and wipes what it has agreed on.

use super::{JweSealError, kmac, rsa};
use crate::entropy::SecretArray;
use aes_kw::{KeyInit, KwAes192, KwAes256};
use aws_lc_rs::agreement::{
    Algorithm, ECDH_P256, ECDH_P521, EphemeralPrivateKey, UnparsedPublicKey, X25519,
    agree_ephemeral,
};
use aws_lc_rs::kem::{EncapsulationKey, ML_KEM_768, SharedSecret};
use aws_lc_rs::rand::SystemRandom;
use nitride_kbs::jwe::{
    HYBRID_CIPHERTEXT_LEN, Header, ML_KEM_768_CIPHERTEXT_LEN, WRAPPED_KEY_LEN,
    concat_kdf_other_info, hybrid_other_info, ml_kem_fixed_info,
};
use nitride_kbs::tee_key::{ML_KEM_768_KEY_LEN, TeePublicKey, X25519_ML_KEM_768_KEY_LEN};
use nitride_kbs::tee_key::{p256_point, p521_point};
use p256::PublicKey;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// Takes a TEE key whose numbers are of its form: at attest already, so that no token ever holds
/// another.
pub(crate) fn checked_key(key: &TeePublicKey) -> Result<(), JweSealError> {
    match key {
        TeePublicKey::EcP256 { x, y } => PublicKey::from_sec1_bytes(&p256_point(x, y))
            .map(drop)
            .map_err(|_| JweSealError::NotAKey(key.form())),
        // AWS-LC judges these as it uses them: so it is used, for a content key of nothing.
        _ => bring(&Box::new(Zeroizing::new([0; 32])), key).map(drop),
    }
}

/// The header that tells the holder what to do, and the content key as it can take it.
pub(super) fn bring(
    content_key: &SecretArray<32>,
    key: &TeePublicKey,
) -> Result<(Header, Vec<u8>), JweSealError> {
    let not_a_key = || JweSealError::NotAKey(key.form());
    match key {
        TeePublicKey::EcP256 { x, y } => {
            let point = p256_point(x, y);
            let (epk, wrapping) = agreed(&ECDH_P256, &point, on_curve).ok_or_else(not_a_key)?;
            let epk = epk.try_into().map_err(|_| JweSealError::Cipher)?;
            Ok((Header::EcP256 { epk }, wrapped(&wrapping, content_key)?))
        }
        TeePublicKey::EcP521(coordinates) => {
            let point = p521_point(coordinates);
            let (epk, wrapping) = agreed(&ECDH_P521, &point, on_curve).ok_or_else(not_a_key)?;
            let epk = epk.into_boxed_slice().try_into();
            let epk = epk.map_err(|_| JweSealError::Cipher)?;
            Ok((Header::EcP521 { epk }, wrapped(&wrapping, content_key)?))
        }
        TeePublicKey::Rsa(key) => {
            let encrypted = rsa::encrypt(key, content_key).ok_or_else(not_a_key)?;
            Ok((Header::Rsa, encrypted))
        }
        TeePublicKey::MlKem768(public) => {
            let (ek, shared) = encapsulated(&**public).ok_or_else(not_a_key)?;
            let wrapping = kmac::kmac256::<24>(shared.as_ref(), &ml_kem_fixed_info());
            let mut encrypted = vec![0; WRAPPED_KEY_LEN];
            KwAes192::new_from_slice(wrapping.as_slice())
                .map_err(|_| JweSealError::Cipher)?
                .wrap_key(content_key.as_slice(), &mut encrypted)
                .map_err(|_| JweSealError::Cipher)?;
            Ok((Header::MlKem768 { ek }, encrypted))
        }
        TeePublicKey::X25519MlKem768(public) => {
            let (ek, wrapping) = hybrid(public).ok_or_else(not_a_key)?;
            let header = Header::X25519MlKem768 { ek };
            Ok((header, wrapped(&wrapping, content_key)?))
        }
    }
}

fn wrapped(
    wrapping: &Zeroizing<[u8; 32]>,
    content_key: &SecretArray<32>,
) -> Result<Vec<u8>, JweSealError> {
    let mut encrypted = vec![0; WRAPPED_KEY_LEN];
    KwAes256::new_from_slice(wrapping.as_slice())
        .map_err(|_| JweSealError::Cipher)?
        .wrap_key(content_key.as_slice(), &mut encrypted)
        .map_err(|_| JweSealError::Cipher)?;
    Ok(encrypted)
}

/// A fresh key's public half, and what `derive` makes of that half and of what is shared with
/// `peer`. `None` if that is no key.
fn agreed<T>(
    algorithm: &'static Algorithm,
    peer: &[u8],
    derive: impl FnOnce(&[u8], &[u8]) -> T,
) -> Option<(Vec<u8>, T)> {
    let ephemeral = EphemeralPrivateKey::generate(algorithm, &SystemRandom::new()).ok()?;
    let public = ephemeral.compute_public_key().ok()?.as_ref().to_vec();
    let peer = UnparsedPublicKey::new(algorithm, peer);
    let made = agree_ephemeral(ephemeral, peer, (), |shared| Ok(derive(&public, shared))).ok()?;
    Some((public, made))
}

fn on_curve(_epk: &[u8], shared: &[u8]) -> Zeroizing<[u8; 32]> {
    derived(&[shared], &concat_kdf_other_info())
}

fn encapsulated(public: &[u8]) -> Option<(Box<[u8; ML_KEM_768_CIPHERTEXT_LEN]>, SharedSecret)> {
    let key = EncapsulationKey::new(&ML_KEM_768, public).ok()?;
    let (ciphertext, shared) = key.encapsulate().ok()?;
    let ciphertext: Box<[u8]> = ciphertext.as_ref().into();
    Some((ciphertext.try_into().ok()?, shared))
}

/// What is sent, and the key that wraps the content key.
type Sent<const LEN: usize> = (Box<[u8; LEN]>, Zeroizing<[u8; 32]>);

/// Both at once: what either gives goes into one derivation, with all that was sent.
fn hybrid(public: &[u8; X25519_ML_KEM_768_KEY_LEN]) -> Option<Sent<HYBRID_CIPHERTEXT_LEN>> {
    let (ml_kem, x25519) = public.split_at(ML_KEM_768_KEY_LEN);
    let (ciphertext, from_ml_kem) = encapsulated(ml_kem)?;
    let (ek, wrapping) = agreed(&X25519, x25519, |epk, from_x25519| {
        let ek = [ciphertext.as_slice(), epk].concat().into_boxed_slice();
        let ek: Box<[u8; HYBRID_CIPHERTEXT_LEN]> = ek.try_into().ok()?;
        let info = hybrid_other_info(&ek, public);
        Some((ek, derived(&[from_ml_kem.as_ref(), from_x25519], &info)))
    })?
    .1?;
    Some((ek, wrapping))
}

/// One round of the concat KDF gives the 32 bytes (RFC 7518, 4.6.2).
fn derived(shared: &[&[u8]], info: &[u8]) -> Zeroizing<[u8; 32]> {
    let mut kdf = Sha256::new();
    kdf.update(1u32.to_be_bytes());
    for shared in shared {
        kdf.update(shared);
    }
    kdf.update(info);
    Zeroizing::new(kdf.finalize().into())
}
