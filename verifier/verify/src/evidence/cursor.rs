//! Reading what strangers wrote: a slice that is taken from the front, little-endian, and never
//! past its end.

/// What is left to read. Every step is checked; `None` means that the bytes are not there.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(super) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub(super) fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(len)?;
        self.rest = rest;
        Some(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Option<&'a [u8; N]> {
        let (taken, rest) = self.rest.split_first_chunk::<N>()?;
        self.rest = rest;
        Some(taken)
    }

    pub(super) fn u16(&mut self) -> Option<u16> {
        self.array().map(|bytes| u16::from_le_bytes(*bytes))
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.array().map(|bytes| u32::from_le_bytes(*bytes))
    }

    pub(super) fn u64(&mut self) -> Option<u64> {
        self.array().map(|bytes| u64::from_le_bytes(*bytes))
    }

    /// As many bytes as a `u32` before them says.
    pub(super) fn counted_u32(&mut self) -> Option<&'a [u8]> {
        let mut ahead = *self;
        let len = usize::try_from(ahead.u32()?).ok()?;
        let taken = ahead.take(len)?;
        *self = ahead;
        Some(taken)
    }

    /// As many bytes as a `u16` before them says.
    pub(super) fn counted_u16(&mut self) -> Option<&'a [u8]> {
        let mut ahead = *self;
        let len = usize::from(ahead.u16()?);
        let taken = ahead.take(len)?;
        *self = ahead;
        Some(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_read_past_the_end_nor_half_read() {
        let mut cursor = Cursor::new(&[1, 0, 0, 0]);
        assert_eq!(cursor.u64(), None);
        assert_eq!(cursor.counted_u32(), None);
        assert_eq!(cursor.counted_u16(), Some(&[0u8][..]));
        assert_eq!(cursor.rest(), &[0]);
        assert_eq!(cursor.u16(), None);
        assert_eq!(cursor.take(2), None);
        assert_eq!(cursor.take(1), Some(&[0u8][..]));
        assert_eq!(cursor.array::<1>(), None);
    }

    #[test]
    fn numbers_are_little_endian() {
        let bytes = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14];
        let mut cursor = Cursor::new(&bytes);
        assert_eq!(cursor.u16(), Some(0x0201));
        assert_eq!(cursor.u32(), Some(0x0605_0403));
        assert_eq!(cursor.u64(), Some(0x0e0d_0c0b_0a09_0807));
    }
}
