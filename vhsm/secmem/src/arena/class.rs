//! Size classes: what a small allocation is rounded up to.

use crate::mapping::PAGE_LEN;

/// Sizes in bytes, ascending. Every one is a multiple of 16, so that every object is aligned as
/// `malloc` aligns, and the last fits a page twice. What is larger takes whole pages.
pub(crate) const SIZES: [usize; 20] = [
    16, 32, 48, 64, 80, 96, 112, 128, 160, 192, 256, 320, 400, 512, 576, 672, 816, 1008, 1360, 2048,
];

/// The largest small allocation, in bytes.
pub(crate) const MAX_SMALL_LEN: usize = SIZES[SIZES.len() - 1];

/// Bits that one page of the smallest class needs.
pub(crate) const MAX_OBJECTS: usize = PAGE_LEN / SIZES[0];

/// A size class by its place in [`SIZES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Class(u8);

/// Class of each length in steps of 16 bytes: entry `n` is for lengths up to `16 * n`.
const BY_STEP: [u8; MAX_SMALL_LEN / 16 + 1] = steps();

/// Multiplier that divides an offset within a page by the size: `offset * m >> 24`.
const RECIPROCALS: [u32; SIZES.len()] = reciprocals();

impl Class {
    /// Every class, smallest first.
    #[cfg(test)]
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        (0..SIZES.len()).filter_map(|index| u8::try_from(index).ok().map(Self))
    }

    /// The smallest class for `len` bytes; none if that takes whole pages.
    #[inline]
    pub(crate) fn for_len(len: usize) -> Option<Self> {
        BY_STEP.get(len.div_ceil(16)).copied().map(Self)
    }

    /// The class with this [`Class::index`].
    #[inline]
    pub(crate) fn from_index(index: u8) -> Option<Self> {
        (usize::from(index) < SIZES.len()).then_some(Self(index))
    }

    /// The class whose objects are exactly `size` bytes long.
    pub(crate) fn of_size(size: usize) -> Option<Self> {
        Self::for_len(size).filter(|class| class.size() == size)
    }

    /// Place in [`SIZES`].
    #[inline]
    pub(crate) fn index(self) -> u8 {
        self.0
    }

    /// Bytes of one object.
    #[inline]
    pub(crate) fn size(self) -> usize {
        SIZES[usize::from(self.0)]
    }

    /// Objects in one page.
    #[inline]
    pub(crate) fn objects_per_page(self) -> usize {
        PAGE_LEN / self.size()
    }

    /// Which object starts `offset` bytes into its page; none if no object starts there.
    #[inline]
    pub(crate) fn object_at(self, offset: usize) -> Option<usize> {
        let index = (offset * RECIPROCALS[usize::from(self.0)] as usize) >> 24;
        (index * self.size() == offset && index < self.objects_per_page()).then_some(index)
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "there are 20 classes, and try_from is not const"
)]
const fn steps() -> [u8; MAX_SMALL_LEN / 16 + 1] {
    let mut table = [0; MAX_SMALL_LEN / 16 + 1];
    let mut class = 0;
    let mut step = 0;
    while step < table.len() {
        if step * 16 > SIZES[class] {
            class += 1;
        }
        table[step] = class as u8;
        step += 1;
    }
    table
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "at most 2^24 / 16, and try_from is not const"
)]
const fn reciprocals() -> [u32; SIZES.len()] {
    let mut table = [0; SIZES.len()];
    let mut class = 0;
    while class < table.len() {
        table[class] = (1_usize << 24).div_ceil(SIZES[class]) as u32;
        class += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_gets_the_smallest_class_that_holds_it() {
        for len in 0..=MAX_SMALL_LEN {
            let class = Class::for_len(len).unwrap();
            let expected = SIZES.iter().find(|size| **size >= len).unwrap();
            assert_eq!(class.size(), *expected, "{len}");
        }
        assert_eq!(Class::for_len(MAX_SMALL_LEN + 1), None);
        assert_eq!(Class::for_len(usize::MAX), None);
    }

    #[test]
    fn only_starts_of_objects_are_objects() {
        for class in Class::all() {
            for offset in 0..PAGE_LEN {
                let index = offset / class.size();
                let expected = (offset % class.size() == 0 && index < class.objects_per_page())
                    .then_some(index);
                assert_eq!(class.object_at(offset), expected, "{class:?} {offset}");
            }
        }
    }

    #[test]
    fn objects_are_aligned_as_malloc_aligns() {
        for class in Class::all() {
            assert_eq!(class.size() % 16, 0);
            assert!(class.objects_per_page() >= 2);
        }
    }
}
