//! Sealed by a TPM, with and without its counter.

use super::world::{
    Made, PATIENCE, check_not_open, end, file, plan, prepared, reboot, seal, wait_for,
};
use anyhow::{Context, Result, ensure};
use nitride_protocol::{KeyState, KeyType, Status};
use nitride_support::program::wait_until;
use nitride_support::swtpm::{COUNTER_INDEX, PCR, Swtpm};
use nitride_support::world::{World, outcome};
use std::fs;

const TPM: &str = "[seal]\nfolder = \"@DIR@/seal\"\nplatform = \"tpm\"\n";
pub(super) const COUNTED: &str =
    "[seal]\nfolder = \"@DIR@/seal\"\nplatform = \"tpm\"\ncounter = true\n";

const LIMITED: &str = r#"
[[key]]
name = "app/limited"
type = "hmac-sha256"
source = "local"
operations = ["mac"]
max-uses = 5
seal = true
"#;

/// A world with a TPM of its own, and what nitride-quote is told of it.
pub(super) fn with_tpm(settings: &str, policy: &str) -> Result<(World, Swtpm)> {
    let mut world = prepared(plan(settings, policy))?;
    let tpm = Swtpm::start(&world.folder)?;
    let counter = match settings.contains("counter = true") {
        true => format!("counter-index = {COUNTER_INDEX:#x}\n"),
        false => String::new(),
    };
    world.plan.quote_tables = format!(
        "[seal]\nplatform = \"tpm\"\ntcti = \"{}\"\npcrs = [{PCR}]\n{counter}",
        tpm.tcti()
    );
    world.start_quote()?;
    world.start_vhsmd()?;
    wait_for(&world, "open")?;
    Ok((world, tpm))
}

pub(super) fn all_files(world: &World) -> Result<Vec<(String, Vec<u8>)>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(world.path("seal"))? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        files.push((name, fs::read(entry.path())?));
    }
    Ok(files)
}

#[test]
fn a_tpm_brings_keys_back_in_the_state_it_sealed_them_in_and_in_no_other() -> Result<()> {
    let (mut world, mut tpm) = with_tpm(TPM, "")?;
    let made = Made::make(&world)?;
    reboot(&mut world)?;
    wait_for(&world, "open")?;
    made.check(&world)?;
    let sealed = fs::read(file(&world))?;

    // Something else was started.
    end(&mut world)?;
    tpm.extend()?;
    world.start_vhsmd()?;
    check_not_open(&world, "closed", "platform-changed")?;
    ensure!(fs::read(file(&world))? == sealed);

    // No TPM at all.
    end(&mut world)?;
    tpm.stop();
    world.start_vhsmd()?;
    check_not_open(&world, "closed", "platform-absent")?;

    // A boot as it was, and what was closed opens without a restart of vhsmd.
    tpm.restart()?;
    wait_for(&world, "open")?;
    made.check(&world)?;

    // The TPM of another machine.
    end(&mut world)?;
    let sealed = fs::read(file(&world))?;
    drop(tpm);
    fs::rename(world.path("swtpm"), world.path("swtpm.before"))?;
    let other = Swtpm::start(&world.folder)?;
    drop(world.quote.take().map(|quote| quote.kill()));
    world.plan.quote_tables = format!(
        "[seal]\nplatform = \"tpm\"\ntcti = \"{}\"\npcrs = [{PCR}]\n",
        other.tcti()
    );
    world.start_quote()?;
    world.start_vhsmd()?;
    check_not_open(&world, "closed", "platform-foreign")?;
    ensure!(fs::read(file(&world))? == sealed);
    Ok(())
}

#[test]
fn under_a_counter_no_older_file_is_taken_and_what_is_destroyed_stays_so() -> Result<()> {
    let (mut world, _tpm) = with_tpm(COUNTED, "")?;
    let made = Made::make(&world)?;
    let mut older = vec![all_files(&world)?];
    let before = seal(&world)?.generation;
    world.admin()?.rotate("app/data")?;
    older.push(all_files(&world)?);
    ensure!(seal(&world)?.generation > before);
    world.admin()?.destroy("app/signing", None)?;
    drop(made);
    for _ in 0..2 {
        reboot(&mut world)?;
        wait_for(&world, "open")?;
        let mut app = world.application()?;
        let told = app.describe("app/signing")?;
        ensure!(told.state == KeyState::Destroyed, "{told:?}");
        ensure!(outcome(app.sign("app/signing", None, b"m"))? == Status::KeyDestroyed);
        let again = app.generate("app/signing", KeyType::EcP256, None);
        ensure!(outcome(again)? != Status::Ok, "the name came back");
        ensure!(app.describe("app/data")?.versions.len() == 3);
    }

    let good = all_files(&world)?;
    for (files, name) in older.iter().zip(["vault.sealed", "vault.sealed.next"]) {
        end(&mut world)?;
        fs::remove_file(file(&world)).ok();
        let (_, bytes) = files
            .iter()
            .find(|(name, _)| name == "vault.sealed")
            .context("no file")?;
        fs::write(world.path("seal").join(name), bytes)?;
        world.start_vhsmd()?;
        check_not_open(&world, "closed", "none that counts")?;
        ensure!(fs::read(world.path("seal").join(name))? == *bytes);
        fs::remove_file(world.path("seal").join(name))?;
    }
    // No file at all is an older state, too.
    end(&mut world)?;
    world.start_vhsmd()?;
    check_not_open(&world, "closed", "counter-lost")?;
    end(&mut world)?;
    for (name, bytes) in &good {
        fs::write(world.path("seal").join(name), bytes)?;
    }
    world.start_vhsmd()?;
    wait_for(&world, "open")?;
    ensure!(world.application()?.describe("app/data")?.versions.len() == 3);
    Ok(())
}

#[test]
fn uses_that_are_limited_are_counted_over_reboots() -> Result<()> {
    let (mut world, _tpm) = with_tpm(COUNTED, LIMITED)?;
    world
        .application()?
        .generate("app/limited", KeyType::HmacSha256, None)?;
    let first = all_files(&world)?;
    let mut used = 0;
    for _ in 0..2 {
        for _ in 0..2 {
            world.application()?.mac("app/limited", b"m")?;
            used += 1;
        }
        reboot(&mut world)?;
        wait_for(&world, "open")?;
        let told = world.application()?.describe("app/limited")?;
        let uses: u64 = told.versions.iter().map(|version| version.uses).sum();
        ensure!(uses >= used, "{uses} of {used}");
    }
    let mut app = world.application()?;
    app.mac("app/limited", b"m")?;
    ensure!(outcome(app.mac("app/limited", b"m"))? == Status::KeyExhausted);
    drop(app);
    end(&mut world)?;
    for (name, bytes) in &first {
        fs::write(world.path("seal").join(name), bytes)?;
    }
    world.start_vhsmd()?;
    check_not_open(&world, "closed", "none that counts")?;
    let used = world.application()?.mac("app/limited", b"m");
    ensure!(outcome(used)? == Status::SealUnavailable);
    Ok(())
}

#[test]
fn what_is_done_to_a_key_that_is_not_to_be_sealed_any_more_stays_done() -> Result<()> {
    let (mut world, _tpm) = with_tpm(COUNTED, "")?;
    Made::make(&world)?;
    end(&mut world)?;
    // Changed between two boots: nobody has told the vault.
    let unsealed = world.plan.policy.replacen("seal = true", "", 1);
    let write = |world: &World, policy: &str| {
        world
            .folder
            .write("policy.d/test.toml", world.expand(policy))
    };
    write(&world, &unsealed)?;
    world.start_vhsmd()?;
    wait_for(&world, "open")?;
    world.admin()?.destroy("app/signing", None)?;
    for policy in [&unsealed, &world.plan.policy.clone()] {
        end(&mut world)?;
        write(&world, policy)?;
        world.start_vhsmd()?;
        wait_for(&world, "open")?;
        let signed = outcome(world.application()?.sign("app/signing", None, b"m"))?;
        ensure!(
            [Status::KeyNotFound, Status::KeyDestroyed].contains(&signed),
            "{signed}"
        );
    }
    Ok(())
}

#[test]
fn a_tpm_that_goes_away_refuses_changes_and_heals() -> Result<()> {
    let (mut world, mut tpm) = with_tpm(COUNTED, "")?;
    Made::make(&world)?;
    tpm.stop();
    let rotated = world.admin()?.rotate("app/data");
    ensure!(outcome(rotated)? == Status::SealUnavailable);
    let because = seal(&world)?.because.unwrap_or_default();
    ensure!(because.contains("platform-absent"), "{because}");
    tpm.restart()?;
    wait_until("the file is written", PATIENCE, || {
        Ok(seal(&world)?.because.is_none())
    })?;
    reboot(&mut world)?;
    wait_for(&world, "open")?;
    ensure!(world.application()?.describe("app/data")?.versions.len() == 3);
    Ok(())
}

#[test]
fn after_a_wipe_not_even_a_copy_of_the_file_opens() -> Result<()> {
    let (mut world, _tpm) = with_tpm(COUNTED, "")?;
    Made::make(&world)?;
    let copies = all_files(&world)?;
    world.admin()?.wipe()?;
    let vhsmd = world.vhsmd.take().context("vhsmd is not there")?;
    ensure!(vhsmd.wait_exit(PATIENCE)?.success());
    for (name, bytes) in &copies {
        fs::write(world.path("seal").join(name), bytes)?;
    }
    world.start_vhsmd()?;
    check_not_open(&world, "closed", "counter-lost")?;
    // Another wipe, and the vault begins anew.
    world.admin()?.wipe()?;
    let vhsmd = world.vhsmd.take().context("vhsmd is not there")?;
    ensure!(vhsmd.wait_exit(PATIENCE)?.success());
    world.start_vhsmd()?;
    wait_for(&world, "open")?;
    Made::make(&world)?;
    Ok(())
}
