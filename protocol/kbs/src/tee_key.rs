//! The public key of a round, in the form that is hashed into the evidence.

use crate::base64url;
use crate::limits::MAX_TEE_KEY_LEN;
use crate::strict_json::{self, JsonError};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use thiserror::Error;

/// A TEE public key. P-256 with ECDH-ES+A256KW is the one form that the vault makes; the protocol
/// has others (P-521, RSA-OAEP-256), which belong here once someone needs them. `RSA1_5` does not.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TeePublicKey {
    /// `{"kty":"EC","crv":"P-256","alg":"ECDH-ES+A256KW","x","y"}`.
    ///
    /// The coordinates are big-endian. That they are a point of the curve is *not* checked here,
    /// where there is no arithmetic: key agreement does it.
    EcP256 {
        /// The x-coordinate.
        x: [u8; 32],
        /// The y-coordinate.
        y: [u8; 32],
    },
}

/// Why something is no TEE public key.
#[derive(Debug, Error)]
pub enum TeeKeyError {
    /// The point is not in uncompressed form, whose first byte is 4 (SEC 1, 2.3.3).
    #[error("public point is not in uncompressed form")]
    NotUncompressed,
    /// Not exactly the members of a JWK that the protocol has.
    #[error(transparent)]
    Json(#[from] JsonError),
}

impl TeePublicKey {
    /// Takes an uncompressed point: `04 || x || y`.
    pub fn from_point(point: &[u8; 65]) -> Result<Self, TeeKeyError> {
        let (tag, coordinates) = point.split_at(1);
        let (x, y) = coordinates.split_at(32);
        match (tag, x.try_into(), y.try_into()) {
            ([4], Ok(x), Ok(y)) => Ok(Self::EcP256 { x, y }),
            _ => Err(TeeKeyError::NotUncompressed),
        }
    }

    /// The uncompressed point: `04 || x || y`.
    pub fn to_point(&self) -> [u8; 65] {
        let Self::EcP256 { x, y } = self;
        let mut point = [4; 65];
        for (to, from) in point.iter_mut().skip(1).zip(x.iter().chain(y)) {
            *to = *from;
        }
        point
    }

    /// The JWK in canonical form (RFC 8785: members sorted, no blanks), as it is hashed.
    pub fn to_jwk_json(&self) -> String {
        let Self::EcP256 { x, y } = self;
        format!(
            r#"{{"alg":"ECDH-ES+A256KW","crv":"P-256","kty":"EC","x":"{}","y":"{}"}}"#,
            base64url::encode(x),
            base64url::encode(y),
        )
    }

    /// Reads a JWK of exactly the members `alg`, `crv`, `kty`, `x` and `y`, in any order.
    ///
    /// An extra member is refused: a service that drops it hashes another text than one that does
    /// not.
    pub fn parse(json: &str) -> Result<Self, TeeKeyError> {
        Ok(strict_json::read(
            json.as_bytes(),
            MAX_TEE_KEY_LEN,
            "tee public key",
        )?)
    }
}

impl fmt::Debug for TeePublicKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.to_jwk_json())
    }
}

/// The members in the order of RFC 8785.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Jwk {
    alg: String,
    crv: String,
    kty: String,
    x: String,
    y: String,
}

impl Serialize for TeePublicKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self::EcP256 { x, y } = self;
        Jwk {
            alg: "ECDH-ES+A256KW".into(),
            crv: "P-256".into(),
            kty: "EC".into(),
            x: base64url::encode(x),
            y: base64url::encode(y),
        }
        .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for TeePublicKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error;
        let jwk = Jwk::deserialize(deserializer)?;
        if (jwk.kty.as_str(), jwk.crv.as_str(), jwk.alg.as_str())
            != ("EC", "P-256", "ECDH-ES+A256KW")
        {
            return Err(D::Error::custom(
                "tee public key is not EC, P-256, ECDH-ES+A256KW",
            ));
        }
        match (
            base64url::decode_array(&jwk.x),
            base64url::decode_array(&jwk.y),
        ) {
            (Some(x), Some(y)) => Ok(Self::EcP256 { x, y }),
            _ => Err(D::Error::custom(
                "coordinate of the tee public key is not 32 bytes of base64url without padding",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const JWK: &str = r#"{"alg":"ECDH-ES+A256KW","crv":"P-256","kty":"EC","x":"4NUXj5NxFdcPEdqNbrW_fYWQnRbQgrqkiXdFLOWxYFQ","y":"udSzbwTP71PNZiVSXswOcNZKa3BvMDkparTVQ0QG-Zo"}"#;

    #[test]
    fn a_key_prints_as_it_was_read() {
        let key = TeePublicKey::parse(JWK).unwrap();
        assert_eq!(key.to_jwk_json(), JWK);
        assert_eq!(serde_json::to_string(&key).unwrap(), JWK);
        assert_eq!(TeePublicKey::from_point(&key.to_point()).unwrap(), key);
    }

    #[test]
    fn members_may_stand_in_any_order() {
        let swapped = JWK.replace(r#""crv":"P-256","kty":"EC""#, r#""kty":"EC","crv":"P-256""#);
        assert!(TeePublicKey::parse(&swapped).is_ok());
    }

    #[test]
    fn an_extra_missing_or_doubled_member_is_refused() {
        for (from, to) in [
            (r#""kty":"EC""#, r#""kty":"EC","kid":"1""#),
            (r#""kty":"EC","#, ""),
            (r#""kty":"EC""#, r#""kty":"EC","kty":"EC""#),
            (r#""kty":"EC""#, r#""kty":"EC","d":"AQ""#),
        ] {
            assert!(TeePublicKey::parse(&JWK.replace(from, to)).is_err(), "{to}");
        }
    }

    #[test]
    fn another_curve_algorithm_or_coordinate_length_is_refused() {
        for (from, to) in [
            ("P-256", "P-384"),
            ("ECDH-ES+A256KW", "ECDH-ES"),
            ("\"EC\"", "\"RSA\""),
            ("OWxYFQ", "OWxYFQA"),
            ("OWxYFQ", "OWxYFR"),
            ("OWxYFQ", "OWxYFQ="),
        ] {
            assert!(TeePublicKey::parse(&JWK.replace(from, to)).is_err(), "{to}");
        }
    }

    #[test]
    fn a_compressed_point_is_refused() {
        let mut point = [7; 65];
        point[0] = 2;
        assert!(matches!(
            TeePublicKey::from_point(&point),
            Err(TeeKeyError::NotUncompressed)
        ));
    }

    proptest! {
        #[test]
        fn every_point_comes_back(x: [u8; 32], y: [u8; 32]) {
            let key = TeePublicKey::EcP256 { x, y };
            prop_assert_eq!(TeePublicKey::parse(&key.to_jwk_json()).unwrap(), key);
        }

        #[test]
        fn any_text_gives_a_key_or_a_named_error(text in "\\PC{0,64}") {
            let _ = TeePublicKey::parse(&text);
        }
    }
}
