//! A TPM alone, from its enrolment to a secret, with the real programs and a TPM in software.
#![forbid(unsafe_code)]

mod generated;
mod phases;

use anyhow::{Context, Result, ensure};
use aws_lc_rs::digest::{SHA256, digest};
use nitride_protocol::{KeyType, Status};
use nitride_support::binaries::Binaries;
use nitride_support::owner::Deposit;
use nitride_support::plan::Plan;
use nitride_support::rules::provisioned;
use nitride_support::swtpm::{PCR, Swtpm};
use nitride_support::world::{World, outcome, run};
use serde_json::Value;
use std::process::{Command, Output};

fn plan() -> Plan {
    let first = provisioned("app/secret", KeyType::Secret, "demo/secret/one");
    let second = provisioned("app/second", KeyType::Secret, "demo/secret/two");
    Plan::chain(&(first + &second))
}

/// Where the tests' phases are measured.
const PHASES_PCR: u8 = 12;

/// A world whose machine has a TPM, and is not yet known to the service. Nothing is started. `boot` is
/// vhsmd's table of that name, `register` that of nitride-quote's `[phases]`, where there is to be one.
fn prepared(key: &str, boot: &str, register: Option<&str>) -> Result<(World, Swtpm)> {
    let mut plan = plan();
    boot.clone_into(&mut plan.vhsmd_tables);
    plan.tee = "tpm".to_owned();
    plan.resource_policy = plan
        .resource_policy
        .replace("\"sample\"", "\"tpm\"")
        .replace(
            "danger-allow-simulated = true",
            "danger-allow-simulated = false",
        );
    let mut world = World::prepare(plan)?;
    let tpm = Swtpm::start(&world.folder)?;
    world.plan.quote_tables = format!(
        "[tpm]\ntcti = \"{}\"\nkey = \"{key}\"\npcrs = [0, 8, {PHASES_PCR}, {PCR}]\n\
         event-log = \"omitted\"\n",
        tpm.tcti()
    );
    if let Some(register) = register {
        let tcti = tpm.tcti();
        let table = format!(
            "[phases]\nregister = \"{register}\"\ntcti = \"{tcti}\"\nrecord = \"@DIR@/phases\"\n"
        );
        world.plan.quote_tables.push_str(&table);
    }
    Ok((world, tpm))
}

fn quote(world: &World, arguments: &[&str]) -> Result<Output> {
    let config = world.path("quote.toml");
    let mut command = Command::new(&Binaries::find()?.quote);
    run(command.arg("--config").arg(config).args(arguments), b"")
}

fn verify(arguments: &[&str]) -> Result<Output> {
    run(
        Command::new(&Binaries::find()?.verify)
            .args(["tpm"])
            .args(arguments),
        b"",
    )
}

fn text(path: &std::path::Path) -> Result<String> {
    Ok(path.to_str().context("a path in UTF-8")?.to_owned())
}

/// From the machine's request to the policy's line, as an operator goes.
fn enrolled(world: &World) -> Result<String> {
    let asked = quote(world, &["--tpm-enrol"])?;
    ensure!(asked.status.success(), "{asked:?}");
    let request = text(&world.folder.write("request.json", &asked.stdout)?)?;
    let [challenge, kept] = ["challenge.json", "kept.json"].map(|name| world.path(name));
    let (challenge, kept) = (text(&challenge)?, text(&kept)?);
    let made = |endorsement_key: &str| {
        let files = ["--challenge", &challenge, "--keep", &kept];
        let of = ["challenge", &request, "--endorsement-key", endorsement_key];
        verify(&[&of[..], &files].concat())
    };
    // The operator of the hypervisor tells the endorsement key; here the refusal does.
    let refused = made(&"00".repeat(32))?;
    ensure!(refused.status.code() == Some(2), "{refused:?}");
    let told = String::from_utf8(refused.stderr)?;
    let told = told
        .split("the endorsement key is ")
        .nth(1)
        .context("no key is told")?;
    let made = made(told.get(..64).context("a digest")?)?;
    ensure!(made.status.success(), "{made:?}");
    let answered = quote(world, &["--activate-credential", &challenge])?;
    ensure!(answered.status.success(), "{answered:?}");
    let answer = text(&world.folder.write("answer.json", &answered.stdout)?)?;
    let pin = verify(&["pin", &kept, "--answer", &answer])?;
    ensure!(pin.status.success(), "{pin:?}");
    let mut forged: Value = serde_json::from_slice(&answered.stdout)?;
    let given = forged["answer"].as_str().context("an answer")?;
    // The last letter has bits that have to be zero; the first has none.
    let first = if given.starts_with('A') { "B" } else { "A" };
    let changed = format!("{first}{}", given.get(1..).context("an answer")?);
    forged["answer"] = changed.into();
    let answer = text(&world.folder.write("forged.json", forged.to_string())?)?;
    let refused = verify(&["pin", &kept, "--answer", &answer])?;
    ensure!(refused.status.code() == Some(1), "{refused:?}");
    Ok(String::from_utf8(pin.stdout)?)
}

/// PCRs 0 and 16 as nothing has measured into them, since no firmware runs before swtpm, and what the
/// test wants besides.
struct Wanted {
    init_data: &'static str,
    pcrs: String,
}

impl Wanted {
    fn nothing_more() -> Self {
        Self {
            init_data: "any",
            pcrs: String::new(),
        }
    }

    fn policy(&self, pins: &str) -> String {
        let Self { init_data, pcrs } = self;
        let zero = "00".repeat(32);
        format!(
            "version = 1\ndanger-accept-sample = false\ndanger-test-anchors = []\n[tpm]\n{pins}\
             attestation-key-roots = []\nattestation-key-revocation = \"any\"\n\
             init-data = \"{init_data}\"\nevent-log-pcrs = \"any\"\n\
             requires-coverage = [\"firmware\"]\n[[tpm.reference]]\nname = \"clean\"\n\
             pcrs = {{ 0 = \"{zero}\", {PCR} = \"{zero}\"{pcrs} }}\ncovers = [\"firmware\"]\n"
        )
    }
}

fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut hashed = [0; 32];
    hashed.copy_from_slice(digest(&SHA256, &parts.concat()).as_ref());
    hashed
}

fn start(world: &mut World, pins: &str, wanted: &Wanted) -> Result<()> {
    world
        .folder
        .write("attestation.toml", wanted.policy(pins))?;
    world.start_vhsmd()?;
    world.start_service()?;
    world.start_agent()?;
    let owner = world.owner();
    owner.deposit(&Deposit::secret("demo/secret/one", b"correct horse"))?;
    owner.deposit(&Deposit::secret("demo/secret/two", b"battery staple"))
}

#[test]
fn an_enrolled_tpm_gets_its_secrets_until_something_else_is_started() -> Result<()> {
    for key in ["ec-p256", "rsa-2048"] {
        let (mut world, tpm) = prepared(key, "", None)?;
        world.start_quote()?;
        let pins = enrolled(&world)?;
        start(&mut world, &pins, &Wanted::nothing_more())?;
        let mut app = world.application()?;
        let released = app.release("app/secret", None)?;
        ensure!(&**released.secret == b"correct horse");
        tpm.extend()?;
        let refused = outcome(app.release("app/second", None))?;
        ensure!(refused != Status::Ok, "{refused:?}");
    }
    Ok(())
}

#[test]
fn a_tpm_that_is_not_enrolled_gets_nothing() -> Result<()> {
    let (mut world, _tpm) = prepared("ec-p256", "", None)?;
    world.start_quote()?;
    let other = format!("attestation-keys = [\"000b{}\"]\n", "00".repeat(32));
    start(&mut world, &other, &Wanted::nothing_more())?;
    let refused = outcome(world.application()?.release("app/secret", None))?;
    ensure!(refused != Status::Ok, "{refused:?}");
    Ok(())
}

/// vhsmd again, with this in its configuration changed.
fn restarted(world: &mut World, from: &str, to: &str) -> Result<()> {
    drop(world.vhsmd.take());
    let config = std::fs::read_to_string(world.path("vhsmd.toml"))?;
    ensure!(config.contains(from), "{from:?} is not in {config}");
    let config = config.replace(from, to);
    world.folder.write("vhsmd.toml", config)?;
    world.start_vhsmd()
}

#[test]
fn init_data_are_those_that_were_measured_or_nothing_is_given() -> Result<()> {
    const BODY: &str = "version = \"0.1.0\"\nalgorithm = \"sha256\"\n[data]\nimage = \"a\"\n";
    let boot = "[boot]\ninit-data = \"@DIR@/init-data.toml\"\n";
    let (mut world, tpm) = prepared("ec-p256", boot, None)?;
    world.folder.write("init-data.toml", BODY)?;
    tpm.extend_by(8, &sha256(&[BODY.as_bytes()]))?;
    world.start_quote()?;
    let pins = enrolled(&world)?;
    let wanted = Wanted {
        init_data: "bound",
        pcrs: String::new(),
    };
    start(&mut world, &pins, &wanted)?;
    let released = world.application()?.release("app/secret", None)?;
    ensure!(&**released.secret == b"correct horse");
    let changed = BODY.replace("\"a\"", "\"b\"");
    world.folder.write("init-data.toml", changed)?;
    restarted(&mut world, "[boot]", "[boot]")?;
    let refused = outcome(world.application()?.release("app/second", None))?;
    ensure!(refused != Status::Ok, "{refused:?}");
    // None are no better.
    restarted(&mut world, "init-data =", "# init-data =")?;
    let refused = outcome(world.application()?.release("app/second", None))?;
    ensure!(refused != Status::Ok, "{refused:?}");
    world.folder.write("init-data.toml", BODY)?;
    restarted(&mut world, "# init-data =", "init-data =")?;
    let released = world.application()?.release("app/second", None)?;
    ensure!(&**released.secret == b"battery staple");
    Ok(())
}
