//! `[policies]`: what there is beside the service's own two policies.

use super::in_range;
use nitride_verify::strict_toml::{FileError, TomlText};
use serde::Deserialize;
use std::path::PathBuf;
use std::time::Duration;
use toml::Spanned;

/// As the file says it.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct PoliciesForm {
    pub(super) tenants: Option<PathBuf>,
    pub(super) appraisal: Option<PathBuf>,
    pub(super) reference_values: Option<PathBuf>,
    evaluation_ms: Option<Spanned<u32>>,
}

impl PoliciesForm {
    /// How long one evaluation of Rego may take.
    pub(super) fn evaluation(&self, text: &TomlText<'_>) -> Result<Duration, FileError> {
        let field = self.evaluation_ms.clone();
        in_range("evaluation-ms", field, 250, 10_000, text)
            .map(|millis| Duration::from_millis(millis.into()))
    }
}
