use crate::az::Azure;
use crate::gpu::Gpus;
use crate::sample::{InvalidSvn, Sample};
use crate::snp::Snp;
use crate::tdx::Tdx;
use crate::tpm::Tpm;
use crate::{KernelPaths, Settings, Tee};
use std::time::{Duration, Instant};
use thiserror::Error;

/// Length of the report data that a round asks to have covered: one SHA-384 digest.
pub const REPORT_DATA_LEN: usize = 48;

/// How long evidence may take for somebody who says nothing of it.
const PATIENCE: Duration = Duration::from_secs(120);

/// What a TEE says about this machine, in the KBS protocol's forms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    /// Which kind of evidence this is.
    pub tee: Tee,
    /// A JSON object as text, of the shape that the KBS protocol gives this TEE.
    pub primary_evidence: String,
    /// A JSON object `{"<device>": evidence}` as text, or `""` without further devices.
    pub additional_evidence: String,
    /// What was left out of it, for people: it holds without.
    pub warnings: Vec<String>,
}

/// Why no collector could be made from what is configured.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum OpenError {
    /// This build cannot collect from that TEE. Nothing else is tried in its place.
    #[error("cannot open the {0} collector: this build has none")]
    NoCollector(Tee),
    /// The machine does not have it. Nothing else is tried in its place.
    #[error("cannot open the {tee} collector: {}", .looked.join("; "))]
    Absent {
        /// The configured TEE.
        tee: Tee,
        /// What each of its interfaces said.
        looked: Vec<String>,
    },
    /// Sample evidence proves nothing, so it is not opened like a TEE.
    #[error("cannot open the sample collector: simulation must be stated by `danger-simulated`")]
    SimulationNotStated,
}

/// Why a collector gave no evidence.
#[derive(Debug, Error)]
pub enum CollectError {
    /// The kernel, the firmware or the host did not do what was asked.
    #[error("cannot collect {tee} evidence: {reason}")]
    Interface {
        /// The collector's TEE.
        tee: Tee,
        /// What the interface said.
        reason: String,
    },
    /// What came is not what this TEE gives.
    #[error("the {tee} evidence is malformed: {reason}")]
    Malformed {
        /// The collector's TEE.
        tee: Tee,
        /// What is wrong with it.
        reason: String,
    },
    /// It is somebody else's, or an earlier one: passed on, it would be refused as a replay.
    #[error("the {tee} evidence covers other data than it was asked to cover")]
    OtherData {
        /// The collector's TEE.
        tee: Tee,
    },
    /// The evidence could not be written as JSON.
    #[error("cannot write {tee} evidence as JSON")]
    Encoding {
        /// The collector's TEE.
        tee: Tee,
        /// What the encoder said.
        source: serde_json::Error,
    },
}

/// One interface that gives evidence; its implementations are the collectors.
pub(crate) trait Collect: std::fmt::Debug + Send {
    /// Which kind of evidence this interface gives.
    fn tee(&self) -> Tee;

    /// Which interface of the machine it is, and why that one.
    fn found(&self) -> String;

    /// Asks for evidence that covers exactly `report_data`. What waits for others gives up at `by`;
    /// what the device itself takes nobody can cut short.
    fn collect(
        &mut self,
        report_data: &[u8; REPORT_DATA_LEN],
        by: Instant,
    ) -> Result<Evidence, CollectError>;
}

/// The collector of one configured TEE.
#[derive(Debug)]
pub struct Collector {
    interface: Box<dyn Collect>,
}

impl Collector {
    /// Opens the collector of a configured TEE; what is configured and missing is an error.
    pub fn open(settings: Settings, paths: &KernelPaths) -> Result<Self, OpenError> {
        let interface: Box<dyn Collect> = match settings {
            Settings::Snp(settings) => Box::new(Snp::open(settings, paths)?),
            Settings::Tdx(settings) => Box::new(Tdx::open(settings, paths)?),
            Settings::Tpm(settings) => Box::new(Tpm::open(settings, paths)?),
            Settings::Azure(settings) => Box::new(Azure::open(settings)?),
            Settings::Gpu(settings) => Box::new(Gpus::open(settings)?),
            Settings::Other(Tee::Sample) => return Err(OpenError::SimulationNotStated),
            Settings::Other(tee) => return Err(OpenError::NoCollector(tee)),
        };
        Ok(Self { interface })
    }

    /// A collector without a TEE: its evidence proves nothing, and anybody can make the same.
    ///
    /// `svn` plays the measurement: 1 to [`crate::MAX_SVN_LEN`] of `A-Z a-z 0-9 . _ -`.
    pub fn danger_simulated(svn: &str) -> Result<Self, InvalidSvn> {
        Ok(Self {
            interface: Box::new(Sample::new(svn)?),
        })
    }

    /// Which kind of evidence this collector gives.
    pub fn tee(&self) -> Tee {
        self.interface.tee()
    }

    /// Which interface of the machine it asks, and why that one.
    pub fn found(&self) -> String {
        self.interface.found()
    }

    /// Whether its evidence proves nothing. Whoever runs it says so, loudly.
    pub fn is_simulated(&self) -> bool {
        self.tee() == Tee::Sample
    }

    /// Evidence that covers exactly `report_data`. May block for as long as the device does.
    pub fn collect(
        &mut self,
        report_data: &[u8; REPORT_DATA_LEN],
    ) -> Result<Evidence, CollectError> {
        self.collect_by(report_data, Instant::now() + PATIENCE)
    }

    /// The same for somebody who waits until `by`: after that, nothing more is asked of anybody.
    pub fn collect_by(
        &mut self,
        report_data: &[u8; REPORT_DATA_LEN],
        by: Instant,
    ) -> Result<Evidence, CollectError> {
        self.interface.collect(report_data, by)
    }
}

/// The 64 bytes that SEV-SNP and TDX cover.
pub(crate) fn padded(report_data: &[u8; REPORT_DATA_LEN]) -> [u8; 64] {
    let mut padded = [0; 64];
    for (to, from) in padded.iter_mut().zip(report_data) {
        *to = *from;
    }
    padded
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{SnpInterface, SnpSettings, TdxSettings};
    use std::path::Path;

    /// A machine without any of it.
    fn nothing(folder: &Path) -> KernelPaths {
        KernelPaths {
            tsm_reports: folder.join("report"),
            sev_guest: folder.join("sev-guest"),
            sev_vmpl: folder.join("vmpl"),
            tdx_measurements: folder.join("measurements"),
            acpi_tables: folder.join("tables"),
            bios_measurements: folder.join("bios-measurements"),
            tpm: format!("device:{}", folder.join("tpm").display()),
        }
    }

    #[test]
    fn a_configured_tee_that_is_missing_is_an_error_that_says_where_it_was_looked_for() {
        let folder = tempfile::tempdir().unwrap();
        let paths = nothing(folder.path());
        for (interface, says) in [
            (
                SnpInterface::FirstFound,
                ["Linux 6.7", "sev-guest: No such"],
            ),
            (SnpInterface::ConfigfsTsm, ["Linux 6.7", "module"]),
            (
                SnpInterface::SevGuest,
                ["sev-guest: No such", "cannot open"],
            ),
        ] {
            let vmpl = None;
            let settings = Settings::Snp(SnpSettings { interface, vmpl });
            let error = Collector::open(settings, &paths).unwrap_err().to_string();
            assert!(error.starts_with("cannot open the snp collector: "));
            assert!(says.iter().all(|words| error.contains(words)), "{error}");
        }
        let refused = Collector::open(Settings::Tdx(TdxSettings::default()), &paths);
        assert!(matches!(
            refused,
            Err(OpenError::Absent { tee: Tee::Tdx, .. })
        ));
    }

    #[test]
    fn a_folder_that_is_no_configfs_tsm_is_not_taken_for_one() {
        let folder = tempfile::tempdir().unwrap();
        let paths = nothing(folder.path());
        std::fs::create_dir(&paths.tsm_reports).unwrap();
        let refused = Collector::open(Settings::Tdx(TdxSettings::default()), &paths);
        let error = refused.unwrap_err().to_string();
        assert!(error.contains("cannot read provider"), "{error}");
        let left = std::fs::read_dir(&paths.tsm_reports).unwrap().count();
        assert_eq!(left, 0);
    }

    #[test]
    fn a_tee_without_a_collector_is_an_error_and_never_the_sample() {
        let paths = KernelPaths::of_this_machine();
        for tee in Tee::ALL.iter().copied().filter(|tee| *tee != Tee::Sample) {
            let refused = Collector::open(Settings::Other(tee), &paths).err();
            assert_eq!(refused, Some(OpenError::NoCollector(tee)));
        }
        assert_eq!(
            Collector::open(Settings::Other(Tee::Sample), &paths).err(),
            Some(OpenError::SimulationNotStated)
        );
    }

    #[test]
    fn a_simulated_collector_says_so() {
        let collector = Collector::danger_simulated("1").unwrap();
        assert!(collector.is_simulated());
        assert_eq!(collector.tee(), Tee::Sample);
    }
}
