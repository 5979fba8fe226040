//! A backup: everything of a store in one file, which only who has its key can read or could have
//! written.
//!
//! ```text
//!   "NVBK" | version 1 | salt 32 | box …  | last box
//!   box    = length of what is sealed, 4 bytes | sealed | tag 16
//!   sealed = kind 1 | length of the name, 2 | name | version, 8 | bytes      an item
//!          = number of items, 8                                              the last one
//! ```
//!
//! Boxes are AES-256-GCM under HMAC-SHA256(backup key, "nitride backup 1" | salt), which is of this file
//! alone, so that nonces can count: the box's number, and whether it is the last one. What is cut off,
//! put in another order or taken from another backup is not authentic. Nothing here reads a file.

use crate::entropy::{Draw, NoEntropy, draw_array};
use crate::key_file::Key32;
use crate::store::{Place, RecordName, Resource, Version};
use aes_gcm::{AeadInOut, Aes256Gcm, KeyInit};
use hmac::{Hmac, Mac};
use nitride_kbs::resource::ResourcePath;
use sha2::Sha256;
use std::io::{self, Read};
use thiserror::Error;
use zeroize::Zeroizing;

const MAGIC: &[u8; 5] = b"NVBK\x01";
const DOMAIN: &[u8] = b"nitride backup 1";
const SALT_LEN: usize = 32;
const HEAD_LEN: usize = MAGIC.len() + SALT_LEN;
const TAG_LEN: usize = 16;
/// A record's bytes and name, with room.
const MAX_SEALED_LEN: usize = 1 << 20;
const RESOURCE: u8 = 0;
const RECORD: u8 = 1;

/// One thing of a store.
pub(crate) struct Item {
    pub(crate) place: Place,
    pub(crate) version: Version,
    pub(crate) bytes: Resource,
}

/// Why a file is no backup, or not a whole one of this key.
#[derive(Debug, Error)]
pub(crate) enum BackupError {
    #[error("read the backup")]
    Unreadable(#[source] io::Error),
    #[error("the file is no backup of version 1")]
    UnknownForm,
    #[error("box {number} is not authentic: the key is another one, or the file was changed")]
    NotAuthentic { number: u64 },
    #[error("the file ends after {number} boxes, and none of them is the last one: it was cut off")]
    CutOff { number: u64 },
    #[error("box {number} announces {len} bytes")]
    TooLong { number: u64, len: usize },
    #[error("box {number} holds no item")]
    Malformed { number: u64 },
    #[error("the last box counts {said} items, and there are {found}")]
    Count { said: u64, found: u64 },
    #[error("there is something after the last box")]
    Trailing,
}

/// Why an item cannot be written.
#[derive(Debug, Error)]
pub(crate) enum SealError {
    #[error(transparent)]
    NoEntropy(#[from] NoEntropy),
    #[error("an item is longer than a box takes")]
    TooLong,
    #[error("the cipher refused its input")]
    Cipher,
}

/// Writes boxes one after another.
pub(crate) struct Writer {
    cipher: Aes256Gcm,
    written: u64,
}

impl Writer {
    /// Begins a file; its first bytes.
    pub(crate) fn begin(key: &Key32, draw: &mut dyn Draw) -> Result<(Self, Vec<u8>), SealError> {
        let salt: [u8; SALT_LEN] = draw_array(draw)?;
        let cipher = cipher(key, &salt).ok_or(SealError::Cipher)?;
        let head = [MAGIC.as_slice(), &salt].concat();
        Ok((Self { cipher, written: 0 }, head))
    }

    /// The box of an item.
    pub(crate) fn item(&mut self, item: &Item) -> Result<Vec<u8>, SealError> {
        let (kind, name) = match &item.place {
            Place::Resource(path) => (RESOURCE, path.as_str()),
            Place::Record(name) => (RECORD, name.as_str()),
        };
        let name_len = u16::try_from(name.len()).map_err(|_| SealError::TooLong)?;
        let len = 11 + name.len() + item.bytes.len();
        let mut sealed = Zeroizing::new(Vec::with_capacity(len + TAG_LEN));
        sealed.push(kind);
        sealed.extend(name_len.to_be_bytes());
        sealed.extend(name.as_bytes());
        sealed.extend(item.version.number().to_be_bytes());
        sealed.extend(item.bytes.iter());
        self.seal(sealed, false)
    }

    /// The last box.
    pub(crate) fn end(mut self) -> Result<Vec<u8>, SealError> {
        let mut count = Vec::with_capacity(8 + TAG_LEN);
        count.extend(self.written.to_be_bytes());
        self.seal(Zeroizing::new(count), true)
    }

    fn seal(
        &mut self,
        mut sealed: Zeroizing<Vec<u8>>,
        is_last: bool,
    ) -> Result<Vec<u8>, SealError> {
        if sealed.len() > MAX_SEALED_LEN {
            return Err(SealError::TooLong);
        }
        let len = u32::try_from(sealed.len()).map_err(|_| SealError::TooLong)?;
        let nonce = nonce(self.written, is_last);
        let tag = self
            .cipher
            .encrypt_inout_detached(&nonce.into(), MAGIC, sealed.as_mut_slice().into())
            .map_err(|_| SealError::Cipher)?;
        self.written += 1;
        // It is ciphertext by now.
        Ok([&len.to_be_bytes(), sealed.as_slice(), tag.as_slice()].concat())
    }
}

/// Reads a whole backup; `each` gets the items in their order, every one authentic, but that the file
/// is whole is known at its end alone. The number of items.
pub(crate) fn read<E: From<BackupError>>(
    key: &Key32,
    input: &mut dyn Read,
    mut each: impl FnMut(Item) -> Result<(), E>,
) -> Result<u64, E> {
    let mut head = [0; HEAD_LEN];
    fill(input, &mut head)
        .map_err(BackupError::Unreadable)?
        .then_some(())
        .ok_or(BackupError::UnknownForm)?;
    let salt = head.strip_prefix(MAGIC).ok_or(BackupError::UnknownForm)?;
    let cipher = cipher(key, salt).ok_or(BackupError::UnknownForm)?;
    let mut number = 0_u64;
    loop {
        match read_box(&cipher, input, number)? {
            Opened::Item(item) => each(item)?,
            Opened::End(said) if said != number => {
                let found = number;
                return Err(BackupError::Count { said, found }.into());
            }
            Opened::End(_) => {
                let is_more = fill(input, &mut [0]).map_err(BackupError::Unreadable)?;
                return match is_more {
                    true => Err(BackupError::Trailing.into()),
                    false => Ok(number),
                };
            }
        }
        number += 1;
    }
}

enum Opened {
    Item(Item),
    End(u64),
}

fn read_box(cipher: &Aes256Gcm, input: &mut dyn Read, number: u64) -> Result<Opened, BackupError> {
    let mut len = [0; 4];
    if !fill(input, &mut len).map_err(BackupError::Unreadable)? {
        return Err(BackupError::CutOff { number });
    }
    let len = u32::from_be_bytes(len) as usize;
    if len > MAX_SEALED_LEN {
        return Err(BackupError::TooLong { number, len });
    }
    let mut sealed = Zeroizing::new(vec![0; len + TAG_LEN]);
    if !fill(input, &mut sealed).map_err(BackupError::Unreadable)? {
        return Err(BackupError::CutOff { number });
    }
    let tag: [u8; TAG_LEN] = match sealed.split_last_chunk::<TAG_LEN>() {
        Some((_, tag)) => *tag,
        None => return Err(BackupError::CutOff { number }),
    };
    sealed.truncate(len);
    // Which of the two it is, the nonce says; only what was sealed under it opens.
    for is_last in [false, true] {
        let mut opened = sealed.clone();
        let nonce = nonce(number, is_last);
        let buffer = opened.as_mut_slice().into();
        let is_authentic = cipher
            .decrypt_inout_detached(&nonce.into(), MAGIC, buffer, &tag.into())
            .is_ok();
        if is_authentic {
            let opened = if is_last {
                count(&opened)
            } else {
                item(&opened)
            };
            return opened.ok_or(BackupError::Malformed { number });
        }
    }
    Err(BackupError::NotAuthentic { number })
}

fn count(sealed: &[u8]) -> Option<Opened> {
    Some(Opened::End(u64::from_be_bytes(sealed.try_into().ok()?)))
}

fn item(sealed: &[u8]) -> Option<Opened> {
    let (kind, rest) = sealed.split_first()?;
    let (name_len, rest) = rest.split_first_chunk::<2>()?;
    let (name, rest) = rest.split_at_checked(u16::from_be_bytes(*name_len).into())?;
    let (version, bytes) = rest.split_first_chunk::<8>()?;
    let name = std::str::from_utf8(name).ok()?;
    let place = match *kind {
        RESOURCE => Place::Resource(ResourcePath::parse(name).ok()?),
        RECORD => Place::Record(RecordName::parse(name).ok()?),
        _ => return None,
    };
    Some(Opened::Item(Item {
        place,
        version: Version::new(u64::from_be_bytes(*version)),
        bytes: Resource::new(bytes.to_vec()),
    }))
}

fn cipher(key: &Key32, salt: &[u8]) -> Option<Aes256Gcm> {
    let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(key.expose()).ok()?;
    mac.update(DOMAIN);
    mac.update(salt);
    let derived: Zeroizing<[u8; 32]> = Zeroizing::new(mac.finalize().into_bytes().into());
    Aes256Gcm::new_from_slice(derived.as_slice()).ok()
}

fn nonce(number: u64, is_last: bool) -> [u8; 12] {
    let mut nonce = [0; 12];
    let (count, last) = nonce.split_at_mut(8);
    count.copy_from_slice(&number.to_be_bytes());
    last.fill(u8::from(is_last));
    nonce
}

/// Fills the buffer; `false` if the input ends before.
fn fill(input: &mut dyn Read, buffer: &mut [u8]) -> io::Result<bool> {
    Ok(crate::key_file::read_up_to(input, buffer)? == buffer.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entropy::KernelEntropy;
    use proptest::prelude::*;

    fn key() -> Key32 {
        Key32::draw(&mut KernelEntropy).unwrap()
    }

    fn places() -> Vec<(Place, Vec<u8>)> {
        let resource = Place::Resource(ResourcePath::parse("a/b/c").unwrap());
        let record = Place::Record(RecordName::parse("policy/resource").unwrap());
        vec![
            (resource, b"secret".to_vec()),
            (record, vec![7; crate::store::MAX_RECORD_LEN]),
        ]
    }

    fn write(key: &Key32) -> Vec<Vec<u8>> {
        write_of(key, places())
    }

    fn write_of(key: &Key32, places: Vec<(Place, Vec<u8>)>) -> Vec<Vec<u8>> {
        let (mut writer, head) = Writer::begin(key, &mut KernelEntropy).unwrap();
        let mut parts = vec![head];
        for (place, bytes) in places {
            let item = Item {
                place,
                version: Version::new(3),
                bytes: Resource::new(bytes),
            };
            parts.push(writer.item(&item).unwrap());
        }
        parts.push(writer.end().unwrap());
        parts
    }

    fn read_all(key: &Key32, file: &[u8]) -> Result<Vec<(Place, Vec<u8>)>, BackupError> {
        let mut items = Vec::new();
        read(key, &mut &*file, |item| {
            assert_eq!(item.version.number(), 3);
            items.push((item.place, item.bytes.to_vec()));
            Ok::<_, BackupError>(())
        })?;
        Ok(items)
    }

    #[test]
    fn what_was_backed_up_reads_back_under_its_key_alone() {
        let key = key();
        let file = write(&key).concat();
        assert_eq!(read_all(&key, &file).unwrap(), places());
        assert!(matches!(
            read_all(&self::key(), &file),
            Err(BackupError::NotAuthentic { number: 0 })
        ));
        assert!(!file.windows(6).any(|window| window == b"secret"));
        assert_ne!(file, write(&key).concat());
    }

    #[test]
    fn what_is_cut_off_changed_or_put_in_another_order_is_refused() {
        let key = key();
        let parts = write(&key);
        let [head, one, two, end] = parts.as_slice() else {
            panic!("other parts");
        };
        for (wrong, parts) in [
            ("no end", vec![head, one, two]),
            ("one item less", vec![head, one, end]),
            ("another order", vec![head, two, one, end]),
            ("an item twice", vec![head, one, one, two, end]),
            ("more after the end", vec![head, one, two, end, end]),
            ("no items", vec![head, end]),
            ("nothing", vec![head]),
        ] {
            let file: Vec<u8> = parts.into_iter().flatten().copied().collect();
            assert!(read_all(&key, &file).is_err(), "{wrong}");
        }
        let other = write(&key);
        let spliced = [head, one, &other[2], end].map(Vec::as_slice).concat();
        assert!(read_all(&key, &spliced).is_err());
        let file = write_of(&key, places().into_iter().take(1).collect()).concat();
        assert_eq!(read_all(&key, &file).unwrap().len(), 1);
        for index in 0..file.len() {
            let mut changed = file.clone();
            changed[index] ^= 1;
            assert!(read_all(&key, &changed).is_err(), "byte {index}");
            assert!(read_all(&key, &file[..index]).is_err(), "cut at {index}");
        }
    }

    #[test]
    fn a_length_is_not_believed() {
        let key = key();
        let mut file = write(&key).remove(0);
        file.extend(u32::MAX.to_be_bytes());
        assert!(matches!(
            read_all(&key, &file),
            Err(BackupError::TooLong { number: 0, .. })
        ));
    }

    proptest! {
        #[test]
        fn any_bytes_are_refused(bytes: Vec<u8>, with_head: bool) {
            let key = key();
            let head = write(&key).remove(0);
            let file = if with_head { [head, bytes].concat() } else { bytes };
            prop_assert!(read_all(&key, &file).is_err());
        }

        #[test]
        fn any_sealed_bytes_are_an_item_or_none(bytes: Vec<u8>) {
            let _ = (item(&bytes), count(&bytes));
        }
    }
}
