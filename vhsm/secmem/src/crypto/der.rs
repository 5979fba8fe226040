//! DER (X.690), read borrowed and written in one piece: just what keys need.

/// Reads one value after another. Lengths are definite, in their shortest form, and at most 65535.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a>(&'a [u8]);

pub(super) const INTEGER: u8 = 0x02;
pub(super) const BIT_STRING: u8 = 0x03;
pub(super) const OCTET_STRING: u8 = 0x04;
pub(super) const SEQUENCE: u8 = 0x30;

impl<'a> Reader<'a> {
    pub(super) fn new(der: &'a [u8]) -> Self {
        Self(der)
    }

    /// The contents of the one value of this tag that `der` is, with nothing after it.
    pub(super) fn only(der: &'a [u8], tag: u8) -> Option<Self> {
        let mut reader = Self(der);
        let contents = reader.take(tag)?;
        reader.end()?;
        Some(Self(contents))
    }

    /// The contents of the next value, if it has this tag; else nothing was read.
    pub(super) fn take(&mut self, tag: u8) -> Option<&'a [u8]> {
        let (first, rest) = self.0.split_first()?;
        if *first != tag {
            return None;
        }
        let (len, rest) = match *rest {
            [len @ 0..=0x7f, ref rest @ ..] => (usize::from(len), rest),
            [0x81, len @ 0x80..=0xff, ref rest @ ..] => (usize::from(len), rest),
            [0x82, high @ 1..=0xff, low, ref rest @ ..] => {
                (usize::from(u16::from_be_bytes([high, low])), rest)
            }
            _ => return None,
        };
        let (contents, rest) = rest.split_at_checked(len)?;
        self.0 = rest;
        Some(contents)
    }

    /// The next value's contents as a bit string of whole bytes.
    pub(super) fn take_bits(&mut self) -> Option<&'a [u8]> {
        whole_bytes(self.take(BIT_STRING)?)
    }

    /// The next value as an integer above zero in its shortest form: its digits.
    pub(super) fn take_positive(&mut self) -> Option<&'a [u8]> {
        match self.take(INTEGER)? {
            [0, digits @ ..] if digits.first().is_some_and(|first| *first & 0x80 != 0) => {
                Some(digits)
            }
            digits @ [1..=0x7f, ..] => Some(digits),
            _ => None,
        }
    }

    /// Nothing, if nothing is left.
    pub(super) fn end(self) -> Option<()> {
        self.0.is_empty().then_some(())
    }
}

/// The bytes of a bit string's contents, if no bit of the last is unused.
pub(super) fn whole_bytes(contents: &[u8]) -> Option<&[u8]> {
    match contents {
        [0, bytes @ ..] => Some(bytes),
        _ => None,
    }
}

/// Tag and length of a value of `len` bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head {
    bytes: [u8; 4],
    len: usize,
}

impl Head {
    /// None for more than 65535 bytes.
    pub(super) fn new(tag: u8, len: usize) -> Option<Self> {
        let [high, low] = u16::try_from(len).ok()?.to_be_bytes();
        let (bytes, len) = match (high, low) {
            (0, 0..=0x7f) => ([tag, low, 0, 0], 2),
            (0, _) => ([tag, 0x81, low, 0], 3),
            _ => ([tag, 0x82, high, low], 4),
        };
        Some(Self { bytes, len })
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_nothing_longer() {
        for len in [0, 1, 0x7f, 0x80, 0xff, 0x100, 0xffff] {
            let head = Head::new(OCTET_STRING, len).unwrap();
            let der = [head.as_bytes(), &vec![7; len]].concat();
            let mut reader = Reader::new(&der);
            assert_eq!(reader.take(OCTET_STRING).unwrap().len(), len);
            assert!(reader.end().is_some());
            assert!(Reader::new(&der).take(SEQUENCE).is_none());
            assert!(
                Reader::new(&der[..der.len() - 1])
                    .take(OCTET_STRING)
                    .is_none()
            );
        }
        assert!(Head::new(OCTET_STRING, 0x1_0000).is_none());
    }

    #[test]
    fn lengths_that_are_not_the_shortest_or_indefinite_are_refused() {
        for der in [
            &[4, 0x80, 0, 0][..],
            &[4, 0x81, 1, 7],
            &[4, 0x82, 0, 1, 7],
            &[4, 0x83, 0, 0, 1, 7],
            &[4, 0xff, 7],
            &[4],
            &[],
        ] {
            assert!(Reader::new(der).take(OCTET_STRING).is_none(), "{der:?}");
        }
    }

    #[test]
    fn integers_are_positive_and_shortest() {
        for (der, digits) in [
            (&[2, 1, 1][..], Some(&[1][..])),
            (&[2, 2, 0, 0x80], Some(&[0x80])),
            (&[2, 1, 0], None),
            (&[2, 1, 0x80], None),
            (&[2, 2, 0, 1], None),
            (&[2, 0], None),
        ] {
            assert_eq!(Reader::new(der).take_positive(), digits, "{der:?}");
        }
    }
}
