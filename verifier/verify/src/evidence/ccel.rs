//! Event logs in the form of the TCG: "PC Client Platform Firmware Profile", section 10.2. TDX firmware
//! keeps one as the ACPI table CCEL, where the register of an event is 1 for RTMR0 to 4 for RTMR3.
//!
//! ```text
//!  TCG_PCClientPCREvent { register u32, EV_NO_ACTION u32, 20 bytes, u32 + "Spec ID Event03" .. }
//!  TCG_PCR_EVENT2 { register u32, type u32, count u32, count x (algorithm u16, digest), u32 + data } ..
//!  0xff or 0x00 to the end of the table
//! ```
//!
//! A log is the firmware's and the guest's word. What replays to the registers of an authentic report
//! has the right digests, in the right order; its event data is still only alleged.

use super::cursor::Cursor;
use thiserror::Error;

/// The longest log: as long as the collector sends (`agent/evidence/src/tdx/event_log.rs`), since a
/// longer one is refused before any policy is asked whether it matters.
pub const MAX_LOG_LEN: usize = 80 * 1024;
/// The most events of a log. A boot by GRUB makes about 200, and with SHA-384 digests, which replay
/// needs, no more than 1241 are as long as [`MAX_LOG_LEN`].
pub const MAX_EVENTS: usize = 2048;
/// `TPM_ALG_SHA384`.
pub const SHA384: u16 = 0x000c;
/// `EV_NO_ACTION`: says something, and is not extended into a register.
pub const EV_NO_ACTION: u32 = 3;

const MAX_ALGORITHMS: usize = 8;
const MAX_DIGEST_LEN: u16 = 64;
const SPEC_ID_SIGNATURE: &[u8; 16] = b"Spec ID Event03\0";

/// An event log, split into its events. All of it is alleged.
#[derive(Debug, Clone)]
pub struct EventLog<'a> {
    events: Vec<Event<'a>>,
}

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event<'a> {
    /// The register that it was extended into.
    pub register: u32,
    /// Its type, such as [`EV_NO_ACTION`].
    pub kind: u32,
    /// A digest for each algorithm that the log declares, in the log's order.
    digests: [Option<(u16, &'a [u8])>; MAX_ALGORITHMS],
    /// What the event says. Nothing but the digest binds it, and not all of it.
    pub data: &'a [u8],
}

/// Why bytes are not an event log.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum LogMalformed {
    /// Longer than the table.
    #[error("event log of {len} bytes is longer than {MAX_LOG_LEN}")]
    TooLong {
        /// Its length.
        len: usize,
    },
    /// It does not begin with "Spec ID Event03" in its old form.
    #[error("event log does not begin with a Spec ID event of version 3: {fault}")]
    SpecId {
        /// What is wrong.
        fault: &'static str,
    },
    /// An event is not whole.
    #[error("event {index} is not whole")]
    Truncated {
        /// Its number, from 0, not counting the first.
        index: usize,
    },
    /// An event does not have one digest for each algorithm that the log declares.
    #[error("event {index} does not have one digest for each declared algorithm")]
    Digests {
        /// Its number.
        index: usize,
    },
    /// More events than a boot makes.
    #[error("event log has more than {MAX_EVENTS} events")]
    TooMany,
}

impl<'a> EventLog<'a> {
    /// Splits a log into its events.
    ///
    /// # Errors
    ///
    /// [`LogMalformed`] for what is not a log in the form with an algorithm agile first event.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, LogMalformed> {
        if bytes.len() > MAX_LOG_LEN {
            return Err(LogMalformed::TooLong { len: bytes.len() });
        }
        let mut cursor = Cursor::new(bytes);
        let algorithms = read_spec_id(&mut cursor)?;
        let mut events = Vec::new();
        while !is_fill(cursor.rest()) {
            let index = events.len();
            if index == MAX_EVENTS {
                return Err(LogMalformed::TooMany);
            }
            events.push(read_event(&mut cursor, &algorithms, index)?);
        }
        Ok(Self { events })
    }

    /// The events, in the order in which they were logged.
    #[must_use]
    pub fn events(&self) -> &[Event<'a>] {
        &self.events
    }
}

impl<'a> Event<'a> {
    /// The digest by `algorithm`, a `TPM_ALG_ID`.
    #[must_use]
    pub fn digest(&self, algorithm: u16) -> Option<&'a [u8]> {
        let mut digests = self.digests.iter().flatten();
        digests
            .find(|(found, _)| *found == algorithm)
            .map(|(_, digest)| *digest)
    }

    /// Whether it changed its register.
    #[must_use]
    pub fn is_extended(&self) -> bool {
        self.kind != EV_NO_ACTION
    }
}

/// The algorithms that a log declares, with the lengths of their digests.
type Algorithms = [Option<(u16, u16)>; MAX_ALGORITHMS];

fn read_spec_id(cursor: &mut Cursor<'_>) -> Result<Algorithms, LogMalformed> {
    let not_whole = LogMalformed::SpecId {
        fault: "it is not whole",
    };
    let (kind, data) = read_first_event(cursor).ok_or(not_whole.clone())?;
    if kind != EV_NO_ACTION {
        let fault = "its type is not EV_NO_ACTION";
        return Err(LogMalformed::SpecId { fault });
    }
    let mut data = Cursor::new(data);
    if data.array() != Some(SPEC_ID_SIGNATURE) {
        let fault = "its signature is another";
        return Err(LogMalformed::SpecId { fault });
    }
    // Platform class, minor and major version, errata, size of UINTN.
    data.take(8).ok_or(not_whole.clone())?;
    read_algorithms(&mut data).ok_or(not_whole)?
}

/// The first event has the old form, with one SHA-1 digest.
fn read_first_event<'a>(cursor: &mut Cursor<'a>) -> Option<(u32, &'a [u8])> {
    // The register: 0 for a TPM, 1 in a CCEL; nothing is extended, so that it does not matter.
    cursor.u32()?;
    let kind = cursor.u32()?;
    cursor.take(20)?;
    Some((kind, cursor.counted_u32()?))
}

/// `None` when it is not whole. What comes after, vendor information, says nothing here.
fn read_algorithms(data: &mut Cursor<'_>) -> Option<Result<Algorithms, LogMalformed>> {
    let count = usize::try_from(data.u32()?).ok()?;
    let mut algorithms = [None; MAX_ALGORITHMS];
    let Some(declared) = algorithms.get_mut(..count).filter(|_| count > 0) else {
        let fault = "it declares no algorithm, or more than 8";
        return Some(Err(LogMalformed::SpecId { fault }));
    };
    for slot in 0..declared.len() {
        let algorithm = data.u16()?;
        let len = data.u16()?;
        if declared
            .iter()
            .flatten()
            .any(|(other, _)| *other == algorithm)
        {
            let fault = "it declares an algorithm twice";
            return Some(Err(LogMalformed::SpecId { fault }));
        }
        if len == 0 || len > MAX_DIGEST_LEN || (algorithm == SHA384 && len != 48) {
            let fault = "it declares a digest of a wrong length";
            return Some(Err(LogMalformed::SpecId { fault }));
        }
        *declared.get_mut(slot)? = Some((algorithm, len));
    }
    Some(Ok(algorithms))
}

/// What is left when the events are over: the register and type that no event has.
fn is_fill(rest: &[u8]) -> bool {
    rest.iter().all(|byte| *byte == 0xff) || rest.iter().all(|byte| *byte == 0)
}

fn read_event<'a>(
    cursor: &mut Cursor<'a>,
    algorithms: &Algorithms,
    index: usize,
) -> Result<Event<'a>, LogMalformed> {
    let truncated = LogMalformed::Truncated { index };
    let register = cursor.u32().ok_or(truncated.clone())?;
    let kind = cursor.u32().ok_or(truncated.clone())?;
    let count = cursor.u32().ok_or(truncated.clone())?;
    let declared = algorithms.iter().flatten().count();
    if usize::try_from(count) != Ok(declared) {
        return Err(LogMalformed::Digests { index });
    }
    let mut digests: [Option<(u16, &[u8])>; MAX_ALGORITHMS] = [None; MAX_ALGORITHMS];
    for slot in 0..declared {
        let algorithm = cursor.u16().ok_or(truncated.clone())?;
        let known = algorithms.iter().flatten();
        let len = known
            .filter(|(name, _)| *name == algorithm)
            .map(|(_, len)| *len)
            .next();
        let is_double = digests
            .iter()
            .flatten()
            .any(|(other, _)| *other == algorithm);
        let (Some(len), false) = (len, is_double) else {
            return Err(LogMalformed::Digests { index });
        };
        let digest = cursor.take(usize::from(len)).ok_or(truncated.clone())?;
        if let Some(slot) = digests.get_mut(slot) {
            *slot = Some((algorithm, digest));
        }
    }
    let data = cursor.counted_u32().ok_or(truncated)?;
    Ok(Event {
        register,
        kind,
        digests,
        data,
    })
}

#[cfg(test)]
mod tests;
