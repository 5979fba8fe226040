//! The attestation result: a JWT (RFC 7519) in EAR form, signed with ES256 (RFC 7518, 3.4) or
//! ML-DSA-65 (RFC 9964).
//!
//! Who signed it, and whether its contents suffice, is for the caller. This module keeps one
//! promise: claims come out only after a signature check that the caller brings, over the very
//! bytes that arrived. Keys that a token's header names (`jwk`, `jku`, `x5c`, `x5u`) are never
//! looked at, since whoever forges a token can name a key that fits it.

mod claims;

pub use claims::{AnnotatedEvidence, EarClaims, EarStatus, RuntimeDataClaims, Submod, VerifierId};

use crate::base64url;
use crate::limits::{MAX_SUBMODS, MAX_TOKEN_LEN};
use crate::strict_json::{self, JsonError};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use std::fmt;
use thiserror::Error;

/// The `eat_profile` of a token in EAR form.
pub const EAR_PROFILE: &str = "tag:github.com,2024:confidential-containers/Trustee";
/// The submodule of the TEE itself; devices are `gpu0` and the like.
pub const PRIMARY_SUBMOD: &str = "cpu0";

/// How a token is signed. There is no other way, and `none` least of all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenAlgorithm {
    /// ECDSA on P-256 with SHA-256; a signature is `r || s`, big-endian.
    Es256,
    /// ML-DSA-65 (FIPS 204), pure, with an empty context.
    MlDsa65,
}

/// What an issuer says in a token's header.
#[derive(Debug, Clone, Copy)]
pub struct TokenHeader<'a> {
    /// How it signs.
    pub algorithm: TokenAlgorithm,
    /// By which of its keys.
    pub kid: Option<&'a str>,
    /// The key's certificates, the leaf first, each in DER and padded base64 (RFC 7515, 4.1.6).
    pub certificates: &'a [String],
}

/// A token whose parts have their form. Nobody has vouched for it.
pub struct UnverifiedToken<'a> {
    signing_input: &'a str,
    payload: &'a str,
    algorithm: TokenAlgorithm,
    kid: Option<String>,
    signature: Vec<u8>,
    names_a_key: bool,
}

/// A token whose signature the caller's check accepted.
#[derive(Debug)]
pub struct VerifiedToken {
    claims: EarClaims,
}

/// Why a text is no token, or none that was verified.
#[derive(Debug, Error)]
pub enum TokenError {
    /// More than [`MAX_TOKEN_LEN`] bytes.
    #[error("token has {len} bytes, more than {MAX_TOKEN_LEN}")]
    TooLong {
        /// Bytes found.
        len: usize,
    },
    /// Not three parts with dots between them.
    #[error("token has not three parts")]
    WrongParts,
    /// A part is not base64url without padding, or the signature not as long as
    /// its algorithm's are.
    #[error("{part} of the token is not base64url of its length")]
    BadPart {
        /// "header", "payload" or "signature".
        part: &'static str,
    },
    /// The header's or the claims' JSON.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// `alg` is no [`TokenAlgorithm`].
    #[error("token is signed with neither ES256 nor ML-DSA-65")]
    UnknownAlgorithm,
    /// The header has `crit`: extensions that a reader must understand, and this one has none.
    #[error("token header has critical extensions")]
    CriticalExtension,
    /// The signature check said no.
    #[error("signature of the token does not verify")]
    SignatureInvalid,
    /// More than [`MAX_SUBMODS`] submodules.
    #[error("token has {found} submodules, more than {MAX_SUBMODS}")]
    TooManySubmods {
        /// Submodules found.
        found: usize,
    },
}

impl TokenAlgorithm {
    /// Its name in a header's `alg` and a JWK's.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Es256 => "ES256",
            Self::MlDsa65 => "ML-DSA-65",
        }
    }

    /// Bytes of a signature.
    #[must_use]
    pub fn signature_len(self) -> usize {
        match self {
            Self::Es256 => 64,
            Self::MlDsa65 => 3309,
        }
    }

    fn parse(name: &str) -> Option<Self> {
        [Self::Es256, Self::MlDsa65]
            .into_iter()
            .find(|algorithm| algorithm.as_str() == name)
    }
}

/// What is read of a header. Others put `typ` and keys into it.
#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    crit: Option<IgnoredAny>,
    jwk: Option<IgnoredAny>,
    jku: Option<IgnoredAny>,
    x5c: Option<IgnoredAny>,
    x5u: Option<IgnoredAny>,
}

impl<'a> UnverifiedToken<'a> {
    /// Takes the compact form, at most [`MAX_TOKEN_LEN`] bytes.
    pub fn parse(text: &'a str) -> Result<Self, TokenError> {
        if text.len() > MAX_TOKEN_LEN {
            return Err(TokenError::TooLong { len: text.len() });
        }
        let (signing_input, signature) = text.rsplit_once('.').ok_or(TokenError::WrongParts)?;
        let (header, payload) = signing_input
            .split_once('.')
            .ok_or(TokenError::WrongParts)?;
        if payload.contains('.') {
            return Err(TokenError::WrongParts);
        }
        let bad = |part| TokenError::BadPart { part };
        let header = base64url::decode(header).ok_or(bad("header"))?;
        let header: Header = strict_json::read(&header, MAX_TOKEN_LEN, "token header")?;
        let algorithm = TokenAlgorithm::parse(&header.alg).ok_or(TokenError::UnknownAlgorithm)?;
        if header.crit.is_some() {
            return Err(TokenError::CriticalExtension);
        }
        Ok(Self {
            signing_input,
            payload,
            algorithm,
            signature: decode_signature(signature, algorithm).ok_or(bad("signature"))?,
            names_a_key: header.jwk.is_some()
                || header.jku.is_some()
                || header.x5c.is_some()
                || header.x5u.is_some(),
            kid: header.kid,
        })
    }

    /// What was signed: header and payload as they arrived.
    pub fn signing_input(&self) -> &'a str {
        self.signing_input
    }

    /// How it says that it is signed. The check of the signature is for a key of this algorithm.
    pub fn algorithm(&self) -> TokenAlgorithm {
        self.algorithm
    }

    /// By which key it says that it is signed: a name among the caller's keys, and no more.
    pub fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    /// Whether the header brings a key along. It is never used; a log may say so.
    pub fn names_a_key(&self) -> bool {
        self.names_a_key
    }

    /// Reads the claims if `check` accepts the signature over the signing input. The check holds
    /// a key that the caller chose beforehand.
    pub fn verified_by(
        self,
        check: impl FnOnce(&[u8], &[u8]) -> bool,
    ) -> Result<VerifiedToken, TokenError> {
        if !check(self.signing_input.as_bytes(), &self.signature) {
            return Err(TokenError::SignatureInvalid);
        }
        let payload =
            base64url::decode(self.payload).ok_or(TokenError::BadPart { part: "payload" })?;
        let claims: EarClaims = strict_json::read(&payload, MAX_TOKEN_LEN, "token claims")?;
        match claims.submods.len() {
            found if found > MAX_SUBMODS => Err(TokenError::TooManySubmods { found }),
            _ => Ok(VerifiedToken { claims }),
        }
    }
}

impl fmt::Debug for UnverifiedToken<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("UnverifiedToken")
            .field("len", &self.signing_input.len())
            .field("algorithm", &self.algorithm)
            .field("names_a_key", &self.names_a_key)
            .finish_non_exhaustive()
    }
}

impl VerifiedToken {
    /// What the issuer says.
    pub fn claims(&self) -> &EarClaims {
        &self.claims
    }
}

/// The text that an issuer signs for `claims`: header and payload.
pub fn to_be_signed(header: &TokenHeader<'_>, claims: &EarClaims) -> String {
    #[derive(Serialize)]
    struct Written<'a> {
        alg: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        kid: Option<&'a str>,
        typ: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        x5c: Option<&'a [String]>,
    }
    let header = Written {
        alg: header.algorithm.as_str(),
        kid: header.kid,
        typ: "JWT",
        x5c: Some(header.certificates).filter(|chain| !chain.is_empty()),
    };
    // Texts alone: there is nothing that fails to serialise.
    let header = serde_json::to_vec(&header).unwrap_or_default();
    format!(
        "{}.{}",
        base64url::encode(&header),
        base64url::encode(claims.to_json().as_bytes())
    )
}

/// The token from what was signed and its signature.
pub fn assemble(signing_input: &str, signature: &[u8]) -> String {
    format!("{signing_input}.{}", base64url::encode(signature))
}

fn decode_signature(text: &str, algorithm: TokenAlgorithm) -> Option<Vec<u8>> {
    let len = algorithm.signature_len();
    // Four characters for three bytes: anything else cannot be as long, and is not decoded.
    if text.len() != (len * 4).div_ceil(3) {
        return None;
    }
    base64url::decode(text).filter(|signature| signature.len() == len)
}

#[cfg(test)]
mod tests;
