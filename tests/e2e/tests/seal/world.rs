use anyhow::{Context, Result, ensure};
use nitride_client::{SealStatus, VaultStatus};
use nitride_protocol::{KeyType, Status};
use nitride_support::plan::Plan;
use nitride_support::program::wait_until;
use nitride_support::world::{World, outcome};
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

/// Nothing here depends on how soon it is.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// Sealed keys by their rules, and the rights to change them.
pub(super) const KEYS: &str = r#"
[[rule]]
name = "change"
keys = ["**"]
peers = [{ uid = @UID@ }]
operations = ["rotate", "set-policy", "wrap", "unwrap"]

[[key]]
name = "app/signing"
type = "ec-p256"
source = "local"
operations = ["sign", "verify", "public-key"]
seal = true

[[key]]
name = "app/data"
type = "aes-256-gcm"
source = "local"
operations = ["encrypt", "decrypt"]
seal = true

[[key]]
name = "app/first"
type = "hmac-sha256"
source = "generate"
operations = ["mac", "verify-mac"]
seal = true

[[key]]
name = "app/secret"
type = "secret"
source = "local"
operations = ["release"]
release-to = [{ uid = @UID@ }]
seal = true
"#;

/// Sealed by a credential of the unit.
pub(super) const CREDENTIAL: &str =
    "[seal]\nfolder = \"@DIR@/seal\"\nplatform = \"credential\"\ncredential = \"seal.key\"\n";
/// Sealed by the platform that stands in for one.
pub(super) const SAMPLE: &str =
    "[seal]\nfolder = \"@DIR@/seal\"\nplatform = \"sample\"\ndanger-simulated = true\n";
/// The same, as nitride-quote has it.
pub(super) const SAMPLE_QUOTE: &str =
    "[seal]\nplatform = \"sample\"\ndanger-simulated = true\nsvn = \"1\"\n";

/// A vault with these tables of `vhsmd.toml` and this more of the policy.
pub(super) fn plan(seal: &str, policy: &str) -> Plan {
    let mut plan = Plan::vault(&format!("{KEYS}\n{policy}"));
    plan.vhsmd_tables = seal.to_owned();
    plan.vhsmd_environment = vec![(
        "CREDENTIALS_DIRECTORY".to_owned(),
        "@DIR@/credentials".to_owned(),
    )];
    plan.quote_tables = SAMPLE_QUOTE.to_owned();
    plan
}

/// The same, prepared, with a credential.
pub(super) fn prepared(plan: Plan) -> Result<World> {
    let world = World::prepare(plan)?;
    // However busy the machine is that runs the tests.
    let config = fs::read_to_string(world.path("vhsmd.toml"))?;
    let patient = config.replacen("[evidence]\n", "[evidence]\ntimeout = \"60s\"\n", 1);
    world.folder.write("vhsmd.toml", patient)?;
    let credential = world
        .folder
        .write_secret("credentials/seal.key", [0x5a; 32])?;
    ensure!(credential.exists());
    Ok(world)
}

pub(super) fn started(plan: Plan) -> Result<World> {
    let mut world = prepared(plan)?;
    world.start_quote()?;
    world.start_vhsmd()?;
    Ok(world)
}

/// vhsmd ends without warning, and a new one finds no records.
pub(super) fn reboot(world: &mut World) -> Result<()> {
    end(world)?;
    world.start_vhsmd()
}

pub(super) fn end(world: &mut World) -> Result<()> {
    world.vhsmd.take().context("vhsmd is not there")?.kill()?;
    Ok(())
}

pub(super) fn file(world: &World) -> PathBuf {
    world.path("seal/vault.sealed")
}

pub(super) fn status(world: &World) -> Result<VaultStatus> {
    Ok(world.application()?.status()?)
}

pub(super) fn seal(world: &World) -> Result<SealStatus> {
    status(world)?.seal.context("the status has no seal")
}

pub(super) fn wait_for(world: &World, state: &str) -> Result<SealStatus> {
    let mut last = None;
    wait_until(&format!("the seal is {state}"), PATIENCE, || {
        let found = seal(world)?;
        let is_so = found.state == state;
        last = Some(found);
        Ok(is_so)
    })
    .with_context(|| format!("{last:?}"))?;
    last.context("no status")
}

/// What was made before a reboot, and what it did.
pub(super) struct Made {
    public_key: Vec<u8>,
    sealed: Vec<u8>,
    mac: Vec<u8>,
}

impl Made {
    /// One of each, with a version more of one of them.
    pub(super) fn make(world: &World) -> Result<Self> {
        let mut app = world.application()?;
        let mut admin = world.admin()?;
        app.generate("app/signing", KeyType::EcP256, None)?;
        app.generate("app/data", KeyType::Aes256Gcm, None)?;
        let sealed = app.encrypt("app/data", b"plaintext", b"aad")?;
        admin.rotate("app/data")?;
        admin.import("app/secret", KeyType::Secret, None, b"a passphrase")?;
        app.generate("app/plain", KeyType::Ed25519, None)?;
        Ok(Self {
            public_key: app.public_key("app/signing", None)?.spki,
            sealed,
            mac: app.mac("app/first", b"message")?.tag,
        })
    }

    /// All of it is there and does what it did; what is not sealed is gone.
    pub(super) fn check(&self, world: &World) -> Result<()> {
        let mut app = world.application()?;
        ensure!(app.public_key("app/signing", None)?.spki == self.public_key);
        let opened = app.decrypt("app/data", &self.sealed, b"aad")?;
        ensure!(opened.as_slice() == b"plaintext");
        let told = app.describe("app/data")?;
        ensure!(told.versions.len() == 2, "{told:?}");
        ensure!(app.mac("app/first", b"message")?.tag == self.mac);
        ensure!(&**app.release("app/secret", None)?.secret == b"a passphrase");
        ensure!(outcome(app.describe("app/plain"))? == Status::KeyNotFound);
        Ok(())
    }
}

/// The seal is closed or waits, says `because`, and has the file as it was; everything else goes on.
pub(super) fn check_not_open(world: &World, state: &str, because: &str) -> Result<()> {
    let mut told = String::new();
    wait_until(&format!("{state}: {because}"), PATIENCE, || {
        let found = seal(world)?;
        told = found.because.unwrap_or_default();
        Ok(found.state == state && told.contains(because))
    })
    .with_context(|| told.clone())?;
    ensure!(told.contains("; "), "no remedy in {told:?}");
    let warnings = status(world)?.warnings;
    ensure!(
        warnings.iter().any(|each| each.contains(because)),
        "{warnings:?}"
    );
    let log = fs::read_to_string(world.path("vhsmd.log"))?;
    ensure!(log.contains(because), "{log}");
    let mut app = world.application()?;
    ensure!(outcome(app.describe("app/signing"))? == Status::SealUnavailable);
    ensure!(outcome(app.sign("app/signing", None, b"m"))? == Status::SealUnavailable);
    ensure!(outcome(app.mac("app/first", b"m"))? == Status::SealUnavailable);
    let generated = app.generate("app/signing", KeyType::EcP256, None);
    ensure!(outcome(generated)? == Status::SealUnavailable);
    let imported = world
        .admin()?
        .import("app/secret", KeyType::Secret, None, b"another");
    ensure!(outcome(imported)? == Status::SealUnavailable);
    app.generate("app/other", KeyType::Ed25519, None)?;
    app.sign("app/other", None, b"message")?;
    world.admin()?.destroy("app/other", None)?;
    Ok(())
}
