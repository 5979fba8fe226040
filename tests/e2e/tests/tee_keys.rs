//! Each form of TEE key against the real service, and the hybrid form from the real vault's round to
//! the key that it brings.
#![forbid(unsafe_code)]

use anyhow::{Context, Result, ensure};
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::agreement::{ECDH_P521, PrivateKey, UnparsedPublicKey, X25519, agree};
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::kem::{DecapsulationKey, ML_KEM_768};
use aws_lc_rs::key_wrap::{AES_256, AesKek, KeyWrap};
use aws_lc_rs::rsa::{
    KeySize, OAEP_SHA256_MGF1SHA256, OaepPrivateDecryptingKey, PrivateDecryptingKey,
};
use nitride_kbs::envelope::looks_like_envelope;
use nitride_kbs::jwe::{
    Header, Jwe, ML_KEM_768_CIPHERTEXT_LEN, concat_kdf_other_info, hybrid_other_info,
};
use nitride_kbs::tee_key::{RsaPublicKey, TeeKeyForm, TeePublicKey};
use nitride_protocol::{KeyType, Status};
use nitride_support::courier::{Courier, KbsSession};
use nitride_support::guest::{attested, evidence, tee_key};
use nitride_support::http::HttpMessage;
use nitride_support::owner::Deposit;
use nitride_support::plan::Plan;
use nitride_support::world::{World, outcome};
use serde_json::{Value, json};
use std::sync::Arc;

const HYBRID: &str = TeeKeyForm::X25519MlKem768.as_str();
const P256: &str = TeeKeyForm::EcP256.as_str();
const PATH: &str = "demo/key/one";

const KEYS: &str = r#"
[[key]]
name = "app/strict"
type = "hmac-sha256"
source = "kbs:///demo/key/one"
service = "strict"
signer = "owner"
operations = ["mac"]

[[key]]
name = "app/either"
type = "hmac-sha256"
source = "kbs:///demo/key/one"
service = "main"
signer = "owner"
operations = ["mac"]
"#;

/// The evidence helper and the service, without a vault.
fn service() -> Result<World> {
    let mut world = World::prepare(Plan::chain(""))?;
    world.start_quote()?;
    world.start_service()?;
    deposit(&world)?;
    Ok(world)
}

fn deposit(world: &World) -> Result<()> {
    let owner = world.owner();
    owner.deposit(&Deposit::key(PATH, KeyType::HmacSha256, &[1; 32]))
}

/// Attests with `key` and fetches; the JWE.
fn fetched(world: &World, key: &TeePublicKey) -> Result<Jwe> {
    let (mut session, _) = attested(world, &world.service_upstream()?, key)?;
    let jwe = Jwe::parse(&session.resource(PATH)?)?;
    ensure!(jwe.header().form() == key.form(), "{:?}", jwe.header());
    Ok(jwe)
}

/// What is in it, by its content key.
fn opened(jwe: &Jwe, content_key: &[u8]) -> Result<Vec<u8>> {
    let cipher = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, content_key)?);
    let nonce = Nonce::try_assume_unique_for_key(jwe.iv())?;
    let mut sealed = [jwe.ciphertext(), jwe.tag()].concat();
    let opened = cipher.open_in_place(nonce, Aad::from(jwe.aad()), &mut sealed)?;
    Ok(opened.to_vec())
}

fn unwrapped(jwe: &Jwe, shared: &[u8], info: &[u8]) -> Result<[u8; 32]> {
    let wrapping = digest(&SHA256, &[&[0, 0, 0, 1], shared, info].concat());
    let mut content_key = [0; 32];
    AesKek::new(&AES_256, wrapping.as_ref())?.unwrap(jwe.encrypted_key(), &mut content_key)?;
    Ok(content_key)
}

fn shared(
    key: &PrivateKey,
    algorithm: &'static aws_lc_rs::agreement::Algorithm,
    peer: &[u8],
) -> Result<Vec<u8>> {
    let peer = UnparsedPublicKey::new(algorithm, peer);
    let refused = anyhow::anyhow!("no agreement");
    agree(key, peer, refused, |shared| Ok(shared.to_vec()))
}

#[test]
fn a_client_with_a_key_of_p521_gets_its_resource() -> Result<()> {
    let world = service()?;
    let key = PrivateKey::generate(&ECDH_P521)?;
    let point = key.compute_public_key()?;
    let coordinates = point.as_ref().get(1..).context("a point")?.try_into()?;
    let public = TeePublicKey::EcP521(Arc::new(coordinates));
    let jwe = fetched(&world, &public)?;
    let Header::EcP521 { epk } = jwe.header() else {
        anyhow::bail!("another form");
    };
    let shared = shared(&key, &ECDH_P521, &**epk)?;
    let content_key = unwrapped(&jwe, &shared, &concat_kdf_other_info())?;
    assert!(looks_like_envelope(&opened(&jwe, &content_key)?));
    Ok(())
}

#[test]
fn a_client_with_an_rsa_key_gets_its_resource() -> Result<()> {
    let world = service()?;
    for (size, len) in [(KeySize::Rsa2048, 256), (KeySize::Rsa4096, 512)] {
        let key = PrivateDecryptingKey::generate(size)?;
        let der: PublicKeyX509Der<'_> = key.public_key().as_der()?;
        // The modulus is the last number but one: 2 bytes of head and 3 of exponent are after it.
        let end = der.as_ref().len() - 5;
        let modulus = der.as_ref().get(end - len..end).context("a modulus")?;
        let public = RsaPublicKey::new(modulus.to_vec(), &[1, 0, 1]).context("within bounds")?;
        let jwe = fetched(&world, &TeePublicKey::Rsa(Arc::new(public)))?;
        let key = OaepPrivateDecryptingKey::new(key)?;
        let mut out = vec![0; key.min_output_size()];
        let encrypted = jwe.encrypted_key();
        let content_key = key.decrypt(&OAEP_SHA256_MGF1SHA256, encrypted, &mut out, None)?;
        assert!(looks_like_envelope(&opened(&jwe, content_key)?));
    }
    Ok(())
}

#[test]
fn a_client_with_a_hybrid_key_gets_its_resource() -> Result<()> {
    let world = service()?;
    let ml_kem = DecapsulationKey::generate(&ML_KEM_768)?;
    let x25519 = PrivateKey::generate(&X25519)?;
    let ek = ml_kem.encapsulation_key()?.key_bytes()?.as_ref().to_vec();
    let both = [ek.as_slice(), x25519.compute_public_key()?.as_ref()].concat();
    let both: [u8; 1216] = both.as_slice().try_into()?;
    let jwe = fetched(&world, &TeePublicKey::X25519MlKem768(Arc::new(both)))?;
    let Header::X25519MlKem768 { ek } = jwe.header() else {
        anyhow::bail!("another form");
    };
    let (ciphertext, epk) = ek.split_at(ML_KEM_768_CIPHERTEXT_LEN);
    let z = ml_kem.decapsulate(ciphertext.into())?;
    let t = shared(&x25519, &X25519, epk)?;
    let info = hybrid_other_info(ek, &both);
    let content_key = unwrapped(&jwe, &[z.as_ref(), &t].concat(), &info)?;
    assert!(looks_like_envelope(&opened(&jwe, &content_key)?));
    Ok(())
}

#[test]
fn a_client_with_a_key_of_ml_kem_gets_a_resource_to_it() -> Result<()> {
    // That it opens is a test of the service's, by the key derivation that it alone has.
    let world = service()?;
    let key = DecapsulationKey::generate(&ML_KEM_768)?;
    let ek = key.encapsulation_key()?.key_bytes()?.as_ref().to_vec();
    let ek: [u8; 1184] = ek.as_slice().try_into()?;
    let jwe = fetched(&world, &TeePublicKey::MlKem768(Arc::new(ek)))?;
    let Header::MlKem768 { ek } = jwe.header() else {
        anyhow::bail!("another form");
    };
    assert_eq!(key.decapsulate(ek.as_slice().into())?.as_ref().len(), 32);
    Ok(())
}

#[test]
fn a_key_of_a_form_that_is_not_taken_is_refused_by_name() -> Result<()> {
    let world = service()?;
    let mut session = KbsSession::open(&world.service_upstream()?)?;
    for (jwk, reason) in [
        (
            json!({"kty":"RSA","alg":"RSA1_5","n":"AQAB","e":"AQAB"}),
            "RSA1_5",
        ),
        (
            json!({"kty":"RSA","alg":"RSA-OAEP-256","n":"AQAB","e":"AQAB"}),
            "2048 to 4096 bits",
        ),
    ] {
        let nonce = session.auth("sample")?;
        let body = json!({
            "init-data": null,
            "runtime-data": {"nonce": nonce, "tee-pubkey": jwk},
            "tee-evidence": {"primary_evidence": {}, "additional_evidence": ""},
        });
        let answer = session.post_attestation(body.to_string().as_bytes())?;
        assert_eq!(answer.status(), 400);
        let refusal: Value = serde_json::from_slice(&answer.body)?;
        let detail = refusal["detail"].as_str().unwrap_or_default();
        assert!(detail.contains(reason), "{refusal}");
    }
    Ok(())
}

#[test]
fn vault_agent_and_service_agree_on_the_hybrid_form_by_themselves() -> Result<()> {
    let mut plan = Plan::chain(KEYS);
    plan.vhsmd_tables = "[[service]]\nname = \"strict\"\n".to_owned();
    let world = World::start(plan)?;
    deposit(&world)?;
    world.application()?.mac("app/either", b"data")?;
    let traffic = world.relay()?.traffic();
    let said = |text: &str| traffic.windows(text.len()).any(|at| at == text.as_bytes());
    assert!(
        said(&format!(r#""alg":"{HYBRID}""#)),
        "the key in the attest request"
    );
    assert!(
        !said(r#""crv":"P-256","kty":"EC","x":"#),
        "no other form was made"
    );
    Ok(())
}

/// Answers the vault's round of `key` with an offer; how the request ended, and which form the vault
/// made, if it made one.
fn round(world: &World, key: &str, offered: &[&str]) -> Result<(Status, Option<TeeKeyForm>)> {
    let mut courier = Courier::connect(&world.path("agent.sock"))?;
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| outcome(world.application()?.mac(key, b"data")));
        let order = courier.next_round()?;
        let mut session = KbsSession::open(&world.service_upstream()?)?;
        let nonce = session.auth(&order.tee)?;
        let form = match courier.challenge_offering(&order, &nonce, offered) {
            Ok(evidence) => {
                session.attest(&nonce, &evidence)?;
                let delivered = courier.resource(&order, PATH, &session.resource(PATH)?)?;
                ensure!(delivered == Status::Ok, "{delivered}");
                Some(TeePublicKey::parse(&evidence.tee_pubkey)?.form())
            }
            Err(_) => None,
        };
        courier.finish(&order)?;
        let ended = waiting.join().ok().context("no panic")??;
        Ok((ended, form))
    })
}

#[test]
fn a_courier_that_keeps_the_offer_back_gets_no_evidence_where_the_policy_says_hybrid() -> Result<()>
{
    for (offered, expected) in [
        (&[][..], (Status::ResourceRefused, None)),
        (&[P256], (Status::ResourceRefused, None)),
        (
            &[P256, HYBRID],
            (Status::Ok, Some(TeeKeyForm::X25519MlKem768)),
        ),
    ] {
        let mut plan = Plan::without_agent(KEYS);
        plan.vhsmd_tables = "[[service]]\nname = \"strict\"\ntee-key = \"hybrid\"\n".to_owned();
        let world = World::start(plan)?;
        deposit(&world)?;
        assert_eq!(round(&world, "app/strict", offered)?, expected);
        if expected.1.is_none() {
            // The same offer is enough for a service whose policy allows the fall-back.
            let either = round(&world, "app/either", offered)?;
            assert_eq!(either, (Status::Ok, Some(TeeKeyForm::EcP256)));
            // Which is told of: to who looks, and in the record of the round.
            let warnings = world.admin()?.status()?.warnings;
            let told = warnings
                .iter()
                .filter(|text| text.contains("no hybrid key"));
            let told: Vec<_> = told.collect();
            let [told] = &told[..] else {
                anyhow::bail!("{warnings:?}");
            };
            assert!(told.starts_with("service main "), "{told}");
            let form = format!("key {P256}");
            assert!(world.logs().contains(&form), "{}", world.logs());
        }
    }
    Ok(())
}

/// What kind of refusal an answer is.
fn kind_of(answer: &HttpMessage) -> Result<String> {
    let refusal: Value = serde_json::from_slice(&answer.body)?;
    Ok(refusal["type"].as_str().context("a type")?.to_owned())
}

#[test]
fn a_service_that_is_told_to_take_hybrid_keys_alone_gives_nothing_to_another_key_from_then_on()
-> Result<()> {
    let mut plan = Plan::chain(KEYS);
    plan.vhsmd_tables = "[[service]]\nname = \"strict\"\n".to_owned();
    let mut world = World::start(plan)?;
    deposit(&world)?;
    let service = world.service_upstream()?;
    let (mut session, _) = attested(&world, &service, &tee_key()?)?;
    assert_eq!(session.fetch(PATH)?.status(), 200);

    let config = std::fs::read_to_string(world.path("provisiond.toml"))?;
    let config = format!("{config}\n[policies]\ntee-keys = [\"hybrid\"]\n");
    world.folder.write("provisiond.toml", config)?;
    world.service.as_mut().context("the service")?.reload()?;
    // Its token is as good as before; its key is not.
    let refused = session.fetch(PATH)?;
    assert_eq!(refused.status(), 401);
    assert!(kind_of(&refused)?.ends_with("/UnsupportedTeeKey"));
    let nonce = session.auth("sample")?;
    let refused = session.post_evidence(&nonce, &evidence(&world, &nonce, &tee_key()?)?)?;
    assert_eq!(refused.status(), 401);
    assert!(kind_of(&refused)?.ends_with("/UnsupportedTeeKey"));
    // A vault follows the offer.
    world.application()?.mac("app/either", b"data")?;
    Ok(())
}
