//! A backup leaves one vault for a recipient whose key OpenSSL made, and comes back in another.
#![forbid(unsafe_code)]

use anyhow::{Context, Result, anyhow, ensure};
use base64ct::{Base64, Encoding};
use nitride_protocol::KeyType;
use nitride_support::descriptor_store::DescriptorStore;
use nitride_support::plan::Plan;
use nitride_support::program::RunAs;
use nitride_support::world::World;
use nix::sys::signal::Signal;
use std::fs;
use std::process::Output;
use std::sync::Arc;
use std::thread;
use std::time::Instant;

const KEYS: usize = 700;
const KILLS: u32 = 8;

/// Made by `openssl genpkey -algorithm X25519` and `openssl pkey -pubout`, for this test.
const X25519: [&str; 2] = [
    "MC4CAQAwBQYDK2VuBCIEIKCtsI9gRCMSBEU7FUijVkM9wI4PhAj2w+jMgANxxPVS",
    "MCowBQYDK2VuAyEAAc2CER5tTHsRo/Z+Mq6vz8bnJYcZWgeKQg1xGBrzfBs=",
];
/// The same, of P-256.
const P256: [&str; 2] = [
    "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgWt01godopCe0tfXm\n\
     01yLaEYqI8w0joLm+gm7Qmh/KnuhRANCAATGiH/oImnjqk9UUXGuaqU9kGkCIg/E\n\
     iiBF44N3BvUQxZ0UDeLSbHEKrmCT4RRilH0WkWXQnwJnQkPTYZ/Etf5j",
    "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAExoh/6CJp46pPVFFxrmqlPZBpAiIP\n\
     xIogReODdwb1EMWdFA3i0mxxCq5gk+EUYpR9FpFl0J8CZ0JD02GfxLX+Yw==",
];

const ROTATE: &str = r#"
[[rule]]
name = "rotate"
keys = ["**"]
peers = [{ uid = @UID@ }]
operations = ["rotate"]
"#;

fn world(public_key: &str, key: &str) -> Result<World> {
    let mut plan = Plan::vault(ROTATE);
    plan.vhsmd_tables = format!(
        "[[backup-recipient]]\nname = \"recovery\"\npublic-key = \"@DIR@/recovery.pem\"\n{key}"
    );
    let mut world = World::prepare(plan)?;
    let pem = format!("-----BEGIN PUBLIC KEY-----\n{public_key}\n-----END PUBLIC KEY-----\n");
    world.folder.write("recovery.pem", pem.as_bytes())?;
    world.start_vhsmd()?;
    Ok(world)
}

fn vhsm(world: &World, line: &str, input: &[u8]) -> Result<Output> {
    let arguments: Vec<&str> = line.split(' ').collect();
    world.vhsm(&RunAs::default(), &arguments, input)
}

/// What a call that must succeed writes.
fn written(world: &World, line: &str, input: &[u8]) -> Result<Vec<u8>> {
    let output = vhsm(world, line, input)?;
    let told = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{line}: {told}");
    Ok(output.stdout)
}

#[test]
fn a_backup_comes_back_in_another_vault_with_a_key_of_openssl() -> Result<()> {
    for ([private, public], key_type) in [(X25519, "x25519"), (P256, "ec-p256")] {
        let from = world(public, "")?;
        written(&from, "generate app/k --type aes-256-gcm", b"")?;
        written(&from, "rotate app/k", b"")?;
        let sealed = written(&from, "encrypt app/k", b"plain")?;
        let file = from.path("backup");
        let name = file.to_string_lossy();
        written(&from, &format!("backup recovery --out {name}"), b"")?;
        let backup = fs::read(&file)?;
        // The vault that gave it cannot read it.
        let refused = vhsm(&from, "restore", &backup)?;
        assert_eq!(refused.status.code(), Some(1));

        let to = world(public, "key = \"backup/key\"\n")?;
        let refused = vhsm(&to, "restore", &backup)?;
        assert_eq!(refused.status.code(), Some(1), "its key is not there yet");
        let one_line: String = private.split_ascii_whitespace().collect();
        let der = Base64::decode_vec(&one_line).map_err(|fault| anyhow!("{fault}"))?;
        let import = format!("import backup/key --type {key_type} --format pkcs8");
        written(&to, &import, &der)?;
        let mut changed = backup.clone();
        let last = changed.len() - 1;
        changed[last] ^= 1;
        for hostile in [&changed[..], &backup[..last], &backup[..30], b"NVBACKUP"] {
            let refused = vhsm(&to, "restore", hostile)?;
            assert_ne!(refused.status.code(), Some(0));
        }
        let none = vhsm(&to, "describe app/k", b"")?;
        assert_ne!(none.status.code(), Some(0), "nothing came of those");
        assert_eq!(written(&to, "restore", &backup)?, b"1 keys\n");
        assert_eq!(written(&to, "decrypt app/k", &sealed)?, b"plain");
        assert_eq!(written(&to, "restore", &backup)?, b"0 keys\n");
        let log = fs::read_to_string(to.path("vhsmd.log"))?;
        assert!(log.contains("the backup is not genuine"), "{log}");
    }
    Ok(())
}

#[test]
fn a_recipient_that_is_not_pinned_gets_nothing() -> Result<()> {
    let world = world(X25519[1], "")?;
    let refused = vhsm(&world, "backup someone", b"")?;
    assert_ne!(refused.status.code(), Some(0));
    assert!(!refused.stdout.starts_with(b"NVBACKUP"));
    Ok(())
}

/// A vault with many keys, and the parts of its backup.
fn parts() -> Result<Vec<Vec<u8>>> {
    let from = world(X25519[1], "")?;
    let mut client = from.application()?;
    for number in 0..KEYS {
        // Names long enough for several parts.
        let key = format!("app/{number:0150}");
        client.generate(&key, KeyType::HmacSha256, None)?;
    }
    let mut admin = from.admin()?;
    let mut parts = Vec::new();
    let mut cursor: Option<Vec<u8>> = None;
    loop {
        let part = admin.backup("recovery", cursor.as_deref())?;
        parts.push(part.sealed);
        cursor = part.next;
        if cursor.is_none() {
            return Ok(parts);
        }
    }
}

/// How many keys of the backup are there.
fn count(world: &World) -> Result<usize> {
    let mut client = world.application()?;
    let mut found = 0;
    let mut after: Option<String> = None;
    loop {
        let page = client.list("app/", after.as_deref(), 256)?;
        found += page.entries.len();
        after = page.entries.last().map(|entry| entry.key.to_string());
        if !page.more {
            return Ok(found);
        }
    }
}

/// Brings the recipient's key, which opens backups here.
fn bring_key(world: &World) -> Result<()> {
    let der = Base64::decode_vec(X25519[0]).map_err(|fault| anyhow!("{fault}"))?;
    written(
        world,
        "import backup/key --type x25519 --format pkcs8",
        &der,
    )?;
    Ok(())
}

#[test]
fn a_kill_during_a_restore_leaves_all_of_it_or_nothing_for_the_next_process() -> Result<()> {
    let parts = parts()?;
    ensure!(parts.len() >= 2, "{} part", parts.len());
    let (last, before) = parts.split_last().context("a part")?;
    let mut to = world(X25519[1], "key = \"backup/key\"\n")?;
    to.store = Some(Arc::new(DescriptorStore::new(64)));
    to.vhsmd.take().context("vhsmd runs")?.stop()?;
    to.start_vhsmd()?;
    bring_key(&to)?;

    // Parts that do not follow one another, over the socket: each begins anew, and none comes.
    for order in [&[1][..], &[0, 0, 0], &[1, 0], &[0, 1, 1]] {
        let mut admin = to.admin()?;
        let mut results = order.iter().map(|number| admin.restore(&parts[*number]));
        if order == [0, 1, 1] {
            ensure!(results.by_ref().take(2).all(|result| result.is_ok()));
            ensure!(results.next().is_some_and(|result| result.is_err()));
        } else {
            ensure!(results.all(|result| matches!(result, Err(_) | Ok(0))));
            ensure!(count(&to)? == 0);
        }
    }
    ensure!(count(&to)? == KEYS);
    // How long the last part takes, by which the kills below are spread.
    let whole = wiped(&mut to).and_then(|()| {
        let mut admin = to.admin()?;
        for part in before {
            admin.restore(part)?;
        }
        let begun = Instant::now();
        admin.restore(last)?;
        Ok(begun.elapsed())
    })?;

    let mut found = Vec::new();
    for kill in 0..KILLS {
        wiped(&mut to)?;
        let mut admin = to.admin()?;
        for part in before {
            admin.restore(part)?;
        }
        let acknowledged = thread::scope(|scope| -> Result<bool> {
            let restoring = scope.spawn(|| admin.restore(last).is_ok());
            thread::sleep(whole * kill / KILLS);
            to.vhsmd()?.signal(Signal::SIGKILL)?;
            restoring.join().map_err(|_| anyhow!("the client panicked"))
        })?;
        to.vhsmd.take().context("vhsmd ran")?.kill()?;
        to.start_vhsmd()?;
        let there = count(&to)?;
        ensure!(
            there == 0 || there == KEYS,
            "{there} keys after kill {kill}"
        );
        ensure!(
            !acknowledged || there == KEYS,
            "a restore that was acknowledged"
        );
        found.push(there);
    }
    println!("a restore of {KEYS} keys in {whole:?}; found after kills: {found:?}");
    Ok(())
}

/// The vault anew, with nothing but the recipient's key.
fn wiped(world: &mut World) -> Result<()> {
    written(world, "wipe --yes", b"")?;
    drop(world.vhsmd.take());
    world.start_vhsmd()?;
    bring_key(world)
}
