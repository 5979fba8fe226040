//! Attestation results: issued as EAR tokens under the configured key, and taken back under that
//! key alone. What a token's header says about keys is never looked at.

use crate::token_key::TokenKey;
use nitride_kbs::resource::ResourcePath;
use nitride_kbs::tee_key::TeePublicKey;
use nitride_kbs::token::{
    EAR_PROFILE, EarClaims, PRIMARY_SUBMOD, RuntimeDataClaims, TokenError, UnverifiedToken,
    VerifierId, assemble, to_be_signed,
};
use nitride_verify::Composite;
use p256::ecdsa::SigningKey;
use std::fmt;
use thiserror::Error;

/// How long a token may be used.
pub(crate) const TOKEN_TTL_SECS: u64 = 300;
/// How far the clocks of two replicas may differ.
const MAX_SKEW_SECS: u64 = 5;

/// The issuer's key and what stands in every token of its.
pub(crate) struct Issuer {
    key: TokenKey,
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
    pub(crate) fn new(key: SigningKey, name: &str, audience: &str, policy_id: &str) -> Self {
        Self {
            key: TokenKey::new(key),
            name: name.to_owned(),
            audience: audience.to_owned(),
            policy_id: policy_id.to_owned(),
        }
    }

    /// The token for verdicts on evidence that binds `runtime`, one submodule each.
    pub(crate) fn issue(
        &self,
        composite: &Composite,
        runtime: &RuntimeDataClaims,
        now_secs: u64,
    ) -> String {
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
            resources: None,
        };
        let signed = to_be_signed(&claims);
        assemble(&signed, &self.key.sign(signed.as_bytes()))
    }

    /// Takes a token back: this key, this issuer, this audience, now.
    pub(crate) fn accept(&self, token: &str, now_secs: u64) -> Result<AcceptedToken, TokenRefusal> {
        let verified = UnverifiedToken::parse(token)?
            .verified_by(|signed, signature| self.key.has_signed(signed, signature))?;
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
        self.tee_key
    }

    /// A token may be limited to resources; none of ours is yet.
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
        evidence.runtime_data_claims.as_ref()?.tee_pubkey
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
    Ok(tee_key)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::entropy::KernelEntropy;
    use crate::jwe::opening::public;
    use crate::key_file::draw_p256;
    use base64ct::{Base64, Base64UrlUnpadded, Encoding};
    use nitride_verify::{
        AttestationPolicy, Budget, Collateral, CompositeExpected, DeviceNonce, Expected, Tee,
        UnverifiedEvidence, judge_composite,
    };

    pub(crate) const NOW_SECS: u64 = 1_800_000_000;

    pub(crate) fn issuer() -> Issuer {
        let key = SigningKey::from(draw_p256(&mut KernelEntropy).unwrap());
        Issuer::new(key, "issuer", "audience", "policy")
    }

    /// A verdict on sample evidence of `svn`, where "1" is wanted.
    pub(crate) fn verdict(svn: &str) -> Composite {
        let policy = AttestationPolicy::parse(
            "version = 1\ndanger-accept-sample = true\ndanger-test-anchors = []\n[sample]\nsvn = [\"1\"]\n",
            "attestation.toml",
        )
        .unwrap();
        let report_data = Base64::encode_string(&[7; 48]);
        let primary = serde_json::json!({ "svn": svn, "report_data": report_data }).to_string();
        let evidence = UnverifiedEvidence {
            tee: Tee::Sample,
            primary: &primary,
            additional: "",
        };
        let expected = CompositeExpected {
            primary: Expected::of([7; 48]),
            device_nonce: DeviceNonce::of(&[7; 48]),
        };
        judge_composite(
            &evidence,
            &expected,
            &policy,
            &Collateral::default(),
            NOW_SECS,
            &mut Budget::for_one_round(),
        )
        .unwrap()
    }

    pub(crate) fn runtime() -> RuntimeDataClaims {
        let key = public(&draw_p256(&mut KernelEntropy).unwrap());
        RuntimeDataClaims {
            tee_pubkey: Some(key),
            nonce: Some("nonce".to_owned()),
        }
    }

    /// Signs claims after a change, as the true issuer would.
    pub(crate) fn reissue(issuer: &Issuer, change: impl FnOnce(&mut EarClaims)) -> String {
        let token = issuer.issue(&verdict("1"), &runtime(), NOW_SECS);
        let mut claims = issuer.accept(&token, NOW_SECS).unwrap().claims;
        change(&mut claims);
        let signed = to_be_signed(&claims);
        assemble(&signed, &issuer.key.sign(signed.as_bytes()))
    }

    #[test]
    fn a_token_is_taken_back_until_it_expires() {
        let issuer = issuer();
        let runtime = runtime();
        let token = issuer.issue(&verdict("1"), &runtime, NOW_SECS);
        let accepted = issuer
            .accept(&token, NOW_SECS + TOKEN_TTL_SECS - 1)
            .unwrap();
        assert_eq!(Some(accepted.tee_key()), runtime.tee_pubkey);
        assert_eq!(accepted.claims().simulated, Some(true));
        assert_eq!(accepted.claims().debug, Some(false));
        for now_secs in [NOW_SECS + TOKEN_TTL_SECS, u64::MAX] {
            assert!(matches!(
                issuer.accept(&token, now_secs),
                Err(TokenRefusal::Expired)
            ));
        }
        let early = issuer.accept(&token, NOW_SECS - 6);
        assert!(matches!(early, Err(TokenRefusal::NotYetValid)));
    }

    #[test]
    fn a_token_of_another_key_is_refused_whatever_its_header_says() {
        let ours = issuer();
        let theirs = issuer();
        let token = theirs.issue(&verdict("1"), &runtime(), NOW_SECS);
        let payload = token.split('.').nth(1).unwrap();
        let point = theirs.key.point();
        let header = serde_json::json!({ "alg": "ES256", "jwk": {
            "kty": "EC", "crv": "P-256",
            "x": Base64UrlUnpadded::encode_string(&point[1..33]),
            "y": Base64UrlUnpadded::encode_string(&point[33..]),
        }});
        let signed = format!(
            "{}.{payload}",
            Base64UrlUnpadded::encode_string(header.to_string().as_bytes())
        );
        let forged = assemble(&signed, &theirs.key.sign(signed.as_bytes()));
        for token in [token, forged] {
            assert!(matches!(
                ours.accept(&token, NOW_SECS),
                Err(TokenRefusal::Token(TokenError::SignatureInvalid))
            ));
        }
    }

    #[test]
    fn each_claim_that_is_not_as_it_must_be_refuses_the_token() {
        let issuer = issuer();
        let refusal = |change: fn(&mut EarClaims)| {
            issuer
                .accept(&reissue(&issuer, change), NOW_SECS)
                .unwrap_err()
        };
        assert!(matches!(
            refusal(|c| c.iss = "x".into()),
            TokenRefusal::OtherIssuer
        ));
        assert!(matches!(
            refusal(|c| c.aud = None),
            TokenRefusal::OtherAudience
        ));
        assert!(matches!(
            refusal(|c| c.aud = Some("x".into())),
            TokenRefusal::OtherAudience
        ));
        assert!(matches!(
            refusal(|c| c.eat_profile = "x".into()),
            TokenRefusal::OtherProfile
        ));
        assert!(matches!(
            refusal(|c| c.submods.clear()),
            TokenRefusal::NoTeeKey
        ));
        let differ = refusal(|claims| {
            let mut other = claims.submods[PRIMARY_SUBMOD].clone();
            other
                .annotated_evidence
                .as_mut()
                .unwrap()
                .runtime_data_claims = Some(runtime());
            claims.submods.insert("gpu0".to_owned(), other);
        });
        assert!(matches!(differ, TokenRefusal::TeeKeysDiffer));
    }

    #[test]
    fn a_token_limited_to_resources_serves_no_other() {
        let issuer = issuer();
        let token = reissue(&issuer, |claims| {
            claims.resources = Some(vec!["a/b/c".to_owned()]);
        });
        let accepted = issuer.accept(&token, NOW_SECS).unwrap();
        assert!(
            accepted
                .check_resource(&ResourcePath::parse("a/b/c").unwrap())
                .is_ok()
        );
        assert!(
            accepted
                .check_resource(&ResourcePath::parse("a/b/d").unwrap())
                .is_err()
        );
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_no_token(text in "\\PC{0,100}|[A-Za-z0-9_-]{0,40}\\.[A-Za-z0-9_-]{0,40}\\.[A-Za-z0-9_-]{0,90}") {
            proptest::prop_assert!(issuer().accept(&text, NOW_SECS).is_err());
        }
    }
}
