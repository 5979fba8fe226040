//! How a resource lies on disk: encrypted under a key of its own, which is wrapped by the store key.
//!
//! ```text
//!   "NVRS" | version 1 | nonce 12, wrapped data key 32 + 16 | nonce 12, resource + 16
//! ```
//!
//! Both are AES-256-GCM. The additional data of each names its use, the form's version and the
//! resource's path, so that a file cannot be moved to another name. An older file of the same name
//! is not told from the newest: see LIMITATIONS (the envelope's own version is what the vault
//! compares).

use super::{MAX_RESOURCE_LEN, Resource};
use crate::entropy::{Draw, NoEntropy, draw_array, draw_secret};
use crate::key_file::Key32;
use aes_gcm::aead::inout::InOutBuf;
use aes_gcm::{AeadInOut, Aes256Gcm, KeyInit};
use nitride_kbs::resource::ResourcePath;
use thiserror::Error;
use zeroize::Zeroizing;

const MAGIC: &[u8; 5] = b"NVRS\x01";
const NONCE_LEN: usize = 12;
const TAG_LEN: usize = 16;
const WRAPPED_LEN: usize = NONCE_LEN + 32 + TAG_LEN;
const OVERHEAD_LEN: usize = MAGIC.len() + WRAPPED_LEN + NONCE_LEN + TAG_LEN;

/// The longest file of this form.
pub(super) const MAX_FILE_LEN: usize = MAX_RESOURCE_LEN + OVERHEAD_LEN;

/// Why bytes are not opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(super) enum OpenError {
    #[error("file is not of this form")]
    UnknownForm,
    #[error("file is not authentic")]
    NotAuthentic,
}

/// Why a resource is not sealed.
#[derive(Debug, Error)]
pub(super) enum SealError {
    #[error(transparent)]
    NoEntropy(#[from] NoEntropy),
    #[error("cipher refused its input")]
    Cipher,
}

/// The file's bytes for `resource`, under a fresh data key.
pub(super) fn seal(
    store_key: &Key32,
    path: &ResourcePath,
    resource: &[u8],
    draw: &mut dyn Draw,
) -> Result<Vec<u8>, SealError> {
    let data_key = draw_secret::<32>(draw)?;
    let mut file = Vec::with_capacity(OVERHEAD_LEN + resource.len());
    file.extend(MAGIC);
    append_box(
        &mut file,
        store_key.expose(),
        &aad("data key", path),
        data_key.as_slice(),
        draw,
    )?;
    append_box(&mut file, &data_key, &aad("resource", path), resource, draw)?;
    Ok(file)
}

/// The resource in a file's bytes.
pub(super) fn open(
    store_key: &Key32,
    path: &ResourcePath,
    file: &[u8],
) -> Result<Resource, OpenError> {
    let rest = file.strip_prefix(MAGIC).ok_or(OpenError::UnknownForm)?;
    let (wrapped, sealed) = rest
        .split_at_checked(WRAPPED_LEN)
        .ok_or(OpenError::UnknownForm)?;
    let mut data_key = Box::new(Zeroizing::new([0; 32]));
    open_box(
        store_key.expose(),
        &aad("data key", path),
        wrapped,
        data_key.as_mut_slice(),
    )?;
    let len = sealed
        .len()
        .checked_sub(NONCE_LEN + TAG_LEN)
        .ok_or(OpenError::UnknownForm)?;
    let mut resource = Zeroizing::new(vec![0; len]);
    open_box(&data_key, &aad("resource", path), sealed, &mut resource)?;
    Ok(resource)
}

fn aad(used_for: &str, path: &ResourcePath) -> String {
    format!("nitride store 1, {used_for}: {path}")
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

    fn path(text: &str) -> ResourcePath {
        ResourcePath::parse(text).unwrap()
    }

    fn key() -> Key32 {
        Key32::draw(&mut KernelEntropy).unwrap()
    }

    #[test]
    fn what_was_sealed_opens_under_its_name_and_key_alone() {
        let (key, name) = (key(), path("default/key/one"));
        for resource in [&b""[..], b"secret", &[9; MAX_RESOURCE_LEN]] {
            let file = seal(&key, &name, resource, &mut KernelEntropy).unwrap();
            assert!(file.len() <= MAX_FILE_LEN);
            assert_eq!(open(&key, &name, &file).unwrap().as_slice(), resource);
            assert_eq!(
                open(&key, &path("default/key/two"), &file).unwrap_err(),
                OpenError::NotAuthentic
            );
            assert_eq!(
                open(&self::key(), &name, &file).unwrap_err(),
                OpenError::NotAuthentic
            );
        }
    }

    #[test]
    fn every_changed_byte_and_every_cut_is_noticed() {
        let (key, name) = (key(), path("default/key/one"));
        let file = seal(&key, &name, b"secret", &mut KernelEntropy).unwrap();
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
    fn no_two_files_of_one_resource_are_alike() {
        let (key, name) = (key(), path("default/key/one"));
        let first = seal(&key, &name, b"secret", &mut KernelEntropy).unwrap();
        assert_ne!(
            first,
            seal(&key, &name, b"secret", &mut KernelEntropy).unwrap()
        );
        assert!(!first.windows(6).any(|window| window == b"secret"));
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_refused(bytes: Vec<u8>, with_magic: bool) {
            let file = if with_magic { [MAGIC.as_slice(), &bytes].concat() } else { bytes };
            proptest::prop_assert!(open(&key(), &path("a/b/c"), &file).is_err());
        }
    }
}
