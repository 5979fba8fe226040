//! A disk that does not take the file.

use super::world::{
    CREDENTIAL, Made, PATIENCE, check_not_open, end, plan, prepared, reboot, seal, started,
};
use anyhow::{Result, ensure};
use nitride_protocol::application::{BatchItem, Encrypt, Sign};
use nitride_protocol::{KeyName, KeyType, Status};
use nitride_support::descriptor_store::DescriptorStore;
use nitride_support::program::wait_until;
use nitride_support::world::{World, outcome};
use std::fs;
use std::process::Command;
use std::sync::Arc;

/// What cannot be written is refused by name and said, and made good as soon as it can be.
fn fails_and_heals(
    world: &mut World,
    spoil: impl FnOnce(&World) -> Result<()>,
    mend: impl FnOnce(&World) -> Result<()>,
) -> Result<()> {
    let made = Made::make(world)?;
    let sealed = world.application()?.encrypt("app/data", b"text", b"")?;
    spoil(world)?;
    let mut app = world.application()?;
    let rotated = world.admin()?.rotate("app/signing");
    ensure!(outcome(rotated)? == Status::SealUnavailable);
    let found = seal(world)?;
    let because = found.because.unwrap_or_default();
    ensure!(
        found.state == "open" && because.contains("cannot be written"),
        "{because}"
    );
    // What is to be opened later could rest on a version that is lost by then.
    let encrypted = app.encrypt("app/data", b"text", b"");
    ensure!(outcome(encrypted)? == Status::SealUnavailable);
    // Whatever else is in the same packet; and a public half that somebody pins or encrypts to.
    let key = KeyName::parse("app/data")?;
    let batch = app.batch(vec![
        BatchItem::Encrypt(Encrypt {
            key,
            scheme: None,
            plaintext: b"text",
            aad: b"",
        }),
        BatchItem::Sign(Sign {
            key: KeyName::parse("app/plain")?,
            scheme: None,
            message: b"m",
            prehashed: false,
        }),
    ]);
    ensure!(outcome(batch)? == Status::SealUnavailable);
    let public_key = app.public_key("app/signing", None);
    ensure!(outcome(public_key)? == Status::SealUnavailable);
    // What was sealed before opens, and what is not sealed goes on.
    app.decrypt("app/data", &sealed, b"")?;
    app.generate("app/other", KeyType::Ed25519, None)?;
    app.sign("app/other", None, b"m")?;
    ensure!(app.describe("app/signing")?.versions.len() == 2);
    mend(world)?;
    wait_until("the file is written", PATIENCE, || {
        Ok(seal(world)?.because.is_none())
    })?;
    drop(app);
    reboot(world)?;
    let mut app = world.application()?;
    ensure!(app.describe("app/signing")?.versions.len() == 2);
    drop(made);
    Ok(())
}

#[test]
fn a_folder_that_cannot_be_written_is_named_and_heals() -> Result<()> {
    let mut world = started(plan(CREDENTIAL, ""))?;
    fails_and_heals(
        &mut world,
        |world| Ok(fs::create_dir(world.path("seal/vault.sealed.half"))?),
        |world| Ok(fs::remove_dir(world.path("seal/vault.sealed.half"))?),
    )
}

#[test]
fn a_disk_that_is_full_is_named_and_heals() -> Result<()> {
    let mut world = prepared(plan(CREDENTIAL, ""))?;
    let folder = world.path("seal");
    fs::create_dir(&folder)?;
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=64k,mode=0700", "tmpfs"])
        .arg(&folder)
        .status();
    if !mounted.is_ok_and(|status| status.success()) {
        eprintln!("a_disk_that_is_full_is_named_and_heals: only who may mount sees this");
        return Ok(());
    }
    let tried = (|| {
        world.start_vhsmd()?;
        fails_and_heals(
            &mut world,
            |world| {
                // As much as there is room for, page by page.
                let mut filler = fs::File::create(world.path("seal/filler"))?;
                while std::io::Write::write_all(&mut filler, &[1; 512]).is_ok() {}
                Ok(())
            },
            |world| Ok(fs::remove_file(world.path("seal/filler"))?),
        )
    })();
    drop(world.vhsmd.take().map(|vhsmd| vhsmd.kill()));
    ensure!(Command::new("umount").arg(&folder).status()?.success());
    tried
}

#[test]
fn what_outlived_a_process_whose_disk_was_full_is_worth_nothing_until_it_is_written() -> Result<()>
{
    let mut world = prepared(plan(CREDENTIAL, ""))?;
    world.store = Some(Arc::new(DescriptorStore::new(64)));
    world.start_vhsmd()?;
    let made = Made::make(&world)?;
    fs::create_dir(world.path("seal/vault.sealed.half"))?;
    let rotated = world.admin()?.rotate("app/data");
    ensure!(outcome(rotated)? == Status::SealUnavailable);
    end(&mut world)?;
    world.start_vhsmd()?;
    let mut app = world.application()?;
    ensure!(app.describe("app/data")?.versions.len() == 3);
    let encrypted = app.encrypt("app/data", b"text", b"");
    ensure!(outcome(encrypted)? == Status::SealUnavailable);
    // While the file is not even open, it cannot be seen either what it has.
    end(&mut world)?;
    let credential = world.path("credentials/seal.key");
    fs::rename(&credential, world.path("credentials/elsewhere"))?;
    world.start_vhsmd()?;
    let mut app = world.application()?;
    ensure!(seal(&world)?.state == "closed");
    let encrypted = app.encrypt("app/data", b"text", b"");
    ensure!(outcome(encrypted)? == Status::SealUnavailable);
    fs::rename(world.path("credentials/elsewhere"), &credential)?;
    fs::remove_dir(world.path("seal/vault.sealed.half"))?;
    wait_until("the file is written", PATIENCE, || {
        let found = seal(&world)?;
        Ok(found.state == "open" && found.because.is_none())
    })?;
    app.encrypt("app/data", b"text", b"")?;
    drop(app);
    world.store = None;
    reboot(&mut world)?;
    ensure!(world.application()?.describe("app/data")?.versions.len() == 3);
    drop(made);
    Ok(())
}

#[test]
fn a_folder_that_cannot_be_made_closes_the_seal() -> Result<()> {
    let mut world = prepared(plan(CREDENTIAL, ""))?;
    world.folder.write("seal", "a file in its place")?;
    world.start_quote()?;
    world.start_vhsmd()?;
    check_not_open(&world, "closed", "cannot be used")
}
