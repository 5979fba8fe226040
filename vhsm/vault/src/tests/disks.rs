//! A secret that its owner gives to a volume on certain disks alone.

use super::world::{EVERYTHING, World, kbs, name, policy, rule, secret_for};
use crate::policy::ReleaseTo;
use crate::{Refusal, VolumeRefusal};
use nitride_kbs::disk::DiskExpectation;
use nitride_protocol::application::Release;

fn disk(letter: char) -> DiskExpectation {
    let digest = letter.to_string().repeat(42);
    format!(
        "luks2:7dfa3aba-96d9-4de6-90e8-45d3d2d0d897:aes-xts-plain64:512:16777216:dynamic:4096:\
         none:{digest}A"
    )
    .parse()
    .unwrap()
}

fn world(named: &[ReleaseTo], disks: Option<Vec<DiskExpectation>>) -> World {
    let mut stated = secret_for("s", kbs("r/t/s"), ReleaseTo::Volume("root".into()));
    stated.release_to = named.to_vec();
    let mut world = World::new(policy(vec![rule(1, "**", EVERYTHING)], vec![stated]));
    world
        .deliver_with("s", b"passphrase", |delivered| delivered.disks = disks)
        .unwrap();
    world
}

fn ask(world: &World, disk: Option<&DiskExpectation>) -> Result<Vec<u8>, VolumeRefusal> {
    let released = world.vault.release_to_volume("root", disk, world.now)?;
    Ok(released.secret.expose().to_vec())
}

#[test]
fn a_secret_for_certain_disks_goes_to_a_volume_on_one_of_them_alone() {
    let to = [ReleaseTo::Volume("root".into())];
    let world = world(&to, Some(vec![disk('a'), disk('b')]));
    assert_eq!(ask(&world, Some(&disk('a'))).unwrap(), b"passphrase");
    assert_eq!(ask(&world, Some(&disk('b'))).unwrap(), b"passphrase");
    let other = VolumeRefusal::Refused(Refusal::OtherDisk);
    assert_eq!(ask(&world, Some(&disk('c'))).unwrap_err(), other);
    // Every part of it counts.
    let changed = DiskExpectation {
        cipher: "cipher_null-ecb".to_owned(),
        ..disk('a')
    };
    let other = VolumeRefusal::Refused(Refusal::OtherDisk);
    assert_eq!(ask(&world, Some(&changed)).unwrap_err(), other);
    let unstated = VolumeRefusal::Refused(Refusal::DiskNotStated);
    assert_eq!(ask(&world, None).unwrap_err(), unstated);
}

#[test]
fn a_secret_for_no_disk_that_is_known_goes_to_no_volume() {
    let world = world(&[ReleaseTo::Volume("root".into())], Some(Vec::new()));
    let other = VolumeRefusal::Refused(Refusal::OtherDisk);
    assert_eq!(ask(&world, Some(&disk('a'))).unwrap_err(), other);
}

#[test]
fn a_secret_without_disks_goes_to_the_volume_whatever_is_said_of_its_disk() {
    let world = world(&[ReleaseTo::Volume("root".into())], None);
    assert!(ask(&world, None).is_ok());
    assert!(ask(&world, Some(&disk('a'))).is_ok());
}

#[test]
fn disks_are_a_volumes_and_a_peer_is_on_none() {
    let named = [ReleaseTo::Volume("root".into()), ReleaseTo::Uid(1)];
    let mut world = world(&named, Some(vec![disk('a')]));
    let mut app = world.application(1);
    let release = Release {
        key: name("s"),
        version: None,
    };
    assert!(world.ask(&mut app, &release).is_ok());
}
