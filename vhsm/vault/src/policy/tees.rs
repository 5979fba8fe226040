//! Which TEEs a gate may ask for.

use super::{GateRule, PolicyFault};

/// Every TEE that evidence of a machine, or of a device, is named by (the KBS protocol, 0.4.0).
pub const TEES: [&str; 14] = [
    "az-snp-vtpm",
    "az-tdx-vtpm",
    "snp",
    "tdx",
    "sgx",
    "cca",
    "csv",
    "se",
    "tpm",
    "nvidia",
    "nvidia-dpu",
    "hygondcu",
    "sample",
    "sampledevice",
];
/// Those that prove nothing.
pub(crate) const SIMULATED: [&str; 2] = ["sample", "sampledevice"];

impl GateRule {
    /// What is left out of `tees` opens nothing, so that without one nothing would.
    pub(super) fn check_tees(&self) -> Result<(), PolicyFault> {
        let gate = || self.name.clone();
        if self.tees.is_empty() {
            return Err(PolicyFault::NoTee { gate: gate() });
        }
        for tee in &self.tees {
            if !TEES.contains(&tee.as_str()) {
                let (gate, tee) = (gate(), tee.clone());
                return Err(PolicyFault::UnknownTee { gate, tee });
            }
            if SIMULATED.contains(&tee.as_str()) && !self.danger_accept_simulated {
                return Err(PolicyFault::SimulatedTee { gate: gate() });
            }
        }
        Ok(())
    }
}
