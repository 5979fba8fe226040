use nitride_kbs::token::TokenAlgorithm;
use nitride_secmem::crypto::{
    Curve, KeyAlgorithm, PublicKey, parse_spki, verify_ml_dsa_65, verify_p256_sha256,
};
use std::fmt;

/// A public key that an issuer of attestation results signs with, pinned by a gate.
#[derive(Clone, PartialEq, Eq)]
pub enum IssuerKey {
    /// P-256, an uncompressed point; its tokens are signed with ES256.
    P256([u8; 65]),
    /// ML-DSA-65, 1952 bytes.
    MlDsa65(Box<[u8]>),
}

impl IssuerKey {
    /// The key in a `SubjectPublicKeyInfo` in DER; nothing for a key of another kind. Whether a point
    /// lies on its curve is found where it is used.
    #[must_use]
    pub fn from_spki(der: &[u8]) -> Option<Self> {
        let PublicKey { algorithm, key } = parse_spki(der)?;
        match algorithm {
            KeyAlgorithm::Ec(Curve::P256) => Some(Self::P256(key.try_into().ok()?)),
            KeyAlgorithm::MlDsa65 => Some(Self::MlDsa65(key.into())),
            _ => None,
        }
    }

    /// Whether a token whose header says `algorithm` is signed with this key. A key has one algorithm,
    /// whatever the header says; what cannot be verified, as in a full arena, is not signed.
    pub(crate) fn has_signed(
        &self,
        algorithm: TokenAlgorithm,
        signing_input: &[u8],
        signature: &[u8],
    ) -> bool {
        match (self, algorithm) {
            (Self::P256(point), TokenAlgorithm::Es256) => signature
                .try_into()
                .is_ok_and(|signature| verify_p256_sha256(point, &[signing_input], signature)),
            (Self::MlDsa65(key), TokenAlgorithm::MlDsa65) => {
                verify_ml_dsa_65(key, signing_input, signature).unwrap_or(false)
            }
            _ => false,
        }
    }
}

impl fmt::Debug for IssuerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::P256(_) => "P256(..)",
            Self::MlDsa65(_) => "MlDsa65(..)",
        })
    }
}
