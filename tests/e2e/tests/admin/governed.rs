//! Replicas that follow policies in a store, and admins with each way in.

use anyhow::{Context, Result, ensure};
use aws_lc_rs::digest::{SHA256, digest};
use base64ct::{Base64, Encoding};
use nitride_support::binaries::Binaries;
use nitride_support::forge::{OpenToken, Signatory};
use nitride_support::guest::{attested, tee_key};
use nitride_support::http::HttpMessage;
use nitride_support::plan::Plan;
use nitride_support::replica::Replica;
use nitride_support::tls::ServiceConnection;
use nitride_support::world::{World, run};
use serde_json::{Value, json};
use std::fs;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

pub(crate) const SECRET: &str = "demo/raw/one";
pub(crate) const ATTESTATION: &str = "version = 1\ndanger-accept-sample = true\n\
    danger-test-anchors = []\n[sample]\nsvn = [\"1\"]\n";
pub(crate) const AFFIRMING: &str = "package policy\nimport rego.v1\ndefault allow := false\nallow if {\n\
    \tcount(input.submods) > 0\n\
    \tevery submod in input.submods { submod[\"ear.status\"] == \"affirming\" }\n}\n";
pub(crate) const NOTHING: &str = "version = 1\n";

/// How an admin shows who he is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Way {
    /// A JWT with this role, issued so many seconds ago.
    Jwt(&'static str, u64),
    /// A client certificate: the one of the file of this name.
    Certificate(&'static str),
    /// The token that has reference values.
    Token,
}

pub(crate) const TEAM: Way = Way::Jwt("web", 10);
pub(crate) const ROOT: Way = Way::Certificate("root");

/// What a command of an admin gave.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) status: i32,
    pub(crate) out: String,
    pub(crate) told: String,
}

/// Two replicas of one store.
pub(crate) struct Governed {
    pub(crate) world: World,
    pub(crate) replicas: Vec<Replica>,
}

/// Everything that the replicas share, before any is started.
pub(crate) fn prepare() -> Result<World> {
    let mut world = World::prepare(Plan::chain(""))?;
    for name in ["root", "other"] {
        let identity = world.pki.client(name)?;
        world
            .folder
            .write(&format!("{name}.pem"), &identity.certificate_pem)?;
        world
            .folder
            .write_secret(&format!("{name}-key.pem"), &identity.key_pem)?;
    }
    let of_root = fingerprint(&fs::read_to_string(world.path("root.pem"))?)?;
    world.folder.write("idp.pem", issuer()?.public_pem()?)?;
    let token = world.path("values.token").display().to_string();
    let made = world
        .owner()
        .provisiond(&["admin-token", "generate", "--out", &token], b"")?;
    let of_values = made.split_whitespace().find(|word| word.len() == 64);
    let of_values = of_values.context("the token's digest")?.to_owned();
    let tables = format!(
        r#"
[policies]
source = "store"

[throttle]
requests-per-second = 100000
burst = 100000

[audit]
folder = "@DIR@/audit"
files = 8
file-mib = 16
sync = "entry"
full = "refuse"

[[admin]]
name = "team"
jwt = {{ keys = "@DIR@/idp.pem", issuer = "https://idp.example", audience = "nitride", role = "web" }}
roles = ["resources:write", "policies:write"]
namespaces = ["web"]

[[admin]]
name = "root"
certificate = {{ ca = "@DIR@/ca.pem", sha256 = "{of_root}" }}
roles = ["resources:write", "policies:write", "reference-values:write", "revocations:write", "audit:read"]
namespaces = "all"

[[admin]]
name = "images"
token-sha256 = "{of_values}"
roles = ["reference-values:write"]
namespaces = "all"
"#
    );
    let toml = fs::read_to_string(world.path("provisiond.toml"))?;
    let kept = toml.lines().filter(|line| {
        !line.starts_with("attestation-policy") && !line.starts_with("resource-policy")
    });
    let kept: Vec<&str> = kept.collect();
    let toml = format!("{}\n{}", kept.join("\n"), world.expand(&tables));
    world.folder.write("provisiond.toml", &toml)?;
    world.start_quote()?;
    Ok(world)
}

impl Governed {
    /// Replicas over one folder, with policies that open everything to affirming evidence.
    pub(crate) fn start() -> Result<Self> {
        let world = prepare()?;
        let governed = Self::of(world)?;
        governed
            .world
            .owner()
            .deposit_raw(SECRET, b"what guests want")?;
        governed.put("attestation", "attestation.toml", ATTESTATION)?;
        governed.put("resource", "resource.rego", AFFIRMING)?;
        governed.agree()?;
        Ok(governed)
    }

    /// Replicas with the world's configuration.
    pub(crate) fn of(world: World) -> Result<Self> {
        let replica = |name: &str| {
            Replica::start(&world, name, |toml| {
                toml.replace("/audit\"", &format!("/audit-{name}\""))
            })
        };
        let replicas = vec![replica("one")?, replica("two")?];
        Ok(Self { world, replicas })
    }

    /// Runs a command of an admin at one replica.
    pub(crate) fn admin(&self, replica: usize, way: Way, words: &[&str]) -> Result<Done> {
        let port = self.replicas[replica].upstream().address.port();
        let path = |name: &str| self.world.path(name).display().to_string();
        let mut all = vec![
            "admin".to_owned(),
            format!("--url=https://localhost:{port}"),
            format!("--ca={}", path("ca.pem")),
        ];
        all.extend(match way {
            Way::Jwt(role, age_secs) => {
                let name = format!("{role}-{age_secs}.jwt");
                self.world
                    .folder
                    .write_secret(&name, jwt(role, age_secs)?)?;
                vec![format!("--token-file={}", path(&name))]
            }
            Way::Certificate(name) => vec![
                format!("--certificate={}", path(&format!("{name}.pem"))),
                format!("--key={}", path(&format!("{name}-key.pem"))),
            ],
            Way::Token => vec![format!("--token-file={}", path("values.token"))],
        });
        all.extend(words.iter().map(|word| (*word).to_owned()));
        let output = run(Command::new(&Binaries::find()?.provisiond).args(&all), b"")?;
        Ok(Done {
            status: output.status.code().context("it was killed")?,
            out: String::from_utf8(output.stdout)?,
            told: String::from_utf8(output.stderr)?,
        })
    }

    /// Writes a file and has the first replica take it as a policy.
    pub(crate) fn put(&self, name: &str, file: &str, text: &str) -> Result<()> {
        let path = self.world.folder.write(file, text)?.display().to_string();
        let done = self.admin(0, ROOT, &["policy", "put", name, &path])?;
        ensure!(done.status == 0, "{done:?}");
        Ok(())
    }

    /// Waits until the replicas have one set in force and ask for requests, as long as they may take.
    pub(crate) fn agree(&self) -> Result<()> {
        let set = |replica| -> Result<Value> {
            let done = self.admin(replica, ROOT, &["status"])?;
            let status: Value = serde_json::from_str(&done.out)?;
            Ok(json!([status["policy_set"], status["ready"]]))
        };
        let within = std::time::Duration::from_secs(5);
        nitride_support::program::wait_until("one set is in force", within, || {
            let sets = [set(0)?, set(1)?];
            Ok(sets[0] == sets[1] && sets[0][1] == true)
        })
    }

    /// What a replica answers to a guest that asks for the secret.
    pub(crate) fn fetched(&self, replica: usize) -> Result<u16> {
        let upstream = self.replicas[replica].upstream();
        let (mut session, _) = attested(&self.world, upstream, &tee_key()?)?;
        Ok(session.fetch(SECRET)?.status())
    }

    /// What the audits of both have, each of which verifies.
    pub(crate) fn audited(&self) -> Result<Vec<Value>> {
        let mut all = Vec::new();
        for name in ["one", "two"] {
            let folder = self.world.path(&format!("audit-{name}"));
            let words = ["audit", "verify", &folder.display().to_string()];
            self.world.owner().provisiond(&words, b"")?;
            for entry in fs::read_dir(folder)? {
                let text = fs::read_to_string(entry?.path())?;
                for line in text.lines() {
                    all.push(serde_json::from_str(line)?);
                }
            }
        }
        Ok(all)
    }

    /// What a replica answers to a balancer.
    pub(crate) fn readiness(&self, replica: usize) -> Result<u16> {
        let mut connection = ServiceConnection::open(self.replicas[replica].upstream())?;
        let answer = connection.call(&HttpMessage::request("GET", "/readyz", b""))?;
        Ok(answer.status())
    }
}

fn issuer() -> Result<Signatory> {
    Signatory::numbered(77)
}

fn jwt(role: &str, age_secs: u64) -> Result<String> {
    let now_secs = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let issued = now_secs.saturating_sub(age_secs);
    let token = OpenToken {
        header: json!({ "alg": "ES256", "typ": "JWT" }),
        claims: json!({ "iss": "https://idp.example", "aud": "nitride", "sub": "someone",
            "role": role, "iat": issued, "exp": issued + 300 }),
    };
    Ok(token.sign(&issuer()?))
}

/// SHA-256 over a certificate's DER, in hexadecimal.
fn fingerprint(pem: &str) -> Result<String> {
    let lines = pem.lines().filter(|line| !line.starts_with('-'));
    let der = Base64::decode_vec(&lines.collect::<String>())
        .ok()
        .context("no PEM")?;
    let digest = digest(&SHA256, &der);
    Ok(digest
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect())
}
