//! Answers about the phases of a boot.

use super::{Asked, Desk, Devices, Refusal, chain, read, still_there, write};
use crate::caller::Admitted;
use nitride_evidence::phase::{Phase, PhaseError, Phases};
use nitride_protocol::Status;
use nitride_protocol::quote::{
    MeasureReleaseReply, MeasureReleaseRequest, PhaseEndReply, PhaseEndRequest, PhaseReply,
    PhaseRequest,
};
use std::sync::Arc;

/// Asked by whoever collects, on the device's thread: an end that was measured before is known by then.
///
/// # Errors
/// [`Status`]: a phase has ended and none has begun since, or nobody knows.
pub(super) fn check_not_between(devices: &Devices) -> Result<(), Status> {
    let is_between = devices.phases.as_ref().map(Phases::is_between);
    let refusal = match is_between {
        None | Some(Ok(false)) => return Ok(()),
        Some(Ok(true)) => PhaseError::Between,
        Some(Err(error)) => error,
    };
    tracing::error!(error = chain(&refusal), "no evidence");
    Err(Status::EvidenceUnavailable)
}

impl Desk {
    pub(super) fn phase(&self, asked: Asked<'_>) -> Result<usize, Refusal> {
        let wanted: PhaseRequest<'_> = read(asked.params)?;
        let is_new = self.measure(asked.by, wanted.name, "phase measured", Phases::begin)?;
        write(asked.reply, asked.id, &PhaseReply { is_new })
    }

    pub(super) fn phase_end(&self, asked: Asked<'_>) -> Result<usize, Refusal> {
        let wanted: PhaseEndRequest<'_> = read(asked.params)?;
        let is_new = self.measure(
            asked.by,
            wanted.name,
            "end of the phase measured",
            Phases::end,
        )?;
        write(asked.reply, asked.id, &PhaseEndReply { is_new })
    }

    pub(super) fn measure_release(&self, asked: Asked<'_>) -> Result<usize, Refusal> {
        let wanted: MeasureReleaseRequest<'_> = read(asked.params)?;
        let key = wanted.key.as_str();
        let is_new = self.measure(asked.by, key, "release measured", Phases::release)?;
        write(asked.reply, asked.id, &MeasureReleaseReply { is_new })
    }

    /// Has `name` measured as `how` does, and says whether it had not been.
    fn measure(
        &self,
        by: &Arc<Admitted>,
        name: &str,
        done: &str,
        how: fn(&Phases, &str) -> Result<Phase, PhaseError>,
    ) -> Result<bool, Refusal> {
        // What is measured cannot be taken back.
        still_there(by)?;
        let owned = name.to_owned();
        let measured = self.ask(move |devices| {
            let phases = devices.phases.as_ref();
            phases.map(|phases| (phases.register(), how(phases, &owned)))
        })?;
        let Some((register, measured)) = measured else {
            tracing::error!("vhsmd wants {name:?} measured: give [phases] its register");
            return Err(Status::EvidenceUnavailable.into());
        };
        let Phase { is_new, value } = measured.map_err(|error| {
            tracing::error!(error = chain(&error), "{name:?} is not measured");
            Status::EvidenceUnavailable
        })?;
        let value: String = value.iter().map(|byte| format!("{byte:02x}")).collect();
        tracing::info!(name, is_new, register, value, "{done}");
        Ok(is_new)
    }
}
