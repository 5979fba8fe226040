//! Strict TOML with errors that name file, line, reason and remedy. Shared with the service, whose
//! configuration and resource policy are read in the same way.

use serde::de::DeserializeOwned;
use thiserror::Error;
use toml::Spanned;

/// The text of a file, and its name for errors.
#[derive(Debug, Clone, Copy)]
pub struct TomlText<'a> {
    /// The whole text.
    pub text: &'a str,
    /// The name, as an operator would write it.
    pub file: &'a str,
}

/// A file that is not what it must be: where, why, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{file}:{line}: {reason}; {remedy}")]
pub struct FileError {
    /// The file's name, as the caller gave it.
    pub file: String,
    /// The line, counted from 1.
    pub line: u32,
    /// What is wrong.
    pub reason: String,
    /// What to do about it.
    pub remedy: String,
}

/// A value together with the line that states it, so that a verdict can name the line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stated<T> {
    /// The value.
    pub value: T,
    /// The line, counted from 1.
    pub line: u32,
}

impl TomlText<'_> {
    /// Reads a form that refuses unknown fields (`deny_unknown_fields`); `remedy` is the advice.
    ///
    /// # Errors
    ///
    /// [`FileError`] for text that is not TOML, or not of the form.
    pub fn read<T: DeserializeOwned>(&self, remedy: &str) -> Result<T, FileError> {
        toml::from_str(self.text).map_err(|error| FileError {
            file: self.file.to_owned(),
            line: error.span().map_or(1, |span| self.line_at(span.start)),
            reason: error.message().trim_end().replace('\n', ", "),
            remedy: remedy.to_owned(),
        })
    }

    /// The value with its line.
    #[must_use]
    pub fn stated<T>(&self, value: Spanned<T>) -> Stated<T> {
        let line = self.line_at(value.span().start);
        Stated {
            value: value.into_inner(),
            line,
        }
    }

    /// The value, checked, with its line.
    ///
    /// # Errors
    ///
    /// [`FileError`] at that line with the reason that `convert` gives.
    pub fn converted<F, T>(
        &self,
        value: Spanned<F>,
        convert: impl FnOnce(F) -> Result<T, String>,
    ) -> Result<Stated<T>, FileError> {
        let Stated { value, line } = self.stated(value);
        match convert(value) {
            Ok(value) => Ok(Stated { value, line }),
            Err(reason) => Err(FileError {
                file: self.file.to_owned(),
                line,
                reason,
                remedy: "correct the value".to_owned(),
            }),
        }
    }

    /// An error at the line that states `at`.
    #[must_use]
    pub fn error<T>(
        &self,
        at: &Spanned<T>,
        reason: impl Into<String>,
        remedy: impl Into<String>,
    ) -> FileError {
        FileError {
            file: self.file.to_owned(),
            line: self.line_at(at.span().start),
            reason: reason.into(),
            remedy: remedy.into(),
        }
    }

    fn line_at(&self, offset: usize) -> u32 {
        let before = self.text.as_bytes().iter().take(offset);
        let newlines = before.filter(|byte| **byte == b'\n').count();
        u32::try_from(newlines)
            .unwrap_or(u32::MAX)
            .saturating_add(1)
    }
}
