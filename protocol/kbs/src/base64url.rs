//! Base64url without padding (RFC 7515, 2), in its one spelling.
//!
//! Of public material only: it is compared and copied without care for timing.

use base64ct::{Base64UrlUnpadded, Encoding};

/// Encodes without padding.
pub(crate) fn encode(bytes: &[u8]) -> String {
    Base64UrlUnpadded::encode_string(bytes)
}

/// Decodes; `None` for another alphabet, padding, an impossible length or stray bits at the end.
pub(crate) fn decode(text: &str) -> Option<Vec<u8>> {
    let bytes = Base64UrlUnpadded::decode_vec(text).ok()?;
    // The last character may carry bits that no byte needs. Whether a decoder checks them is its
    // own business; that there is one spelling is ours.
    (encode(&bytes) == text).then_some(bytes)
}

/// Decodes exactly `N` bytes.
pub(crate) fn decode_array<const N: usize>(text: &str) -> Option<[u8; N]> {
    // Four characters for three bytes: anything else cannot be `N` bytes, and is not decoded.
    if text.len() != (N * 4).div_ceil(3) {
        return None;
    }
    decode(text)?.try_into().ok()
}

/// Decodes exactly `N` bytes onto the heap: of what would be much to move about.
pub(crate) fn decode_boxed<const N: usize>(text: &str) -> Option<Box<[u8; N]>> {
    if text.len() != (N * 4).div_ceil(3) {
        return None;
    }
    decode(text)?.into_boxed_slice().try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn stray_bits_padding_and_the_other_alphabet_are_refused() {
        assert_eq!(decode("AQ"), Some(vec![1]));
        for other in ["AR", "AQ==", "AQ=", "A", "+/+/", "AQ\n", " AQ"] {
            assert_eq!(decode(other), None, "{other:?}");
        }
        assert_eq!(decode_array::<2>("AQ"), None);
    }

    proptest! {
        #[test]
        fn what_decodes_is_the_only_spelling(text in "[A-Za-z0-9_=+/-]{0,12}") {
            if let Some(bytes) = decode(&text) {
                prop_assert_eq!(encode(&bytes), text);
            }
        }

        #[test]
        fn arrays_come_back(bytes: [u8; 40]) {
            prop_assert_eq!(decode_array::<40>(&encode(&bytes)), Some(bytes));
        }
    }
}
