use super::file::name;
use super::{ConfigError, Document, public_key};
use nitride_protocol::limits::MAX_LABEL_LEN;
use nitride_protocol::{KeyName, KeyNameBuf};
use nitride_vault::backup::Recipient;
use serde::Deserialize;
use std::path::PathBuf;
use toml::Spanned;

/// A backup recipient whose key has yet to be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RecipientFile {
    /// What `vhsm backup` calls it.
    pub(crate) name: String,
    /// The PEM file of its public key.
    pub(crate) public_key: PathBuf,
    /// The key of the vault that opens its backups.
    pub(crate) key: Option<KeyNameBuf>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawRecipient {
    name: Spanned<String>,
    public_key: PathBuf,
    key: Option<Spanned<String>>,
}

/// All of them, each under a name of its own.
pub(super) fn recipients(
    document: &Document,
    raw: Vec<RawRecipient>,
) -> Result<Vec<RecipientFile>, ConfigError> {
    let mut found: Vec<RecipientFile> = Vec::with_capacity(raw.len());
    for raw in raw {
        let span = raw.name.span();
        let name = name(document, raw.name)?;
        if name.len() > MAX_LABEL_LEN {
            return Err(document.fault(
                span,
                format_args!(
                    "the name has {} bytes, more than {MAX_LABEL_LEN}",
                    name.len()
                ),
                "give the recipient a shorter name",
            ));
        }
        if found.iter().any(|other| other.name == name) {
            return Err(document.fault(
                span,
                format_args!("backup recipient {name} is stated twice"),
                "keep one of the two",
            ));
        }
        let key = raw.key.map(|key| match KeyName::parse(key.get_ref()) {
            Ok(name) => Ok(name.to_owned()),
            Err(error) => Err(document.fault(
                key.span(),
                format_args!("{:?} is not a key's name: {error}", key.get_ref()),
                "write the name of the key that has the recipient's private half",
            )),
        });
        found.push(RecipientFile {
            name,
            public_key: raw.public_key,
            key: key.transpose()?,
        });
    }
    Ok(found)
}

impl RecipientFile {
    /// Reads its public key.
    pub(crate) fn read(&self) -> Result<Recipient, ConfigError> {
        Ok(Recipient {
            name: self.name.clone(),
            public_key: public_key::read_recipient(&self.public_key)?,
            key: self.key.clone(),
        })
    }
}
