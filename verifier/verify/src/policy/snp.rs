//! `[snp]`: which SEV-SNP evidence is wanted. Every field is stated; `"any"` waives.

use super::hexadecimal::bytes_of;
use super::launched::{Launched, LaunchedForm};
use super::reference::{Coverage, ReferenceForm, ReferenceValues, reference_values};
use super::sets::Sets;
use super::wanted::{Wanted, WantedForm};
use crate::evidence::{FirmwareVersion, SnpProduct, Tcb};
use crate::strict_toml::{FileError, Stated, TomlText};
use serde::Deserialize;
use std::collections::BTreeMap;
use toml::Spanned;

type Want<T> = Stated<Wanted<T>>;
type Form<T> = Spanned<WantedForm<T>>;

/// Which key may sign a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SigningKey {
    /// The chip's own.
    Vcek,
    /// The one that a cloud loads into its chips.
    Vlek,
}

/// `[snp]`, one field a check or two. The manual of the file is `docs/verification.md`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnpPolicy {
    pub(crate) minimum_report_version: Stated<u32>,
    pub(crate) signing_keys: Stated<Vec<SigningKey>>,
    pub(crate) csp_ids: Want<Vec<String>>,
    pub(crate) danger_accept_masked_chip_id: Stated<bool>,
    pub(crate) crl_max_age_secs: Want<u64>,
    pub(crate) danger_allow_debug: Stated<bool>,
    pub(crate) danger_allow_migration: Stated<bool>,
    pub(crate) policy_minimum_abi: Want<(u8, u8)>,
    pub(crate) policy_smt: Want<bool>,
    pub(crate) policy_single_socket: Want<bool>,
    pub(crate) policy_cxl: Want<bool>,
    pub(crate) policy_aes_256_xts: Want<bool>,
    pub(crate) policy_rapl_disabled: Want<bool>,
    pub(crate) policy_ciphertext_hiding: Want<bool>,
    pub(crate) policy_page_swap_disabled: Want<bool>,
    pub(crate) vmpl: Want<Vec<u32>>,
    pub(crate) host_data: Want<Launched<32>>,
    pub(crate) id_key_digests: Want<Vec<[u8; 48]>>,
    pub(crate) author_key_digests: Want<Vec<[u8; 48]>>,
    pub(crate) author_key_enabled: Want<bool>,
    pub(crate) family_ids: Want<Vec<[u8; 16]>>,
    pub(crate) image_ids: Want<Vec<[u8; 16]>>,
    pub(crate) minimum_guest_svn: Want<u32>,
    pub(crate) provisional_firmware: Want<bool>,
    pub(crate) minimum_firmware: Want<FirmwareVersion>,
    pub(crate) platform_smt: Want<bool>,
    pub(crate) platform_tsme: Want<bool>,
    pub(crate) platform_ecc: Want<bool>,
    pub(crate) platform_rapl_disabled: Want<bool>,
    pub(crate) platform_ciphertext_hiding: Want<bool>,
    pub(crate) platform_alias_check: Want<bool>,
    pub(crate) platform_tio: Want<bool>,
    pub(crate) platform_unknown_bits: Want<u64>,
    pub(crate) required_launch_mitigations: Want<u64>,
    pub(crate) required_current_mitigations: Want<u64>,
    pub(crate) chip_ids: Want<Vec<[u8; 64]>>,
    pub(crate) report_ids: Want<Vec<[u8; 32]>>,
    /// The products that are wanted are those that have a minimum.
    pub(crate) minimum_tcb: Stated<BTreeMap<SnpProduct, Want<Tcb>>>,
    pub(crate) references: ReferenceValues<48>,
}

/// How `[snp]` stands in TOML.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct SnpForm {
    minimum_report_version: Spanned<u32>,
    signing_keys: Spanned<Vec<SigningKey>>,
    csp_ids: Form<Vec<String>>,
    danger_accept_masked_chip_id: Spanned<bool>,
    crl_max_age_secs: Form<u64>,
    danger_allow_debug: Spanned<bool>,
    danger_allow_migration: Spanned<bool>,
    policy_minimum_abi: Form<String>,
    policy_smt: Form<bool>,
    policy_single_socket: Form<bool>,
    policy_cxl: Form<bool>,
    #[serde(rename = "policy-aes-256-xts")]
    policy_aes_256_xts: Form<bool>,
    policy_rapl_disabled: Form<bool>,
    policy_ciphertext_hiding: Form<bool>,
    policy_page_swap_disabled: Form<bool>,
    vmpl: Form<Vec<u32>>,
    host_data: Form<LaunchedForm>,
    id_key_digests: Form<Vec<String>>,
    author_key_digests: Form<Vec<String>>,
    author_key_enabled: Form<bool>,
    family_ids: Form<Vec<String>>,
    image_ids: Form<Vec<String>>,
    minimum_guest_svn: Form<u32>,
    provisional_firmware: Form<bool>,
    minimum_firmware: Form<String>,
    platform_smt: Form<bool>,
    platform_tsme: Form<bool>,
    platform_ecc: Form<bool>,
    platform_rapl_disabled: Form<bool>,
    platform_ciphertext_hiding: Form<bool>,
    platform_alias_check: Form<bool>,
    platform_tio: Form<bool>,
    platform_unknown_bits: Form<BitsForm>,
    required_launch_mitigations: Form<BitsForm>,
    required_current_mitigations: Form<BitsForm>,
    chip_ids: Form<Vec<String>>,
    report_ids: Form<Vec<String>>,
    requires_coverage: Spanned<Vec<Coverage>>,
    minimum_tcb: Spanned<BTreeMap<SnpProduct, Form<TcbForm>>>,
    /// None at all wants nothing, as an empty list does.
    #[serde(default)]
    reference: Vec<ReferenceForm>,
}

/// TOML's numbers end at bit 62.
#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "neither \"any\", a number, nor 64 bits as 16 hexadecimal digits"
)]
enum BitsForm {
    Number(u64),
    Digits(String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TcbForm {
    fmc: Option<u8>,
    bootloader: u8,
    tee: u8,
    snp: u8,
    microcode: u8,
}

impl SnpForm {
    /// Under Azure's paravisor, which is all that tells its report from its guest's.
    pub(super) fn is_of_vmpl_0(&self, text: &TomlText<'_>) -> Result<(), FileError> {
        match self.vmpl.get_ref() {
            WantedForm::Is(levels) if *levels == [0] => Ok(()),
            WantedForm::Is(_) | WantedForm::Any(_) => Err(text.error(
                &self.vmpl,
                "the paravisor runs at VMPL 0, and vmpl alone tells its report from its guest's",
                "write vmpl = [0]",
            )),
        }
    }
}

impl SnpPolicy {
    pub(super) fn read(form: SnpForm, text: &TomlText<'_>, sets: &Sets) -> Result<Self, FileError> {
        let flag = |form: Form<bool>| text.wanted_as_is(form);
        let bits = |form: Form<BitsForm>| text.wanted(form, bits_of);
        Ok(Self {
            minimum_report_version: text.converted(form.minimum_report_version, known_version)?,
            signing_keys: text.stated(form.signing_keys),
            csp_ids: text.wanted_as_is(form.csp_ids)?,
            danger_accept_masked_chip_id: text.stated(form.danger_accept_masked_chip_id),
            crl_max_age_secs: text.wanted_as_is(form.crl_max_age_secs)?,
            danger_allow_debug: text.stated(form.danger_allow_debug),
            danger_allow_migration: text.stated(form.danger_allow_migration),
            policy_minimum_abi: text.wanted(form.policy_minimum_abi, |v| abi(&v))?,
            policy_smt: flag(form.policy_smt)?,
            policy_single_socket: flag(form.policy_single_socket)?,
            policy_cxl: flag(form.policy_cxl)?,
            policy_aes_256_xts: flag(form.policy_aes_256_xts)?,
            policy_rapl_disabled: flag(form.policy_rapl_disabled)?,
            policy_ciphertext_hiding: flag(form.policy_ciphertext_hiding)?,
            policy_page_swap_disabled: flag(form.policy_page_swap_disabled)?,
            vmpl: text.wanted_as_is(form.vmpl)?,
            host_data: text.wanted(form.host_data, |form| {
                Launched::read(form, |list| list_of(&list))
            })?,
            id_key_digests: text.wanted(form.id_key_digests, |list| list_of(&list))?,
            author_key_digests: text.wanted(form.author_key_digests, |list| list_of(&list))?,
            author_key_enabled: flag(form.author_key_enabled)?,
            family_ids: text.wanted(form.family_ids, |list| list_of(&list))?,
            image_ids: text.wanted(form.image_ids, |list| list_of(&list))?,
            minimum_guest_svn: text.wanted_as_is(form.minimum_guest_svn)?,
            provisional_firmware: flag(form.provisional_firmware)?,
            minimum_firmware: text.wanted(form.minimum_firmware, |v| firmware(&v))?,
            platform_smt: flag(form.platform_smt)?,
            platform_tsme: flag(form.platform_tsme)?,
            platform_ecc: flag(form.platform_ecc)?,
            platform_rapl_disabled: flag(form.platform_rapl_disabled)?,
            platform_ciphertext_hiding: flag(form.platform_ciphertext_hiding)?,
            platform_alias_check: flag(form.platform_alias_check)?,
            platform_tio: flag(form.platform_tio)?,
            platform_unknown_bits: bits(form.platform_unknown_bits)?,
            required_launch_mitigations: bits(form.required_launch_mitigations)?,
            required_current_mitigations: bits(form.required_current_mitigations)?,
            chip_ids: text.wanted(form.chip_ids, |list| list_of(&list))?,
            report_ids: text.wanted(form.report_ids, |list| list_of(&list))?,
            minimum_tcb: minimum_tcb(text, form.minimum_tcb)?,
            references: reference_values(text, form.requires_coverage, form.reference, sets)?,
        })
    }

    /// The reference values for the launch measurement.
    #[must_use]
    pub fn references(&self) -> &ReferenceValues<48> {
        &self.references
    }
}

fn minimum_tcb(
    text: &TomlText<'_>,
    forms: Spanned<BTreeMap<SnpProduct, Form<TcbForm>>>,
) -> Result<Stated<BTreeMap<SnpProduct, Want<Tcb>>>, FileError> {
    let Stated { value, line } = text.stated(forms);
    let mut minimum = BTreeMap::new();
    for (product, form) in value {
        let wanted = text.wanted(form, |form| tcb_of(product, &form))?;
        minimum.insert(product, wanted);
    }
    Ok(Stated {
        value: minimum,
        line,
    })
}

fn tcb_of(product: SnpProduct, form: &TcbForm) -> Result<Tcb, String> {
    match (product, form.fmc) {
        (SnpProduct::Turin, None) => Err("Turin has a component fmc, which is not stated".into()),
        (SnpProduct::Milan | SnpProduct::Genoa, Some(_)) => {
            Err(format!("{product} has no component fmc"))
        }
        (SnpProduct::Turin | SnpProduct::Milan | SnpProduct::Genoa, fmc) => Ok(Tcb {
            fmc,
            bootloader: form.bootloader,
            tee: form.tee,
            snp: form.snp,
            microcode: form.microcode,
        }),
    }
}

fn known_version(version: u32) -> Result<u32, String> {
    if (2..=5).contains(&version) {
        Ok(version)
    } else {
        Err(format!("reports have versions 2 to 5, not {version}"))
    }
}

fn bits_of(form: BitsForm) -> Result<u64, String> {
    match form {
        BitsForm::Number(bits) => Ok(bits),
        BitsForm::Digits(digits) => bytes_of(&digits).map(u64::from_be_bytes),
    }
}

fn list_of<const N: usize>(list: &[String]) -> Result<Vec<[u8; N]>, String> {
    list.iter().map(|text| bytes_of(text)).collect()
}

/// `major.minor` in decimal.
fn abi(text: &str) -> Result<(u8, u8), String> {
    match numbers(text).as_deref() {
        Some([major, minor]) => Ok((*major, *minor)),
        _ => Err(format!("{text:?} is not a version of two numbers")),
    }
}

/// `major.minor.build` in decimal.
fn firmware(text: &str) -> Result<FirmwareVersion, String> {
    match numbers(text).as_deref() {
        Some([major, minor, build]) => Ok(FirmwareVersion {
            major: *major,
            minor: *minor,
            build: *build,
        }),
        _ => Err(format!("{text:?} is not a version of three numbers")),
    }
}

fn numbers(text: &str) -> Option<Vec<u8>> {
    text.split('.').map(|part| part.parse().ok()).collect()
}

#[cfg(test)]
mod tests;
