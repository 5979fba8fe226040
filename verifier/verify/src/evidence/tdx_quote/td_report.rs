//! The body of a quote: what the TDX module reported. TDX 1.0 has 584 bytes, 1.5 adds 64, and the
//! extended form of 1.5 another 237; each begins with the one before.

use crate::evidence::cursor::Cursor;

/// The fields that every TDX version reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TdReport {
    /// Security versions of the TDX module and its loader, at launch: 0 the module's minor, 1 its
    /// major version, 2 the loader's.
    pub tee_tcb_svn: [u8; 16],
    /// Measurement of the TDX module.
    pub mr_seam: [u8; 48],
    /// Who signed the TDX module; zero for Intel.
    pub mr_signer_seam: [u8; 48],
    /// The TDX module's attributes.
    pub seam_attributes: u64,
    /// The trust domain's attributes: debug, migration and so on.
    pub td_attributes: u64,
    /// Extended features that the trust domain may use.
    pub xfam: u64,
    /// Measurement of the trust domain's first memory.
    pub mr_td: [u8; 48],
    /// What the host stated as configuration, before launch.
    pub mr_config_id: [u8; 48],
    /// The trust domain's owner, as the host stated it.
    pub mr_owner: [u8; 48],
    /// The owner's configuration, as the host stated it.
    pub mr_owner_config: [u8; 48],
    /// Registers that the trust domain extends.
    pub rtmr: [[u8; 48]; 4],
    /// What the trust domain had bound.
    pub report_data: [u8; 64],
    /// What TDX 1.5 adds.
    pub v15: Option<TdReport15>,
}

/// What TDX 1.5 adds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TdReport15 {
    /// Security versions now: the module may have been updated under the running trust domain.
    pub tee_tcb_svn_2: [u8; 16],
    /// The service trust domains bound to this one (which may migrate it); zero for none.
    pub mr_service_td: [u8; 48],
    /// What the extended form adds.
    pub ex: Option<TdReport15Ex>,
}

/// What the extended form of TDX 1.5 adds, as far as it is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TdReport15Ex {
    /// The virtual machine inside a partitioned trust domain; 0 for the whole.
    pub vm_id: u8,
    /// The instance, new at each launch.
    pub td_id: [u8; 32],
    /// Hash over the devices that the trust domain has.
    pub device_info: [u8; 48],
    /// The service trust domains bound now; zero for none.
    pub current_service_td_hash: [u8; 48],
}

impl TdReport {
    /// Reads the fields from exactly the bytes of one of the forms; `None` for any other length.
    pub(super) fn parse(body: &[u8]) -> Option<Self> {
        let mut cursor = Cursor::new(body);
        let mut report = Self {
            tee_tcb_svn: *cursor.array()?,
            mr_seam: *cursor.array()?,
            mr_signer_seam: *cursor.array()?,
            seam_attributes: cursor.u64()?,
            td_attributes: cursor.u64()?,
            xfam: cursor.u64()?,
            mr_td: *cursor.array()?,
            mr_config_id: *cursor.array()?,
            mr_owner: *cursor.array()?,
            mr_owner_config: *cursor.array()?,
            rtmr: [
                *cursor.array()?,
                *cursor.array()?,
                *cursor.array()?,
                *cursor.array()?,
            ],
            report_data: *cursor.array()?,
            v15: None,
        };
        if !cursor.rest().is_empty() {
            report.v15 = Some(TdReport15::parse(&mut cursor)?);
        }
        cursor.rest().is_empty().then_some(report)
    }
}

impl TdReport15 {
    fn parse(cursor: &mut Cursor<'_>) -> Option<Self> {
        let mut report = Self {
            tee_tcb_svn_2: *cursor.array()?,
            mr_service_td: *cursor.array()?,
            ex: None,
        };
        if !cursor.rest().is_empty() {
            report.ex = Some(TdReport15Ex::parse(cursor)?);
        }
        Some(report)
    }
}

impl TdReport15Ex {
    fn parse(cursor: &mut Cursor<'_>) -> Option<Self> {
        let vm_id = cursor.array::<1>()?;
        let td_id = *cursor.array()?;
        let device_info = *cursor.array()?;
        // The service trust domains and the platform's TCB when the trust domain was created: hash 48,
        // attributes 8, CPU SVN 16, TEE TCB SVN 16, FMSPC 12.
        cursor.take(100)?;
        let current_service_td_hash = *cursor.array()?;
        // Attributes of the service trust domain that is bound now.
        cursor.take(8)?;
        Some(Self {
            vm_id: vm_id[0],
            td_id,
            device_info,
            current_service_td_hash,
        })
    }
}
