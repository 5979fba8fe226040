//! Digests and identifiers as they stand in a policy: lower-case hexadecimal of a fixed length.

/// Exactly `N` bytes.
pub(super) fn bytes_of<const N: usize>(text: &str) -> Result<[u8; N], String> {
    let mut bytes = [0; N];
    match base16ct::lower::decode(text, &mut bytes) {
        Ok(decoded) if decoded.len() == N => Ok(bytes),
        _ => Err(format!(
            "{text:?} is not {N} bytes in lower-case hexadecimal"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_exact_length_in_lower_case_is_read() {
        assert_eq!(bytes_of::<2>("00ff"), Ok([0, 255]));
        for bad in ["", "00f", "00", "00ff00", "00FF", "00fg", " 00ff"] {
            assert!(bytes_of::<2>(bad).is_err(), "{bad}");
        }
    }
}
