//! Phases of a boot, and what is released in them.

use super::{PHASES_PCR, Wanted, enrolled, prepared, restarted, sha256, start};
use anyhow::{Context, Result, ensure};
use nitride_client::Protection;
use nitride_protocol::{KeyType, Status};
use nitride_support::descriptor_store::DescriptorStore;
use nitride_support::world::{World, outcome};
use std::sync::Arc;

const RECORD: &str = "phases";

/// What the register holds when all of these were measured, each under its label.
fn value_of(measured: &[(&str, &str)]) -> String {
    let extend = |held: [u8; 32], (label, name): &(&str, &str)| {
        sha256(&[&held, &sha256(&[label.as_bytes(), name.as_bytes()])])
    };
    let held = measured.iter().fold([0; 32], extend);
    base16ct::lower::encode_string(&held)
}

const INITRD: (&str, &str) = ("nitride-phase:", "initrd");
const INITRD_END: (&str, &str) = ("nitride-phase-end:", "initrd");
const SYSTEM: (&str, &str) = ("nitride-phase:", "system");

/// A service's policy that takes this value of the register.
fn wanting(measured: &[(&str, &str)]) -> Wanted {
    let value = value_of(measured);
    Wanted {
        init_data: "any",
        pcrs: format!(", {PHASES_PCR} = \"{value}\""),
    }
}

/// The service again, with another policy.
fn judged_by(world: &mut World, pins: &str, wanted: &Wanted) -> Result<()> {
    drop(world.service.take());
    world
        .folder
        .write("attestation.toml", wanted.policy(pins))?;
    world.start_service()
}

fn second(world: &World) -> Result<Status> {
    outcome(world.application()?.release("app/second", None))
}

#[test]
fn a_phase_is_measured_once_and_evidence_says_which_it_is() -> Result<()> {
    let boot = "[boot]\nphase = \"system\"\n";
    let (mut world, _tpm) = prepared("ec-p256", boot, Some("pcr-12"))?;
    world.start_quote()?;
    let pins = enrolled(&world)?;
    start(&mut world, &pins, &wanting(&[SYSTEM]))?;
    let released = world.application()?.release("app/secret", None)?;
    ensure!(&**released.secret == b"correct horse");
    // A vault that is started again is in its phase as before.
    restarted(&mut world, "system", "system")?;
    let released = world.application()?.release("app/second", None)?;
    ensure!(&**released.secret == b"battery staple");
    // What is for one phase is not for the next.
    world.admin()?.end_phase(Protection::None)?;
    restarted(&mut world, "\"system\"", "\"later\"")?;
    ensure!(second(&world)? != Status::Ok);
    // And there is no way back.
    let refused = restarted(&mut world, "\"later\"", "\"system\"");
    let refused = format!("{:#}", refused.err().context("it starts")?);
    ensure!(refused.contains("begin the phase"), "{refused}");
    Ok(())
}

#[test]
fn a_phase_that_is_not_measured_does_not_begin() -> Result<()> {
    let boot = "[boot]\nphase = \"system\"\n";
    // Without a register, and with one that something else extends.
    for register in [None, Some("pcr-12")] {
        let (mut world, tpm) = prepared("ec-p256", boot, register)?;
        world.start_quote()?;
        if register.is_some() {
            world.start_vhsmd()?;
            drop(world.vhsmd.take());
            tpm.extend_by(PHASES_PCR, &[7; 32])?;
        }
        let refused = world.start_vhsmd().err().context("it starts")?;
        let refused = format!("{refused:#}");
        ensure!(refused.contains("begin the phase"), "{refused}");
    }
    Ok(())
}

#[test]
fn after_the_end_of_a_phase_nothing_is_attested_as_it() -> Result<()> {
    let boot = "[boot]\nphase = \"initrd\"\n";
    let (mut world, _tpm) = prepared("ec-p256", boot, Some("pcr-12"))?;
    world.start_quote()?;
    let pins = enrolled(&world)?;
    start(&mut world, &pins, &wanting(&[INITRD]))?;
    world.application()?.release("app/secret", None)?;
    // The next does not begin before this one has ended, and says which it is.
    let refused = restarted(&mut world, "\"initrd\"", "\"system\"");
    ensure!(refused.is_err());
    let logs = world.logs();
    ensure!(
        logs.contains("initrd\\\" has not ended: the vault of that phase"),
        "{logs}"
    );
    restarted(&mut world, "\"system\"", "\"initrd\"")?;
    ensure!(!world.admin()?.end_phase(Protection::Verity)?);
    // A system that leaves its phase out is no initrd: it has no evidence at all ...
    restarted(&mut world, "phase =", "# phase =")?;
    ensure!(second(&world)? == Status::EvidenceUnavailable);
    let logs = world.logs();
    ensure!(logs.contains("no other has begun since"), "{logs}");
    // ... nor, from a helper that knows of no phases, any that is the initrd's.
    let with_phases = world.plan.quote_tables.clone();
    let (without, _) = with_phases.split_once("[phases]").context("a table")?;
    world.plan.quote_tables = without.to_owned();
    drop(world.quote.take());
    world.start_quote()?;
    restarted(&mut world, "[boot]", "[boot]")?;
    let refused = second(&world)?;
    ensure!(
        !matches!(refused, Status::Ok | Status::EvidenceUnavailable),
        "{refused:?}"
    );
    // The system's own is what a verifier predicts.
    world.plan.quote_tables = with_phases;
    drop(world.quote.take());
    world.start_quote()?;
    restarted(&mut world, "# phase = \"initrd\"", "phase = \"system\"")?;
    ensure!(second(&world)? != Status::Ok);
    judged_by(&mut world, &pins, &wanting(&[INITRD, INITRD_END, SYSTEM]))?;
    restarted(&mut world, "[boot]", "[boot]")?;
    let released = world.application()?.release("app/second", None)?;
    ensure!(&**released.secret == b"battery staple");
    Ok(())
}

#[test]
fn keys_go_along_into_a_verified_root_and_the_register_says_so() -> Result<()> {
    let boot = "[boot]\nphase = \"initrd\"\nacross-switch-root = \"keep\"\n";
    let (mut world, _tpm) = prepared("ec-p256", boot, Some("pcr-12"))?;
    world.store = Some(Arc::new(DescriptorStore::new(64)));
    world.start_quote()?;
    let pins = enrolled(&world)?;
    start(&mut world, &pins, &wanting(&[INITRD]))?;
    world.application()?.release("app/secret", None)?;
    ensure!(world.admin()?.end_phase(Protection::Verity)?);
    let vhsmd = world.vhsmd.take().context("vhsmd is not there")?;
    ensure!(vhsmd.stop()?.success());
    restarted(&mut world, "\"initrd\"", "\"system\"")?;
    let released = world.application()?.release("app/secret", None)?;
    ensure!(&**released.secret == b"correct horse");
    // What was not fetched there is not the initrd's to fetch any more.
    ensure!(second(&world)? != Status::Ok);
    Ok(())
}

#[test]
fn a_release_is_measured_or_is_not_done_and_evidence_says_so() -> Result<()> {
    const LOCAL: &str = r#"
[[key]]
name = "app/local"
type = "secret"
source = "local"
operations = ["release"]
release-to = [{ uid = @UID@ }]
measure-release = true
"#;
    let boot = "[boot]\nphase = \"system\"\n";
    let (mut world, tpm) = prepared("ec-p256", boot, Some("pcr-12"))?;
    world.plan.policy = world.plan.policy.replacen(
        "operations = [\"release\"]",
        "measure-release = true\noperations = [\"release\"]",
        1,
    );
    world.plan.policy.push_str(LOCAL);
    let policy = world.expand(&world.plan.policy);
    world.folder.write("policy.d/test.toml", policy)?;
    world.start_quote()?;
    let pins = enrolled(&world)?;
    start(&mut world, &pins, &wanting(&[SYSTEM]))?;
    for _ in 0..2 {
        let released = world.application()?.release("app/secret", None)?;
        ensure!(&**released.secret == b"correct horse");
    }
    // A service that releases to who has released nothing releases no more.
    ensure!(second(&world)? != Status::Ok);
    let released = ("nitride-release:", "app/secret");
    judged_by(&mut world, &pins, &wanting(&[SYSTEM, released]))?;
    restarted(&mut world, "[boot]", "[boot]")?;
    let secret = world.application()?.release("app/second", None)?;
    ensure!(&**secret.secret == b"battery staple");
    // Once a boot, whoever serves.
    world.application()?.release("app/secret", None)?;
    let record = std::fs::read_to_string(world.path(RECORD))?;
    ensure!(
        record.matches(" release app/secret").count() == 1,
        "{record}"
    );
    world
        .admin()?
        .import("app/local", KeyType::Secret, None, b"mine")?;
    tpm.extend_by(PHASES_PCR, &[7; 32])?;
    let refused = outcome(world.application()?.release("app/local", None))?;
    ensure!(refused == Status::EvidenceUnavailable, "{refused:?}");
    Ok(())
}
