//! Who administers the service, and what each may do.
//!
//! ```text
//!   role              read                    write                                   of
//!   resources         list names              store, delete                           a namespace
//!   policies          read a tenant's         put it, delete it                       a namespace
//!                     read all                put attestation, resource, appraisal    all
//!   reference-values  read them               put, delete them                        all
//!   revocations       list what is revoked    revoke, lift                            all
//!   audit             the head, the status    -                                       all
//! ```
//!
//! - **Denied by default.** A role that an entry does not name is not had; what is of all needs an
//!   entry with `namespaces = "all"`. No role reads a resource: what lies in the store leaves
//!   encrypted to an attested TEE's key, or not at all.
//! - **A passed check is a value**: what an admin asks for takes a [`Permitted`], which only
//!   [`Admins::permit`] makes.

mod certificate;
mod jwt;

use crate::config::{AdminSettings, AdminWay};
use crate::key_file::KeyFileError;
use certificate::CertificateRule;
pub(crate) use certificate::{CertificateIdentity, ClientChain};
use jwt::JwtRule;
use sha2::{Digest, Sha256};
use std::fmt;
use std::path::PathBuf;
use subtle::ConstantTimeEq;
use thiserror::Error;

/// What an admin may have to do with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Resources,
    Policies,
    ReferenceValues,
    Revocations,
    Audit,
}

impl Role {
    pub(crate) const ALL: [Self; 5] = [
        Self::Resources,
        Self::Policies,
        Self::ReferenceValues,
        Self::Revocations,
        Self::Audit,
    ];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Resources => "resources",
            Self::Policies => "policies",
            Self::ReferenceValues => "reference-values",
            Self::Revocations => "revocations",
            Self::Audit => "audit",
        }
    }
}

/// How far it goes: who may write may read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Access {
    Read,
    Write,
}

/// A role, and how far it goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Grant {
    pub(crate) role: Role,
    pub(crate) access: Access,
}

/// Of which repositories.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Namespaces {
    All,
    These(Vec<String>),
}

/// What a request is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope<'a> {
    /// One repository.
    Namespace(&'a str),
    /// What all of them share.
    All,
}

/// What a request brings to say who sends it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Credentials<'a> {
    pub(crate) bearer: Option<&'a str>,
    pub(crate) chain: Option<&'a ClientChain>,
}

/// Everybody who administers.
#[derive(Debug, Default)]
pub(crate) struct Admins(Vec<Admin>);

#[derive(Debug)]
struct Admin {
    name: String,
    way: Way,
    grants: Vec<Grant>,
    namespaces: Namespaces,
}

#[derive(Debug)]
enum Way {
    Token([u8; 32]),
    Jwt(JwtRule),
    Certificate(CertificateRule),
}

/// Leave to do what was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Permitted {
    admin: String,
}

/// Why there is no leave.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum NotPermitted {
    #[error("this service has no admin over HTTP")]
    NoAdmins,
    #[error("the admin's token is missing, and so is a client certificate")]
    NoCredentials,
    /// What each entry says against it, for the log.
    #[error("neither the token nor the client certificate is an admin's")]
    Unknown(#[source] Objections),
    #[error("admin {admin} may not {} {}{}", verb(*.access), .role.as_str(), of(.namespace))]
    Forbidden {
        admin: String,
        role: Role,
        access: Access,
        namespace: Option<String>,
    },
}

/// Why credentials are none of an entry's.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) struct Objections(Vec<String>);

impl fmt::Display for Objections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("; "))
    }
}

/// Why the entries of a configuration cannot be used.
#[derive(Debug, Error)]
pub(crate) enum AdminError {
    #[error("read {}", path.display())]
    Unreadable {
        path: PathBuf,
        #[source]
        source: rustls_pki_types::pem::Error,
    },
    #[error("{} has no public key for admin {admin:?} that is taken: P-256, P-384, Ed25519, or RSA of 2048 bits or more, in PEM", path.display())]
    NoKey { path: PathBuf, admin: String },
    #[error("use {} for admin {admin:?}", path.display())]
    Authority {
        path: PathBuf,
        admin: String,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error(transparent)]
    KeyFile(#[from] KeyFileError),
}

impl Admins {
    /// Reads the keys and authorities that the entries name.
    pub(crate) fn load(settings: &[AdminSettings]) -> Result<Self, AdminError> {
        let load = |entry: &AdminSettings| {
            let way = match &entry.way {
                AdminWay::Token(digest) => Way::Token(*digest),
                AdminWay::Jwt(jwt) => Way::Jwt(JwtRule::load(&entry.name, jwt)?),
                AdminWay::Certificate(certificate) => {
                    Way::Certificate(CertificateRule::load(&entry.name, certificate)?)
                }
            };
            Ok(Admin {
                name: entry.name.clone(),
                way,
                grants: entry.grants.clone(),
                namespaces: entry.namespaces.clone(),
            })
        };
        settings
            .iter()
            .map(load)
            .collect::<Result<_, _>>()
            .map(Self)
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Leave for whoever brings these credentials to do this. Every entry is looked at, so that how
    /// long it takes does not say which one came near.
    pub(crate) fn permit(
        &self,
        credentials: Credentials<'_>,
        (role, access): (Role, Access),
        scope: Scope<'_>,
        now_secs: u64,
    ) -> Result<Permitted, NotPermitted> {
        if self.0.is_empty() {
            return Err(NotPermitted::NoAdmins);
        }
        if credentials.bearer.is_none() && credentials.chain.is_none() {
            return Err(NotPermitted::NoCredentials);
        }
        let mut known = Vec::new();
        let mut objections = Vec::new();
        for admin in &self.0 {
            match admin.is_meant(credentials, now_secs) {
                Ok(()) => known.push(admin),
                Err(objection) => objections.push(format!("{}: {objection}", admin.name)),
            }
        }
        let Some(first) = known.first() else {
            return Err(NotPermitted::Unknown(Objections(objections)));
        };
        let able = known.iter().find(|admin| admin.may(role, access, scope));
        able.map(|admin| Permitted {
            admin: admin.name.clone(),
        })
        .ok_or_else(|| NotPermitted::Forbidden {
            admin: first.name.clone(),
            role,
            access,
            namespace: match scope {
                Scope::Namespace(name) => Some(name.to_owned()),
                Scope::All => None,
            },
        })
    }
}

impl Admin {
    fn is_meant(&self, credentials: Credentials<'_>, now_secs: u64) -> Result<(), String> {
        match &self.way {
            Way::Token(expected) => {
                let token = credentials.bearer.ok_or("no token")?;
                let digest: [u8; 32] = Sha256::digest(token.as_bytes()).into();
                match bool::from(digest.ct_eq(expected)) {
                    true => Ok(()),
                    false => Err("another token".to_owned()),
                }
            }
            Way::Jwt(rule) => rule.check(credentials.bearer.ok_or("no token")?, now_secs),
            Way::Certificate(rule) => {
                rule.check(credentials.chain.ok_or("no client certificate")?, now_secs)
            }
        }
    }

    fn may(&self, role: Role, access: Access, scope: Scope<'_>) -> bool {
        let has_role = self
            .grants
            .iter()
            .any(|grant| grant.role == role && grant.access >= access);
        let has_scope = match (&self.namespaces, scope) {
            (Namespaces::All, _) => true,
            (Namespaces::These(_), Scope::All) => false,
            (Namespaces::These(names), Scope::Namespace(name)) => {
                names.iter().any(|named| named == name)
            }
        };
        has_role && has_scope
    }
}

impl Permitted {
    /// Whose leave it is.
    pub(crate) fn admin(&self) -> &str {
        &self.admin
    }
}

fn verb(access: Access) -> &'static str {
    match access {
        Access::Read => "read",
        Access::Write => "write",
    }
}

fn of(namespace: &Option<String>) -> String {
    match namespace {
        Some(name) => format!(" of {name:?}"),
        None => " of all namespaces".to_owned(),
    }
}

#[cfg(test)]
mod tests;
