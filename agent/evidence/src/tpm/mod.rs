//! A TPM 2.0 alone: a quote by a restricted key of its endorsement hierarchy.
//!
//! ```text
//! endorsement seed ─ template ─> AK      the same each time; its name is what a verifier pins
//! AK ─ TPM2_Quote ─> report data, PCRs   with the key's public area and the firmware's event log
//! ```
//!
//! It proves what was booted to whoever trusts the TPM's maker, or the host that emulates it. How its key
//! comes to be trusted, [`enrol`] begins.

pub mod enrol;
pub(crate) mod event_log;
pub(crate) mod google;
mod settings;
pub(crate) mod talk;
mod template;

pub use settings::{InvalidTpmQuote, MAX_AUTHORITIES, QuoteKey, TpmQuoteSettings};

use crate::collector::{Collect, CollectError, Evidence, REPORT_DATA_LEN, padded};
use crate::settings::EventLog;
use crate::{KernelPaths, OpenError, Tee};
use base64ct::{Base64, Encoding};
use serde::Serialize;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Instant;
use talk::{Quoted, Talk, TalkError};
use tss_esapi::structures::Public;
use tss_esapi::traits::Marshall;

/// A certificate in DER.
const MAX_CERTIFICATE_LEN: u64 = 8192;

/// The collector. The TPM is opened anew for each quote and left without a trace of ours.
#[derive(Debug)]
pub(crate) struct Tpm {
    settings: TpmQuoteSettings,
    bios_measurements: PathBuf,
}

/// `primary_evidence` of `tpm`: the protocol's three members, and ours after them.
#[derive(Serialize)]
struct EvidenceForm {
    report_data: String,
    tpm_quote: QuoteForm,
    ak_public: String,
    ak_area: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ak_certificates: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    event_log: Option<String>,
}

/// A quote as the protocol's forms have it; how its parts are written, each form says.
#[derive(Serialize)]
pub(crate) struct QuoteForm {
    signature: String,
    message: String,
    pcrs: Vec<String>,
}

impl QuoteForm {
    /// That of Azure's evidence.
    pub(crate) fn hexadecimal(signature: &[u8], message: &[u8], pcrs: &[[u8; 32]; 24]) -> Self {
        Self {
            signature: hexadecimal(signature),
            message: hexadecimal(message),
            pcrs: pcrs.iter().map(|pcr| hexadecimal(pcr)).collect(),
        }
    }
}

impl Tpm {
    pub(crate) fn open(settings: TpmQuoteSettings, paths: &KernelPaths) -> Result<Self, OpenError> {
        if let Err(error) = Talk::open(&settings) {
            return Err(OpenError::Absent {
                tee: Tee::Tpm,
                looked: vec![error.to_string()],
            });
        }
        Ok(Self {
            settings,
            bios_measurements: paths.bios_measurements.clone(),
        })
    }

    fn event_log(&self, warnings: &mut Vec<String>) -> Result<Option<String>, CollectError> {
        if self.settings.event_log == EventLog::Omitted {
            return Ok(None);
        }
        match event_log::read(&self.bios_measurements) {
            Ok(log) => Ok(Some(Base64::encode_string(&log))),
            Err(reason) if self.settings.event_log == EventLog::Required => {
                Err(interface(format!("[tpm] wants the event log: {reason}")))
            }
            Err(reason) => {
                warnings.push(format!(
                    "the event log is left out of the evidence: {reason}"
                ));
                Ok(None)
            }
        }
    }

    /// The key's own, from the TPM, and those above it, from files.
    fn certificates(&self, tpm: &mut Talk<'_>) -> Result<Vec<String>, CollectError> {
        let Some(index) = self.settings.key.certificate_index() else {
            return Ok(Vec::new());
        };
        let own = tpm.kept(index).map_err(told)?;
        let own = own.ok_or_else(|| {
            interface(format!(
                "there is no certificate for its key at {index:#010x}"
            ))
        })?;
        let mut all = vec![Base64::encode_string(without_fill(&own))];
        for path in &self.settings.authorities {
            all.push(Base64::encode_string(&authority(path)?));
        }
        Ok(all)
    }
}

impl Collect for Tpm {
    fn tee(&self) -> Tee {
        Tee::Tpm
    }

    fn found(&self) -> String {
        self.settings.named.clone()
    }

    fn collect(
        &mut self,
        report_data: &[u8; REPORT_DATA_LEN],
        _by: Instant,
    ) -> Result<Evidence, CollectError> {
        let tee = Tee::Tpm;
        let data = padded(report_data);
        let mut tpm = Talk::open(&self.settings).map_err(told)?;
        let (key, public) = tpm.attestation_key().map_err(told)?;
        let Quoted {
            attest,
            signature,
            pcrs,
        } = tpm.quote(key, &data).map_err(told)?;
        let marshalled = |bytes: tss_esapi::Result<Vec<u8>>| {
            bytes
                .map(|bytes| Base64::encode_string(&bytes))
                .map_err(|error| malformed(error.to_string()))
        };
        let mut warnings = Vec::new();
        let form = EvidenceForm {
            report_data: Base64::encode_string(&data),
            tpm_quote: QuoteForm {
                signature: marshalled(signature.marshall())?,
                message: marshalled(attest.marshall())?,
                pcrs: pcrs.iter().map(|pcr| hexadecimal(pcr)).collect(),
            },
            ak_public: spki_of(&public)?,
            ak_area: marshalled(public.marshall())?,
            ak_certificates: self.certificates(&mut tpm)?,
            event_log: self.event_log(&mut warnings)?,
        };
        Ok(Evidence {
            tee,
            primary_evidence: serde_json::to_string(&form)
                .map_err(|source| CollectError::Encoding { tee, source })?,
            additional_evidence: String::new(),
            warnings,
        })
    }
}

fn spki_of(public: &Public) -> Result<String, CollectError> {
    template::spki(public)
        .map(|spki| Base64::encode_string(&spki))
        .map_err(|_| {
            malformed("its attestation key is neither P-256 nor RSA of 2048 bits".to_owned())
        })
}

fn authority(path: &Path) -> Result<Vec<u8>, CollectError> {
    let unreadable = |error| interface(format!("cannot read {}: {error}", path.display()));
    let mut der = Vec::new();
    let file = File::open(path).map_err(unreadable)?;
    file.take(MAX_CERTIFICATE_LEN + 1)
        .read_to_end(&mut der)
        .map_err(unreadable)?;
    if der.len() as u64 > MAX_CERTIFICATE_LEN {
        let path = path.display();
        return Err(interface(format!(
            "{path} has more than {MAX_CERTIFICATE_LEN} bytes: write one certificate in DER to each file"
        )));
    }
    Ok(der)
}

/// A certificate ends where its header says; an index may be longer.
fn without_fill(der: &[u8]) -> &[u8] {
    let len = match der {
        [0x30, 0x82, high, low, ..] => usize::from(u16::from_be_bytes([*high, *low])) + 4,
        _ => der.len(),
    };
    der.get(..len).unwrap_or(der)
}

pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn interface(reason: String) -> CollectError {
    let tee = Tee::Tpm;
    CollectError::Interface { tee, reason }
}

fn malformed(reason: String) -> CollectError {
    let tee = Tee::Tpm;
    CollectError::Malformed { tee, reason }
}

fn told(error: TalkError) -> CollectError {
    match error {
        TalkError::OtherData { .. } => CollectError::OtherData { tee: Tee::Tpm },
        other => interface(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_longer_file_is_no_certificate_and_no_part_of_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("authority.der");
        for (len, is_read) in [(8192, true), (8193, false)] {
            std::fs::write(&path, vec![0x30; len]).unwrap();
            let read = authority(&path);
            assert_eq!(read.map(|der| der.len()).ok(), is_read.then_some(len));
        }
    }

    #[test]
    fn what_an_index_has_after_a_certificate_is_left_out() {
        assert_eq!(
            without_fill(&[0x30, 0x82, 0, 1, 9, 0, 0]),
            [0x30, 0x82, 0, 1, 9]
        );
        assert_eq!(without_fill(&[0x30, 0x82, 1, 0, 9]), [0x30, 0x82, 1, 0, 9]);
        assert_eq!(without_fill(&[1, 2]), [1, 2]);
    }
}
