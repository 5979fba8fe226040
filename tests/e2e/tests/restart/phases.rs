//! What the next vhsmd finds after the end of a phase.

use super::{kill, store, world_with};
use anyhow::{Context, Result, ensure};
use nitride_client::Protection;
use nitride_protocol::{KeyType, Status};
use nitride_support::world::outcome;
use std::thread;
use std::time::Duration;

#[test]
fn keys_outlive_the_phase_where_they_are_kept_and_the_root_is_protected() -> Result<()> {
    for (across, protection, kept) in [
        ("keep", Protection::Verity, true),
        ("keep", Protection::Integrity, true),
        ("keep", Protection::None, false),
        ("fetch-again", Protection::Verity, false),
    ] {
        for is_killed in [false, true] {
            let boot = format!("\n[boot]\nacross-switch-root = \"{across}\"\n");
            let mut world = world_with(64, &boot)?;
            world
                .application()?
                .generate("app/k", KeyType::EcP256, None)?;
            ensure!(world.admin()?.end_phase(protection)? == kept, "{across}");
            ensure!(!store(&world)?.is_empty());
            if is_killed {
                kill(&mut world)?;
            } else {
                let vhsmd = world.vhsmd.take().context("vhsmd is not there")?;
                ensure!(vhsmd.stop()?.success());
            }
            world.start_vhsmd()?;
            let found = outcome(world.application()?.public_key("app/k", None))?;
            let wanted = if kept {
                Status::Ok
            } else {
                Status::KeyNotFound
            };
            ensure!(
                found == wanted,
                "{across} {protection} {is_killed}: {found:?}"
            );
        }
    }
    Ok(())
}

#[test]
fn a_key_that_is_made_while_the_phase_ends_is_not_found_either() -> Result<()> {
    let mut world = world_with(64, "\n[boot]\nacross-switch-root = \"fetch-again\"\n")?;
    let mut makers = Vec::new();
    for number in 0..4 {
        let mut client = world.application()?;
        makers.push(thread::spawn(move || {
            // Takes long enough for the phase to end meanwhile; nobody hears how it went.
            let _ = client.generate(&format!("app/{number}"), KeyType::Rsa2048, None);
        }));
    }
    thread::sleep(Duration::from_millis(50));
    ensure!(!world.admin()?.end_phase(Protection::Verity)?);
    for maker in makers {
        ensure!(maker.join().is_ok());
    }
    let vhsmd = world.vhsmd.as_mut().context("vhsmd is not there")?;
    // Nothing is being served any more, and it waits to be stopped: by a kill, if that is not in time.
    vhsmd.wait_for("the end", |line| line == "STATUS=the phase has ended")?;
    kill(&mut world)?;
    world.start_vhsmd()?;
    for number in 0..4 {
        let found = outcome(
            world
                .application()?
                .public_key(&format!("app/{number}"), None),
        )?;
        ensure!(found == Status::KeyNotFound, "app/{number}: {found:?}");
    }
    Ok(())
}
