//! The report of Azure's paravisor (HCL), split where the next steps need it:
//!
//! ```text
//!  0x000  "HCLA", version, length of all, request type, 16 bytes
//!  0x020  report of the hardware, in a slot of 1184 bytes: SEV-SNP's, or a TDREPORT
//!  0x4c0  length of the rest, version 1, type of the report (2 SNP, 4 TDX), hash (1 SHA-256)
//!  0x4d0  length, and the runtime data: JSON, whose hash the hardware's report has as its data
//! ```
//!
//! Numbers are little-endian. What is asked here is only whether it is whole and says what it was asked
//! to say: the verifier is who judges it.

use base64ct::{Base64UrlUnpadded, Encoding};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use thiserror::Error;

const MAGIC: &[u8] = b"HCLA";
const SLOT_AT: usize = 0x20;
const SLOT_LEN: usize = 1184;
const KIND_AT: usize = 0x4c8;
const RUNTIME_LEN_AT: usize = 0x4d0;
const RUNTIME_AT: usize = 0x4d4;
const TDREPORT_LEN: usize = 1024;
/// The attestation key among those of the runtime data.
const AK: &str = "HCLAkPub";

/// Which hardware reported, as the paravisor numbers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hardware {
    Snp,
    Tdx,
}

/// Why a report is not passed on.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(super) enum HclError {
    #[error("it is no report of a paravisor: it does not begin with HCLA")]
    Magic,
    #[error("the paravisor's report ends within itself")]
    Short,
    #[error("the paravisor reports of hardware of type {0}: 2 (SEV-SNP) and 4 (TDX) are known")]
    Hardware(u32),
    #[error("the hardware's report does not bind the paravisor's runtime data")]
    Unbound,
    #[error("the paravisor's runtime data are not of their form: {0}")]
    Runtime(String),
    #[error("the paravisor's runtime data name no key {AK}, or more than one")]
    Key,
}

/// One report, whole and bound.
#[derive(Debug)]
pub(super) struct Hcl<'a> {
    pub(super) hardware: Hardware,
    /// 1184 bytes of SEV-SNP, 1024 of TDX.
    pub(super) report: &'a [u8],
    /// As the hardware's report has it.
    pub(super) report_data: &'a [u8; 64],
    /// What was last written for it to say, in hexadecimal.
    pub(super) user_data: String,
    /// Of the attestation key, big-endian.
    pub(super) modulus: Vec<u8>,
}

#[derive(Deserialize)]
struct RuntimeForm {
    keys: Vec<KeyForm>,
    #[serde(rename = "user-data", default)]
    user_data: String,
}

#[derive(Deserialize)]
struct KeyForm {
    kid: String,
    #[serde(default)]
    n: String,
}

impl<'a> Hcl<'a> {
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, HclError> {
        if !bytes.starts_with(MAGIC) {
            return Err(HclError::Magic);
        }
        let slot = part(bytes, SLOT_AT, SLOT_LEN)?;
        let (hardware, report, data_at) = match number(bytes, KIND_AT)? {
            // AMD 56860, table 23.
            2 => (Hardware::Snp, slot, 0x50),
            // REPORTMACSTRUCT.REPORTDATA (Intel TDX module ABI).
            4 => (Hardware::Tdx, part(slot, 0, TDREPORT_LEN)?, 128),
            other => return Err(HclError::Hardware(other)),
        };
        let report_data = part(report, data_at, 64)?.first_chunk();
        let report_data = report_data.ok_or(HclError::Short)?;
        let len = usize::try_from(number(bytes, RUNTIME_LEN_AT)?).map_err(|_| HclError::Short)?;
        let runtime = part(bytes, RUNTIME_AT, len)?;
        let (hash, rest) = report_data.split_at(32);
        if Sha256::digest(runtime).as_slice() != hash || rest.iter().any(|byte| *byte != 0) {
            return Err(HclError::Unbound);
        }
        let form: RuntimeForm = serde_json::from_slice(runtime)
            .map_err(|error| HclError::Runtime(error.to_string()))?;
        let mut named = form.keys.iter().filter(|key| key.kid == AK);
        let (Some(key), None) = (named.next(), named.next()) else {
            return Err(HclError::Key);
        };
        let modulus = Base64UrlUnpadded::decode_vec(&key.n).map_err(|_| HclError::Key)?;
        Ok(Self {
            hardware,
            report,
            report_data,
            user_data: form.user_data,
            modulus,
        })
    }

    /// Whether it says just these.
    pub(super) fn says(&self, user_data: &[u8; 64]) -> bool {
        let wanted = crate::tpm::hexadecimal(user_data);
        self.user_data.eq_ignore_ascii_case(&wanted)
    }
}

fn part(bytes: &[u8], at: usize, len: usize) -> Result<&[u8], HclError> {
    let end = at.checked_add(len).ok_or(HclError::Short)?;
    bytes.get(at..end).ok_or(HclError::Short)
}

fn number(bytes: &[u8], at: usize) -> Result<u32, HclError> {
    let word = part(bytes, at, 4)?.first_chunk().ok_or(HclError::Short)?;
    Ok(u32::from_le_bytes(*word))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    const KEYS: &str = r#"{"keys":[{"kid":"HCLAkPub","kty":"RSA","n":"AQID"}]"#;

    /// A report with these runtime data, which the hardware's has as its own.
    pub(in crate::az) fn made(kind: u32, runtime: &str) -> Vec<u8> {
        let len = u32::try_from(runtime.len()).unwrap();
        let mut report = vec![0; RUNTIME_AT];
        report[..4].copy_from_slice(MAGIC);
        let data_at = SLOT_AT + if kind == 4 { 128 } else { 0x50 };
        report[data_at..data_at + 32].copy_from_slice(&Sha256::digest(runtime));
        for (at, word) in [(0x4c0, len + 20), (0x4c4, 1), (KIND_AT, kind), (0x4d0, len)] {
            report[at..at + 4].copy_from_slice(&word.to_le_bytes());
        }
        report.extend(runtime.as_bytes());
        report.resize(report.len() + 50, 0);
        report
    }

    #[test]
    fn a_report_of_either_hardware_is_split() {
        let said = format!("{KEYS},\"user-data\":\"{}\"}}", "0A".repeat(64));
        for (kind, hardware, len) in [(2, Hardware::Snp, 1184), (4, Hardware::Tdx, 1024)] {
            let bytes = made(kind, &said);
            let hcl = Hcl::parse(&bytes).unwrap();
            assert_eq!((hcl.hardware, hcl.report.len()), (hardware, len));
            assert_eq!(hcl.modulus, [1, 2, 3]);
            assert_eq!(hcl.report_data[..32], *Sha256::digest(&said));
            assert!(hcl.says(&[10; 64]) && !hcl.says(&[11; 64]));
        }
    }

    #[test]
    fn what_is_not_whole_or_not_bound_is_named() {
        let good = made(2, &format!("{KEYS}}}"));
        assert!(Hcl::parse(&good).is_ok());
        for len in 0..good.len() - 50 {
            assert!(Hcl::parse(&good[..len]).is_err(), "{len}");
        }
        let spoiled = |at: usize| {
            let mut bytes = good.clone();
            bytes[at] ^= 0x80;
            Hcl::parse(&bytes).err()
        };
        assert_eq!(spoiled(0), Some(HclError::Magic));
        assert_eq!(spoiled(KIND_AT), Some(HclError::Hardware(0x82)));
        assert_eq!(spoiled(RUNTIME_AT + 9), Some(HclError::Unbound));
        assert_eq!(spoiled(SLOT_AT + 0x50), Some(HclError::Unbound));
        assert_eq!(spoiled(SLOT_AT + 0x8f), Some(HclError::Unbound));
        assert_eq!(spoiled(RUNTIME_LEN_AT + 3), Some(HclError::Short));
        let told = |runtime: &str| Hcl::parse(&made(2, runtime)).err();
        assert!(matches!(told("[]"), Some(HclError::Runtime(_))));
        assert_eq!(told(r#"{"keys":[]}"#), Some(HclError::Key));
        let twice = r#"{"keys":[{"kid":"HCLAkPub","n":""},{"kid":"HCLAkPub","n":""}]}"#;
        assert_eq!(told(twice), Some(HclError::Key));
        assert_eq!(
            told(r#"{"keys":[{"kid":"HCLAkPub","n":"+"}]}"#),
            Some(HclError::Key)
        );
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(at in 0..1400usize, value: u8, text in ".{0,40}") {
            let mut bytes = made(2, &text);
            if let Some(byte) = bytes.get_mut(at) {
                *byte = value;
            }
            let _ = Hcl::parse(&bytes);
            let _ = Hcl::parse(text.as_bytes());
        }
    }

    /// The files are not ours to publish: they lie where `NITRIDE_VECTORS` says.
    #[test]
    fn real_reports_are_split() {
        let Some(folder) = std::env::var_os("NITRIDE_VECTORS") else {
            eprintln!("skipped: NITRIDE_VECTORS is not set");
            return;
        };
        let folder = std::path::Path::new(&folder).join("azure/kinvolk");
        for (name, hardware) in [("snp", Hardware::Snp), ("tdx", Hardware::Tdx)] {
            let path = folder.join(format!("hcl-report-{name}.bin"));
            let bytes = std::fs::read(path).unwrap();
            let hcl = Hcl::parse(&bytes).unwrap();
            assert_eq!(hcl.hardware, hardware);
            assert_eq!(hcl.modulus.len(), 256);
        }
    }
}
