//! Durations and sizes with their unit: `12h`, `500ms`, `3MiB`.

/// The milliseconds of a text such as `500ms`, `30s`, `10m`, `12h` or `7d`.
pub(crate) fn duration_ms(text: &str) -> Option<u64> {
    let (number, unit) = split(text)?;
    let unit_ms = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    number.checked_mul(unit_ms)
}

/// The bytes of a text such as `4096B`, `64KiB`, `3MiB` or `1GiB`.
pub(crate) fn size_len(text: &str) -> Option<usize> {
    let (number, unit) = split(text)?;
    let unit_len = match unit {
        "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    usize::try_from(number.checked_mul(unit_len)?).ok()
}

/// A decimal number without sign or leading zero, and what follows it.
fn split(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(end);
    if number.len() > 1 && number.starts_with('0') {
        return None;
    }
    Some((number.parse().ok()?, unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_unit() {
        for (text, ms) in [
            ("0s", 0),
            ("500ms", 500),
            ("30s", 30_000),
            ("10m", 600_000),
            ("12h", 43_200_000),
            ("7d", 604_800_000),
        ] {
            assert_eq!(duration_ms(text), Some(ms), "{text}");
        }
        for text in [
            "",
            "5",
            "h",
            "-1s",
            "+1s",
            "01s",
            "1.5h",
            "1 h",
            "1H",
            "1w",
            "99999999999999999999s",
            "18446744073709551615d",
        ] {
            assert_eq!(duration_ms(text), None, "{text}");
        }
    }

    #[test]
    fn sizes_have_a_binary_unit() {
        for (text, len) in [
            ("4096B", 4096),
            ("64KiB", 65_536),
            ("3MiB", 3 << 20),
            ("1GiB", 1 << 30),
        ] {
            assert_eq!(size_len(text), Some(len), "{text}");
        }
        for text in [
            "",
            "3",
            "3MB",
            "3M",
            "3mib",
            "3 MiB",
            "0x1B",
            "99999999999GiB",
        ] {
            assert_eq!(size_len(text), None, "{text}");
        }
    }
}
