//! A TPM alone, from its enrolment to a secret, with the real programs and a TPM in software.
#![forbid(unsafe_code)]

use anyhow::{Context, Result, ensure};
use nitride_protocol::Status;
use nitride_support::binaries::Binaries;
use nitride_support::owner::Deposit;
use nitride_support::plan::Plan;
use nitride_support::swtpm::{PCR, Swtpm};
use nitride_support::world::{World, outcome, run};
use std::process::{Command, Output};

const KEYS: &str = r#"
[[key]]
name = "app/secret"
type = "secret"
source = "kbs:///demo/secret/one"
service = "main"
signer = "owner"
operations = ["release"]
release-to = [{ uid = @UID@ }]

[[key]]
name = "app/second"
type = "secret"
source = "kbs:///demo/secret/two"
service = "main"
signer = "owner"
operations = ["release"]
release-to = [{ uid = @UID@ }]
"#;

/// A world whose machine has a TPM, and is not yet known to the service. Nothing is started.
fn prepared(key: &str) -> Result<(World, Swtpm)> {
    let mut plan = Plan::chain(KEYS);
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
        "[tpm]\ntcti = \"{}\"\nkey = \"{key}\"\npcrs = [0, {PCR}]\nevent-log = \"omitted\"\n",
        tpm.tcti()
    );
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
    let forged = answered.stdout.iter().map(|byte| match byte {
        b'A' => b'B',
        b'B' => b'A',
        byte => *byte,
    });
    let forged: Vec<u8> = forged.collect();
    if forged != answered.stdout {
        let answer = text(&world.folder.write("forged.json", &forged)?)?;
        let refused = verify(&["pin", &kept, "--answer", &answer])?;
        ensure!(refused.status.code() == Some(1), "{refused:?}");
    }
    Ok(String::from_utf8(pin.stdout)?)
}

/// PCRs 0 and 16 as nothing has measured into them: no firmware runs before swtpm.
fn policy(pins: &str) -> String {
    let zero = "00".repeat(32);
    format!(
        "version = 1\ndanger-accept-sample = false\ndanger-test-anchors = []\n[tpm]\n{pins}\
         attestation-key-roots = []\nattestation-key-revocation = \"any\"\ninit-data = \"any\"\n\
         event-log-pcrs = \"any\"\nrequires-coverage = [\"firmware\"]\n[[tpm.reference]]\n\
         name = \"clean\"\npcrs = {{ 0 = \"{zero}\", {PCR} = \"{zero}\" }}\n\
         covers = [\"firmware\"]\n"
    )
}

fn start(world: &mut World, pins: &str) -> Result<()> {
    world.folder.write("attestation.toml", policy(pins))?;
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
        let (mut world, tpm) = prepared(key)?;
        world.start_quote()?;
        let pins = enrolled(&world)?;
        start(&mut world, &pins)?;
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
    let (mut world, _tpm) = prepared("ec-p256")?;
    world.start_quote()?;
    let other = format!("attestation-keys = [\"000b{}\"]\n", "00".repeat(32));
    start(&mut world, &other)?;
    let refused = outcome(world.application()?.release("app/secret", None))?;
    ensure!(refused != Status::Ok, "{refused:?}");
    Ok(())
}
