//! Answers, each read into one type. A status says what to do next, the body what it is about.

mod field;

pub use field::{Encoding, FieldRead, LEASE_METADATA, field};

use crate::login::{Login, Token};
use base64ct::{Base64, Encoding as _};
use serde::Deserialize;
use std::borrow::Cow;
use thiserror::Error;
use zeroize::Zeroizing;

/// The longest answer to anything but a list, in bytes.
pub const MAX_ANSWER_LEN: usize = 1 << 20;
/// The longest answer to a list, in bytes.
pub const MAX_LIST_LEN: usize = 8 << 20;
/// Entries of one folder.
pub const MAX_KEYS: usize = 100_000;
/// Of what a server says about an error, so many characters are kept.
const MAX_TOLD_CHARS: usize = 200;
/// A token is at most so long, in bytes: a batch token of many policies has some hundreds.
const MAX_TOKEN_LEN: usize = 8192;

/// What a status asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// It was done, and the body says what.
    Done,
    /// 404: there is none, or the path is wrong; the body says which.
    NotFound,
    /// 403: the token is not taken any more, or its policies do not allow this.
    Denied,
    /// 400 and the like: the request itself is refused, here and by every other node.
    Refused,
    /// This node cannot say now: sealed, standing by, without a leader, busy. Another may, or this one
    /// later.
    Elsewhere,
}

impl Class {
    /// Sorts a status. What is not known is refused.
    #[must_use]
    pub fn of(status: u16) -> Self {
        match status {
            200 | 204 => Self::Done,
            404 => Self::NotFound,
            403 => Self::Denied,
            // A redirection names a leader that this caller was not told of; the others are a node's
            // own states, of which 412 and 47x are those of nodes that lag behind.
            307 | 308 | 408 | 412 | 425 | 429 | 472 | 473 | 500..=599 => Self::Elsewhere,
            _ => Self::Refused,
        }
    }
}

/// One version of a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// From 1.
    pub version: u64,
    /// The bytes as they were written; `None` where this version was deleted or destroyed.
    pub sealed: Option<Vec<u8>>,
}

/// Why an answer is not one.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum AnswerError {
    /// Longer than such an answer is.
    #[error("answer is longer than {max} bytes")]
    TooLong {
        /// Bytes.
        max: usize,
    },
    /// Not the JSON that belongs to the request.
    #[error("answer is not what the engine answers: {reason}")]
    Malformed {
        /// Position and kind, without the body.
        reason: String,
    },
    /// 404 by somebody else than the engine.
    #[error("there is no such engine or method: {told}")]
    NoSuchPath {
        /// What the server says.
        told: String,
    },
    /// The secret is none of this caller's: its one field is not there.
    #[error("secret has no field \"sealed\" in base64")]
    NotSealed,
    /// The field that is asked for is not there, is no text, or stands there twice.
    #[error("secret has no field {name:?} that is a text")]
    NoField {
        /// The field's name.
        name: String,
    },
    /// The field is there and is not base64.
    #[error("field {name:?} of the secret is not base64")]
    NotBase64 {
        /// The field's name.
        name: String,
    },
    /// The metadata says for how long it may be kept, and not in whole seconds.
    #[error("custom metadata {LEASE_METADATA} of the secret is no number of seconds")]
    LeaseMalformed,
    /// Versions count from 1.
    #[error("secret is of version 0")]
    NoVersion,
    /// A folder with more entries than are taken.
    #[error("folder has more than {MAX_KEYS} entries")]
    TooMany,
    /// A login without a token, or with one that is no header's value.
    #[error("login gave no usable token")]
    NoToken,
}

#[derive(Deserialize)]
struct Envelope<T> {
    data: Option<T>,
}

#[derive(Deserialize)]
struct Secret<'a> {
    #[serde(borrow)]
    data: Option<Fields<'a>>,
    metadata: Metadata,
}

#[derive(Deserialize)]
struct Fields<'a> {
    #[serde(borrow)]
    sealed: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct Metadata {
    version: u64,
}

#[derive(Deserialize)]
struct Keys {
    keys: Vec<String>,
}

#[derive(Deserialize)]
struct Errors {
    errors: Vec<String>,
}

#[derive(Deserialize)]
struct LoggedIn<'a> {
    #[serde(borrow)]
    auth: Option<Auth<'a>>,
}

#[derive(Deserialize)]
struct Auth<'a> {
    /// Borrowed: the reader wipes the body, and no copy is left behind.
    #[serde(borrow)]
    client_token: Cow<'a, str>,
    lease_duration: u64,
    renewable: bool,
}

/// What was read; `None` where there never was such a secret.
///
/// # Errors
/// [`AnswerError`]. `status` is one of [`Class::Done`] or [`Class::NotFound`].
pub fn read(status: u16, body: &[u8]) -> Result<Option<Found>, AnswerError> {
    check_len(body, MAX_ANSWER_LEN)?;
    let found = parse::<Envelope<Secret<'_>>>(body);
    if Class::of(status) == Class::NotFound {
        // A version that was deleted is 404 with its metadata, and one that never was is 404 with an
        // empty list of errors.
        return match found {
            Ok(Envelope { data: Some(secret) }) if secret.data.is_none() => version_of(&secret)
                .map(|version| {
                    Some(Found {
                        version,
                        sealed: None,
                    })
                }),
            _ => absent(body).map(|()| None),
        };
    }
    let Some(secret) = found?.data else {
        return Err(malformed("there is no data"));
    };
    let version = version_of(&secret)?;
    let text = secret.data.and_then(|fields| fields.sealed);
    let text = text.ok_or(AnswerError::NotSealed)?;
    let sealed = Base64::decode_vec(&text).map_err(|_| AnswerError::NotSealed)?;
    Ok(Some(Found {
        version,
        sealed: Some(sealed),
    }))
}

/// The version that a write made.
///
/// # Errors
/// [`AnswerError`].
pub fn written(body: &[u8]) -> Result<u64, AnswerError> {
    check_len(body, MAX_ANSWER_LEN)?;
    match parse::<Envelope<Metadata>>(body)?.data {
        Some(Metadata { version }) if version > 0 => Ok(version),
        Some(_) => Err(AnswerError::NoVersion),
        None => Err(malformed("there is no data")),
    }
}

/// The names in a folder, in which folders end in a slash; none where there is no such folder.
///
/// # Errors
/// [`AnswerError`]. `status` is one of [`Class::Done`] or [`Class::NotFound`].
pub fn keys(status: u16, body: &[u8]) -> Result<Vec<String>, AnswerError> {
    check_len(body, MAX_LIST_LEN)?;
    if Class::of(status) == Class::NotFound {
        return absent(body).map(|()| Vec::new());
    }
    let keys = parse::<Envelope<Keys>>(body)?.data;
    let keys = keys.ok_or_else(|| malformed("there is no data"))?.keys;
    if keys.len() > MAX_KEYS {
        return Err(AnswerError::TooMany);
    }
    Ok(keys)
}

/// What a login or a renewal gave.
///
/// # Errors
/// [`AnswerError`].
pub fn logged_in(body: &[u8]) -> Result<Login, AnswerError> {
    check_len(body, MAX_ANSWER_LEN)?;
    let auth = parse::<LoggedIn<'_>>(body)?
        .auth
        .ok_or(AnswerError::NoToken)?;
    let text = auth.client_token.as_bytes();
    let is_usable =
        (1..=MAX_TOKEN_LEN).contains(&text.len()) && text.iter().all(u8::is_ascii_graphic);
    if !is_usable {
        return Err(AnswerError::NoToken);
    }
    Ok(Login {
        token: Token(Zeroizing::new(auth.client_token.into_owned())),
        lease_secs: auth.lease_duration,
        renewable: auth.renewable,
    })
}

/// What a server says about an error, short and printable; empty where it says nothing that is known.
#[must_use]
pub fn told(body: &[u8]) -> String {
    let body = body.get(..MAX_ANSWER_LEN.min(body.len())).unwrap_or(body);
    let errors = parse::<Errors>(body).map_or(Vec::new(), |errors| errors.errors);
    let printable = |c: char| match c {
        ' ' => ' ',
        c if c.is_ascii_graphic() => c,
        _ => ' ',
    };
    let text = errors.join("; ");
    text.chars().take(MAX_TOLD_CHARS).map(printable).collect()
}

/// The engine's way to say that there is none: an empty list of errors.
fn absent(body: &[u8]) -> Result<(), AnswerError> {
    match parse::<Errors>(body)? {
        Errors { errors } if errors.is_empty() => Ok(()),
        Errors { .. } => Err(AnswerError::NoSuchPath { told: told(body) }),
    }
}

fn version_of(secret: &Secret<'_>) -> Result<u64, AnswerError> {
    match secret.metadata.version {
        0 => Err(AnswerError::NoVersion),
        version => Ok(version),
    }
}

fn check_len(body: &[u8], max: usize) -> Result<(), AnswerError> {
    if body.len() > max {
        return Err(AnswerError::TooLong { max });
    }
    Ok(())
}

fn parse<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, AnswerError> {
    serde_json::from_slice(body).map_err(|error| {
        // Its own text may quote what was found, and that may be a token.
        let kind = match error.classify() {
            serde_json::error::Category::Eof => "it ends early",
            serde_json::error::Category::Data => "a field is missing or of another type",
            _ => "it is no JSON",
        };
        malformed(&format!("{kind}, at byte {}", error.column()))
    })
}

fn malformed(reason: &str) -> AnswerError {
    AnswerError::Malformed {
        reason: reason.to_owned(),
    }
}

#[cfg(test)]
mod tests;
