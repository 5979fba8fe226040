//! The protected header: which form, and what the sender adds to it.

use super::{ENCRYPTION, JweError};
use crate::base64url;
use crate::limits::MAX_JWE_HEADER_LEN;
use crate::strict_json;
use crate::tee_key::{TeeKeyForm, p256_point, p521_point};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Bytes of a ciphertext of ML-KEM-768 (FIPS 203, table 3).
pub const ML_KEM_768_CIPHERTEXT_LEN: usize = 1088;
/// Bytes of what the hybrid form sends: that ciphertext, then an ephemeral X25519 key.
pub const HYBRID_CIPHERTEXT_LEN: usize = ML_KEM_768_CIPHERTEXT_LEN + 32;

/// What the protected header says: the form, and the sender's half of the agreement.
#[derive(Clone, PartialEq, Eq)]
pub enum Header {
    /// The sender's ephemeral public key, `04 || x || y`; not checked to be on the curve.
    EcP256 {
        /// 65 bytes.
        epk: [u8; 65],
    },
    /// The same on P-521.
    EcP521 {
        /// 133 bytes.
        epk: Box<[u8; 133]>,
    },
    /// The content key is encrypted as it is.
    Rsa,
    /// The ciphertext that holds the shared secret.
    MlKem768 {
        /// FIPS 203's `c`.
        ek: Box<[u8; ML_KEM_768_CIPHERTEXT_LEN]>,
    },
    /// That ciphertext, and the sender's ephemeral X25519 key after it.
    X25519MlKem768 {
        /// Both.
        ek: Box<[u8; HYBRID_CIPHERTEXT_LEN]>,
    },
}

/// In the order in which other implementations serialise the header again for the AAD. A member
/// more is refused: `apu` and `apv` would enter the key derivation, `zip` and `crit` change what
/// the rest means.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ProtectedHeader {
    alg: String,
    enc: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ek: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    epk: Option<EphemeralKey>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct EphemeralKey {
    crv: String,
    kty: String,
    x: String,
    y: String,
}

impl Header {
    /// Of which form of TEE key the JWE is.
    pub fn form(&self) -> TeeKeyForm {
        match self {
            Self::EcP256 { .. } => TeeKeyForm::EcP256,
            Self::EcP521 { .. } => TeeKeyForm::EcP521,
            Self::Rsa => TeeKeyForm::RsaOaep256,
            Self::MlKem768 { .. } => TeeKeyForm::MlKem768,
            Self::X25519MlKem768 { .. } => TeeKeyForm::X25519MlKem768,
        }
    }

    pub(super) fn read(protected: &str) -> Result<Self, JweError> {
        let text = Some(protected)
            .filter(|text| text.len() <= MAX_JWE_HEADER_LEN)
            .and_then(base64url::decode)
            .ok_or(JweError::BadPart { part: "protected" })?;
        let header: ProtectedHeader =
            strict_json::read(&text, MAX_JWE_HEADER_LEN, "protected header of the jwe")?;
        if header.enc != ENCRYPTION {
            return Err(JweError::UnknownAlgorithm);
        }
        const ECDH: &str = TeeKeyForm::EcP256.algorithm();
        const RSA: &str = TeeKeyForm::RsaOaep256.algorithm();
        const ML_KEM: &str = TeeKeyForm::MlKem768.algorithm();
        const HYBRID: &str = TeeKeyForm::X25519MlKem768.algorithm();
        let bad_ek = JweError::BadPart { part: "ek" };
        match (header.alg.as_str(), header.epk, header.ek) {
            (ECDH, Some(epk), None) => epk.read().ok_or(JweError::BadEphemeralKey),
            (RSA, None, None) => Ok(Self::Rsa),
            (ML_KEM, None, Some(ek)) => base64url::decode_boxed(&ek)
                .map(|ek| Self::MlKem768 { ek })
                .ok_or(bad_ek),
            (HYBRID, None, Some(ek)) => base64url::decode_boxed(&ek)
                .map(|ek| Self::X25519MlKem768 { ek })
                .ok_or(bad_ek),
            (ECDH | RSA, _, Some(_)) | (ML_KEM | HYBRID, None, None) => Err(bad_ek),
            (ECDH | RSA | ML_KEM | HYBRID, _, _) => Err(JweError::BadEphemeralKey),
            _ => Err(JweError::UnknownAlgorithm),
        }
    }
}

impl EphemeralKey {
    fn read(&self) -> Option<Header> {
        match (self.kty.as_str(), self.crv.as_str()) {
            ("EC", "P-256") => {
                let x = base64url::decode_array(&self.x)?;
                let y = base64url::decode_array(&self.y)?;
                let epk = p256_point(&x, &y);
                Some(Header::EcP256 { epk })
            }
            ("EC", "P-521") => {
                let x: [u8; 66] = base64url::decode_array(&self.x)?;
                let y: [u8; 66] = base64url::decode_array(&self.y)?;
                let mut coordinates = [0; 132];
                for (to, from) in coordinates.iter_mut().zip(x.iter().chain(&y)) {
                    *to = *from;
                }
                let epk = Box::new(p521_point(&coordinates));
                Some(Header::EcP521 { epk })
            }
            _ => None,
        }
    }

    /// Of an uncompressed point; its first byte is passed over.
    fn of(crv: &str, point: &[u8]) -> Self {
        let (_, coordinates) = point.split_at_checked(1).unwrap_or_default();
        let (x, y) = coordinates.split_at(coordinates.len() / 2);
        Self {
            crv: crv.to_owned(),
            kty: "EC".to_owned(),
            x: base64url::encode(x),
            y: base64url::encode(y),
        }
    }
}

impl fmt::Debug for Header {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Header({})", self.form().as_str())
    }
}

/// The protected header, encoded: also the additional data of the content encryption.
pub fn protected_header(header: &Header) -> String {
    let (ek, epk) = match header {
        Header::EcP256 { epk } => (None, Some(EphemeralKey::of("P-256", epk))),
        Header::EcP521 { epk } => (None, Some(EphemeralKey::of("P-521", &**epk))),
        Header::Rsa => (None, None),
        Header::MlKem768 { ek } => (Some(base64url::encode(&**ek)), None),
        Header::X25519MlKem768 { ek } => (Some(base64url::encode(&**ek)), None),
    };
    let header = ProtectedHeader {
        alg: header.form().algorithm().to_owned(),
        enc: ENCRYPTION.to_owned(),
        ek,
        epk,
    };
    base64url::encode(
        serde_json::to_string(&header)
            .unwrap_or_default()
            .as_bytes(),
    )
}
