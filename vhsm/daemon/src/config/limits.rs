use super::{ConfigError, Document, quantity};
use nitride_vault::VaultLimits;
use serde::Deserialize;
use toml::Spanned;

/// What peers may use at most. Every figure has a default that fits arenas of 3 + 3 MiB.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Connections to the application and admin sockets; each has a thread.
    pub(crate) connections: usize,
    /// Of these, connections of one uid.
    pub(crate) connections_per_uid: usize,
    /// Requests of one uid that wait for a round.
    pub(crate) parked_per_uid: usize,
    /// Bytes of the heap arena that packets and replies of one uid may take beyond the small
    /// buffers that every connection has.
    pub(crate) buffer_len_per_uid: usize,
    /// Bytes of its own memory that one uid may share with vhsmd: address space and page tables
    /// here.
    pub(crate) shared_len_per_uid: u64,
    /// Keys in the vault.
    pub(crate) keys: u64,
    /// Keys that one uid has generated.
    pub(crate) keys_per_uid: u64,
    /// Bytes of the heap arena for expanded keys.
    pub(crate) expanded_len: usize,
    /// Longest that a request may wait for a round, in milliseconds; `hello` may ask for less.
    pub(crate) max_wait_ms: u32,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(super) struct RawLimits {
    connections: Option<Spanned<usize>>,
    connections_per_uid: Option<Spanned<usize>>,
    parked_per_uid: Option<Spanned<usize>>,
    buffers_per_uid: Option<Spanned<String>>,
    shared_per_uid: Option<Spanned<String>>,
    keys: Option<u64>,
    keys_per_uid: Option<u64>,
    max_wait_ms: Option<u32>,
}

/// More threads than this are a mistake in the file.
const MAX_CONNECTIONS: usize = 32_768;
/// Memory that one uid shares, unless the file says otherwise.
const DEFAULT_SHARED_LEN: u64 = 4 << 30;

impl RawLimits {
    /// `heap_len` is the size of the heap arena in bytes.
    pub(super) fn validate(
        self,
        document: &Document,
        heap_len: usize,
    ) -> Result<Limits, ConfigError> {
        let count = |value: Option<Spanned<usize>>, otherwise, max| {
            bounded(document, value, otherwise, max)
        };
        let buffers = match self.buffers_per_uid {
            // A quarter: three greedy users leave room for a fourth, and for the keys.
            None => heap_len / 4,
            Some(text) => size(document, &text)?,
        };
        let shared = match self.shared_per_uid {
            None => DEFAULT_SHARED_LEN,
            Some(text) => size(document, &text)? as u64,
        };
        Ok(Limits {
            connections: count(self.connections, 2048, MAX_CONNECTIONS)?,
            connections_per_uid: count(self.connections_per_uid, 1024, MAX_CONNECTIONS)?,
            parked_per_uid: count(self.parked_per_uid, 1024, usize::MAX)?,
            buffer_len_per_uid: buffers,
            shared_len_per_uid: shared,
            keys: self.keys.unwrap_or(100_000),
            keys_per_uid: self.keys_per_uid.unwrap_or(10_000),
            // The other half is for packets, calls and rounds.
            expanded_len: heap_len / 2,
            max_wait_ms: self.max_wait_ms.unwrap_or(60_000),
        })
    }
}

impl Limits {
    /// The part that the vault itself counts.
    pub(crate) fn of_vault(&self) -> VaultLimits {
        VaultLimits {
            keys: self.keys,
            keys_per_uid: self.keys_per_uid,
            expanded_len: self.expanded_len,
        }
    }
}

fn size(document: &Document, text: &Spanned<String>) -> Result<usize, ConfigError> {
    quantity::size_len(text.get_ref()).ok_or_else(|| {
        document.fault(
            text.span(),
            format_args!("{:?} is not a size", text.get_ref()),
            "write a number with B, KiB, MiB or GiB, as in \"512KiB\"",
        )
    })
}

fn bounded(
    document: &Document,
    value: Option<Spanned<usize>>,
    otherwise: usize,
    max: usize,
) -> Result<usize, ConfigError> {
    let Some(value) = value else {
        return Ok(otherwise);
    };
    if (1..=max).contains(value.get_ref()) {
        Ok(value.into_inner())
    } else {
        Err(document.fault(
            value.span(),
            format_args!("{} is out of range", value.get_ref()),
            format_args!("write a number from 1 to {max}"),
        ))
    }
}
