//! Intel TDX: a quote by configfs-tsm, with the event log that its RTMRs are replayed from.

pub(crate) mod event_log;
pub(crate) mod quote;

use crate::collector::{Collect, CollectError, Evidence, REPORT_DATA_LEN, padded};
use crate::settings::{EventLog, TdxSettings};
use crate::tsm::{Reports, Wanted};
use crate::{KernelPaths, OpenError, Tee};
use base64ct::{Base64, Encoding};
use serde::Serialize;
use std::path::PathBuf;
use std::time::Instant;

/// What configfs-tsm's `provider` reads where this TEE serves it.
pub(crate) const PROVIDER: &str = "tdx_guest";

/// The collector.
#[derive(Debug)]
pub(crate) struct Tdx {
    reports: Reports,
    event_log: EventLog,
    acpi_tables: PathBuf,
}

/// `primary_evidence` of `tdx`.
#[derive(Serialize)]
struct EvidenceForm {
    cc_eventlog: Option<String>,
    quote: String,
}

impl Tdx {
    pub(crate) fn open(settings: TdxSettings, paths: &KernelPaths) -> Result<Self, OpenError> {
        let reports =
            Reports::open(&paths.tsm_reports, PROVIDER).map_err(|error| OpenError::Absent {
                tee: Tee::Tdx,
                looked: vec![error.to_string()],
            })?;
        Ok(Self {
            reports,
            event_log: settings.event_log,
            acpi_tables: paths.acpi_tables.clone(),
        })
    }

    /// Read anew for each quote, since measurements go on after the firmware.
    fn event_log(&self, warnings: &mut Vec<String>) -> Result<Option<Vec<u8>>, CollectError> {
        if self.event_log == EventLog::Omitted {
            return Ok(None);
        }
        match event_log::read(&self.acpi_tables) {
            Ok(log) => Ok(Some(log)),
            Err(error) if self.event_log == EventLog::Required => Err(CollectError::Interface {
                tee: Tee::Tdx,
                reason: format!("[tdx] wants the event log: {error}"),
            }),
            Err(error) => {
                warnings.push(format!(
                    "the event log is left out of the evidence: {error}"
                ));
                Ok(None)
            }
        }
    }
}

impl Collect for Tdx {
    fn tee(&self) -> Tee {
        Tee::Tdx
    }

    fn found(&self) -> String {
        format!("configfs-tsm, served by {PROVIDER}")
    }

    fn collect(
        &mut self,
        report_data: &[u8; REPORT_DATA_LEN],
        _by: Instant,
    ) -> Result<Evidence, CollectError> {
        let tee = Tee::Tdx;
        let data = padded(report_data);
        let wanted = Wanted {
            data: &data,
            privlevel: None,
            auxblob: false,
        };
        let blobs = self
            .reports
            .ask(wanted, || {})
            .map_err(|error| CollectError::Interface {
                tee,
                reason: error.to_string(),
            })?;
        let covered =
            quote::report_data(&blobs.outblob).map_err(|error| CollectError::Malformed {
                tee,
                reason: error.to_string(),
            })?;
        if *covered != data {
            return Err(CollectError::OtherData { tee });
        }
        let mut warnings = Vec::new();
        let log = self.event_log(&mut warnings)?;
        let form = EvidenceForm {
            cc_eventlog: log.map(|log| Base64::encode_string(&log)),
            quote: Base64::encode_string(&blobs.outblob),
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
