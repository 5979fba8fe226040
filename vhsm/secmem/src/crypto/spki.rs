//! `SubjectPublicKeyInfo` in DER (RFC 5280 4.1.2.7), strictly, in the one form that each kind of
//! key has.

use super::der::{BIT_STRING, Head, Reader, SEQUENCE};
use super::{Curve, KeyAlgorithm};

/// A public key as it stands in an SPKI's `BIT STRING`: an uncompressed point, 32 bytes, an
/// `RSAPublicKey` in DER, or the raw key. Its form is checked, but not whether it is a key: that
/// is checked where it is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublicKey<'a> {
    /// Of which kind the key is.
    pub algorithm: KeyAlgorithm,
    /// Its bytes.
    pub key: &'a [u8],
}

/// Reads an SPKI; nothing if it is not exactly what [`spki`] writes for some key.
#[must_use]
pub fn parse_spki(der: &[u8]) -> Option<PublicKey<'_>> {
    let mut reader = Reader::only(der, SEQUENCE)?;
    let algorithm = KeyAlgorithm::of_identifier(reader.take(SEQUENCE)?)?;
    let key = reader.take_bits()?;
    reader.end()?;
    algorithm
        .fits_public(key)
        .then_some(PublicKey { algorithm, key })
}

/// The DER `SubjectPublicKeyInfo` of a public key in the form of [`PublicKey::key`]; nothing for
/// bytes of another form.
#[must_use]
pub fn spki(algorithm: KeyAlgorithm, key: &[u8]) -> Option<Vec<u8>> {
    if !algorithm.fits_public(key) {
        return None;
    }
    let identifier = algorithm.identifier();
    let inner = Head::new(SEQUENCE, identifier.len())?;
    let bits = Head::new(BIT_STRING, key.len() + 1)?;
    let parts = [inner.as_bytes(), identifier, bits.as_bytes(), &[0], key];
    let outer = Head::new(SEQUENCE, parts.iter().map(|part| part.len()).sum())?;
    let mut der = outer.as_bytes().to_vec();
    for part in parts {
        der.extend_from_slice(part);
    }
    Some(der)
}

/// SEQUENCE { SEQUENCE { OID ecPublicKey, OID prime256v1 }, BIT STRING of 65 bytes }.
const P256_HEAD: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
/// SEQUENCE { SEQUENCE { OID Ed25519 }, BIT STRING of 32 bytes }.
const ED25519_HEAD: [u8; 12] = [
    0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
];

/// The DER `SubjectPublicKeyInfo` of an uncompressed P-256 point.
#[must_use]
pub fn p256_spki(point: &[u8; 65]) -> [u8; 91] {
    let mut spki = [0; 91];
    let (head, key) = spki.split_at_mut(P256_HEAD.len());
    head.copy_from_slice(&P256_HEAD);
    key.copy_from_slice(point);
    spki
}

/// The DER `SubjectPublicKeyInfo` of an Ed25519 public key.
#[must_use]
pub fn ed25519_spki(public: &[u8; 32]) -> [u8; 44] {
    let mut spki = [0; 44];
    let (head, key) = spki.split_at_mut(ED25519_HEAD.len());
    head.copy_from_slice(&ED25519_HEAD);
    key.copy_from_slice(public);
    spki
}

/// The point in a DER `SubjectPublicKeyInfo` of a key on P-256. Whether it lies on the curve is
/// checked where it is used.
#[must_use]
pub fn parse_p256_spki(der: &[u8]) -> Option<[u8; 65]> {
    match parse_spki(der)? {
        PublicKey {
            algorithm: KeyAlgorithm::Ec(Curve::P256),
            key,
        } => key.try_into().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A public key of each kind, as far as its form goes.
    fn keys() -> Vec<(KeyAlgorithm, Vec<u8>)> {
        KeyAlgorithm::ALL
            .into_iter()
            .map(|algorithm| {
                let key = match (algorithm, algorithm.public_len()) {
                    (KeyAlgorithm::Ec(_), Some(len)) => [&[4][..], &vec![7; len - 1]].concat(),
                    (_, Some(len)) => vec![7; len],
                    (_, None) => {
                        let mut key = vec![0x30, 0x82, 0x01, 0x0a, 0x02, 0x82, 0x01, 0x01, 0];
                        key.extend([0xc3; 256]);
                        key.extend([2, 3, 1, 0, 1]);
                        key
                    }
                };
                (algorithm, key)
            })
            .collect()
    }

    #[test]
    fn a_key_comes_back_out_of_its_spki() {
        for (algorithm, key) in keys() {
            let der = spki(algorithm, &key).unwrap();
            assert_eq!(
                parse_spki(&der),
                Some(PublicKey {
                    algorithm,
                    key: &key
                })
            );
        }
    }

    #[test]
    fn any_other_form_is_refused() {
        for (algorithm, key) in keys() {
            let der = spki(algorithm, &key).unwrap();
            assert_eq!(parse_spki(&der[..der.len() - 1]), None);
            assert_eq!(parse_spki(&[&der[..], &[0]].concat()), None);
            assert_eq!(spki(algorithm, &key[1..]), None);
            for index in 0..der.len() - key.len() {
                let mut other = der.clone();
                other[index] ^= 0x40;
                let parsed = parse_spki(&other);
                assert_eq!(parsed, None, "{algorithm:?} {index}");
            }
        }
        assert_eq!(parse_spki(&[]), None);
    }

    #[test]
    fn the_fixed_forms_are_the_general_ones() {
        let mut point = [7; 65];
        point[0] = 4;
        let der = p256_spki(&point);
        assert_eq!(spki(KeyAlgorithm::Ec(Curve::P256), &point).unwrap(), der);
        assert_eq!(parse_p256_spki(&der), Some(point));
        let public = [9; 32];
        let der = ed25519_spki(&public);
        assert_eq!(spki(KeyAlgorithm::Ed25519, &public).unwrap(), der);
        assert_eq!(parse_p256_spki(&der), None);
    }
}
