use super::disk_key::duration;
use super::peers::unit_of;
use super::{ConfigError, Document};
use nitride_protocol::{KeyName, KeyNameBuf};
use serde::Deserialize;
use std::time::Duration;
use toml::Spanned;

/// A unit's credential, served to the service manager.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Credential {
    /// The system unit.
    pub(crate) unit: String,
    /// What the unit calls it.
    pub(crate) name: String,
    /// The `secret` that the policy releases to the unit.
    pub(crate) key: KeyNameBuf,
    /// For how long the unit's start is held up while the key is fetched.
    pub(crate) timeout: Duration,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawCredential {
    unit: Spanned<String>,
    name: Spanned<String>,
    key: Spanned<String>,
    timeout: Option<Spanned<String>>,
}

/// Less than the 90 seconds of `DefaultTimeoutStartSec=`, so that the unit fails by our refusal,
/// for which the log has a reason.
const DEFAULT_TIMEOUT_MS: u64 = 75_000;
/// What the service manager's address has room for: 107 bytes after the first, of which
/// `<16 hex digits>/unit/<unit>/<name>` takes 23 for itself.
const MAX_ASKED_LEN: usize = 107 - 23;

impl RawCredential {
    fn validate(self, document: &Document) -> Result<Credential, ConfigError> {
        let span = self.name.span();
        let unit = unit_of(document, self.unit)?;
        let name = self.name.into_inner();
        // As systemd has it, which makes a file of this name (systemd.exec(5)); a colon would end
        // it in LoadCredential=.
        let plain = |c: char| c.is_ascii_graphic() && c != '/' && c != ':';
        if name.is_empty() || name == "." || name == ".." || !name.chars().all(plain) {
            return Err(document.fault(
                span,
                format_args!("{name:?} is not the name of a credential"),
                "write the name that stands before the colon in LoadCredential=",
            ));
        }
        if unit.len() + name.len() > MAX_ASKED_LEN {
            return Err(document.fault(
                span,
                format_args!("systemd cannot ask for {name}, which is too long a name for {unit}"),
                "write at most 84 bytes for the names of unit and credential together",
            ));
        }
        let key = KeyName::parse(self.key.get_ref()).map_err(|error| {
            document.fault(
                self.key.span(),
                format_args!("{:?} is not the name of a key: {error}", self.key.get_ref()),
                "name a key of the policy",
            )
        })?;
        let timeout_ms = match &self.timeout {
            None => DEFAULT_TIMEOUT_MS,
            Some(text) => duration(document, text)?,
        };
        Ok(Credential {
            key: key.to_owned(),
            unit,
            name,
            timeout: Duration::from_millis(timeout_ms),
        })
    }
}

pub(super) fn credentials(
    document: &Document,
    raw: Vec<Spanned<RawCredential>>,
) -> Result<Vec<Credential>, ConfigError> {
    let mut found: Vec<Credential> = Vec::with_capacity(raw.len());
    for raw in raw {
        let span = raw.span();
        let credential = raw.into_inner().validate(document)?;
        let (unit, name) = (&credential.unit, &credential.name);
        let is_same = |other: &Credential| other.unit == *unit && other.name == *name;
        if found.iter().any(is_same) {
            return Err(document.fault(
                span,
                format_args!("credential {name} of {unit} is stated twice"),
                "keep one of the two",
            ));
        }
        found.push(credential);
    }
    Ok(found)
}
