//! The registers that phases can be measured into: those that the system has for itself, that the
//! firmware does not extend, and that nothing but a reboot resets.

use super::PhaseError;
use crate::rtmr::{RTMR_LEN, Rtmr};
use sha2::{Digest, Sha256, Sha384};
use std::fmt;
use std::path::Path;
use std::str::FromStr;
use thiserror::Error;
use tss_esapi::handles::PcrHandle;
use tss_esapi::interface_types::algorithm::HashingAlgorithm;
use tss_esapi::interface_types::session_handles::AuthSession;
use tss_esapi::structures::{Digest as TpmDigest, DigestValues, PcrSelectionListBuilder, PcrSlot};
use tss_esapi::tcti_ldr::TctiNameConf;
use tss_esapi::{Context, Error as TssError};

/// A register that phases are measured into.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PhaseRegister {
    /// Of the SHA-256 bank of a TPM.
    Pcr {
        /// How the TPM is reached.
        tcti: TctiNameConf,
        /// 9 to 15.
        number: u8,
    },
    /// Of TDX.
    Rtmr(Rtmr),
}

/// Why no register is so called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum InvalidRegister {
    /// It is none, the firmware's, that of init-data (8), or one that can be reset (16, 23).
    #[error("no such register for phases: pcr-9 to pcr-15, rtmr-2 or rtmr-3 is expected")]
    Name,
    /// The transport is not one that is known.
    #[error("the TCTI is none: write such as \"device:/dev/tpmrm0\"")]
    Tcti,
}

impl PhaseRegister {
    /// By its name; `tcti` is how a TPM is reached.
    ///
    /// # Errors
    /// [`InvalidRegister`].
    pub fn named(name: &str, tcti: &str) -> Result<Self, InvalidRegister> {
        let rtmr = match name {
            "rtmr-2" => Some(Rtmr::Rtmr2),
            "rtmr-3" => Some(Rtmr::Rtmr3),
            _ => None,
        };
        if let Some(rtmr) = rtmr {
            return Ok(Self::Rtmr(rtmr));
        }
        let number = (9..=15).find(|number| name == format!("pcr-{number}"));
        Ok(Self::Pcr {
            number: number.ok_or(InvalidRegister::Name)?,
            tcti: TctiNameConf::from_str(tcti).map_err(|_| InvalidRegister::Tcti)?,
        })
    }

    pub(super) fn hash(&self, parts: &[&[u8]]) -> Vec<u8> {
        let all = parts.concat();
        match self {
            Self::Pcr { .. } => Sha256::digest(all).to_vec(),
            Self::Rtmr(_) => Sha384::digest(all).to_vec(),
        }
    }

    pub(super) fn read(&self, rtmrs: &Path) -> Result<Vec<u8>, PhaseError> {
        match self {
            Self::Rtmr(rtmr) => Ok(rtmr.read(rtmrs)?.to_vec()),
            Self::Pcr { tcti, number } => {
                let mut context = open(tcti)?;
                read_pcr(&mut context, *number).map_err(|error| tpm("tell its PCR", &error))
            }
        }
    }

    pub(super) fn extend(&self, rtmrs: &Path, digest: &[u8]) -> Result<(), PhaseError> {
        match self {
            Self::Rtmr(rtmr) => {
                let digest = <&[u8; RTMR_LEN]>::try_from(digest);
                let digest = digest.map_err(|_| PhaseError::Overtaken {
                    register: self.to_string(),
                })?;
                rtmr.extend(rtmrs, digest)?;
                Ok(())
            }
            Self::Pcr { tcti, number } => {
                let mut context = open(tcti)?;
                extend_pcr(&mut context, *number, digest)
                    .map_err(|error| tpm("extend its PCR", &error))
            }
        }
    }
}

impl fmt::Display for PhaseRegister {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pcr { number, .. } => write!(f, "pcr-{number}"),
            Self::Rtmr(Rtmr::Rtmr0) => f.write_str("rtmr-0"),
            Self::Rtmr(Rtmr::Rtmr1) => f.write_str("rtmr-1"),
            Self::Rtmr(Rtmr::Rtmr2) => f.write_str("rtmr-2"),
            Self::Rtmr(Rtmr::Rtmr3) => f.write_str("rtmr-3"),
        }
    }
}

fn tpm(action: &'static str, reason: &TssError) -> PhaseError {
    let reason = reason.to_string();
    PhaseError::Tpm { action, reason }
}

fn open(tcti: &TctiNameConf) -> Result<Context, PhaseError> {
    Context::new(tcti.clone()).map_err(|error| tpm("open", &error))
}

fn read_pcr(context: &mut Context, number: u8) -> Result<Vec<u8>, TssError> {
    let slot = PcrSlot::try_from(1u32 << number)?;
    let selection = PcrSelectionListBuilder::new()
        .with_selection(HashingAlgorithm::Sha256, &[slot])
        .build()?;
    let (_, _, values) = context.execute_without_session(|context| context.pcr_read(selection))?;
    // Without the bank nothing is told, which is no value that anything extends to.
    let value = values.value().first().map(|value| value.value().to_vec());
    Ok(value.unwrap_or_default())
}

/// Of the SHA-256 bank alone: no other is quoted.
fn extend_pcr(context: &mut Context, number: u8, digest: &[u8]) -> Result<(), TssError> {
    let handle = match number {
        9 => PcrHandle::Pcr9,
        10 => PcrHandle::Pcr10,
        11 => PcrHandle::Pcr11,
        12 => PcrHandle::Pcr12,
        13 => PcrHandle::Pcr13,
        14 => PcrHandle::Pcr14,
        _ => PcrHandle::Pcr15,
    };
    let mut values = DigestValues::new();
    values.set(HashingAlgorithm::Sha256, TpmDigest::try_from(digest)?);
    context.execute_with_session(Some(AuthSession::Password), |context| {
        context.pcr_extend(handle, values)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registers_of_others_are_none_for_phases() {
        let tcti = "device:/dev/tpmrm0";
        for name in ["pcr-9", "pcr-12", "pcr-15", "rtmr-2", "rtmr-3"] {
            assert_eq!(PhaseRegister::named(name, tcti).unwrap().to_string(), name);
        }
        for name in [
            "", "pcr-0", "pcr-7", "pcr-8", "pcr-16", "pcr-23", "pcr-012", "rtmr-0", "rtmr-1",
            "rtmr-4", "12",
        ] {
            let refused = PhaseRegister::named(name, tcti);
            assert_eq!(refused, Err(InvalidRegister::Name), "{name}");
        }
        let refused = PhaseRegister::named("pcr-12", "tpm0");
        assert_eq!(refused, Err(InvalidRegister::Tcti));
    }
}
