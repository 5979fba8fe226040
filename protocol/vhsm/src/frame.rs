//! How packets start, and how they are opened and written.

use crate::limits::MAX_PACKET_LEN;
use crate::{Empty, Message, Status};
use nitride_cbor::{DecodeError, EncodeError, Reader, Writer};
use thiserror::Error;

/// What every request starts with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestHead {
    /// Chosen by the caller; the reply has the same.
    pub id: u32,
    /// The operation's number on this socket, known or not.
    pub operation: u16,
}

/// What every reply starts with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReplyHead {
    /// The request's id.
    pub id: u32,
    /// How the request ended.
    pub status: Status,
}

/// Why a packet is not a request, and the id to refuse it under where that much could be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("packet is not a request")]
pub struct RequestError {
    /// The request's id, where it could be read.
    pub id: Option<u32>,
    /// What is wrong.
    #[source]
    pub error: DecodeError,
}

/// Splits a request into its head and a reader that stands at `params`.
///
/// The caller decodes `params` with [`Message::decode_last`], which refuses bytes after them.
pub fn open_request(packet: &[u8]) -> Result<(RequestHead, Reader<'_>), RequestError> {
    let mut id = None;
    let mut open = || {
        let mut reader = open_packet(packet)?;
        let number = reader.u32("id")?;
        id = Some(number);
        let operation = reader.u16("operation")?;
        let head = RequestHead {
            id: number,
            operation,
        };
        Ok((head, reader))
    };
    let opened = open();
    opened.map_err(|error| RequestError { id, error })
}

/// Splits a reply into its head and a reader that stands at `result`.
pub fn open_reply(packet: &[u8]) -> Result<(ReplyHead, Reader<'_>), DecodeError> {
    let mut reader = open_packet(packet)?;
    let id = reader.u32("id")?;
    let at = reader.position();
    let status = Status::from_wire(reader.u16("status")?).ok_or(DecodeError::OutOfRange {
        at,
        field: "status",
    })?;
    Ok((ReplyHead { id, status }, reader))
}

/// Writes a request and returns its length in bytes.
pub fn write_request<'a, M: Message<'a>>(
    buffer: &mut [u8],
    id: u32,
    operation: u16,
    params: &M,
) -> Result<usize, EncodeError> {
    write_packet(buffer, id, operation, |writer| params.encode(writer))
}

/// Writes a reply and returns its length in bytes.
pub fn write_reply<'a, M: Message<'a>>(
    buffer: &mut [u8],
    id: u32,
    status: Status,
    result: &M,
) -> Result<usize, EncodeError> {
    write_packet(buffer, id, status.to_wire(), |writer| result.encode(writer))
}

/// Writes a reply whose result array `write` writes, and returns its length in bytes.
///
/// For results that are made in place: a secret need not stand in a second buffer first.
pub fn write_reply_with(
    buffer: &mut [u8],
    id: u32,
    status: Status,
    write: impl FnOnce(&mut Writer<'_>) -> Result<(), EncodeError>,
) -> Result<usize, EncodeError> {
    write_packet(buffer, id, status.to_wire(), write)
}

/// Writes a refusal, whose result is the empty array, and returns its length in bytes.
pub fn write_refusal(buffer: &mut [u8], id: u32, status: Status) -> Result<usize, EncodeError> {
    write_reply(buffer, id, status, &Empty)
}

/// The status that answers a packet or params that did not decode.
///
/// Data over its limit is told apart ([`Status::TooLarge`]), since a caller can split it; all else
/// is [`Status::Malformed`], and what exactly is wrong stands in the log.
pub fn refusal_of(error: &DecodeError) -> Status {
    match error {
        DecodeError::OutOfRange { field, .. } if DATA_FIELDS.contains(field) => Status::TooLarge,
        _ => Status::Malformed,
    }
}

/// Fields that can be out of range only by their length.
const DATA_FIELDS: [&str; 14] = [
    "message",
    "data",
    "plaintext",
    "ciphertext",
    "aad",
    "material",
    "len",
    "packet",
    "items",
    "text",
    "wrapped",
    "sealed",
    "salt",
    "info",
];

fn open_packet(packet: &[u8]) -> Result<Reader<'_>, DecodeError> {
    if packet.len() > MAX_PACKET_LEN {
        return Err(DecodeError::OutOfRange {
            at: 0,
            field: "packet",
        });
    }
    let mut reader = Reader::new(packet);
    reader.array_of(3)?;
    Ok(reader)
}

fn write_packet(
    buffer: &mut [u8],
    id: u32,
    number: u16,
    write: impl FnOnce(&mut Writer<'_>) -> Result<(), EncodeError>,
) -> Result<usize, EncodeError> {
    let mut writer = Writer::new(buffer);
    writer.array(3)?;
    writer.u64(id.into())?;
    writer.u64(number.into())?;
    write(&mut writer)?;
    Ok(writer.position())
}
