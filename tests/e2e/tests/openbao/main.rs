//! nitride-provisiond over real servers of OpenBao.
#![forbid(unsafe_code)]

mod cluster;
mod fleet;
mod generated;

use anyhow::{Context, Result, ensure};
use base64ct::{Base64, Encoding};
use nitride_protocol::{KeyType, Status};
use nitride_support::courier::KbsSession;
use nitride_support::forge::OpenToken;
use nitride_support::guest::{attested, tee_key};
use nitride_support::openbao::Cluster;
use nitride_support::owner::Deposit;
use nitride_support::plan::Plan;
use nitride_support::program::wait_until;
use nitride_support::replica::Replica;
use nitride_support::rules::provisioned;
use nitride_support::world::{World, outcome};
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;

const SECRET: &[u8] = b"correct horse battery staple";
/// One node of OpenBao, and all four programs over it.
fn world() -> Result<(Cluster, World)> {
    let one = provisioned("app/one", KeyType::Secret, "demo/secret/one");
    let two = provisioned("app/two", KeyType::Secret, "demo/secret/two");
    let mut world = World::prepare(Plan::chain(&(one + &two)))?;
    let bao = Cluster::start(&world.pki, 1)?;
    bao.keep_resources_of(&world.folder)?;
    world.start_quote()?;
    world.start_vhsmd()?;
    world.start_service()?;
    world.start_agent()?;
    for path in ["demo/secret/one", "demo/secret/two"] {
        world.owner().deposit(&Deposit::secret(path, SECRET))?;
    }
    Ok((bao, world))
}

/// A guest that has attested to this replica.
fn guest(world: &World, replica: &Replica) -> Result<KbsSession> {
    Ok(attested(world, replica.upstream(), &tee_key()?)?.0)
}

/// A resource's status, and what is said with it.
fn fetched(guest: &mut KbsSession, path: &str) -> Result<(u16, String)> {
    let response = guest.fetch(path)?;
    let body = String::from_utf8_lossy(&response.body).into_owned();
    Ok((response.status(), body))
}

fn files_below(folder: &Path, found: &mut Vec<u8>) -> Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        match path.is_dir() {
            true => files_below(&path, found)?,
            false => found.extend(std::fs::read(&path)?),
        }
    }
    Ok(())
}

#[test]
fn a_secret_goes_from_its_owner_through_openbao_into_a_vault_and_lies_there_sealed() -> Result<()> {
    let (bao, world) = world()?;
    let mut app = world.application()?;
    assert_eq!(&**app.release("app/one", None)?.secret, SECRET);
    // Root of OpenBao sees what is stored, and not what it is.
    let path = "secret/data/nitride/resource/demo/secret/one";
    let read = bao.ask("GET", path, &Value::Null)?;
    let sealed = read["data"]["data"]["sealed"].as_str();
    let mut all = Base64::decode_vec(sealed.context("what is stored")?)?;
    all.extend(read.to_string().into_bytes());
    files_below(bao.storage(), &mut all)?;
    assert!(!all.windows(SECRET.len()).any(|window| window == SECRET));
    Ok(())
}

#[test]
fn an_operator_of_openbao_who_swaps_two_secrets_gets_neither_released() -> Result<()> {
    let (bao, world) = world()?;
    let read = |name: &str| {
        let path = format!("secret/data/nitride/resource/demo/secret/{name}");
        bao.ask("GET", &path, &Value::Null)
    };
    let (one, two) = (read("one")?, read("two")?);
    for (name, other) in [("one", &two), ("two", &one)] {
        // As the first version, which is what each of them says that it is.
        let path = |kind: &str| format!("secret/{kind}/nitride/resource/demo/secret/{name}");
        bao.ask("DELETE", &path("metadata"), &Value::Null)?;
        let data = json!({ "data": other["data"]["data"] });
        bao.ask("POST", &path("data"), &data)?;
    }
    let mut app = world.application()?;
    for name in ["app/one", "app/two"] {
        assert_ne!(outcome(app.release(name, None))?, Status::Ok);
    }
    let log = world.service.as_ref().context("the service")?.log();
    assert!(log.contains("not authentic under this store key"), "{log}");
    Ok(())
}

#[test]
fn a_server_that_is_gone_is_a_named_error_and_one_that_comes_back_serves() -> Result<()> {
    let (mut bao, world) = world()?;
    let hasty = |toml: String| toml.replace("deadline-secs = 40", "deadline-secs = 2");
    let replica = Replica::start(&world, "second", hasty)?;
    let mut guest = guest(&world, &replica)?;
    ensure!(fetched(&mut guest, "demo/secret/one")?.0 == 200);
    bao.kill(0)?;
    let (status, body) = fetched(&mut guest, "demo/secret/one")?;
    assert_eq!(status, 503, "{body}");
    assert!(
        body.contains("StoreError") && !body.contains("localhost"),
        "{body}"
    );
    assert!(
        replica
            .log()
            .contains("OpenBao is not available: https://localhost:")
    );
    bao.start_again(0)?;
    wait_until("it serves again", Duration::from_secs(60), || {
        Ok(fetched(&mut guest, "demo/secret/one")?.0 == 200)
    })
}

#[test]
fn tokens_end_and_are_revoked_and_nobody_notices() -> Result<()> {
    let (bao, world) = world()?;
    let role = json!({ "token_policies": ["nitride"], "token_ttl": "4s", "token_max_ttl": "8s" });
    bao.ask("POST", "auth/approle/role/nitride", &role)?;
    let replica = Replica::start(&world, "second", |toml| toml)?;
    let mut guest = guest(&world, &replica)?;
    let began = std::time::Instant::now();
    let mut revoked = false;
    while began.elapsed() < Duration::from_secs(14) {
        let (status, body) = fetched(&mut guest, "demo/secret/one")?;
        assert_eq!(status, 200, "{body}\n{}", replica.log());
        if !revoked && began.elapsed() > Duration::from_secs(10) {
            bao.ask("POST", "sys/leases/revoke-prefix/auth/approle", &json!({}))?;
            revoked = true;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    // About each 8 s, since renewals reach to the token's end, and once for the revocation.
    let logins = replica.log().matches("logged in to OpenBao").count();
    assert!((2..=6).contains(&logins), "{logins}\n{}", replica.log());
    Ok(())
}

#[test]
fn each_way_to_log_in_lists_what_is_there() -> Result<()> {
    let (bao, world) = world()?;
    let client = world.pki.client("provisiond")?;
    world
        .folder
        .write("bao-client.pem", &client.certificate_pem)?;
    world
        .folder
        .write_secret("bao-client.key", &client.key_pem)?;
    bao.ask("POST", "sys/auth/cert", &json!({ "type": "cert" }))?;
    let role = json!({ "certificate": world.pki.ca_pem(), "token_policies": ["nitride"] });
    bao.ask("POST", "auth/cert/certs/nitride", &role)?;
    bao.ask("POST", "sys/auth/workload", &json!({ "type": "jwt" }))?;
    let public = std::fs::read_to_string(world.path("owner.pub"))?;
    let config = json!({ "jwt_validation_pubkeys": [public] });
    bao.ask("POST", "auth/workload/config", &config)?;
    let role = json!({ "role_type": "jwt", "bound_audiences": ["bao"], "user_claim": "sub",
        "token_policies": ["nitride"] });
    bao.ask("POST", "auth/workload/role/nitride", &role)?;
    let token = OpenToken {
        header: json!({ "alg": "ES256", "typ": "JWT" }),
        claims: json!({ "aud": "bao", "sub": "provisiond", "iat": 1_700_000_000,
            "nbf": 1_700_000_000, "exp": 4_000_000_000_u64 }),
    };
    let jwt = token.sign(&world.owner().signing_key()?);
    world.folder.write_secret("bao-jwt", jwt)?;
    let toml = std::fs::read_to_string(world.path("provisiond.toml"))?;
    let (head, _) = toml.split_once("[openbao.login]").context("a login")?;
    for login in [
        "method = \"jwt\"\nrole = \"nitride\"\njwt = \"bao-jwt\"\nmount = \"workload\"\n",
        "method = \"tls-certificate\"\nrole = \"nitride\"\ncertificate = \"bao-client.pem\"\n\
         key = \"bao-client.key\"\n",
    ] {
        let text = format!("{head}[openbao.login]\n{login}");
        let path = world.folder.write("other.toml", text)?;
        let path = path.to_string_lossy().into_owned();
        let words = ["resource", "list", "--versions", "--config", &path];
        let listed = world.owner().provisiond(&words, b"")?;
        assert_eq!(listed, "demo/secret/one 1\ndemo/secret/two 1\n", "{login}");
    }
    Ok(())
}
