//! A hostile service, or a network in its place: the real agent talks to a relay that has a
//! certificate of the pinned CA and does what it likes.
#![forbid(unsafe_code)]

use anyhow::Result;
use nitride_protocol::{KeyState, KeyType, Status};
use nitride_support::http::HttpMessage;
use nitride_support::owner::Deposit;
use nitride_support::pki::Pki;
use nitride_support::plan::Plan;
use nitride_support::program::wait_until;
use nitride_support::relay::{Fate, Honest, Meddler, OnRequest, OnResponse, Relay};
use nitride_support::rules::provisioned;
use nitride_support::world::{World, outcome};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

fn plan() -> Plan {
    let one = provisioned("app/one", KeyType::HmacSha256, "demo/key/one");
    let two = provisioned("app/two", KeyType::HmacSha256, "demo/key/two");
    Plan::chain(&(one + &two))
}

fn world() -> Result<World> {
    let world = World::start(plan())?;
    let owner = world.owner();
    owner.deposit(&Deposit::key("demo/key/one", KeyType::HmacSha256, &[1; 32]))?;
    owner.deposit(&Deposit::key("demo/key/two", KeyType::HmacSha256, &[2; 32]))?;
    Ok(world)
}

/// How a request for `app/one` ends under this meddler, within a few seconds.
fn ends(world: &World, meddler: impl Meddler + 'static) -> Result<Status> {
    world.relay()?.meddle(meddler);
    outcome(
        world
            .application_waiting(Duration::from_secs(4))?
            .mac("app/one", b"d"),
    )
}

/// The vault and the agent are as they were: an honest service is used again.
fn recovers(world: &World) -> Result<()> {
    world.relay()?.meddle(Honest);
    let mut app = world.application()?;
    wait_until("an honest service is used", Duration::from_secs(60), || {
        Ok(outcome(app.mac("app/one", b"d"))? == Status::Ok)
    })
}

#[test]
fn a_resource_that_was_changed_on_the_way_is_refused_and_nothing_is_kept() -> Result<()> {
    let world = world()?;
    let ended = ends(
        &world,
        OnResponse(|request: &HttpMessage, response: &mut HttpMessage| {
            if request.target().1.starts_with("/kbs/v0/resource/") {
                let middle = response.body.len() / 2;
                response.body[middle] ^= 1;
            }
        }),
    )?;
    assert!(
        matches!(ended, Status::ResourceRefused | Status::ServiceUnreachable),
        "{ended}"
    );
    let description = world.admin()?.describe("app/one")?;
    assert_eq!(description.state, KeyState::Pending);
    assert!(description.versions.is_empty());
    recovers(&world)
}

#[test]
fn a_service_that_answers_one_resource_with_another_is_found_out() -> Result<()> {
    let world = world()?;
    let ended = ends(
        &world,
        OnRequest(|request: &mut HttpMessage| {
            // Its tokens are for whatever it likes, not for what was asked.
            request
                .headers
                .retain(|(name, _)| !name.eq_ignore_ascii_case("nitride-resources"));
            request.first_line = request.first_line.replace("demo/key/one", "demo/key/two");
            Fate::Forward
        }),
    )?;
    assert_eq!(ended, Status::ResourceRefused);
    recovers(&world)
}

#[test]
fn a_refusal_reaches_the_application_as_a_code_and_the_log_as_a_reason() -> Result<()> {
    let world = world()?;
    let secret_reason = "the moon is in the wrong house";
    let ended = ends(
        &world,
        OnRequest(move |request: &mut HttpMessage| {
            if request.target().1.starts_with("/kbs/v0/resource/") {
                let kind = "https://github.com/confidential-containers/kbs/errors/PolicyDeny";
                let body = json!({ "type": kind, "detail": secret_reason }).to_string();
                Fate::Answer(HttpMessage::response(401, body.as_bytes()))
            } else {
                Fate::Forward
            }
        }),
    )?;
    assert_eq!(ended, Status::DeniedByVerifier);
    let logs = format!("{}{}", world.agent()?.log(), world.vhsmd()?.log());
    assert!(logs.contains(secret_reason), "no log says why");
    recovers(&world)
}

#[test]
fn nonsense_in_place_of_any_answer_is_the_services_fault_and_nobody_elses() -> Result<()> {
    let world = world()?;
    let long = "x".repeat(8 << 20);
    let deep = "[".repeat(10_000);
    let bodies: Vec<Vec<u8>> = vec![
        Vec::new(),
        b"null".to_vec(),
        b"\xff\xfe\x00".to_vec(),
        b"{\"nonce\":7,\"extra-params\":\"\"}".to_vec(),
        b"{\"token\":\"\"}".to_vec(),
        b"{\"token\":\"a.b\"}".to_vec(),
        long.into_bytes(),
        deep.into_bytes(),
    ];
    for path in ["/kbs/v0/auth", "/kbs/v0/attest", "/kbs/v0/resource/"] {
        for body in &bodies {
            let (body, len) = (body.clone(), body.len());
            let ended = ends(
                &world,
                OnResponse(move |request: &HttpMessage, response: &mut HttpMessage| {
                    if request.target().1.starts_with(path) {
                        response.body.clone_from(&body);
                    }
                }),
            )?;
            assert!(
                !matches!(ended, Status::Ok | Status::Internal),
                "{path} answered with {len} bytes: {ended}"
            );
        }
    }
    recovers(&world)
}

#[test]
fn error_codes_redirects_and_cut_connections_end_the_round_in_its_time() -> Result<()> {
    let world = world()?;
    for status in [204, 302, 307, 400, 404, 429, 500, 503] {
        let began = Instant::now();
        let ended = ends(
            &world,
            OnRequest(move |_: &mut HttpMessage| {
                let away = HttpMessage::response(status, b"{}")
                    .with_header("location", "https://localhost:1/kbs/v0/auth")
                    .with_header("retry-after", "86400");
                Fate::Answer(away)
            }),
        )?;
        assert_ne!(ended, Status::Ok, "{status}");
        assert!(
            began.elapsed() < Duration::from_secs(8),
            "{status}: {:?}",
            began.elapsed()
        );
    }
    assert_ne!(
        ends(&world, OnRequest(|_: &mut HttpMessage| Fate::Drop))?,
        Status::Ok
    );
    // A service that asks for a day of patience does not get it.
    recovers(&world)
}

#[test]
fn a_server_whose_certificate_is_not_of_the_pinned_ca_sees_no_evidence() -> Result<()> {
    let mut world = World::prepare(plan())?;
    world.start_quote()?;
    world.start_vhsmd()?;
    let stranger = Pki::new("another CA")?;
    world.start_service()?;
    let upstream = world.service_upstream()?;
    world.relay = Some(Relay::start(&stranger.server()?, vec![upstream])?);
    world.start_agent()?;
    let mut app = world.application_waiting(Duration::from_secs(4))?;
    let refused = outcome(app.mac("app/one", b"d"))?;
    assert!(
        matches!(refused, Status::ServiceUnreachable | Status::TimedOut),
        "{refused}"
    );
    assert_eq!(world.relay()?.exchanges().len(), 0);
    Ok(())
}

#[test]
fn a_challenge_with_anything_in_it_is_only_ever_hashed() -> Result<()> {
    let world = world()?;
    for nonce in ["", "\u{0}", "kbs", &"n".repeat(1024), &"n".repeat(1025)] {
        let nonce = nonce.to_owned();
        let ended = ends(
            &world,
            OnResponse(move |request: &HttpMessage, response: &mut HttpMessage| {
                if request.target().1 == "/kbs/v0/auth" {
                    let challenge = json!({ "nonce": nonce, "extra-params": "" });
                    response.body = challenge.to_string().into_bytes();
                }
            }),
        )?;
        assert_ne!(ended, Status::Ok);
    }
    recovers(&world)
}

#[test]
fn a_service_that_wants_another_hash_is_told_no() -> Result<()> {
    let world = world()?;
    let ended = ends(
        &world,
        OnResponse(|request: &HttpMessage, response: &mut HttpMessage| {
            if request.target().1 == "/kbs/v0/auth" {
                let mut challenge: Value =
                    serde_json::from_slice(&response.body).unwrap_or_default();
                challenge["extra-params"] = json!({ "selected-hash-algorithm": "sha256" });
                response.body = challenge.to_string().into_bytes();
            }
        }),
    )?;
    assert_ne!(ended, Status::Ok);
    recovers(&world)
}

#[test]
fn a_second_endpoint_serves_while_the_first_is_down() -> Result<()> {
    let mut world = World::prepare(plan())?;
    world.start_quote()?;
    world.start_vhsmd()?;
    world.start_service()?;
    world
        .owner()
        .deposit(&Deposit::key("demo/key/one", KeyType::HmacSha256, &[1; 32]))?;
    // The plan's endpoint is second; first comes a port where nobody listens.
    let nobody = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    world.plan.agent_tables = format!(
        "[[service.endpoint]]\nurl = \"https://localhost:{}\"\npriority = 5\n",
        world.relay()?.address().port()
    );
    world.start_agent_at(&format!("https://localhost:{}", nobody.port()))?;
    let mut app = world.application()?;
    app.mac("app/one", b"d")?;
    Ok(())
}
