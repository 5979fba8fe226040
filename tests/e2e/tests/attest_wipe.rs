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

const WITNESS: &str = r#"
[[rule]]
name = "witness"
keys = ["**"]
peers = [{ uid = @UID@ }]
operations = ["attest", "audit-head"]
"#;

/// SHA-384 as the CDDL has it, from what the reply says and the caller's data.
fn over_head(sequence: u64, head: &[u8], data: &[u8]) -> Vec<u8> {
    let mut hashed = b"nitride audit head v1\0".to_vec();
    hashed.extend(sequence.to_be_bytes());
    hashed.extend_from_slice(head);
    hashed.extend_from_slice(data);
    digest(&SHA384, &hashed).as_ref().to_vec()
}

#[test]
fn the_head_of_the_audit_is_attested_and_nothing_else_looks_like_it() -> Result<()> {
    let mut world = World::start(Plan {
        vhsmd_tables: AUDIT.to_owned(),
        ..Plan::vault(WITNESS)
    })?;
    let mut application = world.application()?;
    let before = application.audit_head()?;
    let attested = application.attest_audit_head(b"the witness's nonce")?;
    let head = attested.audit_head.context("no head")?;
    ensure!(head.sequence >= before.sequence && head.sequence > 0);
    let expected = over_head(head.sequence, &head.digest, b"the witness's nonce");
    ensure!(attested.report_data == expected.as_slice());
    // An application's own data, which may be anything, is hashed under another label.
    let mut forged = head.sequence.to_be_bytes().to_vec();
    forged.extend_from_slice(&head.digest);
    let own = application.attest(&forged)?;
    ensure!(own.audit_head.is_none());
    ensure!(own.report_data != over_head(head.sequence, &head.digest, b"").as_slice());

    // The same by the command line, and verified with the files later on.
    let asked = ["attest", "--audit-head", "--json"];
    let output = world.vhsm(&RunAs::default(), &asked, b"nonce")?;
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.success(), "{error}");
    application.generate("app/after", KeyType::EcP256, None)?;
    let said = world.path("attested.json");
    std::fs::write(&said, &output.stdout)?;
    std::fs::write(world.path("nonce"), b"nonce")?;
    std::fs::write(world.path("other"), b"another nonce")?;
    let (folder, said) = (world.path("audit"), said.display().to_string());
    let verify = |world: &World, data: &str| -> Result<bool> {
        let (folder, data) = (folder.display().to_string(), world.path(data));
        let data = data.display().to_string();
        let asked = [
            "audit",
            "verify",
            &folder,
            "--attested",
            &said,
            "--data",
            &data,
        ];
        Ok(world.vhsm(&RunAs::default(), &asked, b"")?.status.success())
    };
    ensure!(verify(&world, "nonce")?);
    ensure!(!verify(&world, "other")?);
    // Who may attest and not read the head gets no evidence over it.
    world.set_policy(&format!("{}\n{ATTEST}", Plan::vault("").policy))?;
    let mut application = world.application()?;
    ensure!(outcome(application.attest_audit_head(b""))? == Status::Denied);
    application.attest(b"")?;
    // Files that were cut off do not have it any more.
    world.vhsmd()?.kill()?;
    for entry in std::fs::read_dir(&folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|end| end == "audit") {
            let mut bytes = std::fs::read(&path)?;
            bytes[8..].fill(0);
            std::fs::write(&path, bytes)?;
        }
    }
    ensure!(!verify(&world, "nonce")?);
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
