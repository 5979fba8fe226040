//! Asks nitride-quote, which alone opens devices.

use crate::config::Evidence;
use nitride_ipc::{ConnectError, Connection, RecvError, SendError};
use nitride_protocol::limits::MAX_PLATFORM_PARAMS_LEN;
use nitride_protocol::{
    Call, DecodeError, EncodeError, Message, Reader, Status, open_reply, write_request,
};

/// Why nitride-quote gave no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum QuoteFault {
    /// It is not there.
    #[error("nitride-quote cannot be reached")]
    Unreachable(#[source] ConnectError),
    /// The question did not go out.
    #[error("nitride-quote cannot be asked")]
    Ask(#[source] SendError),
    /// No answer came in time.
    #[error("nitride-quote does not answer")]
    Answer(#[source] RecvError),
    /// It hung up.
    #[error("nitride-quote ended the connection without an answer")]
    HungUp,
    /// The question does not fit a packet.
    #[error("the question for nitride-quote cannot be written")]
    Encode(#[from] EncodeError),
    /// The answer is not of the protocol.
    #[error("the answer of nitride-quote is malformed")]
    Malformed(#[from] DecodeError),
    /// It is the answer to another question.
    #[error("nitride-quote answered another question")]
    OtherAnswer,
    /// It refused.
    #[error("nitride-quote refuses: {status}")]
    Refused {
        /// What it said.
        status: Status,
    },
}

const ID: u32 = 1;
/// The longest question: params and what stands around them.
const MAX_QUESTION_LEN: usize = MAX_PLATFORM_PARAMS_LEN + 256;

/// Asks one question and gives the result of the answer, which is received into `room`: what is
/// secret in it stands nowhere else. Blocks for as long as is configured, at each step.
pub(crate) fn ask<'q, 'r, C: Call + Message<'q>>(
    from: &Evidence,
    question: &C,
    room: &'r mut [u8],
) -> Result<Reader<'r>, QuoteFault> {
    let connection = Connection::connect_within(&from.quote_socket, from.timeout)
        .map_err(QuoteFault::Unreachable)?;
    let mut packet = [0; MAX_QUESTION_LEN];
    let len = write_request(&mut packet, ID, C::OPERATION, question)?;
    connection
        .send(packet.get(..len).unwrap_or_default())
        .map_err(QuoteFault::Ask)?;
    let len = connection
        .recv(room)
        .map_err(QuoteFault::Answer)?
        .ok_or(QuoteFault::HungUp)?;
    let (head, result) = open_reply(room.get(..len).unwrap_or_default())?;
    if head.id != ID {
        return Err(QuoteFault::OtherAnswer);
    }
    match head.status {
        Status::Ok => Ok(result),
        status => Err(QuoteFault::Refused { status }),
    }
}
