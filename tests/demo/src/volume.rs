//! A LUKS passphrase by the way systemd-cryptsetup takes it.

use crate::policy::PASSPHRASE;
use crate::story::Story;
use anyhow::{Result, ensure};
use nitride_support::cryptsetup::{read_key_file, test_passphrase};
use nitride_support::world::World;

pub(crate) fn passphrase(story: &mut Story, world: &World) -> Result<()> {
    story.part("A disk: the key-file socket of systemd-cryptsetup.");
    let socket = world.path("root.key");
    let mut key = Vec::new();
    story.step("read the key of the volume \"root\"", || {
        key = read_key_file(&socket, "root")?;
        ensure!(key == PASSPHRASE, "{} other bytes came", key.len());
        Ok("attested, fetched, handed over")
    })?;
    story.step("read it in another volume's name", || {
        ensure!(read_key_file(&socket, "home")?.is_empty());
        Ok("nothing")
    })?;
    let image = world.path("disk.img");
    let Some(unlocked) = test_passphrase(&image, PASSPHRASE, &key)? else {
        story
            .remark("cryptsetup is not installed: apt-get install cryptsetup-bin to see it unlock");
        return Ok(());
    };
    story.step("cryptsetup open --test-passphrase on a LUKS2 file", || {
        ensure!(unlocked);
        ensure!(test_passphrase(&image, PASSPHRASE, b"another")? == Some(false));
        Ok("unlocks; not with another key")
    })
}
