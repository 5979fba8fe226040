use crate::Tee;
use crate::sample::{InvalidSvn, Sample};
use thiserror::Error;

/// Length of the report data that a round asks to have covered: one SHA-384 digest.
pub const REPORT_DATA_LEN: usize = 48;

/// What a TEE says about this machine, in the KBS protocol's forms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    /// Which kind of evidence this is.
    pub tee: Tee,
    /// A JSON object as text, of the shape that the KBS protocol gives this TEE.
    pub primary_evidence: String,
    /// A JSON object `{"<device>": evidence}` as text, or `""` without further devices.
    pub additional_evidence: String,
}

/// Why no collector could be made from what is configured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum OpenError {
    /// This build cannot collect from that TEE. Nothing else is tried in its place.
    #[error("cannot open the {0} collector: this build has none")]
    NoCollector(Tee),
    /// Sample evidence proves nothing, so it is not opened like a TEE.
    #[error("cannot open the sample collector: simulation must be stated by `danger-simulated`")]
    SimulationNotStated,
}

/// Why a collector gave no evidence.
#[derive(Debug, Error)]
pub enum CollectError {
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

    /// Asks for evidence that covers exactly `report_data`. May block for as long as the device does.
    fn collect(&mut self, report_data: &[u8; REPORT_DATA_LEN]) -> Result<Evidence, CollectError>;
}

/// The collector of one configured TEE.
#[derive(Debug)]
pub struct Collector {
    interface: Box<dyn Collect>,
}

impl Collector {
    /// Opens the collector of a configured TEE; what is configured and missing is an error.
    pub fn open(tee: Tee) -> Result<Self, OpenError> {
        match tee {
            Tee::Sample => Err(OpenError::SimulationNotStated),
            Tee::Snp | Tee::Tdx | Tee::Tpm | Tee::AzSnpVtpm | Tee::AzTdxVtpm => {
                Err(OpenError::NoCollector(tee))
            }
        }
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

    /// Whether its evidence proves nothing. Whoever runs it says so, loudly.
    pub fn is_simulated(&self) -> bool {
        self.tee() == Tee::Sample
    }

    /// Evidence that covers exactly `report_data`. May block for as long as the device does.
    pub fn collect(
        &mut self,
        report_data: &[u8; REPORT_DATA_LEN],
    ) -> Result<Evidence, CollectError> {
        self.interface.collect(report_data)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configured_tee_that_is_missing_is_an_error_and_never_the_sample() {
        for tee in Tee::ALL.iter().filter(|tee| **tee != Tee::Sample) {
            assert_eq!(
                Collector::open(*tee).err(),
                Some(OpenError::NoCollector(*tee))
            );
        }
    }

    #[test]
    fn the_sample_is_not_opened_like_a_tee() {
        assert_eq!(
            Collector::open(Tee::Sample).err(),
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
