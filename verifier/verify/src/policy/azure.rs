//! `[azure]`: which confidential VMs on Azure are wanted. What is below the virtual TPM has tables of
//! its own, in the form of `[snp]` and `[tdx]`: a report that a guest asks for itself must never
//! pass for the paravisor's. It has the same launch measurement; what tells the two apart is the
//! privilege level, so that `[azure.snp]` takes no `vmpl` but `[0]`.
//!
//! ```toml
//! [azure]
//! # "bound": the paravisor's user data are the challenge's too. The TPM's nonce always is.
//! user-data = "any"
//! # "bound": init-data came, and PCR 8 is extended by it.
//! init-data = "any"
//! secure-boot = true
//! console = "any"
//! vm-ids = "any"
//! requires-coverage = ["kernel", "initrd", "command-line"]
//!
//! [azure.snp]   # every field of [snp], vmpl = [0], and [[azure.snp.reference]] for the paravisor
//! [azure.tdx]   # every field of [tdx]
//!
//! [[azure.reference]]
//! name = "image 2026-11"
//! # Every PCR that is stated has to be in the quote. The program that boots is measured into PCR 4:
//! # the kernel is covered only where it is stated. A command line from elsewhere goes into 8 (GRUB)
//! # or 12 (systemd-stub), and an initrd from elsewhere into 9 (GRUB and the kernel) or 12, so that
//! # these are covered where one of them is stated too; the disk, where either is.
//! pcrs = { 4 = "<64 digits>", 9 = "<64 digits>", 12 = "<64 digits>" }
//! covers = ["kernel", "initrd", "command-line"]
//! ```

use super::AttestationPolicy;
use super::hexadecimal::bytes_of;
use super::reference::{Coverage, coverage};
use super::snp::{SnpForm, SnpPolicy};
use super::tdx::{TdxForm, TdxPolicy};
use super::wanted::{Wanted, WantedForm};
use crate::evidence::PCR_COUNT;
use crate::strict_toml::{FileError, Stated, TomlText};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use toml::Spanned;

type Want<T> = Stated<Wanted<T>>;
type Form<T> = Spanned<WantedForm<T>>;

/// Which confidential VMs on Azure are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AzurePolicy {
    pub(crate) user_data: Want<Bound>,
    pub(crate) init_data: Want<Bound>,
    pub(crate) secure_boot: Want<bool>,
    pub(crate) console: Want<bool>,
    pub(crate) vm_ids: Want<Vec<String>>,
    pub(crate) measurements: PcrReferences,
    /// A policy whose sections are those for the hardware below.
    pub(crate) hardware: Box<AttestationPolicy>,
}

/// What has to be bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Bound {
    /// It is there, and it is what is expected.
    Bound,
}

/// PCRs by their number.
pub(crate) type Pcrs = BTreeMap<usize, [u8; 32]>;

/// The wanted PCRs, and what a match has to cover.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PcrReferences {
    pub(crate) values: Vec<PcrReference>,
    pub(crate) requires: Stated<BTreeSet<Coverage>>,
}

/// The PCRs of one wanted boot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PcrReference {
    /// What the operator calls it.
    pub name: String,
    /// What they cover.
    pub covers: BTreeSet<Coverage>,
    /// The policy's line.
    pub line: u32,
    pcrs: Pcrs,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct AzureForm {
    user_data: Form<Bound>,
    init_data: Form<Bound>,
    secure_boot: Form<bool>,
    console: Form<bool>,
    vm_ids: Form<Vec<String>>,
    requires_coverage: Spanned<Vec<Coverage>>,
    #[serde(default)]
    reference: Vec<PcrReferenceForm>,
    snp: Option<SnpForm>,
    tdx: Option<TdxForm>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct PcrReferenceForm {
    name: Spanned<String>,
    pcrs: Spanned<BTreeMap<String, String>>,
    covers: Spanned<Vec<Coverage>>,
}

impl AzurePolicy {
    pub(super) fn read(
        form: AzureForm,
        danger_test_anchors: &Stated<Vec<[u8; 32]>>,
        text: &TomlText<'_>,
    ) -> Result<Self, FileError> {
        if let Some(snp) = &form.snp {
            snp.is_of_vmpl_0(text)?;
        }
        let hardware = AttestationPolicy {
            danger_accept_sample: Stated {
                value: false,
                line: danger_test_anchors.line,
            },
            danger_test_anchors: danger_test_anchors.clone(),
            sample_svn: None,
            snp: form.snp.map(|snp| SnpPolicy::read(snp, text)).transpose()?,
            tdx: form.tdx.map(|tdx| TdxPolicy::read(text, tdx)).transpose()?,
            azure: None,
            gpu: None,
            tpm: None,
        };
        Ok(Self {
            user_data: text.wanted_as_is(form.user_data)?,
            init_data: text.wanted_as_is(form.init_data)?,
            secure_boot: text.wanted_as_is(form.secure_boot)?,
            console: text.wanted_as_is(form.console)?,
            vm_ids: text.wanted_as_is(form.vm_ids)?,
            measurements: PcrReferences::read(text, form.requires_coverage, form.reference)?,
            hardware: Box::new(hardware),
        })
    }
}

impl PcrReferences {
    pub(super) fn read(
        text: &TomlText<'_>,
        requires: Spanned<Vec<Coverage>>,
        forms: Vec<PcrReferenceForm>,
    ) -> Result<Self, FileError> {
        let mut values: Vec<PcrReference> = Vec::new();
        for form in forms {
            let name = form.name.get_ref();
            if name.is_empty() || values.iter().any(|other| other.name == *name) {
                let reason = "a reference value's name is empty or there twice";
                return Err(text.error(&form.name, reason, "give each a name of its own"));
            }
            let pcrs = text.converted(form.pcrs, |list| numbered(&list))?;
            let covers_at = form.covers.span();
            let covers = coverage(text, form.covers)?;
            if let Some(reason) = unmeasured(&covers.value, &pcrs.value) {
                let at = Spanned::new(covers_at, ());
                return Err(text.error(&at, reason, "state what was measured, and where"));
            }
            values.push(PcrReference {
                name: form.name.into_inner(),
                covers: covers.value,
                line: pcrs.line,
                pcrs: pcrs.value,
            });
        }
        if requires.get_ref().is_empty() {
            let reason = "nothing is required of what boots";
            return Err(text.error(&requires, reason, "state what has to be covered"));
        }
        Ok(Self {
            values,
            requires: coverage(text, requires)?,
        })
    }

    /// The value whose PCRs are all among `quoted`, if it covers what is required.
    ///
    /// # Errors
    ///
    /// In words, what is not so of the nearest.
    pub(crate) fn find(&self, quoted: &Pcrs) -> Result<&PcrReference, String> {
        let matching = || {
            self.values
                .iter()
                .filter(|r| r.differing(quoted).is_empty())
        };
        let missing = |reference: &PcrReference| -> Vec<String> {
            let required = self.requires.value.difference(&reference.covers);
            required.map(Coverage::to_string).collect()
        };
        if let Some(reference) = matching().find(|reference| missing(reference).is_empty()) {
            return Ok(reference);
        }
        match (matching().next(), self.values.first()) {
            (Some(r), _) => Err(format!(
                "reference value {:?} of policy line {} does not cover {}",
                r.name,
                r.line,
                missing(r).join(", ")
            )),
            (None, Some(r)) => Err(format!(
                "no reference value has these PCRs; {:?} of policy line {} has another {}",
                r.name,
                r.line,
                r.differing(quoted).join(", ")
            )),
            (None, None) => Err("there are no reference values".to_owned()),
        }
    }
}

impl PcrReference {
    /// Whether it states this PCR.
    pub(crate) fn states(&self, index: usize) -> bool {
        self.pcrs.contains_key(&index)
    }

    /// The PCRs that are not as stated, or not quoted.
    fn differing(&self, quoted: &Pcrs) -> Vec<String> {
        let stated = self.pcrs.iter();
        stated
            .filter(|(index, pcr)| quoted.get(index) != Some(pcr))
            .map(|(index, _)| format!("PCR{index}"))
            .collect()
    }
}

/// Why PCRs do not cover what is said. A host edits what it stores: a boot loader's entry, a file
/// beside the image. What of that is not in a stated register may be anything.
fn unmeasured(covers: &BTreeSet<Coverage>, pcrs: &Pcrs) -> Option<String> {
    if covers.is_empty() {
        return Some("a reference value covers nothing".to_owned());
    }
    let has = |index: &usize| pcrs.contains_key(index);
    covers.iter().find_map(|part| {
        let beside: &[usize] = match part {
            Coverage::Firmware => return None,
            Coverage::Kernel => &[4],
            Coverage::Initrd => &[9, 12],
            Coverage::CommandLine => &[8, 12],
            Coverage::Disk => &[8, 9, 12],
        };
        let holds = has(&4) && beside.iter().any(has);
        let needed: Vec<String> = beside.iter().map(usize::to_string).collect();
        (!holds).then(|| {
            format!(
                "{part} is covered only where PCR 4 is stated, and one of {}",
                needed.join(", ")
            )
        })
    })
}

fn numbered(list: &BTreeMap<String, String>) -> Result<Pcrs, String> {
    if list.is_empty() {
        return Err("a reference value states no PCR".to_owned());
    }
    let pcr = |(index, digest): (&String, &String)| {
        let number: Option<usize> = index.parse().ok().filter(|number| *number < PCR_COUNT);
        let number = number.filter(|number| number.to_string() == *index);
        let number = number.ok_or_else(|| format!("{index:?} is no PCR's number, 0 to 23"))?;
        Ok((number, bytes_of(digest)?))
    };
    list.iter().map(pcr).collect()
}

#[cfg(test)]
mod tests;
