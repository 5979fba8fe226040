//! `nvidia` evidence: reports of further devices, and the chain of each one's key. They come beside
//! the evidence of a confidential VM, as `additional_evidence`:
//!
//! ```text
//! {"nvidia":{"device_evidence_list":[{"arch":"HOPPER","evidence":"…","certificate":"…"}]}}
//! ```
//!
//! `evidence` is the report in base64 (older guests: in hexadecimal), `certificate` the chain in PEM,
//! in base64. `arch` and `uuid` are the guest's word: nothing signs them, and nothing here rests on
//! them.

use super::field::{base64, hexadecimal};
use super::spdm::MAX_SPDM_LEN;
use crate::authenticity::Refusal;
use crate::budget::Budget;
use base64ct::{Base64, Encoding};
use serde::Deserialize;
use serde_json::json;
use std::borrow::Cow;

/// Eight GPUs and four switches are the most that one machine has.
pub const MAX_DEVICES: usize = 16;
/// Five certificates in PEM.
const MAX_CHAIN_LEN: usize = 32 * 1024;
/// A word of the guest's that is not looked at.
const MAX_WORD_LEN: usize = 128;

/// What evidence of one device consists of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GpuAllegation {
    /// The SPDM request and its answer.
    pub report: Vec<u8>,
    /// The chain of the key that signs, in PEM, the device's certificate first.
    pub chain: Vec<u8>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AdditionalForm<'a> {
    #[serde(borrow)]
    nvidia: NvidiaForm<'a>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NvidiaForm<'a> {
    #[serde(borrow)]
    device_evidence_list: Vec<DeviceForm<'a>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DeviceForm<'a> {
    #[serde(borrow)]
    arch: Cow<'a, str>,
    #[serde(borrow)]
    uuid: Option<Cow<'a, str>>,
    #[serde(borrow)]
    evidence: Cow<'a, str>,
    #[serde(borrow)]
    certificate: Cow<'a, str>,
}

impl GpuAllegation {
    /// The KBS form of several, as `additional_evidence`, each with the architecture that its guest
    /// states.
    #[must_use]
    pub fn to_kbs_form(devices: &[(&str, Self)]) -> String {
        let list: Vec<_> = devices
            .iter()
            .map(|(arch, device)| {
                json!({
                    "arch": arch,
                    "evidence": Base64::encode_string(&device.report),
                    "certificate": Base64::encode_string(&device.chain),
                })
            })
            .collect();
        json!({ "nvidia": { "device_evidence_list": list } }).to_string()
    }
}

/// Reads the devices of `additional_evidence`. The text is not paid for yet.
pub(crate) fn read(additional: &str, budget: &mut Budget) -> Result<Vec<GpuAllegation>, Refusal> {
    budget.spend_json(additional)?;
    let form: AdditionalForm<'_> = serde_json::from_str(additional).map_err(Refusal::Malformed)?;
    let list = form.nvidia.device_evidence_list;
    if list.is_empty() || list.len() > MAX_DEVICES {
        return Err(Refusal::FieldMalformed {
            field: "device_evidence_list",
            fault: "has not 1 to 16 devices",
        });
    }
    list.iter().map(|device| device.read(budget)).collect()
}

impl DeviceForm<'_> {
    fn read(&self, budget: &mut Budget) -> Result<GpuAllegation, Refusal> {
        let uuid = self.uuid.as_deref().unwrap_or_default();
        if self.arch.len() > MAX_WORD_LEN || uuid.len() > MAX_WORD_LEN {
            return Err(Refusal::FieldMalformed {
                field: "arch or uuid",
                fault: "is longer than any",
            });
        }
        Ok(GpuAllegation {
            report: report(&self.evidence, budget)?,
            chain: base64("certificate", &self.certificate, MAX_CHAIN_LEN, budget)?,
        })
    }
}

/// A report begins with 11 e0 01 ff. In base64 that is `EeAB/`, which is no hexadecimal, so that a
/// text is one or the other.
fn report(text: &str, budget: &mut Budget) -> Result<Vec<u8>, Refusal> {
    let is_hexadecimal = text.bytes().all(|digit| digit.is_ascii_hexdigit());
    if !is_hexadecimal {
        return base64("evidence", text, MAX_SPDM_LEN, budget);
    }
    hexadecimal("evidence", text, MAX_SPDM_LEN, budget)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device() -> GpuAllegation {
        GpuAllegation {
            report: vec![0x11, 0xe0, 1, 0xff, 7],
            chain: b"chain".to_vec(),
        }
    }

    fn read_whole(text: &str) -> Result<Vec<GpuAllegation>, Refusal> {
        read(text, &mut Budget::for_one_round())
    }

    #[test]
    fn the_kbs_form_is_read_as_it_was() {
        let text = GpuAllegation::to_kbs_form(&[("HOPPER", device()), ("LS10", device())]);
        assert_eq!(read_whole(&text).unwrap(), [device(), device()]);
        let hexadecimal = text.replace("EeAB/wc=", "11E001ff07");
        assert_ne!(hexadecimal, text);
        assert_eq!(read_whole(&hexadecimal).unwrap(), [device(), device()]);
        let named = text.replace("\"arch\"", "\"uuid\":\"GPU-1\",\"arch\"");
        assert_eq!(read_whole(&named).unwrap(), [device(), device()]);
    }

    #[test]
    fn no_other_form_is_read() {
        let good = GpuAllegation::to_kbs_form(&[("HOPPER", device())]);
        let all = vec![("HOPPER", device()); MAX_DEVICES + 1];
        for bad in [
            GpuAllegation::to_kbs_form(&all),
            GpuAllegation::to_kbs_form(&[]),
            good.replace("nvidia", "sampledevice"),
            good.replace("{\"nvidia\"", "{\"x\":1,\"nvidia\""),
            good.replace("\"arch\"", "\"arch\":\"a\",\"arch\""),
            good.replace("\"arch\"", "\"nonce\""),
            good.replace("EeAB/wc=", "EeAB/wc"),
            good.replace("EeAB/wc=", "11e001ff0"),
            good.replace("HOPPER", &"H".repeat(129)),
            good.replace("EeAB/wc=", &"/".repeat(MAX_SPDM_LEN * 2)),
            good.replace("EeAB/wc=", &"0".repeat(MAX_SPDM_LEN * 2 + 2)),
            "{}".to_owned(),
            String::new(),
        ] {
            assert!(read_whole(&bad).is_err(), "{bad}");
        }
    }
}
