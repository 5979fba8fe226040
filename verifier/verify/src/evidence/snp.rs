//! SEV-SNP evidence: a report and the certificates that came with it.
//!
//! The KBS form is not the report but what one library reads out of it, member by member. The
//! bytes are put together again from it; what the form cannot express (reserved fields that are
//! not zero) does not survive, and the signature tells.

use super::certificate_table::Certificates;
use super::snp_product::{SnpProduct, Tcb, Tcbs};
use super::snp_report::{FirmwareVersion, RawTcb, SNP_REPORT_LEN, SnpReport};
use crate::authenticity::Refusal;
use crate::budget::Budget;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

/// What SEV-SNP evidence says: raw bytes of the platform.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SnpAllegation {
    /// The report.
    pub report: Vec<u8>,
    /// The certificates that came with it; what is missing is looked for in the collateral.
    pub certificates: Certificates,
}

/// A field of exactly `N` bytes, which JSON carries as a list of numbers.
#[derive(Serialize)]
#[serde(transparent)]
struct Bytes<const N: usize>(#[serde(serialize_with = "as_list")] [u8; N]);

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct EvidenceForm {
    attestation_report: ReportForm,
    /// The member has to be there, if only as `null`.
    #[serde(deserialize_with = "Option::deserialize")]
    cert_chain: Option<Vec<CertificateForm>>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct CertificateForm {
    cert_type: CertificateType,
    #[serde(deserialize_with = "byte_list")]
    data: Vec<u8>,
}

#[derive(Serialize, Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "UPPERCASE")]
enum CertificateType {
    Vcek,
    Vlek,
    Ask,
    Ark,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ReportForm {
    version: u32,
    guest_svn: u32,
    policy: u64,
    family_id: Bytes<16>,
    image_id: Bytes<16>,
    vmpl: u32,
    sig_algo: u32,
    current_tcb: TcbForm,
    plat_info: u64,
    key_info: u32,
    report_data: Bytes<64>,
    measurement: Bytes<48>,
    host_data: Bytes<32>,
    id_key_digest: Bytes<48>,
    author_key_digest: Bytes<48>,
    report_id: Bytes<32>,
    report_id_ma: Bytes<32>,
    reported_tcb: TcbForm,
    #[serde(default)]
    cpuid_fam_id: Option<u8>,
    #[serde(default)]
    cpuid_mod_id: Option<u8>,
    #[serde(default)]
    cpuid_step: Option<u8>,
    chip_id: Bytes<64>,
    committed_tcb: TcbForm,
    current: FirmwareForm,
    committed: FirmwareForm,
    launch_tcb: TcbForm,
    #[serde(default)]
    launch_mit_vector: Option<u64>,
    #[serde(default)]
    current_mit_vector: Option<u64>,
    signature: SignatureForm,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TcbForm {
    #[serde(default)]
    fmc: Option<u8>,
    bootloader: u8,
    tee: u8,
    snp: u8,
    microcode: u8,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FirmwareForm {
    major: u8,
    minor: u8,
    build: u8,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SignatureForm {
    r: Bytes<72>,
    s: Bytes<72>,
}

impl SnpAllegation {
    /// The KBS form, as `primary_evidence`; `None` for what it cannot express: bytes that are no
    /// report, or one whose version numbers fit no product.
    #[must_use]
    pub fn to_kbs_form(&self) -> Option<String> {
        let report = SnpReport::parse(&self.report).ok()?;
        let certificates = &self.certificates;
        let mut chain = Vec::new();
        for (cert_type, data) in [
            (CertificateType::Vcek, &certificates.vcek),
            (CertificateType::Vlek, &certificates.vlek),
            (CertificateType::Ask, &certificates.ask),
            (CertificateType::Ark, &certificates.ark),
        ] {
            if let Some(data) = data.clone() {
                chain.push(CertificateForm { cert_type, data });
            }
        }
        let form = EvidenceForm {
            attestation_report: ReportForm::of(&report)?,
            cert_chain: (!chain.is_empty()).then_some(chain),
        };
        serde_json::to_string(&form).ok()
    }
}

/// Reads the JSON form, whose own cost is paid.
pub(super) fn read(primary: &str, budget: &mut Budget) -> Result<SnpAllegation, Refusal> {
    let form: EvidenceForm = serde_json::from_str(primary).map_err(Refusal::Malformed)?;
    let mut certificates = Certificates::default();
    for CertificateForm { cert_type, data } in form.cert_chain.unwrap_or_default() {
        budget.spend_bytes(data.len())?;
        let place = match cert_type {
            CertificateType::Vcek => &mut certificates.vcek,
            CertificateType::Vlek => &mut certificates.vlek,
            CertificateType::Ask => &mut certificates.ask,
            CertificateType::Ark => &mut certificates.ark,
        };
        if place.replace(data).is_some() {
            return Err(Refusal::FieldMalformed {
                field: "cert_chain",
                fault: "has one kind of certificate twice",
            });
        }
    }
    Ok(SnpAllegation {
        report: form.attestation_report.to_bytes(),
        certificates,
    })
}

impl ReportForm {
    fn of(report: &SnpReport) -> Option<Self> {
        let [family, model, stepping] = report.cpuid;
        let from_version_3 = |value| (report.version >= 3).then_some(value);
        let from_version_5 = |value| report.has_mitigations().then_some(value);
        let tcbs = tcbs_of(report)?;
        Some(Self {
            version: report.version,
            guest_svn: report.guest_svn,
            policy: report.policy.0,
            family_id: Bytes(report.family_id),
            image_id: Bytes(report.image_id),
            vmpl: report.vmpl,
            sig_algo: report.signature_algorithm,
            current_tcb: TcbForm::of(&tcbs.current),
            plat_info: report.platform_info,
            key_info: report.key_info,
            report_data: Bytes(report.report_data),
            measurement: Bytes(report.measurement),
            host_data: Bytes(report.host_data),
            id_key_digest: Bytes(report.id_key_digest),
            author_key_digest: Bytes(report.author_key_digest),
            report_id: Bytes(report.report_id),
            report_id_ma: Bytes(report.report_id_ma),
            reported_tcb: TcbForm::of(&tcbs.reported),
            cpuid_fam_id: from_version_3(family),
            cpuid_mod_id: from_version_3(model),
            cpuid_step: from_version_3(stepping),
            chip_id: Bytes(report.chip_id),
            committed_tcb: TcbForm::of(&tcbs.committed),
            current: FirmwareForm::of(report.current_firmware),
            committed: FirmwareForm::of(report.committed_firmware),
            launch_tcb: TcbForm::of(&tcbs.launch),
            launch_mit_vector: from_version_5(report.launch_mitigations),
            current_mit_vector: from_version_5(report.current_mitigations),
            signature: SignatureForm {
                r: Bytes(*report.signature().first_chunk()?),
                s: Bytes(*report.signature().get(72..)?.first_chunk()?),
            },
        })
    }

    /// The report's bytes (AMD 56860, table 23), reserved fields zero.
    fn to_bytes(&self) -> Vec<u8> {
        let mut raw = Vec::with_capacity(SNP_REPORT_LEN);
        raw.extend(self.version.to_le_bytes());
        raw.extend(self.guest_svn.to_le_bytes());
        raw.extend(self.policy.to_le_bytes());
        raw.extend(self.family_id.0);
        raw.extend(self.image_id.0);
        raw.extend(self.vmpl.to_le_bytes());
        raw.extend(self.sig_algo.to_le_bytes());
        raw.extend(self.current_tcb.to_raw().0);
        raw.extend(self.plat_info.to_le_bytes());
        raw.extend(self.key_info.to_le_bytes());
        raw.extend([0; 4]);
        raw.extend(self.report_data.0);
        raw.extend(self.measurement.0);
        raw.extend(self.host_data.0);
        raw.extend(self.id_key_digest.0);
        raw.extend(self.author_key_digest.0);
        raw.extend(self.report_id.0);
        raw.extend(self.report_id_ma.0);
        raw.extend(self.reported_tcb.to_raw().0);
        for part in [self.cpuid_fam_id, self.cpuid_mod_id, self.cpuid_step] {
            raw.push(part.unwrap_or(0));
        }
        raw.extend([0; 21]);
        raw.extend(self.chip_id.0);
        raw.extend(self.committed_tcb.to_raw().0);
        raw.extend(self.current.to_raw());
        raw.extend(self.committed.to_raw());
        raw.extend(self.launch_tcb.to_raw().0);
        raw.extend(self.launch_mit_vector.unwrap_or(0).to_le_bytes());
        raw.extend(self.current_mit_vector.unwrap_or(0).to_le_bytes());
        raw.extend([0; 152]);
        raw.extend(self.signature.r.0);
        raw.extend(self.signature.s.0);
        raw.resize(SNP_REPORT_LEN, 0);
        raw
    }
}

/// The form wants components, and a report of version 2 does not say what its bytes mean: Turin
/// has the component more, and a chip id that is mostly zero.
fn tcbs_of(report: &SnpReport) -> Option<Tcbs> {
    let product = if report.version >= 3 {
        let [family, model, _] = report.cpuid;
        SnpProduct::of_cpuid(family, model)?
    } else if report.chip_id != [0; 64] && report.chip_id.iter().skip(8).all(|byte| *byte == 0) {
        // A chip id that is masked is zero on every product, and tells none of them.
        SnpProduct::Turin
    } else {
        SnpProduct::Milan
    };
    Tcbs::read(report, product)
}

impl TcbForm {
    fn of(tcb: &Tcb) -> Self {
        Self {
            fmc: tcb.fmc,
            bootloader: tcb.bootloader,
            tee: tcb.tee,
            snp: tcb.snp,
            microcode: tcb.microcode,
        }
    }

    fn to_raw(&self) -> RawTcb {
        let (bootloader, tee, snp) = (self.bootloader, self.tee, self.snp);
        RawTcb(match self.fmc {
            Some(fmc) => [fmc, bootloader, tee, snp, 0, 0, 0, self.microcode],
            None => [bootloader, tee, 0, 0, 0, 0, snp, self.microcode],
        })
    }
}

impl FirmwareForm {
    fn of(version: FirmwareVersion) -> Self {
        Self {
            major: version.major,
            minor: version.minor,
            build: version.build,
        }
    }

    fn to_raw(&self) -> [u8; 4] {
        [self.build, self.minor, self.major, 0]
    }
}

impl<'de, const N: usize> Deserialize<'de> for Bytes<N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let list = byte_list(deserializer)?;
        let len = list.len();
        let bytes: Result<[u8; N], _> = list.try_into();
        bytes
            .map(Self)
            .map_err(|_| D::Error::custom(format!("{len} bytes where {N} belong")))
    }
}

/// Most of this form is lists of numbers, which serde_json reads number by number at twice the cost.
fn byte_list<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    let json = <&RawValue>::deserialize(deserializer)?;
    bytes_of(json).ok_or_else(|| D::Error::custom("no list of numbers from 0 to 255"))
}

/// The bytes of a list, which is known to be JSON: what stands between two commas is one value.
fn bytes_of(json: &RawValue) -> Option<Vec<u8>> {
    let list = json.get().strip_prefix('[')?.strip_suffix(']')?;
    let list = list.as_bytes().trim_ascii();
    if list.is_empty() {
        return Some(Vec::new());
    }
    // A byte takes a digit and a comma at the least.
    let mut bytes = Vec::with_capacity(list.len() / 2 + 1);
    for number in list.split(|byte| *byte == b',') {
        bytes.push(byte_of(number.trim_ascii())?);
    }
    Some(bytes)
}

/// A number from 0 to 255, in digits alone.
fn byte_of(digits: &[u8]) -> Option<u8> {
    if digits.is_empty() || digits.len() > 3 {
        return None;
    }
    let mut number = 0_u16;
    for digit in digits {
        let digit = digit.is_ascii_digit().then(|| digit - b'0')?;
        number = number * 10 + u16::from(digit);
    }
    number.try_into().ok()
}

fn as_list<S: serde::Serializer, const N: usize>(
    bytes: &[u8; N],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ours(json: &str) -> Option<Vec<u8>> {
        byte_list(&mut serde_json::Deserializer::from_str(json)).ok()
    }

    #[test]
    fn lists_of_numbers_are_read_as_serde_reads_them() {
        for json in [
            "[]",
            " [ ] ",
            "[0]",
            "[255]",
            "[256]",
            "[2560]",
            "[-1]",
            "[-0]",
            "[1.0]",
            "[1e1]",
            "[01]",
            "[1,]",
            "[,1]",
            "[1 2]",
            "[1,\n\t2\r, 3]",
            "[[1]]",
            "[\"1\"]",
            "[null]",
            "{}",
            "\"[1]\"",
            "1",
            "null",
        ] {
            assert_eq!(ours(json), serde_json::from_str(json).ok(), "{json}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_as_serde_reads_it(json in "\\[([0-9 ]{0,4}[,.e\\[\\]\" -]?){0,8}\\]") {
            // Of a text with more behind the list, the list alone is read here.
            let whole = serde_json::from_str::<&RawValue>(&json).is_ok();
            prop_assert_eq!(ours(&json).filter(|_| whole), serde_json::from_str(&json).ok());
        }

        #[test]
        fn bytes_come_back(bytes: Vec<u8>) {
            let json = serde_json::to_string(&bytes).unwrap();
            prop_assert_eq!(ours(&json), Some(bytes));
        }
    }
}
