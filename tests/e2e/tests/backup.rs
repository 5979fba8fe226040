//! A backup leaves one vault for a recipient whose key OpenSSL made, and comes back in another.
#![forbid(unsafe_code)]

use anyhow::{Result, anyhow, ensure};
use base64ct::{Base64, Encoding};
use nitride_support::plan::Plan;
use nitride_support::program::RunAs;
use nitride_support::world::World;
use std::fs;
use std::process::Output;

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
