//! `provisiond.toml`: strict, read once into a validated struct.
//!
//! ```toml
//! listen = "127.0.0.1:8443"
//! port-file = "/run/nitride-provisiond/port"    # optional; gets the bound address
//! danger-plain-http = false                     # optional; true on a loopback address alone
//! store = "/var/lib/nitride-provisiond/store"    # a folder, or [openbao] in its place
//! store-key = "/etc/nitride/store.key"          # 32 bytes: `store-key generate`
//! challenge-key = "/etc/nitride/challenge"      # 32 bytes in a file, several files, the oldest first, or a
//!                                               # folder of `challenge-key rotate`; the same on every replica
//! token-key = "/etc/nitride/token.pem"          # P-256 or ML-DSA-65, PKCS#8 PEM: `token-key generate`;
//!                                               # or a folder of `token-key rotate`, or several files
//! issuer = "provisiond.example"
//! audience = "vhsmd"
//! policy-id = "default"
//! attestation-policy = "/etc/nitride/attestation.toml"
//! resource-policy = "/etc/nitride/resource.toml"
//! collateral = "/var/lib/nitride/collateral"    # optional; a folder or a bundle of one
//!
//! [tls]
//! certificate = "/etc/nitride/tls.pem"
//! key = "/etc/nitride/tls.key"
//! client-ca = "/etc/nitride/clients.pem"        # optional; then every client needs a certificate
//!
//! [[admin]]                                     # any number; without one nobody writes over HTTP
//! name = "pipeline"                             # see `config/admin.rs` for the other ways in
//! token-sha256 = "<64 hex digits>"              # `admin-token generate` prints it
//! roles = ["resources:write"]
//! namespaces = ["web"]                          # repositories; or "all"
//!
//! [audit]                                       # optional; without it the log alone has what happens
//! folder = "/var/lib/nitride-provisiond/audit"  # of this replica alone
//! files = 8
//! file-mib = 16
//! sync = "second"                               # or "entry": on the disk before the answer leaves
//! full = "refuse"                               # or "serve": without an entry, which is told later
//!
//! [witness]                                     # optional, with [audit]; how far vaults' audits have come
//! identity = ["snp.report_id"]                  # what a machine is known by: the first that its evidence has
//! on-fork = "note"                              # or "refuse": no token for one whose audit went back
//!
//! [monitor]                                     # optional; figures and health, for this machine alone
//! listen = "127.0.0.1:9464"                     # or "unix:/run/nitride-provisiond/monitor.sock"
//!
//! [[webhook]]                                   # at most 8; who is told what happens, over HTTPS
//! name = "siem"
//! url = "https://siem.example/nitride"          # fixed: no redirect is followed
//! ca = "/etc/nitride/siem-ca.pem"               # no other CA is trusted
//! secret = "/etc/nitride/siem.key"              # 32 bytes that the receiver has; or signing-key, a PEM
//! events = ["denial", "witness-fork"]           # also attestation-failure release revocation admin reload
//! give-up-secs = 3600                           # after so long a notice is dropped
//!
//! [policies]                                    # optional
//! source = "files"                              # or "store": admins put them, and no file is named; then
//!                                               # at-least = 7 takes no older set of them
//! tenants = "/etc/nitride/policy.d"             # REPOSITORY.toml or REPOSITORY.rego decide alone there
//! appraisal = "/etc/nitride/appraisal.rego"     # optional; Rego that may find evidence worse
//! reference-values = "/etc/nitride/values.json" # optional; what it asks for by name
//! generate = "/etc/nitride/generate.toml"       # optional; secrets made for each machine
//! evaluation-ms = 250                           # how long one evaluation of Rego may take
//! tee-keys = ["hybrid", "p256"]                 # also "p521", "rsa-oaep-256", "ml-kem-768"; all, if left out
//!
//! [throttle]                                    # optional; these are the defaults
//! requests-per-second = 50                      # of one source: an IPv4 address or an IPv6 /64
//! burst = 200
//! attests-per-second = 25                       # beside those: half of them, if it is not stated
//! attest-burst = 100
//!
//! [limits]                                      # optional; these are the defaults
//! connections = 384
//! connections-per-source = 96                   # a quarter of them, if it is not stated
//! header-timeout-secs = 10                      # also how long a connection may be idle
//! body-timeout-secs = 10
//! connection-lifetime-secs = 300
//! drain-secs = 5                                # what open requests get when the service stops
//! ```
//!
//! Relative paths are relative to the file's own folder.

mod admin;
mod audit;
mod key_files;
mod limits;
mod monitor;
mod openbao;
mod policies;
mod webhook;
mod witness;

pub(crate) use admin::{AdminSettings, AdminWay, CertificateSettings, JwtSettings};
pub(crate) use key_files::KeyFiles;
pub(crate) use limits::{Limits, ThrottleLimits};
pub(crate) use monitor::MonitorAddress;
pub(crate) use openbao::{Login, LoginMethod, OpenBao};
pub(crate) use policies::{PolicyFiles, PolicySource};
pub(crate) use webhook::WebhookSettings;

use crate::audit::AuditSettings;
use crate::tee_keys::TeeKeys;
use crate::witness::WitnessSettings;
use admin::AdminForm;
use audit::AuditForm;
use key_files::KeyFilesForm;
use limits::{LimitsForm, ThrottleForm, in_range};
use monitor::MonitorForm;
use nitride_verify::strict_toml::{FileError, TomlText};
use policies::PoliciesForm;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{self, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use thiserror::Error;
use toml::Spanned;
use webhook::WebhookForm;
use witness::WitnessForm;

/// No configuration or policy file is larger.
const MAX_FILE_LEN: u64 = 1 << 20;
const REMEDY: &str = "see examples/config/service for every field";

/// The validated configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Config {
    /// What holds until the service is started again.
    pub(crate) fixed: Fixed,
    /// What a reload reads anew.
    pub(crate) reloaded: Reloaded,
}

/// What cannot change while the service runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fixed {
    pub(crate) listen: SocketAddr,
    pub(crate) port_file: Option<PathBuf>,
    pub(crate) plain_http: bool,
    pub(crate) store: StoreConfig,
    pub(crate) store_key: PathBuf,
    pub(crate) issuer: String,
    pub(crate) audience: String,
    pub(crate) policy_id: String,
    pub(crate) audit: Option<AuditSettings>,
    pub(crate) witness: Option<WitnessSettings>,
    pub(crate) monitor: Option<MonitorAddress>,
    pub(crate) webhooks: Vec<WebhookSettings>,
    pub(crate) throttle: ThrottleLimits,
    /// What a source may have judged: a judgement costs a hundred times what an answer does.
    pub(crate) attest_throttle: ThrottleLimits,
    pub(crate) limits: Limits,
    /// How long one evaluation of Rego may take.
    pub(crate) evaluation: Duration,
}

/// Where resources and records are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum StoreConfig {
    /// A folder of this machine.
    Dir(PathBuf),
    /// A KV engine that replicas share.
    OpenBao(OpenBao),
}

/// What a reload reads anew, the files it names included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reloaded {
    pub(crate) challenge_key: KeyFiles,
    pub(crate) token_key: KeyFiles,
    pub(crate) policies: PolicySource,
    /// What is made for each machine that asks.
    pub(crate) generate: Option<PathBuf>,
    pub(crate) collateral: Option<PathBuf>,
    pub(crate) tee_keys: TeeKeys,
    pub(crate) tls: Option<TlsPaths>,
    pub(crate) admins: Vec<AdminSettings>,
}

/// Where certificate and key are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TlsPaths {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
    pub(crate) client_ca: Option<PathBuf>,
}

/// Why there is no configuration.
#[derive(Debug, Error)]
pub(crate) enum ConfigError {
    #[error("read {}", path.display())]
    Unreadable {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{} is larger than 1 MiB", path.display())]
    TooLarge { path: PathBuf },
    #[error(transparent)]
    File(#[from] FileError),
}

impl Config {
    /// Reads and validates the file at `path`. The files it names are not opened.
    pub(crate) fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = read_text(path)?;
        let folder = path.parent().unwrap_or(Path::new("."));
        Ok(Self::parse(&text, &path.display().to_string(), folder)?)
    }

    fn parse(text: &str, file: &str, folder: &Path) -> Result<Self, FileError> {
        let text = TomlText { text, file };
        let mut form: FileForm = text.read(REMEDY)?;
        let (throttle, attest_throttle) = form.throttle.read(&text)?;
        let listen = parse_listen(&form, &text)?;
        let tls = form.tls.map(|tls| TlsPaths {
            certificate: folder.join(tls.certificate),
            key: folder.join(tls.key),
            client_ca: tls.client_ca.map(|path| folder.join(path)),
        });
        let plain_http = form
            .danger_plain_http
            .as_ref()
            .is_some_and(|plain| *plain.get_ref());
        if !plain_http && tls.is_none() {
            return Err(text.error(
                &form.listen,
                "there is neither [tls] nor danger-plain-http",
                "add [tls] with certificate and key",
            ));
        }
        if let Some(plain) = form.danger_plain_http.filter(|_| plain_http) {
            if tls.is_some() {
                return Err(text.error(
                    &plain,
                    "danger-plain-http and [tls] exclude each other",
                    "remove danger-plain-http",
                ));
            }
            if !listen.ip().is_loopback() {
                return Err(text.error(
                    &plain,
                    format!("danger-plain-http on {listen}, which others can reach"),
                    "listen on a loopback address, or use [tls]",
                ));
            }
        }
        let store = match (form.store, form.openbao) {
            (Some(path), None) => StoreConfig::Dir(folder.join(path)),
            (None, Some(engine)) => StoreConfig::OpenBao(engine.read(&text, folder)?),
            (stated, _) => {
                let reason = match stated {
                    Some(_) => "store and [openbao] exclude each other",
                    None => "there is neither store nor [openbao]",
                };
                let remedy = "name the store's folder, or the engine that replicas share";
                return Err(text.error(&form.listen, reason, remedy));
            }
        };
        let admins = admin::read(form.admin, folder, &text)?;
        let tee_keys = form.policies.tee_keys(&text)?;
        let keys = |name, form| key_files::read(name, form, folder, &text);
        let has_audit = form.audit.is_some();
        let witness = form.witness.map(|witness| witness.read(has_audit, &text));
        let evaluation = form.policies.evaluation(&text)?;
        let generate = form.policies.generate.take().map(|path| folder.join(path));
        let at = (folder, &form.listen);
        let (attestation, resource) = (form.attestation_policy, form.resource_policy);
        let policies = form.policies.source(attestation, resource, at, &text)?;
        Ok(Self {
            fixed: Fixed {
                listen,
                port_file: form.port_file.map(|path| folder.join(path)),
                plain_http,
                store,
                store_key: folder.join(form.store_key),
                issuer: not_empty("issuer", form.issuer, &text)?,
                audience: not_empty("audience", form.audience, &text)?,
                policy_id: not_empty("policy-id", form.policy_id, &text)?,
                audit: form
                    .audit
                    .map(|audit| audit.read(folder, &text))
                    .transpose()?,
                witness: witness.transpose()?,
                monitor: form
                    .monitor
                    .map(|monitor| monitor.read(folder, &text))
                    .transpose()?,
                webhooks: webhook::read(form.webhook, folder, &text)?,
                throttle,
                attest_throttle,
                limits: form.limits.read(&text)?,
                evaluation,
            },
            reloaded: Reloaded {
                challenge_key: keys("challenge-key", &form.challenge_key)?,
                token_key: keys("token-key", &form.token_key)?,
                policies,
                generate,
                collateral: form.collateral.map(|path| folder.join(path)),
                tee_keys,
                tls,
                admins,
            },
        })
    }
}

/// Reads a text file of at most 1 MiB.
pub(crate) fn read_text(path: &Path) -> Result<String, ConfigError> {
    let unreadable = |source| ConfigError::Unreadable {
        path: path.to_owned(),
        source,
    };
    let mut text = String::new();
    File::open(path)
        .and_then(|file| file.take(MAX_FILE_LEN + 1).read_to_string(&mut text))
        .map_err(unreadable)?;
    if u64::try_from(text.len()).map_or(true, |len| len > MAX_FILE_LEN) {
        return Err(ConfigError::TooLarge {
            path: path.to_owned(),
        });
    }
    Ok(text)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct FileForm {
    listen: Spanned<String>,
    port_file: Option<PathBuf>,
    danger_plain_http: Option<Spanned<bool>>,
    store: Option<PathBuf>,
    openbao: Option<openbao::OpenBaoForm>,
    store_key: PathBuf,
    challenge_key: Spanned<KeyFilesForm>,
    token_key: Spanned<KeyFilesForm>,
    issuer: Spanned<String>,
    audience: Spanned<String>,
    policy_id: Spanned<String>,
    attestation_policy: Option<Spanned<PathBuf>>,
    resource_policy: Option<Spanned<PathBuf>>,
    collateral: Option<PathBuf>,
    tls: Option<TlsForm>,
    #[serde(default)]
    admin: Vec<AdminForm>,
    audit: Option<AuditForm>,
    witness: Option<WitnessForm>,
    monitor: Option<MonitorForm>,
    #[serde(default)]
    webhook: Vec<WebhookForm>,
    #[serde(default)]
    policies: PoliciesForm,
    #[serde(default)]
    throttle: ThrottleForm,
    #[serde(default)]
    limits: LimitsForm,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct TlsForm {
    certificate: PathBuf,
    key: PathBuf,
    client_ca: Option<PathBuf>,
}

fn parse_listen(form: &FileForm, text: &TomlText<'_>) -> Result<SocketAddr, FileError> {
    form.listen.get_ref().parse().map_err(|_| {
        let reason = format!(
            "listen {:?} is not an address and port",
            form.listen.get_ref()
        );
        text.error(
            &form.listen,
            reason,
            "write for example \"127.0.0.1:8443\" or \"[::]:8443\"",
        )
    })
}

fn not_empty(name: &str, value: Spanned<String>, text: &TomlText<'_>) -> Result<String, FileError> {
    if value.get_ref().is_empty() || value.get_ref().len() > 255 {
        let reason = format!("{name} is not 1 to 255 bytes");
        return Err(text.error(&value, reason, "name it"));
    }
    Ok(value.into_inner())
}

fn parse_digest(hex: &Spanned<String>, text: &TomlText<'_>) -> Result<[u8; 32], FileError> {
    let wrong = || {
        text.error(
            hex,
            "a SHA-256 is not 64 hex digits",
            "write what `admin-token generate` printed",
        )
    };
    let digits = hex.get_ref().as_bytes();
    let mut digest = [0; 32];
    if digits.len() != 64 {
        return Err(wrong());
    }
    for (byte, pair) in digest.iter_mut().zip(digits.chunks_exact(2)) {
        let pair = std::str::from_utf8(pair)
            .ok()
            .filter(|pair| !pair.starts_with('+'));
        *byte = pair
            .and_then(|pair| u8::from_str_radix(pair, 16).ok())
            .ok_or_else(wrong)?;
    }
    // What an empty token file hashes to: then every client with an empty token were the admin.
    if digest == <[u8; 32]>::from(Sha256::digest([])) {
        return Err(text.error(
            hex,
            "a SHA-256 is the digest of nothing",
            "write what `admin-token generate` printed",
        ));
    }
    Ok(digest)
}

#[cfg(test)]
mod tests;
