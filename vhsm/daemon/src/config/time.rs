//! `not-before` and `not-after`: TOML date-times with an offset, as seconds since 1970.

use super::{ConfigError, Document};
use toml::Spanned;
use toml::value::{Datetime, Offset};

/// The seconds since 1970 of a date-time that says where it is.
pub(super) fn seconds(document: &Document, stated: &Spanned<Datetime>) -> Result<u64, ConfigError> {
    unix_secs(stated.get_ref()).ok_or_else(|| {
        document.fault(
            stated.span(),
            "the time is before 1970 or not whole",
            "write date, time and offset, as in 2027-01-31T00:00:00Z",
        )
    })
}

fn unix_secs(stated: &Datetime) -> Option<u64> {
    let (date, time, offset) = (stated.date?, stated.time?, stated.offset?);
    let offset_mins = match offset {
        Offset::Z => 0,
        Offset::Custom { minutes } => i64::from(minutes),
    };
    let days = days_since_1970(
        i64::from(date.year),
        i64::from(date.month),
        i64::from(date.day),
    );
    let minutes = days * 1440 + i64::from(time.hour) * 60 + i64::from(time.minute) - offset_mins;
    let seconds = minutes * 60 + i64::from(time.second.unwrap_or(0));
    u64::try_from(seconds).ok()
}

/// Days of the Gregorian calendar, counted in years that begin in March, so that the day of the
/// leap year is the last.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let from_march = (month + 9) % 12;
    let year = if month < 3 { year - 1 } else { year };
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    // (153 m + 2) / 5 are the days of the m months before, in the pattern 31 30 31 30 31.
    let day_of_year = (153 * from_march + 2) / 5 + day - 1;
    365 * year + leap_days + day_of_year - DAYS_BEFORE_1970
}

/// From the first of March of the year 0 to the first of January 1970.
const DAYS_BEFORE_1970: i64 = 719_468;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_counted_from_1970() {
        for (text, secs) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2000-02-29T12:00:00Z", 951_825_600),
            ("2001-09-09T01:46:40Z", 1_000_000_000),
            ("2027-01-31T00:00:00Z", 1_801_353_600),
            ("2027-01-31T02:00:00+02:00", 1_801_353_600),
            ("2100-03-01T00:00:00Z", 4_107_542_400),
        ] {
            assert_eq!(unix_secs(&text.parse().unwrap()), Some(secs), "{text}");
        }
    }

    #[test]
    fn times_without_an_offset_or_before_1970_are_none() {
        for text in [
            "2027-01-31",
            "2027-01-31T00:00:00",
            "12:00:00",
            "1969-12-31T23:59:59Z",
        ] {
            assert_eq!(unix_secs(&text.parse().unwrap()), None, "{text}");
        }
    }
}
