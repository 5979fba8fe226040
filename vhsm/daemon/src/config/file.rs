use super::audit::{AuditSettings, RawAudit};
use super::boot::{Boot, RawBoot};
use super::credential::{Credential, RawCredential, credentials};
use super::disk_key::{DiskKey, RawDiskKey, duration};
use super::limits::{Limits, RawLimits};
use super::metrics::{MetricsSettings, RawMetrics};
use super::peers::{Accounts, RawPeer, peer_match, unit_of};
use super::recipient::{RawRecipient, RecipientFile, recipients};
use super::seal::{RawSeal, SealSettings};
use super::service::RawService;
use super::signer::{RawSigner, SignerFile};
use super::sockets::{RawSockets, Sockets};
use super::{ConfigError, Document, quantity};
use nitride_protocol::{KeyName, limits::MAX_LABEL_LEN};
use nitride_secmem::{ArenaSizes, BackingChoice};
use nitride_vault::policy::{PeerMatch, Service};
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::time::Duration;
use toml::Spanned;

/// `vhsmd.toml`, validated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Config {
    /// The folder of the policy.
    pub(crate) policy_dir: PathBuf,
    /// Where to listen.
    pub(crate) sockets: Sockets,
    /// How large the arenas are.
    pub(crate) arena_sizes: ArenaSizes,
    /// What they may be made of.
    pub(crate) backing: BackingChoice,
    /// Where evidence comes from; without it no round can begin.
    pub(crate) evidence: Option<Evidence>,
    /// Who the agent is; without it nobody is.
    pub(crate) agent: Option<AgentPeer>,
    /// Who may use the admin socket.
    pub(crate) admins: Vec<PeerMatch>,
    /// What peers may use.
    pub(crate) limits: Limits,
    /// The audit's files; without them what happens stands in the log alone.
    pub(crate) audit: Option<AuditSettings>,
    /// Where figures are served; without it nowhere.
    pub(crate) metrics: Option<MetricsSettings>,
    /// Volumes served.
    pub(crate) disk_keys: Vec<DiskKey>,
    /// Credentials of units served.
    pub(crate) credentials: Vec<Credential>,
    /// Provisioning services that the policy may name.
    pub(crate) services: Vec<Service>,
    /// Owners of resources that the policy may name.
    pub(crate) signers: Vec<SignerFile>,
    /// Who may read backups.
    pub(crate) recipients: Vec<RecipientFile>,
    /// What brings keys back after a reboot; without it nothing does.
    pub(crate) seal: Option<SealSettings>,
    /// What evidence says of this boot.
    pub(crate) boot: Option<Boot>,
}

/// Where evidence comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Evidence {
    /// The TEE, as the KBS protocol names it. `sample` proves nothing.
    pub(crate) tee: String,
    /// The devices beside the machine, as the KBS protocol names them.
    pub(crate) devices: Option<String>,
    /// nitride-quote's socket.
    pub(crate) quote_socket: PathBuf,
    /// Longest that making evidence may take.
    pub(crate) timeout: Duration,
}

/// Who the agent is: both must hold where both are stated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AgentPeer {
    /// Its user.
    pub(crate) uid: u32,
    /// Its system unit.
    pub(crate) unit: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawConfig {
    policy_dir: PathBuf,
    #[serde(default)]
    sockets: RawSockets,
    arena: RawArena,
    evidence: Option<Spanned<RawEvidence>>,
    agent: Option<Spanned<RawAgent>>,
    #[serde(default)]
    admin: RawAdmin,
    #[serde(default)]
    limits: RawLimits,
    audit: Option<RawAudit>,
    metrics: Option<RawMetrics>,
    #[serde(default)]
    disk_key: Vec<Spanned<RawDiskKey>>,
    #[serde(default)]
    credential: Vec<Spanned<RawCredential>>,
    #[serde(default)]
    service: Vec<RawService>,
    #[serde(default)]
    signer: Vec<Spanned<RawSigner>>,
    #[serde(default)]
    backup_recipient: Vec<RawRecipient>,
    seal: Option<RawSeal>,
    boot: Option<Spanned<RawBoot>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawArena {
    records: Spanned<String>,
    records_max: Option<Spanned<String>>,
    heap: Spanned<String>,
    #[serde(default)]
    backing: RawBacking,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum RawBacking {
    #[default]
    Best,
    LockedOnly,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawEvidence {
    tee: Spanned<String>,
    devices: Option<Spanned<String>>,
    quote_socket: PathBuf,
    #[serde(default)]
    danger_simulated: bool,
    timeout: Option<Spanned<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawAgent {
    uid: Option<u32>,
    user: Option<Spanned<String>>,
    unit: Option<Spanned<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawAdmin {
    #[serde(default)]
    peers: Vec<Spanned<RawPeer>>,
}

impl Config {
    /// Reads `vhsmd.toml`.
    ///
    /// Nothing of this touches the arenas or AWS-LC: `main` needs the sizes before it has them.
    pub(crate) fn load(path: &Path) -> Result<Self, ConfigError> {
        Self::of(&Document::read(path)?)
    }

    pub(crate) fn of(document: &Document) -> Result<Self, ConfigError> {
        let raw: RawConfig = document.parse()?;
        let mut accounts = Accounts::default();
        let records_len = arena_len(document, &raw.arena.records)?;
        let arena_sizes = ArenaSizes {
            records_len,
            records_max_len: match &raw.arena.records_max {
                Some(text) => records_max_len(document, text, records_len)?,
                None => records_len,
            },
            heap_len: arena_len(document, &raw.arena.heap)?,
        };
        let has_helper = raw.evidence.is_some();
        let config = Self {
            policy_dir: raw.policy_dir,
            sockets: raw.sockets.validate(document)?,
            arena_sizes,
            backing: match raw.arena.backing {
                RawBacking::Best => BackingChoice::Best,
                RawBacking::LockedOnly => BackingChoice::LockedOnly,
            },
            evidence: raw
                .evidence
                .map(|raw| evidence(document, raw))
                .transpose()?,
            agent: raw
                .agent
                .map(|raw| agent(document, &mut accounts, raw))
                .transpose()?,
            admins: raw
                .admin
                .peers
                .into_iter()
                .map(|peer| peer_match(document, &mut accounts, peer))
                .collect::<Result<_, _>>()?,
            limits: raw.limits.validate(document, arena_sizes.heap_len)?,
            audit: raw.audit.map(|raw| raw.validate(document)).transpose()?,
            metrics: raw.metrics.map(|raw| raw.validate(document)).transpose()?,
            disk_keys: disk_keys(document, raw.disk_key)?,
            credentials: credentials(document, raw.credential)?,
            services: raw
                .service
                .into_iter()
                .map(|service| service.validate(document))
                .collect::<Result<_, _>>()?,
            signers: raw
                .signer
                .into_iter()
                .map(|signer| RawSigner::validate(signer, document))
                .collect::<Result<_, _>>()?,
            recipients: recipients(document, raw.backup_recipient)?,
            seal: raw
                .seal
                .map(|raw| raw.validate(document, has_helper))
                .transpose()?,
            boot: raw
                .boot
                .map(|raw| RawBoot::validate(raw, document, has_helper))
                .transpose()?,
        };
        Ok(config)
    }

    /// Whether it differs from `other` at most in what a reload takes over: the policy's folder,
    /// administrators, services and signers.
    pub(crate) fn is_same_but_for_policy(&self, other: &Self) -> bool {
        let fixed = Self {
            policy_dir: other.policy_dir.clone(),
            admins: other.admins.clone(),
            services: other.services.clone(),
            signers: other.signers.clone(),
            ..self.clone()
        };
        fixed == *other
    }
}

fn arena_len(document: &Document, text: &Spanned<String>) -> Result<usize, ConfigError> {
    quantity::size_len(text.get_ref())
        .filter(|len| *len > 0 && len % 4096 == 0)
        .ok_or_else(|| {
            document.fault(
                text.span(),
                format_args!("{:?} is not the size of an arena", text.get_ref()),
                "write whole pages with KiB, MiB or GiB, as in \"3MiB\"",
            )
        })
}

/// What the records may grow to, a segment at a time.
fn records_max_len(
    document: &Document,
    text: &Spanned<String>,
    records_len: usize,
) -> Result<usize, ConfigError> {
    let len = arena_len(document, text)?;
    if len < records_len {
        return Err(document.fault(
            text.span(),
            "records cannot grow to less than they begin with",
            "write at least as much as arena.records",
        ));
    }
    Ok(len)
}

fn evidence(document: &Document, raw: Spanned<RawEvidence>) -> Result<Evidence, ConfigError> {
    let raw = raw.into_inner();
    let tee = raw.tee.get_ref();
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if tee.is_empty() || tee.len() > MAX_LABEL_LEN || !tee.chars().all(plain) {
        return Err(document.fault(
            raw.tee.span(),
            format_args!("{tee:?} is not the name of a TEE"),
            "write it as the KBS protocol does, as in \"snp\"",
        ));
    }
    let simulated = tee == "sample";
    if simulated && !raw.danger_simulated {
        return Err(document.fault(
            raw.tee.span(),
            "sample evidence proves nothing",
            "name the TEE that this machine has, or for a trial add danger-simulated = true",
        ));
    }
    if !simulated && raw.danger_simulated {
        return Err(document.fault(
            raw.tee.span(),
            format_args!("evidence of {tee} is not simulated, but danger-simulated says so"),
            "remove danger-simulated",
        ));
    }
    if let Some(devices) = raw
        .devices
        .as_ref()
        .filter(|stated| stated.get_ref() != "nvidia")
    {
        return Err(document.fault(
            devices.span(),
            format_args!("there is no evidence of devices {:?}", devices.get_ref()),
            "write \"nvidia\", or leave the line out where there are none",
        ));
    }
    // Azure's paravisor takes seconds for one report, and GPUs answer one after the other.
    let is_slow = raw.devices.is_some() || raw.tee.get_ref().starts_with("az-");
    let timeout_ms = match &raw.timeout {
        None if is_slow => 30_000,
        None => 10_000,
        Some(text) => duration(document, text)?,
    };
    Ok(Evidence {
        tee: raw.tee.into_inner(),
        devices: raw.devices.map(Spanned::into_inner),
        quote_socket: raw.quote_socket,
        timeout: Duration::from_millis(timeout_ms),
    })
}

fn agent(
    document: &Document,
    accounts: &mut Accounts,
    raw: Spanned<RawAgent>,
) -> Result<AgentPeer, ConfigError> {
    let span = raw.span();
    let raw = raw.into_inner();
    let uid = match (raw.uid, &raw.user) {
        (Some(uid), None) => uid,
        (None, Some(user)) => accounts.uid_of(document, user)?,
        (None, None) | (Some(_), Some(_)) => {
            return Err(document.fault(
                span,
                "the agent's user is not stated once",
                "state one of uid and user",
            ));
        }
    };
    let unit = raw.unit.map(|unit| unit_of(document, unit)).transpose()?;
    Ok(AgentPeer { uid, unit })
}

fn disk_keys(
    document: &Document,
    raw: Vec<Spanned<RawDiskKey>>,
) -> Result<Vec<DiskKey>, ConfigError> {
    let mut found: Vec<DiskKey> = Vec::with_capacity(raw.len());
    for raw in raw {
        let span = raw.span();
        let disk_key = raw.into_inner().validate(document)?;
        if found.iter().any(|other| other.volume == disk_key.volume) {
            return Err(document.fault(
                span,
                format_args!("volume {} is stated twice", disk_key.volume),
                "keep one of the two",
            ));
        }
        found.push(disk_key);
    }
    Ok(found)
}

/// The name of a service, a gate or a signer: made as key names are.
pub(super) fn name(document: &Document, text: Spanned<String>) -> Result<String, ConfigError> {
    match KeyName::parse(text.get_ref()) {
        Ok(_) => Ok(text.into_inner()),
        Err(error) => Err(document.fault(
            text.span(),
            format_args!("{:?} is not a name: {error}", text.get_ref()),
            "use letters, digits, '_', '-' and '.', in segments divided by '/'",
        )),
    }
}
