//! The JWK of each form: its members, and nothing but them.

use super::{RsaPublicKey, TeeKeyForm, TeePublicKey};
use crate::base64url::{decode, decode_array, decode_boxed, encode};
use serde::de::{Error, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// Of an EC key, which has the most.
const MAX_MEMBERS: usize = 5;
const HYBRID: &str = TeeKeyForm::X25519MlKem768.as_str();

impl TeePublicKey {
    /// The JWK in canonical form (RFC 8785: members sorted, no blanks), as it is hashed.
    pub fn to_jwk_json(&self) -> String {
        // No value has a character that JSON escapes: they are base64url and names.
        let mut json = String::from("{");
        for (name, value) in self.members() {
            let comma = if json.len() > 1 { "," } else { "" };
            json.extend([comma, "\"", name, "\":\"", &value, "\""]);
        }
        json.push('}');
        json
    }

    /// Names and values, in the order of RFC 8785.
    fn members(&self) -> Vec<(&'static str, String)> {
        let algorithm = ("alg", self.form().algorithm().to_owned());
        let kty = |name: &str| ("kty", name.to_owned());
        match self {
            Self::EcP256 { x, y } => ec(algorithm, "P-256", x, y),
            Self::EcP521(coordinates) => {
                let (x, y) = coordinates.split_at(66);
                ec(algorithm, "P-521", x, y)
            }
            Self::Rsa(key) => vec![
                algorithm,
                ("e", encode(&key.exponent())),
                kty("RSA"),
                ("n", encode(key.modulus())),
            ],
            Self::MlKem768(key) => vec![algorithm, kty("AKP"), ("pub", encode(&**key))],
            Self::X25519MlKem768(key) => vec![algorithm, kty("AKP"), ("pub", encode(&**key))],
        }
    }
}

fn ec(
    algorithm: (&'static str, String),
    crv: &str,
    x: &[u8],
    y: &[u8],
) -> Vec<(&'static str, String)> {
    vec![
        algorithm,
        ("crv", crv.to_owned()),
        ("kty", "EC".to_owned()),
        ("x", encode(x)),
        ("y", encode(y)),
    ]
}

impl Serialize for TeePublicKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let members = self.members();
        let mut map = serializer.serialize_map(Some(members.len()))?;
        for (name, value) in members {
            map.serialize_entry(name, &value)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for TeePublicKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let members = deserializer.deserialize_map(Members)?;
        read(&members).map_err(D::Error::custom)
    }
}

/// The members of a JWK, each once.
struct Members;

impl<'de> Visitor<'de> for Members {
    type Value = BTreeMap<String, String>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JWK")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut jwk: A) -> Result<Self::Value, A::Error> {
        let mut members = BTreeMap::new();
        while let Some((name, value)) = jwk.next_entry()? {
            if members.insert(name, value).is_some() {
                return Err(Error::custom("tee public key names a member twice"));
            }
            if members.len() > MAX_MEMBERS {
                return Err(Error::custom(
                    "tee public key has more members than any form",
                ));
            }
        }
        Ok(members)
    }
}

/// A form has these members and no other: the sorted names tell which it can be.
fn read(members: &BTreeMap<String, String>) -> Result<TeePublicKey, &'static str> {
    let names: Vec<&str> = members.keys().map(String::as_str).collect();
    let value = |name: &str| members.get(name).map_or("", String::as_str);
    match (names.as_slice(), value("kty"), value("alg")) {
        (["alg", "crv", "kty", "x", "y"], "EC", "ECDH-ES+A256KW") => match value("crv") {
            "P-256" => match (decode_array(value("x")), decode_array(value("y"))) {
                (Some(x), Some(y)) => Ok(TeePublicKey::EcP256 { x, y }),
                _ => Err(
                    "coordinate of the tee public key is not 32 bytes of base64url without padding",
                ),
            },
            "P-521" => p521(value("x"), value("y")).ok_or(
                "coordinate of the tee public key is not 66 bytes of base64url without padding",
            ),
            _ => Err("curve of the tee public key is neither P-256 nor P-521"),
        },
        (["alg", "e", "kty", "n"], "RSA", "RSA-OAEP-256") => {
            let key = decode(value("n"))
                .zip(decode(value("e")))
                .and_then(|(modulus, exponent)| RsaPublicKey::new(modulus, &exponent));
            key.map(|key| TeePublicKey::Rsa(Arc::new(key))).ok_or(
                "tee public key is not RSA of 2048 to 4096 bits with an odd exponent of 65537 to 2^32",
            )
        }
        (_, "RSA", "RSA1_5") => {
            Err("tee public key is for RSA1_5, which is not taken; use RSA-OAEP-256 or EC")
        }
        (["alg", "kty", "pub"], "AKP", "ML-KEM-768+A192KW") => decode_boxed(value("pub"))
            .map(|key| TeePublicKey::MlKem768(key.into()))
            .ok_or("pub of the tee public key is not an ML-KEM-768 key of 1184 bytes"),
        (["alg", "kty", "pub"], "AKP", HYBRID) => decode_boxed(value("pub"))
            .map(|key| TeePublicKey::X25519MlKem768(key.into()))
            .ok_or(
                "pub of the tee public key is not an ML-KEM-768 and an X25519 key of 1216 bytes",
            ),
        _ => Err(
            "tee public key is none of EC with ECDH-ES+A256KW, RSA with RSA-OAEP-256, AKP with \
             ML-KEM-768+A192KW or nitride-X25519MLKEM768+A256KW, or has other members than it must",
        ),
    }
}

fn p521(x: &str, y: &str) -> Option<TeePublicKey> {
    let (x, y): ([u8; 66], [u8; 66]) = (decode_array(x)?, decode_array(y)?);
    let mut coordinates = [0; 132];
    for (to, from) in coordinates.iter_mut().zip(x.iter().chain(&y)) {
        *to = *from;
    }
    Some(TeePublicKey::EcP521(Arc::new(coordinates)))
}
