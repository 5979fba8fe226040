//! Known answers, refusals, and what Debug shows.

mod asymmetric;
mod symmetric;

use super::{AeadAlgorithm, AeadKey, EcP256, Ed25519, HmacSha256};
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
        format!("{:?}", EcP256::from_scalar(&key).unwrap()),
        format!("{:?}", Ed25519::from_seed(&key).unwrap()),
        format!("{:?}", SecretBuf::copy_of(&key).unwrap()),
        format!("{:?}", Record::new(&key).unwrap()),
    ] {
        assert!(shown.contains("redacted"), "{shown}");
        assert!(!shown.contains("90") && !shown.contains("5a"), "{shown}");
    }
}
