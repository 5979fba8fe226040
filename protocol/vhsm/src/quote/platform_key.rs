//! The message `platform-key`.

use crate::field::{self, LenOf};
use crate::limits::{MAX_LABEL_LEN, MAX_PLATFORM_PARAMS_LEN, PLATFORM_SECRET_LEN};
use crate::quote::QuoteOperation;
use crate::{Call, Message};
use nitride_cbor::{DecodeError, EncodeError, Reader, Writer};
use std::fmt;

/// `platform-key`: asks for the platform's part of the sealing key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlatformKeyRequest<'a> {
    /// The platform it must come from; the helper refuses any other than its own.
    pub platform: &'a str,
    /// What an earlier reply gave, for the same secret again; empty makes a new one.
    pub params: &'a [u8],
}

impl<'a> Message<'a> for PlatformKeyRequest<'a> {
    fn encode(&self, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
        writer.array(2)?;
        writer.text(self.platform)?;
        writer.bytes(self.params)
    }

    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        reader.array_of(2)?;
        Ok(Self {
            platform: field::label(reader, MAX_LABEL_LEN, "platform")?,
            params: field::bytes(reader, MAX_PLATFORM_PARAMS_LEN, "params")?,
        })
    }
}

impl Call for PlatformKeyRequest<'_> {
    const OPERATION: u16 = QuoteOperation::PlatformKey.to_wire();
    const VERB: &'static str = QuoteOperation::PlatformKey.as_str();
    type Reply<'r> = PlatformKeyReply<'r>;
}

/// The answer to [`PlatformKeyRequest`].
#[derive(Clone, Copy)]
#[cfg_attr(test, derive(PartialEq, Eq))]
pub struct PlatformKeyReply<'a> {
    /// The platform's part.
    pub secret: &'a [u8; PLATFORM_SECRET_LEN],
    /// What gives the same secret again on this platform in this state. It is no secret.
    pub params: &'a [u8],
    /// Whether the platform has been updated since: a new secret would be bound to what it is now,
    /// and this one can still be had by whoever has what it was.
    pub is_old: bool,
}

impl<'a> Message<'a> for PlatformKeyReply<'a> {
    fn encode(&self, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
        writer.array(3)?;
        writer.bytes(self.secret)?;
        writer.bytes(self.params)?;
        writer.bool(self.is_old)
    }

    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        reader.array_of(3)?;
        Ok(Self {
            secret: reader.byte_array("secret")?,
            params: field::bytes(reader, MAX_PLATFORM_PARAMS_LEN, "params")?,
            is_old: reader.bool()?,
        })
    }
}

impl fmt::Debug for PlatformKeyReply<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PlatformKeyReply")
            .field("secret", &LenOf(self.secret))
            .field("params", &LenOf(self.params))
            .field("is_old", &self.is_old)
            .finish()
    }
}
