//! The two forms of an ECDSA signature.

use super::der::{INTEGER, Reader, SEQUENCE};
use super::{Curve, FixedSig, FixedSignature};

/// An ECDSA signature as a DER `SEQUENCE` of two `INTEGER`s (RFC 3279 2.2.3), at most 141 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DerSignature {
    bytes: [u8; MAX_DER_LEN],
    len: usize,
}

/// A head of three bytes, and twice a head of two, a zero and the digits of P-521.
const MAX_DER_LEN: usize = 3 + 2 * (2 + 1 + Curve::P521.scalar_len());

impl DerSignature {
    /// The DER bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }

    /// Adds bytes, for which there is room by [`MAX_DER_LEN`].
    fn push(&mut self, bytes: &[u8]) {
        if let Some(room) = self.bytes.get_mut(self.len..self.len + bytes.len()) {
            room.copy_from_slice(bytes);
            self.len += bytes.len();
        }
    }

    fn push_integer(&mut self, magnitude: &[u8]) {
        let (is_negative, digits) = shortest(magnitude);
        self.push(&[INTEGER, len_byte(integer_len(magnitude))]);
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

impl FixedSig {
    /// The signature whose fixed form these bytes are; nothing for another length.
    #[must_use]
    pub fn from_bytes(curve: Curve, bytes: &[u8]) -> Option<Self> {
        if bytes.len() != curve.signature_len() {
            return None;
        }
        let mut fixed = Self::empty(curve);
        let (r, s) = bytes.split_at(curve.scalar_len());
        let (r_out, s_out) = fixed.halves_mut();
        r_out.copy_from_slice(r);
        s_out.copy_from_slice(s);
        Some(fixed)
    }

    /// The signature in DER.
    #[must_use]
    pub fn to_der(&self) -> DerSignature {
        written(self.as_bytes())
    }

    /// The signature on this curve that `der` is; nothing if it is not exactly what
    /// [`FixedSig::to_der`] writes for one.
    #[must_use]
    pub fn from_der(curve: Curve, der: &[u8]) -> Option<Self> {
        let mut fixed = Self::empty(curve);
        let (r, s) = fixed.halves_mut();
        read(der, r, s)?;
        Some(fixed)
    }
}

/// The DER form of `signature`.
#[must_use]
pub fn fixed_to_der(signature: &FixedSignature) -> DerSignature {
    written(signature)
}

/// The fixed form of a DER signature on P-256; nothing if `der` is not exactly what
/// [`fixed_to_der`] writes for some signature.
#[must_use]
pub fn der_to_fixed(der: &[u8]) -> Option<FixedSignature> {
    let mut fixed = [0; 64];
    let (r, s) = fixed.split_at_mut(32);
    read(der, r, s)?;
    Some(fixed)
}

fn written(fixed: &[u8]) -> DerSignature {
    let mut der = DerSignature {
        bytes: [0; MAX_DER_LEN],
        len: 0,
    };
    let (r, s) = fixed.split_at(fixed.len() / 2);
    let len = 2 + integer_len(r) + 2 + integer_len(s);
    if len < 0x80 {
        der.push(&[SEQUENCE, len_byte(len)]);
    } else {
        der.push(&[SEQUENCE, 0x81, len_byte(len)]);
    }
    der.push_integer(r);
    der.push_integer(s);
    der
}

fn read(der: &[u8], r: &mut [u8], s: &mut [u8]) -> Option<()> {
    if der.len() > MAX_DER_LEN {
        return None;
    }
    let mut numbers = Reader::only(der, SEQUENCE)?;
    take_integer(&mut numbers, r)?;
    take_integer(&mut numbers, s)?;
    numbers.end()
}

/// Reads one INTEGER into `out`, right-aligned.
fn take_integer(numbers: &mut Reader<'_>, out: &mut [u8]) -> Option<()> {
    let contents = numbers.take(INTEGER)?;
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
    Some(())
}

/// Bytes of an INTEGER's contents.
fn integer_len(magnitude: &[u8]) -> usize {
    let (is_negative, digits) = shortest(magnitude);
    digits.len() + usize::from(is_negative)
}

/// A length, all of which are below 256 here.
fn len_byte(len: usize) -> u8 {
    u8::try_from(len).unwrap_or(u8::MAX)
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
    fn a_long_signature_has_a_longer_head() {
        let fixed = FixedSig::from_bytes(Curve::P521, &[0xff; 132]).unwrap();
        let der = fixed.to_der();
        assert_eq!(der.as_bytes().len(), MAX_DER_LEN);
        assert_eq!(der.as_bytes()[..6], [0x30, 0x81, 138, 2, 67, 0]);
        assert_eq!(FixedSig::from_der(Curve::P521, der.as_bytes()), Some(fixed));
        // A number that P-384 is too short for.
        assert_eq!(FixedSig::from_der(Curve::P384, der.as_bytes()), None);
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
        fn every_signature_of_every_curve_comes_back_too(
            bytes in proptest::collection::vec(any::<u8>(), 132),
            r_zeroes in 0..=66_usize,
            s_zeroes in 0..=66_usize,
        ) {
            for curve in Curve::ALL {
                let half = curve.scalar_len();
                let mut bytes = bytes[..2 * half].to_vec();
                bytes[..r_zeroes.min(half)].fill(0);
                bytes[half..][..s_zeroes.min(half)].fill(0);
                let fixed = FixedSig::from_bytes(curve, &bytes).unwrap();
                prop_assert_eq!(fixed.as_bytes(), &bytes[..]);
                let der = fixed.to_der();
                prop_assert_eq!(FixedSig::from_der(curve, der.as_bytes()), Some(fixed));
                prop_assert!(FixedSig::from_bytes(curve, &bytes[1..]).is_none());
            }
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
