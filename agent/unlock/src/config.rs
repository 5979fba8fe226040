//! The configuration file: strict TOML, read once. In an initrd it is measured with the rest, which
//! makes what it expects of a volume worth something.

#[cfg(test)]
mod tests;

use crate::luks2::{Expected, Wanted};
use nitride_kbs::disk::DiskExpectation;
use nitride_settings::{Fault, SettingsError, absolute, document, fault};
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::time::Duration;
use thiserror::Error;
use toml::Spanned;

/// Longest configuration file in bytes.
const MAX_FILE_LEN: u64 = 65_536;
/// Volumes, and entries of each list of one.
const MAX_ENTRIES: usize = 64;
const DEFAULT_TIMEOUT_SECS: u64 = 330;

/// What this program is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Config {
    /// The program that opens volumes.
    pub(crate) cryptsetup: PathBuf,
    /// The folder of key-file sockets.
    pub(crate) key_files: PathBuf,
    /// vhsmd's socket for administrators, for `leave` and `doctor`.
    pub(crate) admin: PathBuf,
    /// The courier's configuration, for `doctor`.
    pub(crate) agent: PathBuf,
    /// Whether `leave` goes on with a root file system that is on none of the volumes.
    pub(crate) danger_any_root: bool,
    /// Root hashes by which dm-verity counts; any if there are none.
    pub(crate) root_hashes: Vec<String>,
    pub(crate) volumes: Vec<Volume>,
}

/// A volume that is opened by us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Volume {
    /// Its name under /dev/mapper.
    pub(crate) name: String,
    /// Where it is.
    pub(crate) device: PathBuf,
    /// What its header may say.
    pub(crate) wanted: Wanted,
    /// Names of its passphrases, tried in this order: each is a key-file socket.
    pub(crate) passphrases: Vec<String>,
    /// For how long the device, and then each passphrase, is waited for.
    pub(crate) timeout: Duration,
}

/// Why the configuration cannot be used.
#[derive(Debug, Error)]
pub(crate) enum ConfigError {
    #[error(transparent)]
    Settings(#[from] SettingsError),
    #[error("the volume {name:?} is not in the configuration: add a [[volume]], or name one of it")]
    NoVolume { name: String },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Document {
    cryptsetup: Option<Spanned<PathBuf>>,
    key_files: Option<Spanned<PathBuf>>,
    admin: Option<Spanned<PathBuf>>,
    agent: Option<Spanned<PathBuf>>,
    #[serde(default)]
    danger_any_root: bool,
    #[serde(default)]
    root_hash: Vec<Spanned<String>>,
    #[serde(default)]
    volume: Vec<Spanned<VolumeTable>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct VolumeTable {
    name: Spanned<String>,
    device: Spanned<PathBuf>,
    expect: Option<Vec<Spanned<String>>>,
    danger_any_header: Option<Spanned<bool>>,
    passphrases: Option<Spanned<Vec<Spanned<String>>>>,
    #[serde(default)]
    tokens: Vec<Spanned<String>>,
    #[serde(default)]
    flags: Vec<String>,
    timeout_secs: Option<Spanned<u64>>,
}

impl Config {
    /// Reads the file at `path`.
    pub(crate) fn load(path: &Path) -> Result<Self, ConfigError> {
        Ok(nitride_settings::load(path, MAX_FILE_LEN, Self::parse)?)
    }

    /// The volume of this name.
    pub(crate) fn volume(&self, name: &str) -> Result<&Volume, ConfigError> {
        let found = self.volumes.iter().find(|volume| volume.name == name);
        found.ok_or_else(|| ConfigError::NoVolume {
            name: name.to_owned(),
        })
    }

    fn parse(text: &str) -> Result<Self, Fault> {
        let file: Document = document(text)?;
        let mut volumes: Vec<Volume> = Vec::new();
        for table in file.volume {
            let at = table.span();
            let volume = volume(table.into_inner())?;
            if volumes.iter().any(|other| other.name == volume.name) {
                let said = format!("volume {:?} is stated twice: state it once", volume.name);
                return fault(at, said);
            }
            if volumes.len() == MAX_ENTRIES {
                return fault(at, format!("there are more than {MAX_ENTRIES} volumes"));
            }
            volumes.push(volume);
        }
        let path = |path: Option<_>, default: &str| match path {
            None => Ok(PathBuf::from(default)),
            Some(path) => absolute(path),
        };
        if file.root_hash.len() > MAX_ENTRIES {
            return fault(
                0..0,
                format!("there are more than {MAX_ENTRIES} root hashes"),
            );
        }
        let root_hashes = file.root_hash.into_iter().map(root_hash);
        Ok(Self {
            root_hashes: root_hashes.collect::<Result<_, _>>()?,
            cryptsetup: path(file.cryptsetup, "/usr/sbin/cryptsetup")?,
            key_files: path(file.key_files, "/run/cryptsetup-keys.d")?,
            admin: path(file.admin, "/run/vhsm/admin.sock")?,
            agent: path(file.agent, "/etc/nitride/agent.toml")?,
            danger_any_root: file.danger_any_root,
            volumes,
        })
    }
}

/// As `veritysetup format` prints it: of SHA-256, or of a longer one.
fn root_hash(text: Spanned<String>) -> Result<String, Fault> {
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    let hash = text.get_ref();
    match matches!(hash.len(), 64..=128) && hash.bytes().all(is_digit) {
        true => Ok(text.into_inner()),
        false => fault(
            text.span(),
            "this is not a root hash: write the 64 digits or more that `veritysetup format` prints",
        ),
    }
}

fn volume(table: VolumeTable) -> Result<Volume, Fault> {
    let at = table.name.span();
    let name = volume_name(table.name)?;
    let any = table.danger_any_header;
    let expected = match (table.expect, any.map(Spanned::into_inner)) {
        (Some(texts), None | Some(false)) if !texts.is_empty() && texts.len() <= MAX_ENTRIES => {
            let volumes = texts.into_iter().map(expectation);
            Expected::These(volumes.collect::<Result<_, _>>()?)
        }
        (None, Some(true)) => Expected::DangerAny,
        (Some(_), Some(true)) => {
            return fault(at, "give `expect` or `danger-any-header`, not both");
        }
        _ => {
            return fault(
                at,
                "nothing is expected of the volume's header: give `expect` with what `nitride-unlock \
                 status` prints of it, or `danger-any-header = true`",
            );
        }
    };
    let passphrases = match table.passphrases {
        None => vec![name.clone()],
        Some(names) => {
            let at = names.span();
            let names: Vec<String> = names
                .into_inner()
                .into_iter()
                .map(volume_name)
                .collect::<Result<_, _>>()?;
            let is_once = |(at, name): (usize, &String)| !names[..at].contains(name);
            let fits = !names.is_empty() && names.len() <= MAX_ENTRIES;
            if !fits || !names.iter().enumerate().all(is_once) {
                return fault(at, "name at least one passphrase, and each once");
            }
            names
        }
    };
    if table.tokens.len() > MAX_ENTRIES || table.flags.len() > MAX_ENTRIES {
        return fault(at, format!("a list has more than {MAX_ENTRIES} entries"));
    }
    let tokens = table.tokens.into_iter().map(token);
    let tokens = tokens.collect::<Result<_, _>>()?;
    let timeout = match table.timeout_secs {
        None => DEFAULT_TIMEOUT_SECS,
        Some(secs) if (1..=86_400).contains(secs.get_ref()) => secs.into_inner(),
        Some(secs) => return fault(secs.span(), "the value is out of range: give 1 to 86400"),
    };
    Ok(Volume {
        name,
        device: absolute(table.device)?,
        wanted: Wanted {
            expected,
            tokens,
            flags: table.flags,
        },
        passphrases,
        timeout: Duration::from_secs(timeout),
    })
}

fn expectation(text: Spanned<String>) -> Result<DiskExpectation, Fault> {
    text.get_ref().parse::<DiskExpectation>().or_else(|error| {
        fault(
            text.span(),
            format!("what is expected cannot be read: {error}"),
        )
    })
}

/// cryptsetup tries tokens of this type by itself, before the passphrase: a slot would seem proved
/// whatever the passphrase is.
fn token(kind: Spanned<String>) -> Result<String, Fault> {
    match kind.get_ref() == "luks2-keyring" {
        false => Ok(kind.into_inner()),
        true => fault(
            kind.span(),
            "a luks2-keyring token unlocks without the vault: take it out of the volume",
        ),
    }
}

/// As vhsmd takes them: no slash, since it stands in a socket's address.
fn volume_name(name: Spanned<String>) -> Result<String, Fault> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-.+#:=@".contains(c);
    let text = name.get_ref();
    let is_path = text == "." || text == ".." || text.starts_with('-');
    match !text.is_empty() && text.len() <= 127 && text.chars().all(plain) && !is_path {
        true => Ok(name.into_inner()),
        false => fault(
            name.span(),
            "this is not the name of a volume: write it as in /dev/mapper",
        ),
    }
}
