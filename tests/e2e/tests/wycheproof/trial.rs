//! A vault on trial, and keys in it.

use anyhow::{Context, Result};
use nitride_client::{Client, ClientError};
use nitride_protocol::{KeyName, KeyType, MaterialFormat, Status, admin};
use nitride_support::plan::Plan;
use nitride_support::world::World;

const RULES: &str = r#"
[[rule]]
name = "more"
keys = ["**"]
peers = [{ uid = @UID@ }]
operations = ["derive", "agree", "decapsulate", "wrap", "unwrap"]
"#;

/// What the codes of keys are compared over.
pub(crate) const DATA: &[u8] = b"what both sides know";

/// The vault, and a connection to each of its sockets.
pub(crate) struct Trial {
    pub(crate) world: World,
    pub(crate) application: Client,
    pub(crate) admin: Client,
    keys: u32,
}

impl Trial {
    pub(crate) fn start() -> Result<Self> {
        Self::start_as(Plan::vault(RULES))
    }

    /// With room for a key of each vector.
    pub(crate) fn start_as(plan: Plan) -> Result<Self> {
        let room = "[limits]\nkeys-per-uid = 100000\n";
        let vhsmd_tables = format!("{room}{}", plan.vhsmd_tables);
        let mut world = World::prepare(Plan {
            vhsmd_tables,
            ..plan
        })?;
        let text = std::fs::read_to_string(world.path("vhsmd.toml"))?;
        let grows = "records = \"3MiB\"\nrecords-max = \"48MiB\"";
        let text = text.replace("records = \"3MiB\"", grows);
        world.folder.write("vhsmd.toml", text)?;
        world.start_quote()?;
        world.start_vhsmd()?;
        if world.plan.with_service {
            world.start_service()?;
            world.start_agent()?;
        }
        Ok(Self {
            application: world.application()?,
            admin: world.admin()?,
            world,
            keys: 0,
        })
    }

    /// A name that no key has.
    pub(crate) fn name(&mut self) -> String {
        self.keys += 1;
        format!("vector/{}", self.keys)
    }

    /// Brings a key in; `None` if the vault says that it is none.
    pub(crate) fn import(&mut self, key_type: KeyType, material: &[u8]) -> Result<Option<String>> {
        self.bring(key_type, material, MaterialFormat::Raw, None)
    }

    /// The same in any form, plain or wrapped.
    pub(crate) fn bring(
        &mut self,
        key_type: KeyType,
        material: &[u8],
        format: MaterialFormat,
        wrapping_key: Option<&str>,
    ) -> Result<Option<String>> {
        let name = self.name();
        let request = admin::Import {
            key: KeyName::parse(&name)?,
            key_type,
            operations: None,
            material,
            format,
            wrapping_key: wrapping_key.map(KeyName::parse).transpose()?,
            wrappable_by: Vec::new(),
        };
        let brought = taken(self.admin.import_with(&request))?;
        Ok(brought.map(|_| name))
    }

    /// The public half as the vault gives it: an SPKI, which ends with the key itself.
    pub(crate) fn public(&mut self, key: &str) -> Result<Vec<u8>> {
        Ok(self.application.public_key(key, None)?.spki)
    }

    /// Whether the key is the one that gives this code.
    pub(crate) fn has_code(&mut self, key: &str, code: &[u8]) -> Result<bool> {
        Ok(self.application.mac(key, DATA)?.tag == code)
    }
}

/// What a call gave, or `None` if vhsmd found fault with what it was given. Whatever else goes
/// wrong is no verdict on a vector.
pub(crate) fn taken<T>(called: Result<T, ClientError>) -> Result<Option<T>> {
    match called {
        Ok(value) => Ok(Some(value)),
        Err(error) => match error.status() {
            Some(status) if is_verdict(status) => Ok(None),
            _ => Err(error).context("no verdict"),
        },
    }
}

/// Whether a refusal says that the bytes are wrong.
pub(crate) fn is_verdict(status: Status) -> bool {
    matches!(
        status,
        Status::VerificationFailed | Status::Malformed | Status::WrongParameters
    )
}
