//! Attestation results: issued as EAR tokens under the current one of the configured keys, and taken
//! back under these keys alone. A token's header names the key among them, and its algorithm has to be
//! the key's own; whatever else the header says about keys is never looked at.

use crate::key_ring::KeyRing;
use crate::token_key::{TokenKey, Unsigned};
use nitride_kbs::resource::ResourcePath;
use nitride_kbs::tee_key::TeePublicKey;
use nitride_kbs::token::{
    EAR_PROFILE, EarClaims, PRIMARY_SUBMOD, RuntimeDataClaims, TokenError, UnverifiedToken,
    VerifierId, assemble, to_be_signed,
};
use nitride_verify::Composite;
use serde_json::{Value, json};
use std::fmt;
use thiserror::Error;

/// How long a token may be used.
pub(crate) const TOKEN_TTL_SECS: u64 = 300;
/// How far the clocks of two replicas may differ.
pub(crate) const MAX_SKEW_SECS: u64 = 5;

/// The issuer's keys and what stands in every token of its.
pub(crate) struct Issuer {
    keys: KeyRing<TokenKey>,
    name: String,
    audience: String,
    policy_id: String,
}

/// A token of this service that is alive. It has no constructor but [`Issuer::accept`].
#[derive(Debug)]
pub(crate) struct AcceptedToken {
    claims: EarClaims,
    tee_key: TeePublicKey,
}

/// Why a token is not taken.
#[derive(Debug, Error)]
pub(crate) enum TokenRefusal {
    /// Its form, or its signature.
    #[error(transparent)]
    Token(#[from] TokenError),
    #[error("token names no key of this service, or another algorithm than that key's")]
    UnknownKey,
    #[error("token is of another issuer")]
    OtherIssuer,
    #[error("token is for another audience")]
    OtherAudience,
    #[error("token is of another profile")]
    OtherProfile,
    #[error("token has expired; attest again")]
    Expired,
    #[error("token is not valid yet")]
    NotYetValid,
    #[error("token is not for this resource")]
    OtherResource,
    #[error("token names no tee public key")]
    NoTeeKey,
    #[error("submodules of the token name different tee public keys")]
    TeeKeysDiffer,
}

impl Issuer {
    pub(crate) fn new(
        keys: KeyRing<TokenKey>,
        name: &str,
        audience: &str,
        policy_id: &str,
    ) -> Self {
        Self {
            keys,
            name: name.to_owned(),
            audience: audience.to_owned(),
            policy_id: policy_id.to_owned(),
        }
    }

    /// The token for verdicts on evidence that binds `runtime`, one submodule each; for these resources
    /// alone, if any are stated.
    pub(crate) fn issue(
        &self,
        composite: &Composite,
        runtime: &RuntimeDataClaims,
        resources: Option<Vec<String>>,
        now_secs: u64,
    ) -> Result<String, Unsigned> {
        let submods = composite.submods();
        let submods = submods
            .map(|(name, verdict)| (name, verdict.submod(&self.policy_id, runtime.clone())))
            .collect();
        let claims = EarClaims {
            eat_profile: EAR_PROFILE.to_owned(),
            iss: self.name.clone(),
            aud: Some(self.audience.clone()),
            iat: now_secs,
            nbf: Some(now_secs),
            exp: now_secs.saturating_add(TOKEN_TTL_SECS),
            verifier_id: Some(VerifierId {
                build: concat!("nitride-provisiond ", env!("CARGO_PKG_VERSION")).to_owned(),
                developer: "nitride".to_owned(),
            }),
            submods,
            simulated: Some(composite.is_simulated()),
            debug: Some(composite.is_debug()),
            resources,
        };
        let key = self.keys.current();
        let signed = to_be_signed(&key.header(), &claims);
        Ok(assemble(&signed, &key.sign(signed.as_bytes())?))
    }

    /// The keys that tokens may be signed with, as a JWK set (RFC 7517, 5). The newest is among them
    /// before it signs anything.
    pub(crate) fn jwks(&self) -> Value {
        json!({ "keys": self.keys.all().map(TokenKey::jwk).collect::<Vec<_>>() })
    }

    /// Who it says it is, in `iss`.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Takes a token back: one of these keys, this issuer, this audience, now.
    pub(crate) fn accept(&self, token: &str, now_secs: u64) -> Result<AcceptedToken, TokenRefusal> {
        let unverified = UnverifiedToken::parse(token)?;
        let named = |key: &&TokenKey| {
            unverified.kid() == Some(key.kid()) && unverified.algorithm() == key.algorithm()
        };
        let key = self
            .keys
            .all()
            .find(named)
            .ok_or(TokenRefusal::UnknownKey)?;
        let verified =
            unverified.verified_by(|signed, signature| key.has_signed(signed, signature))?;
        let claims = verified.claims().clone();
        if claims.eat_profile != EAR_PROFILE {
            return Err(TokenRefusal::OtherProfile);
        }
        if claims.iss != self.name {
            return Err(TokenRefusal::OtherIssuer);
        }
        if claims.aud.as_deref() != Some(self.audience.as_str()) {
            return Err(TokenRefusal::OtherAudience);
        }
        if claims.exp <= now_secs {
            return Err(TokenRefusal::Expired);
        }
        if claims.nbf.unwrap_or(claims.iat).max(claims.iat) > now_secs.saturating_add(MAX_SKEW_SECS)
        {
            return Err(TokenRefusal::NotYetValid);
        }
        let tee_key = tee_key_of(&claims)?;
        Ok(AcceptedToken { claims, tee_key })
    }
}

impl fmt::Debug for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issuer")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl AcceptedToken {
    pub(crate) fn claims(&self) -> &EarClaims {
        &self.claims
    }

    /// The key that everything released under this token is encrypted to.
    pub(crate) fn tee_key(&self) -> TeePublicKey {
        self.tee_key.clone()
    }

    /// A token may be limited to resources, as its guest asked for.
    pub(crate) fn check_resource(&self, path: &ResourcePath) -> Result<(), TokenRefusal> {
        match &self.claims.resources {
            Some(resources) if !resources.iter().any(|name| name == path.as_str()) => {
                Err(TokenRefusal::OtherResource)
            }
            _ => Ok(()),
        }
    }
}

/// Every submodule that names a key must name the same one; the TEE's own must.
fn tee_key_of(claims: &EarClaims) -> Result<TeePublicKey, TokenRefusal> {
    let key_in = |name: &str| {
        let evidence = claims.submods.get(name)?.annotated_evidence.as_ref()?;
        evidence.runtime_data_claims.as_ref()?.tee_pubkey.as_ref()
    };
    let tee_key = key_in(PRIMARY_SUBMOD).ok_or(TokenRefusal::NoTeeKey)?;
    if claims
        .submods
        .keys()
        .filter_map(|name| key_in(name))
        .any(|key| key != tee_key)
    {
        return Err(TokenRefusal::TeeKeysDiffer);
    }
    Ok(tee_key.clone())
}

#[cfg(test)]
pub(crate) mod tests;
