//! A certificate that is renewed in its files is offered without anybody telling the service.
#![forbid(unsafe_code)]

use anyhow::{Context, Result};
use nitride_support::http::HttpMessage;
use nitride_support::pki::Pki;
use nitride_support::plan::Plan;
use nitride_support::program::wait_until;
use nitride_support::tls::{ServiceConnection, Upstream};
use nitride_support::world::World;
use std::fs;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(30);

/// Whether a client that pins this authority is answered.
fn is_answered(world: &World, pki: &Pki) -> Result<bool> {
    let upstream = Upstream {
        ca_pem: Some(pki.ca_pem().to_owned()),
        ..world.service_upstream()?
    };
    let answer = ServiceConnection::open(&upstream)
        .and_then(|mut connection| connection.call(&HttpMessage::request("GET", "/healthz", b"")));
    Ok(answer.is_ok_and(|answer| answer.status() == 200))
}

/// Puts a link in a file's place, at once.
fn link(world: &World, name: &str, to: &str) -> Result<()> {
    let new = world.path("link");
    std::os::unix::fs::symlink(world.path(to), &new)?;
    Ok(fs::rename(new, world.path(name))?)
}

#[test]
fn a_renewed_certificate_is_offered_and_a_broken_one_leaves_the_old() -> Result<()> {
    let mut world = World::prepare(Plan {
        service_tables: "[audit]\nfolder = \"@DIR@/service-audit\"\nsync = \"entry\"\n".to_owned(),
        ..Plan::chain("")
    })?;
    // As certbot has it: links to the newest of each.
    let newest = Pki::new("the next CA")?;
    let next = newest.server()?;
    let first = fs::read(world.path("service.pem"))?;
    let first_key = fs::read(world.path("service.key"))?;
    world.folder.write("live/1.pem", first)?;
    world.folder.write_secret("live/1.key", first_key)?;
    world.folder.write("live/2.pem", &next.certificate_pem)?;
    world.folder.write_secret("live/2.key", &next.key_pem)?;
    link(&world, "service.pem", "live/1.pem")?;
    link(&world, "service.key", "live/1.key")?;
    world.start_service()?;
    let log = || {
        world
            .service
            .as_ref()
            .context("the service")
            .map(|it| it.log())
    };
    assert!(is_answered(&world, &world.pki)?);

    // Half of it: the key is another's.
    link(&world, "service.pem", "live/2.pem")?;
    wait_until("the refusal", PATIENCE, || {
        Ok(log()?.contains("the renewed TLS certificate is not taken; the old one stays"))
    })?;
    assert!(is_answered(&world, &world.pki)?);
    let refusals = log()?.matches("is not taken").count();

    // And the other half.
    link(&world, "service.key", "live/2.key")?;
    wait_until("the renewal", PATIENCE, || is_answered(&world, &newest))?;
    assert!(!is_answered(&world, &world.pki)?);
    assert!(log()?.contains("the TLS certificate is renewed"));
    assert_eq!(refusals, 1, "what is broken is told once");

    fs::write(world.path("live/2.pem"), "no certificate")?;
    wait_until("the next refusal", PATIENCE, || {
        Ok(log()?.matches("is not taken").count() == 2)
    })?;
    assert!(is_answered(&world, &newest)?);
    let folder = world.path("service-audit").display().to_string();
    let said = world
        .owner()
        .provisiond(&["audit", "verify", &folder], b"")?;
    assert!(said.contains("reload 3"), "{said}");
    Ok(())
}
