//! The command line, as a script would use it.
#![forbid(unsafe_code)]

use anyhow::{Context, Result};
use nitride_support::plan::Plan;
use nitride_support::program::RunAs;
use nitride_support::world::World;
use serde_json::Value;
use std::process::Output;

/// The command line at the world's sockets, as whoever runs the tests.
fn vhsm(world: &World, arguments: &[&str], input: &[u8]) -> Result<Output> {
    world.vhsm(&RunAs::default(), arguments, input)
}

/// What a call that must succeed writes.
fn written(world: &World, arguments: &[&str], input: &[u8]) -> Result<Vec<u8>> {
    let output = vhsm(world, arguments, input)?;
    anyhow::ensure!(
        output.status.success(),
        "{arguments:?}: {}: {}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(output.stdout)
}

fn json(world: &World, arguments: &[&str], input: &[u8]) -> Result<Value> {
    let mut words = vec!["--json"];
    words.extend_from_slice(arguments);
    let text = written(world, &words, input)?;
    serde_json::from_slice(&text).with_context(|| format!("{arguments:?} prints no JSON"))
}

fn world() -> Result<World> {
    World::start(Plan::vault(
        r#"
[[key]]
name = "app/secret"
type = "secret"
source = "local"
operations = ["release"]
release-to = [{ uid = @UID@ }]
"#,
    ))
}

#[test]
fn a_message_is_signed_and_verified_by_files() -> Result<()> {
    let world = world()?;
    written(&world, &["generate", "app/k", "--type", "ec-p256"], b"")?;
    let message = world.folder.write("message", b"a message")?;
    let signature = world.path("signature");
    let (message, signature) = (message.to_string_lossy(), signature.to_string_lossy());
    written(
        &world,
        &["sign", "app/k", "--in", &message, "--out", &signature],
        b"",
    )?;
    assert_eq!(std::fs::read(&*signature)?.len(), 64);
    let verify = ["verify", "app/k", "--signature", &signature];
    written(&world, &verify, b"a message")?;
    let forged = vhsm(&world, &verify, b"another message")?;
    assert_eq!(forged.status.code(), Some(1));
    let pem = written(&world, &["public-key", "app/k"], b"")?;
    assert!(pem.starts_with(b"-----BEGIN PUBLIC KEY-----"));
    Ok(())
}

#[test]
fn bytes_are_encrypted_and_decrypted_over_pipes() -> Result<()> {
    let world = world()?;
    written(
        &world,
        &["generate", "app/data", "--type", "aes-256-gcm-siv"],
        b"",
    )?;
    let aad = world.folder.write("aad", b"context")?;
    let aad = aad.to_string_lossy();
    let plain = vec![0xa5; 50_000];
    let sealed = written(&world, &["encrypt", "app/data", "--aad", &aad], &plain)?;
    assert!(sealed.starts_with(b"NV"));
    assert_eq!(
        written(&world, &["decrypt", "app/data", "--aad", &aad], &sealed)?,
        plain
    );
    let without = vhsm(&world, &["decrypt", "app/data"], &sealed)?;
    assert_eq!(without.status.code(), Some(1));
    assert_eq!(without.stdout, b"");
    Ok(())
}

#[test]
fn a_secret_goes_in_by_standard_input_and_comes_out_whole() -> Result<()> {
    let world = world()?;
    let secret = b"bytes \x00 of a secret\n";
    written(
        &world,
        &["import", "app/secret", "--type", "secret"],
        secret,
    )?;
    assert_eq!(written(&world, &["release", "app/secret"], b"")?, secret);
    let out = world.path("secret");
    let path = out.to_string_lossy();
    written(&world, &["release", "app/secret", "--out", &path], b"")?;
    let mode = std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(&out)?);
    assert_eq!(mode & 0o777, 0o600);
    Ok(())
}

#[test]
fn json_says_what_the_text_says() -> Result<()> {
    let world = world()?;
    let made = json(&world, &["generate", "app/k", "--type", "hmac-sha256"], b"")?;
    assert_eq!(made["version"], 1);
    let described = json(&world, &["describe", "app/k"], b"")?;
    assert!(described.to_string().contains("hmac-sha256"), "{described}");
    let listed = json(&world, &["list"], b"")?;
    assert!(listed.to_string().contains("app/k"), "{listed}");
    let status = json(&world, &["status"], b"")?;
    assert!(status.to_string().contains("sample"), "{status}");
    let refused = vhsm(&world, &["--json", "describe", "app/none"], b"")?;
    assert_eq!(refused.status.code(), Some(1));
    let error: Value = serde_json::from_slice(&refused.stderr)?;
    assert!(error.to_string().contains("key-not-found"), "{error}");
    Ok(())
}

#[test]
fn the_whole_life_of_a_key_can_be_told_from_the_command_line() -> Result<()> {
    let world = world()?;
    written(&world, &["generate", "app/k", "--type", "hmac-sha256"], b"")?;
    let tag = world.path("tag");
    let tag = tag.to_string_lossy();
    written(&world, &["mac", "app/k", "--out", &tag], b"data")?;
    written(&world, &["verify-mac", "app/k", "--tag", &tag], b"data")?;
    written(&world, &["disable", "app/k"], b"")?;
    assert_eq!(
        vhsm(&world, &["mac", "app/k"], b"data")?.status.code(),
        Some(1)
    );
    written(&world, &["enable", "app/k"], b"")?;
    written(&world, &["mac", "app/k"], b"data")?;
    written(&world, &["destroy", "app/k"], b"")?;
    assert_eq!(
        vhsm(&world, &["mac", "app/k"], b"data")?.status.code(),
        Some(1)
    );
    assert_eq!(written(&world, &["random", "24"], b"")?.len(), 24);
    written(&world, &["reload"], b"")?;
    Ok(())
}

#[test]
fn exit_codes_tell_apart_what_a_script_must() -> Result<()> {
    let mut world = world()?;
    assert_eq!(
        vhsm(&world, &["describe", "../k"], b"")?.status.code(),
        Some(2)
    );
    let absent = vhsm(&world, &["sign", "app/k", "--in", "/nowhere/at/all"], b"")?;
    assert_eq!(absent.status.code(), Some(5));
    world.vhsmd.take().context("vhsmd runs")?.stop()?;
    let output = vhsm(&world, &["status"], b"")?;
    assert_eq!(output.status.code(), Some(3));
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        text.contains("vhsm.sock") && text.contains("remedy"),
        "{text}"
    );
    Ok(())
}
