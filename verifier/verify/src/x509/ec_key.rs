//! Keys over P-256 that do not come as a certificate, in the form in which keys are read here.

/// Everything before the two coordinates: `SEQUENCE { SEQUENCE { id-ecPublicKey, prime256v1 }, BIT
/// STRING }` (RFC 5480, 2.1), and the mark of a point that is not compressed.
const HEAD: &[u8] = b"\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\
    \x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x03\x42\x00\x04";

/// The `SubjectPublicKeyInfo` of the key with these coordinates, big-endian, for
/// [`super::PublicKey::of_spki`]. Whether they are a point, the verification of its signature says.
#[must_use]
pub fn p256_spki(x: &[u8; 32], y: &[u8; 32]) -> Vec<u8> {
    [HEAD, x, y].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};

    #[test]
    fn it_is_the_encoding_of_the_library() {
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        let wanted: PublicKeyX509Der<'_> = key.public_key().as_der().unwrap();
        let point = key.public_key().as_ref();
        let x = point[1..33].try_into().unwrap();
        let y = point[33..].try_into().unwrap();
        assert_eq!(p256_spki(x, y), wanted.as_ref());
    }
}
