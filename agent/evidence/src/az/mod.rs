//! A confidential VM on Azure: a paravisor that the guest cannot reach into owns the hardware's reports, and
//! gives the guest a virtual TPM.
//!
//! ```text
//! report data ─ NV 0x01400002 ─> paravisor ─ NV 0x01400001 ─> report of the hardware, over
//!                                                              SHA-256(keys, configuration, user data)
//! report data ─ TPM2_Quote by the AK among those keys ──────> report data, PCRs
//! metadata service ────────────────────────────────────────> VCEK, or a quote of the TDREPORT
//! ```
//!
//! The paravisor makes a new report when its old one is read and is more than two seconds old, out of what
//! is written then: so it is read again until it says what it was asked to.

mod hcl;
mod http;
mod metadata;
mod settings;
mod vcek;
mod vtpm;

pub use settings::{AzureHardware, AzureSettings, UserData};

use crate::collector::{Collect, CollectError, Evidence, REPORT_DATA_LEN, padded};
use crate::tpm::QuoteForm;
use crate::tpm::talk::{Quoted, Talk, TalkError};
use crate::{OpenError, Tee, tdx};
use base64ct::{Base64Url, Encoding};
use hcl::{Hardware, Hcl};
use metadata::Metadata;
use serde::Serialize;
use std::thread::sleep;
use std::time::{Duration, Instant};
use tss_esapi::structures::Signature;
use tss_esapi::traits::Marshall;

/// How long the paravisor's report may take to say what it was asked to say. It takes about three seconds.
const REFRESH: Duration = Duration::from_secs(8);
/// Before it is read again.
const PAUSE: Duration = Duration::from_millis(250);

/// The collector. The TPM is opened anew for each quote.
#[derive(Debug)]
pub(crate) struct Azure {
    settings: AzureSettings,
    metadata: Metadata,
    /// The last VCEK that was the chip's.
    vcek: Option<Vec<u8>>,
}

/// `primary_evidence` of `az-snp-vtpm` and `az-tdx-vtpm`.
#[derive(Serialize)]
struct EvidenceForm {
    version: u32,
    tpm_quote: QuoteForm,
    hcl_report: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    vcek: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    td_quote: Option<String>,
}

/// Which hardware a paravisor's report is of, or why there is none, for people.
pub(crate) fn found(tcti: &str) -> Result<AzureHardware, String> {
    let socket = std::path::PathBuf::new();
    let settings = AzureSettings::new(AzureHardware::Snp, tcti, UserData::AsItIs, socket)
        .map_err(|error| error.to_string())?;
    look(&settings)
}

/// The hardware of the paravisor whose report the TPM keeps, and whose key it has.
fn look(settings: &AzureSettings) -> Result<AzureHardware, String> {
    let named = &settings.named;
    let mut tpm = Talk::open(&settings.tpm).map_err(|error| error.to_string())?;
    let report = tpm.kept(vtpm::REPORT).map_err(|error| error.to_string())?;
    let report = report.ok_or_else(|| {
        let at = vtpm::REPORT;
        format!("{named} keeps no report of a paravisor at {at:#010x}: not Azure's")
    })?;
    let hcl = Hcl::parse(&report).map_err(|error| format!("{named}: {error}"))?;
    let key = tpm.paravisors_key().map_err(|error| error.to_string())?;
    if key.is_none() {
        return Err(format!(
            "{named} has no attestation key at {:#010x}",
            vtpm::AK
        ));
    }
    Ok(hcl.hardware.into())
}

impl From<Hardware> for AzureHardware {
    fn from(hardware: Hardware) -> Self {
        match hardware {
            Hardware::Snp => Self::Snp,
            Hardware::Tdx => Self::Tdx,
        }
    }
}

impl Azure {
    pub(crate) fn open(settings: AzureSettings) -> Result<Self, OpenError> {
        let tee = settings.hardware.tee();
        let absent = |why: String| OpenError::Absent {
            tee,
            looked: vec![why],
        };
        let found = look(&settings).map_err(absent)?;
        if found != settings.hardware {
            let found = found.tee();
            return Err(absent(format!(
                "the paravisor's report is of other hardware: this is {found}"
            )));
        }
        let metadata = Metadata {
            socket: settings.metadata_socket.clone(),
            patience: metadata::PATIENCE,
        };
        metadata.look().map_err(|error| absent(error.to_string()))?;
        Ok(Self {
            settings,
            metadata,
            vcek: None,
        })
    }

    fn interface(&self, reason: impl ToString) -> CollectError {
        CollectError::Interface {
            tee: self.tee(),
            reason: reason.to_string(),
        }
    }

    fn malformed(&self, reason: impl ToString) -> CollectError {
        CollectError::Malformed {
            tee: self.tee(),
            reason: reason.to_string(),
        }
    }

    fn told(&self, error: TalkError) -> CollectError {
        match error {
            TalkError::OtherData { .. } => CollectError::OtherData { tee: self.tee() },
            other => self.interface(other),
        }
    }

    /// The paravisor's report, which says `wanted` if that is stated. It is read in parts, between which a
    /// new one may take its place: what is not whole or not bound is read again, too.
    fn report(
        &self,
        tpm: &mut Talk<'_>,
        wanted: Option<&[u8; 64]>,
        by: Instant,
    ) -> Result<Vec<u8>, CollectError> {
        if let Some(wanted) = wanted {
            tpm.say(wanted).map_err(|error| self.told(error))?;
        }
        let deadline = by.min(Instant::now() + REFRESH);
        loop {
            let read = tpm.kept(vtpm::REPORT).map_err(|error| self.told(error))?;
            let report = read.ok_or_else(|| self.interface("the paravisor's report is gone"))?;
            let refusal = match (Hcl::parse(&report), wanted) {
                (Ok(hcl), Some(wanted)) if !hcl.says(wanted) => {
                    CollectError::OtherData { tee: self.tee() }
                }
                (Ok(_), _) => return Ok(report),
                (Err(error), _) => self.malformed(error),
            };
            if Instant::now() + PAUSE >= deadline {
                return Err(refusal);
            }
            sleep(PAUSE);
        }
    }

    /// What proves the hardware's report, in the member that it stands in.
    fn endorsement(
        &mut self,
        hcl: &Hcl<'_>,
        by: Instant,
        warnings: &mut Vec<String>,
    ) -> Result<Vec<u8>, CollectError> {
        if hcl.hardware == Hardware::Tdx {
            let quote = self.metadata.td_quote(hcl.report, by);
            let quote = quote.map_err(|error| self.interface(error))?;
            let covered = tdx::quote::report_data(&quote).map_err(|e| self.malformed(e))?;
            if covered != hcl.report_data {
                return Err(CollectError::OtherData { tee: self.tee() });
            }
            return Ok(quote);
        }
        let kept = self.vcek.as_ref();
        if let Some(vcek) = kept.filter(|vcek| vcek::is_of(vcek, hcl.report)) {
            return Ok(vcek.clone());
        }
        let vcek = self.metadata.vcek(by);
        let vcek = vcek.map_err(|error| self.interface(error))?;
        // Whether it is AMD's, who verifies the evidence says; one that is not the chip's is passed on to
        // them as well, and asked for again.
        match vcek::is_of(&vcek, hcl.report) {
            true => self.vcek = Some(vcek.clone()),
            false => warnings.push(
                "the VCEK of Azure's metadata service is of another chip or TCB than the report: \
                 whoever verifies will refuse it"
                    .to_owned(),
            ),
        }
        Ok(vcek)
    }
}

impl Collect for Azure {
    fn tee(&self) -> Tee {
        self.settings.hardware.tee()
    }

    fn found(&self) -> String {
        let AzureSettings { named, .. } = &self.settings;
        format!("a paravisor's report in {named}")
    }

    fn collect(
        &mut self,
        report_data: &[u8; REPORT_DATA_LEN],
        by: Instant,
    ) -> Result<Evidence, CollectError> {
        let tee = self.tee();
        let settings = self.settings.clone();
        let user_data = padded(report_data);
        let (version, wanted) = match settings.user_data {
            UserData::Bound => (2, Some(&user_data)),
            UserData::AsItIs => (1, None),
        };
        let mut tpm = Talk::open(&settings.tpm).map_err(|error| self.told(error))?;
        let key = tpm.paravisors_key().map_err(|error| self.told(error))?;
        let (key, public) = key.ok_or_else(|| self.interface("the paravisor's key is gone"))?;
        let report = self.report(&mut tpm, wanted, by)?;
        let hcl = Hcl::parse(&report).map_err(|error| self.malformed(error))?;
        if AzureHardware::from(hcl.hardware) != settings.hardware {
            return Err(self.malformed("the paravisor's report is of other hardware by now"));
        }
        if vtpm::modulus(&public) != Some(&hcl.modulus) {
            return Err(self.malformed(format!(
                "the key at {:#010x} is not the one that the paravisor's report names",
                vtpm::AK
            )));
        }
        // The bare 48 bytes: that is the form, and a virtual TPM takes no 64.
        let Quoted {
            attest,
            signature,
            pcrs,
        } = tpm
            .quote(key, report_data)
            .map_err(|error| self.told(error))?;
        drop(tpm);
        let Signature::RsaSsa(signature) = signature else {
            return Err(self.malformed("the paravisor's key signs by another scheme than RSASSA"));
        };
        let message = attest.marshall().map_err(|error| self.malformed(error))?;
        let mut warnings = Vec::new();
        let endorsement = self.endorsement(&hcl, by, &mut warnings)?;
        let endorsement = Some(Base64Url::encode_string(&endorsement));
        let (vcek, td_quote) = match hcl.hardware {
            Hardware::Snp => (endorsement, None),
            Hardware::Tdx => (None, endorsement),
        };
        let form = EvidenceForm {
            version,
            tpm_quote: QuoteForm::hexadecimal(signature.signature().value(), &message, &pcrs),
            hcl_report: Base64Url::encode_string(&report),
            vcek,
            td_quote,
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
