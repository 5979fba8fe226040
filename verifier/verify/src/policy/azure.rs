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
//! # Every PCR that is stated has to be in the quote. Firmware measures drivers that it loads into PCR 2
//! # and programs into 4; GRUB its commands into 8; GRUB and the kernel what they load into 9; systemd-stub
//! # its own image into 11, what lies beside it into 12, and system extensions into 13. So the kernel is
//! # covered where 2, 4, 8 and either 9 or 11 are stated, whichever is not zero; what comes after it
//! # where 12 is stated too, and 13 beside 11. With init-data = "bound", 8 is held without.
//! pcrs = { 2 = "<64 digits>", 4 = "<64 digits>", 8 = …, 9 = …, 12 = … }
//! covers = ["kernel", "initrd", "command-line"]
//! ```

use super::AttestationPolicy;
use super::hexadecimal::bytes_of;
use super::reference::{Coverage, coverage, coverage_with_firmware, objection};
use super::sets::{SetOf, Sets};
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

/// Where init-data are measured, and nothing else where they are bound.
const INIT_DATA_PCR: usize = 8;

/// What a section holds of a boot, beside the PCRs of its reference values.
#[derive(Debug, Clone, Copy)]
pub(super) struct Held {
    /// Whether a report of the hardware vouches for the firmware.
    pub(super) firmware: bool,
    /// Whether PCR 8 has to be extended from zero by the init-data alone.
    pub(super) init_data: bool,
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
    /// The set that they are of.
    pub set: SetOf,
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
    set: Option<Spanned<String>>,
    pcrs: Spanned<BTreeMap<String, String>>,
    covers: Spanned<Vec<Coverage>>,
}

impl AzurePolicy {
    pub(super) fn read(
        form: AzureForm,
        danger_test_anchors: &Stated<Vec<[u8; 32]>>,
        text: &TomlText<'_>,
        sets: &Sets,
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
            sample: None,
            snp: form
                .snp
                .map(|snp| SnpPolicy::read(snp, text, sets))
                .transpose()?,
            tdx: form
                .tdx
                .map(|tdx| TdxPolicy::read(text, tdx, sets))
                .transpose()?,
            azure: None,
            gpu: None,
            tpm: None,
        };
        let init_data = text.wanted_as_is(form.init_data)?;
        let held = Held {
            firmware: true,
            init_data: init_data.value.value().is_some(),
        };
        Ok(Self {
            user_data: text.wanted_as_is(form.user_data)?,
            init_data,
            secure_boot: text.wanted_as_is(form.secure_boot)?,
            console: text.wanted_as_is(form.console)?,
            vm_ids: text.wanted_as_is(form.vm_ids)?,
            measurements: PcrReferences::read(
                text,
                form.requires_coverage,
                form.reference,
                held,
                sets,
            )?,
            hardware: Box::new(hardware),
        })
    }
}

impl PcrReferences {
    pub(super) fn read(
        text: &TomlText<'_>,
        requires: Spanned<Vec<Coverage>>,
        forms: Vec<PcrReferenceForm>,
        held: Held,
        sets: &Sets,
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
            if let Some(reason) = unmeasured(&covers.value, &pcrs.value, held) {
                let at = Spanned::new(covers_at, ());
                return Err(text.error(&at, reason, "state what was measured, and where"));
            }
            let set = sets.of(text, &form.name, form.set)?;
            values.push(PcrReference {
                name: form.name.into_inner(),
                covers: covers.value,
                set,
                line: pcrs.line,
                pcrs: pcrs.value,
            });
        }
        if requires.get_ref().is_empty() {
            let reason = "nothing is required of what boots";
            return Err(text.error(&requires, reason, "state what has to be covered"));
        }
        let requires = if held.firmware {
            coverage(text, requires)?
        } else {
            coverage_with_firmware(text, requires)?
        };
        Ok(Self { values, requires })
    }

    /// The value whose PCRs are all among `quoted`, if it covers what is required and holds at
    /// `now_secs`.
    ///
    /// # Errors
    ///
    /// In words, what is not so of the nearest.
    pub(crate) fn find(&self, quoted: &Pcrs, now_secs: u64) -> Result<&PcrReference, String> {
        let matching = || {
            self.values
                .iter()
                .filter(|r| r.differing(quoted).is_empty())
        };
        let objection =
            |r: &PcrReference| objection(&self.requires.value, &r.covers, &r.set, now_secs);
        if let Some(reference) = matching().find(|reference| objection(reference).is_none()) {
            return Ok(reference);
        }
        match (matching().next(), self.values.first()) {
            (Some(r), _) => Err(format!(
                "reference value {:?} of policy line {} {}",
                r.name,
                r.line,
                objection(r).unwrap_or_default()
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

/// Why PCRs do not cover what is said. A host edits what it stores: a driver beside the loader, the
/// loader's entries, a file beside the image. What of that is not in a stated register may be anything;
/// a register that is not on the boot path is what it always is, and costs nothing to state.
fn unmeasured(covers: &BTreeSet<Coverage>, pcrs: &Pcrs, held: Held) -> Option<String> {
    if covers.is_empty() {
        return Some("a reference value covers nothing".to_owned());
    }
    let states =
        |index: &usize| pcrs.contains_key(index) || (*index == INIT_DATA_PCR && held.init_data);
    if !held.firmware && !states(&0) {
        let reason = "nothing vouches for the firmware that measured the rest but PCR 0, and it is not stated";
        return Some(reason.to_owned());
    }
    // Into one that is zero, nothing of a kernel was measured.
    let is_extended = |index| pcrs.get(&index).is_some_and(|pcr| *pcr != [0; 32]);
    covers.iter().find_map(|part| {
        let (always, of_an_image): (&[usize], &[usize]) = match part {
            Coverage::Firmware => return None,
            Coverage::Kernel => (&[2, 4, INIT_DATA_PCR], &[11]),
            Coverage::Initrd | Coverage::CommandLine | Coverage::Disk => {
                (&[2, 4, INIT_DATA_PCR, 12], &[11, 13])
            }
        };
        let by_image = is_extended(11) && of_an_image.iter().all(states);
        let holds = always.iter().all(states) && (is_extended(9) || by_image);
        (!holds).then(|| {
            format!(
                "{part} is covered only where PCRs {} are stated, and 9, or of a unified kernel image \
                 {}; and 9 or 11 is not zero",
                listed(always, ", "),
                listed(of_an_image, " and ")
            )
        })
    })
}

fn listed(indexes: &[usize], between: &str) -> String {
    let indexes: Vec<String> = indexes.iter().map(usize::to_string).collect();
    indexes.join(between)
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
