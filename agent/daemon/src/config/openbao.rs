//! What a service of `kind = "openbao"` states: an engine that this agent reads itself, and how it logs in.

use super::absolute;
use super::kind::OpenBaoTable;
use nitride_courier::Secrets;
use nitride_openbao::Kv;
use nitride_openbao::answer::Encoding;
use nitride_settings::{Fault, fault};
use serde::Deserialize;
use std::ops::Range;
use std::path::PathBuf;
use toml::Spanned;

/// The field that is a resource, where none is stated.
const FIELD: &str = "value";
/// Longest name of a field in bytes.
const MAX_FIELD_LEN: usize = 255;

/// An engine, and how this agent logs in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OpenBao {
    pub(crate) secrets: Secrets,
    pub(crate) login: Login,
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
    /// By the service's own client certificate.
    Certificate {
        role: String,
    },
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum EncodingWord {
    Base64,
    Text,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct LoginTable {
    method: Spanned<String>,
    mount: Option<Spanned<String>>,
    role: Option<String>,
    role_id: Option<Spanned<PathBuf>>,
    secret_id: Option<Spanned<PathBuf>>,
    jwt: Option<Spanned<PathBuf>>,
}

impl OpenBaoTable {
    /// What a service states that says what it is.
    pub(super) fn stated(self, at: &Range<usize>, has_client: bool) -> Result<OpenBao, Fault> {
        let (Some(mount), Some(prefix)) = (self.mount, self.prefix) else {
            return fault(
                at.clone(),
                "give `mount` and `prefix`: the engine, and the folder in it",
            );
        };
        let kv = Kv::new(mount.get_ref(), prefix.get_ref());
        let Ok(kv) = kv else {
            let said = "one of `mount` and `prefix` is no path: write letters, digits, `_`, `-` and \
                        `.` between slashes, and no slash at an end";
            return fault(mount.span(), said);
        };
        let field = match self.field {
            None => FIELD.to_owned(),
            Some(field) if (1..=MAX_FIELD_LEN).contains(&field.get_ref().len()) => {
                field.into_inner()
            }
            Some(field) => return fault(field.span(), "give a name of 1 to 255 bytes"),
        };
        let Some(login) = self.login else {
            return fault(at.clone(), "no login: add a table [service.login]");
        };
        Ok(OpenBao {
            secrets: Secrets {
                kv,
                field,
                encoding: match self.encoding.map(Spanned::into_inner) {
                    None | Some(EncodingWord::Base64) => Encoding::Base64,
                    Some(EncodingWord::Text) => Encoding::Text,
                },
            },
            login: login.into_inner().check(has_client)?,
        })
    }
}

impl LoginTable {
    /// Exactly the fields of its method: one that does nothing would be taken for one that does.
    fn check(self, has_client: bool) -> Result<Login, Fault> {
        let at = self.method.span();
        let fields = (self.role, self.role_id, self.secret_id, self.jwt);
        let (default, method) = match (self.method.get_ref().as_str(), fields) {
            ("approle", (None, Some(role_id), Some(secret_id), None)) => (
                "approle",
                LoginMethod::AppRole {
                    role_id: absolute(role_id)?,
                    secret_id: absolute(secret_id)?,
                },
            ),
            ("jwt", (Some(role), None, None, Some(jwt))) => {
                let jwt = absolute(jwt)?;
                ("jwt", LoginMethod::Jwt { role, jwt })
            }
            ("tls-certificate", (Some(role), None, None, None)) if has_client => {
                ("cert", LoginMethod::Certificate { role })
            }
            _ => {
                return fault(
                    at,
                    "these are not the fields of a method of login: write \"approle\" with role-id and \
                     secret-id, \"jwt\" with role and jwt, or \"tls-certificate\" with role, and \
                     client-cert and client-key of the service",
                );
            }
        };
        let mount = match self.mount {
            None => default.to_owned(),
            // The check of a path is the engine's own.
            Some(mount) if Kv::new(mount.get_ref(), "x").is_ok() => mount.into_inner(),
            Some(mount) => {
                return fault(
                    mount.span(),
                    "this is no path: write for example \"approle\"",
                );
            }
        };
        Ok(Login { mount, method })
    }
}

#[cfg(test)]
#[path = "openbao_tests.rs"]
mod tests;
