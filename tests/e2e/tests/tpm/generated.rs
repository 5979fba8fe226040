//! Secrets that the service makes for a machine when it first asks: two machines, each with a TPM of its
//! own, and one service.

use super::{Wanted, enrolled, prepared, restarted};
use anyhow::{Context, Result, ensure};
use base64ct::{Base64, Encoding};
use nitride_kbs::report_data::report_data;
use nitride_protocol::Status;
use nitride_protocol::quote::{EvidenceReply, EvidenceRequest};
use nitride_support::asker::Asker;
use nitride_support::courier::{BoundEvidence, KbsSession};
use nitride_support::guest::tee_key;
use nitride_support::plan::EVERYTHING;
use nitride_support::program::wait_until;
use nitride_support::swtpm::Swtpm;
use nitride_support::world::{World, outcome};
use serde_json::Value;
use std::time::{Duration, Instant};

const PATH: &str = "disk/secret/root";
/// As envelopes of the test say it: what is revoked stays no longer in a vault.
const LEASE: Duration = Duration::from_secs(4);
/// Every replica sees within so long what is revoked, and a renewal may be under way.
const SEEN: Duration = Duration::from_secs(8);

const KEY: &str = r#"
[[key]]
name = "app/secret"
type = "secret"
source = "kbs:///disk/secret/root"
service = "main"
signer = "generated"
operations = ["release"]
release-to = [{ uid = @UID@ }]
"#;

const GENERATE: &str = r#"
version = 1
signing-key = "generate.key"

[[secret]]
name = "disks"
resources = ["disk/secret/root"]
identity = { tpm = ["ak_sha256"] }
danger-allow-simulated = false
type = "secret"
form = "passphrase"
bytes = 32
operations = ["release"]
release-to = ["uid:@UID@"]
wrappable-by = []
lease-secs = 4
max-machines = 10
"#;

/// A machine whose key is made by the service; its vault pins `public` as the signer.
fn machine() -> Result<(World, Swtpm)> {
    let (mut world, tpm) = prepared("ec-p256", "", None)?;
    let vhsmd = std::fs::read_to_string(world.path("vhsmd.toml"))?;
    let signer = "[[signer]]\nname = \"generated\"\npublic-key = \"@DIR@/generate.pub\"\n";
    let vhsmd = format!("{vhsmd}\n{}", world.expand(signer));
    world.folder.write("vhsmd.toml", vhsmd)?;
    let policy = world.expand(&format!("{EVERYTHING}\n{KEY}"));
    world.folder.write("policy.d/test.toml", policy)?;
    world.start_quote()?;
    Ok((world, tpm))
}

/// The first machine's world has the service, too.
fn fleet() -> Result<[(World, Swtpm); 2]> {
    let [(mut first, first_tpm), (mut second, second_tpm)] = [machine()?, machine()?];
    let pins = [enrolled(&first)?, enrolled(&second)?].map(|line| {
        let name = line.split('"').nth(1).map(str::to_owned);
        name.unwrap_or_default()
    });
    let pins = format!("attestation-keys = {pins:?}\n");
    let wanted = Wanted::nothing_more().policy(&pins);
    first.folder.write("attestation.toml", wanted)?;
    let [key, public] = ["generate.key", "generate.pub"].map(|name| first.path(name));
    let (key, public) = (key.to_string_lossy(), public.to_string_lossy());
    let words = [
        "owner-key",
        "generate",
        "--out",
        &key,
        "--public-out",
        &public,
    ];
    first.owner().provisiond(&words, b"")?;
    first
        .folder
        .write("generate.toml", first.expand(GENERATE))?;
    let service = std::fs::read_to_string(first.path("provisiond.toml"))?;
    let service = format!("{service}\n[policies]\ngenerate = \"generate.toml\"\n");
    first.folder.write("provisiond.toml", service)?;
    first.start_vhsmd()?;
    first.start_service()?;
    first.start_agent()?;
    // The second one trusts the first one's service, and its key for what it makes.
    for name in ["generate.pub", "ca.pem"] {
        let shared = std::fs::read(first.path(name))?;
        second.folder.write(name, shared)?;
    }
    second.start_vhsmd()?;
    let port = first.relay()?.address().port();
    second.start_agent_at(&format!("https://localhost:{port}"))?;
    Ok([(first, first_tpm), (second, second_tpm)])
}

fn passphrase(world: &World) -> Result<Vec<u8>> {
    let released = world.application()?.release("app/secret", None)?;
    Ok(released.secret.to_vec())
}

fn provisiond(world: &World, words: &[&str]) -> Result<String> {
    let config = world.path("provisiond.toml");
    let config = config.to_string_lossy();
    let words = [words, &["--config", &config]].concat();
    world.owner().provisiond(&words, b"")
}

#[test]
fn each_machine_has_its_own_passphrase_at_every_boot_until_it_is_revoked() -> Result<()> {
    let [(mut first, _one), (second, _two)] = fleet()?;
    let passphrases = [passphrase(&first)?, passphrase(&second)?];
    ensure!(passphrases[0] != passphrases[1]);
    ensure!(passphrases[0].len() == 43, "32 bytes in base64url");
    // Another boot: nothing is left in the vault, and the machine is the same.
    restarted(&mut first, "[evidence]", "[evidence]")?;
    ensure!(passphrase(&first)? == passphrases[0]);
    let listed = provisiond(&first, &["generated", "list"])?;
    let lines: Vec<&str> = listed.lines().collect();
    ensure!(lines.len() == 2, "{listed}");
    for line in &lines {
        ensure!(
            line.starts_with("disk/secret/root tpm.ak_sha256="),
            "{line}"
        );
        ensure!(line.contains(" 1 ") && line.ends_with(" kept"), "{line}");
    }

    // A new version of the second one's, and the first one's stays.
    let machines: Vec<&str> = lines
        .iter()
        .filter_map(|line| line.split(' ').nth(1))
        .collect();
    let first_is = identity_of(&first)?;
    let second_is = identity_of(&second)?;
    ensure!(machines.contains(&&*first_is) && machines.contains(&&*second_is));
    let rotated = provisiond(&first, &["generated", "rotate", PATH, &second_is])?;
    ensure!(rotated.ends_with(" 2\n"), "{rotated}");
    wait_until("the next version", Duration::from_secs(20), || {
        Ok(passphrase(&second)? != passphrases[1])
    })?;
    ensure!(passphrase(&first)? == passphrases[0]);

    // What is revoked leaves the vault by its lease, and comes no more.
    provisiond(&first, &["revoke", "add", "vm", &first_is])?;
    let revoked = Instant::now();
    let mut hasty = first.application_waiting(Duration::ZERO)?;
    wait_until("the lease's end", Duration::from_secs(30), || {
        Ok(outcome(hasty.release("app/secret", None))? != Status::Ok)
    })?;
    ensure!(revoked.elapsed() < SEEN + LEASE, "{:?}", revoked.elapsed());
    ensure!(outcome(first.application()?.release("app/secret", None))? == Status::DeniedByVerifier);
    let rotated = passphrase(&second)?;

    // One that is destroyed goes the same way, and a rotation brings another.
    provisiond(&first, &["generated", "destroy", PATH, &second_is])?;
    let mut hasty = second.application_waiting(Duration::ZERO)?;
    wait_until("the lease's end", Duration::from_secs(30), || {
        Ok(outcome(hasty.release("app/secret", None))? != Status::Ok)
    })?;
    provisiond(&first, &["generated", "rotate", PATH, &second_is])?;
    wait_until("another one", Duration::from_secs(20), || {
        let released = second.application()?.release("app/secret", None);
        Ok(released.is_ok_and(|released| released.secret[..] != rotated[..]))
    })
}

#[test]
fn a_machine_that_says_it_is_another_gets_nothing() -> Result<()> {
    let [(first, _one), (second, _two)] = fleet()?;
    passphrase(&first)?;
    let attested = |change: &dyn Fn(&mut Value) -> Result<()>| {
        let mut session = KbsSession::open(&first.service_upstream()?)?;
        let nonce = session.auth("tpm")?;
        let mut bound = evidence(&second, &nonce)?;
        let mut said: Value = serde_json::from_str(&bound.primary_evidence)?;
        change(&mut said)?;
        bound.primary_evidence = said.to_string();
        let answer = session.post_evidence(&nonce, &bound)?;
        let given = session.fetch(PATH)?;
        Ok::<_, anyhow::Error>((answer.status(), given.status()))
    };
    let its_own = attested(&|_| Ok(()))?;
    ensure!(its_own == (200, 200), "{its_own:?}");
    // The first one's attestation key, which anybody may know, over what the second one's has signed.
    let of_first: Value = serde_json::from_str(&evidence(&first, "any nonce")?.primary_evidence)?;
    let claims = |names: &'static [&'static str]| {
        let of_first = of_first.clone();
        move |said: &mut Value| {
            for name in names {
                ensure!(!of_first[name].is_null(), "no {name} in {of_first}");
                said[name] = of_first[name].clone();
            }
            Ok(())
        }
    };
    for names in [
        &["ak_public", "ak_area"][..],
        &["ak_public"],
        &["ak_area"],
        &["ak_public", "ak_area", "tpm_quote"],
    ] {
        let refused = attested(&claims(names))?;
        ensure!(refused == (401, 401), "{names:?}: {refused:?}");
    }
    let listed = provisiond(&first, &["generated", "list"])?;
    ensure!(listed.lines().count() == 2, "{listed}");
    Ok(())
}

/// As the service names the machine.
fn identity_of(world: &World) -> Result<String> {
    let said: Value = serde_json::from_str(&evidence(world, "any nonce")?.primary_evidence)?;
    let key = said["ak_public"].as_str().context("a key")?;
    let key = Base64::decode_vec(key).ok().context("a key in base64")?;
    Ok(format!(
        "tpm.ak_sha256={}",
        base16ct::lower::encode_string(&super::sha256(&[&key]))
    ))
}

/// What a machine's own helper says for a TEE key of the test's.
fn evidence(world: &World, nonce: &str) -> Result<BoundEvidence> {
    let key = tee_key()?;
    let mut quote = Asker::connect_silently(&world.path("quote.sock"))?;
    let answer = quote.ask(&EvidenceRequest {
        tee: "tpm",
        report_data: &report_data(nonce, &key, ""),
        yields: false,
    })?;
    let reply: EvidenceReply<'_> = answer.result()?;
    Ok(BoundEvidence {
        tee_pubkey: key.to_jwk_json(),
        primary_evidence: reply.primary_evidence.to_owned(),
        additional_evidence: reply.additional_evidence.to_owned(),
    })
}
