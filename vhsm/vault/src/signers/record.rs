//! How a list lies in the records arena: as it was signed, so that a later process need not believe
//! the record.
//!
//! ```text
//! list     id: digest of the owner's name     public: [1, list-key, list]     counter: since when
//! ```

use super::HeldList;
use crate::Refusal;
use nitride_kbs::limits::MAX_SIGNER_LIST_LEN;
use nitride_kbs::signer_list::SignerListError;
use nitride_protocol::{DecodeError, EncodeError, Reader, Writer};
use nitride_secmem::crypto::sha256;
use nitride_secmem::{Draft, Record, RecordId, RecordKind};
use std::sync::atomic::Ordering;
use thiserror::Error;

/// The kind of the records.
pub(crate) const SIGNER_LIST: RecordKind = RecordKind(4);

const FORMAT: u64 = 1;
/// Since when it counts, in milliseconds of the boot clock.
const SINCE_BOOT_MS: usize = 0;
const MAX_ENCODED_LEN: usize = MAX_SIGNER_LIST_LEN + 128;

/// Why a record is not read.
#[derive(Debug, Error)]
pub(super) enum RecordFault {
    #[error("its format is {format}, and this vault reads {FORMAT}")]
    UnknownFormat { format: u64 },
    #[error("it is malformed")]
    Malformed(#[from] DecodeError),
    #[error("it is not of its list key")]
    List(#[from] SignerListError),
}

/// One id a name.
pub(super) fn id(name: &str) -> RecordId {
    let digest = sha256(&[b"nitride signer list of\0", name.as_bytes()]);
    let mut id = [0; 16];
    for (place, byte) in id.iter_mut().zip(digest) {
        *place = byte;
    }
    RecordId(id)
}

pub(super) fn write(list: &HeldList, bytes: &[u8]) -> Result<Record, Refusal> {
    let public = encode(list, bytes)?;
    let mut draft = Draft::new(SIGNER_LIST, id(&list.list.owner), public.len(), 0)?;
    draft.public_mut().copy_from_slice(&public);
    let since = list.since_boot_ms.load(Ordering::Relaxed);
    draft.set_counter(SINCE_BOOT_MS, since);
    Ok(draft.commit())
}

/// One commit: a later process finds the list before, or this one.
pub(super) fn replace(record: &mut Record, list: &HeldList, bytes: &[u8]) -> Result<(), Refusal> {
    record.replace_public(&encode(list, bytes)?)?;
    // A process that ends in between leaves a list that counts for less long than it might.
    renew(record, list.since_boot_ms.load(Ordering::Relaxed));
    Ok(())
}

/// Counts its age from then on.
pub(super) fn renew(record: &Record, since_boot_ms: u64) {
    let since = record.counter(SINCE_BOOT_MS);
    since.fetch_max(since_boot_ms, Ordering::SeqCst);
}

pub(super) fn read(record: &Record) -> Result<HeldList, RecordFault> {
    let mut reader = Reader::new(record.public());
    reader.array_of(3)?;
    let format = reader.u64()?;
    if format != FORMAT {
        return Err(RecordFault::UnknownFormat { format });
    }
    let list_key = reader.byte_array("list-key")?;
    let bytes = reader.bytes()?;
    reader.finish()?;
    let since = record.counter(SINCE_BOOT_MS).load(Ordering::SeqCst);
    Ok(HeldList::read(bytes, list_key, since)?)
}

fn encode(list: &HeldList, bytes: &[u8]) -> Result<Vec<u8>, EncodeError> {
    let mut public = vec![0; MAX_ENCODED_LEN];
    let mut writer = Writer::new(&mut public);
    writer.array(3)?;
    writer.u64(FORMAT)?;
    writer.bytes(&list.list_key)?;
    writer.bytes(bytes)?;
    let len = writer.position();
    public.truncate(len);
    Ok(public)
}
