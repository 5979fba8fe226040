//! How keys and versions are written into their records: strict CBOR, one spelling each.
//!
//! ```text
//! key      [1, name, type, origin, uri / null, id, family, created, maker / null,
//!           under-rule, terms, [* [uri, version, state]]]
//! version  [1 / 2, own-policy / null, voucher, ? true, ? lease]
//!                              2: it came out of a sealed file; true: the agent has read it;
//!                              lease: and said at the last time for how long it may be kept
//! policy   [[* operation], [* release-to] / null, lease / null, not-before / null,
//!           not-after / null, max-uses / null, [uses, per-secs] / null, [* gate],
//!           [* key] / null, min-version / null, ? [* disk]]      the last where it is stated
//! voucher  null / service / [point, tenant / null]
//! ```
//!
//! States and counters are not here: they stand in the record itself and change in place.

use super::Family;
use crate::keys::key::Former;
use crate::keys::terms::{OwnPolicy, Owner, Voucher};
use crate::policy::{Rate, ReleaseTo};
use nitride_kbs::disk::DiskExpectation;
use nitride_protocol::limits::{MAX_NAME_LEN, MAX_PATH_LEN, MAX_VERSIONS_LEN};
use nitride_protocol::{
    DecodeError, EncodeError, KeyNameBuf, KeyState, KeyType, Operation, OperationSet, Origin,
    Reader, Writer,
};
use std::ops::RangeInclusive;
use thiserror::Error;

/// The format that this vault writes, and the only one that it reads of keys.
const FORMAT: u64 = 1;
/// That of a version that was unsealed: a vault that knows nothing of seals, and would count
/// nonces under it, does not take it.
const UNSEALED: u64 = 2;
/// Recipients, gates, wrapping keys: more than any envelope or rule has.
const MAX_LIST_LEN: usize = 1024;
/// What an administrator changed of resources that the key rule no longer speaks of.
pub(crate) const MAX_FORMER_LEN: usize = 4 * MAX_VERSIONS_LEN;
/// Bytes of a public part. Everything above at its longest is less.
const MAX_ENCODED_LEN: usize = 1 << 20;

/// What is written of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeyFields {
    pub(crate) name: KeyNameBuf,
    pub(crate) key_type: KeyType,
    pub(crate) origin: Origin,
    pub(crate) origin_uri: Option<String>,
    /// Stands in every ciphertext.
    pub(crate) id: [u8; 16],
    /// Which versions are this key's.
    pub(crate) family: Family,
    pub(crate) created_secs: u64,
    /// The user whose quota it counts against.
    pub(crate) maker: Option<u32>,
    pub(crate) born_under_rule: bool,
    pub(crate) terms: OwnPolicy,
    pub(crate) former: Vec<Former>,
}

/// What is written of a version, beside its material.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct VersionFields {
    /// What its envelope says; nothing travels with one that was made here but its key's terms.
    pub(crate) own: Option<Box<OwnPolicy>>,
    pub(crate) voucher: Voucher,
    /// Whether it came out of a sealed file, which the host may have copied: then other machines
    /// may have it, whatever its origin.
    pub(crate) was_unsealed: bool,
    /// Whether the agent has read it: it came in the clear, once at least.
    pub(crate) was_in_clear: bool,
    /// For how long it may be kept, as the agent said when it last came; nothing else says it.
    pub(crate) told_lease_secs: Option<u64>,
}

/// Why a record is not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(crate) enum CodecFault {
    /// Of a later vault, presumably.
    #[error("its format is {format}, and this vault reads {FORMAT}")]
    UnknownFormat { format: u64 },
    /// Not what any vault writes.
    #[error("it is malformed")]
    Malformed(#[from] DecodeError),
}

/// A field whose value is none of its values.
pub(crate) fn bad(at: usize, field: &'static str) -> DecodeError {
    DecodeError::OutOfRange { at, field }
}

impl KeyFields {
    pub(crate) fn encode(&self) -> Result<Vec<u8>, EncodeError> {
        encoded(|writer| {
            writer.array(12)?;
            writer.u64(FORMAT)?;
            writer.text(self.name.as_str())?;
            writer.text(self.key_type.as_str())?;
            writer.u64(self.origin.to_wire())?;
            writer.optional(self.origin_uri.as_deref(), Writer::text)?;
            writer.bytes(&self.id)?;
            writer.bytes(&self.family.0)?;
            writer.u64(self.created_secs)?;
            writer.optional(self.maker.map(u64::from), Writer::u64)?;
            writer.bool(self.born_under_rule)?;
            write_policy(writer, &self.terms)?;
            write_list(writer, &self.former, |writer, former| {
                writer.array(3)?;
                writer.text(&former.origin_uri)?;
                writer.u64(former.number.into())?;
                writer.u64(former.state.to_wire())
            })
        })
    }

    pub(crate) fn decode(public: &[u8]) -> Result<Self, CodecFault> {
        let (mut reader, _, _) = begin(public, 12..=12, &[FORMAT])?;
        let fields = Self {
            name: key_name(&mut reader)?,
            key_type: KeyType::read(&mut reader)?,
            origin: Origin::read(&mut reader)?,
            origin_uri: reader.optional(|reader| text(reader, MAX_PATH_LEN, "uri"))?,
            id: *reader.byte_array("id")?,
            family: Family(*reader.byte_array("family")?),
            created_secs: reader.u64()?,
            maker: reader.optional(|reader| reader.u32("maker"))?,
            born_under_rule: reader.bool()?,
            terms: read_policy(&mut reader)?,
            former: read_list(&mut reader, MAX_FORMER_LEN, "former", read_former)?,
        };
        reader.finish()?;
        Ok(fields)
    }
}

impl VersionFields {
    pub(crate) fn encode(&self) -> Result<Vec<u8>, EncodeError> {
        encoded(|writer| {
            // In the clear it has one field more, so that a vault that knows nothing of that, and would
            // use it under any policy, does not take it.
            // What the agent said of its lease is nothing without it.
            let told_lease_secs = self.told_lease_secs.filter(|_| self.was_in_clear);
            writer.array(match (self.was_in_clear, told_lease_secs) {
                (false, _) => 3,
                (true, None) => 4,
                (true, Some(_)) => 5,
            })?;
            writer.u64(match self.was_unsealed {
                true => UNSEALED,
                false => FORMAT,
            })?;
            writer.optional(self.own.as_deref(), write_policy)?;
            match &self.voucher {
                Voucher::Vault => writer.null(),
                Voucher::Service(name) => {
                    writer.array(1)?;
                    writer.text(name)
                }
                Voucher::Owner(owner) => {
                    writer.array(2)?;
                    writer.bytes(&owner.point)?;
                    writer.optional(owner.tenant.as_deref(), Writer::text)
                }
            }?;
            if self.was_in_clear {
                writer.bool(true)?;
            }
            match told_lease_secs {
                Some(secs) => writer.u64(secs),
                None => Ok(()),
            }
        })
    }

    pub(crate) fn decode(public: &[u8]) -> Result<Self, CodecFault> {
        let (mut reader, format, len) = begin(public, 3..=5, &[FORMAT, UNSEALED])?;
        let own = reader.optional(read_policy)?.map(Box::new);
        let voucher = reader.optional(read_voucher)?.unwrap_or(Voucher::Vault);
        let was_in_clear = len > 3;
        let at = reader.position();
        if was_in_clear && !reader.bool()? {
            return Err(bad(at, "in-clear").into());
        }
        let told_lease_secs = (len == 5).then(|| reader.u64()).transpose()?;
        reader.finish()?;
        Ok(Self {
            own,
            voucher,
            was_unsealed: format == UNSEALED,
            was_in_clear,
            told_lease_secs,
        })
    }
}

/// The head of a record of so many fields, up to the format, which is one of `formats`; gives both.
fn begin<'p>(
    public: &'p [u8],
    lens: RangeInclusive<u64>,
    formats: &[u64],
) -> Result<(Reader<'p>, u64, u64), CodecFault> {
    let mut reader = Reader::new(public);
    let found = reader.array()?;
    let format = reader.u64()?;
    // Before anything else: a later format may have any number of fields.
    if !formats.contains(&format) {
        return Err(CodecFault::UnknownFormat { format });
    }
    if !lens.contains(&found) {
        return Err(bad(0, "fields").into());
    }
    Ok((reader, format, found))
}

fn encoded(
    write: impl Fn(&mut Writer<'_>) -> Result<(), EncodeError>,
) -> Result<Vec<u8>, EncodeError> {
    let mut len = 512;
    loop {
        let mut buffer = vec![0; len];
        let mut writer = Writer::new(&mut buffer);
        match write(&mut writer) {
            Ok(()) => {
                let end = writer.position();
                buffer.truncate(end);
                return Ok(buffer);
            }
            Err(_) if len < MAX_ENCODED_LEN => len *= 8,
            Err(error) => return Err(error),
        }
    }
}

pub(crate) fn write_policy(writer: &mut Writer<'_>, policy: &OwnPolicy) -> Result<(), EncodeError> {
    // Without disks it is what a vault writes that knows nothing of them; with them, such a one
    // does not take it.
    writer.array(if policy.disks.is_some() { 11 } else { 10 })?;
    let operations: Vec<_> = policy.operations.iter().collect();
    write_list(writer, &operations, |writer, operation| {
        writer.u64(operation.to_wire().into())
    })?;
    writer.optional(policy.release_to.as_deref(), |writer, named| {
        write_list(writer, named, |writer, to| writer.text(&to.to_string()))
    })?;
    writer.optional(policy.lease_secs, Writer::u64)?;
    writer.optional(policy.not_before, Writer::u64)?;
    writer.optional(policy.not_after, Writer::u64)?;
    writer.optional(policy.max_uses, Writer::u64)?;
    writer.optional(policy.rate, |writer, rate| {
        writer.array(2)?;
        writer.u64(rate.uses.into())?;
        writer.u64(rate.per_secs.into())
    })?;
    write_list(writer, &policy.gates, |writer, gate| writer.text(gate))?;
    writer.optional(policy.wrappable_by.as_deref(), |writer, keys| {
        write_list(writer, keys, |writer, key| writer.text(key.as_str()))
    })?;
    writer.optional(policy.min_version.map(u64::from), Writer::u64)?;
    match &policy.disks {
        Some(disks) => write_list(writer, disks, |writer, disk| writer.text(&disk.to_string())),
        None => Ok(()),
    }
}

pub(crate) fn read_policy(reader: &mut Reader<'_>) -> Result<OwnPolicy, DecodeError> {
    let at = reader.position();
    let has_disks = match reader.array()? {
        10 => false,
        11 => true,
        _ => return Err(bad(at, "policy")),
    };
    let mut policy = OwnPolicy {
        operations: read_operations(reader)?,
        release_to: reader
            .optional(|reader| read_list(reader, MAX_LIST_LEN, "release-to", read_release_to))?,
        lease_secs: reader.optional(Reader::u64)?,
        not_before: reader.optional(Reader::u64)?,
        not_after: reader.optional(Reader::u64)?,
        max_uses: reader.optional(Reader::u64)?,
        rate: reader.optional(read_rate)?,
        gates: read_list(reader, MAX_LIST_LEN, "gates", |reader| {
            text(reader, MAX_NAME_LEN, "gate")
        })?,
        wrappable_by: reader
            .optional(|reader| read_list(reader, MAX_LIST_LEN, "wrappable-by", key_name))?,
        min_version: reader.optional(|reader| reader.u32("min-version"))?,
        disks: None,
    };
    if has_disks {
        policy.disks = Some(read_list(reader, MAX_LIST_LEN, "disks", read_disk)?);
    }
    Ok(policy)
}

/// By number, ascending, so that a set has one spelling.
fn read_operations(reader: &mut Reader<'_>) -> Result<OperationSet, DecodeError> {
    let mut set = OperationSet::EMPTY;
    let mut last = None;
    for _ in 0..reader.array_up_to(Operation::ALL.len(), "operations")? {
        let at = reader.position();
        let number = reader.u16("operation")?;
        let operation = Operation::from_wire(number).ok_or(bad(at, "operation"))?;
        if last >= Some(number) {
            return Err(bad(at, "operations"));
        }
        last = Some(number);
        set.insert(operation);
    }
    Ok(set)
}

fn read_release_to(reader: &mut Reader<'_>) -> Result<ReleaseTo, DecodeError> {
    let at = reader.position();
    let parsed = reader.text()?.parse();
    parsed.map_err(|_| bad(at, "release-to"))
}

fn read_disk(reader: &mut Reader<'_>) -> Result<DiskExpectation, DecodeError> {
    let at = reader.position();
    let parsed = reader.text()?.parse();
    parsed.map_err(|_| bad(at, "disk"))
}

fn read_rate(reader: &mut Reader<'_>) -> Result<Rate, DecodeError> {
    reader.array_of(2)?;
    Ok(Rate {
        uses: reader.u32("uses")?,
        per_secs: reader.u32("per-secs")?,
    })
}

fn read_voucher(reader: &mut Reader<'_>) -> Result<Voucher, DecodeError> {
    let at = reader.position();
    match reader.array()? {
        1 => Ok(Voucher::Service(text(reader, MAX_NAME_LEN, "service")?)),
        2 => Ok(Voucher::Owner(Box::new(Owner {
            point: *reader.byte_array("point")?,
            tenant: reader.optional(|reader| text(reader, MAX_PATH_LEN, "tenant"))?,
        }))),
        _ => Err(bad(at, "voucher")),
    }
}

fn read_former(reader: &mut Reader<'_>) -> Result<Former, DecodeError> {
    reader.array_of(3)?;
    let origin_uri = text(reader, MAX_PATH_LEN, "uri")?;
    let number = reader.u32("version")?;
    let at = reader.position();
    match KeyState::read(reader)? {
        state @ (KeyState::Disabled | KeyState::Destroyed) => Ok(Former {
            origin_uri,
            number,
            state,
        }),
        KeyState::Pending | KeyState::Enabled => Err(bad(at, "state")),
    }
}

pub(crate) fn key_name(reader: &mut Reader<'_>) -> Result<KeyNameBuf, DecodeError> {
    let at = reader.position();
    reader.text()?.parse().map_err(|_| bad(at, "key"))
}

fn text(
    reader: &mut Reader<'_>,
    max_len: usize,
    field: &'static str,
) -> Result<String, DecodeError> {
    let at = reader.position();
    let text = reader.text()?;
    if text.len() > max_len {
        return Err(bad(at, field));
    }
    Ok(text.to_owned())
}

pub(crate) fn write_list<T>(
    writer: &mut Writer<'_>,
    list: &[T],
    mut write: impl FnMut(&mut Writer<'_>, &T) -> Result<(), EncodeError>,
) -> Result<(), EncodeError> {
    writer.array(list.len())?;
    list.iter().try_for_each(|entry| write(writer, entry))
}

pub(crate) fn read_list<'b, T>(
    reader: &mut Reader<'b>,
    max_len: usize,
    field: &'static str,
    mut read: impl FnMut(&mut Reader<'b>) -> Result<T, DecodeError>,
) -> Result<Vec<T>, DecodeError> {
    let len = reader.array_up_to(max_len, field)?;
    (0..len).map(|_| read(reader)).collect()
}
