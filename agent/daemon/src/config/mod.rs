//! The configuration file: strict TOML, read and checked as a whole, at start and at SIGHUP.

mod endpoint;
mod kind;
#[cfg(feature = "openbao")]
mod openbao;
#[cfg(not(feature = "openbao"))]
#[path = "no_openbao.rs"]
mod openbao;
mod status;
#[cfg(test)]
mod tests;

use endpoint::EndpointTable;
use kind::{KindWord, OpenBaoTable};
use nitride_courier::MAX_ENDPOINTS;
use nitride_settings::{Fault, SettingsError, absolute, document, fault, within};
use openbao::{EncodingWord, LoginTable};
use serde::Deserialize;
use status::StatusTable;
use std::path::{Path, PathBuf};
use std::time::Duration;
use toml::Spanned;

pub(crate) use endpoint::Endpoint;
pub(crate) use openbao::OpenBao;
#[cfg(feature = "openbao")]
pub(crate) use openbao::{Login, LoginMethod};
pub(crate) use status::Status;

/// Longest configuration file in bytes.
const MAX_FILE_LEN: u64 = 262_144;
/// Services that one agent knows.
const MAX_SERVICES: usize = 64;

/// What this process is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Config {
    /// vhsmd's agent socket.
    pub(crate) vhsmd_socket: PathBuf,
    /// Rounds at a time.
    pub(crate) max_rounds: usize,
    /// Where the agent says how it is doing.
    pub(crate) status: Status,
    pub(crate) services: Vec<Service>,
}

/// One provisioning service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Service {
    /// As vhsmd's orders name it.
    pub(crate) name: String,
    pub(crate) tls: Option<Tls>,
    pub(crate) connect_timeout: Duration,
    pub(crate) request_timeout: Duration,
    /// At least one.
    pub(crate) endpoints: Vec<Endpoint>,
    /// An OpenBao or a Vault, which this agent reads itself; `None`: a KBS, for which it is blind.
    pub(crate) openbao: Option<OpenBao>,
}

/// Files that say whom to trust and who we are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tls {
    /// The only certificates that are trusted, in PEM.
    pub(crate) ca: PathBuf,
    pub(crate) client: Option<ClientIdentity>,
}

/// A client certificate chain and its key, in PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ClientIdentity {
    pub(crate) cert: PathBuf,
    pub(crate) key: PathBuf,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Document {
    vhsmd: VhsmdTable,
    limits: Option<LimitsTable>,
    #[serde(default)]
    status: StatusTable,
    #[serde(default)]
    service: Vec<Spanned<ServiceTable>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct VhsmdTable {
    socket: Spanned<PathBuf>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct LimitsTable {
    rounds: Option<Spanned<u64>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct ServiceTable {
    name: Spanned<String>,
    kind: Option<Spanned<KindWord>>,
    plaintext_courier: Option<Spanned<bool>>,
    mount: Option<Spanned<String>>,
    prefix: Option<Spanned<String>>,
    field: Option<Spanned<String>>,
    encoding: Option<Spanned<EncodingWord>>,
    login: Option<Spanned<LoginTable>>,
    ca: Option<Spanned<PathBuf>>,
    client_cert: Option<Spanned<PathBuf>>,
    client_key: Option<Spanned<PathBuf>>,
    connect_timeout_ms: Option<Spanned<u64>>,
    request_timeout_ms: Option<Spanned<u64>>,
    #[serde(default)]
    danger_plain_http: bool,
    #[serde(default)]
    endpoint: Vec<Spanned<EndpointTable>>,
}

impl Config {
    /// Reads the file at `path`.
    pub(crate) fn load(path: &Path) -> Result<Self, SettingsError> {
        nitride_settings::load(path, MAX_FILE_LEN, Self::parse)
    }

    fn parse(text: &str) -> Result<Self, Fault> {
        let document: Document = document(text)?;
        let rounds = document.limits.and_then(|limits| limits.rounds);
        let mut services: Vec<Service> = Vec::with_capacity(document.service.len());
        for table in document.service {
            let at = table.get_ref().name.span();
            let service = service(table)?;
            if services.iter().any(|other| other.name == service.name) {
                return fault(at, "this service has been described before: remove one");
            }
            if services.len() == MAX_SERVICES {
                return fault(at, format!("more than {MAX_SERVICES} services"));
            }
            services.push(service);
        }
        if services.is_empty() {
            return fault(0..0, "no service: add a table [[service]]");
        }
        Ok(Self {
            vhsmd_socket: absolute(document.vhsmd.socket)?,
            max_rounds: usize::try_from(within(rounds, 8, 1..=64)?).unwrap_or(1),
            status: status::check(document.status)?,
            services,
        })
    }
}

fn service(table: Spanned<ServiceTable>) -> Result<Service, Fault> {
    let at = table.span();
    let table = table.into_inner();
    if table.name.get_ref().is_empty() || table.name.get_ref().len() > 255 {
        return fault(table.name.span(), "give a name of 1 to 255 bytes");
    }
    if table.endpoint.is_empty() {
        return fault(at, "no endpoint: add a table [[service.endpoint]]");
    }
    if table.endpoint.len() > MAX_ENDPOINTS {
        return fault(at, format!("more than {MAX_ENDPOINTS} endpoints"));
    }
    let client = match (table.client_cert, table.client_key) {
        (Some(cert), Some(key)) => Some(ClientIdentity {
            cert: absolute(cert)?,
            key: absolute(key)?,
        }),
        (None, None) => None,
        (Some(lone), None) => return fault(lone.span(), "give `client-key` as well"),
        (None, Some(lone)) => return fault(lone.span(), "give `client-cert` as well"),
    };
    let openbao = OpenBaoTable {
        kind: table.kind,
        plaintext_courier: table.plaintext_courier,
        mount: table.mount,
        prefix: table.prefix,
        field: table.field,
        encoding: table.encoding,
        login: table.login,
    };
    let openbao = openbao.check(&at, client.is_some())?;
    if table.danger_plain_http && openbao.is_some() {
        let said =
            "what is read here comes by HTTPS alone: remove `danger-plain-http`, and give `ca`";
        return fault(at, said);
    }
    let tls = match (table.ca, client) {
        (Some(ca), client) => Some(Tls {
            ca: absolute(ca)?,
            client,
        }),
        (None, None) => None,
        (None, Some(_)) => return fault(at, "a client certificate without `ca`: give both"),
    };
    let request_timeout_ms = within(table.request_timeout_ms, 20_000, 100..=300_000)?;
    let endpoints = table.endpoint.into_iter().map(|endpoint| {
        let rules = endpoint::Rules {
            has_ca: tls.is_some(),
            danger_plain_http: table.danger_plain_http,
        };
        endpoint::check(endpoint, &rules)
    });
    Ok(Service {
        endpoints: endpoints.collect::<Result<_, _>>()?,
        openbao,
        name: table.name.into_inner(),
        tls,
        connect_timeout: Duration::from_millis(within(
            table.connect_timeout_ms,
            5_000.min(request_timeout_ms),
            10..=request_timeout_ms,
        )?),
        request_timeout: Duration::from_millis(request_timeout_ms),
    })
}
