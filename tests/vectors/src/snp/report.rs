//! A report, field by field, before it is signed.

use crate::keys::EcKey;
use nitride_verify::evidence::{SNP_REPORT_LEN, SnpProduct};

/// How much of a report is signed.
const SIGNED_LEN: usize = 0x2A0;

/// A report before it is signed (AMD 56860, table 23).
#[derive(Debug, Clone)]
#[expect(
    missing_docs,
    reason = "the fields are those of SnpReport, where they are explained"
)]
pub struct ReportDraft {
    pub product: SnpProduct,
    pub version: u32,
    pub guest_svn: u32,
    pub policy: u64,
    pub family_id: [u8; 16],
    pub image_id: [u8; 16],
    pub vmpl: u32,
    pub signature_algorithm: u32,
    pub current_tcb: [u8; 8],
    pub platform_info: u64,
    pub key_info: u32,
    pub at_4c: [u8; 4],
    pub report_data: [u8; 64],
    pub measurement: [u8; 48],
    pub host_data: [u8; 32],
    pub id_key_digest: [u8; 48],
    pub author_key_digest: [u8; 48],
    pub report_id: [u8; 32],
    pub report_id_ma: [u8; 32],
    pub reported_tcb: [u8; 8],
    pub cpuid: [u8; 3],
    pub at_18b: [u8; 21],
    pub chip_id: [u8; 64],
    pub committed_tcb: [u8; 8],
    /// Build, minor, major, reserved.
    pub current_firmware: [u8; 4],
    /// Build, minor, major, reserved.
    pub committed_firmware: [u8; 4],
    pub launch_tcb: [u8; 8],
    pub launch_mitigations: u64,
    pub current_mitigations: u64,
    pub at_208: [u8; 152],
    /// What is done to the bytes after they are signed.
    pub spoil: Option<fn(&mut Vec<u8>)>,
}

impl ReportDraft {
    /// A report of version 5 with every field set to something that a policy can want.
    #[must_use]
    pub fn of(product: SnpProduct) -> Self {
        let mut report_data = [0; 64];
        report_data[..48].fill(7);
        let (cpuid, tcb) = match product {
            SnpProduct::Milan => ([0x19, 0x01, 0x01], [4, 1, 0, 0, 0, 0, 24, 219]),
            SnpProduct::Genoa => ([0x19, 0x11, 0x01], [10, 1, 0, 0, 0, 0, 23, 84]),
            SnpProduct::Turin => ([0x1A, 0x02, 0x01], [1, 2, 1, 4, 0, 0, 0, 81]),
        };
        let mut chip_id = [0; 64];
        chip_id[..product.chip_id_len()].fill(0xC1);
        Self {
            product,
            version: 5,
            guest_svn: 3,
            // SMT, the bit that is one, single socket, AES-256-XTS, RAPL off, hiding, no swap;
            // not: migration, debug, CXL. ABI 1.51.
            policy: 0b11_1101_0011 << 16 | 0x0133,
            family_id: [0xFA; 16],
            image_id: [0x1A; 16],
            vmpl: 0,
            signature_algorithm: 1,
            current_tcb: tcb,
            // Everything but trusted I/O, and the bit without a meaning.
            platform_info: 0b0111_1111,
            // The author's key is in use.
            key_info: 1,
            at_4c: [0; 4],
            report_data,
            measurement: [0x3E; 48],
            host_data: [0x4D; 32],
            id_key_digest: [0x1D; 48],
            author_key_digest: [0xA4; 48],
            report_id: [0x51; 32],
            report_id_ma: [0xFF; 32],
            reported_tcb: tcb,
            cpuid,
            at_18b: [0; 21],
            chip_id,
            committed_tcb: tcb,
            current_firmware: [29, 55, 1, 0],
            committed_firmware: [29, 55, 1, 0],
            launch_tcb: tcb,
            launch_mitigations: 0x3F,
            current_mitigations: 0x3F,
            at_208: [0; 152],
            spoil: None,
        }
    }

    /// Makes it a report of an earlier version, in which some fields do not exist.
    pub fn be_of_version(&mut self, version: u32) {
        self.version = version;
        if version < 5 {
            (self.launch_mitigations, self.current_mitigations) = (0, 0);
        }
        if version < 3 {
            self.cpuid = [0; 3];
        }
    }

    /// The bytes, signed by the test VEK.
    #[must_use]
    pub fn sign(&self) -> Vec<u8> {
        let mut raw = self.signed_part();
        let signature = EcKey::p384().sign(&raw);
        for scalar in signature.chunks(48) {
            raw.extend(scalar.iter().rev());
            raw.extend([0; 24]);
        }
        raw.resize(SNP_REPORT_LEN, 0);
        if let Some(spoil) = self.spoil {
            spoil(&mut raw);
        }
        raw
    }

    fn signed_part(&self) -> Vec<u8> {
        let mut raw = Vec::with_capacity(SNP_REPORT_LEN);
        raw.extend(self.version.to_le_bytes());
        raw.extend(self.guest_svn.to_le_bytes());
        raw.extend(self.policy.to_le_bytes());
        raw.extend(self.family_id);
        raw.extend(self.image_id);
        raw.extend(self.vmpl.to_le_bytes());
        raw.extend(self.signature_algorithm.to_le_bytes());
        raw.extend(self.current_tcb);
        raw.extend(self.platform_info.to_le_bytes());
        raw.extend(self.key_info.to_le_bytes());
        raw.extend(self.at_4c);
        raw.extend(self.report_data);
        raw.extend(self.measurement);
        raw.extend(self.host_data);
        raw.extend(self.id_key_digest);
        raw.extend(self.author_key_digest);
        raw.extend(self.report_id);
        raw.extend(self.report_id_ma);
        raw.extend(self.reported_tcb);
        raw.extend(self.cpuid);
        raw.extend(self.at_18b);
        raw.extend(self.chip_id);
        raw.extend(self.committed_tcb);
        raw.extend(self.current_firmware);
        raw.extend(self.committed_firmware);
        raw.extend(self.launch_tcb);
        raw.extend(self.launch_mitigations.to_le_bytes());
        raw.extend(self.current_mitigations.to_le_bytes());
        raw.extend(self.at_208);
        assert_eq!(raw.len(), SIGNED_LEN, "the layout of a report");
        raw
    }
}
