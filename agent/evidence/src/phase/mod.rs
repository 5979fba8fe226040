//! Phases of a boot, measured: the beginning and the end of each extends a register of the TPM or of
//! TDX by the digest of its name, so that evidence says which have begun and which are over, and none
//! can be gone back to. So does the release of a key that is to be in the evidence.
//!
//! ```text
//! register' = H(register ‖ H(label ‖ name))     H: SHA-256 in a PCR, SHA-384 in an RTMR
//!
//! label   "nitride-phase:"  "nitride-phase-end:"  "nitride-release:"
//! ```
//!
//! One phase is open at a time, and ends before the next begins: whoever comes after it and measures
//! nothing is then attested as one in no phase, and not as one in the phase before.
//!
//! A vault that is started again in its phase asks again, and extends nothing: what was measured stands
//! in a record, written before the register is extended, with what the register held. After a crash
//! the register itself says which of the two happened. Whoever changes the record changes no register.

mod file;
mod record;
mod register;

pub use record::MAX_NAME_LEN;
pub use register::{InvalidRegister, PhaseRegister};

use crate::KernelPaths;
use crate::rtmr::RtmrError;
use file::RecordFile;
use record::{Measured, Record, Step};
use std::path::PathBuf;
use thiserror::Error;

/// Why a phase does not begin or end, or a release is not measured.
#[derive(Debug, Error)]
pub enum PhaseError {
    /// It is no name.
    #[error("{0:?} is no phase: write 1 to {MAX_NAME_LEN} of a-z 0-9 . -")]
    Name(String),
    /// It is no key.
    #[error("{0:?} is no name of a key")]
    Key(String),
    /// It has been left.
    #[error("phase {0:?} has ended: there is no way back but a reboot")]
    Ended(String),
    /// Another one has not been left.
    #[error(
        "phase {name:?} does not begin while {open:?} has not ended: the vault of that phase ends it \
         (vhsm end-phase, or nitride-unlock leave before the switch to the root)"
    )]
    Open {
        /// Which was asked for.
        name: String,
        /// Which it is.
        open: String,
    },
    /// It has not begun.
    #[error("phase {0:?} has not begun, so that it cannot end")]
    NotBegun(String),
    /// The last phase has ended and none has begun since.
    #[error("the phase has ended, and no other has begun since")]
    Between,
    /// More than a boot has.
    #[error("more has been measured than a boot has phases and releases")]
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

/// What was measured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Phase {
    /// Whether it had not been before.
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
    /// [`PhaseError`]: the phase is not measured, or has ended, or another has not.
    pub fn begin(&self, name: &str) -> Result<Phase, PhaseError> {
        self.measure(&Measured::Begun(name.to_owned()))
    }

    /// Ends the phase at hand, once, however often it is ended.
    ///
    /// # Errors
    /// [`PhaseError`]: the end is not measured, or it is another phase.
    pub fn end(&self, name: &str) -> Result<Phase, PhaseError> {
        self.measure(&Measured::Ended(name.to_owned()))
    }

    /// Measures that the secret of `key` is given away, once a boot.
    ///
    /// # Errors
    /// [`PhaseError`]: it is not measured, and may not be given away.
    pub fn release(&self, key: &str) -> Result<Phase, PhaseError> {
        self.measure(&Measured::Released(key.to_owned()))
    }

    /// Whether a phase has ended and none has begun since: whatever runs then has no evidence.
    ///
    /// # Errors
    /// [`PhaseError::Record`]: nobody knows.
    pub fn is_between(&self) -> Result<bool, PhaseError> {
        let file = self.file()?;
        let record = Record::parse(&self.register(), &self.read(&file)?);
        let record = record.map_err(|reason| self.unusable(reason))?;
        Ok(record.is_between())
    }

    fn measure(&self, wanted: &Measured) -> Result<Phase, PhaseError> {
        wanted.check()?;
        let register = self.register();
        let file = self.file()?;
        let record = Record::parse(&register, &self.read(&file)?);
        let mut record = record.map_err(|reason| self.unusable(reason))?;
        let hash = |parts: &[&[u8]]| self.register.hash(parts);
        let mut before = self.register.read(&self.rtmrs)?;
        let mut is_new = true;
        let digest = loop {
            match record.step(&before, wanted, hash)? {
                Step::Nothing => {
                    is_new = false;
                    break None;
                }
                Step::Extend { digest } => break Some(digest),
                Step::Complete { digest } => before = self.extend(&before, &digest)?,
                Step::Record { digest } => {
                    record.push(before.clone(), wanted.clone());
                    file.write(&record.to_text())
                        .map_err(|error| self.unusable(error.to_string()))?;
                    break Some(digest);
                }
            }
        };
        let value = match digest {
            Some(digest) => self.extend(&before, &digest)?,
            None => before,
        };
        Ok(Phase { is_new, value })
    }

    /// Extends the register, and gives what it holds: nobody else has extended it meanwhile.
    fn extend(&self, before: &[u8], digest: &[u8]) -> Result<Vec<u8>, PhaseError> {
        self.register.extend(&self.rtmrs, digest)?;
        let value = self.register.read(&self.rtmrs)?;
        if value == self.register.hash(&[before, digest]) {
            return Ok(value);
        }
        Err(PhaseError::Overtaken {
            register: self.register(),
        })
    }

    fn unusable(&self, reason: String) -> PhaseError {
        let path = self.record.clone();
        PhaseError::Record { path, reason }
    }

    fn file(&self) -> Result<RecordFile, PhaseError> {
        RecordFile::at(&self.record).map_err(|reason| self.unusable(reason))
    }

    fn read(&self, file: &RecordFile) -> Result<String, PhaseError> {
        file.read().map_err(|reason| self.unusable(reason))
    }
}
