//! The quote itself.

use super::REPORT_DATA;
use super::pki::{Key, Pki};
use aws_lc_rs::digest::{SHA256, digest};

/// Fills the trust domain's measurement.
pub const MR_TD: u8 = 0x77;
/// Fills the TDX module's measurement.
pub const MR_SEAM: u8 = 0x66;
/// Fills the measurement of who signed the quoting enclave.
pub const QE_MR_SIGNER: u8 = 0xdc;

const INTEL: [u8; 16] = [
    0x93, 0x9a, 0x72, 0x33, 0xf7, 0x9c, 0x4c, 0xa9, 0x94, 0x0a, 0x0d, 0xb3, 0x95, 0x7f, 0x06, 0x07,
];

/// What a quote says, and who signs it.
#[derive(Debug, Clone)]
pub struct QuoteSpec {
    /// Its version.
    pub version: u16,
    /// The kind of its attestation key.
    pub key_type: u16,
    /// The kind of TEE.
    pub tee_type: u32,
    /// Whose quoting enclave.
    pub vendor: [u8; 16],
    /// The type of a version 5 body.
    pub body_type: u16,
    /// What a version 5 body states as its size, if not its own.
    pub body_size: Option<u32>,
    /// Security versions at launch.
    pub tee_tcb_svn: [u8; 16],
    /// The TDX module.
    pub mr_seam: [u8; 48],
    /// Its signer.
    pub mr_signer_seam: [u8; 48],
    /// Its attributes.
    pub seam_attributes: u64,
    /// The trust domain's attributes.
    pub td_attributes: u64,
    /// Its extended features.
    pub xfam: u64,
    /// Its measurement.
    pub mr_td: [u8; 48],
    /// Stated by the host.
    pub mr_config_id: [u8; 48],
    /// Stated by the host.
    pub mr_owner: [u8; 48],
    /// Stated by the host.
    pub mr_owner_config: [u8; 48],
    /// Run-time registers.
    pub rtmr: [[u8; 48]; 4],
    /// What is bound.
    pub report_data: [u8; 64],
    /// Security versions now, from body type 3 on.
    pub tee_tcb_svn_2: [u8; 16],
    /// Service trust domains, from body type 3 on.
    pub mr_service_td: [u8; 48],
    /// The virtual machine of a partitioned trust domain, in body type 4; 0 for the whole.
    pub vm_id: u8,
    /// Service trust domains now, in body type 4.
    pub current_service_td: [u8; 48],
    /// Somebody else's key signs the quote.
    pub by_another: bool,
    /// Changed after signing: an offset, whose byte is inverted.
    pub inverted: Option<usize>,
    /// Unsigned bytes at the end.
    pub trailing_len: usize,
    /// The quoting enclave.
    pub qe: QeSpec,
}

/// The quoting enclave's own report.
#[derive(Debug, Clone)]
pub struct QeSpec {
    /// MISCSELECT.
    pub misc_select: u32,
    /// ATTRIBUTES.
    pub attributes: [u8; 16],
    /// MRSIGNER.
    pub mr_signer: [u8; 32],
    /// ISVPRODID.
    pub isv_prod_id: u16,
    /// ISVSVN.
    pub isv_svn: u16,
    /// What its report binds beside the attestation key's hash.
    pub padding: [u8; 32],
    /// It binds another attestation key.
    pub binds_another: bool,
    /// Somebody else signs its report.
    pub by_another: bool,
}

impl QuoteSpec {
    /// A version 4 quote.
    #[must_use]
    pub fn good(rtmr: [[u8; 48]; 4]) -> Self {
        let mut report_data = [0; 64];
        report_data[..48].copy_from_slice(&REPORT_DATA);
        let mut tee_tcb_svn = [0; 16];
        tee_tcb_svn[..3].copy_from_slice(&[4, 1, 2]);
        Self {
            version: 4,
            key_type: 2,
            tee_type: 0x81,
            vendor: INTEL,
            body_type: 3,
            body_size: None,
            tee_tcb_svn,
            mr_seam: [MR_SEAM; 48],
            mr_signer_seam: [0; 48],
            seam_attributes: 0,
            td_attributes: 1 << 28,
            xfam: 0x0006_02e7,
            mr_td: [MR_TD; 48],
            mr_config_id: [0; 48],
            mr_owner: [0; 48],
            mr_owner_config: [0; 48],
            rtmr,
            report_data,
            tee_tcb_svn_2: tee_tcb_svn,
            mr_service_td: [0; 48],
            vm_id: 0,
            current_service_td: [0; 48],
            by_another: false,
            inverted: None,
            trailing_len: 0,
            qe: QeSpec {
                misc_select: 0,
                attributes: [0x11, 0, 0, 0, 0, 0, 0, 0, 0xe7, 0, 0, 0, 0, 0, 0, 0],
                mr_signer: [QE_MR_SIGNER; 32],
                isv_prod_id: 2,
                isv_svn: 4,
                padding: [0; 32],
                binds_another: false,
                by_another: false,
            },
        }
    }

    /// The bytes, signed.
    ///
    /// # Errors
    ///
    /// When it cannot be signed.
    pub fn make(&self, pki: &Pki) -> anyhow::Result<Vec<u8>> {
        let (attestation, another) = (Key::make()?, Key::make()?);
        let mut quote = self.signed_part()?;
        let signer = if self.by_another {
            &another
        } else {
            &attestation
        };
        let signature = signer.sign(&quote)?;
        let authentication_data = [0x20; 32];
        let bound = if self.qe.binds_another {
            &another
        } else {
            &attestation
        };
        let bound = digest(
            &SHA256,
            &[bound.point(), authentication_data.to_vec()].concat(),
        );
        let qe_report = self.qe.report(bound.as_ref());
        let signer = if self.qe.by_another {
            &another
        } else {
            &pki.pck
        };
        let qe_signature = signer.sign(&qe_report)?;
        let mut certified = [qe_report, qe_signature].concat();
        certified.extend(counted_u16(&authentication_data)?);
        certified.extend(5u16.to_le_bytes());
        certified.extend(counted_u32(pki.pck_chain.as_bytes())?);
        let mut section = [signature, attestation.point()].concat();
        section.extend(6u16.to_le_bytes());
        section.extend(counted_u32(&certified)?);
        quote.extend(counted_u32(&section)?);
        if let Some(byte) = self.inverted.and_then(|at| quote.get_mut(at)) {
            *byte = !*byte;
        }
        quote.resize(quote.len() + self.trailing_len, 0);
        Ok(quote)
    }

    fn signed_part(&self) -> anyhow::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        bytes.extend(self.version.to_le_bytes());
        bytes.extend(self.key_type.to_le_bytes());
        bytes.extend(self.tee_type.to_le_bytes());
        bytes.extend([0; 4]);
        bytes.extend(self.vendor);
        bytes.extend([0x33; 20]);
        let body = self.body();
        if self.version == 5 {
            bytes.extend(self.body_type.to_le_bytes());
            let size = self
                .body_size
                .map_or_else(|| u32::try_from(body.len()), Ok)?;
            bytes.extend(size.to_le_bytes());
        }
        bytes.extend(body);
        Ok(bytes)
    }

    fn body(&self) -> Vec<u8> {
        let mut body = [&self.tee_tcb_svn[..], &self.mr_seam, &self.mr_signer_seam].concat();
        for bits in [self.seam_attributes, self.td_attributes, self.xfam] {
            body.extend(bits.to_le_bytes());
        }
        body.extend(self.mr_td);
        body.extend(self.mr_config_id);
        body.extend(self.mr_owner);
        body.extend(self.mr_owner_config);
        body.extend(self.rtmr.concat());
        body.extend(self.report_data);
        if self.version == 5 && self.body_type >= 3 {
            body.extend(self.tee_tcb_svn_2);
            body.extend(self.mr_service_td);
        }
        if self.version == 5 && self.body_type == 4 {
            body.push(self.vm_id);
            // Instance, devices, and the service trust domains and platform at creation.
            body.extend([0; 180]);
            body.extend(self.current_service_td);
            body.extend([0; 8]);
        }
        body
    }
}

impl QeSpec {
    /// `sgx_report_body_t`.
    fn report(&self, bound: &[u8]) -> Vec<u8> {
        let mut report = vec![3; 16];
        report.extend(self.misc_select.to_le_bytes());
        report.extend([0; 28]);
        report.extend(self.attributes);
        report.extend([0xee; 32]);
        report.extend([0; 32]);
        report.extend(self.mr_signer);
        report.extend([0; 96]);
        report.extend(self.isv_prod_id.to_le_bytes());
        report.extend(self.isv_svn.to_le_bytes());
        report.extend([0; 60]);
        report.extend(bound);
        report.extend(self.padding);
        report
    }
}

fn counted_u16(bytes: &[u8]) -> anyhow::Result<Vec<u8>> {
    let len = u16::try_from(bytes.len())?;
    Ok([&len.to_le_bytes()[..], bytes].concat())
}

fn counted_u32(bytes: &[u8]) -> anyhow::Result<Vec<u8>> {
    let len = u32::try_from(bytes.len())?;
    Ok([&len.to_le_bytes()[..], bytes].concat())
}
