//! TDX quotes of versions 4 and 5, as Intel's `TDX_DCAP_Quoting_Library_API` lays them out.
//!
//! ```text
//!  0        48           (54)                    +584 / 648 / 885
//!  | header | v5: type u16, size u32 | TD report | u32 | signature section | trailing bytes |
//!  `---------------- signed by the attestation key ----´      unsigned, ignored, bounded
//!
//!  signature section: signature 64, attestation key 64, certification data of type 6:
//!      QE report 384, its signature 64, u16 + QE authentication data,
//!      certification data of type 5: the PCK certificate chain in PEM
//! ```
//!
//! To parse a quote says no more than that its bytes are laid out like this.

use super::cursor::Cursor;
use thiserror::Error;

mod td_report;
pub use td_report::{TdReport, TdReport15, TdReport15Ex};

/// The longest quote that is looked at. Quotes are about 5 KiB; configfs-tsm gave at most 32 KiB for
/// years.
pub const MAX_QUOTE_LEN: usize = 32 * 1024;
/// The most bytes after the signature section that are overlooked. The kernel's buffer for a quote is
/// 8 KiB, and some collectors hand over all of it.
pub const MAX_TRAILING_LEN: usize = 8 * 1024;
/// The longest PCK certificate chain: three certificates are below 4 KiB.
pub const MAX_CHAIN_LEN: usize = 16 * 1024;
/// `tee_type` of TDX.
pub const TEE_TYPE_TDX: u32 = 0x81;
/// `attestation_key_type` of ECDSA over P-256 with SHA-256.
pub const KEY_TYPE_ECDSA_P256: u16 = 2;
/// The vendor id of Intel's quoting enclaves, 939A7233-F79C-4CA9-940A-0DB3957F0607.
pub const INTEL_QE_VENDOR_ID: [u8; 16] = [
    0x93, 0x9a, 0x72, 0x33, 0xf7, 0x9c, 0x4c, 0xa9, 0x94, 0x0a, 0x0d, 0xb3, 0x95, 0x7f, 0x06, 0x07,
];

const HEADER_LEN: usize = 48;
const TD_REPORT_10_LEN: usize = 584;
const TD_REPORT_15_LEN: usize = 648;
const TD_REPORT_15_EX_LEN: usize = 885;
/// Certification data: the QE's report with what certifies it.
const CERTIFICATION_QE_REPORT: u16 = 6;
/// Certification data: PCK certificate, its CA and the root, PEM one after the other.
const CERTIFICATION_PCK_CHAIN: u16 = 5;

/// A quote, split into its parts. All of it is alleged.
#[derive(Debug, Clone)]
pub struct TdxQuote<'a> {
    /// 4 or 5.
    pub version: u16,
    /// The version 5 type of the body: 2, 3 or 4; `None` in version 4, which has TD 1.0 only.
    pub body_type: Option<u16>,
    /// What the TDX module reported about the trust domain.
    pub report: TdReport,
    /// The bytes that the attestation key signs: header, body type and size, body.
    pub signed: &'a [u8],
    /// ECDSA P-256 signature over `signed`, r and s big-endian.
    pub signature: &'a [u8; 64],
    /// The attestation key, x and y big-endian.
    pub attestation_key: &'a [u8; 64],
    /// The quoting enclave's own report, by which it vouches for the attestation key.
    pub qe_report: &'a [u8; 384],
    /// The PCK's signature over `qe_report`.
    pub qe_report_signature: &'a [u8; 64],
    /// What the quoting enclave hashed together with the attestation key.
    pub qe_authentication_data: &'a [u8],
    /// The PCK certificate chain, PEM.
    pub pck_chain: &'a [u8],
    /// How many bytes come after the signature section. Nothing signs them.
    pub trailing_len: usize,
}

/// Why bytes are not a TDX quote that can be judged.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum QuoteMalformed {
    /// Longer than any quote.
    #[error("quote of {len} bytes is longer than {MAX_QUOTE_LEN}")]
    TooLong {
        /// Its length.
        len: usize,
    },
    /// It ends before its parts do.
    #[error("quote ends within its {part}")]
    Truncated {
        /// The part that is not whole.
        part: &'static str,
    },
    /// Not version 4 or 5.
    #[error("quote has version {version}, not 4 or 5")]
    Version {
        /// The version.
        version: u16,
    },
    /// Not of TDX.
    #[error("quote is of TEE type {tee_type:#x}, not {TEE_TYPE_TDX:#x} (TDX)")]
    TeeType {
        /// `tee_type`: 0 for SGX.
        tee_type: u32,
    },
    /// Not signed by an ECDSA P-256 attestation key.
    #[error("quote has attestation key type {key_type}, not {KEY_TYPE_ECDSA_P256} (ECDSA P-256)")]
    KeyType {
        /// `attestation_key_type`.
        key_type: u16,
    },
    /// Not made by a quoting enclave of Intel's.
    #[error("quote names another vendor of its quoting enclave than Intel")]
    QeVendor,
    /// A version 5 body that is no TD report.
    #[error("quote has body type {body_type}, not 2, 3 or 4 (TD report)")]
    BodyType {
        /// The type.
        body_type: u16,
    },
    /// The stated size is not that of the type.
    #[error("quote body of type {body_type} states {size} bytes, and has {expected}")]
    BodySize {
        /// The type.
        body_type: u16,
        /// The stated size.
        size: u32,
        /// The size that the type has.
        expected: usize,
    },
    /// Certified in a way that needs more than the quote.
    #[error("quote has certification data of type {found}, not {wanted}")]
    CertificationType {
        /// The type found.
        found: u16,
        /// The type that is understood in this place.
        wanted: u16,
    },
    /// Bytes between the parts.
    #[error("quote has {len} bytes more than its {part} needs")]
    Surplus {
        /// The part.
        part: &'static str,
        /// The number of bytes.
        len: usize,
    },
    /// A certificate chain longer than three certificates are.
    #[error("quote has a certificate chain of {len} bytes, longer than {MAX_CHAIN_LEN}")]
    ChainTooLong {
        /// Its length.
        len: usize,
    },
    /// More after the signature section than a buffer's rest.
    #[error("quote is followed by {len} unsigned bytes, more than {MAX_TRAILING_LEN}")]
    Trailing {
        /// The number of bytes.
        len: usize,
    },
}

impl<'a> TdxQuote<'a> {
    /// Splits a quote into its parts.
    ///
    /// # Errors
    ///
    /// [`QuoteMalformed`] for what is not a whole version 4 or 5 TDX quote by an Intel quoting enclave
    /// with an ECDSA P-256 attestation key and the PCK certificate chain inside.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, QuoteMalformed> {
        if bytes.len() > MAX_QUOTE_LEN {
            return Err(QuoteMalformed::TooLong { len: bytes.len() });
        }
        let mut cursor = Cursor::new(bytes);
        let version = read_header(&mut cursor).ok_or(truncated("header"))??;
        let (body_type, body) = read_body(&mut cursor, version)?;
        let report = TdReport::parse(body).ok_or(truncated("TD report"))?;
        let signed_len = bytes.len().saturating_sub(cursor.rest().len());
        let signed = bytes.get(..signed_len).ok_or(truncated("TD report"))?;
        let section = cursor.counted_u32().ok_or(truncated("signature section"))?;
        let trailing_len = cursor.rest().len();
        if trailing_len > MAX_TRAILING_LEN {
            return Err(QuoteMalformed::Trailing { len: trailing_len });
        }
        let section = read_section(section)?;
        Ok(Self {
            version,
            body_type,
            report,
            signed,
            signature: section.signature,
            attestation_key: section.attestation_key,
            qe_report: section.qe.report,
            qe_report_signature: section.qe.signature,
            qe_authentication_data: section.qe.authentication_data,
            pck_chain: section.qe.pck_chain,
            trailing_len,
        })
    }

    /// The 64 bytes of the quoting enclave's report that bind the attestation key.
    #[must_use]
    pub fn qe_report_data(&self) -> &'a [u8; 64] {
        // The report is 384 bytes and its report data the last 64: sgx_report_body_t.
        self.qe_report.last_chunk().unwrap_or(&[0; 64])
    }

    /// The quoting enclave's security version.
    #[must_use]
    pub fn qe_isv_svn(&self) -> u16 {
        let mut report = Cursor::new(self.qe_report);
        // Everything before ISVSVN in sgx_report_body_t.
        report.take(258);
        report.u16().unwrap_or(0)
    }
}

/// Checks what the header says and gives the version; `None` when it is not whole.
fn read_header(cursor: &mut Cursor<'_>) -> Option<Result<u16, QuoteMalformed>> {
    let mut header = Cursor::new(cursor.take(HEADER_LEN)?);
    let version = header.u16()?;
    let key_type = header.u16()?;
    let tee_type = header.u32()?;
    // QE and PCE security versions: those that count are in the QE report and the PCK certificate.
    header.take(4)?;
    let vendor = header.array::<16>()?;
    Some(if !matches!(version, 4 | 5) {
        Err(QuoteMalformed::Version { version })
    } else if tee_type != TEE_TYPE_TDX {
        Err(QuoteMalformed::TeeType { tee_type })
    } else if key_type != KEY_TYPE_ECDSA_P256 {
        Err(QuoteMalformed::KeyType { key_type })
    } else if *vendor != INTEL_QE_VENDOR_ID {
        Err(QuoteMalformed::QeVendor)
    } else {
        Ok(version)
    })
}

fn read_body<'a>(
    cursor: &mut Cursor<'a>,
    version: u16,
) -> Result<(Option<u16>, &'a [u8]), QuoteMalformed> {
    if version == 4 {
        let body = cursor.take(TD_REPORT_10_LEN);
        return Ok((None, body.ok_or(truncated("TD report"))?));
    }
    let body_type = cursor.u16().ok_or(truncated("body type"))?;
    let size = cursor.u32().ok_or(truncated("body size"))?;
    let expected = match body_type {
        2 => TD_REPORT_10_LEN,
        3 => TD_REPORT_15_LEN,
        4 => TD_REPORT_15_EX_LEN,
        _ => return Err(QuoteMalformed::BodyType { body_type }),
    };
    if usize::try_from(size) != Ok(expected) {
        return Err(QuoteMalformed::BodySize {
            body_type,
            size,
            expected,
        });
    }
    let body = cursor.take(expected).ok_or(truncated("TD report"))?;
    Ok((Some(body_type), body))
}

struct Section<'a> {
    signature: &'a [u8; 64],
    attestation_key: &'a [u8; 64],
    qe: QeCertification<'a>,
}

struct QeCertification<'a> {
    report: &'a [u8; 384],
    signature: &'a [u8; 64],
    authentication_data: &'a [u8],
    pck_chain: &'a [u8],
}

fn read_section(section: &[u8]) -> Result<Section<'_>, QuoteMalformed> {
    let mut cursor = Cursor::new(section);
    let part = "signature section";
    let signature = cursor.array().ok_or(truncated(part))?;
    let attestation_key = cursor.array().ok_or(truncated(part))?;
    let certification = read_certification(&mut cursor, CERTIFICATION_QE_REPORT)?;
    nothing_left(&cursor, part)?;
    Ok(Section {
        signature,
        attestation_key,
        qe: read_qe_certification(certification)?,
    })
}

fn read_qe_certification(bytes: &[u8]) -> Result<QeCertification<'_>, QuoteMalformed> {
    let mut cursor = Cursor::new(bytes);
    let part = "QE certification data";
    let report = cursor.array().ok_or(truncated(part))?;
    let signature = cursor.array().ok_or(truncated(part))?;
    let authentication_data = cursor.counted_u16().ok_or(truncated(part))?;
    let pck_chain = read_certification(&mut cursor, CERTIFICATION_PCK_CHAIN)?;
    nothing_left(&cursor, part)?;
    if pck_chain.len() > MAX_CHAIN_LEN {
        return Err(QuoteMalformed::ChainTooLong {
            len: pck_chain.len(),
        });
    }
    Ok(QeCertification {
        report,
        signature,
        authentication_data,
        pck_chain,
    })
}

fn read_certification<'a>(
    cursor: &mut Cursor<'a>,
    wanted: u16,
) -> Result<&'a [u8], QuoteMalformed> {
    let found = cursor.u16().ok_or(truncated("certification data"))?;
    if found != wanted {
        return Err(QuoteMalformed::CertificationType { found, wanted });
    }
    cursor.counted_u32().ok_or(truncated("certification data"))
}

fn nothing_left(cursor: &Cursor<'_>, part: &'static str) -> Result<(), QuoteMalformed> {
    match cursor.rest().len() {
        0 => Ok(()),
        len => Err(QuoteMalformed::Surplus { part, len }),
    }
}

fn truncated(part: &'static str) -> QuoteMalformed {
    QuoteMalformed::Truncated { part }
}

#[cfg(test)]
mod tests;
