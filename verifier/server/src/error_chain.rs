//! Errors on one line, for logs and audits.

use std::error::Error;

/// An error with its sources. No error of ours has a header's value, a body or a secret in it.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
