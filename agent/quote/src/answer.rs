//! What is answered to one request.

mod phase;
mod seal;

use crate::caller::{Admitted, NotServed};
use crate::device::{Device, DeviceError, Turn};
use nitride_evidence::phase::Phases;
use nitride_evidence::seal::Sealer;
use nitride_evidence::{Collector, Tee};
use nitride_protocol::limits::MAX_EVIDENCE_LEN;
use nitride_protocol::quote::{EvidenceReply, EvidenceRequest, QuoteOperation};
use nitride_protocol::{Message, Reader, RequestError, Status};
use nitride_protocol::{open_request, refusal_of, write_refusal, write_reply};
use std::sync::Arc;
use std::time::Instant;

/// What the device's thread has.
#[derive(Debug)]
pub(crate) struct Devices {
    /// One for the machine, and one for the devices beside it where there are any.
    pub(crate) collectors: Vec<Collector>,
    pub(crate) sealer: Option<Sealer>,
    pub(crate) phases: Option<Phases>,
}

/// The devices, and what they are without asking them.
#[derive(Debug)]
pub(crate) struct Desk {
    pub(crate) device: Device<Devices>,
    /// The machine's, and that of devices.
    pub(crate) tees: Vec<Tee>,
    /// The sealing platform's word.
    pub(crate) platform: Option<&'static str>,
}

/// A request that was read so far, and the room for its answer.
struct Asked<'r> {
    by: &'r Arc<Admitted>,
    id: u32,
    params: Reader<'r>,
    reply: &'r mut [u8],
}

/// An answer, to be sent.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) len: usize,
    /// The params of a secret that was made for it.
    made: Option<Vec<u8>>,
}

impl From<usize> for Answer {
    fn from(len: usize) -> Self {
        Self { len, made: None }
    }
}

/// Why there is no result.
enum Refusal {
    Answer(Status),
    Close,
}

impl From<Status> for Refusal {
    fn from(status: Status) -> Self {
        Self::Answer(status)
    }
}

impl Desk {
    /// Writes the answer to one request; `None` closes the connection.
    pub(crate) fn answer(
        &self,
        admitted: &Arc<Admitted>,
        request: &[u8],
        reply: &mut [u8],
    ) -> Option<Answer> {
        let (head, params) = match open_request(request) {
            Ok(opened) => opened,
            Err(RequestError { id, error }) => {
                tracing::warn!(error = chain(&error), "malformed request");
                let written = write_refusal(reply, id?, refusal_of(&error));
                return written.ok().map(Answer::from);
            }
        };
        let asked = Asked {
            by: admitted,
            id: head.id,
            params,
            reply: &mut *reply,
        };
        let written = match QuoteOperation::from_wire(head.operation) {
            Some(QuoteOperation::Evidence) => self.evidence(asked).map(Answer::from),
            Some(QuoteOperation::PlatformKey) => self.platform_key(asked),
            Some(QuoteOperation::Counter) => self.counter(asked).map(Answer::from),
            Some(QuoteOperation::Forget) => self.forget(asked).map(Answer::from),
            Some(QuoteOperation::Phase) => self.phase(asked).map(Answer::from),
            Some(QuoteOperation::PhaseEnd) => self.phase_end(asked).map(Answer::from),
            Some(QuoteOperation::MeasureRelease) => self.measure_release(asked).map(Answer::from),
            None => Err(Status::UnknownOperation.into()),
        };
        match written {
            Ok(answer) => Some(answer),
            Err(Refusal::Answer(status)) => {
                let written = write_refusal(reply, head.id, status);
                written.ok().map(Answer::from)
            }
            Err(Refusal::Close) => None,
        }
    }

    fn evidence(&self, asked: Asked<'_>) -> Result<usize, Refusal> {
        let wanted: EvidenceRequest<'_> = read(asked.params)?;
        let mut tees = self.tees.iter().copied();
        let Some(tee) = tees.find(|tee| tee.as_str() == wanted.tee) else {
            tracing::error!(
                wanted = wanted.tee,
                configured = ?self.tees,
                "vhsmd wants evidence of another TEE: its `tee` and ours must be the same, and its \
                 `devices` take a [gpu] here"
            );
            return Err(Status::EvidenceUnavailable.into());
        };
        let began = Instant::now();
        let report_data = *wanted.report_data;
        // What an application has attested keeps no round waiting, nor the seal or a phase.
        let turn = match wanted.yields {
            true => Turn::Yields,
            false => Turn::InOrder,
        };
        let collect = move |devices: &mut Devices, by| {
            phase::check_not_between(devices)?;
            let mut collectors = devices.collectors.iter_mut();
            let collector = collectors.find(|collector| collector.tee() == tee);
            Ok::<_, Status>(collector.map(|collector| collector.collect_by(&report_data, by)))
        };
        let collected = self.ask_device(|device| device.ask_by(turn, collect))??;
        let evidence = collected
            .ok_or(Status::EvidenceUnavailable)?
            .map_err(|error| {
                tracing::error!(error = chain(&error), "no evidence");
                Status::EvidenceUnavailable
            })?;
        let fits = |text: &str| text.len() <= MAX_EVIDENCE_LEN;
        if !fits(&evidence.primary_evidence) || !fits(&evidence.additional_evidence) {
            tracing::error!("evidence is larger than {MAX_EVIDENCE_LEN} bytes");
            return Err(Status::EvidenceUnavailable.into());
        }
        still_there(asked.by)?;
        for warning in &evidence.warnings {
            tracing::warn!("{warning}");
        }
        tracing::info!(tee = %evidence.tee, took_ms = began.elapsed().as_millis(), "evidence given");
        let result = EvidenceReply {
            tee: evidence.tee.as_str(),
            primary_evidence: &evidence.primary_evidence,
            additional_evidence: &evidence.additional_evidence,
        };
        write(asked.reply, asked.id, &result)
    }

    fn ask<R: Send + 'static>(
        &self,
        call: impl FnOnce(&mut Devices) -> R + Send + 'static,
    ) -> Result<R, Refusal> {
        self.ask_device(|device| device.ask(call))
    }

    fn ask_device<R>(
        &self,
        ask: impl FnOnce(&Device<Devices>) -> Result<R, DeviceError>,
    ) -> Result<R, Refusal> {
        ask(&self.device).map_err(|error| {
            tracing::error!(error = chain(&error), "no answer");
            let status = match error {
                DeviceError::TimedOut => Status::TimedOut,
                DeviceError::Busy | DeviceError::Stopped => Status::EvidenceUnavailable,
            };
            status.into()
        })
    }
}

fn read<'a, M: Message<'a>>(params: Reader<'a>) -> Result<M, Refusal> {
    M::decode_last(params).map_err(|error| {
        tracing::warn!(error = chain(&error), "malformed request");
        refusal_of(&error).into()
    })
}

fn write<'a, M: Message<'a>>(reply: &mut [u8], id: u32, result: &M) -> Result<usize, Refusal> {
    write_reply(reply, id, Status::Ok, result).map_err(|error| {
        tracing::error!(error = chain(&error), "the answer is too large to send");
        Status::EvidenceUnavailable.into()
    })
}

/// Asked again before anything leaves: a device may have taken its time.
fn still_there(admitted: &Admitted) -> Result<(), Refusal> {
    admitted.recheck().map_err(|gone| withheld(&gone))
}

fn withheld(gone: &NotServed) -> Refusal {
    tracing::warn!(error = chain(gone), "answer withheld");
    Refusal::Close
}

/// An error with its sources, for the log.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}
