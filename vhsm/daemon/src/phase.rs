//! The phase of the boot that this process belongs to.

use crate::config::{Config, Evidence};
use crate::daemon::Daemon;
use crate::event::Event;
use crate::quote::{self, QuoteFault};
use nitride_protocol::quote::{
    MeasureReleaseReply, MeasureReleaseRequest, PhaseEndReply, PhaseEndRequest, PhaseReply,
    PhaseRequest,
};
use nitride_protocol::{KeyName, Message};
use nitride_vault::Measure;

/// Room for an answer of one flag.
const ROOM_LEN: usize = 256;

/// Has the configured phase measured, before there is a key that belongs to it. Without one, nothing.
///
/// # Errors
/// [`QuoteFault`]: it is not measured, and no key may be had in it.
pub(crate) fn begin(config: &Config) -> Result<Option<PhaseReply>, QuoteFault> {
    let Some((name, from)) = configured(config) else {
        return Ok(None);
    };
    let mut room = [0; ROOM_LEN];
    let result = quote::ask(from, &PhaseRequest { name }, &mut room)?;
    Ok(Some(PhaseReply::decode_last(result)?))
}

/// Has its end measured: from then on nobody has evidence of it. Without a phase, nothing.
///
/// # Errors
/// [`QuoteFault`]: it has not ended.
pub(crate) fn end(config: &Config) -> Result<Option<PhaseEndReply>, QuoteFault> {
    let Some((name, from)) = configured(config) else {
        return Ok(None);
    };
    let mut room = [0; ROOM_LEN];
    let result = quote::ask(from, &PhaseEndRequest { name }, &mut room)?;
    Ok(Some(PhaseEndReply::decode_last(result)?))
}

/// How a release is measured, where there is somebody who can.
pub(crate) fn measure(config: &Config) -> Option<Measure> {
    let from = config.evidence.clone()?;
    Some(Box::new(move |key| {
        let measured = release(&from, key);
        if let Err(error) = &measured {
            let key = key.as_str();
            Event::ReleaseNotMeasured { key, error }.emit();
        }
        measured.is_ok().then(Daemon::now)
    }))
}

fn release(from: &Evidence, key: KeyName<'_>) -> Result<MeasureReleaseReply, QuoteFault> {
    let mut room = [0; ROOM_LEN];
    let result = quote::ask(from, &MeasureReleaseRequest { key }, &mut room)?;
    Ok(MeasureReleaseReply::decode_last(result)?)
}

fn configured(config: &Config) -> Option<(&str, &Evidence)> {
    let phase = config.boot.as_ref()?.phase.as_deref()?;
    Some((phase, config.evidence.as_ref()?))
}
