//! The key-file socket of systemd-cryptsetup: the abstract name of the client selects the volume,
//! its uid authenticates.
#![forbid(unsafe_code)]

use anyhow::{Context, Result};
use nitride_protocol::Status;
use nitride_support::binaries::Binaries;
use nitride_support::cryptsetup::{read_key_file, read_key_file_saying, test_passphrase};
use nitride_support::http::HttpMessage;
use nitride_support::owner::Deposit;
use nitride_support::plan::Plan;
use nitride_support::program::wait_until;
use nitride_support::relay::{Fate, Honest, OnRequest};
use nitride_support::unit::is_root_or_says_so;
use nitride_support::world::{World, outcome};
use std::process::Command;
use std::time::{Duration, Instant};

const PASSPHRASE: &[u8] = b"a passphrase of 256 bits, or so it is said";

const KEYS: &str = r#"
[[key]]
name = "disk/root"
type = "secret"
source = "kbs:///demo/disk/root"
service = "main"
signer = "owner"
operations = ["release"]
release-to = [{ volume = "root" }]
"#;

const SOCKETS: &str = r#"
[[disk-key]]
volume = "root"
socket = "@DIR@/root.key"
key = "disk/root"
allowed-uids = [@UID@]
timeout = "20s"
"#;

fn world() -> Result<World> {
    let mut plan = Plan::chain(KEYS);
    plan.vhsmd_tables = SOCKETS.to_owned();
    let world = World::start(plan)?;
    world
        .owner()
        .deposit(&Deposit::secret("demo/disk/root", PASSPHRASE))?;
    Ok(world)
}

#[test]
fn a_volume_gets_its_passphrase_and_nothing_after_it() -> Result<()> {
    let world = world()?;
    assert_eq!(read_key_file(&world.path("root.key"), "root")?, PASSPHRASE);
    // And again, without a second round.
    assert_eq!(read_key_file(&world.path("root.key"), "root")?, PASSPHRASE);
    assert_eq!(world.relay()?.count("POST", "/kbs/v0/auth"), 1);
    Ok(())
}

#[test]
fn the_passphrase_unlocks_a_luks2_volume() -> Result<()> {
    let world = world()?;
    let read = read_key_file(&world.path("root.key"), "root")?;
    let image = world.path("disk.img");
    let Some(unlocked) = test_passphrase(&image, PASSPHRASE, &read)? else {
        eprintln!("SKIPPED: cryptsetup is not installed");
        return Ok(());
    };
    assert!(unlocked);
    assert_eq!(
        test_passphrase(&image, PASSPHRASE, b"another")?,
        Some(false)
    );
    Ok(())
}

#[test]
fn a_client_that_names_another_volume_gets_nothing() -> Result<()> {
    let world = world()?;
    for volume in ["home", "", "root/", "../root", "root\u{0}"] {
        assert_eq!(
            read_key_file(&world.path("root.key"), volume)?,
            b"",
            "{volume:?}"
        );
    }
    assert_eq!(world.relay()?.count("POST", "/kbs/v0/auth"), 0);
    Ok(())
}

#[test]
fn a_client_without_the_conventional_name_gets_nothing() -> Result<()> {
    use std::io::Read;
    let world = world()?;
    let mut unnamed = std::os::unix::net::UnixStream::connect(world.path("root.key"))?;
    unnamed.set_read_timeout(Some(Duration::from_secs(20)))?;
    let mut read = Vec::new();
    unnamed.read_to_end(&mut read)?;
    assert_eq!(read, b"");
    Ok(())
}

#[test]
fn a_foreign_user_gets_nothing_even_under_the_right_name() -> Result<()> {
    if !is_root_or_says_so("a_foreign_user_gets_nothing_even_under_the_right_name") {
        return Ok(());
    }
    let world = world()?;
    // Past the first lock, the socket's mode, stands the second.
    std::fs::set_permissions(
        world.path("root.key"),
        std::os::unix::fs::PermissionsExt::from_mode(0o777),
    )?;
    let script = format!(
        "import os,socket\nos.setgid(4321); os.setuid(4321)\ns=socket.socket(socket.AF_UNIX)\n\
         s.bind('\\0abcdef01/cryptsetup/root')\ntry:\n  s.connect({:?})\n  print(len(s.recv(100)))\n\
         except OSError: print(0)\n",
        world.path("root.key").display().to_string()
    );
    let output = Command::new("/usr/bin/python3")
        .args(["-c", &script])
        .output()?;
    assert_eq!(
        String::from_utf8_lossy(&output.stdout).trim(),
        "0",
        "{output:?}"
    );
    Ok(())
}

#[test]
fn the_connection_is_held_while_the_service_is_away() -> Result<()> {
    let world = world()?;
    world
        .relay()?
        .meddle(OnRequest(|_: &mut HttpMessage| Fate::Drop));
    let socket = world.path("root.key");
    let relay = world.relay()?;
    let waiting = std::thread::spawn(move || read_key_file(&socket, "root"));
    wait_until("the agent has tried", Duration::from_secs(10), || {
        Ok(world.agent()?.log().lines().count() > 3)
    })?;
    assert!(!waiting.is_finished(), "the vault gave up");
    relay.meddle(Honest);
    let read = waiting.join().ok().context("no panic")??;
    assert_eq!(read, PASSPHRASE);
    Ok(())
}

#[test]
fn applications_do_not_get_what_is_for_a_volume() -> Result<()> {
    let world = world()?;
    let mut app = world.application()?;
    assert_eq!(outcome(app.release("disk/root", None))?, Status::Denied);
    Ok(())
}

/// A line that says of no volume here.
const ELSEWHERE: &str = "luks2:7dfa3aba-96d9-4de6-90e8-45d3d2d0d897:aes-xts-plain64:512:16777216:\
    dynamic:4096:none:BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc";

/// nitride-unlock, over the volume in the world's `image`, with any header taken.
fn unlock(world: &World, image: &str, verb: &[&str]) -> Result<(bool, String)> {
    let folder = world.path("");
    let folder = folder.display();
    let configuration = world.path("unlock.toml");
    std::fs::write(
        &configuration,
        format!(
            "key-files = \"{folder}\"\n[[volume]]\nname = \"root\"\ndevice = \"{folder}/{image}\"\n\
             danger-any-header = true\ntimeout-secs = 20\n"
        ),
    )?;
    let output = Command::new(&Binaries::find()?.unlock)
        .arg("--config")
        .arg(&configuration)
        .args(verb)
        .output()?;
    let said = [output.stdout, output.stderr].concat();
    Ok((
        output.status.success(),
        String::from_utf8_lossy(&said).into_owned(),
    ))
}

/// What `nitride-unlock status` says that a volume is.
fn disk_of(world: &World, image: &str) -> Result<String> {
    let (is_told, said) = unlock(world, image, &["status", "root"])?;
    anyhow::ensure!(is_told, "{said}");
    let line = said.lines().find_map(|line| line.strip_prefix("expect   "));
    Ok(line.context("nothing to expect")?.to_owned())
}

#[test]
fn a_passphrase_for_one_volume_goes_to_no_other_that_has_it_in_a_slot() -> Result<()> {
    if !is_root_or_says_so("a_passphrase_for_one_volume_goes_to_no_other_that_has_it_in_a_slot") {
        return Ok(());
    }
    let mut plan = Plan::chain(KEYS);
    plan.vhsmd_tables = SOCKETS.to_owned();
    let world = World::start(plan)?;
    // Two volumes, either of which the passphrase unlocks: ours, and the host's.
    for image in ["ours", "theirs"] {
        let made = test_passphrase(&world.path(image), PASSPHRASE, PASSPHRASE)?;
        if made.is_none() {
            eprintln!("SKIPPED: cryptsetup is not installed");
            return Ok(());
        }
    }
    let ours = disk_of(&world, "ours")?;
    world.owner().deposit(&Deposit {
        disks: &[ELSEWHERE, &ours],
        ..Deposit::secret("demo/disk/root", PASSPHRASE)
    })?;
    let (opens, said) = unlock(&world, "theirs", &["open", "root", "--dry-run"])?;
    assert!(!opens, "{said}");
    let (opens, said) = unlock(&world, "ours", &["open", "root", "--dry-run"])?;
    assert!(opens, "{said}");
    // Which the doctor finds out, where nothing else says which volume it has to be.
    let doctor = ["doctor", "root", "--initrd", "/nonexistent"];
    let (_, said) = unlock(&world, "ours", &doctor)?;
    assert!(said.contains("ok    root expectation: the vault"), "{said}");
    // Who says nothing, as systemd-cryptsetup does, has none of it either.
    assert_eq!(read_key_file(&world.path("root.key"), "root")?, b"");
    let log = world.vhsmd()?.log();
    assert!(log.contains("the volume's is none of them"), "{log}");
    assert!(log.contains("nothing was said of the volume's"), "{log}");
    Ok(())
}

#[test]
fn a_client_that_says_what_is_no_disk_gets_nothing_and_takes_no_time() -> Result<()> {
    let world = world()?;
    let socket = world.path("root.key");
    let began = Instant::now();
    for (said, is_ended) in [
        (&b"luks2"[..], true),
        (format!("{ELSEWHERE}\n").as_bytes(), true),
        (&[b'a'; 256], true),
        (&[b'a'; 100_000], false),
        (ELSEWHERE.as_bytes(), false),
    ] {
        assert_eq!(
            read_key_file_saying(&socket, "root", said, is_ended)?,
            b"",
            "{said:?}"
        );
    }
    assert!(began.elapsed() < Duration::from_secs(15));
    assert_eq!(world.relay()?.count("POST", "/kbs/v0/auth"), 0);
    // Who says a disk of a passphrase that is for any gets it, and so does who says nothing for ever.
    let any = read_key_file_saying(&socket, "root", ELSEWHERE.as_bytes(), true)?;
    assert_eq!(any, PASSPHRASE);
    assert_eq!(
        read_key_file_saying(&socket, "root", b"", false)?,
        PASSPHRASE
    );
    Ok(())
}

#[test]
fn a_passphrase_for_any_volume_is_no_expectation_to_the_doctor() -> Result<()> {
    if !is_root_or_says_so("a_passphrase_for_any_volume_is_no_expectation_to_the_doctor") {
        return Ok(());
    }
    let world = world()?;
    if test_passphrase(&world.path("ours"), PASSPHRASE, PASSPHRASE)?.is_none() {
        eprintln!("SKIPPED: cryptsetup is not installed");
        return Ok(());
    }
    let doctor = ["doctor", "root", "--initrd", "/nonexistent"];
    let (_, said) = unlock(&world, "ours", &doctor)?;
    assert!(
        said.contains("ok    root round: the volume unlocks by root"),
        "{said}"
    );
    assert!(said.contains("FAIL  root expectation: any sound"), "{said}");
    Ok(())
}
