//! `SubjectPublicKeyInfo` in DER (RFC 5480, RFC 8410): a fixed head, then the key.

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

/// The point in a DER `SubjectPublicKeyInfo` of exactly the form that [`p256_spki`] writes. Whether
/// it lies on the curve is checked where it is used.
#[must_use]
pub fn parse_p256_spki(spki: &[u8]) -> Option<[u8; 65]> {
    let point: [u8; 65] = spki.strip_prefix(&P256_HEAD)?.try_into().ok()?;
    (point[0] == 4).then_some(point)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_comes_back_out_of_its_spki() {
        let mut point = [7; 65];
        point[0] = 4;
        assert_eq!(parse_p256_spki(&p256_spki(&point)), Some(point));
    }

    #[test]
    fn any_other_form_is_refused() {
        let mut point = [7; 65];
        point[0] = 4;
        let spki = p256_spki(&point);
        assert_eq!(parse_p256_spki(&spki[..90]), None);
        assert_eq!(parse_p256_spki(&[&spki[..], &[0]].concat()), None);
        assert_eq!(parse_p256_spki(&[]), None);
        for index in 0..=P256_HEAD.len() {
            let mut other = spki;
            other[index] ^= 2;
            assert_eq!(parse_p256_spki(&other), None, "{index}");
        }
    }
}
