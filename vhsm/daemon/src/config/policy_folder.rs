//! The folder of policy files, read whole.

use super::document::untrusted;
use super::{ConfigError, Document};
use nitride_ipc::trusted_file::{self, TrustError};
use nitride_secmem::crypto::sha256;
use std::path::{Path, PathBuf};

/// Files that a policy folder may have.
const MAX_FILES: usize = 256;
/// Bytes that they may have together.
const MAX_FOLDER_LEN: usize = 8 << 20;

/// The `*.toml` files of the folder in the order of their names.
pub(super) fn read_folder(folder: &Path) -> Result<Vec<Document>, ConfigError> {
    let unreadable = |error: std::io::Error| {
        ConfigError::of_file(
            folder,
            format_args!("cannot be read ({error})"),
            "check policy-dir in vhsmd.toml and that vhsmd's user may read the folder",
        )
    };
    // Who can add a file to it adds rules.
    trusted_file::check_folder(folder).map_err(|error| match error {
        TrustError::Unreadable(error) => unreadable(error),
        error => untrusted(folder, &error),
    })?;
    let mut paths: Vec<PathBuf> = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        let hidden = path
            .file_name()
            .is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if !hidden
            && path
                .extension()
                .is_some_and(|extension| extension == "toml")
        {
            paths.push(path);
        }
    }
    if paths.len() > MAX_FILES {
        return Err(ConfigError::of_file(
            folder,
            format_args!("has more than {MAX_FILES} policy files"),
            "join some of them",
        ));
    }
    paths.sort();
    let mut documents = Vec::with_capacity(paths.len());
    let mut len = 0;
    for path in &paths {
        let document = Document::read(path)?;
        len += document.text().len();
        if len > MAX_FOLDER_LEN {
            return Err(ConfigError::of_file(
                folder,
                format_args!("has more than {MAX_FOLDER_LEN} bytes of policy"),
                "state names with \"folder/*\", and peers once a rule",
            ));
        }
        documents.push(document);
    }
    Ok(documents)
}

pub(super) fn digest(documents: &[Document]) -> [u8; 32] {
    let mut lens = Vec::with_capacity(2 * documents.len());
    for document in documents {
        lens.push((file_name(document).len() as u64).to_be_bytes());
        lens.push((document.text().len() as u64).to_be_bytes());
    }
    let mut parts: Vec<&[u8]> = Vec::with_capacity(2 * lens.len());
    for (document, lens) in documents.iter().zip(lens.chunks_exact(2)) {
        parts.extend([
            &lens[0][..],
            file_name(document),
            &lens[1][..],
            document.text().as_bytes(),
        ]);
    }
    sha256(&parts)
}

pub(super) fn file_name(document: &Document) -> &[u8] {
    document
        .path()
        .file_name()
        .map_or(&[], std::ffi::OsStr::as_encoded_bytes)
}
