//! The figures that vhsmd serves: OpenMetrics, to whom it is allowed, and without names of keys.
#![forbid(unsafe_code)]

use anyhow::{Context, Result, bail, ensure};
use nitride_protocol::{KeyType, Status};
use nitride_support::plan::Plan;
use nitride_support::program::{RunAs, wait_until};
use nitride_support::world::{World, outcome};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

fn world(rest: &str) -> Result<World> {
    World::start(Plan {
        vhsmd_tables: format!("[metrics]\nsocket = \"@DIR@/metrics.sock\"\n{rest}\n"),
        ..Plan::vault("")
    })
}

fn printed(world: &World) -> Result<String> {
    let socket = world.path("metrics.sock").display().to_string();
    let arguments = ["metrics", "--metrics-socket", &socket];
    let output = world.vhsm(&RunAs::default(), &arguments, b"")?;
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.success(), "{error}");
    Ok(String::from_utf8(output.stdout)?)
}

/// Every sample by its name and labels, as written.
type Samples = BTreeMap<String, f64>;

/// Reads OpenMetrics text, and refuses what a strict scraper refuses.
fn parse(text: &str) -> Result<Samples> {
    let body = text.strip_suffix("# EOF\n").context("no end")?;
    let mut families: Vec<(String, String)> = Vec::new();
    let mut samples = Samples::new();
    for line in body.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').context("a type without a name")?;
            ensure!(
                families.iter().all(|(known, _)| known != name),
                "{name} twice"
            );
            families.push((name.to_owned(), kind.to_owned()));
            continue;
        }
        let (family, kind) = families.last().context("a sample before its family")?;
        if let Some(rest) = line.strip_prefix("# HELP ") {
            ensure!(
                rest.starts_with(&format!("{family} ")),
                "help of another: {line}"
            );
            continue;
        }
        ensure!(!line.starts_with('#') && !line.is_empty(), "{line:?}");
        let (series, value) = line.rsplit_once(' ').context("no value")?;
        let name = series.split('{').next().unwrap_or_default();
        let suffix = name
            .strip_prefix(family.as_str())
            .context("of another family")?;
        let allowed: &[&str] = match kind.as_str() {
            "counter" => &["_total"],
            "gauge" => &[""],
            "info" => &["_info"],
            "histogram" => &["_bucket", "_count", "_sum"],
            other => bail!("type {other}"),
        };
        ensure!(allowed.contains(&suffix), "{name} in a {kind}");
        if let Some(labels) = series.strip_prefix(name).filter(|text| !text.is_empty()) {
            let inner = labels
                .strip_prefix('{')
                .and_then(|text| text.strip_suffix('}'));
            for label in inner.context("labels")?.split("\",") {
                let (name, value) = label.split_once("=\"").context("a label")?;
                ensure!(
                    name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'),
                    "{name}"
                );
                ensure!(!value.trim_end_matches('"').contains('"'), "{value}");
            }
        }
        let number: f64 = value.parse()?;
        ensure!(
            samples.insert(series.to_owned(), number).is_none(),
            "{series} twice"
        );
    }
    Ok(samples)
}

#[test]
fn what_was_done_is_counted_and_no_key_is_named() -> Result<()> {
    let world = world("allowed-uids = [@UID@]")?;
    let mut app = world.application()?;
    app.generate("app/very-private", KeyType::EcP256, None)?;
    for _ in 0..7 {
        app.sign("app/very-private", None, b"m")?;
    }
    let verdict = app.verify("app/very-private", None, None, b"m", &[0; 64]);
    assert_eq!(outcome(verdict)?, Status::VerificationFailed);
    let text = printed(&world)?;
    let samples = parse(&text)?;
    let of = |series: &str| samples.get(series).copied();
    let signs = "vhsm_operations_total{operation=\"sign\",key_type=\"ec-p256\",outcome=\"ok\"}";
    assert_eq!(of(signs), Some(7.0), "{text}");
    let failed = "vhsm_operations_total{operation=\"verify\",key_type=\"ec-p256\",\
                  outcome=\"verification-failed\"}";
    assert_eq!(of(failed), Some(1.0));
    // What no key was used for has no type.
    let missing = outcome(app.sign("app/nothing", None, b"m"))?;
    assert_eq!(missing, Status::KeyNotFound);
    let none = "vhsm_operations_total{operation=\"sign\",key_type=\"none\",\
                outcome=\"key-not-found\"}";
    assert_eq!(parse(&printed(&world)?)?.get(none), Some(&1.0));
    let name = "vhsm_operation_duration_seconds";
    let sign = "operation=\"sign\",key_type=\"ec-p256\"";
    let count = of(&format!("{name}_count{{{sign}}}"));
    let all = of(&format!("{name}_bucket{{{sign},le=\"+Inf\"}}"));
    assert_eq!((count, all), (Some(7.0), Some(7.0)));
    assert!(of(&format!("{name}_sum{{{sign}}}")) > Some(0.0));
    for (series, least) in [
        ("vhsm_keys", 1.0),
        ("vhsm_connections", 1.0),
        ("vhsm_policy_generation", 1.0),
        ("vhsm_waiting_requests", 0.0),
        ("vhsm_arena_used_bytes{arena=\"records\"}", 1.0),
        ("vhsm_cache_bytes", 0.0),
        ("vhsm_audit_lost_total", 0.0),
        ("vhsm_rounds_ordered_total", 0.0),
    ] {
        assert!(of(series) >= Some(least), "{series}");
    }
    assert!(!text.contains("very-private"));
    Ok(())
}

#[test]
fn keys_are_named_where_that_is_configured() -> Result<()> {
    let world = world("allowed-uids = [@UID@]\nkey-names = true")?;
    let mut app = world.application()?;
    app.generate("app/key", KeyType::EcP256, None)?;
    app.sign("app/key", None, b"m")?;
    let series = "vhsm_key_uses_total{key=\"app/key\",operation=\"sign\",outcome=\"ok\"}";
    wait_until("the second to end", Duration::from_secs(10), || {
        let text = printed(&world)?;
        Ok(parse(&text)?.get(series) == Some(&1.0))
    })
}

#[test]
fn whoever_is_not_named_reads_nothing() -> Result<()> {
    let world = world("allowed-uids = [4294967000]\nmode = \"0666\"")?;
    assert!(printed(&world).is_err());
    Ok(())
}

#[test]
fn another_path_and_another_method_are_refused() -> Result<()> {
    let world = world("allowed-uids = [@UID@]")?;
    for (request, expected) in [
        ("GET / HTTP/1.0\r\n\r\n", "HTTP/1.0 404 "),
        ("POST /metrics HTTP/1.0\r\n\r\n", "HTTP/1.0 400 "),
        ("\0\r\n\r\n", "HTTP/1.0 400 "),
    ] {
        let mut stream = UnixStream::connect(world.path("metrics.sock"))?;
        stream.write_all(request.as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        assert!(answer.starts_with(expected), "{answer}");
    }
    Ok(())
}
