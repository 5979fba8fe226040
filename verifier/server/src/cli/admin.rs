//! `admin`: what an admin asks of a running service, over TLS.

mod client;

pub(crate) use client::NotDone;

use super::opened_store::IfThere;
use super::resource::{read_envelope, read_raw, write_out};
use crate::documents::{Document, Form};
use crate::policy_set::DocumentName;
use crate::revocation::{Entry, Kind};
use crate::store::Expected;
use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use client::{Client, Connection, Reply, shown};
use http::Method;
use http::header::{CONTENT_TYPE, HeaderName, IF_MATCH, IF_NONE_MATCH};
use nitride_kbs::resource::ResourcePath;
use serde::Deserialize;
use serde_json::{Value, json};
use std::io::{Write, stdout};
use std::path::PathBuf;

/// What `admin` takes.
#[derive(Debug, Args)]
pub(crate) struct Admin {
    #[command(flatten)]
    connection: Connection,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Resources. Nobody reads what one holds: it leaves encrypted to an attested TEE, or not at all.
    #[command(subcommand)]
    Resource(ResourceCommand),
    /// Policies that the store keeps: attestation, resource, appraisal, or tenant/REPOSITORY.
    #[command(subcommand)]
    Policy(PolicyCommand),
    /// Reference values that the store keeps: attestation, which follow that policy, or named, which the
    /// appraisal asks for.
    #[command(subcommand)]
    ReferenceValues(ValuesCommand),
    /// The kill switch: what gets nothing any more.
    #[command(subcommand)]
    Revoke(RevokeCommand),
    /// Print how this replica is.
    Status,
    /// Print the newest entry of this replica's audit, to be kept elsewhere: NUMBER:DIGEST.
    AuditHead,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ResourceCommand {
    /// Print the names, one a line.
    List {
        /// Of this repository alone.
        #[arg(long, value_name = "REPOSITORY")]
        namespace: Option<String>,
    },
    /// Store a resource; its version is printed.
    Put {
        /// repo/type/tag, or kbs:///repo/type/tag.
        path: ResourcePath,
        /// An envelope that `resource seal` made. `-` is standard input.
        #[arg(
            long,
            value_name = "PATH",
            conflicts_with = "raw",
            required_unless_present = "raw"
        )]
        envelope: Option<PathBuf>,
        /// Bytes that nobody signed, for keys whose policy says unsigned = "accept". `-` is
        /// standard input.
        #[arg(long, value_name = "PATH")]
        raw: Option<PathBuf>,
        #[command(flatten)]
        if_there: IfThere,
    },
    /// Delete a resource.
    Delete {
        /// repo/type/tag, or kbs:///repo/type/tag.
        path: ResourcePath,
        #[command(flatten)]
        if_there: IfThere,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum PolicyCommand {
    /// Print each one's name, version, form and SHA-256.
    List {
        /// Of this repository alone.
        #[arg(long, value_name = "REPOSITORY")]
        namespace: Option<String>,
    },
    /// Print one as it was put; its version goes to standard error.
    Get {
        /// Which one.
        #[arg(value_parser = policy)]
        name: DocumentName,
        /// Where it goes; standard output otherwise.
        #[arg(long, value_name = "PATH")]
        out: Option<PathBuf>,
    },
    /// Put one. Everything is checked before anything is stored; its version is printed.
    Put {
        /// Which one.
        #[arg(value_parser = policy)]
        name: DocumentName,
        /// The file. A policy of resources is Rego where its name ends so, else rules in TOML.
        file: PathBuf,
        #[command(flatten)]
        if_there: IfThere,
    },
    /// Delete one: a tenant is decided by the service's policy then.
    Delete {
        /// Which one; attestation and resource are needed.
        #[arg(value_parser = policy)]
        name: DocumentName,
        #[command(flatten)]
        if_there: IfThere,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum ValuesCommand {
    /// Print each one's name, version, form and SHA-256.
    List,
    /// Print some as they were put; their version goes to standard error.
    Get {
        /// Which ones.
        #[arg(value_parser = values)]
        name: DocumentName,
        /// Where they go; standard output otherwise.
        #[arg(long, value_name = "PATH")]
        out: Option<PathBuf>,
    },
    /// Put some. Everything is checked before anything is stored; their version is printed.
    Put {
        /// Which ones.
        #[arg(value_parser = values)]
        name: DocumentName,
        /// The file: TOML of attestation, JSON of named.
        file: PathBuf,
        #[command(flatten)]
        if_there: IfThere,
    },
    /// Delete some.
    Delete {
        /// Which ones.
        #[arg(value_parser = values)]
        name: DocumentName,
        #[command(flatten)]
        if_there: IfThere,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum RevokeCommand {
    /// Give it nothing any more, within 5 seconds on every replica.
    Add {
        /// Why, for whoever reads the list.
        #[arg(long, value_name = "TEXT", default_value = "")]
        reason: String,
        /// What kind of thing.
        kind: Kind,
        /// Of a vm or an image TEE.CLAIM=VALUE of its verified evidence, such as snp.measurement=…, or
        /// TEE.OBJECT.CLAIM=VALUE, such as az-snp-vtpm.hardware.chip_id=…; of a tenant the first part of
        /// its paths; of a resource repo/type/tag.
        what: String,
    },
    /// Take it back.
    Lift {
        /// What kind of thing.
        kind: Kind,
        /// As it was revoked.
        what: String,
    },
    /// Print what is revoked: kind, what, seconds since 1970, why.
    List,
}

fn policy(name: &str) -> Result<DocumentName, &'static str> {
    DocumentName::parse(&format!("policies/{name}"))
        .ok_or("write attestation, resource, appraisal or tenant/REPOSITORY")
}

fn values(name: &str) -> Result<DocumentName, &'static str> {
    DocumentName::parse(&format!("reference-values/{name}")).ok_or("write attestation or named")
}

impl Admin {
    pub(crate) fn run(self) -> Result<()> {
        let client = Client::open(&self.connection)?;
        match self.command {
            Command::Resource(command) => command.run(&client),
            Command::Policy(command) => command.run(&client),
            Command::ReferenceValues(command) => command.run(&client),
            Command::Revoke(command) => command.run(&client),
            Command::Status => {
                let reply = client.ask(Method::GET, "nitride/status", Vec::new(), Vec::new())?;
                let status: Value = reply.json()?;
                let text = serde_json::to_string_pretty(&status).context("print")?;
                text.lines().try_for_each(print)
            }
            Command::AuditHead => {
                let reply =
                    client.ask(Method::GET, "nitride/audit-head", Vec::new(), Vec::new())?;
                let Head { sequence, digest } = reply.json()?;
                print(&format!("{sequence}:{digest}"))
            }
        }
    }
}

impl ResourceCommand {
    fn run(self, client: &Client) -> Result<()> {
        match self {
            Self::List { namespace } => {
                let query = query(namespace);
                let path = format!("nitride/resources{query}");
                let reply = client.ask(Method::GET, &path, Vec::new(), Vec::new())?;
                let Resources { resources } = reply.json()?;
                resources.iter().try_for_each(|name| print(name))
            }
            Self::Put {
                path,
                envelope,
                raw,
                if_there,
            } => {
                let bytes = match (envelope, raw) {
                    (Some(file), None) => read_envelope(&file)?,
                    (None, Some(file)) => read_raw(&file)?,
                    _ => bail!("say what to store: --envelope or --raw"),
                };
                let path = format!("resource/{path}");
                let head = head(if_there.expected()?);
                tell_version(&client.ask(Method::POST, &path, head, bytes.to_vec())?)
            }
            Self::Delete { path, if_there } => {
                let path = format!("resource/{path}");
                let head = head(if_there.expected()?);
                client
                    .ask(Method::DELETE, &path, head, Vec::new())
                    .map(drop)
            }
        }
    }
}

impl PolicyCommand {
    fn run(self, client: &Client) -> Result<()> {
        match self {
            Self::List { namespace } => {
                let query = query(namespace);
                list(client, &format!("nitride/policies{query}"))
            }
            Self::Get { name, out } => fetch(client, &name, out),
            Self::Put {
                name,
                file,
                if_there,
            } => put(client, &name, file, &if_there),
            Self::Delete { name, if_there } => delete(client, &name, &if_there),
        }
    }
}

impl ValuesCommand {
    fn run(self, client: &Client) -> Result<()> {
        match self {
            Self::List => list(client, "nitride/reference-values"),
            Self::Get { name, out } => fetch(client, &name, out),
            Self::Put {
                name,
                file,
                if_there,
            } => put(client, &name, file, &if_there),
            Self::Delete { name, if_there } => delete(client, &name, &if_there),
        }
    }
}

impl RevokeCommand {
    fn run(self, client: &Client) -> Result<()> {
        let path = "nitride/revocations";
        match self {
            Self::Add { reason, kind, what } => {
                let body = json!({ "kind": kind, "what": what, "reason": reason });
                let body = body.to_string().into_bytes();
                let reply = client.ask(Method::POST, path, Vec::new(), body)?;
                let Added { kind, what, is_new } = reply.json()?;
                let how = if is_new {
                    "revoked"
                } else {
                    "revoked already:"
                };
                print(&format!("{how} {kind} {what}"))
            }
            Self::Lift { kind, what } => {
                let body = json!({ "kind": kind, "what": what });
                let body = body.to_string().into_bytes();
                let path = format!("{path}/lift");
                client.ask(Method::POST, &path, Vec::new(), body).map(drop)
            }
            Self::List => {
                let reply = client.ask(Method::GET, path, Vec::new(), Vec::new())?;
                let Revoked { revoked } = reply.json()?;
                revoked.iter().try_for_each(|entry| {
                    let Entry {
                        kind,
                        what,
                        since_secs,
                        reason,
                    } = entry;
                    print(&format!("{kind} {what} {since_secs} {reason:?}"))
                })
            }
        }
    }
}

/// What is revoked now, as it is stored.
#[derive(Deserialize)]
struct Added {
    kind: Kind,
    what: String,
    is_new: bool,
}

#[derive(Deserialize)]
struct Head {
    sequence: u64,
    digest: String,
}

#[derive(Deserialize)]
struct Resources {
    resources: Vec<String>,
}

#[derive(Deserialize)]
struct Revoked {
    revoked: Vec<Entry>,
}

#[derive(Deserialize)]
struct Listed {
    documents: Vec<ListedDocument>,
}

#[derive(Deserialize)]
struct ListedDocument {
    name: String,
    version: u64,
    form: String,
    sha256: String,
}

fn list(client: &Client, path: &str) -> Result<()> {
    let reply = client.ask(Method::GET, path, Vec::new(), Vec::new())?;
    let Listed { documents } = reply.json()?;
    documents.iter().try_for_each(|document| {
        let ListedDocument {
            name,
            version,
            form,
            sha256,
        } = document;
        // As it is named here, without what the subcommand says already.
        let name = name.split_once('/').map_or(name.as_str(), |(_, name)| name);
        print(&format!("{name} {version} {form} {sha256}"))
    })
}

fn fetch(client: &Client, name: &DocumentName, out: Option<PathBuf>) -> Result<()> {
    let path = format!("nitride/{name}");
    let reply = client.ask(Method::GET, &path, Vec::new(), Vec::new())?;
    if let Some(version) = &reply.version {
        eprintln!("version {}", shown(version));
    }
    write_out(&out.unwrap_or_else(|| PathBuf::from("-")), &reply.body)
}

fn put(client: &Client, name: &DocumentName, file: PathBuf, if_there: &IfThere) -> Result<()> {
    let Document { form, text, .. } = Document::of_file(&file)?;
    let forms = [form, Form::Toml, Form::Rego, Form::Json];
    let form = forms.into_iter().find(|form| name.takes(*form));
    let form = form.context("this document has no form")?;
    let mut head = head(if_there.expected()?);
    head.push((CONTENT_TYPE, form.content_type().to_owned()));
    let path = format!("nitride/{name}");
    tell_version(&client.ask(Method::PUT, &path, head, text.as_bytes().to_vec())?)
}

fn delete(client: &Client, name: &DocumentName, if_there: &IfThere) -> Result<()> {
    let head = head(if_there.expected()?);
    let path = format!("nitride/{name}");
    client
        .ask(Method::DELETE, &path, head, Vec::new())
        .map(drop)
}

fn query(namespace: Option<String>) -> String {
    namespace.map_or_else(String::new, |name| format!("?namespace={name}"))
}

fn head(expected: Expected) -> Vec<(HeaderName, String)> {
    match expected {
        Expected::Any => Vec::new(),
        Expected::Absent => vec![(IF_NONE_MATCH, "*".to_owned())],
        Expected::Version(version) => vec![(IF_MATCH, format!("\"{version}\""))],
    }
}

fn tell_version(reply: &Reply) -> Result<()> {
    let version = reply.version.as_deref();
    print(&format!("version {}", version.unwrap_or("unknown")))
}

fn print(line: &str) -> Result<()> {
    writeln!(stdout(), "{}", shown(line)).context("print")
}
