//! What the unit tests of this crate share: one pair of arenas for the test process.

use crate::{ArenaSizes, BackingChoice, Installed, install};
use std::sync::OnceLock;

/// The arenas of this test process; the first caller sets them up.
pub(crate) fn installed() -> Installed {
    static INSTALLED: OnceLock<Installed> = OnceLock::new();
    *INSTALLED.get_or_init(|| {
        let sizes = ArenaSizes {
            records_len: 1 << 20,
            heap_len: 3 << 20,
        };
        install(sizes, BackingChoice::Best).unwrap()
    })
}

/// Bytes from hexadecimal digits; white space is skipped.
pub(crate) fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text
        .chars()
        .filter(|each| !each.is_whitespace())
        .map(|each| u8::try_from(each.to_digit(16).unwrap()).unwrap())
        .collect();
    digits
        .chunks(2)
        .map(|pair| pair[0] << 4 | pair[1])
        .collect()
}
