use super::*;
use crate::entropy::KernelEntropy;
use crate::jwe::opening::public;
use crate::key_file::draw_p256;
use crate::token_key::PrivateKeyDer;
use crate::token_key::SigningAlgorithm;
use crate::token_key::tests::key;
use base64ct::{Base64, Base64UrlUnpadded, Encoding};
use hmac::{Hmac, KeyInit, Mac};
use nitride_verify::{
    AttestationPolicy, Budget, Collateral, CompositeExpected, DeviceNonce, Expected, Tee,
    UnverifiedEvidence, judge_composite,
};
use sha2::Sha256;

pub(crate) const NOW_SECS: u64 = 1_800_000_000;

pub(crate) fn issuer() -> Issuer {
    issuer_with(vec![key(SigningAlgorithm::Es256)])
}

pub(crate) fn issuer_with(keys: Vec<TokenKey>) -> Issuer {
    let keys = KeyRing::of(keys).unwrap();
    Issuer::new(keys, "issuer", "audience", "policy")
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
    let token = issue(issuer);
    let mut claims = issuer.accept(&token, NOW_SECS).unwrap().claims;
    change(&mut claims);
    let key = issuer.keys.current();
    let signed = to_be_signed(&key.header(), &claims);
    assemble(&signed, &key.sign(signed.as_bytes()).unwrap())
}

fn issue(issuer: &Issuer) -> String {
    issuer
        .issue(&verdict("1"), &runtime(), None, NOW_SECS)
        .unwrap()
}

/// The payload of a true token under any header, signed by `sign`.
fn forged(token: &str, header: &Value, sign: impl FnOnce(&[u8]) -> Vec<u8>) -> String {
    let payload = token.split('.').nth(1).unwrap();
    let header = Base64UrlUnpadded::encode_string(header.to_string().as_bytes());
    let signed = format!("{header}.{payload}");
    assemble(&signed, &sign(signed.as_bytes()))
}

#[test]
fn a_token_is_taken_back_until_it_expires() {
    let issuer = issuer();
    let runtime = runtime();
    let token = issuer
        .issue(&verdict("1"), &runtime, None, NOW_SECS)
        .unwrap();
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
    let (ours, theirs) = (issuer(), issuer());
    let token = issue(&theirs);
    assert!(matches!(
        ours.accept(&token, NOW_SECS),
        Err(TokenRefusal::UnknownKey)
    ));
    // Under the name of our key, and with the forger's own along.
    let own = theirs.keys.current();
    let header = json!({
        "alg": "ES256", "kid": ours.keys.current().kid(), "jwk": own.jwk(),
        "jku": "https://forger.example/jwks.json", "x5c": ["MA=="],
    });
    let forged = forged(&token, &header, |signed| own.sign(signed).unwrap());
    assert!(matches!(
        ours.accept(&forged, NOW_SECS),
        Err(TokenRefusal::Token(TokenError::SignatureInvalid))
    ));
}

#[test]
fn a_signature_is_taken_for_no_other_algorithm_s() {
    let issuer = issuer_with(vec![
        key(SigningAlgorithm::MlDsa65),
        key(SigningAlgorithm::Es256),
        key(SigningAlgorithm::Es256),
    ]);
    let keys: Vec<&TokenKey> = issuer.keys.all().collect();
    let (ml_dsa, p256) = (keys[0], keys[1]);
    let token = issue(&issuer);
    let sign =
        |header: &Value, key: &TokenKey| forged(&token, header, |signed| key.sign(signed).unwrap());
    let header = |alg: &str, key: &TokenKey| json!({ "alg": alg, "kid": key.kid() });
    for (header, key) in [
        (header("ES256", p256), p256),
        (header("ML-DSA-65", ml_dsa), ml_dsa),
    ] {
        assert!(
            issuer.accept(&sign(&header, key), NOW_SECS).is_ok(),
            "{header}"
        );
    }
    // Each by the other's name; each under the other's algorithm; both mixed.
    for (header, key) in [
        (header("ES256", ml_dsa), p256),
        (header("ML-DSA-65", p256), ml_dsa),
        (header("ES256", p256), ml_dsa),
        (header("ML-DSA-65", ml_dsa), p256),
        (header("ES256", ml_dsa), ml_dsa),
        (header("ML-DSA-65", p256), p256),
        // The key before it and the key after it, by its name.
        (header("ES256", keys[2]), p256),
        (json!({ "alg": "ES256" }), p256),
        (json!({ "alg": "ES256", "kid": "unknown" }), p256),
        (json!({ "alg": "ES256", "kid": "" }), p256),
        (
            json!({ "alg": "ES256", "kid": p256.kid().to_uppercase() }),
            p256,
        ),
    ] {
        assert!(
            issuer.accept(&sign(&header, key), NOW_SECS).is_err(),
            "{header}"
        );
    }
}

#[test]
fn a_public_key_is_no_shared_secret_and_none_is_no_algorithm() {
    let issuer = issuer();
    let key = issuer.keys.current();
    let token = issue(&issuer);
    // What a reader who lets the header choose would verify: HMAC with the key that is published.
    for secret in [key.spki().unwrap(), key.jwk().to_string().into_bytes()] {
        for alg in ["HS256", "ES256"] {
            let header = json!({ "alg": alg, "kid": key.kid() });
            let forged = forged(&token, &header, |signed| {
                let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(&secret).unwrap();
                mac.update(signed);
                mac.finalize().into_bytes().repeat(2)
            });
            assert!(issuer.accept(&forged, NOW_SECS).is_err(), "{alg}");
        }
    }
    for alg in ["none", "None", "nOnE", ""] {
        let header = json!({ "alg": alg, "kid": key.kid() });
        let forged = forged(&token, &header, |_| Vec::new());
        assert!(issuer.accept(&forged, NOW_SECS).is_err(), "{alg}");
    }
}

#[test]
fn over_a_rotation_every_replica_takes_every_live_token() {
    let draw = |algorithm| {
        let der = PrivateKeyDer::draw(algorithm, &mut KernelEntropy).unwrap();
        move || TokenKey::from_pkcs8(der.bytes()).unwrap()
    };
    // From P-256 to ML-DSA-65, one key at a time.
    let (a, b) = (draw(SigningAlgorithm::Es256), draw(SigningAlgorithm::Es256));
    let (c, d) = (
        draw(SigningAlgorithm::MlDsa65),
        draw(SigningAlgorithm::MlDsa65),
    );
    let before = issuer_with(vec![a(), b(), c()]);
    let after = issuer_with(vec![b(), c(), d()]);
    assert_eq!(before.keys.current().kid(), b().kid());
    assert_eq!(after.keys.current().kid(), c().kid());
    for (by, at) in [(&before, &after), (&after, &before)] {
        assert!(at.accept(&issue(by), NOW_SECS).is_ok());
    }
    // What signs is published on the replica that does not use it yet, and no private half is.
    let kids = |issuer: &Issuer| {
        let keys = issuer.jwks()["keys"].as_array().unwrap().clone();
        assert!(
            keys.iter()
                .all(|key| key.get("d").is_none() && key.get("priv").is_none())
        );
        keys.iter()
            .map(|key| key["kid"].clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(kids(&before), [a().kid(), b().kid(), c().kid()]);
    assert_eq!(kids(&after), [b().kid(), c().kid(), d().kid()]);
    // Two rotations on, the first key's tokens are dead, and the key is gone.
    let later = issuer_with(vec![c(), d()]);
    let refused = later.accept(&issue(&before), NOW_SECS);
    assert!(matches!(refused, Err(TokenRefusal::UnknownKey)));
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
