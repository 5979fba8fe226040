//! Looking through the memory of this process.

use crate::needles::Needles;
use nitride_secmem::arena_ranges;
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;

const CHUNK_LEN: usize = 1 << 20;

/// A needle outside the arenas.
#[derive(Debug, Clone)]
pub(crate) struct Finding {
    pub(crate) needle: String,
    pub(crate) address: usize,
    pub(crate) mapping: String,
}

/// Which mappings to read.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Extent {
    /// Everything readable.
    All,
    /// What can have changed since the start: much faster.
    Writable,
}

/// Reads through `/proc/self/mem`, into a buffer that is left out of the search.
pub(crate) struct Scanner {
    memory: File,
    buffer: Vec<u8>,
}

impl Scanner {
    pub(crate) fn new() -> Self {
        Self {
            memory: File::open("/proc/self/mem").unwrap(),
            buffer: vec![0; CHUNK_LEN],
        }
    }

    /// Every needle outside the arenas, and how many bytes were searched.
    pub(crate) fn scan(&mut self, needles: &Needles, extent: Extent) -> (Vec<Finding>, usize) {
        let overlap = needles.longest() - 1;
        let own = (self.buffer.as_ptr().addr(), self.buffer.len());
        let left_out = arena_ranges().into_iter().chain([own]);
        let mut pieces: Vec<Mapping> = mappings(extent);
        for (start, len) in left_out {
            pieces = pieces
                .into_iter()
                .flat_map(|piece| piece.without(start, start + len))
                .collect();
        }
        self.search(needles, &pieces, overlap)
    }

    /// Every needle from one address to another, which nobody unmaps: where a thread may have left
    /// something, faster by far than everything.
    pub(crate) fn sample(
        &mut self,
        needles: &Needles,
        name: &str,
        range: Range<usize>,
    ) -> Vec<Finding> {
        let piece = Mapping {
            start: range.start,
            end: range.end,
            name: name.to_owned(),
        };
        self.search(needles, &[piece], needles.longest() - 1).0
    }

    fn search(
        &mut self,
        needles: &Needles,
        pieces: &[Mapping],
        overlap: usize,
    ) -> (Vec<Finding>, usize) {
        let (mut findings, mut searched) = (Vec::new(), 0);
        for piece in pieces {
            let mut from = piece.start;
            while from < piece.end {
                let len = CHUNK_LEN.min(piece.end - from);
                // What has gone away since the list was read, or is a device's, cannot be read.
                let Ok(read) = self.memory.read_at(&mut self.buffer[..len], from as u64) else {
                    break;
                };
                if read == 0 {
                    break;
                }
                searched += read;
                needles.find(&self.buffer[..read], |needle, offset| {
                    findings.push(Finding {
                        needle: needle.name.clone(),
                        address: from + offset,
                        mapping: piece.name.clone(),
                    });
                });
                if from + read >= piece.end {
                    break;
                }
                from += read - overlap.min(read - 1);
            }
        }
        let used = pieces.iter().map(|piece| piece.end - piece.start).max();
        self.buffer[..used.unwrap_or(0).min(CHUNK_LEN)].fill(0);
        std::hint::black_box(&mut self.buffer);
        (findings, searched)
    }

    /// Whether the kernel reads the arena for us, as it reads everything else.
    pub(crate) fn can_read(&mut self, address: usize) -> bool {
        self.memory
            .read_at(&mut self.buffer[..64], address as u64)
            .is_ok_and(|read| read == 64)
    }
}

#[derive(Clone)]
struct Mapping {
    start: usize,
    end: usize,
    name: String,
}

impl Mapping {
    /// What is left of it without the addresses from `start` to `end`.
    fn without(self, start: usize, end: usize) -> Vec<Self> {
        let cut = |from: usize, to: usize| Self {
            start: from,
            end: to,
            name: self.name.clone(),
        };
        let below = cut(self.start, self.end.min(start));
        let above = cut(self.start.max(end), self.end);
        [below, above]
            .into_iter()
            .filter(|piece| piece.start < piece.end)
            .collect()
    }
}

/// What can be read of the arenas, where it lies: all but the guards below the stacks.
pub(crate) fn readable_in_arenas() -> Vec<(usize, usize)> {
    let readable = mappings(Extent::All);
    arena_ranges()
        .into_iter()
        .flat_map(|(start, len)| {
            let cut = move |piece: &Mapping| {
                let (from, to) = (piece.start.max(start), piece.end.min(start + len));
                (from < to).then(|| (from, to - from))
            };
            readable.iter().filter_map(cut).collect::<Vec<_>>()
        })
        .collect()
}

/// The writable mapping that has the address.
#[cfg(target_arch = "x86_64")]
pub(crate) fn mapping_around(address: usize) -> Option<Range<usize>> {
    let found = mappings(Extent::Writable)
        .into_iter()
        .find(|mapping| (mapping.start..mapping.end).contains(&address))?;
    Some(found.start..found.end)
}

fn mappings(extent: Extent) -> Vec<Mapping> {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    maps.lines()
        .filter_map(|line| {
            let mut fields = line.split_ascii_whitespace();
            let (start, end) = fields.next()?.split_once('-')?;
            let permissions = fields.next()?;
            let wanted = match extent {
                Extent::All => permissions.starts_with('r'),
                Extent::Writable => permissions.starts_with("rw"),
            };
            let name = fields.nth(3).unwrap_or("anonymous").to_owned();
            wanted.then_some(Mapping {
                start: usize::from_str_radix(start, 16).ok()?,
                end: usize::from_str_radix(end, 16).ok()?,
                name,
            })
        })
        .collect()
}
