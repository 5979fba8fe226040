//! RSAES-OAEP with SHA-256, to a key that comes as two numbers.

use crate::entropy::SecretArray;
use aws_lc_rs::rsa::{OAEP_SHA256_MGF1SHA256, OaepPublicEncryptingKey, PublicEncryptingKey};
use nitride_kbs::tee_key::RsaPublicKey;

/// `SEQUENCE { OID rsaEncryption, NULL }` (RFC 8017, A.1).
const ALGORITHM: [u8; 15] = [
    0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00,
];
const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const SEQUENCE: u8 = 0x30;

/// The content key, for the holder of `key` alone; `None` if AWS-LC takes no such key.
pub(super) fn encrypt(key: &RsaPublicKey, content_key: &SecretArray<32>) -> Option<Vec<u8>> {
    let key = PublicEncryptingKey::from_der(&public_key_info(key)).ok()?;
    let key = OaepPublicEncryptingKey::new(key).ok()?;
    let mut encrypted = vec![0; key.ciphertext_size()];
    key.encrypt(
        &OAEP_SHA256_MGF1SHA256,
        content_key.as_slice(),
        &mut encrypted,
        None,
    )
    .ok()?;
    Some(encrypted)
}

/// The key as the library reads one: SubjectPublicKeyInfo (RFC 5280, 4.1.2.7) around RSAPublicKey
/// (RFC 8017, A.1.1).
fn public_key_info(key: &RsaPublicKey) -> Vec<u8> {
    let numbers = [integer(key.modulus()), integer(&key.exponent())].concat();
    let numbers = element(SEQUENCE, &numbers);
    let bits = element(BIT_STRING, &[&[0], numbers.as_slice()].concat());
    element(SEQUENCE, &[&ALGORITHM, bits.as_slice()].concat())
}

/// A positive number: with a zero before it where its first bit would make it negative.
fn integer(number: &[u8]) -> Vec<u8> {
    let sign: &[u8] = match number.first() {
        Some(first) if *first >= 0x80 => &[0],
        _ => &[],
    };
    element(INTEGER, &[sign, number].concat())
}

fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let len = content.len().to_be_bytes();
    let zeros = len.iter().take_while(|byte| **byte == 0).count();
    let (_, len) = len.split_at(zeros);
    let mut der = vec![tag];
    match *len {
        [] => der.push(0),
        [short] if short < 0x80 => der.push(short),
        // At most four bytes: a modulus is bounded.
        _ => {
            der.push(0x80 | u8::try_from(len.len()).unwrap_or(4));
            der.extend(len);
        }
    }
    der.extend(content);
    der
}
