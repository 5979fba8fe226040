//! `az-snp-vtpm` and `az-tdx-vtpm` evidence: a quote of the virtual TPM, the paravisor's report that
//! names the TPM's key, and what proves that report: a VCEK, or a TD quote.

use super::field::base64url;
use super::tee::Tee;
use super::tpm_quote::{QuoteForm, TpmQuote};
use crate::authenticity::Refusal;
use crate::budget::{Budget, BudgetExceeded};
use base64ct::{Base64Url, Base64UrlUnpadded, Encoding};
use serde::Deserialize;
use serde_json::{Value, json};
use std::borrow::Cow;
use thiserror::Error;

const MAX_HCL_LEN: usize = 8 * 1024;
const MAX_VCEK_LEN: usize = 16 * 1024;
/// The attestation key among those of the runtime data.
const AK: &str = "HCLAkPub";
/// An RSA key of 4096 bits.
const MAX_MODULUS_LEN: usize = 512;

/// What evidence of a confidential VM on Azure consists of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AzureAllegation {
    /// 1, or 2, which promises that the paravisor's user data are the challenge's as well.
    pub version: u32,
    /// The virtual TPM's quote; its signature is RSASSA's alone.
    pub quote: TpmQuote,
    /// The paravisor's report.
    pub hcl_report: Vec<u8>,
    /// What proves it.
    pub hardware: AzureHardware,
}

/// What proves the paravisor's report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AzureHardware {
    /// The SEV-SNP report is in it, and this is the chip's certificate in DER.
    Snp {
        /// The VCEK.
        vcek: Vec<u8>,
    },
    /// A TDREPORT is in it, and this is the quote over the same data.
    Tdx {
        /// The quote.
        quote: Vec<u8>,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SnpForm<'a> {
    version: u32,
    #[serde(borrow)]
    tpm_quote: QuoteForm<'a>,
    #[serde(borrow)]
    hcl_report: Cow<'a, str>,
    #[serde(borrow)]
    vcek: Cow<'a, str>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TdxForm<'a> {
    version: u32,
    #[serde(borrow)]
    tpm_quote: QuoteForm<'a>,
    #[serde(borrow)]
    hcl_report: Cow<'a, str>,
    #[serde(borrow)]
    td_quote: Cow<'a, str>,
}

impl AzureAllegation {
    /// The TEE whose evidence it alleges to be.
    #[must_use]
    pub const fn tee(&self) -> Tee {
        match self.hardware {
            AzureHardware::Snp { .. } => Tee::AzSnpVtpm,
            AzureHardware::Tdx { .. } => Tee::AzTdxVtpm,
        }
    }

    /// The KBS form, as `primary_evidence`.
    #[must_use]
    pub fn to_kbs_form(&self) -> String {
        let (member, bytes) = match &self.hardware {
            AzureHardware::Snp { vcek } => ("vcek", vcek),
            AzureHardware::Tdx { quote } => ("td_quote", quote),
        };
        let mut form = json!({
            "version": self.version,
            "tpm_quote": self.quote.to_form(),
            "hcl_report": Base64Url::encode_string(&self.hcl_report),
        });
        if let Value::Object(form) = &mut form {
            form.insert(member.to_owned(), Base64Url::encode_string(bytes).into());
        }
        form.to_string()
    }
}

pub(super) fn read_snp(primary: &str, budget: &mut Budget) -> Result<AzureAllegation, Refusal> {
    let form: SnpForm<'_> = serde_json::from_str(primary).map_err(Refusal::Malformed)?;
    Ok(AzureAllegation {
        version: known_version(form.version)?,
        quote: TpmQuote::read(&form.tpm_quote, budget)?,
        hcl_report: base64url("hcl_report", &form.hcl_report, MAX_HCL_LEN, budget)?,
        hardware: AzureHardware::Snp {
            vcek: base64url("vcek", &form.vcek, MAX_VCEK_LEN, budget)?,
        },
    })
}

pub(super) fn read_tdx(primary: &str, budget: &mut Budget) -> Result<AzureAllegation, Refusal> {
    let form: TdxForm<'_> = serde_json::from_str(primary).map_err(Refusal::Malformed)?;
    let max = super::tdx_quote::MAX_QUOTE_LEN;
    Ok(AzureAllegation {
        version: known_version(form.version)?,
        quote: TpmQuote::read(&form.tpm_quote, budget)?,
        hcl_report: base64url("hcl_report", &form.hcl_report, MAX_HCL_LEN, budget)?,
        hardware: AzureHardware::Tdx {
            quote: base64url("td_quote", &form.td_quote, max, budget)?,
        },
    })
}

fn known_version(version: u32) -> Result<u32, Refusal> {
    if (1..=2).contains(&version) {
        Ok(version)
    } else {
        Err(Refusal::FieldMalformed {
            field: "version",
            fault: "is neither 1 nor 2",
        })
    }
}

/// What the paravisor says about itself, in the words of its JSON. The hardware's report binds it;
/// members that have no meaning here may be there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HclRuntime {
    /// The public half of the virtual TPM's attestation key: modulus and exponent, big-endian.
    pub attestation_key: (Vec<u8>, Vec<u8>),
    /// What the guest last wrote into NV index 0x01400002.
    pub user_data: Option<Vec<u8>>,
    /// Whether the guest's firmware verifies what it boots.
    pub secure_boot: Option<bool>,
    /// Whether the host has a console into the guest.
    pub console_enabled: Option<bool>,
    /// Azure's name for the VM.
    pub vm_unique_id: Option<String>,
}

/// Why bytes are no runtime data.
#[derive(Debug, Error)]
pub enum HclRuntimeMalformed {
    /// Not JSON of the form.
    #[error("the paravisor's runtime data are not of their form")]
    Form(#[source] serde_json::Error),
    /// Not text.
    #[error("the paravisor's runtime data are not UTF-8")]
    Utf8,
    /// No key, or two, are the attestation key.
    #[error("{0} keys of the paravisor's runtime data are named {AK}, not one")]
    KeyCount(usize),
    /// It is no RSA key of at most 4096 bits.
    #[error("the attestation key in the paravisor's runtime data is not an RSA key")]
    Key,
    /// Not hexadecimal.
    #[error("user-data in the paravisor's runtime data are not 64 bytes in hexadecimal")]
    UserData,
    /// The budget is spent.
    #[error(transparent)]
    OverBudget(#[from] BudgetExceeded),
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct RuntimeForm {
    keys: Vec<KeyForm>,
    #[serde(default)]
    vm_configuration: VmForm,
    user_data: Option<String>,
}

#[derive(Deserialize)]
struct KeyForm {
    kid: String,
    kty: String,
    n: Option<String>,
    e: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "kebab-case")]
struct VmForm {
    secure_boot: Option<bool>,
    console_enabled: Option<bool>,
    #[serde(rename = "vmUniqueId")]
    vm_unique_id: Option<String>,
}

impl HclRuntime {
    /// Reads the JSON.
    ///
    /// # Errors
    ///
    /// [`HclRuntimeMalformed`].
    pub fn parse(json: &[u8], budget: &mut Budget) -> Result<Self, HclRuntimeMalformed> {
        let json = std::str::from_utf8(json).map_err(|_| HclRuntimeMalformed::Utf8)?;
        budget.spend_json(json)?;
        let form: RuntimeForm = serde_json::from_str(json).map_err(HclRuntimeMalformed::Form)?;
        let mut named = form.keys.iter().filter(|key| key.kid == AK);
        let (Some(key), 0) = (named.next(), named.count()) else {
            let count = form.keys.iter().filter(|key| key.kid == AK).count();
            return Err(HclRuntimeMalformed::KeyCount(count));
        };
        Ok(Self {
            attestation_key: key.rsa().ok_or(HclRuntimeMalformed::Key)?,
            user_data: form.user_data.as_deref().map(user_data).transpose()?,
            secure_boot: form.vm_configuration.secure_boot,
            console_enabled: form.vm_configuration.console_enabled,
            vm_unique_id: form.vm_configuration.vm_unique_id,
        })
    }
}

impl KeyForm {
    fn rsa(&self) -> Option<(Vec<u8>, Vec<u8>)> {
        let number = |text: &Option<String>, max: usize| {
            let number = Base64UrlUnpadded::decode_vec(text.as_deref()?).ok()?;
            (1..=max).contains(&number.len()).then_some(number)
        };
        if self.kty != "RSA" {
            return None;
        }
        Some((number(&self.n, MAX_MODULUS_LEN)?, number(&self.e, 8)?))
    }
}

fn user_data(text: &str) -> Result<Vec<u8>, HclRuntimeMalformed> {
    let decoded = base16ct::mixed::decode_vec(text).ok();
    let decoded = decoded.filter(|bytes| bytes.len() == 64);
    decoded.ok_or(HclRuntimeMalformed::UserData)
}

#[cfg(test)]
mod tests;
