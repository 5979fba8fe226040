//! RSA keys that do not come as a certificate, in the form in which keys are read here.

/// `SEQUENCE { OBJECT IDENTIFIER rsaEncryption, NULL }` (RFC 8017, A.1).
const RSA_ENCRYPTION: &[u8] = b"\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00";
const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;

/// The `SubjectPublicKeyInfo` of the key with this modulus and exponent, big-endian, for
/// [`super::PublicKey::of_spki`]. Whether it is a good key, the verification of its signature says.
#[must_use]
pub fn rsa_spki(modulus: &[u8], exponent: &[u8]) -> Vec<u8> {
    let key = [integer(modulus), integer(exponent)].concat();
    let key = [&[0], &tlv(SEQUENCE, &key)[..]].concat();
    let body = [RSA_ENCRYPTION, &tlv(BIT_STRING, &key)].concat();
    tlv(SEQUENCE, &body)
}

/// A non-negative number in as few bytes as DER wants.
fn integer(number: &[u8]) -> Vec<u8> {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    let digits = number.get(zeros..).unwrap_or_default();
    let is_high = digits.first().is_none_or(|byte| byte & 0x80 != 0);
    let sign: &[u8] = if is_high { &[0] } else { &[] };
    tlv(INTEGER, &[sign, digits].concat())
}

fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let len = content.len().to_be_bytes();
    let zeros = len.iter().take_while(|byte| **byte == 0).count();
    let digits = len.get(zeros..).unwrap_or_default();
    let mut out = vec![tag];
    match (digits, u8::try_from(content.len())) {
        (_, Ok(short @ 0..0x80)) => out.push(short),
        (digits, _) => {
            // At most eight digits.
            out.push(0x80 | u8::try_from(digits.len()).unwrap_or(0x7f));
            out.extend(digits);
        }
    }
    out.extend(content);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
    use aws_lc_rs::rsa::{KeyPair, KeySize};
    use aws_lc_rs::signature::KeyPair as _;

    #[test]
    fn it_is_the_encoding_of_the_library() {
        let key = KeyPair::generate(KeySize::Rsa2048).unwrap();
        let wanted: PublicKeyX509Der<'_> = key.public_key().as_der().unwrap();
        let wanted = wanted.as_ref();
        let (modulus, exponent) = (&wanted[33..289], &wanted[291..]);
        assert_eq!(exponent, [1, 0, 1]);
        assert_eq!(rsa_spki(modulus, exponent), wanted);
        let padded = [&[0, 0], modulus].concat();
        assert_eq!(rsa_spki(&padded, exponent), wanted);
    }

    #[test]
    fn numbers_and_lengths_are_as_short_as_they_can_be() {
        assert_eq!(integer(&[0, 0x7f]), [2, 1, 0x7f]);
        assert_eq!(integer(&[0x80]), [2, 2, 0, 0x80]);
        assert_eq!(integer(&[]), [2, 1, 0]);
        assert_eq!(tlv(4, &[9; 127])[..3], [4, 127, 9]);
        assert_eq!(tlv(4, &[9; 128])[..4], [4, 0x81, 128, 9]);
        assert_eq!(tlv(4, &[9; 256])[..5], [4, 0x82, 1, 0, 9]);
    }
}
