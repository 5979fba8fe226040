//! What is found out, before anything is judged. The only part of `doctor` that touches the machine.

use super::initrd::Initrd;
use super::own::{self, OwnFile};
use crate::arguments::Doctor;
use crate::config::{Config, Volume};
use crate::copy::{CheckedCopy, HeaderCopy};
use crate::cryptsetup::Cryptsetup;
use crate::key_file::{self, KeyFileError};
use crate::luks2::{Expected, Standing};
use crate::passphrase::PassphraseError;
use nitride_client::Client;
use serde::Deserialize;
use std::collections::BTreeSet;
use std::error::Error;
use std::fs::{self, read_dir, read_link, read_to_string};
use std::net::{TcpStream, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// For how long a service may take to answer a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// For how long the vault may take for a passphrase; a boot gives it the volume's whole time.
const MOST_PATIENCE: Duration = Duration::from_secs(60);
/// Endpoints that are tried.
const MAX_ENDPOINTS: usize = 32;

/// What is so of the machine, whatever the volume.
#[derive(Debug, Clone)]
pub(super) struct Machine {
    pub(super) initrd: Result<Initrd, String>,
    /// What should be in it.
    pub(super) own: Vec<OwnFile>,
    /// The program that opens.
    pub(super) cryptsetup: PathBuf,
    pub(super) command_line: String,
    /// Modules of the network interfaces that are there.
    pub(super) drivers: BTreeSet<String>,
    /// Modules that the initrd's kernel has built in.
    pub(super) built_in: BTreeSet<String>,
    /// /etc/crypttab of the system.
    pub(super) crypttab: Option<String>,
    pub(super) services: Result<Vec<Service>, String>,
    pub(super) vault: Result<Vault, String>,
}

/// A service of the courier's configuration.
#[derive(Debug, Clone)]
pub(super) struct Service {
    pub(super) name: String,
    pub(super) ca: PathBuf,
    pub(super) ca_is_there: bool,
    pub(super) endpoints: Vec<Endpoint>,
}

#[derive(Debug, Clone)]
pub(super) struct Endpoint {
    pub(super) host: String,
    /// Whether the host's name has an address.
    pub(super) resolves: bool,
    /// Whether something listens there.
    pub(super) answers: bool,
}

#[derive(Debug, Clone)]
pub(super) struct Vault {
    pub(super) agent_is_connected: bool,
}

/// What is so of one volume.
#[derive(Debug)]
pub(super) struct Facts {
    pub(super) machine: Machine,
    pub(super) name: String,
    pub(super) device: PathBuf,
    /// As the header has it, where it has one.
    pub(super) uuid: Option<String>,
    pub(super) expectation: Expectation,
    /// Whether each sector is authentic, which takes more of the kernel.
    pub(super) has_integrity: bool,
    /// How the header stands, or its fault.
    pub(super) header: Result<Standing, String>,
    /// The names of the passphrases that unlock, and slots that none of them unlocks.
    pub(super) round: Result<Round, String>,
}

/// Who says which volume it has to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expectation {
    /// The configuration.
    Stated,
    /// The passphrases' envelopes: another volume gets none of them.
    ByVault,
    Any,
}

impl Facts {
    /// Whether a line of crypttab means the volume.
    pub(super) fn is_the_volume(&self, name: &str, source: &str) -> bool {
        let uuid = source.strip_prefix("UUID=");
        let uuid = uuid.or_else(|| source.strip_prefix("/dev/disk/by-uuid/"));
        let is_uuid = |uuid: &str| self.uuid.as_deref() == Some(uuid.trim_matches('"'));
        name == self.name || Path::new(source) == self.device || uuid.is_some_and(is_uuid)
    }
}

#[derive(Debug)]
pub(super) struct Round {
    pub(super) unlocks: Vec<String>,
    pub(super) other_slots: Vec<u8>,
    /// Of these, the ones that are said to be the operator's recovery.
    pub(super) recovery_slots: Vec<u8>,
}

/// Finds out what is so of the machine.
pub(super) fn machine(config: &Config, unlock: &Path, asked: &Doctor) -> Machine {
    let release = read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let release = release.trim();
    let own = PathBuf::from(format!("/boot/initrd.img-{release}"));
    let command_line = asked.command_line.clone();
    let initrd = Initrd::read(asked.initrd.as_deref().unwrap_or(&own));
    let agent = own::original(&config.agent);
    Machine {
        built_in: initrd.as_ref().map(built_in).unwrap_or_default(),
        initrd,
        own: own::files(unlock),
        cryptsetup: config.cryptsetup.clone(),
        command_line: command_line
            .unwrap_or_else(|| read_to_string("/proc/cmdline").unwrap_or_default()),
        drivers: drivers(Path::new("/sys/class/net")),
        crypttab: read_to_string("/etc/crypttab").ok(),
        services: services(&agent),
        vault: vault(&config.admin),
    }
}

/// Finds out what is so of the volume. One passphrase after the other is fetched and tried on a
/// checked copy: the round that a boot would make, but for the mapping.
pub(super) fn of_volume(
    config: &Config,
    volume: &Volume,
    machine: Machine,
    recovery_slots: &[u8],
) -> Facts {
    let copy = HeaderCopy::take(&volume.device).and_then(|copy| copy.check(&volume.wanted));
    let (header, round) = match &copy {
        Ok(copy) => (
            Ok(copy.standing()),
            round(config, volume, copy, recovery_slots),
        ),
        Err(error) => {
            let unread = "the header is refused, so no passphrase was fetched".to_owned();
            (Err(chain(error)), Err(unread))
        }
    };
    let is = copy.as_ref().ok().map(|copy| copy.header().is());
    let expectation = match (&volume.wanted.expected, &copy, &round) {
        (Expected::These(_), ..) => Expectation::Stated,
        (Expected::DangerAny, Ok(copy), Ok(round)) => by_vault(config, copy, &round.unlocks),
        (Expected::DangerAny, ..) => Expectation::Any,
    };
    Facts {
        machine,
        name: volume.name.clone(),
        device: volume.device.clone(),
        uuid: is.map(|is| is.uuid.clone()),
        expectation,
        has_integrity: is.is_some_and(|is| is.integrity.is_some()),
        header,
        round,
    }
}

fn round(
    config: &Config,
    volume: &Volume,
    copy: &CheckedCopy,
    recovery_slots: &[u8],
) -> Result<Round, String> {
    let cryptsetup = Cryptsetup::at(&config.cryptsetup);
    let slots = copy.header().header().keyslots();
    let mut others: Vec<u8> = slots.iter().map(|slot| slot.number).collect();
    let mut unlocks = Vec::new();
    let mut refused = None;
    let patience = volume.timeout.min(MOST_PATIENCE);
    for name in &volume.passphrases {
        let passphrase =
            match key_file::fetch(&config.key_files, name, copy.header().is(), patience) {
                Ok(passphrase) => passphrase,
                Err(error) => {
                    refused = Some(chain(&error));
                    continue;
                }
            };
        let mut kept = Vec::with_capacity(others.len());
        for slot in others {
            let opens = cryptsetup.opens(copy, Some(slot), &passphrase);
            if !opens.map_err(|error| chain(&error))? {
                kept.push(slot);
            }
        }
        others = kept;
        // As a boot does: by a number, cryptsetup opens slots that it otherwise ignores.
        let opens = cryptsetup.opens(copy, None, &passphrase);
        if opens.map_err(|error| chain(&error))? {
            unlocks.push(name.clone());
        }
    }
    match refused {
        Some(refused) if unlocks.is_empty() => Err(refused),
        _ => Ok(Round {
            unlocks,
            other_slots: others,
            recovery_slots: recovery_slots.to_vec(),
        }),
    }
}

/// Whether the vault refuses to another volume what it has just given to this one.
fn by_vault(config: &Config, copy: &CheckedCopy, names: &[String]) -> Expectation {
    let mut other = copy.header().is().clone();
    other.digest = other.digest.map(|byte| !byte);
    let refuses = |name: &String| {
        let asked = key_file::fetch(&config.key_files, name, &other, MOST_PATIENCE);
        // At once, and not for want of a service.
        let source = match asked {
            Err(KeyFileError::NothingGiven { source, .. }) => Some(source),
            _ => None,
        };
        matches!(source, Some(PassphraseError::Empty))
    };
    match !names.is_empty() && names.iter().all(refuses) {
        true => Expectation::ByVault,
        false => Expectation::Any,
    }
}

/// Modules that the kernel has built in of which the initrd has others.
fn built_in(initrd: &Initrd) -> BTreeSet<String> {
    let list = |version: &str| {
        let path = format!("/lib/modules/{version}/modules.builtin");
        read_to_string(path).unwrap_or_default()
    };
    let kernels = initrd.kernels();
    kernels
        .into_iter()
        .flat_map(|kernel| modules(&list(kernel)))
        .collect()
}

/// An error and its sources, on one line.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}

/// The modules of the interfaces in a folder as /sys/class/net is; virtual ones have none.
fn drivers(interfaces: &Path) -> BTreeSet<String> {
    let Ok(entries) = read_dir(interfaces) else {
        return BTreeSet::new();
    };
    let module = |interface: PathBuf| {
        let link = read_link(interface.join("device/driver/module")).ok()?;
        Some(link.file_name()?.to_string_lossy().into_owned())
    };
    entries
        .flatten()
        .filter_map(|entry| module(entry.path()))
        .collect()
}

/// The names in a list as modules.builtin is.
pub(super) fn modules(list: &str) -> BTreeSet<String> {
    list.lines()
        .filter_map(|path| path.rsplit('/').next()?.split('.').next())
        .map(|name| name.replace('-', "_"))
        .collect()
}

/// By the administrator's socket: the vault's status is no application's to see unless a rule says so.
fn vault(socket: &Path) -> Result<Vault, String> {
    let mut client = Client::connect(socket).map_err(|error| chain(&error))?;
    let status = client.status().map_err(|error| chain(&error))?;
    Ok(Vault {
        agent_is_connected: status.agent_connected,
    })
}

/// What is read of the courier's configuration; the courier itself checks the rest.
#[derive(Deserialize)]
struct AgentDocument {
    #[serde(default)]
    service: Vec<ServiceTable>,
}

#[derive(Deserialize)]
struct ServiceTable {
    name: String,
    ca: PathBuf,
    #[serde(default)]
    endpoint: Vec<EndpointTable>,
}

#[derive(Deserialize)]
struct EndpointTable {
    url: String,
}

fn services(configuration: &Path) -> Result<Vec<Service>, String> {
    let text = read_to_string(configuration)
        .map_err(|error| format!("cannot read {}: {error}", configuration.display()))?;
    let document: AgentDocument = toml::from_str(&text)
        .map_err(|error| format!("{}: {}", configuration.display(), error.message()))?;
    let endpoint = |table: &EndpointTable| {
        let (host, port) = host_and_port(&table.url)?;
        let addresses = (host.as_str(), port).to_socket_addrs();
        let addresses: Vec<_> = addresses.map(Iterator::collect).unwrap_or_default();
        let answers = |address| TcpStream::connect_timeout(address, CONNECT_TIMEOUT).is_ok();
        Some(Endpoint {
            resolves: !addresses.is_empty(),
            answers: addresses.iter().any(answers),
            host,
        })
    };
    let service = |table: ServiceTable| {
        let endpoints = table.endpoint.iter().take(MAX_ENDPOINTS);
        Service {
            endpoints: endpoints.filter_map(endpoint).collect(),
            ca_is_there: fs::metadata(own::original(&table.ca)).is_ok_and(|file| file.is_file()),
            name: table.name,
            ca: table.ca,
        }
    };
    Ok(document.service.into_iter().map(service).collect())
}

/// Host and port of an https or http URL.
pub(super) fn host_and_port(url: &str) -> Option<(String, u16)> {
    let (scheme, rest) = url.split_once("://")?;
    let default = match scheme {
        "https" => 443,
        "http" => 80,
        _ => return None,
    };
    let authority = rest.split(['/', '?', '#']).next()?;
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']')?;
            (host, port.strip_prefix(':'))
        }
        None => match authority.rsplit_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        },
    };
    let port = match port {
        None => default,
        Some(port) => port.parse().ok()?,
    };
    (!host.is_empty()).then(|| (host.to_owned(), port))
}
