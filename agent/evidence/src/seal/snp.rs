//! The derived key of SEV-SNP (AMD 56860, MSG_KEY_REQ): the chip's key, mixed with what was launched.

use crate::device::{self, DerivedKeyRequest, GuestRequestError, REPORT_LEN};
use crate::seal::derive::derived;
use crate::seal::{Again, Made, Platform, PlatformSecret, SealError};
use std::fmt;
use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use thiserror::Error;

/// Which fields of the guest the key depends on: policy, measurement, guest SVN, TCB version.
const FIELDS: u64 = 1 << 0 | 1 << 3 | 1 << 4 | 1 << 5;
/// The firmware's answer to a TCB version or SVN that is greater than the guest's (56860, table 18).
const INVALID_PARAMS: u32 = 0x16;
/// What these params begin with.
const MAGIC: &[u8; 8] = b"snp key1";
const PARAMS_LEN: usize = 24;

/// The versions of what the platform trusts, one byte a component (AMD 56860, table 3). Written as
/// 16 hex digits, the last component first; no order but each component's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TcbVersion(u64);

/// The text is no TCB version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error(
    "no TCB version: give the 16 hex digits that nitride-quote logs, such as \"db18000000000004\""
)]
pub struct InvalidTcb;

impl FromStr for TcbVersion {
    type Err = InvalidTcb;

    fn from_str(text: &str) -> Result<Self, InvalidTcb> {
        let is_hex = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let number = u64::from_str_radix(text, 16).map_err(|_| InvalidTcb)?;
        is_hex.then_some(Self(number)).ok_or(InvalidTcb)
    }
}

impl fmt::Display for TcbVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl TcbVersion {
    /// Whether any component is older than in `other`.
    fn is_behind(self, other: Self) -> bool {
        let pairs = self.0.to_be_bytes().into_iter().zip(other.0.to_be_bytes());
        pairs.into_iter().any(|(own, other)| own < other)
    }
}

/// The guest device.
#[derive(Debug)]
pub(crate) struct Snp {
    path: PathBuf,
    vmpl: u32,
    min_tcb: TcbVersion,
}

/// What the key is asked with, so that it is the same after the firmware was updated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Params {
    vmpl: u32,
    guest_svn: u32,
    tcb_version: TcbVersion,
}

impl Params {
    fn to_bytes(self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(PARAMS_LEN);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&self.vmpl.to_be_bytes());
        bytes.extend_from_slice(&self.guest_svn.to_be_bytes());
        bytes.extend_from_slice(&self.tcb_version.0.to_be_bytes());
        bytes
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let (magic, rest) = bytes.split_first_chunk::<8>()?;
        let (vmpl, rest) = rest.split_first_chunk::<4>()?;
        let (guest_svn, rest) = rest.split_first_chunk::<4>()?;
        let tcb_version = <[u8; 8]>::try_from(rest).ok()?;
        (magic == MAGIC).then_some(Self {
            vmpl: u32::from_be_bytes(*vmpl),
            guest_svn: u32::from_be_bytes(*guest_svn),
            tcb_version: TcbVersion(u64::from_be_bytes(tcb_version)),
        })
    }

    /// What this guest is now: VMPL (0x30), GUEST_SVN (0x04) and COMMITTED_TCB (0x1E0) of a report
    /// (AMD 56860, table 23). Committed, since the firmware gives no key of a newer version, and
    /// can still be rolled back behind the current one.
    fn of_report(report: &[u8; REPORT_LEN]) -> Option<Self> {
        let word = |at: usize| Some(u32::from_le_bytes(report.get(at..at + 4)?.try_into().ok()?));
        let committed = report.get(0x1e0..0x1e8)?.try_into().ok()?;
        Some(Self {
            vmpl: word(0x30)?,
            guest_svn: word(0x04)?,
            tcb_version: TcbVersion(u64::from_le_bytes(committed)),
        })
    }

    fn request(self) -> DerivedKeyRequest {
        DerivedKeyRequest {
            root_key_select: 0,
            rsvd: 0,
            guest_field_select: FIELDS,
            vmpl: self.vmpl,
            guest_svn: self.guest_svn,
            tcb_version: self.tcb_version.0,
        }
    }
}

impl Snp {
    pub(crate) fn new(path: &Path, vmpl: u32, min_tcb: TcbVersion) -> Self {
        Self {
            path: path.to_owned(),
            vmpl,
            min_tcb,
        }
    }

    /// What this guest is now.
    fn now(&self, device: &File) -> Result<Params, SealError> {
        let action = "say what this guest is";
        let report =
            device::report(device, self.vmpl).map_err(|error| self.faulty(action, error))?;
        let now = Params::of_report(&report)
            .ok_or_else(|| self.faulty(action, "the report is too short"))?;
        match now.vmpl == self.vmpl {
            true => Ok(now),
            false => Err(self.faulty(action, "the report is of another VMPL than was asked for")),
        }
    }

    /// Whoever keeps the params must not choose whose key it is: a less privileged level of this
    /// guest has its own, and whoever broke an older version has that one's.
    fn check(&self, params: Params) -> Result<(), SealError> {
        let reason = if params.vmpl != self.vmpl {
            format!(
                "it is of VMPL {}, and `vmpl` names {}",
                params.vmpl, self.vmpl
            )
        } else if params.tcb_version.is_behind(self.min_tcb) {
            format!(
                "it is of TCB version {}, which is behind the `min-tcb` {}",
                params.tcb_version, self.min_tcb
            )
        } else {
            return Ok(());
        };
        Err(SealError::Changed { reason })
    }

    fn open(&self) -> Result<File, SealError> {
        let opened = OpenOptions::new().read(true).write(true).open(&self.path);
        opened.map_err(|error| SealError::Absent {
            device: self.path.display().to_string(),
            reason: error.to_string(),
        })
    }

    fn faulty(&self, action: &'static str, reason: impl ToString) -> SealError {
        SealError::Faulty {
            device: self.path.display().to_string(),
            action,
            reason: reason.to_string(),
        }
    }

    /// HKDF over the raw key, which other programs of this guest may be given for other purposes.
    fn secret(&self, device: &File, params: Params) -> Result<PlatformSecret, SealError> {
        let raw = PlatformSecret::filled(|key| {
            device::derived_key(device, params.request(), key).map_err(|error| match error {
                GuestRequestError::Status(INVALID_PARAMS) => SealError::Changed {
                    reason: "the firmware was rolled back behind the version, or the guest behind \
                             the SVN, that the secret was made with"
                        .to_owned(),
                },
                error => self.faulty("derive the sealing key", error),
            })
        })?;
        Ok(derived(&[raw.expose()], &[b"snp", &params.to_bytes()]))
    }
}

impl Platform for Snp {
    fn name(&self) -> &'static str {
        "snp"
    }

    fn make(&mut self) -> Result<Made, SealError> {
        let device = self.open()?;
        let params = self.now(&device)?;
        self.check(params)?;
        Ok(Made {
            secret: self.secret(&device, params)?,
            params: params.to_bytes(),
            warnings: vec![format!(
                "every VM of this image on this chip derives the same secret, of TCB version {}",
                params.tcb_version
            )],
        })
    }

    fn again(&mut self, params: &[u8]) -> Result<Again, SealError> {
        let params = Params::parse(params).ok_or_else(|| SealError::Foreign {
            reason: "the params are not of SEV-SNP".to_owned(),
        })?;
        self.check(params)?;
        let device = self.open()?;
        let now = self.now(&device)?;
        let secret = self.secret(&device, params)?;
        let outdated = (params != now).then(|| {
            format!(
                "it is of TCB version {} and guest SVN {}, and this guest has {} and {}",
                params.tcb_version, params.guest_svn, now.tcb_version, now.guest_svn
            )
        });
        Ok(Again { secret, outdated })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snp(path: &str) -> Snp {
        Snp::new(Path::new(path), 0, TcbVersion::default())
    }

    fn report() -> [u8; REPORT_LEN] {
        let mut report = [0xee; REPORT_LEN];
        report[0x04..0x08].copy_from_slice(&[7, 0, 0, 0]);
        report[0x30..0x34].copy_from_slice(&[1, 0, 0, 0]);
        // COMMITTED_TCB; CURRENT_TCB stands at 0x38 and LAUNCH_TCB at 0x1F0.
        report[0x1e0..0x1e8].copy_from_slice(&[4, 0, 0, 0, 0, 0, 0x18, 0xdb]);
        report
    }

    #[test]
    fn the_key_is_asked_for_what_is_committed_and_not_for_what_is_current() {
        let params = Params::of_report(&report()).unwrap();
        assert_eq!((params.vmpl, params.guest_svn), (1, 7));
        assert_eq!(params.tcb_version, TcbVersion(0xdb18_0000_0000_0004));
        let request = params.request();
        assert_eq!(request.guest_field_select, 0b11_1001);
        assert_eq!((request.root_key_select, request.rsvd), (0, 0));
        assert_eq!(request.tcb_version, 0xdb18_0000_0000_0004);
    }

    #[test]
    fn params_read_back_and_nothing_else_does() {
        let params = Params::of_report(&report()).unwrap();
        let bytes = params.to_bytes();
        assert_eq!(Params::parse(&bytes), Some(params));
        for len in 0..bytes.len() {
            assert_eq!(Params::parse(&bytes[..len]), None);
        }
        assert_eq!(Params::parse(&[&bytes[..], b"x"].concat()), None);
        assert_eq!(Params::parse(&[b"snp key2", &bytes[8..]].concat()), None);
    }

    #[test]
    fn a_version_is_behind_where_one_component_is() {
        let version = |text: &str| text.parse::<TcbVersion>().unwrap();
        let least = version("db18000000000004");
        for (text, is_behind) in [
            ("db18000000000004", false),
            ("DC19000000000005", false),
            ("dc17000000000005", true),
            ("ff18000000000003", true),
            ("0000000000000000", true),
        ] {
            assert_eq!(version(text).is_behind(least), is_behind, "{text}");
        }
        assert_eq!(least.to_string(), "db18000000000004");
        for text in ["", "db18", "+b18000000000004", "0xdb18000000000004"] {
            assert_eq!(text.parse::<TcbVersion>(), Err(InvalidTcb), "{text}");
        }
    }

    #[test]
    fn a_device_that_is_not_there_is_named() {
        let refused = snp("/nonexistent/sev-guest").make();
        let error = refused.unwrap_err().to_string();
        assert!(
            error.contains("cannot open /nonexistent/sev-guest"),
            "{error}"
        );
    }

    #[test]
    fn a_device_of_another_kind_is_named_and_gives_nothing() {
        let refused = snp("/dev/null").make();
        assert!(matches!(refused, Err(SealError::Faulty { .. })));
    }
}
