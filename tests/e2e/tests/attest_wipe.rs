//! Evidence for an application, and the end of every key, with the real programs.
#![forbid(unsafe_code)]

use anyhow::{Context, Result, ensure};
use aws_lc_rs::digest::{SHA384, digest};
use nitride_protocol::{KeyType, Status};
use nitride_support::descriptor_store::DescriptorStore;
use nitride_support::plan::Plan;
use nitride_support::program::RunAs;
use nitride_support::world::{World, outcome};
use std::sync::Arc;
use std::time::Duration;

const ATTEST: &str = r#"
[[rule]]
name = "attest"
keys = ["**"]
peers = [{ uid = @UID@ }]
operations = ["attest"]
"#;

const AUDIT: &str = "[audit]\nfolder = \"@DIR@/audit\"\nfile-size = \"256KiB\"\nfiles = 3\n";

#[test]
fn an_application_has_evidence_made_over_its_data_under_a_label() -> Result<()> {
    let mut world = World::start(Plan::vault(ATTEST))?;
    let attested = world.application()?.attest(b"the caller's nonce")?;
    let hashed = digest(&SHA384, b"nitride attest v1\0the caller's nonce");
    ensure!(attested.report_data == hashed.as_ref());
    ensure!(attested.tee == "sample" && !attested.primary_evidence.is_empty());
    // The same by the command line.
    let output = world.vhsm(&RunAs::default(), &["attest"], b"the caller's nonce")?;
    ensure!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    // Without the helper there is none, and without a rule nobody may ask.
    drop(world.quote.take().map(|quote| quote.kill()));
    let called = world.application()?.attest(b"");
    ensure!(outcome(called)? == Status::EvidenceUnavailable);
    world.set_policy(&Plan::vault("").policy)?;
    ensure!(outcome(world.application()?.attest(b""))? == Status::Denied);
    Ok(())
}

/// A vault whose records are kept, with a key.
fn world() -> Result<World> {
    let mut world = World::prepare(Plan {
        vhsmd_tables: AUDIT.to_owned(),
        ..Plan::vault("")
    })?;
    world.store = Some(Arc::new(DescriptorStore::new(64)));
    world.start_quote()?;
    world.start_vhsmd()?;
    world
        .application()?
        .generate("app/k", KeyType::EcP256, None)?;
    Ok(world)
}

#[test]
fn no_process_finds_a_key_after_a_wipe_and_the_audit_says_who_asked() -> Result<()> {
    let mut world = world()?;
    let asked = world.vhsm(&RunAs::default(), &["wipe", "--yes"], b"")?;
    ensure!(
        asked.status.success(),
        "{}",
        String::from_utf8_lossy(&asked.stderr)
    );
    let vhsmd = world.vhsmd.take().context("vhsmd is not there")?;
    ensure!(vhsmd.wait_exit(Duration::from_secs(10))?.success());
    world.start_vhsmd()?;
    let mut application = world.application()?;
    ensure!(outcome(application.describe("app/k"))? == Status::KeyNotFound);
    // The name is free, and what is made after a wipe stays.
    application.generate("app/k", KeyType::EcP256, None)?;
    let made = application.public_key("app/k", None)?;
    world.vhsmd.take().context("vhsmd is not there")?.kill()?;
    world.start_vhsmd()?;
    ensure!(world.application()?.public_key("app/k", None)? == made);
    let folder = world.path("audit").display().to_string();
    let tail = ["audit", "tail", &folder, "--limit", "1000", "--json"];
    let entries = world.vhsm(&RunAs::default(), &tail, b"")?;
    let entries: serde_json::Value = serde_json::from_slice(&entries.stdout)?;
    let entries = entries.as_array().context("no entries")?;
    let wiped =
        |entry: &&serde_json::Value| entry["operation"] == "wipe" && entry["status"] == "ok";
    ensure!(entries.iter().filter(wiped).count() == 1, "{entries:?}");
    Ok(())
}

#[test]
fn a_crash_right_after_a_wipe_leaves_no_key() -> Result<()> {
    for _ in 0..5 {
        let mut world = world()?;
        world.admin()?.wipe()?;
        world.vhsmd.take().context("vhsmd is not there")?.kill()?;
        world.start_vhsmd()?;
        let mut application = world.application()?;
        ensure!(outcome(application.describe("app/k"))? == Status::KeyNotFound);
        ensure!(application.list("", None, 10)?.entries.is_empty());
    }
    Ok(())
}

#[test]
fn a_wipe_is_the_administrators_to_ask() -> Result<()> {
    let world = world()?;
    ensure!(outcome(world.application()?.wipe())? == Status::UnknownOperation);
    world.application()?.describe("app/k")?;
    Ok(())
}
