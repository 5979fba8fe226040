//! What the next vhsmd finds of the keys of the one before, with the test in the place of systemd's
//! descriptor store.
#![forbid(unsafe_code)]

mod kills;
mod layouts;
mod phases;
mod segments;

use anyhow::{Context, Result, bail, ensure};
use nitride_protocol::{KeyType, Status};
use nitride_support::descriptor_store::DescriptorStore;
use nitride_support::plan::Plan;
use nitride_support::world::World;
use std::sync::Arc;

const SEGMENT: &str = "vhsm-records";

const POLICY: &str = r#"
[[key]]
name = "app/long"
type = "secret"
source = "local"
operations = ["release"]
release-to = [{ uid = @UID@ }]

[[rule]]
name = "rotate"
keys = ["**"]
peers = [{ uid = @UID@ }]
operations = ["rotate", "set-policy"]
"#;

/// A vault whose records are kept in segments of a quarter MiB, so many at most.
fn world(capacity: usize) -> Result<World> {
    world_with(capacity, "")
}

/// The same, with more in its configuration.
fn world_with(capacity: usize, tables: &str) -> Result<World> {
    let mut world = World::prepare(Plan::vault(POLICY))?;
    let path = world.path("vhsmd.toml");
    let text = std::fs::read_to_string(&path)?;
    let small = "records = \"256KiB\"\nrecords-max = \"4MiB\"";
    world.folder.write(
        "vhsmd.toml",
        text.replace("records = \"3MiB\"", small) + tables,
    )?;
    world.store = Some(Arc::new(DescriptorStore::new(capacity)));
    world.start_quote()?;
    world.start_vhsmd()?;
    Ok(world)
}

fn store(world: &World) -> Result<&Arc<DescriptorStore>> {
    world.store.as_ref().context("this world has no store")
}

fn kill(world: &mut World) -> Result<()> {
    world.vhsmd.take().context("vhsmd is not there")?.kill()?;
    Ok(())
}

/// Starts vhsmd where it must refuse to, and gives what it says.
fn refused_start(world: &mut World) -> Result<String> {
    match world.start_vhsmd() {
        Ok(()) => bail!("vhsmd has started"),
        Err(error) => Ok(format!("{error:#}")),
    }
}

#[test]
fn a_key_is_there_again_after_a_kill_and_after_an_end_in_order() -> Result<()> {
    let mut world = world(64)?;
    world
        .application()?
        .generate("app/k", KeyType::EcP256, None)?;
    let before = world.application()?.public_key("app/k", None)?;
    kill(&mut world)?;
    world.start_vhsmd()?;
    ensure!(world.application()?.public_key("app/k", None)? == before);
    let vhsmd = world.vhsmd.take().context("vhsmd is not there")?;
    ensure!(vhsmd.stop()?.success());
    world.start_vhsmd()?;
    ensure!(world.application()?.public_key("app/k", None)? == before);
    let warnings = world.application()?.status()?.warnings;
    ensure!(
        !warnings.iter().any(|each| each.contains("ends with this")),
        "{warnings:?}"
    );
    Ok(())
}

#[test]
fn a_start_that_fails_loses_no_key() -> Result<()> {
    let mut world = world(64)?;
    world
        .application()?
        .generate("app/k", KeyType::Ed25519, None)?;
    kill(&mut world)?;
    let broken = world.path("policy.d/zz-broken.toml");
    std::fs::write(&broken, "nonsense = 1\n")?;
    refused_start(&mut world)?;
    std::fs::remove_file(&broken)?;
    world.start_vhsmd()?;
    world.application()?.describe("app/k")?;
    Ok(())
}

#[test]
fn without_a_store_the_status_says_that_keys_end() -> Result<()> {
    let world = World::start(Plan::vault(""))?;
    let warnings = world.application()?.status()?.warnings;
    ensure!(
        warnings
            .iter()
            .any(|each| each.contains("no descriptor store")),
        "{warnings:?}"
    );
    Ok(())
}

#[test]
fn hostile_missing_and_doubled_descriptors_are_refused_and_nothing_is_lost() -> Result<()> {
    let mut world = world(64)?;
    let mut client = world.application()?;
    // More than one segment.
    let mut count = 0;
    while store(&world)?.len() < 2 {
        client.generate(&format!("app/k{count}"), KeyType::EcP256, None)?;
        count += 1;
    }
    kill(&mut world)?;
    let store = Arc::clone(store(&world)?);

    let (_, doubled) = store.copy(1)?;
    store.put(SEGMENT, doubled);
    let said = refused_start(&mut world)?;
    ensure!(said.contains("there are two of number 1"), "{said}");
    store.remove(2);

    let last = store.remove(1).context("a segment")?;
    let said = refused_start(&mut world)?;
    ensure!(said.contains("segment 1 of 2 is missing"), "{said}");
    let first = store.remove(0).context("a segment")?;
    store.put(&last.0, last.1);
    let said = refused_start(&mut world)?;
    ensure!(said.contains("segment 0 of"), "{said}");
    store.put(&first.0, first.1);

    let file = std::fs::File::open(world.path("vhsmd.toml"))?;
    store.put(SEGMENT, file.try_clone()?.into());
    let said = refused_start(&mut world)?;
    ensure!(said.contains("it is no memfd_secret"), "{said}");
    store.remove(2);

    store.put("something", file.into());
    let said = refused_start(&mut world)?;
    ensure!(said.contains("\"something\""), "{said}");
    store.remove(2);

    world.start_vhsmd()?;
    let mut client = world.application()?;
    for number in 0..count {
        client.describe(&format!("app/k{number}"))?;
    }
    Ok(())
}

#[test]
fn a_store_that_is_full_makes_the_arena_full_and_loses_nothing() -> Result<()> {
    let mut world = world(1)?;
    let mut client = world.application()?;
    let mut count = 0;
    let refused = loop {
        if let Err(error) = client.generate(&format!("app/k{count}"), KeyType::Secret, None) {
            break error;
        }
        count += 1;
    };
    ensure!(refused.status() == Some(Status::ArenaFull), "{refused}");
    ensure!(count > 100, "{count}");
    ensure!(store(&world)?.len() == 1);
    kill(&mut world)?;
    world.start_vhsmd()?;
    let mut client = world.application()?;
    for number in 0..count {
        client.describe(&format!("app/k{number}"))?;
    }
    Ok(())
}
