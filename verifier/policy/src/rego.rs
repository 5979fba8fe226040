//! A Rego module as text, and everything that its evaluation may end in but a yes.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::sync::Arc;
use thiserror::Error;

/// No module is longer.
pub const MAX_MODULE_LEN: usize = 256 * 1024;

/// A module, bounded in length and not looked into: who reads it is an
/// [`Evaluator`](crate::Evaluator), which may be in another process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegoModule {
    file: Arc<str>,
    text: Arc<str>,
    digest: [u8; 32],
}

/// The module has too many bytes.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{file} has {len} bytes of Rego, more than {MAX_MODULE_LEN}; take data out of the policy")]
pub struct ModuleTooLong {
    /// The module's file.
    pub file: String,
    /// Bytes found.
    pub len: usize,
}

/// How an evaluation ends that does not end in yes. Each denies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Error)]
pub enum RegoFault {
    /// The module is not Rego (version 1), or nests too deep.
    #[error("it cannot be read: {0}")]
    Malformed(String),
    /// Another package than `policy`.
    #[error("its package is {0}; write `package policy`")]
    WrongPackage(String),
    /// The rule that is asked for is not there.
    #[error("it has no rule {0}")]
    NoRule(String),
    /// `allow` is false.
    #[error("allow is false")]
    False,
    /// `allow` has no value for these claims.
    #[error("allow is undefined")]
    Undefined,
    /// `allow` is something else than true or false.
    #[error("allow is {0}, not a boolean")]
    NotBoolean(String),
    /// A conflict of rules, an unknown function, a function that fails.
    #[error("it fails: {0}")]
    RunTime(String),
    /// The time of one evaluation is over.
    #[error("its time is over: {0}")]
    OutOfTime(String),
    /// What it is asked about is not JSON, or too long.
    #[error("the question cannot be read: {0}")]
    Question(String),
    /// The answer is not of its form.
    #[error("its answer cannot be used: {0}")]
    Answer(String),
    /// Nobody answered: the evaluator died of memory or of depth, did not start, or is busy.
    #[error("it was not evaluated: {0}")]
    NotEvaluated(String),
}

impl RegoModule {
    /// Takes a module's text; `file` is used in errors and logs.
    ///
    /// # Errors
    ///
    /// [`ModuleTooLong`] above [`MAX_MODULE_LEN`] bytes.
    pub fn new(text: &str, file: &str) -> Result<Self, ModuleTooLong> {
        if text.len() > MAX_MODULE_LEN {
            return Err(ModuleTooLong {
                file: file.to_owned(),
                len: text.len(),
            });
        }
        Ok(Self {
            file: file.into(),
            text: text.into(),
            digest: Sha256::digest(text.as_bytes()).into(),
        })
    }

    /// Its name, as the operator wrote it.
    #[must_use]
    pub fn file(&self) -> &str {
        &self.file
    }

    /// Its text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// SHA-256 of its text, in hexadecimal: the name that an evaluator keeps it under.
    #[must_use]
    pub fn name(&self) -> String {
        self.digest
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }
}
