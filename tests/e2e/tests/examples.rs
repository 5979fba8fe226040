//! The configuration that README hands out starts the real programs.
#![forbid(unsafe_code)]

use anyhow::{Context, Result};
use nitride_support::binaries::Binaries;
use nitride_support::folder::Folder;
use nitride_support::initrd;
use nitride_support::owner::Deposit;
use nitride_support::plan::{EVERYTHING, Plan};
use nitride_support::world::World;
use nix::unistd::getuid;
use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/config");

/// A file of the repository, by its path from the examples.
fn read(name: &str) -> Result<String> {
    let path = Path::new(ROOT).join(name);
    std::fs::read_to_string(&path).with_context(|| path.display().to_string())
}

/// An example, with the paths and users of an installation replaced by those of the test.
fn example(world: &World, name: &str) -> Result<String> {
    let text = read(name)?;
    let folder = world.folder.path().display().to_string();
    let caller = format!("uid = {}", getuid());
    // systemd-cryptsetup is root; the test may be anybody.
    let reader = format!("key = \"disk/data\"\nallowed-uids = [{}]", getuid());
    Ok([
        ("/run/credentials/nitride-provisiond.service", &*folder),
        ("/var/lib/nitride-provisiond", &folder),
        (
            "/etc/nitride-provisiond/tls.pem",
            &format!("{folder}/service.pem"),
        ),
        ("/etc/nitride-provisiond", &folder),
        ("/run/cryptsetup-keys.d", &folder),
        ("/var/lib/vhsm", &folder),
        ("/etc/vhsm", &folder),
        ("/etc/nitride", &folder),
        ("/run/nitride", &folder),
        ("/run/vhsm", &folder),
        ("tls.key", "service.key"),
        ("0.0.0.0:8443", "127.0.0.1:0"),
        ("user = \"nitride\"", &caller),
        ("user = \"vhsm\"", &caller),
        ("unit = \"nitride-agent.service\"\n", ""),
        ("unit = \"vhsmd.service\"\n", ""),
        ("key = \"disk/data\"", &reader),
    ]
    .iter()
    .fold(text, |text, (from, to)| text.replace(from, to)))
}

#[test]
fn the_examples_start_every_program_and_fill_a_vault() -> Result<()> {
    let mut world = World::prepare(Plan::chain(""))?;
    let sockets = "\n[sockets]\napplication = \"@DIR@/vhsm.sock\"\nagent = \"@DIR@/agent.sock\"\n\
         credentials = \"@DIR@/credentials.sock\"\n";
    let vault = format!("{}{sockets}", example(&world, "guest/vhsmd.toml")?);
    // Two megabytes more than an ordinary user may lock.
    let vault = world.expand(&vault).replace("8MiB", "3MiB");
    world.folder.write("vhsmd.toml", vault)?;
    world.folder.write(
        "policy.d/web.toml",
        example(&world, "guest/policy.d/web.toml")?,
    )?;
    world
        .folder
        .write("policy.d/test.toml", world.expand(EVERYTHING))?;
    world
        .folder
        .write("quote.toml", example(&world, "guest/quote.toml")?)?;
    let service = example(&world, "service/provisiond.toml")?;
    let service = format!("port-file = \"@DIR@/service.port\"\n{service}");
    world
        .folder
        .write("provisiond.toml", world.expand(&service))?;
    for policy in ["attestation.toml", "resource.toml"] {
        let text = example(&world, &format!("service/{policy}"))?;
        world.folder.write(policy, text)?;
    }

    world.start_quote_as_configured()?;
    world.start_vhsmd()?;
    world.start_service()?;
    let passphrase = b"an example's passphrase";
    world.owner().deposit(&Deposit {
        release_to: vec!["volume:data".to_owned()],
        ..Deposit::secret("disk/secret/data", passphrase)
    })?;
    let agent = example(&world, "guest/agent.toml")?;
    let url = format!("https://{}", world.relay()?.address());
    let agent = agent.replace("https://provision.example:8443", &url);
    world.folder.write("agent.toml", agent)?;
    world.start_agent_as_configured()?;
    let key = nitride_support::cryptsetup::read_key_file(&world.path("data.key"), "data")?;
    assert_eq!(key, passphrase);
    let mut app = world.application()?;
    app.sign("web/session-signing", None, b"message")?;
    Ok(())
}

#[test]
fn the_initrds_examples_start_every_program_and_fetch_a_passphrase() -> Result<()> {
    let mut world = World::prepare(Plan::chain(""))?;
    initrd::configure(&world)?;
    world.start_quote_as_configured()?;
    world.start_vhsmd()?;
    world.start_service()?;
    let passphrase = b"the initrd's passphrase";
    world.owner().deposit(&Deposit {
        release_to: vec!["volume:root".to_owned()],
        ..Deposit::secret("disk/secret/root", passphrase)
    })?;
    initrd::configure_agent(&world)?;
    world.start_agent_as_configured()?;
    let key = nitride_support::cryptsetup::read_key_file(&world.path("root.key"), "root")?;
    assert_eq!(key, passphrase);
    Ok(())
}

#[test]
fn the_initrds_examples_are_read_as_they_stand() -> Result<()> {
    let folder = Folder::new()?;
    let programs = Binaries::find()?;
    // Each is read whole before what it names is looked for, which is not here.
    for (program, file, arguments) in [
        (&programs.unlock, "unlock.toml", &["status", "root"][..]),
        (&programs.quote, "quote.toml", &[]),
    ] {
        let text = read(&format!("initrd/{file}"))?
            .replace("/run/nitride/", "/nonexistent/")
            .replace("user = \"vhsm\"", "uid = 1");
        let config = folder.write(file, text)?;
        let output = Command::new(program)
            .arg("--config")
            .arg(&config)
            .args(arguments)
            .output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            !output.status.success() && !said.contains(&format!("{file}:")),
            "{said}"
        );
    }
    let changes: usize = ["vhsmd.toml", "agent.toml", "unlock.toml"]
        .iter()
        .map(|name| {
            Ok(read(&format!("initrd/{name}"))?
                .matches("# CHANGE (")
                .count())
        })
        .sum::<Result<usize>>()?;
    assert_eq!(changes, 3);
    Ok(())
}

#[test]
fn the_drop_in_loads_every_key_that_the_service_names() -> Result<()> {
    let configuration = read("service/provisiond.toml")?;
    let named: BTreeSet<&str> = configuration
        .split("\"/run/credentials/nitride-provisiond.service/")
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
        .collect();
    let drop_in = read("service/credentials.conf")?;
    let loaded: BTreeSet<&str> = drop_in
        .lines()
        .filter_map(|line| line.strip_prefix("LoadCredentialEncrypted="))
        .collect();
    assert!(!named.is_empty());
    assert_eq!(named, loaded);
    Ok(())
}

#[test]
fn readme_enables_every_socket_that_the_configuration_speaks_of() -> Result<()> {
    let readme = read("../../README.md")?;
    let enabled = readme
        .lines()
        .find(|line| line.starts_with("systemctl enable --now") && line.contains(" vhsmd "))
        .context("README does not enable vhsmd")?;
    let configuration = read("guest/vhsmd.toml")?;
    let volumes: Vec<&str> = configuration
        .lines()
        .filter_map(|line| line.strip_prefix("volume = \"")?.strip_suffix('"'))
        .collect();
    assert!(!volumes.is_empty());
    let mut sockets: Vec<String> = volumes
        .iter()
        .map(|volume| format!(" vhsm-disk@{volume}.socket "))
        .collect();
    if configuration.contains("\n[metrics]\n") {
        sockets.push(" vhsm-metrics.socket ".to_owned());
    }
    for socket in sockets {
        assert!(enabled.contains(&socket), "{enabled} has not {socket}");
    }
    Ok(())
}

#[test]
fn what_the_last_sealed_file_counts_by_stops_after_the_vault() -> Result<()> {
    let unit = read("../../systemd/system/nitride-quote.service")?;
    let (head, _) = unit.split_once("[Service]").context("no service")?;
    // systemd stops in the reverse of this order.
    let is_before = head
        .lines()
        .filter_map(|line| line.strip_prefix("Before="))
        .flat_map(str::split_whitespace)
        .any(|name| name == "vhsmd.service");
    assert!(is_before, "{head}");
    let vault = read("../../systemd/system/vhsmd.service")?;
    assert!(!vault.contains("Before=nitride-quote.service"));
    Ok(())
}
