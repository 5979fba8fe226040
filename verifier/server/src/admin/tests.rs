use super::*;
use crate::config::{CertificateSettings, JwtSettings};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair,
};
use base64ct::{Base64UrlUnpadded, Encoding};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa};
use serde_json::{Value, json};
use std::path::Path;

const NOW_SECS: u64 = 1_800_000_000;
const WRITE: (Role, Access) = (Role::Resources, Access::Write);

fn entry(name: &str, way: AdminWay, namespaces: Namespaces) -> AdminSettings {
    AdminSettings {
        name: name.to_owned(),
        way,
        grants: vec![Grant {
            role: Role::Resources,
            access: Access::Write,
        }],
        namespaces,
    }
}

fn token_entry(name: &str, token: &str, namespaces: Namespaces) -> AdminSettings {
    let digest = Sha256::digest(token.as_bytes()).into();
    entry(name, AdminWay::Token(digest), namespaces)
}

fn bearer(token: &str) -> Credentials<'_> {
    Credentials {
        bearer: Some(token),
        chain: None,
    }
}

#[test]
fn what_no_entry_grants_is_forbidden() {
    let web = Namespaces::These(vec!["web".to_owned()]);
    let entries = [
        token_entry("one", "t1", web.clone()),
        token_entry("all", "t2", Namespaces::All),
        AdminSettings {
            grants: vec![Grant {
                role: Role::Policies,
                access: Access::Read,
            }],
            ..token_entry("reader", "t3", Namespaces::All)
        },
        AdminSettings {
            grants: vec![],
            ..token_entry("none", "t4", Namespaces::All)
        },
    ];
    let admins = Admins::load(&entries).unwrap();
    let read = (Role::Resources, Access::Read);
    let see = (Role::Policies, Access::Read);
    let set = (Role::Policies, Access::Write);
    let (web, db) = (Scope::Namespace("web"), Scope::Namespace("db"));
    for (token, wanted, scope, expected) in [
        ("t1", WRITE, web, true),
        ("t1", read, web, true),
        ("t1", WRITE, db, false),
        ("t1", WRITE, Scope::Namespace("webs"), false),
        ("t1", WRITE, Scope::All, false),
        ("t1", see, web, false),
        ("t2", WRITE, db, true),
        ("t2", WRITE, Scope::All, true),
        ("t2", (Role::Audit, Access::Read), Scope::All, false),
        ("t3", see, Scope::All, true),
        ("t3", set, Scope::All, false),
        ("t3", read, web, false),
        ("t4", read, web, false),
    ] {
        let found = admins.permit(bearer(token), wanted, scope, NOW_SECS);
        assert_eq!(found.is_ok(), expected, "{token} {wanted:?} {scope:?}");
        if !expected {
            assert!(matches!(found, Err(NotPermitted::Forbidden { .. })));
        }
    }
}

#[test]
fn nobody_is_an_admin_by_nothing() {
    let none = Credentials {
        bearer: None,
        chain: None,
    };
    let permit = |admins: &Admins, credentials| {
        admins.permit(credentials, WRITE, Scope::Namespace("web"), NOW_SECS)
    };
    let nobody = Admins::default();
    assert_eq!(permit(&nobody, bearer("t")), Err(NotPermitted::NoAdmins));
    let admins = Admins::load(&[token_entry("one", "t", Namespaces::All)]).unwrap();
    assert_eq!(permit(&admins, none), Err(NotPermitted::NoCredentials));
    for token in ["", "T", "tt"] {
        let refused = permit(&admins, bearer(token));
        assert!(matches!(refused, Err(NotPermitted::Unknown(_))), "{token}");
    }
    assert_eq!(permit(&admins, bearer("t")).unwrap().admin(), "one");
}

/// An identity provider with two keys.
struct Provider {
    folder: tempfile::TempDir,
    ed25519: Ed25519KeyPair,
    p256: EcdsaKeyPair,
}

impl Provider {
    fn new() -> Self {
        let random = SystemRandom::new();
        let ed25519 = Ed25519KeyPair::generate_pkcs8(&random).unwrap();
        let ed25519 = Ed25519KeyPair::from_pkcs8(ed25519.as_ref()).unwrap();
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let p256 = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
        let p256 = EcdsaKeyPair::from_pkcs8(algorithm, p256.as_ref()).unwrap();
        Self {
            folder: tempfile::tempdir().unwrap(),
            ed25519,
            p256,
        }
    }

    fn settings(&self) -> JwtSettings {
        use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
        let keys: [PublicKeyX509Der<'_>; 2] = [
            self.ed25519.public_key().as_der().unwrap(),
            self.p256.public_key().as_der().unwrap(),
        ];
        let pem: String = keys
            .iter()
            .map(|key| base64ct::Base64::encode_string(key.as_ref()))
            .map(|key| format!("-----BEGIN PUBLIC KEY-----\n{key}\n-----END PUBLIC KEY-----\n"))
            .collect();
        let path = self.folder.path().join("keys.pem");
        std::fs::write(&path, pem).unwrap();
        JwtSettings {
            keys: path,
            issuer: "idp".to_owned(),
            audience: "nitride".to_owned(),
            role_claim: "role".to_owned(),
            role: "kms".to_owned(),
            subject: None,
            max_age_secs: 600,
        }
    }

    fn token(&self, algorithm: &str, claims: &Value) -> String {
        let header = json!({ "alg": algorithm, "typ": "JWT" });
        let [header, claims] = [&header, claims]
            .map(|part| Base64UrlUnpadded::encode_string(part.to_string().as_bytes()));
        let message = format!("{header}.{claims}");
        let signature = match algorithm {
            "EdDSA" => self.ed25519.sign(message.as_bytes()).as_ref().to_vec(),
            _ => {
                let random = SystemRandom::new();
                let signature = self.p256.sign(&random, message.as_bytes());
                signature.unwrap().as_ref().to_vec()
            }
        };
        format!("{message}.{}", Base64UrlUnpadded::encode_string(&signature))
    }
}

fn claims() -> Value {
    json!({
        "iss": "idp", "aud": ["nitride", "other"], "sub": "alice", "role": ["kms", "other"],
        "iat": NOW_SECS - 10, "nbf": NOW_SECS - 10, "exp": NOW_SECS + 60,
    })
}

#[test]
fn a_token_of_the_pinned_issuer_is_taken_and_each_claim_has_to_hold() {
    let provider = Provider::new();
    let rule = JwtRule::load("team", &provider.settings()).unwrap();
    for algorithm in ["EdDSA", "ES256"] {
        rule.check(&provider.token(algorithm, &claims()), NOW_SECS)
            .unwrap();
    }
    for (member, value) in [
        ("iss", json!("other")),
        ("aud", json!("other")),
        ("aud", json!([])),
        ("role", json!("admin")),
        ("role", Value::Null),
        ("exp", json!(NOW_SECS)),
        ("iat", json!(NOW_SECS - 601)),
        ("iat", json!(NOW_SECS + 31)),
        ("nbf", json!(NOW_SECS + 31)),
    ] {
        let mut claims = claims();
        claims[member] = value;
        let refused = rule.check(&provider.token("EdDSA", &claims), NOW_SECS);
        assert!(refused.is_err(), "{member} {claims}");
    }
    let of_bob = JwtSettings {
        subject: Some("bob".to_owned()),
        ..provider.settings()
    };
    let rule = JwtRule::load("bob", &of_bob).unwrap();
    assert_eq!(
        rule.check(&provider.token("EdDSA", &claims()), NOW_SECS),
        Err("another subject".to_owned())
    );
}

#[test]
fn a_token_under_another_key_or_algorithm_is_refused() {
    let (provider, stranger) = (Provider::new(), Provider::new());
    let rule = JwtRule::load("team", &provider.settings()).unwrap();
    let refused = |token: &str| rule.check(token, NOW_SECS).is_err();
    assert!(refused(&stranger.token("EdDSA", &claims())));
    assert!(refused(&stranger.token("ES256", &claims())));
    // A signature of the one key under the other's name, and names that nobody has.
    for algorithm in ["RS256", "PS256", "ES384", "HS256", "none"] {
        assert!(
            refused(&provider.token(algorithm, &claims())),
            "{algorithm}"
        );
    }
    let good = provider.token("EdDSA", &claims());
    let (message, _) = good.rsplit_once('.').unwrap();
    assert!(refused(&format!("{message}.")));
    assert!(refused(message));
}

#[test]
fn a_file_without_a_key_that_is_taken_makes_no_rule() {
    let provider = Provider::new();
    let settings = provider.settings();
    for text in [
        "",
        "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
    ] {
        std::fs::write(&settings.keys, text).unwrap();
        assert!(JwtRule::load("team", &settings).is_err());
    }
}

fn authority(name: &str) -> CertifiedIssuer<'static, rcgen::KeyPair> {
    let mut params = CertificateParams::new([]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
        .distinguished_name
        .push(rcgen::DnType::CommonName, name);
    let key = rcgen::KeyPair::generate().unwrap();
    CertifiedIssuer::self_signed(params, key).unwrap()
}

fn certificate(authority: &CertifiedIssuer<'_, rcgen::KeyPair>, name: &str) -> ClientChain {
    let key = rcgen::KeyPair::generate().unwrap();
    let params = CertificateParams::new([name.to_owned()]).unwrap();
    let made = params.signed_by(&key, authority).unwrap();
    ClientChain::new(Some(&[made.der().clone()])).unwrap()
}

fn rule(folder: &Path, ca: &str, identity: CertificateIdentity) -> CertificateRule {
    let path = folder.join("ca.pem");
    std::fs::write(&path, ca).unwrap();
    let settings = CertificateSettings { ca: path, identity };
    CertificateRule::load("root", &settings).unwrap()
}

#[test]
fn a_certificate_is_of_the_pinned_authority_and_the_name_that_is_meant() {
    let folder = tempfile::tempdir().unwrap();
    let (ours, theirs) = (authority("ours"), authority("theirs"));
    let by_name = CertificateIdentity::Dns("root.example".to_owned());
    let rule = rule(folder.path(), &ours.pem(), by_name);
    let now_secs = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_secs();
    rule.check(&certificate(&ours, "root.example"), now_secs)
        .unwrap();
    for (chain, why) in [
        (certificate(&ours, "other.example"), "another name"),
        (certificate(&theirs, "root.example"), "another authority"),
        (certificate(&ours, "*.example"), "a wildcard"),
        (certificate(&ours, "root.example.more"), "a longer name"),
    ] {
        assert!(rule.check(&chain, now_secs).is_err(), "{why}");
    }
    rule.check(&certificate(&ours, "Root.Example"), now_secs)
        .unwrap();
    let good = certificate(&ours, "root.example");
    assert!(rule.check(&good, 80_000_000_000).is_err(), "long expired");
    assert!(ClientChain::new(None).is_none());
    assert!(ClientChain::new(Some(&[])).is_none());
}

#[test]
fn one_certificate_may_be_meant_by_its_digest() {
    let folder = tempfile::tempdir().unwrap();
    let ours = authority("ours");
    let chain = certificate(&ours, "a.example");
    let digest = chain.digest();
    let rule = rule(
        folder.path(),
        &ours.pem(),
        CertificateIdentity::Sha256(digest),
    );
    let now_secs = 1_800_000_000;
    rule.check(&chain, now_secs).unwrap();
    let other = certificate(&ours, "a.example");
    assert!(rule.check(&other, now_secs).is_err());
}
