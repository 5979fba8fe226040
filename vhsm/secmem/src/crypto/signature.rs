//! The two forms of an ECDSA signature on P-256.

use super::FixedSignature;

/// An ECDSA signature as a DER `SEQUENCE` of two `INTEGER`s (RFC 3279 2.2.3), at most 72 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DerSignature {
    bytes: [u8; MAX_DER_LEN],
    len: usize,
}

const MAX_DER_LEN: usize = 72;
const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;

impl DerSignature {
    /// The DER bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }

    /// Adds bytes; the longest form is two heads of two bytes, two of 33, and two.
    fn push(&mut self, bytes: &[u8]) {
        for byte in bytes {
            if let Some(room) = self.bytes.get_mut(self.len) {
                *room = *byte;
                self.len += 1;
            }
        }
    }

    fn push_integer(&mut self, magnitude: &[u8]) {
        let (is_negative, digits) = shortest(magnitude);
        // At most 33.
        let len = u8::try_from(digits.len()).unwrap_or(0) + u8::from(is_negative);
        self.push(&[INTEGER, len]);
        if is_negative {
            self.push(&[0]);
        }
        self.push(digits);
    }
}

impl AsRef<[u8]> for DerSignature {
    fn as_ref(&self) -> &[u8] {
        self.as_bytes()
    }
}

/// The DER form of `signature`.
#[must_use]
pub fn fixed_to_der(signature: &FixedSignature) -> DerSignature {
    let mut der = DerSignature {
        bytes: [0; MAX_DER_LEN],
        len: 0,
    };
    let (r, s) = signature.split_at(32);
    der.push(&[SEQUENCE, 0]);
    der.push_integer(r);
    der.push_integer(s);
    der.bytes[1] = u8::try_from(der.len - 2).unwrap_or(0);
    der
}

/// The fixed form of a DER signature; nothing if `der` is not exactly what [`fixed_to_der`]
/// writes for some signature.
#[must_use]
pub fn der_to_fixed(der: &[u8]) -> Option<FixedSignature> {
    let mut fixed = [0; 64];
    let (r, s) = fixed.split_at_mut(32);
    let [SEQUENCE, len, rest @ ..] = der else {
        return None;
    };
    if usize::from(*len) != rest.len() || rest.len() > MAX_DER_LEN - 2 {
        return None;
    }
    let rest = take_integer(rest, r)?;
    let rest = take_integer(rest, s)?;
    rest.is_empty().then_some(fixed)
}

/// Reads one INTEGER into `out`, right-aligned; gives what follows.
fn take_integer<'a>(der: &'a [u8], out: &mut [u8]) -> Option<&'a [u8]> {
    let [INTEGER, len, rest @ ..] = der else {
        return None;
    };
    let (contents, rest) = rest.split_at_checked(usize::from(*len))?;
    let digits = match contents {
        [] => return None,
        [0] => contents,
        // A zero in front is there exactly if the next bit would make the number negative.
        [0, digits @ ..] if digits[0] & 0x80 != 0 => digits,
        [0, ..] => return None,
        [first, ..] if first & 0x80 != 0 => return None,
        _ => contents,
    };
    let start = out.len().checked_sub(digits.len())?;
    out.get_mut(start..)?.copy_from_slice(digits);
    Some(rest)
}

/// Without zeroes in front, but for one digit; and whether the first bit is set, which in DER
/// would be a sign.
fn shortest(magnitude: &[u8]) -> (bool, &[u8]) {
    let zeroes = magnitude.iter().take_while(|byte| **byte == 0).count();
    let start = zeroes.min(magnitude.len().saturating_sub(1));
    let digits = magnitude.get(start..).unwrap_or_default();
    (digits.first().is_some_and(|byte| byte & 0x80 != 0), digits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn signature_of(r_first: u8, s_zeroes: usize) -> FixedSignature {
        let mut signature = [0x11; 64];
        signature[0] = r_first;
        signature[32..32 + s_zeroes].fill(0);
        signature
    }

    #[test]
    fn a_high_first_bit_gets_a_zero_in_front() {
        let der = fixed_to_der(&signature_of(0x80, 0));
        assert_eq!(der.as_bytes()[..5], [0x30, 69, 2, 33, 0]);
        assert_eq!(fixed_to_der(&[0xff; 64]).as_bytes().len(), 72);
    }

    #[test]
    fn zeroes_in_front_are_left_out() {
        assert_eq!(
            fixed_to_der(&[0; 64]).as_bytes(),
            [0x30, 6, 2, 1, 0, 2, 1, 0]
        );
        assert_eq!(fixed_to_der(&signature_of(1, 31)).as_bytes().len(), 39);
    }

    #[test]
    fn forms_that_are_not_the_shortest_are_refused() {
        for der in [
            &[][..],
            &[0x30],
            &[0x30, 0],
            &[0x30, 6, 2, 1, 0, 2, 1],
            &[0x30, 6, 2, 1, 0, 2, 1, 0, 0],
            &[0x30, 7, 2, 1, 0, 2, 1, 0, 0],
            &[0x30, 7, 2, 2, 0, 1, 2, 1, 0],
            &[0x30, 6, 2, 1, 0x80, 2, 1, 0],
            &[0x30, 5, 2, 0, 2, 1, 0],
            &[0x30, 0x81, 6, 2, 1, 0, 2, 1, 0],
            &[0x31, 6, 2, 1, 0, 2, 1, 0],
            &[0x30, 6, 3, 1, 0, 2, 1, 0],
        ] {
            assert_eq!(der_to_fixed(der), None, "{der:02x?}");
        }
        let mut too_long = vec![0x30, 38, 2, 33];
        too_long.extend([1; 33]);
        too_long.extend([2, 1, 1]);
        assert_eq!(der_to_fixed(&too_long), None);
    }

    proptest! {
        #[test]
        fn every_signature_comes_back_out_of_its_der(
            bytes in proptest::collection::vec(any::<u8>(), 64),
            r_zeroes in 0..=32_usize,
            s_zeroes in 0..=32_usize,
        ) {
            let mut signature: FixedSignature = bytes.try_into().unwrap();
            signature[..r_zeroes].fill(0);
            signature[32..32 + s_zeroes].fill(0);
            prop_assert_eq!(der_to_fixed(fixed_to_der(&signature).as_bytes()), Some(signature));
        }

        #[test]
        fn what_parses_is_written_the_same(
            der in proptest::collection::vec(any::<u8>(), 0..80),
        ) {
            if let Some(signature) = der_to_fixed(&der) {
                let again = fixed_to_der(&signature);
                prop_assert_eq!(again.as_bytes(), &der[..]);
            }
        }
    }
}
