//! Where the keys of one use are: a file, a folder of numbered files, or several files by age.

use nitride_verify::strict_toml::{FileError, TomlText};
use serde::Deserialize;
use std::path::{Path, PathBuf};
use toml::Spanned;

/// At least one path. A single one may be a folder's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeyFiles(Vec<PathBuf>);

impl KeyFiles {
    #[cfg(test)]
    pub(crate) fn of(paths: Vec<PathBuf>) -> Self {
        Self(paths)
    }

    /// As they were stated: of several, the oldest first.
    pub(crate) fn paths(&self) -> &[PathBuf] {
        &self.0
    }
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "a path, or a list of paths, was expected")]
pub(super) enum KeyFilesForm {
    One(PathBuf),
    Several(Vec<PathBuf>),
}

pub(super) fn read(
    name: &str,
    form: &Spanned<KeyFilesForm>,
    folder: &Path,
    text: &TomlText<'_>,
) -> Result<KeyFiles, FileError> {
    let paths = match form.get_ref() {
        KeyFilesForm::One(path) => std::slice::from_ref(path),
        KeyFilesForm::Several(paths) => paths,
    };
    if paths.is_empty() {
        let reason = format!("{name} is an empty list");
        return Err(text.error(form, reason, "name the files, the oldest first"));
    }
    Ok(KeyFiles(
        paths.iter().map(|path| folder.join(path)).collect(),
    ))
}
