//! OpenBao read by the agent itself: what the policy says may come so does, says so everywhere, and is
//! nowhere in the agent afterwards; what it does not say that of does not come so, whoever the agent is.
#![forbid(unsafe_code)]

mod lies;

use anyhow::{Context, Result, ensure};
use base64ct::{Base64, Encoding};
use nitride_e2e::known::no_leaks;
use nitride_kbs::envelope::{EnvelopeFields, EnvelopePolicy};
use nitride_protocol::Status;
use nitride_support::binaries::Binaries;
use nitride_support::forge::Signatory;
use nitride_support::openbao::Cluster;
use nitride_support::owner::Deposit;
use nitride_support::plan::Plan;
use nitride_support::program::{RunAs, wait_until};
use nitride_support::scan::Needles;
use nitride_support::unit::is_root_or_says_so;
use nitride_support::world::{World, outcome};
use serde_json::{Value, json};
use std::process::Command;
use std::time::Duration;

const READ: &str = "demo/secret/read";
const PLAIN: &str = "demo/secret/plain";
const BLIND: &str = "demo/secret/blind";

const KEYS: &str = r#"
[[key]]
name = "app/read"
type = "secret"
source = "kbs:///demo/secret/read"
service = "bao"
plaintext-courier = true
signer = "owner"
operations = ["release"]
release-to = [{ uid = @UID@ }]

[[key]]
name = "app/plain"
type = "secret"
source = "kbs:///demo/secret/plain"
service = "bao"
plaintext-courier = true
unsigned = "accept"
operations = ["release"]
release-to = [{ uid = @UID@ }]
lease = "1h"

[[key]]
name = "app/blind"
type = "secret"
source = "kbs:///demo/secret/blind"
service = "main"
signer = "owner"
operations = ["release"]
release-to = [{ uid = @UID@ }]
"#;

const BAO: &str = "[[service]]\nname = \"bao\"\nplaintext-courier = true\n";

fn plan() -> Plan {
    let mut plan = Plan::without_agent(KEYS);
    plan.vhsmd_tables = BAO.to_owned();
    plan
}

/// What its owner signs for a path.
fn envelope(world: &World, path: &str, version: u32, material: &[u8]) -> Result<Vec<u8>> {
    let owner = world.owner().signing_key()?;
    envelope_by(&owner, path, version, material)
}

fn envelope_by(by: &Signatory, path: &str, version: u32, material: &[u8]) -> Result<Vec<u8>> {
    let release_to = format!("uid:{}", nix::unistd::getuid());
    let fields = EnvelopeFields {
        path,
        key_type: "secret",
        version,
        tenant: None,
        created_secs: 1_700_000_000,
        policy: EnvelopePolicy {
            operations: vec!["release"],
            wrappable_by: Vec::new(),
            release_to: vec![&release_to],
            lease_secs: None,
            not_after_secs: None,
            disk: None,
        },
        material,
    };
    by.envelope(&by.kid()?, &fields)
}

fn store(bao: &Cluster, path: &str, bytes: &[u8]) -> Result<()> {
    let value = Base64::encode_string(bytes);
    let data = json!({ "data": { "value": value, "of": "somebody" } });
    bao.ask("POST", &format!("secret/data/nitride/direct/{path}"), &data)
        .map(drop)
}

/// The tables of agent.toml for a service of this name that the agent reads; nobody listens at the
/// first of its nodes.
fn read_by_agent(bao: &Cluster, name: &str) -> String {
    let dead = "https://localhost:1".to_owned();
    read_by_agent_at(&[dead, bao.urls()[0].clone()], name)
}

fn read_by_agent_at(urls: &[String], name: &str) -> String {
    let nodes = urls.iter().enumerate();
    let nodes: String = nodes
        .map(|(priority, url)| {
            format!("[[service.endpoint]]\nurl = \"{url}\"\npriority = {priority}\n")
        })
        .collect();
    format!(
        r#"[[service]]
name = "{name}"
kind = "openbao"
plaintext-courier = true
ca = "@DIR@/bao-ca.pem"
mount = "secret"
prefix = "nitride/direct"
request-timeout-ms = 2000
[service.login]
method = "approle"
role-id = "@DIR@/bao-role"
secret-id = "@DIR@/bao-secret"
{nodes}"#
    )
}

const STATUS: &str = "[status]\nsocket = \"@DIR@/status.sock\"\n\n";

/// One node of OpenBao, and all of ours.
fn world_of(mut plan: Plan) -> Result<(Cluster, World)> {
    plan.with_agent = false;
    let mut world = World::start(plan)?;
    let bao = Cluster::start(&world.pki, 1)?;
    bao.write_login(&world.folder)?;
    world.plan.agent_tables = format!("{STATUS}{}", read_by_agent(&bao, "bao"));
    Ok((bao, world))
}

fn agent_status(world: &World) -> Result<String> {
    let shown = Command::new(&Binaries::find()?.agent)
        .args(["status", "--socket"])
        .arg(world.path("status.sock"))
        .output()?;
    ensure!(shown.status.success(), "{shown:?}");
    Ok(String::from_utf8(shown.stdout)?)
}

fn vhsm(world: &World, words: &[&str]) -> Result<String> {
    let ran = world.vhsm(&RunAs::default(), words, b"")?;
    ensure!(ran.status.success(), "{ran:?}");
    Ok(String::from_utf8(ran.stdout)?)
}

/// The tokens that OpenBao has given and that have not ended.
fn tokens(bao: &Cluster) -> Result<usize> {
    let answer = bao.ask("GET", "auth/token/accessors?list=true", &Value::Null)?;
    Ok(answer["data"]["keys"]
        .as_array()
        .context("accessors")?
        .len())
}

#[test]
fn what_the_agent_reads_comes_where_the_policy_says_so_and_is_marked_everywhere() -> Result<()> {
    let (bao, mut world) = world_of(plan())?;
    let before = tokens(&bao)?;
    store(
        &bao,
        READ,
        &envelope(&world, READ, 3, b"read by the agent")?,
    )?;
    let blind = Deposit::secret(BLIND, b"for the vault alone");
    world.owner().deposit(&blind)?;
    world.start_agent()?;
    let mut app = world.application()?;
    let released = app.release("app/read", None)?;
    assert_eq!(&**released.secret, b"read by the agent");
    // Beside it, the other promise is whole.
    assert_eq!(
        &**app.release("app/blind", None)?.secret,
        b"for the vault alone"
    );
    let listed = vhsm(&world, &["list"])?;
    for line in listed.lines() {
        let is_marked = line.contains("PLAINTEXT-COURIER");
        assert_eq!(is_marked, line.starts_with("app/read"), "{listed}");
    }
    let described = vhsm(&world, &["describe", "app/read"])?;
    assert!(described.contains("PLAINTEXT-COURIER"), "{described}");
    let status = vhsm(&world, &["--admin", "status"])?;
    for key in ["app/read", "app/plain"] {
        let warning = format!("PLAINTEXT-COURIER: the agent reads key {key}");
        assert!(status.contains(&warning), "{status}");
    }
    assert!(!status.contains("key app/blind"), "{status}");
    let log = world.vhsmd()?.log();
    for said in [
        "PLAINTEXT-COURIER: the agent reads key app/read",
        ", plaintext-courier",
        "settled: plaintext-courier: the agent has read it",
    ] {
        assert!(log.contains(said), "{said:?} is not in {log}");
    }
    let shown = agent_status(&world)?;
    for said in [
        "WARNING: PLAINTEXT-COURIER: this agent reads what service bao gives",
        "service bao, PLAINTEXT-COURIER",
        "resource demo/secret/read: delivered",
    ] {
        assert!(shown.contains(said), "{said:?} is not in {shown}");
    }
    let log = world.agent()?.log();
    assert!(log.contains("PLAINTEXT-COURIER: this agent reads"), "{log}");
    // A token is for one round.
    assert_eq!(tokens(&bao)?, before);
    // What is not there is said so, and by whom.
    let missing = outcome(app.release("app/plain", None))?;
    assert_eq!(missing, Status::ResourceRefused);
    let shown = agent_status(&world)?;
    assert!(shown.contains("there is no such secret"), "{shown}");
    Ok(())
}

#[test]
fn a_lease_of_the_secret_s_metadata_counts_and_a_new_version_is_taken_with_it() -> Result<()> {
    let (bao, mut world) = world_of(plan())?;
    let metadata = json!({ "custom_metadata": { "nitride-lease-secs": "6" } });
    store(&bao, PLAIN, b"the first one")?;
    let path = format!("secret/metadata/nitride/direct/{PLAIN}");
    bao.ask("POST", &path, &metadata)?;
    world.start_agent()?;
    let mut app = world.application()?;
    let released = app.release("app/plain", None)?;
    assert_eq!(
        (&**released.secret, released.version),
        (&b"the first one"[..], 1)
    );
    let left = app.describe("app/plain")?.lease_secs_left;
    ensure!(left.is_some_and(|secs| secs <= 6), "{left:?}");
    store(&bao, PLAIN, b"the second one")?;
    wait_until("the second one", Duration::from_secs(30), || {
        let released = app.release("app/plain", None)?;
        Ok(&**released.secret == b"the second one" && released.version == 2)
    })?;
    // What nobody may read any more ends with its lease.
    let elsewhere = json!({ "policy": r#"path "elsewhere/*" { capabilities = ["read"] }"# });
    bao.ask("POST", "sys/policies/acl/nitride", &elsewhere)?;
    wait_until("the lease's end", Duration::from_secs(30), || {
        Ok(outcome(app.release("app/plain", None))? == Status::DeniedByVerifier)
    })
}

#[test]
fn a_policy_without_the_words_is_refused_by_name_and_the_agent_reads_nothing_for_it() -> Result<()>
{
    let (bao, mut world) = world_of(plan())?;
    let stated = |words: &str, without: &str| KEYS.replacen(words, without, 1);
    for (policy, said) in [
        (
            stated("plaintext-courier = true\n", ""),
            "key app/read does not say plaintext-courier, and the agent reads what service bao gives",
        ),
        (
            stated(
                "service = \"main\"\n",
                "service = \"main\"\nplaintext-courier = true\n",
            ),
            "key app/blind says plaintext-courier, and the agent reads what none of its services gives",
        ),
        (
            stated("kbs:///demo/secret/blind", "kbs:///demo/secret/read"),
            "key app/blind comes from the resource of key app/read, which says plaintext-courier",
        ),
    ] {
        let policy = format!("{}\n{policy}", nitride_support::plan::EVERYTHING);
        assert!(world.set_policy(&policy).is_err());
        let log = world.vhsmd()?.log();
        assert!(log.contains(said), "{said:?} is not in {log}");
    }
    // An agent whose configuration says what vhsmd's does not reads nothing at all, and says why.
    store(&bao, BLIND, &envelope(&world, BLIND, 1, b"not to be read")?)?;
    let before = tokens(&bao)?;
    let url = format!("https://localhost:{}", world.relay()?.address().port());
    let text = format!(
        "[vhsmd]\nsocket = \"@DIR@/agent.sock\"\n\n{STATUS}{}\n[[service]]\nname = \"bao\"\n\
         ca = \"@DIR@/ca.pem\"\n[[service.endpoint]]\nurl = \"{url}\"\n",
        read_by_agent(&bao, "main")
    );
    world.folder.write("agent.toml", world.expand(&text))?;
    world.start_agent_as_configured()?;
    let mut app = world.application_waiting(Duration::from_secs(5))?;
    for (key, said) in [
        (
            "app/blind",
            "vhsmd.toml does not say plaintext-courier for it: nothing is read",
        ),
        (
            "app/read",
            "vhsmd.toml says plaintext-courier for the service, and it is a KBS here",
        ),
    ] {
        assert_ne!(outcome(app.release(key, None))?, Status::Ok);
        let shown = agent_status(&world)?;
        assert!(shown.contains(said), "{said:?} is not in {shown}");
    }
    assert_eq!(tokens(&bao)?, before);
    Ok(())
}

#[test]
fn what_the_agent_has_read_is_in_the_arenas_and_neither_in_the_agent_nor_in_any_log() -> Result<()>
{
    if !is_root_or_says_so("what_the_agent_has_read_is_in_the_arenas") {
        return Ok(());
    }
    let mut plan = plan();
    plan.locked_only = true;
    // The name by which the search shows that it sees.
    plan.policy = plan.policy.replace("app/plain", "app/fetched-secret");
    let (bao, mut world) = world_of(plan)?;
    let secrets: [Vec<u8>; 2] = [
        (0..48).map(|n: u8| n.wrapping_mul(37) ^ 0x5a).collect(),
        (0..48).map(|n: u8| n.wrapping_mul(53) ^ 0xc3).collect(),
    ];
    let signed = envelope(&world, READ, 1, &secrets[0])?;
    let mut needles = Needles::default();
    for (label, bytes) in [("signed", &secrets[0]), ("unsigned", &secrets[1])] {
        needles.add(label, bytes);
    }
    // As they lie in OpenBao's answers, and what they are asked for with.
    for (label, bytes) in [("signed", &signed), ("unsigned", &secrets[1])] {
        needles.add(
            &format!("{label} in base64"),
            Base64::encode_string(bytes).as_bytes(),
        );
    }
    let secret_id = std::fs::read_to_string(world.path("bao-secret"))?;
    needles.add("secret id", secret_id.trim().as_bytes());
    store(&bao, READ, &signed)?;
    store(&bao, PLAIN, &secrets[1])?;
    world.start_agent()?;
    let mut app = world.application()?;
    for (key, secret) in ["app/read", "app/fetched-secret"].into_iter().zip(&secrets) {
        assert_eq!(&**app.release(key, None)?.secret, secret.as_slice());
    }
    drop(app);
    // The vault has it before the agent's last request has ended.
    wait_until("no leak", Duration::from_secs(5), || {
        Ok(no_leaks(&world, &needles, "after the rounds").is_ok())
    })
    .or_else(|_| no_leaks(&world, &needles, "after the rounds"))?;
    let vault = nitride_support::scan::Snapshot::take(world.vhsmd()?.pid())?;
    let mut kept = Needles::default();
    kept.add("signed", &secrets[0]);
    ensure!(!vault.kept(&kept).is_empty(), "it is not in the arenas");
    let logs = world.logs();
    ensure!(needles.find(logs.as_bytes()).is_empty(), "a log holds it");
    Ok(())
}
