//! Encrypting and decrypting shared memory: from the peer's memory into a private window, through
//! the cipher into a second one, and from there back. What the peer changes meanwhile changes what
//! is encrypted, as it would have before; it is never read twice.

use super::buffers::{ChargedBuf, NoRoom};
use super::quota::Account;
use super::seat::Seat;
use super::shared::SharedFault;
use crate::daemon::Daemon;
use crate::randomness::SystemDraw;
use crate::seal::NotSealed;
use nitride_ipc::memory::{OutOfBounds, SharedMemory};
use nitride_protocol::Status;
use nitride_vault::{BULK_CHUNK_LEN, BULK_PREFIX_LEN, Bulk, BulkRequest, Outcome, Refusal, Used};
use std::sync::Arc;

/// Bytes that a chunk is longer when it is encrypted: the tag.
const TAG_LEN: usize = 16;

/// Why shared memory was not worked on, or not to the end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BulkFault {
    /// The memory cannot be had.
    #[error(transparent)]
    Shared(#[from] SharedFault),
    /// There is no room for the private windows.
    #[error(transparent)]
    Room(#[from] NoRoom),
    /// Input or output is not inside the memory.
    #[error("input or output is not inside the shared memory")]
    Outside(#[from] OutOfBounds),
    /// They overlap: the output would be read as input.
    #[error("input and output overlap")]
    Overlap,
    /// The vault refuses.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The use is in no sealed file.
    #[error(transparent)]
    NotSealed(#[from] NotSealed),
}

impl BulkFault {
    /// What the peer learns.
    pub(super) fn status(&self) -> Status {
        match self {
            Self::Shared(fault) => fault.status(),
            Self::Room(no_room) => no_room.status(),
            Self::Outside(_) | Self::Overlap => Status::Malformed,
            Self::Refused(refusal) => refusal.status(),
            Self::NotSealed(_) => Status::SealUnavailable,
        }
    }
}

impl SharedFault {
    /// What the peer learns.
    pub(super) fn status(&self) -> Status {
        match self {
            Self::NoBuffer { .. } => Status::BufferNotFound,
            Self::Quota(_) | Self::TooManyBuffers => Status::QuotaExceeded,
            Self::Memory(_) | Self::NoMemory | Self::Unannounced => Status::Malformed,
        }
    }
}

/// Has what was used sealed, and whatever the request has changed.
type Settle<'s> = &'s dyn Fn(Option<Used>, bool) -> Result<(), NotSealed>;

/// What a bulk request came to: an outcome as of any other, or why there is none. `settle` has what
/// was used sealed: the peer reads its memory before there is a reply.
pub(super) fn perform_bulk(
    daemon: &Daemon,
    seat: &mut Seat,
    (request, settle): (&BulkRequest, Settle<'_>),
    account: &Arc<Account>,
    reply: &mut [u8],
) -> Result<Outcome, BulkFault> {
    let buffer = seat.buffers.find(request.buffer(), account)?;
    let memory = buffer.memory();
    check_places(request, memory.len())?;
    let mut prefix = [0; BULK_PREFIX_LEN];
    let prefix = if request.is_sealing() {
        &[]
    } else {
        memory.read_at(request.input_offset(), &mut prefix)?;
        &prefix[..]
    };
    let mut windows = Windows::new(account)?;
    let session = &mut seat.session;
    let now = Daemon::now();
    let started = daemon
        .vault
        .start_bulk(session, request, prefix, now, &mut SystemDraw, reply);
    let mut bulk = match started {
        Ok(bulk) => bulk,
        Err(outcome) => return Ok(outcome),
    };
    settle(session.used(), session.has_changed())?;
    if request.is_sealing() {
        seal(request, memory, &mut bulk, &mut windows)?;
    } else if let Err(fault) = open(request, memory, &mut bulk, &mut windows) {
        // What was released belongs to a message that is not whole.
        erase(request, memory, &mut windows)?;
        return Err(fault);
    }
    Ok(bulk.write_reply(reply))
}

/// Both places are inside, and apart.
fn check_places(request: &BulkRequest, len: u64) -> Result<(), BulkFault> {
    let end = |offset: u64, part: u64| offset.checked_add(part).filter(|end| *end <= len);
    let (input, output) = (request.input_offset(), request.output_offset());
    let input_end = end(input, request.input_len()).ok_or(OutOfBounds)?;
    let output_end = end(output, request.output_len()).ok_or(OutOfBounds)?;
    if input < output_end && output < input_end {
        return Err(BulkFault::Overlap);
    }
    Ok(())
}

/// The two private windows, in the arena.
struct Windows {
    input: ChargedBuf,
    output: ChargedBuf,
}

impl Windows {
    fn new(account: &Arc<Account>) -> Result<Self, NoRoom> {
        Ok(Self {
            input: ChargedBuf::with_len(BULK_CHUNK_LEN + TAG_LEN, account)?,
            output: ChargedBuf::with_len(BULK_CHUNK_LEN + TAG_LEN, account)?,
        })
    }
}

fn seal(
    request: &BulkRequest,
    memory: &SharedMemory,
    bulk: &mut Bulk,
    windows: &mut Windows,
) -> Result<(), BulkFault> {
    let mut output = request.output_offset();
    memory.write_at(output, bulk.prefix())?;
    output += BULK_PREFIX_LEN as u64;
    let parts = Parts::new(request.input_offset(), request.input_len(), BULK_CHUNK_LEN);
    for (input, len) in parts {
        let sealed = step(memory, (input, len, output), windows, |from, to| {
            bulk.seal_chunk(from, to)
        })?;
        output += sealed as u64;
    }
    Ok(())
}

fn open(
    request: &BulkRequest,
    memory: &SharedMemory,
    bulk: &mut Bulk,
    windows: &mut Windows,
) -> Result<(), BulkFault> {
    let prefix_len = BULK_PREFIX_LEN as u64;
    let mut output = request.output_offset();
    let parts = Parts::new(
        request.input_offset() + prefix_len,
        request.input_len().saturating_sub(prefix_len),
        BULK_CHUNK_LEN + TAG_LEN,
    );
    for (input, len) in parts {
        let opened = step(memory, (input, len, output), windows, |from, to| {
            bulk.open_chunk(from, to)
        })?;
        output += opened as u64;
    }
    Ok(())
}

/// Takes `len` bytes from `input`, through the cipher, to `output`.
fn step(
    memory: &SharedMemory,
    (input, len, output): (u64, usize, u64),
    windows: &mut Windows,
    cipher: impl FnOnce(&[u8], &mut [u8]) -> Result<usize, Refusal>,
) -> Result<usize, BulkFault> {
    let from = windows.input.expose_mut().get_mut(..len);
    let from = from.ok_or(OutOfBounds)?;
    memory.read_at(input, from)?;
    let to = windows.output.expose_mut();
    let written = cipher(from, to)?;
    memory.write_at(output, to.get(..written).ok_or(OutOfBounds)?)?;
    Ok(written)
}

fn erase(
    request: &BulkRequest,
    memory: &SharedMemory,
    windows: &mut Windows,
) -> Result<(), OutOfBounds> {
    let zeros = windows.output.expose_mut();
    zeros.fill(0);
    let parts = Parts::new(request.output_offset(), request.output_len(), zeros.len());
    for (offset, len) in parts {
        memory.write_at(offset, zeros.get(..len).ok_or(OutOfBounds)?)?;
    }
    Ok(())
}

/// Cuts bytes into parts of one length, the last as long as it is; nothing is one empty part.
struct Parts {
    offset: u64,
    left: Option<u64>,
    part_len: usize,
}

impl Parts {
    fn new(offset: u64, len: u64, part_len: usize) -> Self {
        Self {
            offset,
            left: Some(len),
            part_len,
        }
    }
}

impl Iterator for Parts {
    type Item = (u64, usize);

    fn next(&mut self) -> Option<Self::Item> {
        let left = self.left?;
        let len = usize::try_from(left).map_or(self.part_len, |left| left.min(self.part_len));
        let offset = self.offset;
        self.offset += len as u64;
        self.left = Some(left - len as u64).filter(|left| *left > 0);
        Some((offset, len))
    }
}
