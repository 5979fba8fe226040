//! Backups that no vault made: whoever knows the recipient's public key can seal one.

use super::*;
use crate::keys::record::write_policy;
use crate::tests::world::kbs;
use nitride_protocol::DecodeError;

/// What is forged of a key, and how it differs from what a vault writes.
struct Forged {
    key_type: KeyType,
    origin: Origin,
    id: [u8; 16],
    max_uses: Option<u64>,
    material: [u8; 32],
}

impl Forged {
    fn new() -> Self {
        Self {
            key_type: KeyType::Aes256Gcm,
            origin: Origin::Derived,
            id: [5; 16],
            max_uses: None,
            material: [6; 32],
        }
    }

    /// One part with this key alone, under `name`.
    fn part(&self, recipient: &Recipient, name: &str) -> Vec<u8> {
        let mut room = [0; 2048];
        let mut writer = Writer::new(&mut room);
        let terms = OwnPolicy {
            max_uses: self.max_uses,
            ..OwnPolicy::of(self.key_type.operations())
        };
        writer.array(10).unwrap();
        writer.text(name).unwrap();
        writer.text(self.key_type.as_str()).unwrap();
        writer.u64(self.origin.to_wire()).unwrap();
        writer.bytes(&self.id).unwrap();
        writer.u64(1).unwrap();
        writer.bool(false).unwrap();
        writer.u64(KeyState::Enabled.to_wire()).unwrap();
        write_policy(&mut writer, &terms).unwrap();
        writer.u64(0).unwrap();
        writer.array(1).unwrap();
        writer.array(5).unwrap();
        for number in [1, KeyState::Enabled.to_wire(), 0, 0] {
            writer.u64(number).unwrap();
        }
        writer.bytes(&self.material).unwrap();
        let len = writer.position();
        let place = ([3; 16], 0, true);
        recipient.public_key.seal(place, &room[..len]).unwrap()
    }
}

fn site(keys: Vec<KeyRule>) -> (Site, Recipient) {
    let (recipient, half) = pair(KeyType::X25519);
    (Site::new(keys).with_half(&half, KeyType::X25519), recipient)
}

#[test]
fn a_forged_backup_brings_no_key_that_wraps_or_counts() {
    let (mut site, recipient) = site(Vec::new());
    let good = Forged::new().part(&recipient, "good");
    let ours = [recipient];
    assert_eq!(site.restore(&ours, &[good]), Ok(1));
    let before = site.count();
    let kwp = KeyType::Aes256Kwp;
    for (forged, wrong) in [
        (
            Forged {
                key_type: kwp,
                ..Forged::new()
            },
            "type",
        ),
        (
            Forged {
                origin: Origin::Generated,
                ..Forged::new()
            },
            "origin",
        ),
        (
            Forged {
                origin: Origin::Imported,
                ..Forged::new()
            },
            "origin",
        ),
        (
            Forged {
                max_uses: Some(1),
                ..Forged::new()
            },
            "policy",
        ),
    ] {
        let part = forged.part(&ours[0], "forged");
        let fault = site.restore(&ours, &[part]).unwrap_err();
        let is_named = matches!(
            fault,
            BackupFault::Malformed(DecodeError::OutOfRange { field, .. }) if field == wrong
        );
        assert!(is_named, "{fault}");
    }
    assert_eq!(site.count(), before);
}

#[test]
fn a_forged_backup_tells_nobody_whether_he_guessed_a_provisioned_secret() {
    let fetched = key("fetched", KeyType::Secret, kbs("r/t/fetched"));
    let (mut site, recipient) = site(vec![fetched]);
    site.world.deliver("fetched", &[6; 32]);
    let there = site.world.vault.keys.find("fetched").unwrap().unwrap();
    let id = there.read().unwrap().id;
    for material in [[6; 32], [7; 32]] {
        let forged = Forged {
            key_type: KeyType::Secret,
            id,
            material,
            ..Forged::new()
        };
        let part = forged.part(&recipient, "fetched");
        let fault = site
            .restore(std::slice::from_ref(&recipient), &[part])
            .unwrap_err();
        let is_taken = matches!(
            fault,
            BackupFault::Key {
                refusal: Refusal::KeyExists,
                ..
            }
        );
        assert!(is_taken, "{fault}");
    }
}
