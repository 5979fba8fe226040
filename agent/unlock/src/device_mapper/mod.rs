//! The kernel's own word on a mapping: its table (Linux `include/uapi/linux/dm-ioctl.h`). A mapping's name
//! and UUID are what whoever made it wrote there.
//!
//! ```text
//! request(number) ──sys: DM_TABLE_STATUS──> answer, at most 16 KiB ──parse──> targets
//! ```

mod sys;
#[cfg(test)]
mod tests;

use crate::opened::DeviceNumber;
use nix::errno::Errno;
use std::fs::OpenOptions;
use std::io;
use sys::{BUFFER_LEN, HEADER_LEN};
use thiserror::Error;

/// Where the device mapper is asked.
pub(crate) const CONTROL: &str = "/dev/mapper/control";
/// Targets of one table that are looked at.
const MAX_TARGETS: usize = 64;
/// The interface's first number. A kernel of another one refuses.
const VERSION: u32 = 4;
/// `struct dm_target_spec`, and where its type stands, which has 16 bytes.
const SPEC_LEN: usize = 40;
const KIND_AT: usize = 24;

/// Fields of the header.
const DATA_START_AT: usize = 16;
const TARGET_COUNT_AT: usize = 20;
const FLAGS_AT: usize = 28;
const DEVICE_AT: usize = 40;

/// `DM_STATUS_TABLE_FLAG`: what the table says, and not how it fares.
const ASKS_TABLE: u32 = 1 << 4;
/// `DM_ACTIVE_PRESENT_FLAG`.
const HAS_TABLE: u32 = 1 << 5;
/// `DM_BUFFER_FULL_FLAG`.
const IS_CUT_OFF: u32 = 1 << 8;

/// A part of a mapping.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    /// The first of its sectors in the mapping.
    pub(crate) start: u64,
    /// What it does: `verity`, `crypt`.
    pub(crate) kind: String,
    /// What it was told, as the driver writes it.
    pub(crate) parameters: String,
}

/// Why a table is not known.
#[derive(Debug, Error)]
pub(crate) enum TableError {
    #[error("{CONTROL} cannot be opened")]
    NoControl(#[source] io::Error),
    #[error("the device mapper refuses to show the table of {device}")]
    Refused { device: DeviceNumber, source: Errno },
    #[error("{device} has no table, or one longer than {BUFFER_LEN} bytes")]
    NoTable { device: DeviceNumber },
    #[error("the device mapper's answer is not of the form that is known")]
    Form,
}

/// The table that the mapping `device` works by.
pub(crate) fn table(device: DeviceNumber) -> Result<Vec<Target>, TableError> {
    let mut options = OpenOptions::new();
    let control = options.read(true).write(true).open(CONTROL);
    let control = control.map_err(TableError::NoControl)?;
    let mut buffer = Box::new(request(device));
    sys::table_status(&control, &mut buffer)
        .map_err(|source| TableError::Refused { device, source })?;
    parse(&buffer[..], device)
}

/// A question by number: no name stands in it, and no two devices have one.
fn request(device: DeviceNumber) -> [u8; BUFFER_LEN] {
    let mut buffer = [0; BUFFER_LEN];
    put(&mut buffer, 0, &VERSION.to_ne_bytes());
    put(&mut buffer, FLAGS_AT, &ASKS_TABLE.to_ne_bytes());
    put(&mut buffer, DEVICE_AT, &encoded(device).to_ne_bytes());
    buffer
}

fn put(buffer: &mut [u8], at: usize, bytes: &[u8]) {
    for (to, from) in buffer.iter_mut().skip(at).zip(bytes) {
        *to = *from;
    }
}

/// As the kernel writes a number there (`huge_encode_dev`).
fn encoded(device: DeviceNumber) -> u64 {
    let DeviceNumber { major, minor } = device;
    let (major, minor) = (u64::from(major), u64::from(minor));
    minor & 0xff | major << 8 | (minor & !0xff) << 12
}

/// Reads an answer that is about `device`. The kernel is believed, and its form is checked all the same.
fn parse(answer: &[u8], device: DeviceNumber) -> Result<Vec<Target>, TableError> {
    let flags = number_at(answer, FLAGS_AT)?;
    if flags & HAS_TABLE == 0 || flags & IS_CUT_OFF != 0 {
        return Err(TableError::NoTable { device });
    }
    let start = number_at(answer, DATA_START_AT)? as usize;
    let count = number_at(answer, TARGET_COUNT_AT)? as usize;
    let is_about_it = array_at(answer, DEVICE_AT)? == encoded(device).to_ne_bytes();
    if !is_about_it || start < HEADER_LEN || count > MAX_TARGETS {
        return Err(TableError::Form);
    }
    let specs = answer.get(start..).ok_or(TableError::Form)?;
    let (mut targets, mut at) = (Vec::with_capacity(count), 0);
    while targets.len() < count {
        let (target, next) = target(specs.get(at..).ok_or(TableError::Form)?)?;
        targets.push(target);
        // From the first of them on, and so never back.
        let is_last = targets.len() == count;
        at = match next > at {
            true => next,
            false if is_last => at,
            false => return Err(TableError::Form),
        };
    }
    Ok(targets)
}

/// The target that `bytes` begin with, and where it says that the next one is.
fn target(bytes: &[u8]) -> Result<(Target, usize), TableError> {
    let next = number_at(bytes, 20)? as usize;
    let kind: [u8; SPEC_LEN - KIND_AT] = array_at(bytes, KIND_AT)?;
    let parameters = bytes.get(SPEC_LEN..).ok_or(TableError::Form)?;
    let target = Target {
        start: u64::from_ne_bytes(array_at(bytes, 0)?),
        kind: text(&kind)?,
        parameters: text(parameters)?,
    };
    Ok((target, next))
}

/// The text up to the first NUL, which there has to be.
fn text(bytes: &[u8]) -> Result<String, TableError> {
    let end = bytes.iter().position(|byte| *byte == 0);
    let bytes = &bytes[..end.ok_or(TableError::Form)?];
    let text = std::str::from_utf8(bytes).map_err(|_| TableError::Form)?;
    Ok(text.to_owned())
}

fn number_at(bytes: &[u8], at: usize) -> Result<u32, TableError> {
    Ok(u32::from_ne_bytes(array_at(bytes, at)?))
}

fn array_at<const LEN: usize>(bytes: &[u8], at: usize) -> Result<[u8; LEN], TableError> {
    let array = bytes.get(at..).and_then(|rest| rest.first_chunk());
    array.copied().ok_or(TableError::Form)
}
