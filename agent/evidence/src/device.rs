//! The ioctls of `/dev/sev-guest` (Linux `include/uapi/linux/sev-guest.h`). This file alone has
//! unsafe code.
#![expect(
    unsafe_code,
    reason = "ioctls of the guest device, which have no wrapper"
)]

use std::fs::File;
use std::io;
use std::marker::PhantomData;
use std::os::fd::AsRawFd;
use zeroize::Zeroize;

/// Length of an attestation report (AMD 56860, table 23).
pub(crate) const REPORT_LEN: usize = 1184;
/// What the firmware answers with before the report: status, size, reserved.
const REPORT_HEAD_LEN: usize = 32;
const REPORT_RESPONSE_LEN: usize = 4000;
/// The longest table of certificates that the kernel passes on (`SEV_FW_BLOB_MAX_SIZE`), in pages.
pub(crate) const MAX_CERTS_LEN: usize = CERTS_LEN as usize;
const CERTS_LEN: u32 = 0x4000;
/// What the host says when the table is longer than it may be (`SNP_GUEST_VMM_ERR_INVALID_LEN`).
const INVALID_LEN: u64 = 1;
const KEY_RESPONSE_LEN: usize = 64;
const KEY_RESPONSE_HEAD_LEN: usize = 32;

/// `_IOWR('S', number, struct snp_guest_request_ioctl)`: direction 3, 32 bytes, type, number.
const fn request_code(number: u32) -> u32 {
    3 << 30 | 32 << 16 | (b'S' as u32) << 8 | number
}

/// Why the firmware gave nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GuestRequestError {
    /// The kernel or the firmware refused; of `exitinfo2`, the low half is the firmware's and the
    /// high half the host's.
    #[error("{errno} (firmware and host say {exitinfo2:#x})")]
    Refused { errno: io::Error, exitinfo2: u64 },
    /// The firmware's own status is not 0 (success).
    #[error("firmware status {0:#x}")]
    Status(u32),
    /// The answer has another length than it says or must have.
    #[error("an answer of {0} bytes")]
    Length(usize),
    /// The host's certificates do not fit; nothing is wrong with the firmware.
    #[error("the host's table of certificates is longer than the kernel passes on")]
    TableTooLong,
}

/// `struct snp_guest_request_ioctl`.
#[repr(C)]
struct GuestRequest {
    msg_version: u8,
    req_data: u64,
    resp_data: u64,
    exitinfo2: u64,
}

/// `struct snp_report_req`.
#[repr(C)]
struct ReportRequest {
    user_data: [u8; 64],
    vmpl: u32,
    rsvd: [u8; 28],
}

impl ReportRequest {
    fn new(user_data: &[u8; 64], vmpl: u32) -> Self {
        Self {
            user_data: *user_data,
            vmpl,
            rsvd: [0; 28],
        }
    }
}

/// `struct snp_ext_report_req`, and for how long the memory that it names is its own.
#[repr(C)]
struct ExtendedReportRequest<'a> {
    data: ReportRequest,
    certs_address: u64,
    certs_len: u32,
    certs: PhantomData<&'a mut [u8]>,
}

impl<'a> ExtendedReportRequest<'a> {
    fn new(data: ReportRequest, certs: &'a mut [u8; MAX_CERTS_LEN]) -> Self {
        Self {
            data,
            certs_address: std::ptr::from_mut(certs).expose_provenance() as u64,
            certs_len: CERTS_LEN,
            certs: PhantomData,
        }
    }
}

/// `struct snp_derived_key_req`: 32 bytes, which newer firmware's longer forms are not.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DerivedKeyRequest {
    /// 0 is the VCEK's root.
    pub(crate) root_key_select: u32,
    pub(crate) rsvd: u32,
    pub(crate) guest_field_select: u64,
    pub(crate) vmpl: u32,
    pub(crate) guest_svn: u32,
    pub(crate) tcb_version: u64,
}

/// The report, over zeroes: this asks what the guest is, and proves it to nobody.
pub(crate) fn report(device: &File, vmpl: u32) -> Result<[u8; REPORT_LEN], GuestRequestError> {
    report_over(device, &[0; 64], vmpl)
}

/// The report over `user_data`.
pub(crate) fn report_over(
    device: &File,
    user_data: &[u8; 64],
    vmpl: u32,
) -> Result<[u8; REPORT_LEN], GuestRequestError> {
    let mut response = [0; REPORT_RESPONSE_LEN];
    ask(
        device,
        &mut ReportRequest::new(user_data, vmpl),
        &mut response,
    )?;
    report_of(&response)
}

/// The report over `user_data`, and the table of certificates that the host has for it, which
/// nobody vouches for. What is not the table's stays zero.
pub(crate) fn extended_report(
    device: &File,
    user_data: &[u8; 64],
    vmpl: u32,
    certs: &mut [u8; MAX_CERTS_LEN],
) -> Result<[u8; REPORT_LEN], GuestRequestError> {
    certs.fill(0);
    let mut request = ExtendedReportRequest::new(ReportRequest::new(user_data, vmpl), certs);
    let mut response = [0; REPORT_RESPONSE_LEN];
    match ask(device, &mut request, &mut response) {
        // The kernel asked the firmware again without, so that its key is not lost.
        Err(GuestRequestError::Refused { exitinfo2, .. }) if exitinfo2 >> 32 == INVALID_LEN => {
            return Err(GuestRequestError::TableTooLong);
        }
        answered => answered?,
    }
    report_of(&response)
}

fn report_of(response: &[u8; REPORT_RESPONSE_LEN]) -> Result<[u8; REPORT_LEN], GuestRequestError> {
    succeeded(response)?;
    let size = u32_at(response, 4) as usize;
    match response.get(REPORT_HEAD_LEN..REPORT_HEAD_LEN + REPORT_LEN) {
        Some(report) if size == REPORT_LEN => report
            .try_into()
            .map_err(|_| GuestRequestError::Length(size)),
        _ => Err(GuestRequestError::Length(size)),
    }
}

/// The derived key, written to `key`; every other copy of this process is erased.
pub(crate) fn derived_key(
    device: &File,
    mut request: DerivedKeyRequest,
    key: &mut [u8; 32],
) -> Result<(), GuestRequestError> {
    let mut response = [0; KEY_RESPONSE_LEN];
    let answered = ask(device, &mut request, &mut response).and_then(|()| succeeded(&response));
    for (to, from) in key
        .iter_mut()
        .zip(response.iter().skip(KEY_RESPONSE_HEAD_LEN))
    {
        *to = *from;
    }
    response.zeroize();
    answered
}

fn succeeded(response: &[u8]) -> Result<(), GuestRequestError> {
    match u32_at(response, 0) {
        0 => Ok(()),
        status => Err(GuestRequestError::Status(status)),
    }
}

/// Little-endian, as the firmware writes; 0 past the end, which no caller asks for.
fn u32_at(bytes: &[u8], at: usize) -> u32 {
    match bytes.get(at..at + 4).map(<[u8; 4]>::try_from) {
        Some(Ok(bytes)) => u32::from_le_bytes(bytes),
        _ => 0,
    }
}

/// One request of the kernel's interface.
///
/// # Safety
/// For `CODE` the kernel reads one `Self`, and writes at most one `Response`, one `Self`, and what
/// `Self` names and has borrowed exclusively, any bytes of which are values of their types.
unsafe trait Exchange {
    const CODE: u32;
    type Response;
}

// SAFETY: `snp_guest_ioctl` reads a `struct snp_report_req` for this code, whose layout is that of
// `ReportRequest`, and writes the 4,000 bytes of a `struct snp_report_resp`.
unsafe impl Exchange for ReportRequest {
    const CODE: u32 = request_code(0);
    type Response = [u8; REPORT_RESPONSE_LEN];
}

// SAFETY: `snp_guest_ioctl` reads a `struct snp_derived_key_req` for this code, whose layout is that
// of `DerivedKeyRequest`, and writes the 64 bytes of a `struct snp_derived_key_resp`.
unsafe impl Exchange for DerivedKeyRequest {
    const CODE: u32 = request_code(1);
    type Response = [u8; KEY_RESPONSE_LEN];
}

// SAFETY: `snp_guest_ioctl` reads a `struct snp_ext_report_req` for this code, whose layout is that
// of `ExtendedReportRequest`: its own type, which borrows nothing, comes after all of its fields. It
// writes the 4,000 bytes of a `struct snp_report_resp`, to the request the length that the host
// wants, and at most `certs_len` bytes from `certs_address` on. `new` alone makes the request, with
// address and length of an array that is borrowed exclusively for as long as the request lives.
unsafe impl Exchange for ExtendedReportRequest<'_> {
    const CODE: u32 = request_code(2);
    type Response = [u8; REPORT_RESPONSE_LEN];
}

fn ask<E: Exchange>(
    device: &File,
    request: &mut E,
    response: &mut E::Response,
) -> Result<(), GuestRequestError> {
    let mut call = GuestRequest {
        msg_version: 1,
        req_data: std::ptr::from_mut(request).expose_provenance() as u64,
        resp_data: std::ptr::from_mut(response).expose_provenance() as u64,
        exitinfo2: 0,
    };
    // SAFETY: the descriptor is open for as long as `device` is borrowed. The code says a structure
    // of the length of `GuestRequest`, which `call` is, exclusively ours during the call; the
    // kernel keeps no pointer past it. `req_data` and `resp_data` are the addresses of `request`
    // and `response`, both borrowed exclusively by this function and not touched until the call
    // returns, and by `Exchange` the kernel reads and writes no more than they hold and have borrowed
    // exclusively, nor anything that is no value of theirs. Should the descriptor be another driver's, which has no such
    // code, it answers ENOTTY.
    let result = unsafe { libc::ioctl(device.as_raw_fd(), E::CODE.into(), &raw mut call) };
    match result {
        0 => Ok(()),
        _ => Err(GuestRequestError::Refused {
            errno: io::Error::last_os_error(),
            exitinfo2: call.exitinfo2,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::mem::offset_of;

    /// The values of the kernel's header, compiled there.
    #[test]
    fn codes_and_layouts_are_the_kernels() {
        assert_eq!(ReportRequest::CODE, 0xc020_5300);
        assert_eq!(DerivedKeyRequest::CODE, 0xc020_5301);
        assert_eq!(ExtendedReportRequest::CODE, 0xc020_5302);
        assert_eq!(size_of::<GuestRequest>(), 32);
        assert_eq!(offset_of!(GuestRequest, req_data), 8);
        assert_eq!(offset_of!(GuestRequest, exitinfo2), 24);
        assert_eq!(size_of::<ReportRequest>(), 96);
        assert_eq!(size_of::<DerivedKeyRequest>(), 32);
        assert_eq!(size_of::<ExtendedReportRequest<'_>>(), 112);
        assert_eq!(offset_of!(ExtendedReportRequest<'_>, certs_address), 96);
        assert_eq!(offset_of!(ExtendedReportRequest<'_>, certs_len), 104);
        assert_eq!(offset_of!(DerivedKeyRequest, guest_field_select), 8);
        assert_eq!(offset_of!(DerivedKeyRequest, guest_svn), 20);
        assert_eq!(offset_of!(DerivedKeyRequest, tcb_version), 24);
    }

    #[test]
    fn a_file_that_is_no_such_device_refuses() {
        let file = File::open("/dev/null").unwrap();
        let refused = report(&file, 0).unwrap_err();
        let GuestRequestError::Refused { errno, .. } = refused else {
            panic!("{refused}");
        };
        assert_eq!(errno.raw_os_error(), Some(libc::ENOTTY));
    }
}
