//! `[gpu]`: which NVIDIA devices are wanted beside a confidential VM. A policy without it refuses all
//! evidence of further devices.
//!
//! ```toml
//! [gpu]
//! # Fewer than these refuse the round; 0 takes machines without any. A switch counts as well as a GPU:
//! # where it may not stand for one, `models` names GPUs alone.
//! min-devices = 1
//! # The first word of the name of the key that signs: "GH100", "LS_10" …
//! models = ["GH100"]
//! # Serial numbers of the devices' certificates, in lower-case hexadecimal.
//! device-ids = "any"
//! # As nvidia-smi writes them.
//! vbios-versions = ["96.00.9F.00.01"]
//! driver-versions = ["550.90.07"]
//! # The firmware whose key signs, by its digest (96 digits). Old firmware chooses itself not to state it:
//! # with "any" that is taken.
//! firmware-ids = "any"
//! # "reference": one of [[gpu.reference]] holds. The report is authentic without; what it measured
//! # is known by these alone.
//! measurements = "reference"
//! # NVIDIA signs its own reference values (RIM) with XML-DSig, and answers for revoked certificates
//! # online. Neither is judged here: "checked" never holds, and "any" says that it is known.
//! rim-signature = "any"
//! revocation = "any"
//!
//! [[gpu.reference]]
//! name = "H100, driver 550.90.07"
//! # By their index; those that are not stated do not matter.
//! measurements = { 2 = "<96 digits>", 3 = "<96 digits>" }
//! ```

use super::hexadecimal::bytes_of;
use super::sets::{SetOf, Sets};
use super::wanted::{Wanted, WantedForm};
use crate::evidence::MAX_DEVICES;
use crate::strict_toml::{FileError, Stated, TomlText};
use serde::Deserialize;
use std::collections::BTreeMap;
use toml::Spanned;

type Want<T> = Stated<Wanted<T>>;
type Form<T> = Spanned<WantedForm<T>>;

/// Which NVIDIA devices are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GpuPolicy {
    pub(crate) min_devices: Stated<usize>,
    pub(crate) models: Want<Vec<String>>,
    pub(crate) device_ids: Want<Vec<String>>,
    pub(crate) vbios_versions: Want<Vec<String>>,
    pub(crate) driver_versions: Want<Vec<String>>,
    pub(crate) firmware_ids: Want<Vec<String>>,
    pub(crate) measurements: Want<Reference>,
    pub(crate) rim_signature: Want<Unjudged>,
    pub(crate) revocation: Want<Unjudged>,
    pub(crate) references: Vec<GpuReference>,
}

/// Measurements are compared with the reference values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reference {
    /// One of them holds.
    Reference,
}

/// What nothing here can check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unjudged {
    /// It has to be, so that no device is wanted.
    Checked,
}

/// The measurements of one wanted state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GpuReference {
    /// What the operator calls it.
    pub name: String,
    /// The policy's line.
    pub line: u32,
    /// The set that it is of.
    pub set: SetOf,
    measurements: BTreeMap<u8, [u8; 48]>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct GpuForm {
    min_devices: Spanned<usize>,
    models: Form<Vec<String>>,
    device_ids: Form<Vec<String>>,
    vbios_versions: Form<Vec<String>>,
    driver_versions: Form<Vec<String>>,
    firmware_ids: Form<Vec<String>>,
    measurements: Form<Reference>,
    rim_signature: Form<Unjudged>,
    revocation: Form<Unjudged>,
    #[serde(default)]
    reference: Vec<GpuReferenceForm>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct GpuReferenceForm {
    name: Spanned<String>,
    set: Option<Spanned<String>>,
    measurements: Spanned<BTreeMap<String, String>>,
}

impl GpuPolicy {
    pub(super) fn read(form: GpuForm, text: &TomlText<'_>, sets: &Sets) -> Result<Self, FileError> {
        if *form.min_devices.get_ref() > MAX_DEVICES {
            let reason = format!("no evidence has more than {MAX_DEVICES} devices");
            return Err(text.error(&form.min_devices, reason, "state a number from 0 to 16"));
        }
        Ok(Self {
            min_devices: text.stated(form.min_devices),
            models: text.wanted(form.models, words)?,
            device_ids: text.wanted(form.device_ids, device_ids)?,
            vbios_versions: text.wanted(form.vbios_versions, words)?,
            driver_versions: text.wanted(form.driver_versions, words)?,
            firmware_ids: text.wanted(form.firmware_ids, firmware_ids)?,
            measurements: text.wanted_as_is(form.measurements)?,
            rim_signature: text.wanted_as_is(form.rim_signature)?,
            revocation: text.wanted_as_is(form.revocation)?,
            references: references(form.reference, text, sets)?,
        })
    }

    /// The reference value that holds for `found`, and at `now_secs`.
    ///
    /// # Errors
    ///
    /// In words, that none does, and where the first differs.
    pub(crate) fn find(
        &self,
        found: &BTreeMap<u8, Vec<u8>>,
        now_secs: u64,
    ) -> Result<&GpuReference, String> {
        let matching = || {
            let all = self.references.iter();
            all.filter(|r| r.differing(found).is_empty())
        };
        if let Some(reference) = matching().find(|r| r.set.objection(now_secs).is_none()) {
            return Ok(reference);
        }
        if let Some(ended) = matching().next() {
            return Err(format!(
                "reference value {:?} of policy line {} {}",
                ended.name,
                ended.line,
                ended.set.objection(now_secs).unwrap_or_default()
            ));
        }
        let Some(first) = self.references.first() else {
            return Err("there are no reference values".to_owned());
        };
        Err(format!(
            "no reference value has these measurements; {:?} of policy line {} has another {}",
            first.name,
            first.line,
            first.differing(found).join(", ")
        ))
    }
}

impl GpuReference {
    fn differing(&self, found: &BTreeMap<u8, Vec<u8>>) -> Vec<String> {
        let stated = self.measurements.iter();
        stated
            .filter(|(index, value)| found.get(index).map(Vec::as_slice) != Some(&value[..]))
            .map(|(index, _)| index.to_string())
            .collect()
    }
}

fn references(
    forms: Vec<GpuReferenceForm>,
    text: &TomlText<'_>,
    sets: &Sets,
) -> Result<Vec<GpuReference>, FileError> {
    let mut references: Vec<GpuReference> = Vec::new();
    for form in forms {
        let name = form.name.get_ref();
        if name.is_empty() || references.iter().any(|other| other.name == *name) {
            let reason = "a reference value's name is empty or there twice";
            return Err(text.error(&form.name, reason, "give each a name of its own"));
        }
        let measurements = text.converted(form.measurements, |list| numbered(&list))?;
        let set = sets.of(text, &form.name, form.set)?;
        references.push(GpuReference {
            name: form.name.into_inner(),
            line: measurements.line,
            set,
            measurements: measurements.value,
        });
    }
    Ok(references)
}

/// Each index in its one spelling; one that nothing is stated for would hold for every device.
fn numbered(list: &BTreeMap<String, String>) -> Result<BTreeMap<u8, [u8; 48]>, String> {
    if list.is_empty() {
        return Err("a reference value states no measurement".to_owned());
    }
    let mut measurements = BTreeMap::new();
    for (index, value) in list {
        let number = index.parse::<u8>().ok();
        let number = number.filter(|number| number.to_string() == *index);
        let number = number.ok_or_else(|| format!("{index:?} is no number from 0 to 255"))?;
        measurements.insert(number, bytes_of(value)?);
    }
    Ok(measurements)
}

/// A list that wants something, without a value twice.
fn words(list: Vec<String>) -> Result<Vec<String>, String> {
    let is_twice = |word: &&String| list.iter().filter(|other| other == word).count() > 1;
    if list.is_empty() || list.len() > super::MAX_VALUES {
        return Err("the list is empty or longer than 1024".to_owned());
    }
    match list.iter().find(|word| word.is_empty() || is_twice(word)) {
        Some(word) => Err(format!("{word:?} is empty or there twice")),
        None => Ok(list),
    }
}

fn firmware_ids(list: Vec<String>) -> Result<Vec<String>, String> {
    let wrong = list.iter().find_map(|id| bytes_of::<48>(id).err());
    wrong.map_or_else(|| words(list), Err)
}

fn device_ids(list: Vec<String>) -> Result<Vec<String>, String> {
    let is_digit = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
    let bad = list
        .iter()
        .find(|id| !id.chars().all(is_digit) || id.starts_with('0'));
    match bad {
        Some(id) => Err(format!(
            "{id:?} is no serial number in lower-case hexadecimal"
        )),
        None => words(list),
    }
}

#[cfg(test)]
mod tests;
