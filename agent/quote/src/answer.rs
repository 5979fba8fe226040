//! What is answered to one request.

use crate::caller::Admitted;
use crate::device::{Device, DeviceError};
use nitride_evidence::seal::{SealError, Sealer};
use nitride_evidence::{Collector, Tee};
use nitride_protocol::limits::MAX_EVIDENCE_LEN;
use nitride_protocol::quote::{
    CounterReply, CounterRequest, EvidenceReply, EvidenceRequest, ForgetRequest, PlatformKeyReply,
    PlatformKeyRequest, QuoteOperation,
};
use nitride_protocol::{Empty, Message, Reader, RequestError, Status};
use nitride_protocol::{open_request, refusal_of, write_refusal, write_reply};
use std::sync::Arc;
use std::time::Instant;

/// What the device's thread has.
#[derive(Debug)]
pub(crate) struct Devices {
    pub(crate) collector: Collector,
    pub(crate) sealer: Option<Sealer>,
}

/// The devices, and what they are without asking them.
#[derive(Debug)]
pub(crate) struct Desk {
    pub(crate) device: Device<Devices>,
    pub(crate) tee: Tee,
    /// The sealing platform's word.
    pub(crate) platform: Option<&'static str>,
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
    /// Writes the answer to one request and returns its length; `None` closes the connection.
    pub(crate) fn answer(
        &self,
        admitted: &Arc<Admitted>,
        request: &[u8],
        reply: &mut [u8],
    ) -> Option<usize> {
        let (head, params) = match open_request(request) {
            Ok(opened) => opened,
            Err(RequestError { id, error }) => {
                tracing::warn!(error = chain(&error), "malformed request");
                return write_refusal(reply, id?, refusal_of(&error)).ok();
            }
        };
        let id = head.id;
        let written = match QuoteOperation::from_wire(head.operation) {
            Some(QuoteOperation::Evidence) => self.evidence(admitted, id, params, reply),
            Some(QuoteOperation::PlatformKey) => self.platform_key(admitted, id, params, reply),
            Some(QuoteOperation::Counter) => self.counter(admitted, id, params, reply),
            Some(QuoteOperation::Forget) => self.forget(admitted, id, params, reply),
            None => Err(Status::UnknownOperation.into()),
        };
        match written {
            Ok(len) => Some(len),
            Err(Refusal::Answer(status)) => write_refusal(reply, id, status).ok(),
            Err(Refusal::Close) => None,
        }
    }

    fn evidence(
        &self,
        admitted: &Arc<Admitted>,
        id: u32,
        params: Reader<'_>,
        reply: &mut [u8],
    ) -> Result<usize, Refusal> {
        let wanted: EvidenceRequest<'_> = read(params)?;
        if wanted.tee != self.tee.as_str() {
            tracing::error!(
                wanted = wanted.tee,
                configured = %self.tee,
                "vhsmd wants evidence of another TEE: its `tee` and ours must be the same"
            );
            return Err(Status::EvidenceUnavailable.into());
        }
        let began = Instant::now();
        let report_data = *wanted.report_data;
        let collected = self.ask(move |devices| devices.collector.collect(&report_data))?;
        let evidence = collected.map_err(|error| {
            tracing::error!(error = chain(&error), "no evidence");
            Status::EvidenceUnavailable
        })?;
        let fits = |text: &str| text.len() <= MAX_EVIDENCE_LEN;
        if !fits(&evidence.primary_evidence) || !fits(&evidence.additional_evidence) {
            tracing::error!("evidence is larger than {MAX_EVIDENCE_LEN} bytes");
            return Err(Status::EvidenceUnavailable.into());
        }
        still_there(admitted)?;
        tracing::info!(tee = %evidence.tee, took_ms = began.elapsed().as_millis(), "evidence given");
        let result = EvidenceReply {
            tee: evidence.tee.as_str(),
            primary_evidence: &evidence.primary_evidence,
            additional_evidence: &evidence.additional_evidence,
        };
        write(reply, id, &result)
    }

    fn platform_key(
        &self,
        admitted: &Arc<Admitted>,
        id: u32,
        params: Reader<'_>,
        reply: &mut [u8],
    ) -> Result<usize, Refusal> {
        let wanted: PlatformKeyRequest<'_> = read(params)?;
        self.expect_platform(wanted.platform)?;
        let params = wanted.params.to_owned();
        let (secret, params, warnings) = self.ask_sealer(move |sealer| {
            if params.is_empty() {
                let made = sealer.make()?;
                Ok((made.secret, made.params, made.warnings))
            } else {
                Ok((sealer.again(&params)?, params, Vec::new()))
            }
        })?;
        still_there(admitted)?;
        for warning in warnings {
            tracing::warn!(platform = wanted.platform, "{warning}");
        }
        let is_new = wanted.params.is_empty();
        tracing::info!(platform = wanted.platform, is_new, "platform part given");
        let result = PlatformKeyReply {
            secret: secret.expose(),
            params: &params,
        };
        write(reply, id, &result)
    }

    fn counter(
        &self,
        admitted: &Arc<Admitted>,
        id: u32,
        params: Reader<'_>,
        reply: &mut [u8],
    ) -> Result<usize, Refusal> {
        let wanted: CounterRequest<'_> = read(params)?;
        self.expect_platform(wanted.platform)?;
        let (params, increment) = (wanted.params.to_owned(), wanted.increment);
        let caller = Arc::clone(admitted);
        // Looked at when its turn has come: no step of a vhsmd that has gone may come after what
        // the next one reads.
        let value = self.ask_sealer(move |sealer| match caller.recheck() {
            Ok(()) => sealer.counter(&params, increment).map(Some),
            Err(_) => Ok(None),
        })?;
        still_there(admitted)?;
        let value = value.ok_or(Refusal::Close)?;
        tracing::debug!(value, increment, "counter");
        write(reply, id, &CounterReply { value })
    }

    fn forget(
        &self,
        admitted: &Arc<Admitted>,
        id: u32,
        params: Reader<'_>,
        reply: &mut [u8],
    ) -> Result<usize, Refusal> {
        let wanted: ForgetRequest<'_> = read(params)?;
        self.expect_platform(wanted.platform)?;
        self.ask_sealer(Sealer::forget)?;
        still_there(admitted)?;
        tracing::warn!("the counter is removed: what was sealed by it is dead");
        write(reply, id, &Empty)
    }

    /// There is no other way from one platform to another than the configuration.
    fn expect_platform(&self, wanted: &str) -> Result<(), Refusal> {
        if self.platform == Some(wanted) {
            return Ok(());
        }
        tracing::error!(
            wanted,
            configured = self.platform.unwrap_or("none"),
            "vhsmd wants another sealing platform: its [seal] and ours must name the same"
        );
        Err(Status::PlatformAbsent.into())
    }

    fn ask_sealer<R: Send + 'static>(
        &self,
        call: impl FnOnce(&mut Sealer) -> Result<R, SealError> + Send + 'static,
    ) -> Result<R, Refusal> {
        let answer = self.ask(move |devices| devices.sealer.as_mut().map(call))?;
        let answer = answer.ok_or(Status::PlatformAbsent)?;
        answer.map_err(|error| {
            tracing::error!(error = chain(&error), "not sealed or opened");
            let status = match error {
                SealError::Absent { .. } | SealError::Faulty { .. } => Status::PlatformAbsent,
                SealError::Changed { .. } => Status::PlatformChanged,
                SealError::Foreign { .. } => Status::PlatformForeign,
                SealError::CounterLost { .. } => Status::CounterLost,
            };
            status.into()
        })
    }

    fn ask<R: Send + 'static>(
        &self,
        call: impl FnOnce(&mut Devices) -> R + Send + 'static,
    ) -> Result<R, Refusal> {
        self.device.ask(call).map_err(|error| {
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
    admitted.recheck().map_err(|error| {
        tracing::warn!(error = chain(&error), "answer withheld");
        Refusal::Close
    })
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
