//! `[openbao]`: the store is a KV engine of version 2 that replicas share, in place of a folder.
//!
//! ```toml
//! [openbao]
//! # The nodes of one cluster, asked in turn until one answers.
//! addresses = ["https://bao-1.example:8200", "https://bao-2.example:8200"]
//! ca = "/etc/nitride/bao-ca.pem"       # no other CA is trusted
//! mount = "secret"                     # where the engine is
//! prefix = "nitride"                   # the folder in it that is this service's alone
//! deadline-secs = 10                   # optional; what one call may take with all its attempts
//! attempt-secs = 3                     # optional; what one node may take
//! danger-plain-http = false            # optional; true for loopback addresses alone
//!
//! [openbao.login]
//! method = "approle"                   # with role-id and secret-id, or
//! role-id = "/etc/nitride/bao.role"    # "jwt" with role and jwt, or
//! secret-id = "/etc/nitride/bao.secret" # "tls-certificate" with role, certificate and key
//! mount = "approle"                    # optional; where the method is
//! ```

use http::Uri;
use nitride_openbao::Kv;
use nitride_verify::strict_toml::{FileError, TomlText};
use serde::Deserialize;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use toml::Spanned;

const MAX_ADDRESSES: usize = 16;

/// The engine, its nodes, and how this service logs in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OpenBao {
    /// `scheme://host:port` each, at least one.
    pub(crate) addresses: Vec<String>,
    /// The pinned CA; `None` where all addresses are plain.
    pub(crate) ca: Option<PathBuf>,
    pub(crate) kv: Kv,
    pub(crate) login: Login,
    pub(crate) deadline: Duration,
    pub(crate) attempt: Duration,
}

/// A login's method with the files of its secrets, and where it is mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Login {
    pub(crate) mount: String,
    pub(crate) method: LoginMethod,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum LoginMethod {
    AppRole {
        role_id: PathBuf,
        secret_id: PathBuf,
    },
    Jwt {
        role: String,
        jwt: PathBuf,
    },
    Certificate {
        role: String,
        certificate: PathBuf,
        key: PathBuf,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct OpenBaoForm {
    addresses: Spanned<Vec<Spanned<String>>>,
    ca: Option<PathBuf>,
    mount: Spanned<String>,
    prefix: Spanned<String>,
    deadline_secs: Option<Spanned<u32>>,
    attempt_secs: Option<Spanned<u32>>,
    danger_plain_http: Option<Spanned<bool>>,
    login: LoginForm,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct LoginForm {
    method: Spanned<String>,
    mount: Option<Spanned<String>>,
    role: Option<Spanned<String>>,
    role_id: Option<PathBuf>,
    secret_id: Option<PathBuf>,
    jwt: Option<PathBuf>,
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
}

impl OpenBaoForm {
    pub(super) fn read(self, text: &TomlText<'_>, folder: &Path) -> Result<OpenBao, FileError> {
        let plain = self.danger_plain_http.as_ref();
        let plain = plain.is_some_and(|plain| *plain.get_ref());
        let count = self.addresses.get_ref().len();
        if !(1..=MAX_ADDRESSES).contains(&count) {
            let reason = format!("there are {count} addresses");
            let remedy = "name 1 to 16 nodes of the cluster";
            return Err(text.error(&self.addresses, reason, remedy));
        }
        let mut addresses = Vec::with_capacity(count);
        for address in self.addresses.get_ref() {
            addresses.push(read_address(address, plain, text)?);
        }
        if !plain && self.ca.is_none() {
            return Err(text.error(
                &self.addresses,
                "there is no ca to trust",
                "name the CA that issued the nodes' certificates",
            ));
        }
        let kv = Kv::new(self.mount.get_ref(), self.prefix.get_ref());
        let kv = kv.map_err(|error| {
            text.error(
                &self.mount,
                error.to_string(),
                "write mount and prefix without / at their ends",
            )
        })?;
        let secs = |name, field, default| {
            super::in_range(name, field, default, 300, text)
                .map(|secs| Duration::from_secs(secs.into()))
        };
        let deadline = secs("deadline-secs", self.deadline_secs, 10)?;
        Ok(OpenBao {
            addresses,
            ca: self.ca.map(|path| folder.join(path)),
            kv,
            login: self.login.read(text, folder)?,
            deadline,
            attempt: secs("attempt-secs", self.attempt_secs, 3)?.min(deadline),
        })
    }
}

impl LoginForm {
    /// Exactly the fields of its method: one that does nothing would be taken for one that does.
    fn read(self, text: &TomlText<'_>, folder: &Path) -> Result<Login, FileError> {
        let role = self.role.as_ref().map(|role| role.get_ref().clone());
        let at = |path: PathBuf| folder.join(path);
        let fields = (
            role,
            self.role_id,
            self.secret_id,
            self.jwt,
            self.certificate,
            self.key,
        );
        let (default, method) = match (self.method.get_ref().as_str(), fields) {
            ("approle", (None, Some(role_id), Some(secret_id), None, None, None)) => (
                "approle",
                LoginMethod::AppRole {
                    role_id: at(role_id),
                    secret_id: at(secret_id),
                },
            ),
            ("jwt", (Some(role), None, None, Some(jwt), None, None)) => {
                ("jwt", LoginMethod::Jwt { role, jwt: at(jwt) })
            }
            ("tls-certificate", (Some(role), None, None, None, Some(certificate), Some(key))) => (
                "cert",
                LoginMethod::Certificate {
                    role,
                    certificate: at(certificate),
                    key: at(key),
                },
            ),
            (method, _) => {
                let reason = format!("these are not the fields of login method {method:?}");
                return Err(text.error(
                    &self.method,
                    reason,
                    "write \"approle\" with role-id and secret-id, \"jwt\" with role and jwt, or \
                     \"tls-certificate\" with role, certificate and key",
                ));
            }
        };
        let mount = match self.mount {
            None => default.to_owned(),
            // The check of a path is the engine's own.
            Some(mount) => match Kv::new(mount.get_ref(), "x") {
                Ok(_) => mount.into_inner(),
                Err(error) => {
                    return Err(text.error(
                        &mount,
                        error.to_string(),
                        "write for example \"approle\"",
                    ));
                }
            },
        };
        Ok(Login { mount, method })
    }
}

/// `https://host:port`, or `http://` where everything is this machine's own.
fn read_address(
    address: &Spanned<String>,
    plain: bool,
    text: &TomlText<'_>,
) -> Result<String, FileError> {
    let wrong = |reason: &str| {
        let reason = format!("address {:?} {reason}", address.get_ref());
        text.error(
            address,
            reason,
            "write for example \"https://bao.example:8200\"",
        )
    };
    let uri: Uri = address.get_ref().parse().map_err(|_| wrong("is no URL"))?;
    let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
        return Err(wrong("is no URL"));
    };
    if authority.as_str().contains('@') || uri.path() != "/" || uri.query().is_some() {
        return Err(wrong("is more than scheme, host and port"));
    }
    match (scheme, plain) {
        ("https", false) => {}
        ("http", true) => {
            let host = authority
                .host()
                .trim_start_matches('[')
                .trim_end_matches(']');
            if !host
                .parse::<IpAddr>()
                .is_ok_and(|address| address.is_loopback())
            {
                return Err(wrong("is plain, and not a loopback address"));
            }
        }
        ("http", false) => {
            return Err(wrong("is plain: secrets' tokens would travel in the clear"));
        }
        _ => return Err(wrong("is of another scheme than danger-plain-http says")),
    }
    Ok(format!("{scheme}://{authority}"))
}

#[cfg(test)]
mod tests;
