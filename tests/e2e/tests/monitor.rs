//! The service's listener for whoever looks after its machine: figures and health, and nothing else.
#![forbid(unsafe_code)]

use anyhow::{Context, Result, ensure};
use nitride_support::plan::Plan;
use nitride_support::program::wait_until;
use nitride_support::world::World;
use nix::sys::signal::Signal;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(30);

fn world(tables: &str) -> Result<World> {
    let mut world = World::prepare(Plan {
        service_tables: tables.to_owned(),
        ..Plan::chain("")
    })?;
    world.start_service()?;
    Ok(world)
}

fn on_a_socket(more: &str) -> Result<World> {
    world(&format!(
        "[monitor]\nlisten = \"unix:@DIR@/monitor.sock\"\n\n{more}"
    ))
}

fn connect(world: &World) -> Result<UnixStream> {
    let stream = UnixStream::connect(world.path("monitor.sock")).context("connect")?;
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// Status and whole text of an answer.
fn ask(mut stream: impl Read + Write, method: &str, path: &str) -> Result<(u16, String)> {
    let request =
        format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    let status = text.split(' ').nth(1).context("no status")?.parse()?;
    Ok((status, text))
}

fn get(world: &World, path: &str) -> Result<(u16, String)> {
    ask(connect(world)?, "GET", path)
}

/// Waits until the first look found everything in order.
fn ready(world: &World) -> Result<()> {
    wait_until("the replica to be ready", PATIENCE, || {
        Ok(get(world, "/readyz")?.0 == 200)
    })
}

#[test]
fn figures_and_health_are_told_to_the_machine_and_to_its_group() -> Result<()> {
    let world = on_a_socket("")?;
    let mode = fs::metadata(world.path("monitor.sock"))?
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o660);
    ready(&world)?;
    assert_eq!(get(&world, "/healthz")?.0, 200);
    let (status, text) = get(&world, "/metrics")?;
    assert_eq!(status, 200);
    assert!(
        text.contains("content-type: application/openmetrics-text; version=1.0.0"),
        "{text}"
    );
    let body = text.split_once("\r\n\r\n").context("no body")?.1;
    assert!(body.ends_with("# EOF\n"));
    // One family, one type, and samples of that name alone follow it.
    let mut family = String::new();
    for line in body.lines().filter(|line| *line != "# EOF") {
        match line.strip_prefix("# TYPE ") {
            Some(rest) => family = rest.split(' ').next().context("a name")?.to_owned(),
            None if line.starts_with("# HELP ") => {}
            None => ensure!(line.starts_with(&family), "{line} in {family}"),
        }
    }
    for sample in [
        "nitride_provisiond_ready 1",
        "nitride_provisiond_reload_refused 0",
        "nitride_provisiond_certificate_refused 0",
        "nitride_provisiond_certificate_not_after_timestamp_seconds ",
        "nitride_provisiond_build_info{version=",
    ] {
        assert!(body.contains(sample), "{sample}\n{body}");
    }
    Ok(())
}

#[test]
fn it_listens_on_a_loopback_port_as_well_and_nowhere_that_others_reach() -> Result<()> {
    let mut world = World::prepare(Plan::chain(""))?;
    let port = {
        let free = std::net::TcpListener::bind("127.0.0.1:0")?;
        free.local_addr()?.port()
    };
    let config = fs::read_to_string(world.path("provisiond.toml"))?;
    let monitor = |address: &str| format!("{config}\n[monitor]\nlisten = \"{address}\"\n");
    world
        .folder
        .write("provisiond.toml", monitor("0.0.0.0:9464"))?;
    let refused = world.start_service().unwrap_err();
    assert!(
        format!("{refused:#}").contains("which others can reach"),
        "{refused:#}"
    );
    world
        .folder
        .write("provisiond.toml", monitor(&format!("127.0.0.1:{port}")))?;
    world.start_service()?;
    let (status, _) = ask(TcpStream::connect(("127.0.0.1", port))?, "GET", "/healthz")?;
    assert_eq!(status, 200);
    Ok(())
}

#[test]
fn nothing_of_the_service_is_to_be_had_there() -> Result<()> {
    let world = on_a_socket("")?;
    for (method, path) in [
        ("POST", "/kbs/v0/auth"),
        ("POST", "/kbs/v0/attest"),
        ("GET", "/kbs/v0/resource/demo/key/one"),
        ("GET", "/kbs/v0/nitride/status"),
        ("GET", "/.well-known/jwks.json"),
        ("GET", "/"),
        ("GET", "/metrics/../provisiond.toml"),
    ] {
        assert_eq!(
            ask(connect(&world)?, method, path)?.0,
            404,
            "{method} {path}"
        );
    }
    assert_eq!(ask(connect(&world)?, "POST", "/metrics")?.0, 405);
    let garbage = ask(connect(&world)?, "\0\u{1}", "/metrics");
    assert!(garbage.is_err() || garbage?.0 == 400);
    let secrets = ["store.key", "challenge.key", "token.key", "service.key"];
    let (_, text) = get(&world, "/metrics")?;
    for name in secrets {
        let secret = fs::read(world.path(name))?;
        assert!(
            !text
                .as_bytes()
                .windows(16)
                .any(|window| secret.windows(16).any(|s| s == window))
        );
    }
    Ok(())
}

#[test]
fn slow_clients_keep_nobody_away_for_long() -> Result<()> {
    let world = on_a_socket("")?;
    ready(&world)?;
    // As many as are served at a time, and each says half a request.
    let mut slow = Vec::new();
    for _ in 0..16 {
        let mut stream = connect(&world)?;
        stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: lo")?;
        slow.push(stream);
    }
    let begun = Instant::now();
    assert_eq!(get(&world, "/healthz")?.0, 200);
    assert!(
        begun.elapsed() < Duration::from_secs(10),
        "{:?}",
        begun.elapsed()
    );
    for stream in &mut slow {
        let mut rest = Vec::new();
        // It was ended, with or without a word.
        let _ = stream.read_to_end(&mut rest);
        assert!(!String::from_utf8_lossy(&rest).contains(" 200 "));
    }
    Ok(())
}

#[test]
fn a_refused_reload_is_told_until_one_is_taken() -> Result<()> {
    let world = on_a_socket("")?;
    ready(&world)?;
    let policy = fs::read_to_string(world.path("resource.toml"))?;
    let service = world.service.as_ref().context("the service")?;
    world.folder.write("resource.toml", "version = 2\n")?;
    service.signal(Signal::SIGHUP)?;
    wait_until("the refusal", PATIENCE, || {
        let (_, text) = get(&world, "/metrics")?;
        Ok(text.contains("\nnitride_provisiond_reload_refused 1\n"))
    })?;
    let (status, text) = get(&world, "/readyz")?;
    assert_eq!(status, 200, "it serves by the policies from before");
    assert!(
        text.contains("the newest reload changed nothing: "),
        "{text}"
    );
    world.folder.write("resource.toml", policy)?;
    service.signal(Signal::SIGHUP)?;
    wait_until("the reload", PATIENCE, || {
        let (_, text) = get(&world, "/metrics")?;
        Ok(text.contains("\nnitride_provisiond_reload_refused 0\n"))
    })
}

#[test]
fn a_socket_that_a_killed_service_left_is_taken_over_and_nothing_else_is() -> Result<()> {
    let mut world = on_a_socket("")?;
    world.service.take().context("the service")?.kill()?;
    assert!(world.path("monitor.sock").exists());
    world.start_service()?;
    assert_eq!(get(&world, "/healthz")?.0, 200);
    world.service.take().context("the service")?.stop()?;
    let _ = fs::remove_file(world.path("monitor.sock"));
    world.folder.write("monitor.sock", "a file")?;
    let refused = world.start_service().unwrap_err();
    assert!(format!("{refused:#}").contains("no socket"), "{refused:#}");
    assert_eq!(fs::read_to_string(world.path("monitor.sock"))?, "a file");
    Ok(())
}
