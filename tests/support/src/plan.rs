//! What a world is to be like, and the configuration files that say so.

use anyhow::{Context, Result};
use nix::unistd::{getgid, getuid};
use std::ffi::OsString;

use crate::folder::Folder;
use crate::program::RunAs;

/// Everything that tests vary. The rest is one way for all.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The policy folder's one file. `@UID@`, `@GID@` and `@DIR@` stand for the user and group
    /// that runs the tests and for the world's folder, here and in the other texts.
    pub policy: String,
    /// Further tables of `vhsmd.toml`, such as `[limits]` or `[[disk-key]]`.
    pub vhsmd_tables: String,
    /// Further variables of vhsmd's environment.
    pub vhsmd_environment: Vec<(String, String)>,
    /// Further tables of `quote.toml`.
    pub quote_tables: String,
    /// Whether the arenas are locked memory, which root can read from outside.
    pub locked_only: bool,
    /// The TEE that evidence is of: `sample`, or one whose table `quote_tables` has.
    pub tee: String,
    /// Further lines of `[evidence]` in `vhsmd.toml`.
    pub evidence_lines: String,
    /// The svn in the evidence of the sample.
    pub svn: String,
    /// The service's attestation policy.
    pub attestation_policy: String,
    /// The service's resource policy.
    pub resource_policy: String,
    /// Further tables of `provisiond.toml`.
    pub service_tables: String,
    /// Further tables of `agent.toml`.
    pub agent_tables: String,
    /// Whether there is a provisioning service.
    pub with_service: bool,
    /// Whether there is an agent.
    pub with_agent: bool,
    /// Who vhsmd runs as.
    pub vhsmd_as: RunAs,
    /// Who the evidence helper runs as.
    pub quote_as: RunAs,
    /// Who the agent runs as.
    pub agent_as: RunAs,
}

/// The rules of most worlds: whoever runs the tests may do everything with `app/**`.
pub const EVERYTHING: &str = r#"
[[rule]]
name = "everything"
keys = ["**"]
peers = [{ uid = @UID@ }]
operations = ["generate", "describe", "list", "public-key", "sign", "verify", "encrypt",
  "decrypt", "mac", "verify-mac", "random", "release", "enable", "disable", "destroy", "import",
  "status"]
"#;

impl Plan {
    /// The vault and its evidence helper alone: case A.
    #[must_use]
    pub fn vault(policy: &str) -> Self {
        Self {
            policy: format!("{EVERYTHING}\n{policy}"),
            vhsmd_tables: String::new(),
            vhsmd_environment: Vec::new(),
            quote_tables: String::new(),
            locked_only: false,
            tee: "sample".to_owned(),
            evidence_lines: String::new(),
            svn: "1".to_owned(),
            attestation_policy:
                "version = 1\ndanger-accept-sample = true\ndanger-test-anchors = []\n\n[sample]\nsvn = [\"1\"]\n".to_owned(),
            resource_policy: concat!(
                "version = 1\n\n[[rule]]\nname = \"tests\"\nresources = [\"**\"]\n",
                "status = \"affirming\"\ntee = [\"sample\"]\ndanger-allow-simulated = true\n",
                "danger-allow-debug = false\nclaims = {}\n"
            )
            .to_owned(),
            service_tables: String::new(),
            agent_tables: String::new(),
            with_service: false,
            with_agent: false,
            vhsmd_as: RunAs::default(),
            quote_as: RunAs::default(),
            agent_as: RunAs::default(),
        }
    }

    /// All four programs: case B.
    #[must_use]
    pub fn chain(policy: &str) -> Self {
        Self {
            with_service: true,
            with_agent: true,
            ..Self::vault(policy)
        }
    }

    /// All but the agent, whose place the test takes itself.
    #[must_use]
    pub fn without_agent(policy: &str) -> Self {
        Self {
            with_agent: false,
            ..Self::chain(policy)
        }
    }

    pub(crate) fn write_vhsmd(&self, folder: &Folder) -> Result<()> {
        let backing = if self.locked_only {
            "locked-only"
        } else {
            "best"
        };
        let agent_uid = uid_of(&self.agent_as);
        let tee = &self.tee;
        let simulated = if tee == "sample" {
            "danger-simulated = true"
        } else {
            ""
        };
        let text = format!(
            r#"policy-dir = "@DIR@/policy.d"

[sockets]
application = "@DIR@/vhsm.sock"
admin = "@DIR@/admin.sock"
agent = "@DIR@/agent.sock"
credentials = "@DIR@/credentials.sock"

[arena]
records = "3MiB"
heap = "3MiB"
backing = "{backing}"

[evidence]
tee = "{tee}"
quote-socket = "@DIR@/quote.sock"
{simulated}
{}

[agent]
uid = {agent_uid}

[admin]
peers = [{{ uid = @UID@ }}]

[[service]]
name = "main"

[[signer]]
name = "owner"
public-key = "@DIR@/owner.pub"

{}"#,
            self.evidence_lines, self.vhsmd_tables
        );
        folder.write("vhsmd.toml", expand(folder, &text))?;
        self.write_policy(folder)
    }

    pub(crate) fn environment(&self, folder: &Folder) -> Vec<(OsString, OsString)> {
        let variables = self.vhsmd_environment.iter();
        variables
            .map(|(name, value)| (name.into(), expand(folder, value).into()))
            .collect()
    }

    pub(crate) fn write_policy(&self, folder: &Folder) -> Result<()> {
        folder
            .write("policy.d/test.toml", expand(folder, &self.policy))
            .map(drop)
    }

    pub(crate) fn write_quote(&self, folder: &Folder) -> Result<()> {
        let sample = if self.tee == "sample" {
            let svn = &self.svn;
            format!("[sample]\nsvn = \"{svn}\"\ndanger-simulated = true\n")
        } else {
            String::new()
        };
        let text = format!(
            r#"tee = "{}"
socket = "@DIR@/quote.sock"

[caller]
uid = {}

{sample}
{}"#,
            self.tee,
            uid_of(&self.vhsmd_as),
            self.quote_tables
        );
        folder.write("quote.toml", expand(folder, &text)).map(drop)
    }

    pub(crate) fn write_service(&self, folder: &Folder) -> Result<()> {
        folder.write("attestation.toml", &self.attestation_policy)?;
        folder.write("resource.toml", &self.resource_policy)?;
        let text = format!(
            r#"listen = "127.0.0.1:0"
port-file = "@DIR@/service.port"
store = "@DIR@/store"
store-key = "@DIR@/store.key"
challenge-key = "@DIR@/challenge.key"
token-key = "@DIR@/token.key"
issuer = "tests"
audience = "vhsmd"
policy-id = "default"
attestation-policy = "@DIR@/attestation.toml"
resource-policy = "@DIR@/resource.toml"

[tls]
certificate = "@DIR@/service.pem"
key = "@DIR@/service.key"

{}"#,
            self.service_tables
        );
        folder
            .write("provisiond.toml", expand(folder, &text))
            .map(drop)
    }

    pub(crate) fn write_agent(&self, folder: &Folder, url: &str) -> Result<()> {
        let text = format!(
            r#"[vhsmd]
socket = "@DIR@/agent.sock"

[[service]]
name = "main"
ca = "@DIR@/ca.pem"

[[service.endpoint]]
url = "{url}"

{}"#,
            self.agent_tables
        );
        folder.write("agent.toml", expand(folder, &text)).map(drop)
    }
}

/// Puts the world's own values into a text.
#[must_use]
pub fn expand(folder: &Folder, text: &str) -> String {
    text.replace("@UID@", &getuid().to_string())
        .replace("@GID@", &getgid().to_string())
        .replace("@DIR@", &folder.path().display().to_string())
}

fn uid_of(run_as: &RunAs) -> u32 {
    run_as
        .user
        .map_or_else(|| getuid().as_raw(), |(uid, _)| uid)
}

/// The address that a service has written into this file.
pub(crate) fn read_address(folder: &Folder, port_file: &str) -> Result<std::net::SocketAddr> {
    let text = std::fs::read_to_string(folder.join(port_file)).context("read the port")?;
    text.trim()
        .parse()
        .with_context(|| format!("parse the address {text:?}"))
}
