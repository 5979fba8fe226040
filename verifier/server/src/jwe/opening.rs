//! The client's side, for tests alone: a guest opens JWEs in its vault. By other libraries than the
//! sealing side where there are others.

use super::kmac::kmac256;
use aes_gcm::{AeadInOut, Aes256Gcm, KeyInit};
use aes_kw::{KwAes192, KwAes256};
use aws_lc_rs::agreement::{ECDH_P521, PrivateKey, UnparsedPublicKey, X25519, agree};
use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::kem::{DecapsulationKey, ML_KEM_768};
use aws_lc_rs::rsa::{
    KeySize, OAEP_SHA256_MGF1SHA256, OaepPrivateDecryptingKey, PrivateDecryptingKey,
};
use nitride_kbs::jwe::{
    Header, Jwe, ML_KEM_768_CIPHERTEXT_LEN, concat_kdf_other_info, hybrid_other_info,
    ml_kem_fixed_info,
};
use nitride_kbs::tee_key::{RsaPublicKey, TeeKeyForm, TeePublicKey};
use p256::elliptic_curve::sec1::ToSec1Point;
use p256::{PublicKey, SecretKey};
use sha2::{Digest, Sha256};
use std::sync::Arc;

/// A guest's key, of any form.
pub(crate) enum TeeKey {
    P256(SecretKey),
    P521(PrivateKey),
    Rsa(OaepPrivateDecryptingKey, RsaPublicKey),
    MlKem(DecapsulationKey),
    /// With the public half of both: an expanded key does not give its own back.
    Hybrid(DecapsulationKey, PrivateKey, Arc<[u8; 1216]>),
}

impl TeeKey {
    pub(crate) fn draw(form: TeeKeyForm) -> Self {
        let ml_kem = || DecapsulationKey::generate(&ML_KEM_768).unwrap();
        match form {
            TeeKeyForm::EcP256 => {
                Self::P256(crate::key_file::draw_p256(&mut crate::entropy::KernelEntropy).unwrap())
            }
            TeeKeyForm::EcP521 => Self::P521(PrivateKey::generate(&ECDH_P521).unwrap()),
            TeeKeyForm::RsaOaep256 => {
                Self::rsa(PrivateDecryptingKey::generate(KeySize::Rsa2048).unwrap())
            }
            TeeKeyForm::MlKem768 => Self::MlKem(ml_kem()),
            TeeKeyForm::X25519MlKem768 => {
                let (ml_kem, x25519) = (ml_kem(), PrivateKey::generate(&X25519).unwrap());
                let public = x25519.compute_public_key().unwrap();
                let public = [ek(&ml_kem).as_slice(), public.as_ref()].concat();
                Self::Hybrid(ml_kem, x25519, Arc::new(public.try_into().unwrap()))
            }
        }
    }

    /// One of `protocol/kbs/golden/tee-keys.json`.
    pub(crate) fn golden(form: TeeKeyForm) -> Self {
        let keys = include_str!("../../../../protocol/kbs/golden/tee-keys.json");
        let keys: serde_json::Value = serde_json::from_str(keys).unwrap();
        let part = |name: &str, part: &str| {
            let digits = keys[name][part].as_str().unwrap();
            let byte = |at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap();
            (0..digits.len()).step_by(2).map(byte).collect::<Vec<u8>>()
        };
        let ml_kem = |name| DecapsulationKey::new(&ML_KEM_768, &part(name, "expanded")).unwrap();
        let private = |algorithm, name, which| {
            PrivateKey::from_private_key(algorithm, &part(name, which)).unwrap()
        };
        match form {
            TeeKeyForm::EcP256 => unreachable!("the vault's tests open that one"),
            TeeKeyForm::EcP521 => Self::P521(private(&ECDH_P521, "p521", "private")),
            TeeKeyForm::RsaOaep256 => {
                Self::rsa(PrivateDecryptingKey::from_pkcs8(&part("rsa", "pkcs8")).unwrap())
            }
            TeeKeyForm::MlKem768 => Self::MlKem(ml_kem("ml-kem")),
            TeeKeyForm::X25519MlKem768 => {
                let public = keys["hybrid"]["jwk"].as_str().unwrap();
                let TeePublicKey::X25519MlKem768(public) = TeePublicKey::parse(public).unwrap()
                else {
                    unreachable!();
                };
                let x25519 = private(&X25519, "hybrid", "x25519");
                Self::Hybrid(ml_kem("hybrid"), x25519, public)
            }
        }
    }

    fn rsa(key: PrivateDecryptingKey) -> Self {
        let der: PublicKeyX509Der<'_> = key.public_key().as_der().unwrap();
        // SEQUENCE, algorithm, BIT STRING, SEQUENCE, INTEGER of 257 bytes with its sign.
        let modulus = der.as_ref()[33..33 + 256].to_vec();
        let public = RsaPublicKey::new(modulus, &[1, 0, 1]).unwrap();
        Self::Rsa(OaepPrivateDecryptingKey::new(key).unwrap(), public)
    }

    pub(crate) fn public(&self) -> TeePublicKey {
        match self {
            Self::P256(key) => public(key),
            Self::P521(key) => {
                let point = key.compute_public_key().unwrap();
                TeePublicKey::EcP521(Arc::new(point.as_ref()[1..].try_into().unwrap()))
            }
            Self::Rsa(_, public) => TeePublicKey::Rsa(Arc::new(public.clone())),
            Self::MlKem(key) => TeePublicKey::MlKem768(Arc::new(ek(key).try_into().unwrap())),
            Self::Hybrid(.., public) => TeePublicKey::X25519MlKem768(public.clone()),
        }
    }

    pub(crate) fn open(&self, json: &[u8]) -> Option<Vec<u8>> {
        let jwe = Jwe::parse(json).ok()?;
        let content_key = match (self, jwe.header()) {
            (Self::P256(key), Header::EcP256 { epk }) => {
                let sender = PublicKey::from_sec1_bytes(epk).ok()?;
                let shared = key.diffie_hellman(&sender);
                let info = concat_kdf_other_info();
                unwrapped(&derived(&[shared.raw_secret_bytes()], &info), &jwe)?
            }
            (Self::P521(key), Header::EcP521 { epk }) => {
                let shared = agreed(key, &ECDH_P521, &**epk)?;
                assert_eq!(shared.len(), 66);
                unwrapped(&derived(&[&shared], &concat_kdf_other_info()), &jwe)?
            }
            (Self::Rsa(key, _), Header::Rsa) => {
                let mut out = vec![0; key.min_output_size()];
                let encrypted = jwe.encrypted_key();
                let content = key.decrypt(&OAEP_SHA256_MGF1SHA256, encrypted, &mut out, None);
                content.ok()?.to_vec()
            }
            (Self::MlKem(key), Header::MlKem768 { ek }) => {
                let shared = key.decapsulate(ek.as_slice().into()).ok()?;
                let wrapping = kmac256::<24>(shared.as_ref(), &ml_kem_fixed_info());
                let mut out = vec![0; 32];
                let cipher = KwAes192::new_from_slice(wrapping.as_slice()).ok()?;
                cipher.unwrap_key(jwe.encrypted_key(), &mut out).ok()?;
                out
            }
            (Self::Hybrid(ml_kem, x25519, public), Header::X25519MlKem768 { ek }) => {
                let (ciphertext, epk) = ek.split_at(ML_KEM_768_CIPHERTEXT_LEN);
                let z = ml_kem.decapsulate(ciphertext.into()).ok()?;
                let t = agreed(x25519, &X25519, epk)?;
                let info = hybrid_other_info(ek, public);
                unwrapped(&derived(&[z.as_ref(), &t], &info), &jwe)?
            }
            _ => return None,
        };
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
}

fn ek(key: &DecapsulationKey) -> Vec<u8> {
    let key = key.encapsulation_key().unwrap();
    key.key_bytes().unwrap().as_ref().to_vec()
}

fn agreed(
    key: &PrivateKey,
    algorithm: &'static aws_lc_rs::agreement::Algorithm,
    peer: &[u8],
) -> Option<Vec<u8>> {
    let peer = UnparsedPublicKey::new(algorithm, peer);
    agree(key, peer, (), |shared| Ok(shared.to_vec())).ok()
}

fn derived(shared: &[&[u8]], info: &[u8]) -> Vec<u8> {
    let mut kdf = Sha256::new();
    kdf.update(1u32.to_be_bytes());
    shared.iter().for_each(|shared| kdf.update(shared));
    kdf.update(info);
    kdf.finalize().to_vec()
}

fn unwrapped(wrapping: &[u8], jwe: &Jwe) -> Option<Vec<u8>> {
    let mut content_key = vec![0; 32];
    let cipher = KwAes256::new_from_slice(wrapping).ok()?;
    cipher
        .unwrap_key(jwe.encrypted_key(), &mut content_key)
        .ok()?;
    Some(content_key)
}

pub(crate) fn open(json: &[u8], key: &SecretKey) -> Option<Vec<u8>> {
    TeeKey::P256(key.clone()).open(json)
}

pub(crate) fn public(key: &SecretKey) -> TeePublicKey {
    let point = key.public_key().to_sec1_point(false);
    TeePublicKey::from_point(point.as_bytes().try_into().unwrap()).unwrap()
}
