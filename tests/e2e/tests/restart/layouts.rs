//! An upgrade over a layout of records: what the earlier version left in the descriptor store is
//! served and rewritten, and what a later one left is refused by name and kept.

use super::segments::{Told, rewrite, told};
use super::{kill, refused_start, store, world};
use anyhow::{Result, ensure};
use nitride_client::{Client, PublicKey};
use nitride_protocol::{KeyState, KeyType};
use nitride_support::descriptor_store::DescriptorStore;
use nitride_support::world::World;
use std::collections::HashSet;
use std::sync::Arc;

/// What takes whole pages, and more of them than one.
const LONG_SECRET: [u8; 6000] = [0x5a; 6000];
/// The ciphertext's head up to its nonce: cipher, version, key, nonce.
const NONCE_END: usize = 36;

/// What was asked for before the upgrade.
struct Before {
    many: usize,
    point: PublicKey,
    sealed: Vec<Vec<u8>>,
}

impl Before {
    /// Keys of every state, in records of every size, in more than one segment.
    fn make(world: &World) -> Result<Self> {
        Self::make_in(world, 2)
    }

    /// The same, in so many segments of which the last is nearly empty.
    fn make_in(world: &World, segments: usize) -> Result<Self> {
        let (mut app, mut admin) = (world.application()?, world.admin()?);
        app.generate("app/point", KeyType::EcP256, None)?;
        admin.import("app/long", KeyType::Secret, None, &LONG_SECRET)?;
        app.generate("app/disabled", KeyType::Aes256Gcm, None)?;
        app.disable("app/disabled", None)?;
        app.generate("app/destroyed", KeyType::Aes256Gcm, None)?;
        admin.destroy("app/destroyed", None)?;
        app.generate("app/sealing", KeyType::Aes256Gcm, None)?;
        let first = app.encrypt("app/sealing", b"plaintext", b"")?;
        admin.rotate("app/sealing")?;
        let second = app.encrypt("app/sealing", b"plaintext", b"")?;
        let mut many = 0;
        while store(world)?.len() < segments {
            app.generate(&format!("app/many/{many}"), KeyType::HmacSha256, None)?;
            many += 1;
        }
        Ok(Self {
            many,
            point: app.public_key("app/point", None)?,
            sealed: vec![first, second],
        })
    }

    /// Uses and describes all of it, and adds a ciphertext.
    fn check(&mut self, app: &mut Client) -> Result<()> {
        ensure!(app.public_key("app/point", None)? == self.point);
        ensure!(**app.release("app/long", None)?.secret == LONG_SECRET);
        let told = app.describe("app/disabled")?;
        ensure!(told.state == KeyState::Disabled, "{told:?}");
        let told = app.describe("app/destroyed")?;
        ensure!(told.state == KeyState::Destroyed, "{told:?}");
        let told = app.describe("app/sealing")?;
        ensure!(told.versions.len() == 2, "{told:?}");
        self.sealed
            .push(app.encrypt("app/sealing", b"plaintext", b"")?);
        for sealed in &self.sealed {
            let opened = app.decrypt("app/sealing", sealed, b"")?;
            ensure!(opened.as_slice() == b"plaintext");
        }
        for number in 0..self.many {
            app.mac(&format!("app/many/{number}"), b"m")?;
        }
        Ok(())
    }
}

fn only(layout: u32, told: &Told) -> bool {
    told.segments
        .keys()
        .chain(told.records.keys())
        .all(|each| *each == layout)
}

/// Ends the vault and leaves what it kept as the version before would have.
fn leave_as_layout_1(world: &mut World) -> Result<Arc<DescriptorStore>> {
    kill(world)?;
    let store = Arc::clone(store(world)?);
    rewrite(&store, |segment| segment.become_layout_1())?;
    let left = told(&store)?;
    ensure!(only(1, &left) && left.records[&1] > 100, "{left:?}");
    Ok(store)
}

#[test]
fn records_of_the_layout_before_are_served_and_rewritten() -> Result<()> {
    let mut world = world(64)?;
    let mut before = Before::make(&world)?;
    let store = leave_as_layout_1(&mut world)?;
    world.start_vhsmd()?;
    before.check(&mut world.application()?)?;
    let rewritten = told(&store)?;
    ensure!(only(2, &rewritten), "{rewritten:?}");
    // What is new has its place beside what was rewritten.
    world
        .application()?
        .generate("app/new", KeyType::EcP256, None)?;
    kill(&mut world)?;
    world.start_vhsmd()?;
    before.check(&mut world.application()?)?;
    world.application()?.describe("app/new")?;
    let nonces: HashSet<_> = before
        .sealed
        .iter()
        .map(|each| &each[..NONCE_END])
        .collect();
    ensure!(
        nonces.len() == before.sealed.len(),
        "a nonce was used twice"
    );
    ensure!(only(2, &told(&store)?));
    Ok(())
}

#[test]
fn a_layout_of_a_later_vault_is_refused_by_name_and_kept() -> Result<()> {
    let mut world = world(64)?;
    let mut before = Before::make(&world)?;
    kill(&mut world)?;
    let store = Arc::clone(store(&world)?);
    rewrite(&store, |segment| {
        segment.set_layout(3);
        Ok(())
    })?;
    let left = told(&store)?;
    let said = refused_start(&mut world)?;
    ensure!(said.contains("layout 3 is not known here"), "{said}");
    ensure!(told(&store)? == left);
    rewrite(&store, |segment| {
        segment.set_layout(2);
        Ok(())
    })?;
    world.start_vhsmd()?;
    before.check(&mut world.application()?)
}

#[test]
fn an_upgrade_that_has_no_room_names_the_remedy_and_loses_nothing() -> Result<()> {
    let mut world = world(64)?;
    let mut before = Before::make_in(&world, 3)?;
    leave_as_layout_1(&mut world)?;
    let wide = std::fs::read_to_string(world.path("vhsmd.toml"))?;
    let tight = wide.replace("records-max = \"4MiB\"", "records-max = \"768KiB\"");
    world.folder.write("vhsmd.toml", tight)?;
    // The third has no room for what is in the first two.
    let said = refused_start(&mut world)?;
    ensure!(said.contains("they would not fit 786432 bytes"), "{said}");
    world.folder.write("vhsmd.toml", wide)?;
    world.start_vhsmd()?;
    before.check(&mut world.application()?)
}

#[test]
fn an_upgrade_whose_copies_nobody_keeps_is_refused_and_loses_nothing() -> Result<()> {
    let mut world = world(64)?;
    let mut before = Before::make_in(&world, 3)?;
    let wide = leave_as_layout_1(&mut world)?;
    // A store that is full with what the earlier version left there.
    let left = told(&wide)?;
    let full = Arc::new(DescriptorStore::new(wide.len()));
    pour(&wide, &full);
    world.store = Some(Arc::clone(&full));
    let said = refused_start(&mut world)?;
    ensure!(said.contains("cannot keep records segment 3"), "{said}");
    let still = told(&full)?.records;
    ensure!(still[&1] == left.records[&1], "{still:?} of {left:?}");
    pour(&full, &wide);
    world.store = Some(wide);
    world.start_vhsmd()?;
    before.check(&mut world.application()?)
}

/// Moves everything that is kept.
fn pour(from: &DescriptorStore, to: &DescriptorStore) {
    while let Some((name, descriptor)) = from.remove(0) {
        to.put(&name, descriptor);
    }
}
