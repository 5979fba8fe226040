//! Answers about the phases of a boot.

use super::{Asked, Desk, Refusal, chain, read, still_there, write};
use nitride_evidence::phase::Phase;
use nitride_protocol::Status;
use nitride_protocol::quote::{PhaseReply, PhaseRequest};

impl Desk {
    pub(super) fn phase(&self, asked: Asked<'_>) -> Result<usize, Refusal> {
        let wanted: PhaseRequest<'_> = read(asked.params)?;
        // What is measured cannot be taken back.
        still_there(asked.by)?;
        let name = wanted.name.to_owned();
        let begun = self.ask(move |devices| {
            let phases = devices.phases.as_ref();
            phases.map(|phases| (phases.register(), phases.begin(&name)))
        })?;
        let Some((register, begun)) = begun else {
            tracing::error!("vhsmd wants a phase measured: give [phases] its register");
            return Err(Status::EvidenceUnavailable.into());
        };
        let Phase { is_new, value } = begun.map_err(|error| {
            tracing::error!(error = chain(&error), "no phase begins");
            Status::EvidenceUnavailable
        })?;
        let value: String = value.iter().map(|byte| format!("{byte:02x}")).collect();
        tracing::info!(
            phase = wanted.name,
            is_new,
            register,
            value,
            "phase measured"
        );
        write(asked.reply, asked.id, &PhaseReply { is_new })
    }
}
