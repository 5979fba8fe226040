//! `[audit]`: where the audit's files are, and what happens where they cannot grow.

use super::in_range;
use crate::audit::folder::MAX_FILE_LEN;
use crate::audit::{AuditSettings, Sync, WhenFull};
use nitride_verify::strict_toml::{FileError, TomlText};
use serde::Deserialize;
use std::path::{Path, PathBuf};
use toml::Spanned;

const MAX_FILE_MIB: u32 = 64;
const _: () = assert!((MAX_FILE_MIB as u64) << 20 == MAX_FILE_LEN);

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct AuditForm {
    folder: PathBuf,
    files: Option<Spanned<u32>>,
    file_mib: Option<Spanned<u32>>,
    sync: Option<Spanned<String>>,
    full: Option<Spanned<String>>,
}

impl AuditForm {
    pub(super) fn read(
        self,
        folder: &Path,
        text: &TomlText<'_>,
    ) -> Result<AuditSettings, FileError> {
        let files = in_range("files", self.files, 8, 10_000, text)?;
        let file_mib = in_range("file-mib", self.file_mib, 16, MAX_FILE_MIB, text)?;
        let sync = one_of(
            "sync",
            self.sync,
            &[("second", Sync::Second), ("entry", Sync::Entry)],
            text,
        )?;
        let full = one_of(
            "full",
            self.full,
            &[("refuse", WhenFull::Refuse), ("serve", WhenFull::Serve)],
            text,
        )?;
        Ok(AuditSettings {
            folder: folder.join(self.folder),
            files: usize::try_from(files).unwrap_or(usize::MAX),
            file_len: u64::from(file_mib) << 20,
            sync,
            full,
        })
    }
}

/// The value that a word stands for; the first one where there is no word.
pub(super) fn one_of<T: Copy>(
    name: &str,
    word: Option<Spanned<String>>,
    words: &[(&str, T); 2],
    text: &TomlText<'_>,
) -> Result<T, FileError> {
    let [(first, default), (second, _)] = words;
    let Some(word) = word else {
        return Ok(*default);
    };
    let found = words.iter().find(|(known, _)| known == word.get_ref());
    found.map(|(_, value)| *value).ok_or_else(|| {
        let reason = format!("{name} is {:?}", word.get_ref());
        text.error(&word, reason, format!("write {first:?} or {second:?}"))
    })
}
