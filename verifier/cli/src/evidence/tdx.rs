//! A TDX quote, and the firmware's event log.

use crate::arguments::TdxArguments;
use nitride_collateral::{Files, Obstacle};
use nitride_verify::{Allegation, TdxAllegation};

/// Longer than any, so that the core names the length of what is too long.
const MAX_LEN: u64 = 256 << 10;

pub(super) fn read(arguments: &TdxArguments, files: &mut Files) -> Result<Allegation, Obstacle> {
    let quote = files.read(&arguments.quote, MAX_LEN)?;
    let event_log = arguments.event_log.as_deref();
    let event_log = event_log.map(|path| files.read(path, MAX_LEN));
    Ok(Allegation::Tdx(TdxAllegation {
        quote,
        event_log: event_log.transpose()?,
    }))
}
