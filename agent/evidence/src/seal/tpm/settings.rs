use std::ffi::CString;
use std::path::PathBuf;
use std::str::FromStr;
use thiserror::Error;
use tss_esapi::tcti_ldr::TctiNameConf;

/// How many PCRs may be named; a TPM reads as many at once.
pub const MAX_PCRS_LEN: usize = 8;
/// Indices that belong to whoever owns the machine (TCG registry of reserved handles).
const OWNERS_INDICES: std::ops::RangeInclusive<u32> = 0x0180_0000..=0x01bf_ffff;

/// Which TPM, and to what a secret is bound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TpmSettings {
    tcti: TctiNameConf,
    pcrs: u32,
    counter_index: Option<u32>,
    named: String,
}

/// Why no TPM could be so configured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum InvalidTpm {
    /// The transport is not one that is known.
    #[error("the TCTI is none: write such as \"device:/dev/tpmrm0\"")]
    Tcti,
    /// No PCR, too many, one twice, or a number that is none.
    #[error("give 1 to {MAX_PCRS_LEN} different PCRs of 0 to 23")]
    Pcrs,
    /// The index is not of the range that is the owner's.
    #[error("the counter's index is not the owner's: give 0x01800000 to 0x01bfffff")]
    CounterIndex,
}

impl TpmSettings {
    /// Of the TPM behind `tcti` (`device:/dev/tpmrm0`), bound to `pcrs` of its SHA-256 bank, with a
    /// counter at the NV index `counter_index` where there is to be one.
    pub fn new(tcti: &str, pcrs: &[u32], counter_index: Option<u32>) -> Result<Self, InvalidTpm> {
        let mut mask = 0u32;
        for pcr in pcrs {
            if *pcr > 23 || mask & 1 << pcr != 0 {
                return Err(InvalidTpm::Pcrs);
            }
            mask |= 1 << pcr;
        }
        if pcrs.is_empty() || pcrs.len() > MAX_PCRS_LEN {
            return Err(InvalidTpm::Pcrs);
        }
        if counter_index.is_some_and(|index| !OWNERS_INDICES.contains(&index)) {
            return Err(InvalidTpm::CounterIndex);
        }
        Ok(Self {
            tcti: TctiNameConf::from_str(tcti).map_err(|_| InvalidTpm::Tcti)?,
            pcrs: mask,
            counter_index,
            named: format!("the TPM at {tcti}"),
        })
    }

    /// Whether commands go to a device of the kernel and not over a socket, behind which there is
    /// a TPM in software or a stranger.
    pub fn is_device(&self) -> bool {
        matches!(self.tcti, TctiNameConf::Device(_))
    }

    /// That device, if it is one.
    #[must_use]
    pub fn device(&self) -> Option<PathBuf> {
        let tcti = CString::try_from(self.tcti.clone()).ok()?;
        let path = tcti.to_str().ok()?.strip_prefix("device:")?;
        Some(path.into())
    }

    pub(crate) fn tcti(&self) -> &TctiNameConf {
        &self.tcti
    }

    /// One bit a PCR.
    pub(crate) fn pcrs(&self) -> u32 {
        self.pcrs
    }

    pub(crate) fn counter_index(&self) -> Option<u32> {
        self.counter_index
    }

    /// For people.
    pub(crate) fn named(&self) -> &str {
        &self.named
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_tpm_has_is_named() {
        let settings = |tcti: &str, pcrs: &[u32], index| TpmSettings::new(tcti, pcrs, index).err();
        let device = "device:/dev/tpmrm0";
        assert_eq!(settings(device, &[7, 0], Some(0x0180_0000)), None);
        assert_eq!(settings("tpm0", &[7], None), Some(InvalidTpm::Tcti));
        for pcrs in [&[][..], &[24], &[7, 7], &[0, 1, 2, 3, 4, 5, 6, 7, 8]] {
            assert_eq!(settings(device, pcrs, None), Some(InvalidTpm::Pcrs));
        }
        for index in [0, 0x0150_0000, 0x01c0_0000, 0x8100_0001] {
            let fault = settings(device, &[7], Some(index));
            assert_eq!(fault, Some(InvalidTpm::CounterIndex));
        }
    }

    #[test]
    fn a_socket_is_told_from_a_device() {
        let of = |tcti| TpmSettings::new(tcti, &[7], None).unwrap().is_device();
        assert!(of("device:/dev/tpmrm0"));
        assert!(!of("swtpm:host=127.0.0.1,port=2321"));
        let device = |tcti| TpmSettings::new(tcti, &[7], None).unwrap().device();
        assert_eq!(device("device:/dev/tpmrm0"), Some("/dev/tpmrm0".into()));
        assert_eq!(device("swtpm:host=127.0.0.1,port=2321"), None);
    }
}
