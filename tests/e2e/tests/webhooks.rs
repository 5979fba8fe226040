//! Webhooks of the service, told to a real receiver behind TLS.
#![forbid(unsafe_code)]

use anyhow::{Context, Result};
use aws_lc_rs::hmac;
use base64ct::{Base64, Encoding};
use nitride_kbs::report_data::report_data;
use nitride_kbs::tee_key::TeePublicKey;
use nitride_protocol::KeyType;
use nitride_protocol::quote::{EvidenceReply, EvidenceRequest};
use nitride_support::asker::Asker;
use nitride_support::courier::{BoundEvidence, KbsSession};
use nitride_support::forge::Signatory;
use nitride_support::http::HttpMessage;
use nitride_support::owner::Deposit;
use nitride_support::pki::Pki;
use nitride_support::plan::Plan;
use nitride_support::program::wait_until;
use nitride_support::relay::{Fate, OnRequest, Relay};
use nitride_support::tls::{ServiceConnection, Upstream};
use nitride_support::world::World;
use nix::sys::signal::Signal;
use p256::ecdsa::signature::Verifier;
use p256::ecdsa::{Signature, VerifyingKey};
use p256::pkcs8::DecodePublicKey;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

const SECRET: [u8; 32] = [7; 32];
const MATERIAL: [u8; 32] = *b"an hmac key that nobody is told!";
const PATIENCE: Duration = Duration::from_secs(30);

/// A receiver that answers by `answer`, of an authority of its own.
fn receiver(
    pki: &Pki,
    answer: impl FnMut(&mut HttpMessage) -> Fate + Send + 'static,
) -> Result<Relay> {
    let nobody = Upstream {
        address: SocketAddr::from((Ipv4Addr::LOCALHOST, 1)),
        ca_pem: None,
    };
    let relay = Relay::start(&pki.server()?, vec![nobody])?;
    relay.meddle(OnRequest(answer));
    Ok(relay)
}

fn thanks(_: &mut HttpMessage) -> Fate {
    Fate::Answer(HttpMessage::response(204, b""))
}

/// A service that tells `receiver` of `events`, under the authority of `pki`.
fn world(pki: &Pki, receiver: &Relay, events: &str, key: &str) -> Result<World> {
    let port = receiver.address().port();
    let mut world = World::prepare(Plan {
        service_tables: format!(
            "[monitor]\nlisten = \"unix:@DIR@/monitor.sock\"\n\n\
             [[webhook]]\nname = \"tests\"\nurl = \"https://localhost:{port}/told?by=nitride\"\n\
             ca = \"@DIR@/hook-ca.pem\"\n{key}\nevents = {events}\n"
        ),
        ..Plan::chain("")
    })?;
    world.folder.write("hook-ca.pem", pki.ca_pem())?;
    world.folder.write_secret("hook.key", SECRET)?;
    let arguments = [
        "token-key",
        "generate",
        "--out",
        "hook.pem",
        "--public-out",
        "hook.pub",
    ];
    let at = |word: &str| match word.starts_with("hook") {
        true => world.path(word).display().to_string(),
        false => word.to_owned(),
    };
    world.owner().provisiond(&arguments.map(at), b"")?;
    world.start_quote()?;
    world.start_service()?;
    world.owner().deposit(&Deposit::key(
        "demo/key/one",
        KeyType::HmacSha256,
        &MATERIAL,
    ))?;
    Ok(world)
}

/// A session that has attested, and its token.
fn attested(world: &World) -> Result<(KbsSession, String)> {
    let mut session = KbsSession::open(&world.service_upstream()?)?;
    let nonce = session.auth("sample")?;
    let mut jwk = Signatory::numbered(5)?.jwk();
    jwk["alg"] = json!("ECDH-ES+A256KW");
    let key = TeePublicKey::parse(&jwk.to_string())?;
    let mut quote = Asker::connect_silently(&world.path("quote.sock"))?;
    let answer = quote.ask(&EvidenceRequest {
        tee: "sample",
        report_data: &report_data(&nonce, &key, ""),
        yields: false,
    })?;
    let reply: EvidenceReply<'_> = answer.result()?;
    let evidence = BoundEvidence {
        tee_pubkey: key.to_jwk_json(),
        primary_evidence: reply.primary_evidence.to_owned(),
        additional_evidence: String::new(),
    };
    let token = session.attest(&nonce, &evidence)?;
    Ok((session, token))
}

/// What the receiver was told, once it was told `count` times.
fn told(receiver: &Relay, count: usize) -> Result<Vec<HttpMessage>> {
    wait_until("the notices", PATIENCE, || {
        Ok(receiver.exchanges().len() >= count)
    })?;
    let exchanges = receiver.exchanges().into_iter();
    Ok(exchanges.map(|exchange| exchange.request).collect())
}

fn body(message: &HttpMessage) -> Result<Value> {
    Ok(serde_json::from_slice(&message.body)?)
}

fn signed(message: &HttpMessage) -> Result<(Vec<u8>, String)> {
    let header = |name: &str| message.header(name).context("a header is missing");
    let (id, at) = (header("webhook-id")?, header("webhook-timestamp")?);
    let signed = [id.as_bytes(), b".", at.as_bytes(), b".", &message.body].concat();
    Ok((signed, header("webhook-signature")?.to_owned()))
}

fn metrics(world: &World) -> Result<String> {
    use std::io::{Read, Write};
    let mut stream = std::os::unix::net::UnixStream::connect(world.path("monitor.sock"))?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(text)
}

#[test]
fn what_was_chosen_is_told_signed_and_without_a_secret() -> Result<()> {
    let pki = Pki::new("the receiver's CA")?;
    let receiver = receiver(&pki, thanks)?;
    let events = "[\"release\", \"denial\", \"reload\"]";
    let world = world(&pki, &receiver, events, "secret = \"@DIR@/hook.key\"")?;
    let (mut session, token) = attested(&world)?;
    session.resource("demo/key/one")?;
    let mut stranger = ServiceConnection::open(&world.service_upstream()?)?;
    let request = HttpMessage::request("GET", "/kbs/v0/resource/demo/key/one", b"");
    assert_eq!(stranger.call(&request)?.status(), 401);
    let service = world.service.as_ref().context("the service")?;
    service.signal(Signal::SIGHUP)?;
    let told = told(&receiver, 3)?;
    let types: Vec<Value> = told
        .iter()
        .map(|message| Ok(body(message)?["type"].clone()))
        .collect::<Result<_>>()?;
    assert_eq!(types, ["release", "denial", "reload"]);
    let release = body(&told[0])?;
    assert_eq!(release["data"]["what"], "demo/key/one");
    assert_eq!(release["service"], "tests");
    assert_eq!(body(&told[1])?["data"]["source"], "127.0.0.1");
    let key = hmac::Key::new(hmac::HMAC_SHA256, &SECRET);
    let mut ids = BTreeSet::new();
    for message in &told {
        assert_eq!(message.target(), ("POST", "/told?by=nitride"));
        let (signed, signature) = signed(message)?;
        let tag = Base64::decode_vec(signature.strip_prefix("v1,").context("another scheme")?)?;
        assert!(hmac::verify(&key, &signed, &tag).is_ok());
        assert!(ids.insert(message.header("webhook-id").map(str::to_owned)));
    }
    let traffic = receiver.traffic();
    for secret in [&MATERIAL[..], token.as_bytes(), &SECRET] {
        assert!(!traffic.windows(secret.len()).any(|window| window == secret));
    }
    let delivered = "webhook_notices_total{webhook=\"tests\",outcome=\"delivered\"} 3";
    wait_until("the figures", PATIENCE, || {
        Ok(metrics(&world)?.contains(delivered))
    })
}

#[test]
fn a_signing_key_signs_what_its_public_half_verifies() -> Result<()> {
    let pki = Pki::new("the receiver's CA")?;
    let receiver = receiver(&pki, thanks)?;
    let world = world(
        &pki,
        &receiver,
        "[\"release\"]",
        "signing-key = \"@DIR@/hook.pem\"",
    )?;
    attested(&world)?.0.resource("demo/key/one")?;
    let told = told(&receiver, 1)?;
    let (signed, signature) = signed(&told[0])?;
    let signature = signature.strip_prefix("es256,").context("another scheme")?;
    let signature = Signature::from_slice(&Base64::decode_vec(signature)?)?;
    let public = std::fs::read_to_string(world.path("hook.pub"))?;
    let public = VerifyingKey::from_public_key_pem(&public)?;
    public.verify(&signed, &signature)?;
    Ok(())
}

#[test]
fn what_was_not_taken_is_told_again_under_its_id_and_no_redirect_is_followed() -> Result<()> {
    let pki = Pki::new("the receiver's CA")?;
    let elsewhere = receiver(&pki, thanks)?;
    let location = format!("https://localhost:{}/", elsewhere.address().port());
    let mut asked = 0;
    let receiver = receiver(&pki, move |_| {
        asked += 1;
        let status = match asked {
            1 => 307,
            2 => 503,
            _ => 200,
        };
        Fate::Answer(HttpMessage::response(status, b"").with_header("location", &location))
    })?;
    let world = world(
        &pki,
        &receiver,
        "[\"release\"]",
        "secret = \"@DIR@/hook.key\"",
    )?;
    attested(&world)?.0.resource("demo/key/one")?;
    let told = told(&receiver, 3)?;
    let ids: BTreeSet<_> = told
        .iter()
        .map(|message| message.header("webhook-id"))
        .collect();
    assert_eq!(ids.len(), 1);
    assert_eq!(elsewhere.exchanges().len(), 0);
    wait_until("the figures", PATIENCE, || {
        let text = metrics(&world)?;
        Ok(text.contains("webhook_failures_total{webhook=\"tests\"} 2")
            && text.contains("webhook_waiting{webhook=\"tests\"} 0"))
    })
}

#[test]
fn a_receiver_that_hangs_keeps_no_request_waiting_and_no_service_from_ending() -> Result<()> {
    let pki = Pki::new("the receiver's CA")?;
    let receiver = receiver(&pki, |_| Fate::Stall)?;
    let events = "[\"release\", \"denial\"]";
    let world = world(&pki, &receiver, events, "secret = \"@DIR@/hook.key\"")?;
    let (mut session, _) = attested(&world)?;
    let begun = Instant::now();
    for _ in 0..20 {
        session.resource("demo/key/one")?;
    }
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "{:?}",
        begun.elapsed()
    );
    // Equal releases of one second are told once.
    let figures = metrics(&world)?;
    let waiting = figures.lines().find_map(|line| {
        line.strip_prefix("nitride_provisiond_webhook_waiting{webhook=\"tests\"} ")
    });
    assert!(waiting.is_some_and(|count| count != "0"), "{figures}");
    let service = world.service.as_ref().context("the service")?;
    assert!(service.stop()?.success());
    assert!(
        service.log().contains("notices end with the service"),
        "{}",
        service.log()
    );
    Ok(())
}

#[test]
fn a_receiver_of_another_authority_is_told_nothing() -> Result<()> {
    let pki = Pki::new("the receiver's CA")?;
    let receiver = receiver(&pki, thanks)?;
    let other = Pki::new("another CA")?;
    let world = world(
        &other,
        &receiver,
        "[\"release\"]",
        "secret = \"@DIR@/hook.key\"",
    )?;
    attested(&world)?.0.resource("demo/key/one")?;
    wait_until("an attempt", PATIENCE, || {
        Ok(!metrics(&world)?.contains("webhook_failures_total{webhook=\"tests\"} 0"))
    })?;
    assert_eq!(receiver.exchanges().len(), 0);
    Ok(())
}
