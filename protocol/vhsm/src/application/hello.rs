//! The message `hello`.

use crate::limits::{MAX_FEATURES_LEN, MAX_LABEL_LEN};
use crate::{Call, Message, Operation, VERSION, field};
use nitride_cbor::{DecodeError, EncodeError, Reader, Writer};

/// `hello`: agrees on a version. A connection may say it again to change `wait_ms` and `attaches`.
///
/// The shape of this message and of its reply never changes, so that any two versions can talk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hello<'a> {
    /// The oldest version that the caller speaks.
    pub min_version: u16,
    /// The newest version that the caller speaks.
    pub max_version: u16,
    /// Who the caller says it is; for logs alone.
    pub client: &'a str,
    /// How long a request of this connection may wait for a round, in milliseconds; 0 is never.
    pub wait_ms: u32,
    /// Whether packets after this one may carry descriptors. Where they may not, none is taken:
    /// that costs less a packet.
    pub attaches: bool,
}

impl<'a> Message<'a> for Hello<'a> {
    fn encode(&self, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
        writer.array(5)?;
        writer.u64(self.min_version.into())?;
        writer.u64(self.max_version.into())?;
        writer.text(self.client)?;
        writer.u64(self.wait_ms.into())?;
        writer.bool(self.attaches)
    }

    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        reader.array_of(5)?;
        Ok(Self {
            min_version: reader.u16("min-version")?,
            max_version: reader.u16("max-version")?,
            client: field::line(reader, MAX_LABEL_LEN, "client")?,
            wait_ms: reader.u32("wait-ms")?,
            attaches: reader.bool()?,
        })
    }
}

impl Call for Hello<'_> {
    const OPERATION: u16 = Operation::Hello.to_wire();
    const VERB: &'static str = Operation::Hello.as_str();
    type Reply<'r> = Welcome<'r>;
}

/// The answer to [`Hello`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Welcome<'a> {
    /// The version that both speak from here on.
    pub version: u16,
    /// Who the server says it is.
    pub server: &'a str,
    /// The longest packet that is accepted, in bytes.
    pub max_packet: u32,
    /// The longest data in a packet, in bytes.
    pub max_inline: u32,
    /// What this server has beyond the version.
    pub features: Vec<&'a str>,
}

impl<'a> Message<'a> for Welcome<'a> {
    fn encode(&self, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
        writer.array(5)?;
        writer.u64(self.version.into())?;
        writer.text(self.server)?;
        writer.u64(self.max_packet.into())?;
        writer.u64(self.max_inline.into())?;
        field::write_list(writer, &self.features, |writer, entry| writer.text(entry))
    }

    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        reader.array_of(5)?;
        Ok(Self {
            version: reader.u16("version")?,
            server: field::line(reader, MAX_LABEL_LEN, "server")?,
            max_packet: reader.u32("max-packet")?,
            max_inline: reader.u32("max-inline")?,
            features: field::list(reader, MAX_FEATURES_LEN, "features", |reader| {
                field::label(reader, MAX_LABEL_LEN, "features")
            })?,
        })
    }
}

impl Hello<'_> {
    /// The newest version that both sides speak, if there is one.
    pub fn agreed_version(&self) -> Option<u16> {
        (self.min_version <= VERSION && VERSION <= self.max_version).then_some(VERSION)
    }
}
