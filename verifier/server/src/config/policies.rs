//! `[policies]`: where the policies are, and what there is beside the service's own two.

use super::in_range;
use crate::tee_keys::TeeKeys;
use nitride_kbs::tee_key::TeeKeyForm;
use nitride_verify::strict_toml::{FileError, TomlText};
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::time::Duration;
use toml::Spanned;

/// The forms of TEE key by the names that the file has for them; "hybrid" and "p256" are vhsmd's, too.
const TEE_KEYS: [(&str, TeeKeyForm); TeeKeyForm::ALL.len()] = [
    ("hybrid", TeeKeyForm::X25519MlKem768),
    ("p256", TeeKeyForm::EcP256),
    ("p521", TeeKeyForm::EcP521),
    ("rsa-oaep-256", TeeKeyForm::RsaOaep256),
    ("ml-kem-768", TeeKeyForm::MlKem768),
];

/// As the file says it.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct PoliciesForm {
    source: Option<Spanned<String>>,
    at_least: Option<Spanned<u64>>,
    tenants: Option<PathBuf>,
    appraisal: Option<PathBuf>,
    reference_values: Option<PathBuf>,
    pub(super) generate: Option<PathBuf>,
    evaluation_ms: Option<Spanned<u32>>,
    tee_keys: Option<Spanned<Vec<String>>>,
}

/// Which policies are in force: those of files, or those that the store keeps. Never both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PolicySource {
    Files(PolicyFiles),
    Store {
        /// No older set is taken; 0 is whichever there is.
        at_least: u64,
    },
}

/// The files that a reload reads anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PolicyFiles {
    pub(crate) attestation: PathBuf,
    pub(crate) resource: PathBuf,
    /// A folder.
    pub(crate) tenants: Option<PathBuf>,
    /// Rego that judges what was judged.
    pub(crate) appraisal: Option<PathBuf>,
    /// What it asks for by name.
    pub(crate) reference_values: Option<PathBuf>,
}

impl PoliciesForm {
    /// How long one evaluation of Rego may take.
    pub(super) fn evaluation(&self, text: &TomlText<'_>) -> Result<Duration, FileError> {
        let field = self.evaluation_ms.clone();
        in_range("evaluation-ms", field, 250, 10_000, text)
            .map(|millis| Duration::from_millis(millis.into()))
    }

    /// The forms of TEE key that the service encrypts to: all of them, if it is not stated.
    pub(super) fn tee_keys(&self, text: &TomlText<'_>) -> Result<TeeKeys, FileError> {
        let Some(stated) = &self.tee_keys else {
            return Ok(TeeKeys::all());
        };
        let wrong = |reason: String| {
            let names = TEE_KEYS.map(|(name, _)| format!("{name:?}")).join(", ");
            text.error(stated, reason, format!("write one or more of {names}"))
        };
        let mut forms = Vec::new();
        for name in stated.get_ref() {
            let known = TEE_KEYS.iter().find(|(known, _)| known == name);
            let (_, form) = known.ok_or_else(|| wrong(format!("tee-keys has {name:?}")))?;
            if forms.contains(form) {
                return Err(wrong(format!("tee-keys has {name:?} twice")));
            }
            forms.push(*form);
        }
        TeeKeys::of(&forms).ok_or_else(|| wrong("tee-keys is an empty list".to_owned()))
    }

    /// Where the policies are; `at` is what an error points at where nothing else is.
    pub(super) fn source<T>(
        self,
        attestation: Option<Spanned<PathBuf>>,
        resource: Option<Spanned<PathBuf>>,
        (folder, at): (&Path, &Spanned<T>),
        text: &TomlText<'_>,
    ) -> Result<PolicySource, FileError> {
        let word = self.source.as_ref().map(|source| source.get_ref().clone());
        match (word.as_deref().unwrap_or("files"), self.source) {
            ("store", Some(source)) => {
                let others = [self.tenants, self.appraisal, self.reference_values];
                if attestation.is_some() || resource.is_some() || others.iter().any(Option::is_some)
                {
                    let reason = "the policies are in the store, and files are named for them, too";
                    let remedy = "remove attestation-policy, resource-policy, tenants, appraisal and \
                                  reference-values, or write source = \"files\"";
                    return Err(text.error(&source, reason, remedy));
                }
                let at_least = self.at_least.map_or(0, Spanned::into_inner);
                Ok(PolicySource::Store { at_least })
            }
            ("files", _) => {
                if let Some(at_least) = &self.at_least {
                    let reason = "at-least is about policies in the store";
                    return Err(text.error(at_least, reason, "remove it"));
                }
                let needed = |name: &str, path: Option<Spanned<PathBuf>>| {
                    let missing = || {
                        let reason = format!("there is no {name}, and the policies are files");
                        text.error(at, reason, "name the file, or see source in [policies]")
                    };
                    let path = path.ok_or_else(missing)?;
                    Ok::<_, FileError>(folder.join(path.into_inner()))
                };
                let joined = |path: Option<PathBuf>| path.map(|path| folder.join(path));
                Ok(PolicySource::Files(PolicyFiles {
                    attestation: needed("attestation-policy", attestation)?,
                    resource: needed("resource-policy", resource)?,
                    tenants: joined(self.tenants),
                    appraisal: joined(self.appraisal),
                    reference_values: joined(self.reference_values),
                }))
            }
            (other, source) => {
                let reason = format!("source {other:?} is none");
                let remedy = "write \"files\" or \"store\"";
                Err(match source {
                    Some(source) => text.error(&source, reason, remedy),
                    None => text.error(at, reason, remedy),
                })
            }
        }
    }
}
