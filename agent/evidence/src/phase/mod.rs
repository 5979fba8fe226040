//! Phases of a boot, measured: each extends a register of the TPM or of TDX by the digest of its name,
//! so that evidence says which have begun, and none can be gone back to.
//!
//! ```text
//! register' = H(register ‖ H("nitride-phase:" ‖ name))     H: SHA-256 in a PCR, SHA-384 in an RTMR
//! ```
//!
//! A vault that is started again in its phase asks again, and extends nothing: what was begun stands
//! in a record, written before the register is extended, with what the register held. After a crash
//! the register itself says which of the two happened. Whoever changes the record changes no register.

mod record;
mod register;

pub use record::MAX_NAME_LEN;
pub use register::{InvalidRegister, PhaseRegister};

use crate::KernelPaths;
use crate::rtmr::RtmrError;
use record::{Record, Step};
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use thiserror::Error;

const MAX_RECORD_LEN: u64 = 64 << 10;

/// Why a phase does not begin.
#[derive(Debug, Error)]
pub enum PhaseError {
    /// It is no name.
    #[error("{0:?} is no phase: write 1 to {MAX_NAME_LEN} of a-z 0-9 . -")]
    Name(String),
    /// It has been left.
    #[error(
        "phase {name:?} has ended, and {now:?} has begun since: there is no way back but a reboot"
    )]
    Ended {
        /// Which was asked for.
        name: String,
        /// Which it is.
        now: String,
    },
    /// More than a boot has.
    #[error("more phases have begun than a boot has")]
    TooMany,
    /// The register is not ours alone, or the record is of another boot.
    #[error(
        "{register} does not hold what the phases so far extended it to: something else extends it, or \
         the record is of an earlier boot; give phases a register of their own"
    )]
    Overtaken {
        /// Which.
        register: String,
    },
    /// The record is another register's, or none.
    #[error("the record of phases {} cannot be used: {reason}", .path.display())]
    Record {
        /// Where.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The TPM refuses.
    #[error("the TPM does not {action}: {reason}")]
    Tpm {
        /// What was asked.
        action: &'static str,
        /// What it said.
        reason: String,
    },
    /// TDX refuses.
    #[error(transparent)]
    Rtmr(#[from] RtmrError),
}

/// A phase that has begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Phase {
    /// Whether it had not before.
    pub is_new: bool,
    /// What the register holds.
    pub value: Vec<u8>,
}

/// Where phases are measured, and where their record is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Phases {
    register: PhaseRegister,
    record: PathBuf,
    rtmrs: PathBuf,
}

impl Phases {
    /// `record` is a file in a folder that a reboot empties.
    #[must_use]
    pub fn new(register: PhaseRegister, record: PathBuf, paths: &KernelPaths) -> Self {
        let rtmrs = paths.tdx_measurements.clone();
        Self {
            register,
            record,
            rtmrs,
        }
    }

    /// Which register it is, for people.
    #[must_use]
    pub fn register(&self) -> String {
        self.register.to_string()
    }

    /// Begins a phase, which has then been measured once, however often it is begun.
    ///
    /// # Errors
    /// [`PhaseError`]: the phase is not measured, or has ended.
    pub fn begin(&self, name: &str) -> Result<Phase, PhaseError> {
        let register = self.register();
        let before = self.register.read(&self.rtmrs)?;
        let record = Record::parse(&register, &self.read()?);
        let mut record = record.map_err(|reason| self.unusable(reason))?;
        let hash = |parts: &[&[u8]]| self.register.hash(parts);
        let (is_new, digest) = match record.step(&before, name, hash)? {
            Step::Nothing => {
                let value = before;
                return Ok(Phase {
                    is_new: false,
                    value,
                });
            }
            Step::Extend { digest } => (true, digest),
            Step::Begin { digest } => {
                record.push(before.clone(), name);
                self.write(&record.to_text())
                    .map_err(|error| self.unusable(error.to_string()))?;
                (true, digest)
            }
        };
        self.register.extend(&self.rtmrs, &digest)?;
        let value = self.register.read(&self.rtmrs)?;
        if value == hash(&[&before, &digest]) {
            Ok(Phase { is_new, value })
        } else {
            Err(PhaseError::Overtaken { register })
        }
    }

    fn unusable(&self, reason: String) -> PhaseError {
        let path = self.record.clone();
        PhaseError::Record { path, reason }
    }

    fn read(&self) -> Result<String, PhaseError> {
        let file = match File::open(&self.record) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(String::new()),
            Err(error) => return Err(self.unusable(error.to_string())),
        };
        let mut text = String::new();
        file.take(MAX_RECORD_LEN)
            .read_to_string(&mut text)
            .map_err(|error| self.unusable(error.to_string()))?;
        Ok(text)
    }

    /// All of it or nothing of it.
    fn write(&self, text: &str) -> io::Result<()> {
        let mut name = self.record.clone().into_os_string();
        name.push(".new");
        let new = Path::new(&name);
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        let mut file = options.open(new)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(new, &self.record)
    }
}
