//! Admins whom an identity provider vouches for: a JWT under its pinned key.

use super::AdminError;
use crate::config::JwtSettings;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, ParsedPublicKey,
    RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA256, VerificationAlgorithm,
};
use nitride_kbs::admin::{SignatureAlgorithm, UnverifiedAdminToken};
use rustls_pki_types::SubjectPublicKeyInfoDer;
use rustls_pki_types::pem::PemObject;
use std::fmt;

/// How far the clocks of issuer and service may differ.
const MAX_SKEW_SECS: u64 = 30;

/// Whose token it has to be, and which one.
pub(super) struct JwtRule {
    keys: Vec<Key>,
    settings: JwtSettings,
}

/// A pinned key, by what it can be used for: an RSA key is for both of RSA's algorithms.
struct Key {
    of: Vec<(SignatureAlgorithm, ParsedPublicKey)>,
}

impl Key {
    fn parse(spki: &[u8]) -> Option<Self> {
        let every: [(SignatureAlgorithm, &'static dyn VerificationAlgorithm); 5] = [
            (SignatureAlgorithm::Es256, &ECDSA_P256_SHA256_FIXED),
            (SignatureAlgorithm::Es384, &ECDSA_P384_SHA384_FIXED),
            (SignatureAlgorithm::EdDsa, &ED25519),
            (SignatureAlgorithm::Rs256, &RSA_PKCS1_2048_8192_SHA256),
            (SignatureAlgorithm::Ps256, &RSA_PSS_2048_8192_SHA256),
        ];
        let of: Vec<_> = every
            .into_iter()
            .filter_map(|(named, algorithm)| {
                Some((named, ParsedPublicKey::new(algorithm, spki).ok()?))
            })
            .collect();
        (!of.is_empty()).then_some(Self { of })
    }

    fn has_signed(&self, named: SignatureAlgorithm, message: &[u8], signature: &[u8]) -> bool {
        let mut fitting = self.of.iter().filter(|(other, _)| *other == named);
        fitting.any(|(_, key)| key.verify_sig(message, signature).is_ok())
    }
}

impl JwtRule {
    pub(super) fn load(admin: &str, settings: &JwtSettings) -> Result<Self, AdminError> {
        let path = &settings.keys;
        let keys = SubjectPublicKeyInfoDer::pem_file_iter(path)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(|source| AdminError::Unreadable {
                path: path.clone(),
                source,
            })?;
        let keys: Option<Vec<Key>> = keys.iter().map(|key| Key::parse(key)).collect();
        let keys = keys.filter(|keys| !keys.is_empty());
        Ok(Self {
            keys: keys.ok_or_else(|| AdminError::NoKey {
                path: path.clone(),
                admin: admin.to_owned(),
            })?,
            settings: settings.clone(),
        })
    }

    /// Whether the token is of this rule's issuer, for us, in time, and of the role and the subject that
    /// are wanted.
    pub(super) fn check(&self, token: &str, now_secs: u64) -> Result<(), String> {
        let wanted = &self.settings;
        let token = UnverifiedAdminToken::parse(token).map_err(|error| error.to_string())?;
        let claims = token
            .verified_by(&wanted.role_claim, |algorithm, message, signature| {
                let mut keys = self.keys.iter();
                keys.any(|key| key.has_signed(algorithm, message, signature))
            })
            .map_err(|error| error.to_string())?;
        let latest = now_secs.saturating_add(MAX_SKEW_SECS);
        let objection = if claims.issuer != wanted.issuer {
            "another issuer"
        } else if !claims.audience.contains(&wanted.audience) {
            "another audience"
        } else if claims.expires_secs <= now_secs {
            "the token has expired"
        } else if claims.issued_secs > latest || claims.not_before_secs > Some(latest) {
            "the token is of the future"
        } else if now_secs.saturating_sub(claims.issued_secs) > wanted.max_age_secs {
            "the token is older than max-age-secs"
        } else if !claims.roles.contains(&wanted.role) {
            "another role"
        } else if wanted.subject.is_some() && wanted.subject != claims.subject {
            "another subject"
        } else {
            return Ok(());
        };
        Err(objection.to_owned())
    }
}

impl fmt::Debug for JwtRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JwtRule")
            .field("keys", &self.keys.len())
            .field("settings", &self.settings)
            .finish()
    }
}
