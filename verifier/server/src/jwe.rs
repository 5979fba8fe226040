//! A resource encrypted to the TEE key: ECDH-ES+A256KW and A256GCM (RFC 7516, 7518). The forms are
//! `nitride_kbs::jwe`'s; the arithmetic on secrets is here, and every secret in it is wiped.

use crate::entropy::{Draw, NoEntropy, draw_array, draw_secret};
use aes_gcm::aead::inout::InOutBuf;
use aes_gcm::{AeadInOut, Aes256Gcm, KeyInit};
use aes_kw::KwAes256;
use aws_lc_rs::agreement::{ECDH_P256, EphemeralPrivateKey, UnparsedPublicKey, agree_ephemeral};
use aws_lc_rs::rand::SystemRandom;
use nitride_kbs::jwe::{concat_kdf_other_info, protected_header, to_json};
use nitride_kbs::tee_key::TeePublicKey;
use p256::PublicKey;
use sha2::{Digest, Sha256};
use thiserror::Error;
use zeroize::Zeroizing;

/// Why a resource is not encrypted.
#[derive(Debug, Error)]
pub(crate) enum JweSealError {
    /// The TEE key is not on the curve.
    #[error("tee public key is not a point of P-256")]
    NotOnCurve,
    /// A cipher refused its input; sizes are fixed here, so that this is a defect.
    #[error("encrypt resource")]
    Cipher,
    /// No randomness.
    #[error(transparent)]
    NoEntropy(#[from] NoEntropy),
}

/// Takes a TEE key that is a point of the curve: at attest already, so that no token ever holds
/// another.
pub(crate) fn checked_key(key: &TeePublicKey) -> Result<PublicKey, JweSealError> {
    PublicKey::from_sec1_bytes(&key.to_point()).map_err(|_| JweSealError::NotOnCurve)
}

/// Encrypts `resource` to `key` under a fresh ephemeral key and content key; the JWE's JSON.
pub(crate) fn seal(
    resource: &[u8],
    key: &TeePublicKey,
    draw: &mut dyn Draw,
) -> Result<String, JweSealError> {
    checked_key(key)?;
    let content_key = draw_secret::<32>(draw)?;
    let iv: [u8; 12] = draw_array(draw)?;

    // AWS-LC's, which TLS has linked anyhow: a tenth of what RustCrypto takes. It draws for itself,
    // and wipes what it has agreed on.
    let ephemeral = EphemeralPrivateKey::generate(&ECDH_P256, &SystemRandom::new())
        .map_err(|_| JweSealError::Cipher)?;
    let public = ephemeral
        .compute_public_key()
        .map_err(|_| JweSealError::Cipher)?;
    let epk: [u8; 65] = public
        .as_ref()
        .try_into()
        .map_err(|_| JweSealError::Cipher)?;
    let recipient = UnparsedPublicKey::new(&ECDH_P256, key.to_point());
    let refused = JweSealError::Cipher;
    let key_key = agree_ephemeral(ephemeral, recipient, refused, |shared| Ok(derived(shared)))?;

    let mut encrypted_key = [0; 40];
    let wrapping =
        KwAes256::new_from_slice(key_key.as_slice()).map_err(|_| JweSealError::Cipher)?;
    wrapping
        .wrap_key(content_key.as_slice(), &mut encrypted_key)
        .map_err(|_| JweSealError::Cipher)?;

    let protected = protected_header(&epk);
    let cipher =
        Aes256Gcm::new_from_slice(content_key.as_slice()).map_err(|_| JweSealError::Cipher)?;
    // Encrypted from buffer to buffer: no copy of the plaintext is made.
    let mut ciphertext = vec![0; resource.len()];
    let buffer = InOutBuf::new(resource, &mut ciphertext).map_err(|_| JweSealError::Cipher)?;
    let tag = cipher
        .encrypt_inout_detached(&iv.into(), protected.as_bytes(), buffer)
        .map_err(|_| JweSealError::Cipher)?;
    Ok(to_json(
        &protected,
        &encrypted_key,
        &iv,
        &ciphertext,
        &tag.into(),
    ))
}

/// RFC 7518, 4.6.2: one round of the concat KDF gives the 32 bytes.
fn derived(shared: &[u8]) -> Zeroizing<[u8; 32]> {
    let mut kdf = Sha256::new();
    kdf.update(1u32.to_be_bytes());
    kdf.update(shared);
    kdf.update(concat_kdf_other_info());
    Zeroizing::new(kdf.finalize().into())
}

/// The client's side, for tests alone: a guest opens JWEs in its vault.
#[cfg(test)]
pub(crate) mod opening {
    use super::*;
    use nitride_kbs::jwe::Jwe;
    use p256::SecretKey;
    use p256::elliptic_curve::sec1::ToSec1Point;

    pub(crate) fn open(json: &[u8], key: &SecretKey) -> Option<Vec<u8>> {
        let jwe = Jwe::parse(json).ok()?;
        let sender = PublicKey::from_sec1_bytes(&jwe.header().epk).ok()?;
        let shared = key.diffie_hellman(&sender);
        let mut kdf = Sha256::new();
        kdf.update(1u32.to_be_bytes());
        kdf.update(shared.raw_secret_bytes());
        kdf.update(concat_kdf_other_info());
        let key_key: [u8; 32] = kdf.finalize().into();
        let mut content_key = [0; 32];
        KwAes256::new_from_slice(&key_key)
            .ok()?
            .unwrap_key(jwe.encrypted_key(), &mut content_key)
            .ok()?;
        let cipher = Aes256Gcm::new_from_slice(&content_key).ok()?;
        let mut plaintext = jwe.ciphertext().to_vec();
        cipher
            .decrypt_inout_detached(
                &(*jwe.iv()).into(),
                jwe.aad(),
                plaintext.as_mut_slice().into(),
                &(*jwe.tag()).into(),
            )
            .ok()?;
        Some(plaintext)
    }

    pub(crate) fn public(key: &SecretKey) -> TeePublicKey {
        let point = key.public_key().to_sec1_point(false);
        TeePublicKey::from_point(point.as_bytes().try_into().unwrap()).unwrap()
    }
}

#[cfg(test)]
mod tests {
    use super::opening::{open, public};
    use super::*;
    use crate::entropy::KernelEntropy;
    use crate::key_file::draw_p256;

    #[test]
    fn only_the_tee_key_opens_what_was_sealed_to_it() {
        let key = draw_p256(&mut KernelEntropy).unwrap();
        let other = draw_p256(&mut KernelEntropy).unwrap();
        for resource in [&b""[..], b"s", &[7; 65_536]] {
            let jwe = seal(resource, &public(&key), &mut KernelEntropy).unwrap();
            assert_eq!(open(jwe.as_bytes(), &key).as_deref(), Some(resource));
            assert_eq!(open(jwe.as_bytes(), &other), None);
        }
    }

    #[test]
    fn no_two_sealings_share_a_key() {
        let key = public(&draw_p256(&mut KernelEntropy).unwrap());
        let first = seal(b"secret", &key, &mut KernelEntropy).unwrap();
        assert_ne!(first, seal(b"secret", &key, &mut KernelEntropy).unwrap());
        assert!(!first.contains("secret"));
    }

    #[test]
    fn a_key_off_the_curve_is_refused() {
        let key = TeePublicKey::EcP256 {
            x: [1; 32],
            y: [2; 32],
        };
        assert!(matches!(
            seal(b"secret", &key, &mut KernelEntropy),
            Err(JweSealError::NotOnCurve)
        ));
    }
}
