//! What must not be found, held in ordinary memory only in a disguise.

use std::collections::BTreeMap;

/// Bytes to look for, each combined with the mask of its position.
pub(crate) struct Needle {
    pub(crate) name: String,
    masked: Vec<u8>,
}

/// Shortest needle: sixteen bytes do not turn up by accident.
pub(crate) const MIN_NEEDLE_LEN: usize = 16;

impl Needle {
    /// Takes the bytes one by one, so that they never stand together outside the arena.
    pub(crate) fn new(name: impl Into<String>, bytes: impl Iterator<Item = u8>) -> Self {
        let masked: Vec<u8> = bytes
            .enumerate()
            .map(|(position, byte)| byte ^ mask(position))
            .collect();
        let name = name.into();
        assert!(masked.len() >= MIN_NEEDLE_LEN, "{name} is too short");
        assert!(
            masked
                .iter()
                .enumerate()
                .any(|(position, byte)| *byte != mask(position)),
            "{name} is all zero"
        );
        Self { name, masked }
    }

    pub(crate) fn len(&self) -> usize {
        self.masked.len()
    }

    fn is_at_start_of(&self, haystack: &[u8]) -> bool {
        haystack.len() >= self.masked.len()
            && self
                .masked
                .iter()
                .zip(haystack)
                .enumerate()
                .all(|(position, (masked, byte))| masked ^ mask(position) == *byte)
    }

    fn fingerprint(&self) -> u16 {
        let first = |position: usize| u32::from(self.masked[position] ^ mask(position));
        fingerprint(first(0) | first(1) << 8 | first(2) << 16 | first(3) << 24)
    }
}

fn mask(position: usize) -> u8 {
    u8::try_from((position * 167 + 91) % 251).unwrap() | 1
}

/// All needles, with a table that rules most positions out at a glance.
pub(crate) struct Needles {
    all: Vec<Needle>,
    is_start: Vec<bool>,
    by_fingerprint: BTreeMap<u16, Vec<usize>>,
}

const BLOCK_LEN: usize = 4096;
static ZEROES: [u8; BLOCK_LEN] = [0; BLOCK_LEN];

impl Needles {
    pub(crate) fn new(all: Vec<Needle>) -> Self {
        let mut is_start = vec![false; 1 << 16];
        let mut by_fingerprint = BTreeMap::<u16, Vec<usize>>::new();
        for (index, needle) in all.iter().enumerate() {
            is_start[usize::from(needle.fingerprint())] = true;
            by_fingerprint
                .entry(needle.fingerprint())
                .or_default()
                .push(index);
        }
        Self {
            all,
            is_start,
            by_fingerprint,
        }
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.all.iter().map(|needle| needle.name.as_str())
    }

    /// A copy of each in plain memory, as a leak would leave it.
    pub(crate) fn plant(&self) -> Vec<Vec<u8>> {
        self.all
            .iter()
            .map(|needle| {
                let unmasked = needle.masked.iter().enumerate();
                unmasked.map(|(at, byte)| byte ^ mask(at)).collect()
            })
            .collect()
    }

    pub(crate) fn longest(&self) -> usize {
        self.all.iter().map(Needle::len).max().unwrap_or(0)
    }

    /// Tells of each place in `haystack` where a needle starts. Blocks of zeroes, of which memory
    /// is full, are passed over but for their last bytes. Plain loops, since tests are compiled
    /// without optimisation.
    pub(crate) fn find<'n>(&'n self, haystack: &[u8], mut found: impl FnMut(&'n Needle, usize)) {
        let mut block_start = 0;
        while block_start < haystack.len() {
            let block_end = (block_start + BLOCK_LEN).min(haystack.len());
            let is_zero = haystack[block_start..block_end] == ZEROES[..block_end - block_start];
            let first = if is_zero {
                block_end.saturating_sub(3)
            } else {
                block_start
            };
            // Three bytes on: a needle may start before the end of its block.
            let last = (block_end + 3).min(haystack.len());
            self.find_in_block(haystack, first, last, &mut found);
            block_start = block_end;
        }
    }

    /// Needles whose first four bytes lie from `start` to `end`.
    fn find_in_block<'n>(
        &'n self,
        haystack: &[u8],
        start: usize,
        end: usize,
        found: &mut impl FnMut(&'n Needle, usize),
    ) {
        let mut window = 0_u32;
        let mut position = start;
        while position < end {
            window = window >> 8 | u32::from(haystack[position]) << 24;
            position += 1;
            if position < start + 4 {
                continue;
            }
            let code = fingerprint(window);
            if self.is_start[usize::from(code)] {
                for index in self.by_fingerprint.get(&code).into_iter().flatten() {
                    let needle = &self.all[*index];
                    if needle.is_at_start_of(&haystack[position - 4..]) {
                        found(needle, position - 4);
                    }
                }
            }
        }
    }
}

fn fingerprint(first_four: u32) -> u16 {
    u16::try_from(first_four.wrapping_mul(0x9e37_79b1) >> 16).unwrap()
}
