//! Keys whose bytes the tests know, and the search for them in every program of a world.

use anyhow::{Context, Result, ensure};
use nitride_protocol::KeyType;
use nitride_support::owner::Deposit;
use nitride_support::plan::Plan;
use nitride_support::rules::provisioned;
use nitride_support::scan::{Form, Needles, Snapshot};
use nitride_support::world::World;

const IMPORTED_SECRET: &str = r#"
[[key]]
name = "app/secret"
type = "secret"
source = "local"
operations = ["release"]
release-to = [{ uid = @UID@ }]
"#;

/// What every name in these tests begins with; it has to be found outside the arenas, or the
/// search is blind there.
const CONTROL: &str = "app/fetched-secret";

/// All four programs, with the policy of the keys below.
#[must_use]
pub fn plan(locked_only: bool) -> Plan {
    let policy = [
        provisioned("app/fetched-secret", KeyType::Secret, "demo/secret/one"),
        provisioned("app/fetched-mac", KeyType::HmacSha256, "demo/key/mac"),
        provisioned("app/fetched-ec", KeyType::EcP256, "demo/key/ec"),
        IMPORTED_SECRET.to_owned(),
    ];
    let mut plan = Plan::chain(&policy.concat());
    plan.locked_only = locked_only;
    plan
}

/// Bytes that were never anywhere before.
///
/// # Errors
/// When the kernel has none.
pub fn fresh_bytes(len: usize) -> Result<Vec<u8>> {
    use std::io::Read;
    let mut bytes = vec![0; len];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    // A scalar below the curve's order, whatever was drawn.
    bytes[0] &= 0x7f;
    Ok(bytes)
}

/// Keys that the test knows: imported ones, and those that the service keeps.
#[derive(Debug)]
pub struct Known {
    /// Name, type and bytes of those that an administrator brings.
    pub imported: Vec<(&'static str, KeyType, Vec<u8>)>,
    /// Name, resource, type and bytes of those that the service keeps.
    pub fetched: Vec<(&'static str, &'static str, KeyType, Vec<u8>)>,
}

impl Known {
    /// Fresh ones.
    ///
    /// # Errors
    /// When the kernel has no randomness.
    pub fn new() -> Result<Self> {
        Ok(Self {
            imported: vec![
                ("app/ec", KeyType::EcP256, fresh_bytes(32)?),
                ("app/ed", KeyType::Ed25519, fresh_bytes(32)?),
                ("app/mac", KeyType::HmacSha256, fresh_bytes(32)?),
                ("app/siv", KeyType::Aes256GcmSiv, fresh_bytes(32)?),
                ("app/secret", KeyType::Secret, fresh_bytes(48)?),
            ],
            fetched: vec![
                (
                    "app/fetched-secret",
                    "demo/secret/one",
                    KeyType::Secret,
                    fresh_bytes(40)?,
                ),
                (
                    "app/fetched-mac",
                    "demo/key/mac",
                    KeyType::HmacSha256,
                    fresh_bytes(32)?,
                ),
                (
                    "app/fetched-ec",
                    "demo/key/ec",
                    KeyType::EcP256,
                    fresh_bytes(32)?,
                ),
            ],
        })
    }

    /// Each as what is searched for.
    #[must_use]
    pub fn forms(&self) -> Vec<Form<'_>> {
        let form = |label, key_type, material| Form {
            label,
            key_type,
            material,
        };
        let imported = self
            .imported
            .iter()
            .map(|(name, kind, bytes)| form(*name, *kind, bytes));
        let fetched = self
            .fetched
            .iter()
            .map(|(name, _, kind, bytes)| form(*name, *kind, bytes));
        imported.chain(fetched).collect()
    }

    /// All of them in every form.
    #[must_use]
    pub fn needles(&self) -> Needles {
        let mut needles = Needles::default();
        for form in self.forms() {
            form.add_to(&mut needles);
        }
        needles
    }

    /// Gives the service what it keeps.
    ///
    /// # Errors
    /// When it refuses.
    pub fn deposit(&self, world: &World) -> Result<()> {
        for (_, path, key_type, material) in &self.fetched {
            let deposit = match key_type {
                KeyType::Secret => Deposit::secret(path, material),
                key_type => Deposit::key(path, *key_type, material),
            };
            world.owner().deposit(&deposit)?;
        }
        Ok(())
    }

    /// Gives the vault what an administrator brings.
    ///
    /// # Errors
    /// When it refuses.
    pub fn import(&self, world: &World) -> Result<()> {
        let mut admin = world.admin()?;
        for (name, key_type, material) in &self.imported {
            admin.import(name, *key_type, None, material)?;
        }
        Ok(())
    }
}

/// What the search must find outside the arenas.
#[must_use]
pub fn control() -> Needles {
    let mut needles = Needles::default();
    needles.add("control", CONTROL.as_bytes());
    needles
}

/// One of every use of every key.
///
/// # Errors
/// When one is refused.
pub fn use_all(world: &World) -> Result<()> {
    let mut app = world.application()?;
    for name in ["app/ec", "app/ed", "app/fetched-ec"] {
        let signature = app.sign(name, None, b"message")?.signature;
        app.verify(name, None, None, b"message", &signature)?;
        app.public_key(name, None)?;
    }
    for name in ["app/mac", "app/fetched-mac"] {
        let tag = app.mac(name, b"data")?.tag;
        app.verify_mac(name, None, b"data", &tag)?;
    }
    let ciphertext = app.encrypt("app/siv", b"plaintext", b"aad")?;
    app.decrypt("app/siv", &ciphertext, b"aad")?;
    app.release("app/secret", None)?;
    app.release("app/fetched-secret", None)?;
    Ok(())
}

/// Searches everything but the arenas of the three processes.
///
/// # Errors
/// When something is found, or the search turns out to be blind.
pub fn no_leaks(world: &World, needles: &Needles, when: &str) -> Result<()> {
    let vault = Snapshot::take(world.vhsmd()?.pid())?;
    let leaks = vault.leaks(needles);
    ensure!(
        leaks.is_empty(),
        "{when}: in vhsmd outside its arenas: {leaks:#?}"
    );
    ensure!(
        !vault.leaks(&control()).is_empty(),
        "{when}: the search is blind"
    );
    for (name, program) in [("agent", &world.agent), ("quote", &world.quote)] {
        let program = program.as_ref().context("it runs")?;
        let memory = Snapshot::take(program.pid())?;
        ensure!(memory.rest_len() > 100_000, "{when}: {name} has no memory");
        let leaks = [memory.leaks(needles), memory.kept(needles)].concat();
        ensure!(leaks.is_empty(), "{when}: in the {name}: {leaks:#?}");
    }
    Ok(())
}
