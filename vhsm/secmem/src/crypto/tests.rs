//! Known answers, refusals, and what Debug shows.

mod asymmetric;
mod files;
mod hostile_rsa;
mod published;
mod symmetric;

use super::{
    AeadAlgorithm, AeadKey, Curve, Ec, EcP256, Ed25519, HashAlgorithm, Hmac, HmacSha256, Kwp,
    MlDsa65, MlKem768, Rsa, RsaSize, X25519, Xaes256Gcm,
};
use crate::testing::{installed, unhex};
use crate::{Record, SecretBuf};

fn hex<const N: usize>(text: &str) -> [u8; N] {
    unhex(text).try_into().unwrap()
}

#[test]
fn debug_shows_no_key() {
    installed();
    let key = [0x5a; 32];
    for shown in [
        format!(
            "{:?}",
            AeadKey::new(AeadAlgorithm::Aes256Gcm, &key).unwrap()
        ),
        format!("{:?}", HmacSha256::new(&key).unwrap()),
        format!("{:?}", Hmac::new(HashAlgorithm::Sha512, &key).unwrap()),
        format!("{:?}", Kwp::new(&key).unwrap()),
        format!("{:?}", Xaes256Gcm::new(&key).unwrap()),
        format!("{:?}", X25519::from_private(&key).unwrap()),
        format!("{:?}", MlDsa65::from_seed(&key).unwrap()),
        format!("{:?}", MlKem768::from_seed(&[0x5a; 64]).unwrap()),
        format!("{:?}", Rsa::generate(RsaSize::Bits2048).unwrap()),
        format!("{:?}", Ec::from_scalar(Curve::P256, &key).unwrap()),
        format!("{:?}", EcP256::from_scalar(&key).unwrap()),
        format!("{:?}", Ed25519::from_seed(&key).unwrap()),
        format!("{:?}", SecretBuf::copy_of(&key).unwrap()),
        format!("{:?}", Record::new(&key).unwrap()),
    ] {
        assert!(shown.contains("redacted"), "{shown}");
        assert!(!shown.contains("90") && !shown.contains("5a"), "{shown}");
    }
}
