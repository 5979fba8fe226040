//! What is found out, before anything is judged. The only part of `doctor` that touches the machine.

use super::initrd::{self, Listing};
use crate::arguments::Doctor;
use crate::config::{Config, Volume};
use crate::copy::{CheckedCopy, HeaderCopy};
use crate::cryptsetup::Cryptsetup;
use crate::key_file;
use crate::luks2::{Expected, Standing};
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
    pub(super) initrd: Result<Listing, String>,
    pub(super) command_line: String,
    /// Modules of the network interfaces that are there.
    pub(super) drivers: BTreeSet<String>,
    /// Modules that the kernel has built in.
    pub(super) built_in: BTreeSet<String>,
    /// `kernel.sysrq`.
    pub(super) sysrq: Option<u32>,
    pub(super) configuration: PathBuf,
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
    pub(super) is_expected: bool,
    /// How the header stands, or its fault.
    pub(super) header: Result<Standing, String>,
    /// The names of the passphrases that unlock, and slots that none of them unlocks.
    pub(super) round: Result<Round, String>,
}

#[derive(Debug)]
pub(super) struct Round {
    pub(super) unlocks: Vec<String>,
    pub(super) other_slots: Vec<u8>,
}

/// Finds out what is so of the machine.
pub(super) fn machine(config: &Config, asked: &Doctor) -> Machine {
    let release = read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let release = release.trim();
    let own = PathBuf::from(format!("/boot/initrd.img-{release}"));
    let command_line = asked.command_line.clone();
    let sysrq = read_to_string("/proc/sys/kernel/sysrq");
    Machine {
        initrd: initrd::list(asked.initrd.as_deref().unwrap_or(&own)),
        command_line: command_line
            .unwrap_or_else(|| read_to_string("/proc/cmdline").unwrap_or_default()),
        drivers: drivers(Path::new("/sys/class/net")),
        built_in: modules(
            &read_to_string(format!("/lib/modules/{release}/modules.builtin")).unwrap_or_default(),
        ),
        sysrq: sysrq.ok().and_then(|text| text.trim().parse().ok()),
        configuration: config.agent.clone(),
        services: services(&config.agent),
        vault: vault(&config.vault),
    }
}

/// Finds out what is so of the volume. One passphrase after the other is fetched and tried on a
/// checked copy: the round that a boot would make, but for the mapping.
pub(super) fn of_volume(config: &Config, volume: &Volume, machine: Machine) -> Facts {
    let copy = HeaderCopy::take(&volume.device).and_then(|copy| copy.check(&volume.wanted));
    let (header, round) = match &copy {
        Ok(copy) => (Ok(copy.standing()), round(config, volume, copy)),
        Err(error) => {
            let unread = "the header is refused, so no passphrase was fetched".to_owned();
            (Err(chain(error)), Err(unread))
        }
    };
    Facts {
        machine,
        is_expected: matches!(volume.wanted.expected, Expected::These(_)),
        header,
        round,
    }
}

fn round(config: &Config, volume: &Volume, copy: &CheckedCopy) -> Result<Round, String> {
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
        }),
    }
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
            ca_is_there: fs::metadata(&table.ca).is_ok_and(|file| file.is_file()),
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
