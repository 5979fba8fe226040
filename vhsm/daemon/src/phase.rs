//! The phase of the boot that this process belongs to.

use crate::config::Config;
use crate::quote::{self, QuoteFault};
use nitride_protocol::Message;
use nitride_protocol::quote::{PhaseReply, PhaseRequest};

/// Has the configured phase measured, before there is a key that belongs to it. Without one, nothing.
///
/// # Errors
/// [`QuoteFault`]: it is not measured, and no key may be had in it.
pub(crate) fn begin(config: &Config) -> Result<Option<PhaseReply>, QuoteFault> {
    let phase = config.boot.as_ref().and_then(|boot| boot.phase.as_deref());
    let (Some(name), Some(from)) = (phase, &config.evidence) else {
        return Ok(None);
    };
    let mut packet = [0; 256];
    let result = quote::ask(from, &PhaseRequest { name }, &mut packet)?;
    Ok(Some(PhaseReply::decode_last(result)?))
}
