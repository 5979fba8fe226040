//! The command line's newer verbs against a vault: data of any length, public halves, requests for
//! certificates, keys of keys, and administration.
#![forbid(unsafe_code)]

use anyhow::{Result, ensure};
use nitride_support::plan::Plan;
use nitride_support::program::RunAs;
use nitride_support::world::World;
use std::fs;
use std::process::Output;

fn vhsm(world: &World, arguments: &[&str], input: &[u8]) -> Result<Output> {
    world.vhsm(&RunAs::default(), arguments, input)
}

/// What a call that must succeed writes.
fn written(world: &World, line: &str, input: &[u8]) -> Result<String> {
    let arguments: Vec<&str> = line.split(' ').collect();
    let output = vhsm(world, &arguments, input)?;
    ensure!(
        output.status.success(),
        "{line}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8(output.stdout)?)
}

fn world() -> Result<World> {
    World::start(Plan::vault(
        r#"
[[rule]]
name = "more"
keys = ["app/**"]
peers = [{ uid = @UID@ }]
operations = ["derive", "encrypt-buffer", "decrypt-buffer"]
"#,
    ))
}

#[test]
fn a_long_file_is_encrypted_and_appears_again_only_if_it_is_genuine() -> Result<()> {
    let world = world()?;
    written(&world, "generate app/bulk --type aes-256-gcm", b"")?;
    let plain: Vec<u8> = (0..=250).cycle().take(2_500_001).collect();
    let source = world.folder.write("plain", &plain)?;
    let (sealed, opened) = (world.path("sealed"), world.path("opened"));
    let (source, sealed_name) = (source.to_string_lossy(), sealed.to_string_lossy());
    let opened_name = opened.to_string_lossy();
    let encrypt = format!("encrypt app/bulk --in {source} --out {sealed_name}");
    written(&world, &encrypt, b"")?;
    let decrypt = format!("decrypt app/bulk --in {sealed_name} --out {opened_name}");
    written(&world, &decrypt, b"")?;
    ensure!(fs::read(&opened)? == plain);
    fs::remove_file(&opened)?;

    let mut damaged = fs::read(&sealed)?;
    let last = damaged.len() - 1;
    damaged[last] ^= 1;
    fs::write(&sealed, &damaged)?;
    let refused = vhsm(&world, &decrypt.split(' ').collect::<Vec<_>>(), b"")?;
    assert_eq!(refused.status.code(), Some(1));
    assert!(!opened.exists(), "nothing of it is given out");
    // Nor to a pipe, which cannot be taken back.
    damaged[last] ^= 1;
    let piped = vhsm(&world, &["decrypt", "app/bulk"], &damaged)?;
    assert_eq!((piped.status.code(), piped.stdout.len()), (Some(2), 0));
    Ok(())
}

#[test]
fn a_public_half_and_a_certificate_request_come_in_the_forms_that_others_read() -> Result<()> {
    let world = world()?;
    written(&world, "generate app/ed --type ed25519", b"")?;
    let line = written(&world, "public-key app/ed --format openssh", b"")?;
    assert!(line.starts_with("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5"));
    let jwk = written(&world, "public-key app/ed --format jwk", b"")?;
    assert!(jwk.contains(r#""crv":"Ed25519""#));
    written(&world, "generate app/tls --type ec-p384", b"")?;
    let csr = "csr app/tls --subject CN=web,O=Example --san web.example.org";
    let pem = written(&world, csr, b"")?;
    assert!(pem.starts_with("-----BEGIN CERTIFICATE REQUEST-----"));
    written(&world, "generate app/dh --type x25519", b"")?;
    let none = ["csr", "app/dh", "--subject", "CN=web"];
    assert_eq!(vhsm(&world, &none, b"")?.status.code(), Some(1));
    Ok(())
}

#[test]
fn a_key_is_rotated_limited_and_explained() -> Result<()> {
    let world = world()?;
    written(&world, "generate app/k --type hmac-sha384", b"")?;
    assert_eq!(written(&world, "rotate app/k", b"")?, "app/k version 2\n");
    written(&world, "set-policy app/k --max-uses 2", b"")?;
    let derive = "derive app/k --new-key app/child --type hmac-sha256";
    assert_eq!(written(&world, derive, b"")?, "app/child version 1\n");
    written(&world, "--json mac app/k", b"data")?;
    let spent = vhsm(&world, &["mac", "app/k"], b"data")?;
    assert_eq!(spent.status.code(), Some(1));
    let nobody = "policy explain app/k mac --peer uid=4000000";
    assert!(written(&world, nobody, b"")?.starts_with("denied\n"));
    let policy = world.folder.write("bad.toml", b"[[rule]]\nname = 1\n")?;
    let policy = policy.to_string_lossy();
    let faults = vhsm(&world, &["policy", "check", &policy], b"")?;
    assert_eq!(faults.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&faults.stderr).contains("bad.toml:2"));
    Ok(())
}
