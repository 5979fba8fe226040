//! Neither what is sealed nor what seals it is anywhere but in the arenas and, encrypted, in the
//! file.

use super::world::{CREDENTIAL, end, plan, started};
use anyhow::{Result, ensure};
use nitride_e2e::known::fresh_bytes;
use nitride_protocol::KeyType;
use nitride_support::scan::{Needles, Snapshot};
use nitride_support::unit::is_root_or_says_so;
use nitride_support::world::World;

fn none_outside(world: &World, needles: &Needles, when: &str) -> Result<()> {
    let leaks = Snapshot::take(world.vhsmd()?.pid())?.leaks(needles);
    ensure!(leaks.is_empty(), "{when}: {leaks:#?}");
    Ok(())
}

#[test]
fn sealed_keys_and_the_platforms_part_are_in_the_arenas_alone() -> Result<()> {
    if !is_root_or_says_so("sealed_keys_and_the_platforms_part_are_in_the_arenas_alone") {
        return Ok(());
    }
    let (secret, part) = (fresh_bytes(64)?, fresh_bytes(32)?);
    let mut needles = Needles::default();
    needles.add("sealed secret", &secret);
    needles.add("platform's part", &part);
    let mut plan = plan(CREDENTIAL, "");
    plan.locked_only = true;
    let mut world = started(plan)?;
    end(&mut world)?;
    std::fs::remove_file(super::world::file(&world))?;
    world.folder.write_secret("credentials/seal.key", &part)?;
    world.start_vhsmd()?;
    world
        .admin()?
        .import("app/secret", KeyType::Secret, None, &secret)?;
    none_outside(&world, &needles, "after sealing")?;
    end(&mut world)?;
    world.start_vhsmd()?;
    ensure!(&**world.application()?.release("app/secret", None)?.secret == &*secret);
    none_outside(&world, &needles, "after unsealing")?;
    // Both are found where they belong: else the search proves nothing.
    let kept = Snapshot::take(world.vhsmd()?.pid())?.kept(&needles);
    for label in ["sealed secret", "platform's part"] {
        ensure!(
            kept.iter().any(|hit| hit.label.contains(label)),
            "{label} is not in the arenas: {kept:?}"
        );
    }
    for entry in std::fs::read_dir(world.path("seal"))? {
        let bytes = std::fs::read(entry?.path())?;
        ensure!(needles.find(&bytes).is_empty());
    }
    Ok(())
}
