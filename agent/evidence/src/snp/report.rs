//! The attestation report (AMD 56860, table 23) in the KBS protocol's form.
//!
//! That form is the report's fields by name, and the verifier makes the signed bytes again from
//! them. It has no place for what the table calls reserved, so a report with a bit set there is
//! refused here: its signature would fail there, and nobody would know why.

use crate::device::REPORT_LEN;
use crate::snp::certificates::Certificate;
use serde::Serialize;
use std::ops::Range;
use thiserror::Error;

/// Versions whose reserved fields are known here.
const VERSIONS: std::ops::RangeInclusive<u32> = 2..=5;
/// CPUID family from which on the TCB has an FMC, in another order (Turin).
const FAMILY_WITH_FMC: u8 = 0x1a;

/// Why a report is not passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(crate) enum ReportError {
    #[error("the report has {0} bytes instead of {REPORT_LEN}")]
    Length(usize),
    #[error("the report is of version {0}: {first} to {last} are known", first = VERSIONS.start(), last = VERSIONS.end())]
    Version(u32),
    #[error("the report has bits set at {at:#x} that its version {version} reserves")]
    Reserved { version: u32, at: usize },
}

/// A report and the fields that it has by its version and chip.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Report<'a> {
    bytes: &'a [u8; REPORT_LEN],
    version: u32,
    has_fmc: bool,
}

impl<'a> Report<'a> {
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self, ReportError> {
        let bytes: &[u8; REPORT_LEN] = bytes
            .try_into()
            .map_err(|_| ReportError::Length(bytes.len()))?;
        let version = u32::from_le_bytes(array(bytes, 0));
        if !VERSIONS.contains(&version) {
            return Err(ReportError::Version(version));
        }
        // Version 2 does not tell the chip: of those that have reports, only Turin's chip id is
        // shorter than its field.
        let has_fmc = match version {
            2 => array(bytes, 0x1a0) != [0; 8] && array(bytes, 0x1a8) == [0; 56],
            _ => array(bytes, 0x188) >= [FAMILY_WITH_FMC],
        };
        let report = Self {
            bytes,
            version,
            has_fmc,
        };
        let is_set = |at: &usize| bytes.get(*at).is_some_and(|byte| *byte != 0);
        match report.reserved().into_iter().flatten().find(is_set) {
            Some(at) => Err(ReportError::Reserved { version, at }),
            None => Ok(report),
        }
    }

    /// What the report was asked to cover.
    pub(crate) fn report_data(&self) -> [u8; 64] {
        array(self.bytes, 0x50)
    }

    /// For which VMPL.
    pub(crate) fn vmpl(&self) -> u32 {
        self.u32_at(0x30)
    }

    /// The KBS protocol's form: what the `sev` crate's structure is as JSON.
    pub(crate) fn form(&self) -> ReportForm<'a> {
        let has_cpuid = self.version >= 3;
        let has_vectors = self.version >= 5;
        ReportForm {
            version: self.version,
            guest_svn: self.u32_at(0x04),
            policy: self.u64_at(0x08),
            family_id: self.field(0x10..0x20),
            image_id: self.field(0x20..0x30),
            vmpl: self.vmpl(),
            sig_algo: self.u32_at(0x34),
            current_tcb: self.tcb(0x38),
            plat_info: self.u64_at(0x40),
            key_info: self.u32_at(0x48),
            report_data: self.field(0x50..0x90),
            measurement: self.field(0x90..0xc0),
            host_data: self.field(0xc0..0xe0),
            id_key_digest: self.field(0xe0..0x110),
            author_key_digest: self.field(0x110..0x140),
            report_id: self.field(0x140..0x160),
            report_id_ma: self.field(0x160..0x180),
            reported_tcb: self.tcb(0x180),
            cpuid_fam_id: has_cpuid.then(|| self.u8_at(0x188)),
            cpuid_mod_id: has_cpuid.then(|| self.u8_at(0x189)),
            cpuid_step: has_cpuid.then(|| self.u8_at(0x18a)),
            chip_id: self.field(0x1a0..0x1e0),
            committed_tcb: self.tcb(0x1e0),
            current: self.firmware(0x1e8),
            committed: self.firmware(0x1ec),
            launch_tcb: self.tcb(0x1f0),
            launch_mit_vector: has_vectors.then(|| self.u64_at(0x1f8)),
            current_mit_vector: has_vectors.then(|| self.u64_at(0x200)),
            signature: SignatureForm {
                r: self.field(0x2a0..0x2e8),
                s: self.field(0x2e8..0x330),
            },
        }
    }

    /// Every byte that the form has no place for.
    fn reserved(&self) -> Vec<Range<usize>> {
        let after_tcb = match self.version {
            2 => 0x188..0x1a0,
            _ => 0x18b..0x1a0,
        };
        let after_launch_tcb = match self.version {
            5 => 0x208..0x2a0,
            _ => 0x1f8..0x2a0,
        };
        let mut reserved = vec![
            0x4c..0x50,
            after_tcb,
            0x1eb..0x1ec,
            0x1ef..0x1f0,
            after_launch_tcb,
            0x330..REPORT_LEN,
        ];
        let unused = match self.has_fmc {
            true => 4..7,
            false => 2..6,
        };
        for tcb in [0x38, 0x180, 0x1e0, 0x1f0] {
            reserved.push(tcb + unused.start..tcb + unused.end);
        }
        reserved
    }

    fn tcb(&self, at: usize) -> TcbForm {
        let byte = |index| self.u8_at(at + index);
        match self.has_fmc {
            true => TcbForm {
                fmc: Some(byte(0)),
                bootloader: byte(1),
                tee: byte(2),
                snp: byte(3),
                microcode: byte(7),
            },
            false => TcbForm {
                fmc: None,
                bootloader: byte(0),
                tee: byte(1),
                snp: byte(6),
                microcode: byte(7),
            },
        }
    }

    fn firmware(&self, at: usize) -> FirmwareForm {
        FirmwareForm {
            major: self.u8_at(at + 2),
            minor: self.u8_at(at + 1),
            build: self.u8_at(at),
        }
    }

    fn field(&self, range: Range<usize>) -> &'a [u8] {
        self.bytes.get(range).unwrap_or_default()
    }

    fn u8_at(&self, at: usize) -> u8 {
        self.bytes.get(at).copied().unwrap_or_default()
    }

    fn u32_at(&self, at: usize) -> u32 {
        u32::from_le_bytes(array(self.bytes, at))
    }

    fn u64_at(&self, at: usize) -> u64 {
        u64::from_le_bytes(array(self.bytes, at))
    }
}

/// The bytes from `at` on; zeroes past the end, which no caller asks for.
fn array<const N: usize>(bytes: &[u8; REPORT_LEN], at: usize) -> [u8; N] {
    let found = bytes.get(at..).and_then(<[u8]>::first_chunk);
    found.copied().unwrap_or([0; N])
}

/// `primary_evidence` of `snp`.
#[derive(Debug, Serialize)]
pub(crate) struct EvidenceForm<'a> {
    pub(crate) attestation_report: ReportForm<'a>,
    /// Without it, whoever verifies asks AMD's key service.
    pub(crate) cert_chain: Option<Vec<Certificate<'a>>>,
}

/// The report's fields, named as in the `sev` crate.
#[derive(Debug, Serialize)]
pub(crate) struct ReportForm<'a> {
    version: u32,
    guest_svn: u32,
    policy: u64,
    family_id: &'a [u8],
    image_id: &'a [u8],
    vmpl: u32,
    sig_algo: u32,
    current_tcb: TcbForm,
    plat_info: u64,
    key_info: u32,
    report_data: &'a [u8],
    measurement: &'a [u8],
    host_data: &'a [u8],
    id_key_digest: &'a [u8],
    author_key_digest: &'a [u8],
    report_id: &'a [u8],
    report_id_ma: &'a [u8],
    reported_tcb: TcbForm,
    cpuid_fam_id: Option<u8>,
    cpuid_mod_id: Option<u8>,
    cpuid_step: Option<u8>,
    chip_id: &'a [u8],
    committed_tcb: TcbForm,
    current: FirmwareForm,
    committed: FirmwareForm,
    launch_tcb: TcbForm,
    launch_mit_vector: Option<u64>,
    current_mit_vector: Option<u64>,
    signature: SignatureForm<'a>,
}

#[derive(Debug, Serialize)]
struct TcbForm {
    fmc: Option<u8>,
    bootloader: u8,
    tee: u8,
    snp: u8,
    microcode: u8,
}

#[derive(Debug, Serialize)]
struct FirmwareForm {
    major: u8,
    minor: u8,
    build: u8,
}

#[derive(Debug, Serialize)]
struct SignatureForm<'a> {
    r: &'a [u8],
    s: &'a [u8],
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    /// Every byte tells its place, where the version has no reserved ones.
    fn report(version: u8, family: u8) -> [u8; REPORT_LEN] {
        let mut report = [0; REPORT_LEN];
        for (at, byte) in report.iter_mut().enumerate() {
            *byte = u8::try_from(at % 251).unwrap() + 1;
        }
        report[..4].copy_from_slice(&[version, 0, 0, 0]);
        report[0x188] = family;
        let has_fmc = family >= 0x1a;
        let parsed = Report {
            bytes: &[0; REPORT_LEN],
            version: version.into(),
            has_fmc,
        };
        for at in parsed.reserved().into_iter().flatten() {
            report[at] = 0;
        }
        report
    }

    fn form(report: &[u8]) -> Value {
        serde_json::to_value(Report::parse(report).unwrap().form()).unwrap()
    }

    #[test]
    fn fields_are_read_where_the_specification_has_them() {
        let form = form(&report(5, 0x1a));
        let at = |at: usize| at % 251 + 1;
        assert_eq!(form["version"], 5);
        assert_eq!(form["guest_svn"], 0x0807_0605);
        assert_eq!(form["policy"], 0x100f_0e0d_0c0b_0a09_u64);
        assert_eq!(form["cpuid_fam_id"], 0x1a);
        assert_eq!(form["cpuid_mod_id"], at(0x189));
        assert_eq!(form["cpuid_step"], at(0x18a));
        for (name, start, len) in [
            ("family_id", 0x10, 16),
            ("image_id", 0x20, 16),
            ("report_data", 0x50, 64),
            ("measurement", 0x90, 48),
            ("host_data", 0xc0, 32),
            ("id_key_digest", 0xe0, 48),
            ("author_key_digest", 0x110, 48),
            ("report_id", 0x140, 32),
            ("report_id_ma", 0x160, 32),
            ("chip_id", 0x1a0, 64),
        ] {
            let field: Vec<usize> = (start..start + len).map(at).collect();
            assert_eq!(form[name], json!(field), "{name}");
        }
        let word = |start: usize| {
            let bytes: Vec<u8> = (start..start + 8)
                .map(|b| u8::try_from(at(b)).unwrap())
                .collect();
            u64::from_le_bytes(bytes.try_into().unwrap())
        };
        assert_eq!(form["launch_mit_vector"], word(0x1f8));
        assert_eq!(form["current_mit_vector"], word(0x200));
        assert_eq!(form["plat_info"], word(0x40));
        assert_eq!(form["key_info"], word(0x48) & 0xffff_ffff);
        assert_eq!(form["signature"]["r"][0], at(0x2a0));
        assert_eq!(form["signature"]["s"][71], at(0x32f));
        assert_eq!(
            form["committed"],
            json!({"major": at(0x1ee), "minor": at(0x1ed), "build": at(0x1ec)})
        );
    }

    #[test]
    fn the_tcb_has_the_order_of_its_chip() {
        let at = |at: usize| at % 251 + 1;
        assert_eq!(
            form(&report(3, 0x19))["reported_tcb"],
            json!({"fmc": null, "bootloader": at(0x180), "tee": at(0x181), "snp": at(0x186),
                   "microcode": at(0x187)})
        );
        assert_eq!(
            form(&report(3, 0x1a))["launch_tcb"],
            json!({"fmc": at(0x1f0), "bootloader": at(0x1f1), "tee": at(0x1f2), "snp": at(0x1f3),
                   "microcode": at(0x1f7)})
        );
    }

    #[test]
    fn a_report_of_version_2_has_the_order_that_its_chip_id_tells() {
        let milan = report(2, 0);
        assert_eq!(form(&milan)["current_tcb"]["fmc"], Value::Null);
        assert_eq!(form(&milan)["cpuid_fam_id"], Value::Null);
        assert_eq!(form(&milan)["launch_mit_vector"], Value::Null);
        let mut turin = milan;
        turin[0x1a8..0x1e0].fill(0);
        for tcb in [0x38, 0x180, 0x1e0, 0x1f0] {
            turin[tcb..tcb + 8].copy_from_slice(&[1, 2, 3, 4, 0, 0, 0, 5]);
        }
        assert_eq!(form(&turin)["current_tcb"]["fmc"], 1);
        // Masked: the older order, which leaves the same bytes to both.
        turin[0x1a0..0x1a8].fill(0);
        assert!(Report::parse(&turin).is_err());
    }

    #[test]
    fn a_bit_that_the_form_has_no_place_for_is_refused() {
        for (version, family) in [(2, 0), (3, 0x19), (4, 0x1a), (5, 0x1a)] {
            let good = report(version, family);
            let covered = Report::parse(&good).unwrap();
            for at in covered.reserved().into_iter().flatten() {
                let mut bad = good;
                bad[at] = 0x80;
                let version = version.into();
                assert_eq!(
                    Report::parse(&bad).err(),
                    Some(ReportError::Reserved { version, at })
                );
            }
        }
    }

    #[test]
    fn another_length_and_an_unknown_version_are_refused() {
        let good = report(3, 0x19);
        let short = &good[..REPORT_LEN - 1];
        assert_eq!(
            Report::parse(short).err(),
            Some(ReportError::Length(REPORT_LEN - 1))
        );
        let longer = [&good[..], &[0]].concat();
        assert!(Report::parse(&longer).is_err());
        for version in [0, 1, 6, 255] {
            let mut report = good;
            report[0] = version;
            let refused = Report::parse(&report).err();
            assert_eq!(refused, Some(ReportError::Version(version.into())));
        }
    }

    /// The files are not ours to publish: they lie where `NITRIDE_VECTORS` says.
    #[test]
    fn reports_of_every_chip_have_a_form() {
        let Some(folder) = std::env::var_os("NITRIDE_VECTORS") else {
            eprintln!("skipped: NITRIDE_VECTORS is not set");
            return;
        };
        let folder = std::path::Path::new(&folder).join("snp");
        for (name, version, fmc, microcode) in [
            ("milan-v2-a", 2, Value::Null, 0x44),
            ("milan-v2-b", 2, Value::Null, 0x73),
            ("milan-v3-aci", 3, Value::Null, 0xdb),
            ("milan-v3-oak", 3, Value::Null, 0xdb),
            ("milan-v3-vlek", 3, Value::Null, 0xd9),
            ("genoa-v3-aci", 3, Value::Null, 0x54),
            ("turin-v5-aci", 5, json!(1), 0x51),
        ] {
            let report = std::fs::read(folder.join(name).join("report.bin")).unwrap();
            let form = form(&report);
            assert_eq!(form["version"], version, "{name}");
            assert_eq!(form["reported_tcb"]["fmc"], fmc, "{name}");
            assert_eq!(form["reported_tcb"]["microcode"], microcode, "{name}");
        }
    }
}
