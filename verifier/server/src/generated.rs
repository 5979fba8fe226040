//! Secrets that are made when they are first asked for, one for each machine.
//!
//! ```text
//!  token ──────────▶ Machine::proven ─┐   by claims of verified evidence, never by what a guest says
//!  generate.toml ──▶ Template ────────┼─▶ first: drawn, and written if nothing is there ─┐
//!  store ─────────────────────────────┘   later: read                                    ▼
//!                                                             signed by the service ─▶ envelope
//! ```
//!
//! What is kept is a record of the store, one for each resource and machine. Replicas that are asked at once
//! write with check-and-set: one of them made the secret, and the others read it. Nothing leaves that
//! is not stored. The envelope is signed for each answer, so that a shorter lease or another signing key
//! takes effect with a vault's next renewal.

mod form;
mod identity;
mod making;
mod record;
mod signing;

pub(crate) use identity::{IdentityClaims, Machine};
pub(crate) use making::{MakeError, Rooms, destroy, give, list, rotate};
pub(crate) use record::Kept;

use crate::config::{ConfigError, read_text};
use crate::envelope::{SealError, SealSpec, seal_by};
use crate::key_file::KeyFileError;
use nitride_kbs::resource::ResourcePath;
use nitride_verify::strict_toml::FileError;
use signing::SigningKey;
use std::path::{Path, PathBuf};
use thiserror::Error;
use zeroize::Zeroizing;

/// What the file says, and the key that vouches for what is made.
#[derive(Debug)]
pub(crate) struct Generation {
    templates: Templates,
    key: SigningKey,
}

/// What is made for which resources.
#[derive(Debug)]
pub(crate) struct Templates {
    templates: Vec<Template>,
    text: String,
}

/// How the secret of some resources is made.
#[derive(Debug)]
pub(crate) struct Template {
    pub(crate) name: String,
    /// By their whole names: what nobody wrote here is made for nobody.
    resources: Vec<ResourcePath>,
    /// What makes a machine another than the next.
    pub(crate) identity: IdentityClaims,
    pub(crate) danger_allow_simulated: bool,
    pub(crate) form: Form,
    /// Bytes that are drawn.
    pub(crate) bytes: usize,
    /// So many machines get one of each resource.
    pub(crate) max_machines: usize,
    /// What travels with it; the version in it is no secret's.
    terms: SealSpec,
}

/// What becomes of the bytes that are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// They are the material.
    Bytes,
    /// Their base64url is: a text that `cryptsetup` takes anywhere.
    Passphrase,
}

/// Why there is no generation.
#[derive(Debug, Error)]
pub(crate) enum GenerationError {
    #[error(transparent)]
    Unreadable(#[from] ConfigError),
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    Key(#[from] KeyFileError),
}

impl Generation {
    /// Reads the file and the key that it names.
    pub(crate) fn load(path: &Path) -> Result<Self, GenerationError> {
        let (templates, key) = Templates::read(path)?;
        Ok(Self {
            templates,
            key: SigningKey::read(&key)?,
        })
    }

    /// The template that makes this resource's secrets, if there is one.
    pub(crate) fn template(&self, path: &ResourcePath) -> Option<&Template> {
        self.templates.of(path)
    }

    /// The text, for a digest over all policies.
    pub(crate) fn text(&self) -> &str {
        &self.templates.text
    }

    /// Whether the key is the one of this `SubjectPublicKeyInfo`.
    pub(crate) fn signs_by(&self, spki: &[u8]) -> bool {
        self.key.spki() == spki
    }

    /// What is kept as an envelope of this moment's template, signed by this moment's key.
    pub(crate) fn envelope(
        &self,
        template: &Template,
        path: &ResourcePath,
        kept: &Kept,
    ) -> Result<Zeroizing<Vec<u8>>, SealError> {
        let terms = SealSpec {
            version: kept.number(),
            ..template.terms.clone()
        };
        let by = (self.key.kid(), |message: &[u8]| self.key.sign(message));
        seal_by(by, path, &terms, kept.material(), kept.made_secs())
    }
}

impl Templates {
    /// Reads the file; also where the key is that it names.
    pub(crate) fn read(path: &Path) -> Result<(Self, PathBuf), GenerationError> {
        let text = read_text(path)?;
        let (templates, key) = form::parse(&text, &path.display().to_string())?;
        let key = path.parent().unwrap_or(Path::new(".")).join(key);
        Ok((Self { templates, text }, key))
    }

    pub(crate) fn of(&self, path: &ResourcePath) -> Option<&Template> {
        let mut templates = self.templates.iter();
        templates.find(|template| template.resources.contains(path))
    }

    pub(crate) fn count(&self) -> usize {
        self.templates.len()
    }
}

impl Template {
    /// The type of key, as vaults name it.
    pub(crate) fn key_type(&self) -> &str {
        &self.terms.key_type
    }
}

#[cfg(test)]
impl Generation {
    /// Of a text, with a key that nobody else has.
    pub(crate) fn of_text(text: &str) -> Self {
        let (templates, _) = form::parse(text, "generate.toml").unwrap();
        Self {
            templates: Templates {
                templates,
                text: text.to_owned(),
            },
            key: SigningKey::drawn(),
        }
    }

    pub(crate) fn key(&self) -> &SigningKey {
        &self.key
    }
}

#[cfg(test)]
pub(crate) mod tests;
