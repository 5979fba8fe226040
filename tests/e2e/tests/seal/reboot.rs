//! What comes back, and what is done about it while it is there.

use super::world::{
    CREDENTIAL, Made, PATIENCE, SAMPLE, check_not_open, end, file, plan, reboot, seal, started,
    status,
};
use anyhow::{Context, Result, ensure};
use nitride_protocol::{KeyState, KeyType, Status};
use nitride_support::descriptor_store::DescriptorStore;
use nitride_support::program::{RunAs, wait_until};
use nitride_support::world::{World, outcome};
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::thread;

#[test]
fn sealed_keys_come_back_after_a_reboot_with_a_credential_and_with_a_platform() -> Result<()> {
    for settings in [CREDENTIAL, SAMPLE] {
        let mut world = started(plan(settings, ""))?;
        ensure!(seal(&world)?.state == "open");
        let made = Made::make(&world)?;
        ensure!(seal(&world)?.keys == 4);
        for _ in 0..2 {
            reboot(&mut world)?;
            let found = seal(&world)?;
            ensure!(
                (found.state.as_str(), found.keys) == ("open", 4),
                "{found:?}"
            );
            made.check(&world)?;
            world
                .application()?
                .generate("app/plain", KeyType::Ed25519, None)?;
        }
        let mode = std::fs::metadata(file(&world))?.permissions().mode();
        ensure!(mode & 0o7777 == 0o600, "{mode:o}");
    }
    Ok(())
}

#[test]
fn states_versions_and_policies_come_back_as_they_were() -> Result<()> {
    let mut world = started(plan(CREDENTIAL, ""))?;
    let made = Made::make(&world)?;
    let mut app = world.application()?;
    app.disable("app/signing", None)?;
    app.disable("app/data", Some(1))?;
    let before = app.describe("app/data")?;
    reboot(&mut world)?;
    let mut app = world.application()?;
    ensure!(app.describe("app/signing")?.state == KeyState::Disabled);
    ensure!(outcome(app.sign("app/signing", None, b"m"))? == Status::KeyDisabled);
    let after = app.describe("app/data")?;
    ensure!(after.origin == before.origin && after.state == before.state);
    ensure!(after.versions[0].state == KeyState::Disabled, "{after:?}");
    app.enable("app/signing", None)?;
    app.enable("app/data", Some(1))?;
    made.check(&world)
}

#[test]
fn no_nonce_comes_twice_over_reboots() -> Result<()> {
    let mut world = started(plan(CREDENTIAL, ""))?;
    world
        .application()?
        .generate("app/data", KeyType::Aes256Gcm, None)?;
    let copy = std::fs::read(file(&world))?;
    let mut seen = std::collections::HashSet::new();
    for round in 0..4 {
        let mut app = world.application()?;
        for _ in 0..50 {
            let sealed = app.encrypt("app/data", b"plaintext", b"")?;
            // Header and whatever makes the nonce: no two are alike.
            ensure!(seen.insert(sealed[..40].to_vec()), "round {round}");
            app.decrypt("app/data", &sealed, b"")?;
        }
        drop(app);
        end(&mut world)?;
        // The same file again, as a host would put it.
        std::fs::write(file(&world), &copy)?;
        world.start_vhsmd()?;
    }
    Ok(())
}

#[test]
fn what_needs_a_counter_is_refused_without_one() -> Result<()> {
    let mut world = started(plan(CREDENTIAL, ""))?;
    let made = Made::make(&world)?;
    let destroyed = world.admin()?.destroy("app/signing", None);
    ensure!(outcome(destroyed)? == Status::NotDurable);
    reboot(&mut world)?;
    made.check(&world)?;
    // By its rule, max-uses is a fault of the configuration.
    let limited = world
        .plan
        .policy
        .replacen("seal = true", "seal = true\nmax-uses = 5", 1);
    ensure!(world.set_policy(&limited).is_err());
    let log = std::fs::read_to_string(world.path("vhsmd.log"))?;
    ensure!(log.contains("max-uses"), "{log}");
    Ok(())
}

#[test]
fn many_changes_at_once_are_all_in_the_file() -> Result<()> {
    let mut policy = String::new();
    for number in 0..64 {
        policy.push_str(&format!(
            "[[key]]\nname = \"app/k{number}\"\ntype = \"ed25519\"\nsource = \"local\"\n\
             operations = [\"sign\", \"public-key\"]\nseal = true\n"
        ));
    }
    let mut world = started(plan(CREDENTIAL, &policy))?;
    let made: Vec<(String, Vec<u8>)> = thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|first| {
                let world = &world;
                scope.spawn(move || -> Result<Vec<(String, Vec<u8>)>> {
                    let mut app = world.application()?;
                    let mut made = Vec::new();
                    for number in (first..64).step_by(8) {
                        let name = format!("app/k{number}");
                        app.generate(&name, KeyType::Ed25519, None)?;
                        made.push((name.clone(), app.public_key(&name, None)?.spki));
                    }
                    Ok(made)
                })
            })
            .collect();
        let mut made = Vec::new();
        for thread in threads {
            made.extend(thread.join().map_err(|_| anyhow::anyhow!("panicked"))??);
        }
        Ok::<_, anyhow::Error>(made)
    })?;
    reboot(&mut world)?;
    let mut app = world.application()?;
    for (name, spki) in made {
        ensure!(app.public_key(&name, None)?.spki == spki, "{name}");
    }
    Ok(())
}

#[test]
fn records_that_outlived_the_process_are_newer_than_the_file() -> Result<()> {
    let mut world = started(plan(CREDENTIAL, ""))?;
    let made = Made::make(&world)?;
    let older = std::fs::read(file(&world))?;
    end(&mut world)?;
    world.store = Some(Arc::new(DescriptorStore::new(64)));
    world.start_vhsmd()?;
    let mut admin = world.admin()?;
    ensure!(admin.rotate("app/data")? == 3);
    drop(admin);
    // Now an upgrade, with an older file on the disk: what is in memory counts and is written.
    end(&mut world)?;
    std::fs::write(file(&world), &older)?;
    world.start_vhsmd()?;
    ensure!(world.application()?.describe("app/data")?.versions.len() == 3);
    wait_until("the file is written", PATIENCE, || {
        Ok(std::fs::read(file(&world))? != older)
    })?;
    world.store = None;
    reboot(&mut world)?;
    ensure!(world.application()?.describe("app/data")?.versions.len() == 3);
    drop(made);
    Ok(())
}

#[test]
fn what_is_no_longer_sealed_leaves_the_file() -> Result<()> {
    let mut world = started(plan(CREDENTIAL, ""))?;
    Made::make(&world)?;
    let policy = world.plan.policy.replacen("seal = true", "", 1);
    world.set_policy(&policy)?;
    wait_until("the file has three keys", PATIENCE, || {
        Ok(seal(&world)?.keys == 3)
    })?;
    reboot(&mut world)?;
    let found = world.application()?.describe("app/signing");
    ensure!(outcome(found)? == Status::KeyNotFound);
    Ok(())
}

#[test]
fn how_often_a_key_was_used_is_in_the_file_when_the_vault_ends() -> Result<()> {
    let mut world = started(plan(CREDENTIAL, ""))?;
    Made::make(&world)?;
    let mut app = world.application()?;
    for _ in 0..7 {
        app.encrypt("app/data", b"text", b"")?;
    }
    let uses = |world: &World| -> Result<u64> {
        let told = world.application()?.describe("app/data")?;
        Ok(told.versions.iter().map(|version| version.uses).sum())
    };
    let before = uses(&world)?;
    drop(app);
    let vhsmd = world.vhsmd.take().context("vhsmd is not there")?;
    ensure!(vhsmd.stop()?.success());
    world.start_vhsmd()?;
    ensure!(uses(&world)? >= before && before >= 7, "{before}");
    Ok(())
}

#[test]
fn a_policy_that_changed_between_two_boots_is_in_the_file_at_once() -> Result<()> {
    let mut world = started(plan(CREDENTIAL, ""))?;
    Made::make(&world)?;
    end(&mut world)?;
    let unsealed = world.plan.policy.replacen("seal = true", "", 1);
    let write = |world: &World, policy: &str| {
        world
            .folder
            .write("policy.d/test.toml", world.expand(policy))
    };
    write(&world, &unsealed)?;
    world.start_vhsmd()?;
    ensure!(seal(&world)?.keys == 3);
    // The host may have kept a file that has it.
    let destroyed = world.admin()?.destroy("app/signing", None);
    ensure!(outcome(destroyed)? == Status::NotDurable);
    end(&mut world)?;
    write(&world, &world.plan.policy)?;
    world.start_vhsmd()?;
    let found = world.application()?.describe("app/signing");
    ensure!(outcome(found)? == Status::KeyNotFound);
    Ok(())
}

#[test]
fn to_begin_anew_is_told_and_refused_where_a_file_must_exist() -> Result<()> {
    let mut world = started(plan(CREDENTIAL, ""))?;
    let log = std::fs::read_to_string(world.path("vhsmd.log"))?;
    ensure!(log.contains("the seal begins anew"), "{log}");
    let made = Made::make(&world)?;
    end(&mut world)?;
    let config = std::fs::read_to_string(world.path("vhsmd.toml"))?;
    let config = config.replace("[seal]\n", "[seal]\nmust-exist = true\n");
    world.folder.write("vhsmd.toml", config)?;
    let kept = std::fs::read(file(&world))?;
    std::fs::remove_file(file(&world))?;
    world.start_vhsmd()?;
    check_not_open(&world, "closed", "must-exist")?;
    end(&mut world)?;
    std::fs::write(file(&world), kept)?;
    world.start_vhsmd()?;
    made.check(&world)
}

#[test]
fn status_and_command_line_say_how_it_is() -> Result<()> {
    let mut world = started(plan(SAMPLE, ""))?;
    Made::make(&world)?;
    let warnings = status(&world)?.warnings;
    let simulated = |each: &String| each.contains("seal's platform is simulated");
    ensure!(warnings.iter().any(simulated), "{warnings:?}");
    let shown = world.vhsm(&RunAs::default(), &["status"], b"")?;
    let text = String::from_utf8(shown.stdout)?;
    ensure!(
        text.contains("open by sample, without a counter, 4 keys"),
        "{text}"
    );
    let shown = world.vhsm(&RunAs::default(), &["status", "--json"], b"")?;
    let json: serde_json::Value = serde_json::from_slice(&shown.stdout)?;
    ensure!(
        json["seal"]["state"] == "open" && json["seal"]["keys"] == 4,
        "{json}"
    );
    let vhsmd = world.vhsmd.as_ref().context("vhsmd is not there")?;
    ensure!(vhsmd.pid() > 0);
    // Without [seal] there is none.
    world.plan.vhsmd_tables.clear();
    world.plan.policy = nitride_support::plan::Plan::vault("").policy;
    let plain = World::start(world.plan.clone())?;
    ensure!(status(&plain)?.seal.is_none());
    Ok(())
}

#[test]
fn a_wipe_leaves_no_file_and_nothing_that_comes_back() -> Result<()> {
    let mut world = started(plan(CREDENTIAL, ""))?;
    Made::make(&world)?;
    world.admin()?.wipe()?;
    let vhsmd = world.vhsmd.take().context("vhsmd is not there")?;
    ensure!(vhsmd.wait_exit(PATIENCE)?.success());
    let left: Vec<_> = std::fs::read_dir(world.path("seal"))?
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name != "lock")
        .collect();
    ensure!(left.is_empty(), "{left:?}");
    world.start_vhsmd()?;
    let mut app = world.application()?;
    ensure!(outcome(app.describe("app/signing"))? == Status::KeyNotFound);
    app.generate("app/signing", KeyType::EcP256, None)?;
    reboot(&mut world)?;
    world.application()?.describe("app/signing")?;
    Ok(())
}
