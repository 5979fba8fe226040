use crate::base64url;
use crate::strict_json::{self, JsonError};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;
use std::fmt;
use thiserror::Error;

/// An administrator's token is a few hundred bytes; groups and the like make it longer.
const MAX_TOKEN_LEN: usize = 16 * 1024;
/// Of ES512 132 bytes, of RSA 4096 512: RSA 8192 is the longest that anybody has.
const MAX_SIGNATURE_LEN: usize = 1024;
const MAX_LIST: usize = 64;

/// How an administrator's token may be signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignatureAlgorithm {
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// ECDSA on P-384 with SHA-384.
    Es384,
    /// Ed25519.
    EdDsa,
    /// RSA PKCS #1 v1.5 with SHA-256.
    Rs256,
    /// RSA-PSS with SHA-256.
    Ps256,
}

impl SignatureAlgorithm {
    fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "ES256" => Self::Es256,
            "ES384" => Self::Es384,
            "EdDSA" => Self::EdDsa,
            "RS256" => Self::Rs256,
            "PS256" => Self::Ps256,
            _ => return None,
        })
    }
}

/// A token whose parts have their form. Nobody has vouched for it.
pub struct UnverifiedAdminToken<'a> {
    algorithm: SignatureAlgorithm,
    signing_input: &'a str,
    payload: &'a str,
    signature: Vec<u8>,
}

/// What the issuer says of an administrator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdminClaims {
    /// Who issued it.
    pub issuer: String,
    /// For whom.
    pub audience: Vec<String>,
    /// Of whom; not everybody states it.
    pub subject: Option<String>,
    /// When it was issued, in seconds since 1970.
    pub issued_secs: u64,
    /// When it ends, in seconds since 1970.
    pub expires_secs: u64,
    /// From when it holds, in seconds since 1970.
    pub not_before_secs: Option<u64>,
    /// The roles, from one text or a list of them.
    pub roles: Vec<String>,
}

/// Why a text is no administrator's token, or none that was verified.
#[derive(Debug, Error)]
pub enum AdminTokenError {
    /// Too long.
    #[error("admin's token has {len} bytes, more than {MAX_TOKEN_LEN}")]
    TooLong {
        /// Bytes found.
        len: usize,
    },
    /// Not three parts with dots between them, or one is not base64url without padding.
    #[error("admin's token is no JWT in compact form")]
    NotCompact,
    /// The header's or the claims' JSON.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// `alg` is none that is taken; `none` and the symmetric ones least of all.
    #[error("admin's token is signed with an algorithm that is not taken")]
    UnknownAlgorithm,
    /// The header has `crit`.
    #[error("admin's token has critical extensions")]
    CriticalExtension,
    /// The signature check said no.
    #[error("signature of the admin's token does not verify")]
    SignatureInvalid,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    crit: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct Payload {
    iss: String,
    aud: Value,
    sub: Option<String>,
    iat: u64,
    exp: u64,
    nbf: Option<u64>,
    #[serde(flatten)]
    others: serde_json::Map<String, Value>,
}

impl<'a> UnverifiedAdminToken<'a> {
    /// Takes the compact form.
    ///
    /// # Errors
    ///
    /// [`AdminTokenError`], of everything but the signature and the claims.
    pub fn parse(text: &'a str) -> Result<Self, AdminTokenError> {
        if text.len() > MAX_TOKEN_LEN {
            return Err(AdminTokenError::TooLong { len: text.len() });
        }
        let not_compact = || AdminTokenError::NotCompact;
        let (signing_input, signature) = text.rsplit_once('.').ok_or_else(not_compact)?;
        let (header, payload) = signing_input.split_once('.').ok_or_else(not_compact)?;
        if payload.contains('.') {
            return Err(AdminTokenError::NotCompact);
        }
        let header = base64url::decode(header).ok_or_else(not_compact)?;
        let header: Header = strict_json::read(&header, MAX_TOKEN_LEN, "admin's token header")?;
        if header.crit.is_some() {
            return Err(AdminTokenError::CriticalExtension);
        }
        let algorithm =
            SignatureAlgorithm::parse(&header.alg).ok_or(AdminTokenError::UnknownAlgorithm)?;
        let signature = base64url::decode(signature).ok_or_else(not_compact)?;
        if signature.len() > MAX_SIGNATURE_LEN {
            return Err(AdminTokenError::NotCompact);
        }
        Ok(Self {
            algorithm,
            signing_input,
            payload,
            signature,
        })
    }

    /// Reads the claims if `check` accepts the signature, by an algorithm that is the key's own.
    /// `role_claim` is the name of the member that has the roles.
    ///
    /// # Errors
    ///
    /// [`AdminTokenError::SignatureInvalid`], and what is wrong with the claims.
    pub fn verified_by(
        &self,
        role_claim: &str,
        check: impl FnOnce(SignatureAlgorithm, &[u8], &[u8]) -> bool,
    ) -> Result<AdminClaims, AdminTokenError> {
        let message = self.signing_input.as_bytes();
        if !check(self.algorithm, message, &self.signature) {
            return Err(AdminTokenError::SignatureInvalid);
        }
        let what = "admin's token claims";
        let payload = base64url::decode(self.payload).ok_or(AdminTokenError::NotCompact)?;
        let payload: Payload = strict_json::read(&payload, MAX_TOKEN_LEN, what)?;
        let out = |member| JsonError::OutOfRange { what, member };
        let roles = match payload.others.get(role_claim) {
            Some(roles) => texts(roles).ok_or_else(|| out("the role"))?,
            None => Vec::new(),
        };
        Ok(AdminClaims {
            audience: texts(&payload.aud).ok_or_else(|| out("aud"))?,
            issuer: payload.iss,
            subject: payload.sub,
            issued_secs: payload.iat,
            expires_secs: payload.exp,
            not_before_secs: payload.nbf,
            roles,
        })
    }
}

impl fmt::Debug for UnverifiedAdminToken<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("UnverifiedAdminToken")
            .field("algorithm", &self.algorithm)
            .finish_non_exhaustive()
    }
}

/// One text, or a list of them.
fn texts(value: &Value) -> Option<Vec<String>> {
    match value {
        Value::String(text) => Some(vec![text.clone()]),
        Value::Array(list) if list.len() <= MAX_LIST => list
            .iter()
            .map(|text| text.as_str().map(str::to_owned))
            .collect(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(header: &str, payload: &str) -> String {
        let [header, payload] = [header, payload].map(|part| base64url::encode(part.as_bytes()));
        format!("{header}.{payload}.AAAA")
    }

    fn read(header: &str, payload: &str) -> Result<AdminClaims, AdminTokenError> {
        let token = token(header, payload);
        UnverifiedAdminToken::parse(&token)?.verified_by("role", |_, _, _| true)
    }

    const HEADER: &str = r#"{"alg":"EdDSA","typ":"JWT","jwk":{}}"#;
    const PAYLOAD: &str = r#"{"iss":"i","aud":"a","iat":1,"exp":2,"role":["r","s"],"more":{}}"#;

    #[test]
    fn claims_come_out_of_a_token_that_was_verified() {
        let claims = read(HEADER, PAYLOAD).unwrap();
        assert_eq!(claims.roles, ["r", "s"]);
        assert_eq!(claims.audience, ["a"]);
        let one = PAYLOAD.replace(r#"["r","s"]"#, r#""r""#);
        assert_eq!(read(HEADER, &one).unwrap().roles, ["r"]);
        let none = PAYLOAD.replace(r#""role""#, r#""other""#);
        assert!(read(HEADER, &none).unwrap().roles.is_empty());
    }

    #[test]
    fn nothing_comes_out_of_a_token_that_was_not() {
        let token = token(HEADER, PAYLOAD);
        let parsed = UnverifiedAdminToken::parse(&token).unwrap();
        let refused = parsed.verified_by("role", |algorithm, message, signature| {
            assert_eq!(algorithm, SignatureAlgorithm::EdDsa);
            assert_eq!(signature, [0, 0, 0]);
            assert!(token.as_bytes().starts_with(message));
            false
        });
        assert!(matches!(refused, Err(AdminTokenError::SignatureInvalid)));
    }

    #[test]
    fn what_is_not_of_the_form_is_refused() {
        for header in [
            r#"{"alg":"none"}"#,
            r#"{"alg":"HS256"}"#,
            r#"{"alg":"es256"}"#,
            r#"{"alg":"EdDSA","alg":"EdDSA"}"#,
            r#"{"alg":"EdDSA","crit":["b64"]}"#,
            "{}",
        ] {
            assert!(read(header, PAYLOAD).is_err(), "{header}");
        }
        for (from, to) in [
            (r#""iss":"i","#, ""),
            (r#""aud":"a","#, ""),
            (r#""aud":"a""#, r#""aud":1"#),
            (r#""iat":1,"#, ""),
            (r#""exp":2"#, r#""exp":2.5"#),
            (r#""exp":2"#, r#""exp":-2"#),
            (r#""exp":2"#, r#""exp":2,"exp":3"#),
            (r#"["r","s"]"#, r#"["r",1]"#),
            (r#"["r","s"]"#, "{}"),
        ] {
            let payload = PAYLOAD.replace(from, to);
            assert!(read(HEADER, &payload).is_err(), "{payload}");
        }
        let long = "A".repeat(MAX_TOKEN_LEN + 1);
        for text in ["", ".", "..", "a.b.c", "....", long.as_str()] {
            assert!(UnverifiedAdminToken::parse(text).is_err());
        }
        let whole = token(HEADER, PAYLOAD);
        assert!(UnverifiedAdminToken::parse(&format!("{whole}.x")).is_err());
        assert!(UnverifiedAdminToken::parse(&format!("{whole}=")).is_err());
    }
}
