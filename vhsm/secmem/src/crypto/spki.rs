//! `SubjectPublicKeyInfo` in DER (RFC 5480, RFC 8410).

/// The DER `SubjectPublicKeyInfo` of an uncompressed P-256 point.
#[must_use]
pub fn p256_spki(_point: &[u8; 65]) -> [u8; 91] {
    [0; 91]
}

/// The DER `SubjectPublicKeyInfo` of an Ed25519 public key.
#[must_use]
pub fn ed25519_spki(_public: &[u8; 32]) -> [u8; 44] {
    [0; 44]
}

/// The point in a DER `SubjectPublicKeyInfo` of exactly the form that [`p256_spki`] writes. Whether
/// it lies on the curve is checked where it is used.
#[must_use]
pub fn parse_p256_spki(_spki: &[u8]) -> Option<[u8; 65]> {
    None
}
