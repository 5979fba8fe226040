//! Three keys that the service keeps: a secret, one to sign and one to authenticate with.

use anyhow::Result;
use nitride_protocol::KeyType;
use nitride_support::owner::Deposit;
use nitride_support::rules::provisioned;
use nitride_support::world::World;

const KEYS: [(&str, KeyType, &str); 3] = [
    ("app/secret", KeyType::Secret, "demo/secret/one"),
    ("app/signing", KeyType::EcP256, "demo/key/signing"),
    ("app/mac", KeyType::HmacSha256, "demo/key/mac"),
];

/// Their rules.
#[must_use]
pub fn keys() -> String {
    let rules = KEYS.map(|(name, key_type, path)| provisioned(name, key_type, path));
    rules.concat()
}

/// Leaves them at the service.
///
/// # Errors
/// When it refuses.
pub fn deposit(world: &World) -> Result<()> {
    let owner = world.owner();
    for (_, key_type, path) in KEYS {
        owner.deposit(&match key_type {
            KeyType::Secret => Deposit::secret(path, b"correct horse battery staple"),
            KeyType::EcP256 => Deposit::key(path, key_type, &[5; 32]),
            _ => Deposit::key(path, key_type, &[6; 32]),
        })?;
    }
    Ok(())
}
