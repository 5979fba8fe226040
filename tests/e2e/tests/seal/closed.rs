//! What does not open: it is named, left as it is, and keeps nothing else from its work.

use super::world::{
    CREDENTIAL, Made, SAMPLE, check_not_open, end, file, plan, prepared, seal, started, wait_for,
};
use anyhow::{Context, Result, ensure};
use nitride_support::world::World;
use std::fs;
use std::os::unix::fs::PermissionsExt;

/// Starts vhsmd on this file, and has the seal stay closed because of it.
fn closed_by(world: &mut World, content: &[u8], because: &str) -> Result<()> {
    end(world)?;
    fs::write(file(world), content)?;
    world.start_vhsmd()?;
    check_not_open(world, "closed", because).with_context(|| because.to_owned())?;
    ensure!(fs::read(file(world))? == content, "the file was changed");
    Ok(())
}

#[test]
fn changed_bytes_and_what_is_no_file_close_the_seal_and_stay() -> Result<()> {
    let mut world = started(plan(CREDENTIAL, ""))?;
    let made = Made::make(&world)?;
    let good = fs::read(file(&world))?;
    let flipped = |at: usize| {
        let mut bytes = good.clone();
        bytes[at] ^= 1;
        bytes
    };
    for (content, because) in [
        (flipped(good.len() - 1), "does not open"),
        (flipped(good.len() / 2), "does not open"),
        (good[..good.len() - 1].to_vec(), "does not open"),
        (flipped(0), "no sealed file"),
        (Vec::new(), "no sealed file"),
        (b"NVSEALED".to_vec(), "sealed file"),
        (vec![0xff; 100_000], "no sealed file"),
    ] {
        closed_by(&mut world, &content, because)?;
    }
    end(&mut world)?;
    fs::write(file(&world), &good)?;
    world.start_vhsmd()?;
    made.check(&world)
}

#[test]
fn the_file_of_another_machine_closes_the_seal() -> Result<()> {
    let mut world = started(plan(CREDENTIAL, ""))?;
    let made = Made::make(&world)?;
    let good = fs::read(file(&world))?;
    end(&mut world)?;
    world
        .folder
        .write_secret("credentials/seal.key", [0xa5; 32])?;
    world.start_vhsmd()?;
    check_not_open(&world, "closed", "another credential")?;
    ensure!(fs::read(file(&world))? == good);
    // That platform is not this one either.
    end(&mut world)?;
    let config = fs::read_to_string(world.path("vhsmd.toml"))?;
    let other = config.replace(&world.expand(CREDENTIAL), &world.expand(SAMPLE));
    world.folder.write("vhsmd.toml", &other)?;
    world.start_vhsmd()?;
    check_not_open(
        &world,
        "closed",
        "platform credential, and sample is configured",
    )?;
    ensure!(fs::read(file(&world))? == good);
    // With what it was sealed with, everything is there.
    end(&mut world)?;
    world.folder.write("vhsmd.toml", &config)?;
    world
        .folder
        .write_secret("credentials/seal.key", [0x5a; 32])?;
    world.start_vhsmd()?;
    made.check(&world)
}

#[test]
fn a_credential_that_is_missing_short_or_anybodys_closes_the_seal() -> Result<()> {
    let mut world = started(plan(CREDENTIAL, ""))?;
    let made = Made::make(&world)?;
    let credential = world.path("credentials/seal.key");
    let good = fs::read(&credential)?;
    type Spoil = fn(&World) -> Result<()>;
    let cases: [(Spoil, &str); 4] = [
        (
            |world| Ok(fs::remove_file(world.path("credentials/seal.key"))?),
            "cannot be taken",
        ),
        (
            |world| {
                world.folder.write_secret("credentials/seal.key", [1; 31])?;
                Ok(())
            },
            "31 bytes",
        ),
        (
            |world| {
                world
                    .folder
                    .write_secret("credentials/seal.key", vec![1; 5000])?;
                Ok(())
            },
            "bytes and not 32 to 4096",
        ),
        (
            |world| {
                let path = world.path("credentials/seal.key");
                Ok(fs::set_permissions(
                    path,
                    fs::Permissions::from_mode(0o644),
                )?)
            },
            "can be read by everybody",
        ),
    ];
    for (spoil, because) in cases {
        end(&mut world)?;
        world.folder.write_secret("credentials/seal.key", &good)?;
        spoil(&world)?;
        world.start_vhsmd()?;
        check_not_open(&world, "closed", because)?;
    }
    // It comes right without a restart once the credential does.
    fs::set_permissions(&credential, fs::Permissions::from_mode(0o600))?;
    wait_for(&world, "open")?;
    made.check(&world)
}

#[test]
fn a_helper_that_is_not_there_is_waited_for() -> Result<()> {
    let mut world = started(plan(SAMPLE, ""))?;
    let made = Made::make(&world)?;
    end(&mut world)?;
    drop(world.quote.take().map(|quote| quote.kill()));
    world.start_vhsmd()?;
    check_not_open(&world, "waits", "nitride-quote cannot be reached")?;
    world.start_quote()?;
    wait_for(&world, "open")?;
    made.check(&world)
}

#[test]
fn a_helper_that_does_not_seal_closes_it() -> Result<()> {
    let mut plan = plan(SAMPLE, "");
    plan.quote_tables.clear();
    let mut world = prepared(plan)?;
    world.start_quote()?;
    world.start_vhsmd()?;
    check_not_open(&world, "closed", "platform-absent")
}

#[test]
fn a_folder_that_is_anothers_closes_the_seal() -> Result<()> {
    let world = started(plan(CREDENTIAL, ""))?;
    Made::make(&world)?;
    let mut other = prepared(plan(
        &CREDENTIAL.replace("@DIR@", &world.folder.path().display().to_string()),
        "",
    ))?;
    other.start_vhsmd()?;
    check_not_open(&other, "closed", "another vhsmd's")?;
    ensure!(seal(&world)?.state == "open");
    Ok(())
}
