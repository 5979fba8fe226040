//! `[[signer]]`: an owner of secrets, known by a key that is pinned or by a list that a pinned key signs.

use super::disk_key::duration;
use super::file::name;
use super::{ConfigError, Document, public_key};
use nitride_kbs::resource::ResourcePath;
use nitride_secmem::crypto::{p256_spki, sha256};
use nitride_vault::policy::{ListedSigner, PolicySet, Signer};
use serde::Deserialize;
use std::path::{Path, PathBuf};
use toml::Spanned;

/// An owner whose key has yet to be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SignerFile {
    /// What key rules call it.
    name: String,
    /// The PEM file of what is pinned.
    key: PathBuf,
    known_by: KnownBy,
}

/// What the key that is pinned signs.
#[derive(Debug, Clone, PartialEq, Eq)]
enum KnownBy {
    /// Envelopes, whose `kid` this is; left out, it is the digest of the public key.
    Key { kid: Option<Vec<u8>> },
    /// The list of the keys that sign envelopes.
    List {
        path: ResourcePath,
        max_age_ms: u64,
        min_serial: u64,
    },
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawSigner {
    name: Spanned<String>,
    public_key: Option<PathBuf>,
    kid: Option<Spanned<String>>,
    list_key: Option<PathBuf>,
    list: Option<Spanned<String>>,
    list_max_age: Option<Spanned<String>>,
    list_min_serial: Option<u64>,
}

impl RawSigner {
    pub(super) fn validate(
        raw: Spanned<Self>,
        document: &Document,
    ) -> Result<SignerFile, ConfigError> {
        let span = raw.span();
        let raw = raw.into_inner();
        let name = name(document, raw.name)?;
        let has_list = raw.list.is_some() || raw.list_max_age.is_some();
        match (raw.public_key, raw.list_key, raw.list, raw.list_max_age) {
            (Some(key), None, None, None) if raw.list_min_serial.is_none() => Ok(SignerFile {
                name,
                key,
                known_by: KnownBy::Key {
                    kid: raw.kid.map(|kid| kid_of(document, kid)).transpose()?,
                },
            }),
            (None, Some(key), Some(list), Some(max_age)) if raw.kid.is_none() => Ok(SignerFile {
                name,
                key,
                known_by: KnownBy::List {
                    path: path_of(document, &list)?,
                    max_age_ms: duration(document, &max_age)?,
                    min_serial: raw.list_min_serial.unwrap_or(1),
                },
            }),
            (Some(_), Some(_), ..) | (Some(_), None, ..) if has_list => Err(document.fault(
                span,
                "a signer is known by public-key or by list-key, and not by both",
                "write public-key and kid, or list-key, list and list-max-age",
            )),
            _ => Err(document.fault(
                span,
                "what the signer is known by is not stated as a whole",
                "write public-key alone or with kid; or list-key, list and list-max-age",
            )),
        }
    }
}

impl SignerFile {
    /// The file of its key.
    pub(crate) fn key_file(&self) -> &Path {
        &self.key
    }

    /// Reads its key into the policy.
    pub(super) fn read_into(&self, set: &mut PolicySet) -> Result<(), ConfigError> {
        let point = public_key::read(&self.key)?;
        let name = self.name.clone();
        match &self.known_by {
            KnownBy::Key { kid } => set.signers.push(Signer {
                name,
                // As nitride-provisiond names a key when it signs with it.
                kid: kid
                    .clone()
                    .unwrap_or_else(|| sha256(&[&p256_spki(&point)]).to_vec()),
                point,
            }),
            KnownBy::List {
                path,
                max_age_ms,
                min_serial,
            } => set.listed_signers.push(ListedSigner {
                name,
                list_key: point,
                path: path.clone(),
                max_age_ms: *max_age_ms,
                min_serial: *min_serial,
            }),
        }
        Ok(())
    }
}

fn kid_of(document: &Document, kid: Spanned<String>) -> Result<Vec<u8>, ConfigError> {
    if (1..=64).contains(&kid.get_ref().len()) {
        return Ok(kid.into_inner().into_bytes());
    }
    Err(document.fault(
        kid.span(),
        "a kid has 1 to 64 bytes",
        "write the kid of the signer's envelopes",
    ))
}

fn path_of(document: &Document, list: &Spanned<String>) -> Result<ResourcePath, ConfigError> {
    let text = list.get_ref();
    let path = text
        .starts_with("kbs:///")
        .then(|| ResourcePath::parse(text));
    match path {
        Some(Ok(path)) => Ok(path),
        _ => Err(document.fault(
            list.span(),
            format_args!("{text:?} names no resource"),
            "write kbs:///repo/type/tag",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn signer(lines: &str) -> Result<SignerFile, String> {
        let text = format!(
            "policy-dir = \"/p\"\n[arena]\nrecords = \"3MiB\"\nheap = \"3MiB\"\n\
             [[signer]]\nname = \"owner\"\n{lines}"
        );
        let document = Document::of(Path::new("/etc/vhsmd.toml"), text);
        let config = Config::of(&document).map_err(|error| error.to_string())?;
        Ok(config.signers[0].clone())
    }

    #[test]
    fn a_signer_is_known_by_a_key_or_by_a_list_and_as_a_whole() {
        const LIST: &str = "list-key = \"/k\"\nlist = \"kbs:///r/t/g\"\nlist-max-age = \"1d\"\n";
        let pinned = signer("public-key = \"/k\"\nkid = \"k\"").unwrap();
        let kid = Some(b"k".to_vec());
        assert_eq!(pinned.known_by, KnownBy::Key { kid });
        let listed = signer(&format!("{LIST}list-min-serial = 7\n")).unwrap();
        assert_eq!(
            listed.known_by,
            KnownBy::List {
                path: ResourcePath::parse("r/t/g").unwrap(),
                max_age_ms: 86_400_000,
                min_serial: 7,
            }
        );
        for (lines, reason) in [
            ("", "not stated as a whole"),
            ("kid = \"k\"", "not stated as a whole"),
            (
                "list-key = \"/k\"\nlist = \"kbs:///r/t/g\"",
                "not stated as a whole",
            ),
            (
                "list = \"kbs:///r/t/g\"\nlist-max-age = \"1d\"",
                "not stated as a whole",
            ),
            (
                "public-key = \"/k\"\nlist-min-serial = 2",
                "not stated as a whole",
            ),
            (&format!("{LIST}kid = \"k\""), "not stated as a whole"),
            (&format!("{LIST}public-key = \"/k\""), "and not by both"),
            (&LIST.replace("kbs:///r/t/g", "r/t/g"), "names no resource"),
            (&LIST.replace("1d", "1"), "1"),
        ] {
            let refused = signer(lines).unwrap_err();
            assert!(refused.contains(reason), "{lines}: {refused}");
        }
    }
}
