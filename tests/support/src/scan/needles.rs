use std::collections::HashMap;

/// What is searched for: pieces of 16 bytes and their labels.
#[derive(Clone, Debug, Default)]
pub struct Needles {
    /// By their first four bytes.
    by_head: HashMap<[u8; 4], Vec<(Vec<u8>, String)>>,
    /// One bit for every value of the first two bytes: most of memory ends here.
    heads: Vec<u64>,
}

/// A needle that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hit {
    /// Which.
    pub label: String,
    /// Where.
    pub address: u64,
    /// In what kind of mapping.
    pub mapping: String,
}

/// Half a key is a leak; eight bytes of one could be chance in a large memory.
const PIECE_LEN: usize = 16;

impl Needles {
    /// Adds bytes, cut into pieces of 16 as they are and reversed: a limb-wise big number and
    /// its big-endian spelling are reversals of one another. Bytes of fewer than 16 are one
    /// needle.
    pub fn add(&mut self, label: &str, bytes: &[u8]) {
        let reversed: Vec<u8> = bytes.iter().rev().copied().collect();
        for (order, bytes) in [("", bytes), (" reversed", &reversed)] {
            let whole = bytes.chunks(PIECE_LEN);
            for (index, piece) in whole.enumerate() {
                // A short remainder is found with what stands before it.
                let piece = if piece.len() < PIECE_LEN && bytes.len() >= PIECE_LEN {
                    &bytes[bytes.len() - PIECE_LEN..]
                } else {
                    piece
                };
                self.add_piece(format!("{label}{order}[{}..]", index * PIECE_LEN), piece);
            }
        }
    }

    /// Adds 32-bit words as they stand in this machine's memory, and big-endian.
    pub fn add_words(&mut self, label: &str, words: &[u32]) {
        let native: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        let big: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes()).collect();
        self.add(label, &native);
        self.add(&format!("{label} big-endian"), &big);
    }

    fn add_piece(&mut self, label: String, piece: &[u8]) {
        // Runs of one byte are everywhere in memory and nobody's key.
        let Some(head) = piece.first_chunk::<4>() else {
            return;
        };
        if piece.iter().all(|byte| *byte == piece[0]) {
            return;
        }
        if self.heads.is_empty() {
            self.heads = vec![0; 1 << 10];
        }
        let bit = usize::from(u16::from_le_bytes([head[0], head[1]]));
        self.heads[bit / 64] |= 1 << (bit % 64);
        let pieces = self.by_head.entry(*head).or_default();
        if !pieces.iter().any(|(known, _)| known == piece) {
            pieces.push((piece.to_vec(), label));
        }
    }

    /// How many pieces there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_head.values().map(Vec::len).sum()
    }

    /// Whether there is nothing to search for.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_head.is_empty()
    }

    /// Every place in `bytes` where a piece begins.
    #[must_use]
    pub fn find(&self, bytes: &[u8]) -> Vec<(usize, String)> {
        let mut found = Vec::new();
        if self.is_empty() {
            return found;
        }
        for (offset, window) in bytes.windows(4).enumerate() {
            let bit = usize::from(u16::from_le_bytes([window[0], window[1]]));
            if self.heads[bit / 64] & (1 << (bit % 64)) == 0 {
                continue;
            }
            let head = [window[0], window[1], window[2], window[3]];
            for (piece, label) in self.by_head.get(&head).into_iter().flatten() {
                if bytes[offset..].starts_with(piece) {
                    found.push((offset, label.clone()));
                }
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> Vec<u8> {
        (1..=32).collect()
    }

    #[test]
    fn half_a_key_is_found_in_either_order() {
        let mut needles = Needles::default();
        needles.add("key", &key());
        assert_eq!(needles.len(), 4);
        let half = [&[0; 7][..], &key()[16..], &[9; 5]].concat();
        assert_eq!(needles.find(&half), [(7, "key[16..]".to_owned())]);
        let reversed: Vec<u8> = key().into_iter().rev().collect();
        assert_eq!(needles.find(&reversed).len(), 2);
        assert_eq!(needles.find(&key()[17..]), []);
    }

    #[test]
    fn a_secret_that_is_no_multiple_of_16_is_covered_to_its_end() {
        let mut needles = Needles::default();
        needles.add("passphrase", b"correct horse battery staple");
        assert_eq!(needles.find(b"t horse battery staple").len(), 1);
    }

    #[test]
    fn words_are_found_as_they_stand_in_memory() {
        let words = [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a];
        let mut needles = Needles::default();
        needles.add_words("state", &words);
        let memory: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        assert_eq!(needles.find(&memory).len(), 1);
    }
}
