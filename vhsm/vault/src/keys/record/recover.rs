use super::codec::CodecFault;
use super::group::{GROUP, OpenGroups};
use super::{
    Family, KEY, KeyFields, VERSION, VersionFields, erase, erase_material, set_state, state_of,
};
use crate::keys::Material;
use crate::keys::key::{Body, Version};
use crate::keys::terms::Voucher;
use nitride_protocol::limits::MAX_VERSIONS_LEN;
use nitride_protocol::{KeyNameBuf, KeyState, Origin};
use nitride_secmem::Record;
use std::collections::HashMap;
use thiserror::Error;

/// What was found again.
pub(crate) struct Recovered {
    pub(crate) keys: Vec<(KeyNameBuf, Body)>,
    /// What was not understood: kept as it is.
    pub(crate) held: Vec<Record>,
    /// Why, each in a line.
    pub(crate) refused: Vec<String>,
}

/// Why a record, and with it its key, is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(crate) enum RecordFault {
    #[error("no kind of record is {kind}")]
    UnknownKind { kind: u16 },
    #[error(transparent)]
    Codec(#[from] CodecFault),
    #[error("version {number}: {fault}")]
    Version { number: u32, fault: CodecFault },
    #[error("no state is {word}")]
    UnknownState { word: u32 },
    #[error("another record has its name")]
    DuplicateName,
    #[error("it has no version")]
    NoVersion,
    #[error("it has {len} versions, more than {MAX_VERSIONS_LEN}")]
    TooManyVersions { len: usize },
    #[error("version {number} is vouched for otherwise than its origin says")]
    ForeignVoucher { number: u32 },
}

type Versions = HashMap<Family, Vec<(u32, Record)>>;

/// Puts keys together out of records, in any order.
pub(crate) fn recover(records: Vec<Record>) -> Recovered {
    let mut found = Recovered {
        keys: Vec::new(),
        held: Vec::new(),
        refused: Vec::new(),
    };
    let mut versions = Versions::new();
    let mut keys = Vec::new();
    let mut groups = OpenGroups::default();
    for record in records {
        match record.kind() {
            KEY => keys.push(record),
            VERSION => {
                let (family, number) = Family::of_record(record.id());
                versions.entry(family).or_default().push((number, record));
            }
            GROUP => groups.add(record),
            kind => found.refuse(
                "a record",
                RecordFault::UnknownKind { kind: kind.0 },
                record,
            ),
        }
    }
    let mut all_understood = true;
    let mut decoded = Vec::with_capacity(keys.len());
    for record in keys {
        match KeyFields::decode(record.public()) {
            Ok(fields) if groups.have(fields.family) => record.erase(),
            Ok(fields) => decoded.push((fields, record)),
            Err(fault) => {
                all_understood = false;
                found.refuse("a key", fault.into(), record);
            }
        }
    }
    // Of two with one name, which no vault writes, always the same one is taken. In order, too,
    // the table is made at once.
    decoded.sort_unstable_by(|(one, record), (other, other_record)| {
        let by_name = one.name.cmp(&other.name);
        by_name.then_with(|| record.id().cmp(&other_record.id()))
    });
    let is_twin =
        |pair: &[(KeyFields, Record)]| matches!(pair, [(a, _), (b, _)] if a.name == b.name);
    let twins: Vec<bool> = std::iter::once(false)
        .chain(decoded.windows(2).map(is_twin))
        .collect();
    found.keys.reserve(decoded.len());
    for ((fields, record), is_twin) in decoded.into_iter().zip(twins) {
        let own = versions.remove(&fields.family).unwrap_or_default();
        let checked = if is_twin {
            Err(RecordFault::DuplicateName)
        } else {
            check(&fields, &record, &own)
        };
        match checked {
            Ok((state, parsed)) => found.keys.push(whole(fields, state, record, own, parsed)),
            Err(fault) => {
                found.held.extend(own.into_iter().map(|(_, record)| record));
                found.refuse(&format!("key {}", fields.name), fault, record);
            }
        }
    }
    for (family, own) in versions {
        for (_, record) in own {
            // Written for a key that never came to be, or left by one that has others now.
            if all_understood || groups.have(family) {
                record.erase();
            } else {
                found.held.push(record);
            }
        }
    }
    groups.erase();
    found
}

impl Recovered {
    fn refuse(&mut self, what: &str, fault: RecordFault, record: Record) {
        self.refused.push(format!("{what} is not taken: {fault}"));
        self.held.push(record);
    }
}

/// Reads all of a key, so that nothing of it is taken unless all is.
fn check(
    fields: &KeyFields,
    record: &Record,
    own: &[(u32, Record)],
) -> Result<(KeyState, Vec<(KeyState, VersionFields)>), RecordFault> {
    if own.is_empty() {
        return Err(RecordFault::NoVersion);
    }
    // One more, while a new one takes the place of one that is gone.
    let has_place = own.iter().any(|(_, record)| record.is_empty());
    if own.len() > MAX_VERSIONS_LEN + usize::from(has_place) {
        let len = own.len();
        return Err(RecordFault::TooManyVersions { len });
    }
    let state = known_state(record)?;
    let parsed = own.iter().map(|(number, record)| {
        let number = *number;
        let version = VersionFields::decode(record.public())
            .map_err(|fault| RecordFault::Version { number, fault })?;
        let is_provisioned = fields.origin == Origin::Provisioned;
        if is_provisioned != (version.voucher != Voucher::Vault)
            || is_provisioned != version.own.is_some()
        {
            return Err(RecordFault::ForeignVoucher { number });
        }
        Ok((known_state(record)?, version))
    });
    Ok((state, parsed.collect::<Result<_, _>>()?))
}

fn known_state(record: &Record) -> Result<KeyState, RecordFault> {
    let word = record.state();
    state_of(word).ok_or(RecordFault::UnknownState { word })
}

/// A key with everything that follows from its records: what was being destroyed is destroyed, and
/// what newer envelopes say narrows the versions before.
fn whole(
    fields: KeyFields,
    state: KeyState,
    record: Record,
    own: Vec<(u32, Record)>,
    parsed: Vec<(KeyState, VersionFields)>,
) -> (KeyNameBuf, Body) {
    let (key_type, origin) = (fields.key_type, fields.origin);
    let mut versions: Vec<Version> = own
        .into_iter()
        .zip(parsed)
        .map(|((number, record), (version_state, version))| {
            let mut material = Material::from_record(key_type, record);
            // What nobody could bring back is gone for good.
            let is_lost = material.record().is_empty() && origin != Origin::Provisioned;
            let is_destroyed =
                version_state == KeyState::Destroyed || state == KeyState::Destroyed || is_lost;
            if is_destroyed && version_state != KeyState::Destroyed {
                set_state(material.record(), KeyState::Destroyed);
            }
            if is_destroyed && !material.record().is_empty() {
                erase_material(&mut material);
            }
            let version_state = if is_destroyed {
                KeyState::Destroyed
            } else {
                version_state
            };
            Version::new(number, version_state, version, material)
        })
        .collect();
    versions.sort_unstable_by_key(|version| version.number);
    narrow_before(&mut versions);
    if versions.len() > MAX_VERSIONS_LEN {
        let mut gone = versions.iter();
        if let Some(gone) = gone.position(|version| version.material().is_none()) {
            erase(versions.remove(gone));
        }
    }
    let is_gone = |version: &Version| version.state == KeyState::Destroyed;
    if state != KeyState::Destroyed && versions.iter().all(is_gone) {
        set_state(&record, KeyState::Destroyed);
        return Body::new(fields, KeyState::Destroyed, versions, record);
    }
    Body::new(fields, state, versions, record)
}

/// What newer envelopes say narrows the versions before.
pub(crate) fn narrow_before(versions: &mut [Version]) {
    for newest in (1..versions.len()).rev() {
        let (before, from) = versions.split_at_mut(newest);
        if let (Some(older), Some(newer)) = (before.last_mut(), from.first()) {
            older.narrow_by(newer.own.as_deref());
        }
    }
}

/// The public part of a key's or a version's record, read and written again; `None` where it is
/// neither's. For whoever tries the decoders: what is read has one spelling.
#[must_use]
pub fn record_written_again(public: &[u8]) -> Option<Vec<u8>> {
    let key = KeyFields::decode(public).ok();
    let version = VersionFields::decode(public).ok();
    match (key, version) {
        (Some(fields), _) => fields.encode().ok(),
        (_, Some(fields)) => fields.encode().ok(),
        _ => None,
    }
}
