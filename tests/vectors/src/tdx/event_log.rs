//! An event log as TDX firmware keeps it, and the registers that it replays to.

use aws_lc_rs::digest::{SHA384, digest};

/// Events of a boot: register (1 is RTMR0), type, data.
const EVENTS: &[Event] = &[
    (1, 0x8000_000b, b"TdxTable"),
    (1, 0x4, &[0; 4]),
    (2, 0x8000_0003, b"kernel"),
    (3, 0x6, b"initrd and command line"),
    (3, 0x3, b"says something, and is not extended"),
];

/// The log, filled up to its table's end, and RTMR0 to RTMR3.
#[must_use]
pub fn good() -> (Vec<u8>, [[u8; 48]; 4]) {
    log_of(EVENTS.iter())
}

/// The log without what the kernel is measured by.
#[must_use]
pub fn without_an_event() -> Vec<u8> {
    log_of(EVENTS.iter().filter(|(register, ..)| *register != 2)).0
}

type Event = (u32, u32, &'static [u8]);

fn log_of(events: impl Iterator<Item = &'static Event>) -> (Vec<u8>, [[u8; 48]; 4]) {
    let mut log = spec_id();
    let mut rtmr = [[0; 48]; 4];
    for (register, kind, data) in events {
        let hash = digest(&SHA384, data);
        log.extend(register.to_le_bytes());
        log.extend(kind.to_le_bytes());
        log.extend(1u32.to_le_bytes());
        log.extend(0x000cu16.to_le_bytes());
        log.extend(hash.as_ref());
        log.extend(u32::try_from(data.len()).unwrap_or_default().to_le_bytes());
        log.extend(*data);
        if *kind == 3 {
            continue;
        }
        let index = usize::try_from(*register).unwrap_or_default();
        if let Some(rtmr) = index.checked_sub(1).and_then(|index| rtmr.get_mut(index)) {
            let extended = digest(&SHA384, &[rtmr.as_slice(), hash.as_ref()].concat());
            rtmr.copy_from_slice(extended.as_ref());
        }
    }
    log.extend([0xff; 64]);
    (log, rtmr)
}

fn spec_id() -> Vec<u8> {
    let mut event = [1u32.to_le_bytes(), 3u32.to_le_bytes()].concat();
    event.extend([0; 20]);
    event.extend(33u32.to_le_bytes());
    event.extend(b"Spec ID Event03\0");
    event.extend([0, 0, 0, 0, 0, 2, 0, 2]);
    event.extend(1u32.to_le_bytes());
    event.extend([0x0c, 0, 48, 0, 0]);
    event
}
