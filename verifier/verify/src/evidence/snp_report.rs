//! The SEV-SNP attestation report (AMD 56860, table 23), field by field. Integers are
//! little-endian.

use thiserror::Error;

/// The length of a report of any version.
pub const SNP_REPORT_LEN: usize = 1184;
/// How much of it is signed: everything before the signature.
pub(crate) const SIGNED_LEN: usize = 0x2A0;

/// A report as it came, taken apart. Nothing about it is verified, and nothing is interpreted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnpReport {
    raw: Vec<u8>,
    /// 0x000.
    pub version: u32,
    /// 0x004, chosen by the guest's owner in the ID block.
    pub guest_svn: u32,
    /// 0x008.
    pub policy: GuestPolicy,
    /// 0x010.
    pub family_id: [u8; 16],
    /// 0x020.
    pub image_id: [u8; 16],
    /// 0x030, the privilege level of who asked: 0 is the highest.
    pub vmpl: u32,
    /// 0x034; 1 is ECDSA over P-384 with SHA-384.
    pub signature_algorithm: u32,
    /// 0x038.
    pub current_tcb: RawTcb,
    /// 0x040.
    pub platform_info: u64,
    /// 0x048.
    pub key_info: u32,
    /// 0x050.
    pub report_data: [u8; 64],
    /// 0x090.
    pub measurement: [u8; 48],
    /// 0x0C0.
    pub host_data: [u8; 32],
    /// 0x0E0.
    pub id_key_digest: [u8; 48],
    /// 0x110.
    pub author_key_digest: [u8; 48],
    /// 0x140, drawn anew at each launch.
    pub report_id: [u8; 32],
    /// 0x160, all ones without a migration agent.
    pub report_id_ma: [u8; 32],
    /// 0x180.
    pub reported_tcb: RawTcb,
    /// 0x188, from version 3: family, model and stepping of the processor.
    pub cpuid: [u8; 3],
    /// 0x1A0.
    pub chip_id: [u8; 64],
    /// 0x1E0.
    pub committed_tcb: RawTcb,
    /// 0x1E8.
    pub current_firmware: FirmwareVersion,
    /// 0x1EC.
    pub committed_firmware: FirmwareVersion,
    /// 0x1F0.
    pub launch_tcb: RawTcb,
    /// 0x1F8, from version 5.
    pub launch_mitigations: u64,
    /// 0x200, from version 5.
    pub current_mitigations: u64,
    reserved: Reserved,
}

/// Bytes that have no meaning in some version; which, [`SnpReport::reserved_fault`] knows.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Reserved {
    at_4c: [u8; 4],
    at_18b: [u8; 21],
    at_1eb: u8,
    at_1ef: u8,
    at_208: [u8; 152],
}

/// Security version numbers as they stand in a report. What each byte means depends on the
/// product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RawTcb(pub [u8; 8]);

/// The version of the firmware of the security processor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct FirmwareVersion {
    /// Compared first.
    pub major: u8,
    /// Compared second.
    pub minor: u8,
    /// Compared last.
    pub build: u8,
}

/// What the guest's owner lets the host do (AMD 56860, table 10).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GuestPolicy(pub u64);

impl GuestPolicy {
    /// Simultaneous multithreading is allowed.
    pub const SMT: u8 = 16;
    /// Has to be one.
    pub const RESERVED_ONE: u8 = 17;
    /// A migration agent is allowed.
    pub const MIGRATE_MA: u8 = 18;
    /// The host may look into the guest.
    pub const DEBUG: u8 = 19;
    /// The guest runs on one socket only.
    pub const SINGLE_SOCKET: u8 = 20;
    /// CXL memory is allowed.
    pub const CXL: u8 = 21;
    /// AES-256-XTS is required for memory.
    pub const AES_256_XTS: u8 = 22;
    /// Running average power limit has to be off.
    pub const RAPL_DISABLED: u8 = 23;
    /// Ciphertext of memory has to be hidden from the host.
    pub const CIPHERTEXT_HIDING: u8 = 24;
    /// The host may not swap pages of the guest.
    pub const PAGE_SWAP_DISABLED: u8 = 25;
    /// The highest bit that has a meaning.
    const HIGHEST: u8 = Self::PAGE_SWAP_DISABLED;

    /// One bit.
    #[must_use]
    pub const fn bit(self, bit: u8) -> bool {
        is_set(self.0, bit)
    }

    /// The least ABI version, major first.
    #[must_use]
    pub const fn abi(self) -> (u8, u8) {
        let [minor, major, ..] = self.0.to_le_bytes();
        (major, minor)
    }
}

/// Whether one bit of a field is one.
pub(crate) const fn is_set(field: u64, bit: u8) -> bool {
    (field >> bit) & 1 == 1
}

/// Bytes that are no report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a report of {len} bytes; one has {SNP_REPORT_LEN}")]
pub struct ReportLengthFault {
    /// The bytes given.
    pub len: usize,
}

/// Takes fields off the front.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn bytes<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (field, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*field)
    }

    fn u32(&mut self) -> Option<u32> {
        self.bytes().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.bytes().map(u64::from_le_bytes)
    }

    fn tcb(&mut self) -> Option<RawTcb> {
        self.bytes().map(RawTcb)
    }

    /// Build, minor, major, and a reserved byte.
    fn firmware(&mut self) -> Option<(FirmwareVersion, u8)> {
        let [build, minor, major, reserved] = self.bytes()?;
        let version = FirmwareVersion {
            major,
            minor,
            build,
        };
        Some((version, reserved))
    }
}

impl SnpReport {
    /// Takes a report apart.
    ///
    /// # Errors
    ///
    /// [`ReportLengthFault`] unless it has exactly [`SNP_REPORT_LEN`] bytes.
    pub fn parse(raw: &[u8]) -> Result<Self, ReportLengthFault> {
        let fault = ReportLengthFault { len: raw.len() };
        if raw.len() != SNP_REPORT_LEN {
            return Err(fault);
        }
        Self::take(raw).ok_or(fault)
    }

    fn take(raw: &[u8]) -> Option<Self> {
        let mut fields = Fields(raw);
        let version = fields.u32()?;
        let guest_svn = fields.u32()?;
        let policy = GuestPolicy(fields.u64()?);
        let (family_id, image_id) = (fields.bytes()?, fields.bytes()?);
        let (vmpl, signature_algorithm) = (fields.u32()?, fields.u32()?);
        let current_tcb = fields.tcb()?;
        let platform_info = fields.u64()?;
        let key_info = fields.u32()?;
        let at_4c = fields.bytes()?;
        let (report_data, measurement, host_data) =
            (fields.bytes()?, fields.bytes()?, fields.bytes()?);
        let (id_key_digest, author_key_digest) = (fields.bytes()?, fields.bytes()?);
        let (report_id, report_id_ma) = (fields.bytes()?, fields.bytes()?);
        let reported_tcb = fields.tcb()?;
        let (cpuid, at_18b) = (fields.bytes()?, fields.bytes()?);
        let chip_id = fields.bytes()?;
        let committed_tcb = fields.tcb()?;
        let (current_firmware, at_1eb) = fields.firmware()?;
        let (committed_firmware, at_1ef) = fields.firmware()?;
        let launch_tcb = fields.tcb()?;
        let (launch_mitigations, current_mitigations) = (fields.u64()?, fields.u64()?);
        let reserved = Reserved {
            at_4c,
            at_18b,
            at_1eb,
            at_1ef,
            at_208: fields.bytes()?,
        };
        Some(Self {
            raw: raw.to_vec(),
            version,
            guest_svn,
            policy,
            family_id,
            image_id,
            vmpl,
            signature_algorithm,
            current_tcb,
            platform_info,
            key_info,
            report_data,
            measurement,
            host_data,
            id_key_digest,
            author_key_digest,
            report_id,
            report_id_ma,
            reported_tcb,
            cpuid,
            chip_id,
            committed_tcb,
            current_firmware,
            committed_firmware,
            launch_tcb,
            launch_mitigations,
            current_mitigations,
            reserved,
        })
    }

    /// The whole report as it came.
    #[must_use]
    pub fn raw(&self) -> &[u8] {
        &self.raw
    }

    /// What the signature is over.
    #[must_use]
    pub fn signed(&self) -> &[u8] {
        self.raw.get(..SIGNED_LEN).unwrap_or_default()
    }

    /// The signature's field: r and s, 72 bytes each, little-endian, and 368 bytes reserved.
    #[must_use]
    pub fn signature(&self) -> &[u8] {
        self.raw.get(SIGNED_LEN..).unwrap_or_default()
    }

    /// KEY_INFO bit 0: the author key is in use.
    #[must_use]
    pub const fn has_author_key(&self) -> bool {
        self.key_info & 1 == 1
    }

    /// KEY_INFO bit 1: the host keeps the chip from signing.
    #[must_use]
    pub const fn is_chip_key_masked(&self) -> bool {
        self.key_info & 2 == 2
    }

    /// KEY_INFO bits 4 to 2.
    #[must_use]
    pub const fn signing_key(&self) -> u32 {
        (self.key_info >> 2) & 7
    }

    /// Whether the version has the mitigation vectors.
    #[must_use]
    pub const fn has_mitigations(&self) -> bool {
        self.version >= 5
    }

    /// The first field that is not zero and has no meaning in this version. The reserved bytes of
    /// the TCB versions depend on the product: [`super::Tcb::read`].
    #[must_use]
    pub fn reserved_fault(&self) -> Option<&'static str> {
        let reserved = &self.reserved;
        let faults = [
            (
                self.policy.0 >> GuestPolicy::HIGHEST >> 1 != 0,
                "POLICY bits 26 to 63",
            ),
            (self.key_info >> 5 != 0, "KEY_INFO bits 5 to 31"),
            (reserved.at_4c != [0; 4], "the bytes at 0x4C"),
            (
                self.version < 3 && self.cpuid != [0; 3],
                "the bytes at 0x188, which version 2 has not",
            ),
            (reserved.at_18b != [0; 21], "the bytes at 0x18B"),
            (reserved.at_1eb != 0, "the byte at 0x1EB"),
            (reserved.at_1ef != 0, "the byte at 0x1EF"),
            (
                !self.has_mitigations()
                    && (self.launch_mitigations, self.current_mitigations) != (0, 0),
                "the bytes at 0x1F8, which versions before 5 have not",
            ),
            (reserved.at_208 != [0; 152], "the bytes at 0x208"),
        ];
        let found = faults.into_iter().find(|(is_set, _)| *is_set);
        found.map(|(_, name)| name)
    }
}
