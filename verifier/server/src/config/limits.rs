//! `[throttle]` and `[limits]`: what clients may ask and hold.

use nitride_verify::strict_toml::{FileError, TomlText};
use serde::Deserialize;
use std::time::Duration;
use toml::Spanned;

/// Each that has attested holds about 48 KiB: TLS, the buffers of HTTP, an answer with its token. Two
/// processors are busy with far fewer, and whoever has no slot waits in the kernel's queue.
const CONNECTIONS: u32 = 384;

/// What one source may ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ThrottleLimits {
    pub(crate) requests_per_second: u32,
    pub(crate) burst: u32,
}

/// What clients may hold, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limits {
    pub(crate) connections: usize,
    pub(crate) connections_per_source: usize,
    pub(crate) header_timeout: Duration,
    pub(crate) body_timeout: Duration,
    pub(crate) connection_lifetime: Duration,
    pub(crate) drain: Duration,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct ThrottleForm {
    requests_per_second: Option<Spanned<u32>>,
    burst: Option<Spanned<u32>>,
    attests_per_second: Option<Spanned<u32>>,
    attest_burst: Option<Spanned<u32>>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct LimitsForm {
    connections: Option<Spanned<u32>>,
    connections_per_source: Option<Spanned<u32>>,
    header_timeout_secs: Option<Spanned<u32>>,
    body_timeout_secs: Option<Spanned<u32>>,
    connection_lifetime_secs: Option<Spanned<u32>>,
    drain_secs: Option<Spanned<u32>>,
}

impl ThrottleForm {
    /// For every request, and for those that have evidence judged.
    pub(super) fn read(
        &self,
        text: &TomlText<'_>,
    ) -> Result<(ThrottleLimits, ThrottleLimits), FileError> {
        let read = |name, field: &Option<Spanned<u32>>, default| {
            in_range(name, field.clone(), default, 1_000_000, text)
        };
        let all = ThrottleLimits {
            requests_per_second: read("requests-per-second", &self.requests_per_second, 50)?,
            burst: read("burst", &self.burst, 200)?,
        };
        // Each is asked for its challenge before it attests.
        let (per_second, burst) = (all.requests_per_second.div_ceil(2), all.burst.div_ceil(2));
        let attests = ThrottleLimits {
            requests_per_second: read("attests-per-second", &self.attests_per_second, per_second)?,
            burst: read("attest-burst", &self.attest_burst, burst)?,
        };
        Ok((all, attests))
    }
}

impl LimitsForm {
    pub(super) fn read(self, text: &TomlText<'_>) -> Result<Limits, FileError> {
        let secs = |name, field, default| {
            in_range(name, field, default, 86_400, text)
                .map(|secs| Duration::from_secs(secs.into()))
        };
        let connections = self.connections;
        let connections = in_range("connections", connections, CONNECTIONS, 100_000, text)?;
        let per_source = in_range(
            "connections-per-source",
            self.connections_per_source,
            connections.div_ceil(4),
            connections,
            text,
        )?;
        let count = |number| usize::try_from(number).unwrap_or(usize::MAX);
        Ok(Limits {
            connections: count(connections),
            connections_per_source: count(per_source),
            header_timeout: secs("header-timeout-secs", self.header_timeout_secs, 10)?,
            body_timeout: secs("body-timeout-secs", self.body_timeout_secs, 10)?,
            connection_lifetime: secs(
                "connection-lifetime-secs",
                self.connection_lifetime_secs,
                300,
            )?,
            drain: secs("drain-secs", self.drain_secs, 5)?,
        })
    }
}

/// A whole number from 1 to `max`, or `default` where none is written.
pub(super) fn in_range(
    name: &str,
    field: Option<Spanned<u32>>,
    default: u32,
    max: u32,
    text: &TomlText<'_>,
) -> Result<u32, FileError> {
    match field {
        None => Ok(default),
        Some(value) if (1..=max).contains(value.get_ref()) => Ok(value.into_inner()),
        Some(value) => {
            let reason = format!("{name} is {}", value.get_ref());
            Err(text.error(&value, reason, format!("write 1 to {max}")))
        }
    }
}
