//! `--time`: a moment in words or in seconds.

use der::DateTime;
use std::str::FromStr;
use std::time::{SystemTime, UNIX_EPOCH};

/// Seconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Moment(pub(crate) u64);

impl Moment {
    /// What the clock says. A clock before 1970 reads as 0, when no certificate was valid.
    pub(crate) fn now() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        Self(since.map_or(0, |since| since.as_secs()))
    }
}

impl FromStr for Moment {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let secs = if digits {
            text.parse().ok()
        } else {
            let moment = text.parse::<DateTime>().ok();
            moment.map(|moment| moment.unix_duration().as_secs())
        };
        secs.map(Self)
            .ok_or("neither UTC such as 2026-11-22T12:00:00Z nor seconds since 1970")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_stands_in_words_or_in_seconds() {
        assert_eq!("2026-11-22T00:00:00Z".parse(), Ok(Moment(1_795_305_600)));
        assert_eq!("1795305600".parse(), Ok(Moment(1_795_305_600)));
        assert_eq!("1970-01-01T00:00:00Z".parse(), Ok(Moment(0)));
    }

    #[test]
    fn anything_else_is_no_moment() {
        for bad in [
            "",
            "-1",
            "now",
            "2026-11-22",
            "2026-02-30T00:00:00Z",
            "2026-11-22T00:00:00",
            "2026-11-22T00:00:00+01:00",
            "99999999999999999999",
        ] {
            assert!(bad.parse::<Moment>().is_err(), "{bad}");
        }
    }
}
