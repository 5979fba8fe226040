//! `[[admin]]`: who administers over HTTP, and what each may do.
//!
//! ```toml
//! [[admin]]
//! name = "pipeline"
//! token-sha256 = "<64 hex digits>"              # `admin-token generate` prints it
//! roles = ["resources:write"]                   # or policies, reference-values, revocations, audit
//! namespaces = ["web"]                          # repositories; or "all"
//!
//! [[admin]]
//! name = "team"
//! jwt = { keys = "idp.pem", issuer = "https://idp.example", audience = "nitride", role = "kms", max-age-secs = 600 }
//! roles = ["policies:write", "audit:read"]
//! namespaces = "all"
//!
//! [[admin]]
//! name = "root"
//! certificate = { ca = "admins.pem", sha256 = "<64 hex digits>" }   # or dns = "root.admins.example"
//! roles = ["revocations:write"]
//! namespaces = "all"
//! ```

use super::parse_digest;
use crate::admin::{Access, CertificateIdentity, Grant, Namespaces, Role};
use nitride_kbs::resource::ResourcePath;
use nitride_verify::strict_toml::{FileError, TomlText};
use rustls_pki_types::DnsName;
use serde::Deserialize;
use std::path::{Path, PathBuf};
use toml::Spanned;

const MAX_AGE_SECS: u32 = 86_400;
const MAX_ADMINS: usize = 256;
const ROLES: &str = "write resources, policies, reference-values, revocations or audit, then \":read\" or \":write\"";

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AdminSettings {
    pub(crate) name: String,
    pub(crate) way: AdminWay,
    pub(crate) grants: Vec<Grant>,
    pub(crate) namespaces: Namespaces,
}

impl AdminSettings {
    /// The authority of its client certificates, which the handshake has to take.
    pub(crate) fn ca(&self) -> Option<PathBuf> {
        match &self.way {
            AdminWay::Certificate(certificate) => Some(certificate.ca.clone()),
            _ => None,
        }
    }
}

/// How it is known who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum AdminWay {
    /// A token, by its SHA-256.
    Token([u8; 32]),
    Jwt(JwtSettings),
    Certificate(CertificateSettings),
}

/// A token of an identity provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct JwtSettings {
    /// Public keys in PEM.
    pub(crate) keys: PathBuf,
    pub(crate) issuer: String,
    pub(crate) audience: String,
    pub(crate) role_claim: String,
    pub(crate) role: String,
    pub(crate) subject: Option<String>,
    pub(crate) max_age_secs: u64,
}

/// A client certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CertificateSettings {
    pub(crate) ca: PathBuf,
    pub(crate) identity: CertificateIdentity,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct AdminForm {
    name: Spanned<String>,
    token_sha256: Option<Spanned<String>>,
    jwt: Option<JwtForm>,
    certificate: Option<Spanned<CertificateForm>>,
    roles: Vec<Spanned<String>>,
    namespaces: Spanned<NamespacesForm>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct JwtForm {
    keys: PathBuf,
    issuer: Spanned<String>,
    audience: Spanned<String>,
    role_claim: Option<Spanned<String>>,
    role: Spanned<String>,
    subject: Option<Spanned<String>>,
    max_age_secs: Option<Spanned<u32>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct CertificateForm {
    ca: PathBuf,
    sha256: Option<Spanned<String>>,
    dns: Option<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum NamespacesForm {
    Word(String),
    These(Vec<String>),
}

/// Reads all entries.
pub(super) fn read(
    forms: Vec<AdminForm>,
    folder: &Path,
    text: &TomlText<'_>,
) -> Result<Vec<AdminSettings>, FileError> {
    let mut read: Vec<AdminSettings> = Vec::new();
    for form in forms {
        let name = form.name.clone();
        if read.len() >= MAX_ADMINS {
            let reason = format!("there are more than {MAX_ADMINS} admins");
            return Err(text.error(&name, reason, "give people roles at an identity provider"));
        }
        let entry = form.read(folder, text)?;
        if read.iter().any(|other| other.name == entry.name) {
            let reason = format!("two admins are called {:?}", entry.name);
            return Err(text.error(&name, reason, "the audit tells them by their names"));
        }
        read.push(entry);
    }
    Ok(read)
}

impl AdminForm {
    fn read(self, folder: &Path, text: &TomlText<'_>) -> Result<AdminSettings, FileError> {
        let name = super::not_empty("name", self.name.clone(), text)?;
        let way = match (self.token_sha256, self.jwt, self.certificate) {
            (Some(digest), None, None) => AdminWay::Token(parse_digest(&digest, text)?),
            (None, Some(jwt), None) => AdminWay::Jwt(jwt.read(folder, text)?),
            (None, None, Some(form)) => AdminWay::Certificate(certificate(form, folder, text)?),
            _ => {
                let reason = format!("admin {name:?} has not exactly one way in");
                let remedy = "write token-sha256, jwt or certificate";
                return Err(text.error(&self.name, reason, remedy));
            }
        };
        let grants = self.roles.iter().map(|role| grant(role, text));
        Ok(AdminSettings {
            name,
            way,
            grants: grants.collect::<Result<_, _>>()?,
            namespaces: namespaces(&self.namespaces, text)?,
        })
    }
}

impl JwtForm {
    fn read(self, folder: &Path, text: &TomlText<'_>) -> Result<JwtSettings, FileError> {
        let role_claim = self.role_claim;
        let role_claim = role_claim.map(|claim| super::not_empty("role-claim", claim, text));
        let subject = self.subject;
        let subject = subject.map(|subject| super::not_empty("subject", subject, text));
        let max_age = super::in_range("max-age-secs", self.max_age_secs, 600, MAX_AGE_SECS, text)?;
        Ok(JwtSettings {
            keys: folder.join(self.keys),
            issuer: super::not_empty("issuer", self.issuer, text)?,
            audience: super::not_empty("audience", self.audience, text)?,
            role_claim: role_claim.transpose()?.unwrap_or_else(|| "role".to_owned()),
            role: super::not_empty("role", self.role, text)?,
            subject: subject.transpose()?,
            max_age_secs: max_age.into(),
        })
    }
}

fn certificate(
    form: Spanned<CertificateForm>,
    folder: &Path,
    text: &TomlText<'_>,
) -> Result<CertificateSettings, FileError> {
    let wrong = text.error(
        &form,
        "certificate names not exactly one of sha256 and dns",
        "write which certificate of the authority is meant",
    );
    let form = form.into_inner();
    let identity = match (form.sha256, form.dns) {
        (Some(digest), None) => CertificateIdentity::Sha256(parse_digest(&digest, text)?),
        (None, Some(name)) => CertificateIdentity::Dns(dns_name(&name, text)?),
        _ => return Err(wrong),
    };
    Ok(CertificateSettings {
        ca: folder.join(form.ca),
        identity,
    })
}

/// A name of one, which a wildcard is not.
fn dns_name(name: &Spanned<String>, text: &TomlText<'_>) -> Result<String, FileError> {
    match DnsName::try_from(name.get_ref().as_str()) {
        Ok(_) => Ok(name.get_ref().clone()),
        Err(_) => {
            let reason = format!("dns is {:?}, which is no DNS name", name.get_ref());
            let remedy = "write the name that the certificate has, without an asterisk";
            Err(text.error(name, reason, remedy))
        }
    }
}

fn grant(word: &Spanned<String>, text: &TomlText<'_>) -> Result<Grant, FileError> {
    let wrong = || {
        let reason = format!("{:?} is no role", word.get_ref());
        text.error(word, reason, ROLES)
    };
    let (role, access) = word.get_ref().split_once(':').ok_or_else(wrong)?;
    let access = match access {
        "read" => Access::Read,
        "write" => Access::Write,
        _ => return Err(wrong()),
    };
    let role = Role::ALL.into_iter().find(|known| known.as_str() == role);
    Ok(Grant {
        role: role.ok_or_else(wrong)?,
        access,
    })
}

fn namespaces(
    form: &Spanned<NamespacesForm>,
    text: &TomlText<'_>,
) -> Result<Namespaces, FileError> {
    // A repository is what can be the first part of a resource's path.
    let is_repository = |name: &String| ResourcePath::parse(&format!("{name}/t/t")).is_ok();
    match form.get_ref() {
        NamespacesForm::Word(word) if word == "all" => Ok(Namespaces::All),
        NamespacesForm::These(names) if !names.is_empty() && names.iter().all(is_repository) => {
            Ok(Namespaces::These(names.clone()))
        }
        _ => Err(text.error(
            form,
            "namespaces is neither \"all\" nor a list of repositories",
            "write for example [\"web\"], the first part of resources' paths",
        )),
    }
}
