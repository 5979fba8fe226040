//! How a place's bytes lie on disk or in OpenBao: encrypted under a key of their own, which is wrapped
//! by the store key.
//!
//! ```text
//!   "NVRS" | form 2 | version 8 | nonce 12, wrapped data key 32 + 16 | nonce 12, bytes + 16
//!   "NVRS" | form 1 |             the same, without a version; of releases before it, only read
//! ```
//!
//! Both boxes are AES-256-GCM. The additional data of each names its use, the form, the place and its
//! version, so that a file cannot be moved to another name, nor say that it is another version. An
//! older file of the same name is not told from the newest: see LIMITATIONS (the envelope's own
//! version is what the vault compares).

use super::{Place, Resource, Stored, Version};
use crate::entropy::{Draw, NoEntropy, draw_array, draw_secret};
use crate::key_file::Key32;
use aes_gcm::aead::inout::InOutBuf;
use aes_gcm::{AeadInOut, Aes256Gcm, KeyInit};
use thiserror::Error;
use zeroize::Zeroizing;

const MAGIC: &[u8; 5] = b"NVRS\x02";
const UNVERSIONED_MAGIC: &[u8; 5] = b"NVRS\x01";
const VERSION_LEN: usize = 8;
const NONCE_LEN: usize = 12;
const TAG_LEN: usize = 16;
const WRAPPED_LEN: usize = NONCE_LEN + 32 + TAG_LEN;
/// What a sealed file has more than its bytes.
pub(super) const OVERHEAD_LEN: usize =
    MAGIC.len() + VERSION_LEN + WRAPPED_LEN + NONCE_LEN + TAG_LEN;

/// Why bytes are not opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(super) enum OpenError {
    #[error("file is not of this form")]
    UnknownForm,
    #[error("file is not authentic")]
    NotAuthentic,
}

/// Why bytes are not sealed.
#[derive(Debug, Error)]
pub(super) enum SealError {
    #[error(transparent)]
    NoEntropy(#[from] NoEntropy),
    #[error("cipher refused its input")]
    Cipher,
}

/// What the boxes of one file are bound to.
#[derive(Clone, Copy)]
enum Bound<'a> {
    Versioned(&'a Place, Version),
    Unversioned(&'a Place),
}

/// The file's bytes for `bytes` as `version` of `place`, under a fresh data key.
pub(super) fn seal(
    store_key: &Key32,
    place: &Place,
    version: Version,
    bytes: &[u8],
    draw: &mut dyn Draw,
) -> Result<Vec<u8>, SealError> {
    let bound = Bound::Versioned(place, version);
    let data_key = draw_secret::<32>(draw)?;
    let mut file = Vec::with_capacity(OVERHEAD_LEN + bytes.len());
    file.extend(MAGIC);
    file.extend(version.number().to_be_bytes());
    append_box(
        &mut file,
        store_key.expose(),
        &bound.aad("data key"),
        data_key.as_slice(),
        draw,
    )?;
    append_box(&mut file, &data_key, &bound.aad("resource"), bytes, draw)?;
    Ok(file)
}

/// What a file of `place` holds. One without a version is its first.
pub(super) fn open(store_key: &Key32, place: &Place, file: &[u8]) -> Result<Stored, OpenError> {
    let (bound, version, boxes) = if let Some(rest) = file.strip_prefix(MAGIC) {
        let (version, boxes) = rest
            .split_first_chunk::<VERSION_LEN>()
            .ok_or(OpenError::UnknownForm)?;
        let version = Version::new(u64::from_be_bytes(*version));
        (Bound::Versioned(place, version), version, boxes)
    } else {
        let boxes = file.strip_prefix(UNVERSIONED_MAGIC);
        let boxes = boxes.ok_or(OpenError::UnknownForm)?;
        (Bound::Unversioned(place), Version::new(1), boxes)
    };
    let (wrapped, sealed) = boxes
        .split_at_checked(WRAPPED_LEN)
        .ok_or(OpenError::UnknownForm)?;
    let mut data_key = Box::new(Zeroizing::new([0; 32]));
    open_box(
        store_key.expose(),
        &bound.aad("data key"),
        wrapped,
        data_key.as_mut_slice(),
    )?;
    let len = sealed
        .len()
        .checked_sub(NONCE_LEN + TAG_LEN)
        .ok_or(OpenError::UnknownForm)?;
    let mut bytes = Resource::new(vec![0; len]);
    open_box(&data_key, &bound.aad("resource"), sealed, &mut bytes)?;
    Ok(Stored { bytes, version })
}

impl Bound<'_> {
    fn aad(self, used_for: &str) -> String {
        match self {
            Self::Versioned(place, version) => {
                format!("nitride store 2, {used_for}: {place}, version {version}")
            }
            // The service kept no records then: a file of one is not authentic.
            Self::Unversioned(Place::Resource(path)) => {
                format!("nitride store 1, {used_for}: {path}")
            }
            Self::Unversioned(place @ Place::Record(_)) => {
                format!("nitride store 1, {used_for}: {place}")
            }
        }
    }
}

/// Appends nonce, ciphertext and tag. The store key seals one data key for each file written, far
/// from the 2^32 random nonces that GCM allows a key; a data key seals once.
fn append_box(
    file: &mut Vec<u8>,
    key: &[u8; 32],
    aad: &str,
    plaintext: &[u8],
    draw: &mut dyn Draw,
) -> Result<(), SealError> {
    let nonce: [u8; NONCE_LEN] = draw_array(draw)?;
    let cipher = Aes256Gcm::new_from_slice(key).map_err(|_| SealError::Cipher)?;
    file.extend(nonce);
    let start = file.len();
    file.resize(start + plaintext.len(), 0);
    let out = file.get_mut(start..).ok_or(SealError::Cipher)?;
    let buffer = InOutBuf::new(plaintext, out).map_err(|_| SealError::Cipher)?;
    let tag = cipher
        .encrypt_inout_detached(&nonce.into(), aad.as_bytes(), buffer)
        .map_err(|_| SealError::Cipher)?;
    file.extend(tag.iter());
    Ok(())
}

/// Opens nonce, ciphertext and tag into `out`, which has the plaintext's length.
fn open_box(key: &[u8; 32], aad: &str, sealed: &[u8], out: &mut [u8]) -> Result<(), OpenError> {
    let (nonce, rest) = sealed
        .split_first_chunk::<NONCE_LEN>()
        .ok_or(OpenError::UnknownForm)?;
    let (ciphertext, tag) = rest
        .split_last_chunk::<TAG_LEN>()
        .ok_or(OpenError::UnknownForm)?;
    let cipher = Aes256Gcm::new_from_slice(key).map_err(|_| OpenError::UnknownForm)?;
    let buffer = InOutBuf::new(ciphertext, out).map_err(|_| OpenError::UnknownForm)?;
    cipher
        .decrypt_inout_detached(&(*nonce).into(), aad.as_bytes(), buffer, &(*tag).into())
        .map_err(|_| OpenError::NotAuthentic)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entropy::KernelEntropy;
    use crate::store::{MAX_RESOURCE_LEN, RecordName};
    use nitride_kbs::resource::ResourcePath;

    const V: Version = Version(7);

    fn place(text: &str) -> Place {
        Place::from(&ResourcePath::parse(text).unwrap())
    }

    fn key() -> Key32 {
        Key32::draw(&mut KernelEntropy).unwrap()
    }

    fn sealed(key: &Key32, place: &Place, bytes: &[u8]) -> Vec<u8> {
        seal(key, place, V, bytes, &mut KernelEntropy).unwrap()
    }

    #[test]
    fn what_was_sealed_opens_under_its_name_and_key_alone() {
        let (key, name) = (key(), place("default/key/one"));
        for resource in [&b""[..], b"secret", &[9; MAX_RESOURCE_LEN]] {
            let file = sealed(&key, &name, resource);
            assert!(file.len() == resource.len() + OVERHEAD_LEN);
            let stored = open(&key, &name, &file).unwrap();
            assert_eq!(stored.bytes.as_slice(), resource);
            assert_eq!(stored.version, V);
            let record = Place::from(&RecordName::parse("default/key/one").unwrap());
            for other in [place("default/key/two"), record] {
                assert_eq!(
                    open(&key, &other, &file).unwrap_err(),
                    OpenError::NotAuthentic
                );
            }
            assert_eq!(
                open(&self::key(), &name, &file).unwrap_err(),
                OpenError::NotAuthentic
            );
        }
    }

    #[test]
    fn every_changed_byte_and_every_cut_is_noticed() {
        let (key, name) = (key(), place("default/key/one"));
        let file = sealed(&key, &name, b"secret");
        for index in 0..file.len() {
            let mut changed = file.clone();
            changed[index] ^= 1;
            let error = open(&key, &name, &changed).unwrap_err();
            let expected = if index < MAGIC.len() {
                OpenError::UnknownForm
            } else {
                OpenError::NotAuthentic
            };
            assert_eq!(error, expected, "byte {index}");
            assert!(open(&key, &name, &file[..index]).is_err());
        }
    }

    #[test]
    fn a_version_is_not_changed_and_not_taken_away() {
        let (key, name) = (key(), place("default/key/one"));
        let file = sealed(&key, &name, b"secret");
        let mut newer = file.clone();
        newer[MAGIC.len() + VERSION_LEN - 1] = 8;
        assert_eq!(
            open(&key, &name, &newer).unwrap_err(),
            OpenError::NotAuthentic
        );
        let unversioned = [UNVERSIONED_MAGIC, &file[MAGIC.len() + VERSION_LEN..]].concat();
        assert_eq!(
            open(&key, &name, &unversioned).unwrap_err(),
            OpenError::NotAuthentic
        );
    }

    #[test]
    fn a_file_of_the_form_before_versions_is_read_as_the_first() {
        let (key, name) = (key(), place("default/key/one"));
        let data_key = draw_secret::<32>(&mut KernelEntropy).unwrap();
        let mut file = UNVERSIONED_MAGIC.to_vec();
        for (key, used_for, bytes) in [
            (key.expose(), "data key", data_key.as_slice()),
            (&data_key, "resource", b"secret"),
        ] {
            let aad = format!("nitride store 1, {used_for}: default/key/one");
            append_box(&mut file, key, &aad, bytes, &mut KernelEntropy).unwrap();
        }
        let stored = open(&key, &name, &file).unwrap();
        assert_eq!(stored.bytes.as_slice(), b"secret");
        assert_eq!(stored.version, Version::new(1));
    }

    #[test]
    fn no_two_files_of_one_resource_are_alike() {
        let (key, name) = (key(), place("default/key/one"));
        let first = sealed(&key, &name, b"secret");
        assert_ne!(first, sealed(&key, &name, b"secret"));
        assert!(!first.windows(6).any(|window| window == b"secret"));
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_refused(bytes: Vec<u8>, form in 0..3_usize) {
            let magic = [&b""[..], MAGIC, UNVERSIONED_MAGIC][form];
            let file = [magic, &bytes].concat();
            proptest::prop_assert!(open(&key(), &place("a/b/c"), &file).is_err());
        }
    }
}
