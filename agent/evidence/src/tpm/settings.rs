use crate::settings::EventLog;
use std::ffi::CString;
use std::path::PathBuf;
use std::str::FromStr;
use thiserror::Error;
use tss_esapi::tcti_ldr::TctiNameConf;

/// A root, two authorities: with the key's own they are all that a verifier reads.
pub const MAX_AUTHORITIES: usize = 3;

/// Which TPM is asked for a quote, by which key, and over what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TpmQuoteSettings {
    pub(super) tcti: TctiNameConf,
    /// For people.
    pub(super) named: String,
    /// One bit a PCR.
    pub(super) pcrs: u32,
    pub(super) key: QuoteKey,
    pub(super) event_log: EventLog,
    /// Certificates in DER of the authorities above the key's own, the root last.
    pub(super) authorities: Vec<PathBuf>,
}

/// Which key signs quotes. All are made from the endorsement hierarchy's seed, the same each time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum QuoteKey {
    /// ECDSA over P-256 with SHA-256.
    #[default]
    EccP256,
    /// RSASSA with 2048 bits and SHA-256.
    Rsa2048,
    /// Google's for P-256, whose template and certificate the TPM keeps.
    GoogleEcc,
    /// Google's for RSA.
    GoogleRsa,
}

impl QuoteKey {
    /// Where the TPM keeps its certificate; its template is at the next index.
    pub(super) fn certificate_index(self) -> Option<u32> {
        match self {
            Self::EccP256 | Self::Rsa2048 => None,
            Self::GoogleRsa => Some(0x01c1_0000),
            Self::GoogleEcc => Some(0x01c1_0002),
        }
    }
}

/// Why no TPM could be so configured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum InvalidTpmQuote {
    /// The transport is not one that is known.
    #[error("the TCTI is none: write such as \"device:/dev/tpmrm0\"")]
    Tcti,
    /// No PCR, one twice, or a number that is none.
    #[error("give different PCRs of 0 to 23")]
    Pcrs,
    /// More certificates than a verifier reads.
    #[error("give at most {MAX_AUTHORITIES} certificates, the root last")]
    Authorities,
}

impl TpmQuoteSettings {
    /// Whether quotes are of the TPM behind `tcti`, and over its PCR `number`.
    pub(crate) fn quotes(&self, tcti: &TctiNameConf, number: u8) -> bool {
        self.tcti == *tcti && self.pcrs >> number & 1 == 1
    }

    /// Of the TPM behind `tcti` (`device:/dev/tpmrm0`), over `pcrs` of its SHA-256 bank, all 24 of them
    /// if none are stated: a Trustee wants all.
    pub fn new(
        tcti: &str,
        pcrs: Option<&[u32]>,
        key: QuoteKey,
        event_log: EventLog,
        authorities: Vec<PathBuf>,
    ) -> Result<Self, InvalidTpmQuote> {
        if authorities.len() > MAX_AUTHORITIES {
            return Err(InvalidTpmQuote::Authorities);
        }
        Ok(Self {
            tcti: TctiNameConf::from_str(tcti).map_err(|_| InvalidTpmQuote::Tcti)?,
            named: format!("the TPM at {tcti}"),
            pcrs: pcrs.map_or(Ok(0x00ff_ffff), mask)?,
            key,
            event_log,
            authorities,
        })
    }

    /// Whether commands go to a device of the kernel and not over a socket, behind which there is a
    /// TPM in software or a stranger.
    #[must_use]
    pub fn is_device(&self) -> bool {
        matches!(self.tcti, TctiNameConf::Device(_))
    }

    /// That device, if it is one: whoever may open it can have quotes of the same key.
    #[must_use]
    pub fn device(&self) -> Option<PathBuf> {
        let tcti = CString::try_from(self.tcti.clone()).ok()?;
        let path = tcti.to_str().ok()?.strip_prefix("device:")?;
        Some(path.into())
    }
}

fn mask(pcrs: &[u32]) -> Result<u32, InvalidTpmQuote> {
    let mut mask = 0u32;
    for pcr in pcrs {
        if *pcr > 23 || mask & 1 << pcr != 0 {
            return Err(InvalidTpmQuote::Pcrs);
        }
        mask |= 1 << pcr;
    }
    match mask {
        0 => Err(InvalidTpmQuote::Pcrs),
        mask => Ok(mask),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(tcti: &str, pcrs: Option<&[u32]>) -> Result<TpmQuoteSettings, InvalidTpmQuote> {
        let key = QuoteKey::default();
        TpmQuoteSettings::new(tcti, pcrs, key, EventLog::IfThere, Vec::new())
    }

    #[test]
    fn what_no_tpm_has_is_named() {
        let device = "device:/dev/tpmrm0";
        assert_eq!(settings(device, Some(&[7, 0])).unwrap().pcrs, 0x81);
        assert_eq!(settings(device, None).unwrap().pcrs, 0x00ff_ffff);
        assert_eq!(settings("tpm0", None).err(), Some(InvalidTpmQuote::Tcti));
        for pcrs in [&[][..], &[24], &[7, 7]] {
            let fault = settings(device, Some(pcrs)).err();
            assert_eq!(fault, Some(InvalidTpmQuote::Pcrs));
        }
        let elsewhere = settings("swtpm:port=2321", None).unwrap();
        assert!(!elsewhere.is_device() && elsewhere.device().is_none());
        let path = settings(device, None).unwrap().device();
        assert_eq!(path, Some("/dev/tpmrm0".into()));
    }
}
