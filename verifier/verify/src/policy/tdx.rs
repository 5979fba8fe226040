//! `[tdx]`: which TDX quotes are wanted.
//!
//! ```toml
//! [tdx]
//! # up-to-date, sw-hardening-needed, configuration-needed, out-of-date, td-relaunch-advised and
//! # their combinations. What is revoked is always refused.
//! tcb-status = ["up-to-date"]
//! # The advisories that may be open at that level; "any" for whatever Intel lists.
//! advisories = []
//! minimum-tcb-evaluation = 17
//! mr-seam = "any"
//! mr-signer-seam = ["000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000"]
//! seam-attributes = "0000000000000000"
//! danger-allow-debug = false
//! danger-allow-profiling = false
//! danger-allow-migration = false
//! # Azure's trust domains have it clear.
//! sept-ve-disable = true
//! # Attributes that may be set besides those above, such as PERFMON (bit 63) or SERVTD_EXT (bit 17).
//! td-attributes-allowed = "0000000000000000"
//! # Bits that must be set, and bits that may be: 64 bits in hexadecimal, most significant first.
//! xfam-required = "0000000000000003"
//! xfam-allowed = "000000000006dae7"
//! event-log = "replayed"
//! # At least the firmware.
//! requires-coverage = ["firmware", "kernel", "initrd", "command-line"]
//! # Or "init-data": whatever has come as such has to be there.
//! mr-config-id = "any"
//! mr-owner = "any"
//! mr-owner-config = "any"
//! mr-service-td = "none"
//! platform-instances = "any"
//! smt = "any"
//! dynamic-platform = false
//! cached-keys = "any"
//!
//! [[tdx.reference]]
//! name = "guest 1.2"
//! mr-td = "<96 digits>"
//! # "any" for a register that does not matter; kernel, initrd, command line and disk count as
//! # covered only where registers 1 and 2 are stated.
//! rtmr0 = "any"
//! rtmr1 = "<96 digits>"
//! rtmr2 = "<96 digits>"
//! rtmr3 = "any"
//! covers = ["firmware", "kernel", "initrd", "command-line"]
//! ```

use super::hexadecimal::bytes_of;
use super::launched::{Launched, LaunchedForm};
use super::reference::{Coverage, coverage_with_firmware};
use super::sets::{SetOf, Sets};
use super::wanted::{Wanted, WantedForm};
use crate::collateral::TcbStatus;
use crate::strict_toml::{FileError, Stated, TomlText};
use serde::Deserialize;
use std::collections::BTreeSet;
use toml::Spanned;

/// A list longer than this is a mistake.
const MAX_VALUES: usize = 1024;

/// A list of 48-byte registers, any of which is wanted.
type Registers = Stated<Wanted<Vec<[u8; 48]>>>;

/// Which TDX quotes are wanted. The fields are those of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TdxPolicy {
    pub(crate) tcb_status: Stated<BTreeSet<TcbStatus>>,
    pub(crate) advisories: Stated<Wanted<BTreeSet<String>>>,
    pub(crate) minimum_tcb_evaluation: Stated<Wanted<u32>>,
    pub(crate) mr_seam: Registers,
    pub(crate) mr_signer_seam: Registers,
    pub(crate) seam_attributes: Stated<Wanted<u64>>,
    pub(crate) danger_allow_debug: Stated<bool>,
    pub(crate) danger_allow_profiling: Stated<bool>,
    pub(crate) danger_allow_migration: Stated<bool>,
    pub(crate) sept_ve_disable: Stated<Wanted<bool>>,
    pub(crate) td_attributes_allowed: Stated<Wanted<u64>>,
    pub(crate) xfam_required: Stated<Wanted<u64>>,
    pub(crate) xfam_allowed: Stated<Wanted<u64>>,
    pub(crate) event_log: Stated<Wanted<EventLogUse>>,
    pub(crate) requires_coverage: Stated<BTreeSet<Coverage>>,
    pub(crate) mr_config_id: Stated<Wanted<Launched<48>>>,
    pub(crate) mr_owner: Registers,
    pub(crate) mr_owner_config: Registers,
    pub(crate) mr_service_td: Stated<Wanted<ServiceTd>>,
    pub(crate) platform_instances: Stated<Wanted<Vec<[u8; 16]>>>,
    pub(crate) smt: Stated<Wanted<bool>>,
    pub(crate) dynamic_platform: Stated<Wanted<bool>>,
    pub(crate) cached_keys: Stated<Wanted<bool>>,
    pub(crate) references: Vec<TdxReference>,
}

/// What has to be true of an event log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EventLogUse {
    /// It is there, and it replays to the registers of the quote.
    Replayed,
}

/// Which service trust domains may be bound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServiceTd {
    /// None.
    Nobody,
    /// One of these, by the hash of what is bound.
    AnyOf(Vec<[u8; 48]>),
}

/// The measurements of one wanted trust domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TdxReference {
    /// What the operator calls it.
    pub name: String,
    /// The measurement at launch.
    pub mr_td: [u8; 48],
    /// The run-time registers.
    pub rtmr: [Wanted<[u8; 48]>; 4],
    /// What the measurements cover.
    pub covers: BTreeSet<Coverage>,
    /// The set that they are of.
    pub set: SetOf,
    /// The policy's line.
    pub line: u32,
}

/// `[tdx]` as it stands in TOML.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct TdxForm {
    tcb_status: Spanned<Vec<TcbStatus>>,
    advisories: Spanned<WantedForm<Vec<String>>>,
    minimum_tcb_evaluation: Spanned<WantedForm<u32>>,
    mr_seam: Spanned<WantedForm<Vec<String>>>,
    mr_signer_seam: Spanned<WantedForm<Vec<String>>>,
    seam_attributes: Spanned<WantedForm<String>>,
    danger_allow_debug: Spanned<bool>,
    danger_allow_profiling: Spanned<bool>,
    danger_allow_migration: Spanned<bool>,
    sept_ve_disable: Spanned<WantedForm<bool>>,
    td_attributes_allowed: Spanned<WantedForm<String>>,
    xfam_required: Spanned<WantedForm<String>>,
    xfam_allowed: Spanned<WantedForm<String>>,
    event_log: Spanned<WantedForm<EventLogUse>>,
    requires_coverage: Spanned<Vec<Coverage>>,
    mr_config_id: Spanned<WantedForm<LaunchedForm>>,
    mr_owner: Spanned<WantedForm<Vec<String>>>,
    mr_owner_config: Spanned<WantedForm<Vec<String>>>,
    mr_service_td: Spanned<WantedForm<ServiceTdForm>>,
    platform_instances: Spanned<WantedForm<Vec<String>>>,
    smt: Spanned<WantedForm<bool>>,
    dynamic_platform: Spanned<WantedForm<bool>>,
    cached_keys: Spanned<WantedForm<bool>>,
    reference: Vec<TdxReferenceForm>,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "neither \"none\" nor a list of hashes")]
enum ServiceTdForm {
    Nobody(NoneWord),
    AnyOf(Vec<String>),
}

#[derive(Deserialize)]
enum NoneWord {
    #[serde(rename = "none")]
    Nobody,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct TdxReferenceForm {
    name: Spanned<String>,
    set: Option<Spanned<String>>,
    mr_td: Spanned<String>,
    rtmr0: Spanned<WantedForm<String>>,
    rtmr1: Spanned<WantedForm<String>>,
    rtmr2: Spanned<WantedForm<String>>,
    rtmr3: Spanned<WantedForm<String>>,
    covers: Spanned<Vec<Coverage>>,
}

impl TdxPolicy {
    pub(crate) fn read(text: &TomlText<'_>, form: TdxForm, sets: &Sets) -> Result<Self, FileError> {
        Ok(Self {
            tcb_status: text.converted(form.tcb_status, without_doubles)?,
            advisories: text.wanted(form.advisories, without_doubles)?,
            minimum_tcb_evaluation: text.wanted_as_is(form.minimum_tcb_evaluation)?,
            mr_seam: text.wanted(form.mr_seam, registers)?,
            mr_signer_seam: text.wanted(form.mr_signer_seam, registers)?,
            seam_attributes: text.wanted(form.seam_attributes, bits)?,
            danger_allow_debug: text.stated(form.danger_allow_debug),
            danger_allow_profiling: text.stated(form.danger_allow_profiling),
            danger_allow_migration: text.stated(form.danger_allow_migration),
            sept_ve_disable: text.wanted_as_is(form.sept_ve_disable)?,
            td_attributes_allowed: text.wanted(form.td_attributes_allowed, bits)?,
            xfam_required: text.wanted(form.xfam_required, bits)?,
            xfam_allowed: text.wanted(form.xfam_allowed, bits)?,
            event_log: text.wanted_as_is(form.event_log)?,
            requires_coverage: coverage_with_firmware(text, form.requires_coverage)?,
            mr_config_id: text.wanted(form.mr_config_id, |form| Launched::read(form, registers))?,
            mr_owner: text.wanted(form.mr_owner, registers)?,
            mr_owner_config: text.wanted(form.mr_owner_config, registers)?,
            mr_service_td: text.wanted(form.mr_service_td, service_td)?,
            platform_instances: text.wanted(form.platform_instances, registers)?,
            smt: text.wanted_as_is(form.smt)?,
            dynamic_platform: text.wanted_as_is(form.dynamic_platform)?,
            cached_keys: text.wanted_as_is(form.cached_keys)?,
            references: references(text, form.reference, sets)?,
        })
    }
}

fn without_doubles<T: Ord>(list: Vec<T>) -> Result<BTreeSet<T>, String> {
    let len = list.len();
    let set: BTreeSet<T> = list.into_iter().collect();
    if len > MAX_VALUES {
        Err(format!("{len} values are listed, at most 1024 are read"))
    } else if set.len() == len {
        Ok(set)
    } else {
        Err("something is listed twice".to_owned())
    }
}

fn registers<const N: usize>(list: Vec<String>) -> Result<Vec<[u8; N]>, String> {
    let list = without_doubles(list)?;
    list.iter().map(|register| bytes_of(register)).collect()
}

fn bits(text: String) -> Result<u64, String> {
    bytes_of(&text).map(u64::from_be_bytes)
}

fn service_td(form: ServiceTdForm) -> Result<ServiceTd, String> {
    match form {
        ServiceTdForm::Nobody(NoneWord::Nobody) => Ok(ServiceTd::Nobody),
        ServiceTdForm::AnyOf(list) => registers(list).map(ServiceTd::AnyOf),
    }
}

fn references(
    text: &TomlText<'_>,
    forms: Vec<TdxReferenceForm>,
    sets: &Sets,
) -> Result<Vec<TdxReference>, FileError> {
    let mut references: Vec<TdxReference> = Vec::new();
    for form in forms {
        let name = form.name.get_ref();
        if name.is_empty() || references.iter().any(|other| other.name == *name) {
            let reason = "a reference value's name is empty or there twice";
            return Err(text.error(&form.name, reason, "give each a name of its own"));
        }
        references.push(reference(text, form, sets)?);
    }
    Ok(references)
}

fn reference(
    text: &TomlText<'_>,
    form: TdxReferenceForm,
    sets: &Sets,
) -> Result<TdxReference, FileError> {
    let set = sets.of(text, &form.name, form.set)?;
    let register = |form| {
        let wanted = text.wanted(form, |hex: String| bytes_of::<48>(&hex))?;
        Ok(wanted.value)
    };
    let rtmr = [
        register(form.rtmr0)?,
        register(form.rtmr1)?,
        register(form.rtmr2)?,
        register(form.rtmr3)?,
    ];
    let covers = text.converted(form.covers, |list| {
        let covers = without_doubles(list)?;
        // MRTD is the firmware alone. What it loads is measured into registers 1 and 2.
        let beyond_firmware = covers.iter().any(|part| *part != Coverage::Firmware);
        let [_, one, two, _] = &rtmr;
        if covers.is_empty() {
            Err("a reference value covers nothing".to_owned())
        } else if beyond_firmware && (one.value().is_none() || two.value().is_none()) {
            Err(
                "more than the firmware is covered only where rtmr1 and rtmr2 are stated"
                    .to_owned(),
            )
        } else {
            Ok(covers)
        }
    })?;
    let mr_td = text.converted(form.mr_td, |hex| bytes_of(&hex))?;
    Ok(TdxReference {
        name: form.name.into_inner(),
        mr_td: mr_td.value,
        rtmr,
        covers: covers.value,
        set,
        line: mr_td.line,
    })
}

#[cfg(test)]
mod tests;
