//! `[policies]`: what there is beside the service's own two policies.

use super::in_range;
use crate::tee_keys::TeeKeys;
use nitride_kbs::tee_key::TeeKeyForm;
use nitride_verify::strict_toml::{FileError, TomlText};
use serde::Deserialize;
use std::path::PathBuf;
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
    pub(super) tenants: Option<PathBuf>,
    pub(super) appraisal: Option<PathBuf>,
    pub(super) reference_values: Option<PathBuf>,
    pub(super) generate: Option<PathBuf>,
    evaluation_ms: Option<Spanned<u32>>,
    tee_keys: Option<Spanned<Vec<String>>>,
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
}
