//! The message `status`.

use crate::limits::{
    MAX_GATES_LEN, MAX_LABEL_LEN, MAX_REASON_LEN, MAX_SIGNER_LISTS_LEN, MAX_WARNINGS_LEN,
};
use crate::{Call, Message, Operation, field};
use nitride_cbor::{DecodeError, EncodeError, Reader, Writer};

/// What vhsmd says in its `hello` when it takes [`StatusRequest::also_signers`]. One that does not say
/// so knows the question without members alone.
pub const SIGNER_LISTS_FEATURE: &str = "signer-lists";
/// What is asked for beside the rest.
const SIGNERS: &str = "signers";

/// `status`: how the vault is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StatusRequest {
    /// Whether the answer is to say [`VaultStatus::signers`]: who does not ask would not understand
    /// it.
    pub also_signers: bool,
}

impl<'a> Message<'a> for StatusRequest {
    fn encode(&self, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
        field::write_also(writer, [(self.also_signers, SIGNERS)])
    }

    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let [also_signers] = field::also(reader, [SIGNERS], "also-signers")?;
        Ok(Self { also_signers })
    }
}

impl Call for StatusRequest {
    const OPERATION: u16 = Operation::Status.to_wire();
    const VERB: &'static str = Operation::Status.as_str();
    type Reply<'r> = VaultStatus<'r>;
}

/// The answer to [`StatusRequest`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VaultStatus<'a> {
    /// Name and version of the server.
    pub server: &'a str,
    /// What backs the arenas: `memfd-secret` or `locked`.
    pub arena_kind: &'a str,
    /// Bytes of the records arena in use.
    pub records_used: u64,
    /// Bytes of the records arena.
    pub records_size: u64,
    /// Bytes of the heap arena in use.
    pub heap_used: u64,
    /// Bytes of the heap arena.
    pub heap_size: u64,
    /// Keys in the vault.
    pub keys: u64,
    /// Open connections of applications and administrators.
    pub connections: u64,
    /// Requests that wait for a round.
    pub parked: u64,
    /// Whether the agent is connected.
    pub agent_connected: bool,
    /// How often a policy was taken since the start.
    pub policy_generation: u64,
    /// SHA-256 of the policy.
    pub policy_digest: &'a [u8; 32],
    /// The TEE that evidence comes from; `sample` proves nothing.
    pub tee: &'a str,
    /// The gates.
    pub gates: Vec<GateStatus<'a>>,
    /// What weakens a guarantee here, for people.
    pub warnings: Vec<&'a str>,
    /// What brings keys back after a reboot; `None` is nothing.
    pub seal: Option<SealStatus<'a>>,
    /// The lists of signers that are here; to who asks for them.
    pub signers: Option<Vec<SignerStatus<'a>>>,
}

impl<'a> Message<'a> for VaultStatus<'a> {
    fn encode(&self, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
        writer.array(16 + usize::from(self.signers.is_some()))?;
        writer.text(self.server)?;
        writer.text(self.arena_kind)?;
        writer.u64(self.records_used)?;
        writer.u64(self.records_size)?;
        writer.u64(self.heap_used)?;
        writer.u64(self.heap_size)?;
        writer.u64(self.keys)?;
        writer.u64(self.connections)?;
        writer.u64(self.parked)?;
        writer.bool(self.agent_connected)?;
        writer.u64(self.policy_generation)?;
        writer.bytes(self.policy_digest)?;
        writer.text(self.tee)?;
        field::write_list(writer, &self.gates, |writer, entry| entry.encode(writer))?;
        field::write_list(writer, &self.warnings, |writer, entry| writer.text(entry))?;
        writer.optional(self.seal.as_ref(), |writer, seal| seal.encode(writer))?;
        match &self.signers {
            Some(signers) => {
                field::write_list(writer, signers, |writer, entry| entry.encode(writer))
            }
            None => Ok(()),
        }
    }

    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let has_signers = reader.clone().array()? == 17;
        reader.array_of(if has_signers { 17 } else { 16 })?;
        Ok(Self {
            server: field::line(reader, MAX_LABEL_LEN, "server")?,
            arena_kind: field::label(reader, MAX_LABEL_LEN, "arena-kind")?,
            records_used: reader.u64()?,
            records_size: reader.u64()?,
            heap_used: reader.u64()?,
            heap_size: reader.u64()?,
            keys: reader.u64()?,
            connections: reader.u64()?,
            parked: reader.u64()?,
            agent_connected: reader.bool()?,
            policy_generation: reader.u64()?,
            policy_digest: reader.byte_array("policy-digest")?,
            tee: field::label(reader, MAX_LABEL_LEN, "tee")?,
            gates: field::list(reader, MAX_GATES_LEN, "gates", GateStatus::decode)?,
            warnings: field::list(reader, MAX_WARNINGS_LEN, "warnings", |reader| {
                field::line(reader, MAX_REASON_LEN, "warnings")
            })?,
            seal: reader.optional(SealStatus::decode)?,
            signers: match has_signers {
                true => Some(field::list(
                    reader,
                    MAX_SIGNER_LISTS_LEN,
                    "signers",
                    SignerStatus::decode,
                )?),
                false => None,
            },
        })
    }
}

/// A gate in a [`VaultStatus`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GateStatus<'a> {
    /// Its name.
    pub gate: &'a str,
    /// Milliseconds since the round that opened it began; `None` is closed.
    pub age_ms: Option<u64>,
}

impl<'a> Message<'a> for GateStatus<'a> {
    fn encode(&self, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
        writer.array(2)?;
        writer.text(self.gate)?;
        writer.optional(self.age_ms, Writer::u64)
    }

    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        reader.array_of(2)?;
        Ok(Self {
            gate: field::name(reader, "gate")?,
            age_ms: reader.optional(Reader::u64)?,
        })
    }
}

/// A list of signers in a [`VaultStatus`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SignerStatus<'a> {
    /// The signer's name.
    pub signer: &'a str,
    /// The serial of its newest list.
    pub serial: u64,
    /// How many keys that names.
    pub keys: u64,
}

impl<'a> Message<'a> for SignerStatus<'a> {
    fn encode(&self, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
        writer.array(3)?;
        writer.text(self.signer)?;
        writer.u64(self.serial)?;
        writer.u64(self.keys)
    }

    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        reader.array_of(3)?;
        Ok(Self {
            signer: field::name(reader, "signer")?,
            serial: reader.u64()?,
            keys: reader.u64()?,
        })
    }
}

/// The seal in a [`VaultStatus`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SealStatus<'a> {
    /// `open`; `waits` for something that is not there yet; or `closed`.
    pub state: &'a str,
    /// Whose part of the sealing key it is, such as `tpm`.
    pub platform: &'a str,
    /// Up to which count the file is the newest; 0 without a counter.
    pub generation: u64,
    /// Keys in the file.
    pub keys: u64,
    /// Keys that are sealed and not in it, for people.
    pub left_out: Option<&'a str>,
    /// Why it is not open, or the file is behind, and what to do about it, for people.
    pub because: Option<&'a str>,
}

impl<'a> Message<'a> for SealStatus<'a> {
    fn encode(&self, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
        writer.array(6)?;
        writer.text(self.state)?;
        writer.text(self.platform)?;
        writer.u64(self.generation)?;
        writer.u64(self.keys)?;
        writer.optional(self.left_out, Writer::text)?;
        writer.optional(self.because, Writer::text)
    }

    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        reader.array_of(6)?;
        Ok(Self {
            state: field::label(reader, MAX_LABEL_LEN, "state")?,
            platform: field::label(reader, MAX_LABEL_LEN, "platform")?,
            generation: reader.u64()?,
            keys: reader.u64()?,
            left_out: reader.optional(|reader| field::line(reader, MAX_REASON_LEN, "left-out"))?,
            because: reader.optional(|reader| field::line(reader, MAX_REASON_LEN, "because"))?,
        })
    }
}
