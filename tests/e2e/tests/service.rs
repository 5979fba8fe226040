//! The service alone, as any KBS client would meet it: the test holds the TEE key, and the
//! evidence helper takes the test for the vault.
#![forbid(unsafe_code)]

use anyhow::{Context, Result};
use base64ct::{Base64, Encoding};
use nitride_protocol::KeyType;
use nitride_support::courier::KbsSession;
use nitride_support::forge::{OpenToken, Signatory};
use nitride_support::guest::{attested, evidence, tee_key};
use nitride_support::http::HttpMessage;
use nitride_support::owner::Deposit;
use nitride_support::plan::Plan;
use nitride_support::tls::ServiceConnection;
use nitride_support::world::World;
use serde_json::{Value, json};

/// The evidence helper and the service, without a vault.
fn world(change: impl FnOnce(&mut Plan)) -> Result<World> {
    let mut plan = Plan::chain("");
    change(&mut plan);
    let mut world = World::prepare(plan)?;
    world.start_quote()?;
    world.start_service()?;
    world
        .owner()
        .deposit(&Deposit::key("demo/key/one", KeyType::HmacSha256, &[1; 32]))?;
    Ok(world)
}

#[test]
fn a_whole_handshake_gives_a_token_and_the_resource_as_a_jwe() -> Result<()> {
    let world = world(|_| ())?;
    let (mut session, token) = attested(&world, &world.service_upstream()?, &tee_key()?)?;
    let token = OpenToken::open(&token)?;
    assert_eq!(token.claims["nitride.simulated"], json!(true));
    assert_eq!(
        token.claims["submods"]["cpu0"]["ear.status"],
        json!("affirming")
    );
    let jwe: Value = serde_json::from_slice(&session.resource("demo/key/one")?)?;
    let mut members: Vec<&String> = jwe.as_object().context("an object")?.keys().collect();
    // Whether a map keeps the order of its text depends on who else is built with it.
    members.sort();
    assert_eq!(
        members,
        ["ciphertext", "encrypted_key", "iv", "protected", "tag"]
    );
    assert_eq!(session.fetch("demo/key/none")?.status(), 404);
    Ok(())
}

#[test]
fn an_unwanted_svn_gets_a_token_that_says_so_and_no_resource() -> Result<()> {
    let world = world(|plan| plan.svn = "0".to_owned())?;
    let (mut session, token) = attested(&world, &world.service_upstream()?, &tee_key()?)?;
    let token = OpenToken::open(&token)?;
    assert_eq!(
        token.claims["submods"]["cpu0"]["ear.status"],
        json!("contraindicated")
    );
    let refused = session.fetch("demo/key/one")?;
    assert_ne!(refused.status(), 200);
    let refusal: Value = serde_json::from_slice(&refused.body)?;
    assert!(
        refusal["type"]
            .as_str()
            .is_some_and(|kind| kind.ends_with("/PolicyDeny")),
        "{refusal}"
    );
    Ok(())
}

#[test]
fn without_attestation_there_is_no_resource() -> Result<()> {
    let world = world(|_| ())?;
    let upstream = world.service_upstream()?;
    let mut session = KbsSession::open(&upstream)?;
    assert_ne!(session.fetch("demo/key/one")?.status(), 200);
    session.auth("sample")?;
    assert_ne!(session.fetch("demo/key/one")?.status(), 200);
    // Nor for a token that its sender signed with a key that the header brings along.
    let forger = Signatory::numbered(8)?;
    let mut token = OpenToken::open(&attested(&world, &upstream, &tee_key()?)?.1)?;
    token.header["jwk"] = forger.jwk();
    let mut connection = ServiceConnection::open(&upstream)?;
    let request = HttpMessage::request("GET", "/kbs/v0/resource/demo/key/one", b"")
        .with_header("authorization", &format!("Bearer {}", token.sign(&forger)));
    assert_eq!(connection.call(&request)?.status(), 401);
    Ok(())
}

#[test]
fn a_challenge_that_the_service_did_not_make_is_refused_though_the_evidence_is_for_it() -> Result<()>
{
    let world = world(|_| ())?;
    let mut session = KbsSession::open(&world.service_upstream()?)?;
    let mut made = Base64::decode_vec(&session.auth("sample")?)?;
    // One bit of the random part: form, time and TEE are still the service's own.
    made[10] ^= 1;
    let made = Base64::encode_string(&made);
    let response = session.post_evidence(&made, &evidence(&world, &made, &tee_key()?)?)?;
    let said = String::from_utf8_lossy(&response.body).into_owned();
    assert_eq!(response.status(), 401, "{said}");
    assert!(said.contains("not issued by this service"), "{said}");
    Ok(())
}

#[test]
fn another_version_of_the_protocol_is_refused_with_the_one_that_is_spoken() -> Result<()> {
    let world = world(|_| ())?;
    let mut connection = ServiceConnection::open(&world.service_upstream()?)?;
    let body = br#"{"version":"0.3.0","tee":"sample","extra-params":""}"#;
    let response = connection.call(&HttpMessage::request("POST", "/kbs/v0/auth", body))?;
    assert_ne!(response.status(), 200);
    assert!(String::from_utf8_lossy(&response.body).contains("0.4.0"));
    Ok(())
}

#[test]
fn any_body_gets_an_error_of_the_protocol_and_the_service_lives_on() -> Result<()> {
    let world = world(|_| ())?;
    let upstream = world.service_upstream()?;
    let deep = "[".repeat(20_000);
    let long = "x".repeat(3 << 20);
    for (method, path) in [
        ("POST", "/kbs/v0/auth"),
        ("POST", "/kbs/v0/attest"),
        ("GET", "/kbs/v0/resource/a/b/../c"),
        ("GET", "/kbs/v0/resource/a"),
        ("POST", "/kbs/v0/resource/demo/key/one"),
        ("DELETE", "/kbs/v0/resource/demo/key/one"),
        ("POST", "/kbs/v0/resource-policy"),
        ("PATCH", "/nowhere"),
    ] {
        for body in ["", "{", "null", "{\"version\":4}", &deep, &long] {
            let mut connection = ServiceConnection::open(&upstream)?;
            // A body that is too long may end the connection before it is read.
            if let Ok(response) =
                connection.call(&HttpMessage::request(method, path, body.as_bytes()))
            {
                assert!(
                    (400..500).contains(&response.status()),
                    "{method} {path}: {}",
                    response.first_line
                );
            }
        }
    }
    let mut session = KbsSession::open(&upstream)?;
    session.auth("sample")?;
    Ok(())
}

#[test]
fn a_resource_is_not_stored_in_the_clear() -> Result<()> {
    let world = world(|_| ())?;
    let material = b"a passphrase that nobody reads on the disk";
    world
        .owner()
        .deposit(&Deposit::secret("demo/secret/one", material))?;
    let mut folders = vec![world.path("store")];
    let mut files = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                files += 1;
                let bytes = std::fs::read(&path)?;
                assert!(
                    !bytes
                        .windows(16)
                        .any(|window| material.windows(16).any(|m| m == window))
                );
            }
        }
    }
    assert!(files >= 2);
    Ok(())
}
