//! Reference values: which measurements are wanted, and what each of them covers.
//!
//! A measurement of firmware alone says nothing about the kernel that the firmware loads. So each
//! value states what it covers, the section states what is required, and a match that covers less
//! is no match.

use super::hexadecimal::bytes_of;
use super::sets::{SetOf, Sets};
use crate::strict_toml::{FileError, Stated, TomlText};
use serde::Deserialize;
use std::collections::BTreeSet;
use std::fmt;
use toml::Spanned;

/// A part of what runs, which a measurement covers or does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Coverage {
    /// The first code that runs.
    Firmware,
    /// The kernel's image.
    Kernel,
    /// The initial file system.
    Initrd,
    /// The kernel's command line.
    CommandLine,
    /// The root file system, by what the command line or the initrd pins (verity).
    Disk,
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Firmware => "firmware",
            Self::Kernel => "kernel",
            Self::Initrd => "initrd",
            Self::CommandLine => "command-line",
            Self::Disk => "disk",
        })
    }
}

/// One wanted measurement of `N` bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReferenceValue<const N: usize> {
    /// What the operator calls it.
    pub name: String,
    /// The measurement.
    pub measurement: [u8; N],
    /// What it covers.
    pub covers: BTreeSet<Coverage>,
    /// The set that it is of.
    pub set: SetOf,
    /// The policy's line.
    pub line: u32,
}

/// The wanted measurements of one section, and what a match has to cover.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReferenceValues<const N: usize> {
    pub(crate) values: Vec<ReferenceValue<N>>,
    pub(crate) requires: Stated<BTreeSet<Coverage>>,
}

impl<const N: usize> ReferenceValues<N> {
    /// The value that `measurement` is, if it covers what is required and holds at `now_secs`.
    ///
    /// # Errors
    ///
    /// In words, that none is, or what speaks against the one that is.
    pub fn find(&self, measurement: &[u8; N], now_secs: u64) -> Result<&ReferenceValue<N>, String> {
        let matching = || self.values.iter().filter(|v| v.measurement == *measurement);
        let objection = |value: &ReferenceValue<N>| {
            objection(&self.requires.value, &value.covers, &value.set, now_secs)
        };
        if let Some(value) = matching().find(|value| objection(value).is_none()) {
            return Ok(value);
        }
        match matching().next() {
            Some(value) => Err(format!(
                "reference value {:?} of policy line {} {}",
                value.name,
                value.line,
                objection(value).unwrap_or_default(),
            )),
            None => Err(format!(
                "measurement {} is no reference value",
                base16ct::lower::encode_string(measurement)
            )),
        }
    }

    /// The line that says what is required.
    #[must_use]
    pub fn line(&self) -> u32 {
        self.requires.line
    }
}

/// What speaks against a value that matches, in words that follow its name.
pub(crate) fn objection(
    required: &BTreeSet<Coverage>,
    covers: &BTreeSet<Coverage>,
    set: &SetOf,
    now_secs: u64,
) -> Option<String> {
    let missing: Vec<Coverage> = required.difference(covers).copied().collect();
    if missing.is_empty() {
        set.objection(now_secs)
    } else {
        Some(format!("does not cover {}", listed(&missing)))
    }
}

/// `[[snp.reference]]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct ReferenceForm {
    pub(crate) name: Spanned<String>,
    pub(crate) set: Option<Spanned<String>>,
    pub(crate) measurement: Spanned<String>,
    pub(crate) covers: Spanned<Vec<Coverage>>,
}

/// Checks a section's reference values: names and measurements are there once, and each covers
/// something.
pub(crate) fn reference_values<const N: usize>(
    text: &TomlText<'_>,
    requires: Spanned<Vec<Coverage>>,
    forms: Vec<ReferenceForm>,
    sets: &Sets,
) -> Result<ReferenceValues<N>, FileError> {
    let mut values: Vec<ReferenceValue<N>> = Vec::new();
    for form in forms {
        if form.name.get_ref().is_empty() || values.iter().any(|v| v.name == *form.name.get_ref()) {
            let reason = "a reference value's name is empty or there twice";
            return Err(text.error(&form.name, reason, "give each a name of its own"));
        }
        if form.covers.get_ref().is_empty() {
            let reason = "a reference value covers nothing";
            return Err(text.error(&form.covers, reason, "state what was measured"));
        }
        let measurement = text.converted(form.measurement, |hex| bytes_of(&hex))?;
        let set = sets.of(text, &form.name, form.set)?;
        values.push(ReferenceValue {
            name: form.name.into_inner(),
            measurement: measurement.value,
            covers: coverage(text, form.covers)?.value,
            set,
            line: measurement.line,
        });
    }
    Ok(ReferenceValues {
        values,
        requires: coverage_with_firmware(text, requires)?,
    })
}

/// A set in which nothing stands twice.
pub(crate) fn coverage(
    text: &TomlText<'_>,
    list: Spanned<Vec<Coverage>>,
) -> Result<Stated<BTreeSet<Coverage>>, FileError> {
    text.converted(list, |list| without_doubles(&list))
}

/// What a launch measurement has to cover: one that covers no firmware measures nothing, and an
/// empty list would take whatever is measured without a word about it.
pub(crate) fn coverage_with_firmware(
    text: &TomlText<'_>,
    list: Spanned<Vec<Coverage>>,
) -> Result<Stated<BTreeSet<Coverage>>, FileError> {
    text.converted(list, |list| {
        let set = without_doubles(&list)?;
        if set.contains(&Coverage::Firmware) {
            Ok(set)
        } else {
            Err("at least \"firmware\" has to be covered".to_owned())
        }
    })
}

fn without_doubles(list: &[Coverage]) -> Result<BTreeSet<Coverage>, String> {
    let set: BTreeSet<Coverage> = list.iter().copied().collect();
    if set.len() == list.len() {
        Ok(set)
    } else {
        Err("something is listed twice".to_owned())
    }
}

/// Whether everything that is loaded at boot is covered, from the kernel on.
pub(crate) fn covers_boot(covers: &BTreeSet<Coverage>) -> bool {
    let boot = [Coverage::Kernel, Coverage::Initrd, Coverage::CommandLine];
    boot.iter().all(|part| covers.contains(part))
}

fn listed(coverage: &[Coverage]) -> String {
    let names: Vec<String> = coverage.iter().map(Coverage::to_string).collect();
    names.join(", ")
}
