//! The message `batch`.

use super::{Decrypt, Encrypt, Mac, PublicKey, Random, Sign, Verify, VerifyMac};
use crate::field::LenOf;
use crate::limits::{MAX_BATCH_LEN, MAX_CIPHERTEXT_LEN, MAX_SIGNATURE_LEN};
use crate::{Call, Message, Operation, Status, field};
use nitride_cbor::{DecodeError, EncodeError, Reader, Writer};
use std::fmt;

/// `batch`: several operations in one packet. Each is judged by itself, and one that would wait for
/// a round is refused at once.
#[derive(Debug, Clone)]
#[cfg_attr(test, derive(PartialEq, Eq))]
pub struct Batch<'a> {
    /// The operations, in the order in which they are done and answered; at least one.
    pub items: Vec<BatchItem<'a>>,
}

impl<'a> Message<'a> for Batch<'a> {
    fn encode(&self, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
        writer.array(1)?;
        field::write_list(writer, &self.items, |writer, item| item.encode(writer))
    }

    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        reader.array_of(1)?;
        Ok(Self {
            items: some(reader, BatchItem::decode)?,
        })
    }
}

impl Call for Batch<'_> {
    const OPERATION: u16 = Operation::Batch.to_wire();
    const VERB: &'static str = Operation::Batch.as_str();
    type Reply<'r> = Batched<'r>;
}

/// The answer to [`Batch`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batched<'a> {
    /// One for each item, in their order.
    pub items: Vec<BatchAnswer<'a>>,
}

impl<'a> Message<'a> for Batched<'a> {
    fn encode(&self, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
        writer.array(1)?;
        field::write_list(writer, &self.items, |writer, item| item.encode(writer))
    }

    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        reader.array_of(1)?;
        Ok(Self {
            items: some(reader, BatchAnswer::decode)?,
        })
    }
}

/// An operation in a [`Batch`].
#[derive(Debug, Clone, Copy)]
#[cfg_attr(test, derive(PartialEq, Eq))]
#[expect(missing_docs, reason = "each variant is the message of its name")]
pub enum BatchItem<'a> {
    PublicKey(PublicKey<'a>),
    Sign(Sign<'a>),
    Verify(Verify<'a>),
    Encrypt(Encrypt<'a>),
    Decrypt(Decrypt<'a>),
    Mac(Mac<'a>),
    VerifyMac(VerifyMac<'a>),
    Random(Random),
}

impl BatchItem<'_> {
    /// Which operation it is.
    pub const fn operation(&self) -> Operation {
        match self {
            Self::PublicKey(_) => Operation::PublicKey,
            Self::Sign(_) => Operation::Sign,
            Self::Verify(_) => Operation::Verify,
            Self::Encrypt(_) => Operation::Encrypt,
            Self::Decrypt(_) => Operation::Decrypt,
            Self::Mac(_) => Operation::Mac,
            Self::VerifyMac(_) => Operation::VerifyMac,
            Self::Random(_) => Operation::Random,
        }
    }
}

impl<'a> Message<'a> for BatchItem<'a> {
    fn encode(&self, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
        writer.array(2)?;
        writer.u64(self.operation().to_wire().into())?;
        match self {
            Self::PublicKey(params) => params.encode(writer),
            Self::Sign(params) => params.encode(writer),
            Self::Verify(params) => params.encode(writer),
            Self::Encrypt(params) => params.encode(writer),
            Self::Decrypt(params) => params.encode(writer),
            Self::Mac(params) => params.encode(writer),
            Self::VerifyMac(params) => params.encode(writer),
            Self::Random(params) => params.encode(writer),
        }
    }

    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        reader.array_of(2)?;
        let at = reader.position();
        match Operation::from_wire(reader.u16("operation")?) {
            Some(Operation::PublicKey) => PublicKey::decode(reader).map(Self::PublicKey),
            Some(Operation::Sign) => Sign::decode(reader).map(Self::Sign),
            Some(Operation::Verify) => Verify::decode(reader).map(Self::Verify),
            Some(Operation::Encrypt) => Encrypt::decode(reader).map(Self::Encrypt),
            Some(Operation::Decrypt) => Decrypt::decode(reader).map(Self::Decrypt),
            Some(Operation::Mac) => Mac::decode(reader).map(Self::Mac),
            Some(Operation::VerifyMac) => VerifyMac::decode(reader).map(Self::VerifyMac),
            Some(Operation::Random) => Random::decode(reader).map(Self::Random),
            _ => Err(DecodeError::OutOfRange {
                at,
                field: "operation",
            }),
        }
    }
}

/// What became of one operation of a [`Batch`]; which one it was is the asker's to know.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum BatchAnswer<'a> {
    /// It was refused, with a status that is not `ok`.
    Refused(Status),
    /// Done, and there is nothing to give: `verify`, `verify-mac`.
    Done,
    /// Done: the ciphertext, the plaintext or the random bytes.
    Bytes(&'a [u8]),
    /// Done: the signature, the tag or the public half.
    Versioned {
        /// The version that was used.
        version: u32,
        /// What it gave.
        bytes: &'a [u8],
    },
}

impl<'a> Message<'a> for BatchAnswer<'a> {
    fn encode(&self, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
        let status = match self {
            Self::Refused(status) => *status,
            _ => Status::Ok,
        };
        writer.array(2)?;
        writer.u64(status.to_wire().into())?;
        match self {
            Self::Refused(_) | Self::Done => writer.array(0),
            Self::Bytes(bytes) => {
                writer.array(1)?;
                writer.bytes(bytes)
            }
            Self::Versioned { version, bytes } => {
                writer.array(2)?;
                writer.u64((*version).into())?;
                writer.bytes(bytes)
            }
        }
    }

    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        reader.array_of(2)?;
        let at = reader.position();
        let status = Status::from_wire(reader.u16("status")?).ok_or(DecodeError::OutOfRange {
            at,
            field: "status",
        })?;
        if status != Status::Ok {
            reader.array_of(0)?;
            return Ok(Self::Refused(status));
        }
        match reader.array_up_to(2, "result")? {
            0 => Ok(Self::Done),
            1 => Ok(Self::Bytes(field::bytes(
                reader,
                MAX_CIPHERTEXT_LEN,
                "result",
            )?)),
            _ => Ok(Self::Versioned {
                version: reader.u32("version")?,
                bytes: field::bytes(reader, MAX_SIGNATURE_LEN, "result")?,
            }),
        }
    }
}

/// What it gave may be a plaintext.
impl fmt::Debug for BatchAnswer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(status) => f.debug_tuple("Refused").field(status).finish(),
            Self::Done => f.write_str("Done"),
            Self::Bytes(bytes) => f.debug_tuple("Bytes").field(&LenOf(bytes)).finish(),
            Self::Versioned { version, bytes } => f
                .debug_struct("Versioned")
                .field("version", version)
                .field("bytes", &LenOf(bytes))
                .finish(),
        }
    }
}

/// At least one entry, and no more than a batch may have.
fn some<'a, T>(
    reader: &mut Reader<'a>,
    read: impl FnMut(&mut Reader<'a>) -> Result<T, DecodeError>,
) -> Result<Vec<T>, DecodeError> {
    let at = reader.position();
    let items = field::list(reader, MAX_BATCH_LEN, "items", read)?;
    if items.is_empty() {
        return Err(DecodeError::WrongLength {
            at,
            expected: 1,
            found: 0,
        });
    }
    Ok(items)
}
