//! The attestation policy: which evidence is wanted. Strict TOML; every field is stated, since a
//! field that may be left out fails open. A TEE whose section is left out is refused.
//!
//! ```toml
//! version = 1
//! # Evidence without hardware. It proves nothing: for tests and demonstrations alone.
//! danger-accept-sample = true
//! # Roots that are none of a vendor's, by the SHA-256 of their DER. What they vouch for is never
//! # genuine: for tests alone.
//! danger-test-anchors = []
//!
//! [sample]
//! # Reference values: the svn plays the measurement. An empty list wants nothing.
//! svn = ["1"]
//! ```

mod azure;
mod gpu;
mod hexadecimal;
mod launched;
mod needs;
mod reference;
mod sample;
mod sets;
mod snp;
mod tdx;
mod tpm;
mod wanted;

pub use azure::{AzurePolicy, Bound, PcrReference, PcrReferences};
pub use gpu::{GpuPolicy, GpuReference, Reference, Unjudged};
pub use launched::Launched;
pub use needs::MissingCollateral;
pub use reference::{Coverage, ReferenceValue, ReferenceValues};
pub use sample::SampleReference;
pub use sets::{ReferenceSet, SetOf};
pub use snp::{SigningKey, SnpPolicy};
pub use tdx::{EventLogUse, ServiceTd, TdxPolicy, TdxReference};
pub use tpm::{KeyPins, TpmPolicy};
pub use wanted::Wanted;

pub(crate) use azure::Pcrs;
pub(crate) use reference::{covers_boot, objection};

use crate::authenticity::Refusal;
use crate::evidence::Tee;
use crate::strict_toml::{FileError, Stated, TomlText};
use hexadecimal::bytes_of;
use sample::{SampleForm, SamplePolicy};
use serde::Deserialize;
use sets::{SetForm, Sets};
use toml::Spanned;

/// The only version of the file's form.
const VERSION: i64 = 1;
/// A policy with more values for one field than this is a mistake.
const MAX_VALUES: usize = 1024;

/// Which evidence is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttestationPolicy {
    danger_accept_sample: Stated<bool>,
    danger_test_anchors: Stated<Vec<[u8; 32]>>,
    sample: Option<SamplePolicy>,
    snp: Option<SnpPolicy>,
    tdx: Option<TdxPolicy>,
    azure: Option<AzurePolicy>,
    gpu: Option<GpuPolicy>,
    tpm: Option<TpmPolicy>,
}

impl AttestationPolicy {
    /// Reads a policy from its text. `file` is used in errors only.
    ///
    /// # Errors
    ///
    /// [`FileError`] for text that is not TOML, unknown or missing fields, an unknown version,
    /// an empty or duplicate reference value, or too many of them.
    pub fn parse(text: &str, file: &str) -> Result<Self, FileError> {
        let text = TomlText { text, file };
        let form: FileForm = text.read("state every field of the attestation policy, no other")?;
        if *form.version.get_ref() != VERSION {
            return Err(text.error(
                &form.version,
                format!("version {} is not known", form.version.get_ref()),
                "write version = 1",
            ));
        }
        if *form.danger_accept_sample.get_ref() && form.sample.is_none() {
            return Err(text.error(
                &form.danger_accept_sample,
                "sample evidence is accepted, and no section says which",
                "add [sample]",
            ));
        }
        let sets = Sets::read(&text, form.set)?;
        check_values(&text, "danger-test-anchors", &form.danger_test_anchors)?;
        let danger_test_anchors = text.converted(form.danger_test_anchors, |anchors| {
            anchors.iter().map(|anchor| bytes_of(anchor)).collect()
        })?;
        Ok(Self {
            danger_accept_sample: text.stated(form.danger_accept_sample),
            azure: form
                .azure
                .map(|azure| AzurePolicy::read(*azure, &danger_test_anchors, &text, &sets))
                .transpose()?,
            danger_test_anchors,
            gpu: form
                .gpu
                .map(|gpu| GpuPolicy::read(*gpu, &text, &sets))
                .transpose()?,
            sample: form
                .sample
                .map(|sample| SamplePolicy::read(sample, &text, &sets))
                .transpose()?,
            snp: form
                .snp
                .map(|snp| SnpPolicy::read(*snp, &text, &sets))
                .transpose()?,
            tdx: form
                .tdx
                .map(|tdx| TdxPolicy::read(&text, tdx, &sets))
                .transpose()?,
            tpm: form
                .tpm
                .map(|tpm| TpmPolicy::read(&text, *tpm, &sets))
                .transpose()?,
        })
    }

    /// Whether the policy speaks of this TEE at all.
    ///
    /// # Errors
    ///
    /// [`Refusal::NotInPolicy`], or [`Refusal::SampleNotAccepted`].
    pub fn admits(&self, tee: Tee) -> Result<(), Refusal> {
        let has_section = match tee {
            Tee::Sample if !self.danger_accept_sample.value => {
                let line = self.danger_accept_sample.line;
                return Err(Refusal::SampleNotAccepted { line });
            }
            Tee::Sample => self.sample.is_some(),
            Tee::Snp => self.snp.is_some(),
            Tee::Tdx => self.tdx.is_some(),
            Tee::AzSnpVtpm => self.azure().is_some_and(|p| p.hardware.snp.is_some()),
            Tee::AzTdxVtpm => self.azure().is_some_and(|p| p.hardware.tdx.is_some()),
            Tee::Nvidia => self.gpu.is_some(),
            Tee::Tpm => self.tpm.is_some(),
        };
        if has_section {
            Ok(())
        } else {
            Err(Refusal::NotInPolicy { tee })
        }
    }

    /// Whether evidence without hardware is taken at all.
    #[must_use]
    pub fn danger_accept_sample(&self) -> &Stated<bool> {
        &self.danger_accept_sample
    }

    /// Roots that are none of a vendor's, by the SHA-256 of their DER. Nothing under them is ever
    /// genuine.
    #[must_use]
    pub fn danger_test_anchors(&self) -> &Stated<Vec<[u8; 32]>> {
        &self.danger_test_anchors
    }

    /// Which SEV-SNP reports are wanted, if any are.
    #[must_use]
    pub fn snp(&self) -> Option<&SnpPolicy> {
        self.snp.as_ref()
    }

    /// Which TDX quotes are wanted, if any are.
    #[must_use]
    pub fn tdx(&self) -> Option<&TdxPolicy> {
        self.tdx.as_ref()
    }

    /// Which confidential VMs on Azure are wanted, if any are.
    #[must_use]
    pub fn azure(&self) -> Option<&AzurePolicy> {
        self.azure.as_ref()
    }

    /// Which devices beside a machine are wanted, if any are.
    #[must_use]
    pub fn gpu(&self) -> Option<&GpuPolicy> {
        self.gpu.as_ref()
    }

    /// Which TPMs are wanted, if any are.
    #[must_use]
    pub fn tpm(&self) -> Option<&TpmPolicy> {
        self.tpm.as_ref()
    }

    /// Which `sample` evidence is wanted, if any is.
    pub(crate) fn sample(&self) -> Option<&SamplePolicy> {
        self.sample.as_ref()
    }

    /// The svns of `sample` evidence that are wanted at any time.
    #[must_use]
    pub fn sample_svn(&self) -> Option<&Stated<Vec<String>>> {
        self.sample.as_ref().map(|sample| &sample.svn)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct FileForm {
    version: Spanned<i64>,
    danger_accept_sample: Spanned<bool>,
    danger_test_anchors: Spanned<Vec<String>>,
    #[serde(default)]
    set: Vec<SetForm>,
    sample: Option<SampleForm>,
    snp: Option<Box<snp::SnpForm>>,
    tdx: Option<tdx::TdxForm>,
    azure: Option<Box<azure::AzureForm>>,
    gpu: Option<Box<gpu::GpuForm>>,
    tpm: Option<Box<tpm::TpmForm>>,
}

/// A list of values may be empty, which wants nothing; it has no empty value and none twice.
fn check_values(
    text: &TomlText<'_>,
    field: &str,
    values: &Spanned<Vec<String>>,
) -> Result<(), FileError> {
    let list = values.get_ref();
    if list.len() > MAX_VALUES {
        let reason = format!("{field} has {} values", list.len());
        return Err(text.error(values, reason, "keep at most 1024"));
    }
    if list.iter().any(String::is_empty) {
        let reason = format!("{field} has an empty value");
        return Err(text.error(values, reason, "remove it"));
    }
    let mut sorted: Vec<&str> = list.iter().map(String::as_str).collect();
    sorted.sort_unstable();
    match sorted.windows(2).find(|pair| pair.first() == pair.last()) {
        Some(pair) => {
            let reason = format!("{field} has {:?} twice", pair.first().unwrap_or(&""));
            Err(text.error(values, reason, "remove one"))
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
