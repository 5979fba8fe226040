//! AMD SEV-SNP: a report with what certificates the host has, by one of the kernel's interfaces.

mod certificates;
mod pace;
mod report;

use crate::collector::{Collect, CollectError, Evidence, REPORT_DATA_LEN, padded};
use crate::device::{self, GuestRequestError, MAX_CERTS_LEN};
use crate::settings::{SnpInterface, SnpSettings};
use crate::tsm::{Reports, TsmError, Wanted};
use crate::{KernelPaths, OpenError, Tee};
use certificates::{Certificate, certificates};
use pace::Pace;
use report::{EvidenceForm, Report};
use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;
use std::thread::sleep;
use std::time::Instant;

/// What configfs-tsm's `provider` reads where this TEE serves it.
pub(crate) const PROVIDER: &str = "sev_guest";

/// The collector.
#[derive(Debug)]
pub(crate) struct Snp {
    interface: Interface,
    vmpl: Option<u32>,
    /// What the kernel runs at: under an SVSM the firmware refuses a report of VMPL 0 to it, and after
    /// most refusals the kernel wipes its key to the firmware.
    own_vmpl: Option<u32>,
    pace: Pace,
    found: String,
}

#[derive(Debug)]
enum Interface {
    Reports(Reports),
    Device(File),
}

/// A report and the table of certificates beside it, as they came.
struct Answer {
    report: Vec<u8>,
    table: Vec<u8>,
    warning: Option<String>,
}

impl Snp {
    pub(crate) fn open(settings: SnpSettings, paths: &KernelPaths) -> Result<Self, OpenError> {
        let reports = || Reports::open(&paths.tsm_reports, PROVIDER);
        let absent = |looked: Vec<String>| OpenError::Absent {
            tee: Tee::Snp,
            looked,
        };
        let (interface, found) = match settings.interface {
            SnpInterface::ConfigfsTsm => {
                let reports = reports().map_err(|error| absent(vec![error.to_string()]))?;
                by_reports(reports)
            }
            SnpInterface::SevGuest => {
                let device = open_device(&paths.sev_guest).map_err(|error| absent(vec![error]))?;
                let found = format!("{}, as configured", paths.sev_guest.display());
                (Interface::Device(device), found)
            }
            SnpInterface::FirstFound => match reports() {
                Ok(reports) => by_reports(reports),
                Err(error) => {
                    let error = error.to_string();
                    let found = format!("{}, since {error}", paths.sev_guest.display());
                    let device = open_device(&paths.sev_guest)
                        .map_err(|device_error| absent(vec![error, device_error]))?;
                    (Interface::Device(device), found)
                }
            },
        };
        Ok(Self {
            interface,
            vmpl: settings.vmpl,
            own_vmpl: own_vmpl(&paths.sev_vmpl),
            pace: Pace::new(),
            found,
        })
    }

    fn ask(&mut self, data: &[u8; 64]) -> Result<Answer, CollectError> {
        let pace = &mut self.pace;
        // Each request to the firmware counts, also one that is made again.
        let mut wait = || sleep(pace.claim(Instant::now()));
        match &self.interface {
            Interface::Reports(reports) => {
                let wanted = Wanted {
                    data,
                    privlevel: self.vmpl.or(reports.privlevel_floor()),
                    auxblob: true,
                };
                let blobs = reports.ask(wanted, wait).map_err(failed)?;
                Ok(Answer {
                    report: blobs.outblob,
                    table: blobs.auxblob,
                    warning: None,
                })
            }
            Interface::Device(device) => {
                let vmpl = self.vmpl.or(self.own_vmpl).unwrap_or_default();
                let mut certs = Box::new([0; MAX_CERTS_LEN]);
                let mut table = Vec::new();
                wait();
                let answer = device::extended_report(device, data, vmpl, &mut certs);
                let (report, warning) = match answer {
                    Ok(report) => {
                        table.extend_from_slice(&*certs);
                        (report, None)
                    }
                    Err(GuestRequestError::TableTooLong) => {
                        wait();
                        let report = device::report_over(device, data, vmpl).map_err(failed)?;
                        (report, Some(GuestRequestError::TableTooLong.to_string()))
                    }
                    Err(error) => return Err(failed(error)),
                };
                Ok(Answer {
                    report: report.to_vec(),
                    table,
                    warning,
                })
            }
        }
    }
}

fn failed(error: impl Into<InterfaceError>) -> CollectError {
    CollectError::Interface {
        tee: Tee::Snp,
        reason: error.into().0,
    }
}

/// The privilege level that the kernel says it runs at (Linux 6.11).
fn own_vmpl(path: &Path) -> Option<u32> {
    let text = std::fs::read_to_string(path).ok()?;
    let vmpl = text.trim_end().parse::<u32>().ok()?;
    (vmpl <= 3).then_some(vmpl)
}

/// What an interface said.
struct InterfaceError(String);

impl From<TsmError> for InterfaceError {
    fn from(error: TsmError) -> Self {
        Self(error.to_string())
    }
}

impl From<GuestRequestError> for InterfaceError {
    fn from(error: GuestRequestError) -> Self {
        Self(format!("the guest device gives no report: {error}"))
    }
}

fn by_reports(reports: Reports) -> (Interface, String) {
    let floor = reports.privlevel_floor();
    let floor = floor.map_or_else(String::new, |floor| format!(", privlevel_floor {floor}"));
    let found = format!("configfs-tsm, served by {PROVIDER}{floor}");
    (Interface::Reports(reports), found)
}

/// Opens the guest device. The reason says which it was.
pub(crate) fn open_device(path: &Path) -> Result<File, String> {
    let opened = OpenOptions::new().read(true).write(true).open(path);
    opened.map_err(|error: io::Error| format!("cannot open {}: {error}", path.display()))
}

impl Collect for Snp {
    fn tee(&self) -> Tee {
        Tee::Snp
    }

    fn found(&self) -> String {
        self.found.clone()
    }

    fn collect(
        &mut self,
        report_data: &[u8; REPORT_DATA_LEN],
        _by: Instant,
    ) -> Result<Evidence, CollectError> {
        let tee = Tee::Snp;
        let data = padded(report_data);
        let answer = self.ask(&data)?;
        let malformed = |error: report::ReportError| CollectError::Malformed {
            tee,
            reason: error.to_string(),
        };
        let report = Report::parse(&answer.report).map_err(malformed)?;
        if report.report_data() != data {
            return Err(CollectError::OtherData { tee });
        }
        if let Some(wanted) = self.vmpl
            && wanted != report.vmpl()
        {
            return Err(CollectError::Malformed {
                tee,
                reason: format!("the report is of VMPL {}, not {wanted}", report.vmpl()),
            });
        }
        let mut warnings: Vec<String> = answer.warning.into_iter().collect();
        let cert_chain = chain(&answer.table, &mut warnings);
        let form = EvidenceForm {
            attestation_report: report.form(),
            cert_chain,
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

/// The host's certificates. A report stands without them, and whoever verifies can get them from
/// AMD, so that a table which is refused is a warning.
fn chain<'a>(table: &'a [u8], warnings: &mut Vec<String>) -> Option<Vec<Certificate<'a>>> {
    match certificates(table) {
        Ok(found) => Some(found).filter(|found| !found.is_empty()),
        Err(error) => {
            warnings.push(format!(
                "the host's table of certificates is left out of the evidence: {error}"
            ));
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_own_vmpl_is_what_it_says_or_not_known() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("vmpl");
        assert_eq!(own_vmpl(&path), None);
        for (text, vmpl) in [
            ("2\n", Some(2)),
            ("0\n", Some(0)),
            ("4\n", None),
            ("", None),
        ] {
            std::fs::write(&path, text).unwrap();
            assert_eq!(own_vmpl(&path), vmpl, "{text:?}");
        }
    }
}
