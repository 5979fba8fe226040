//! What the next vhsmd finds after the end of a phase.

use super::{kill, store, world_with};
use anyhow::{Context, Result, ensure};
use nitride_client::Protection;
use nitride_protocol::{KeyType, Status};
use nitride_support::world::outcome;

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
