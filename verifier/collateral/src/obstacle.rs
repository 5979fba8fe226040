//! What stands in the way of a judgement or of a fetch.

use serde_json::{Value, json};
use std::path::Path;
use thiserror::Error;

/// Something of the operator's that stands in the way: what, why, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{thing}: {reason}; {remedy}")]
pub struct Obstacle {
    /// The file, folder or argument.
    pub thing: String,
    /// What is wrong with it.
    pub reason: String,
    /// What to do.
    pub remedy: String,
}

impl Obstacle {
    /// A file or folder that stands in the way.
    #[must_use]
    pub fn at(path: &Path, reason: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::of(path.display().to_string(), reason, remedy)
    }

    /// Anything else.
    #[must_use]
    pub fn of(
        thing: impl Into<String>,
        reason: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self {
            thing: thing.into(),
            reason: reason.into(),
            remedy: remedy.into(),
        }
    }

    /// The same for machines.
    #[must_use]
    pub fn to_json(&self) -> Value {
        json!({ "error": { "thing": self.thing, "reason": self.reason, "remedy": self.remedy } })
    }
}

/// An error with its causes in one line.
#[must_use]
pub fn told(error: &dyn std::error::Error) -> String {
    let mut told = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        told.push_str(": ");
        told.push_str(&cause.to_string());
        source = cause.source();
    }
    told
}
