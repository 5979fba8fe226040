//! Which pages of a segment are free: small things from the bottom, runs from the top.
//!
//! Slabs take single pages at the low end and large allocations take runs at the high end, so
//! that small objects that live long do not cut up the room of large ones.

/// One bit a page, set while the page is free.
#[derive(Debug)]
pub(crate) struct FreePages {
    words: Vec<u64>,
    page_count: usize,
    free_count: usize,
}

impl FreePages {
    /// `page_count` pages, all of them free.
    pub(crate) fn new(page_count: usize) -> Self {
        let mut words = vec![u64::MAX; page_count.div_ceil(64)];
        if let Some(last) = words.last_mut()
            && !page_count.is_multiple_of(64)
        {
            *last = (1 << (page_count % 64)) - 1;
        }
        Self {
            words,
            page_count,
            free_count: page_count,
        }
    }

    /// How many pages are free.
    pub(crate) fn free_count(&self) -> usize {
        self.free_count
    }

    /// Takes the lowest free page.
    pub(crate) fn take_lowest(&mut self) -> Option<usize> {
        let (index, word) = self
            .words
            .iter_mut()
            .enumerate()
            .find(|(_, word)| **word != 0)?;
        let bit = word.trailing_zeros();
        *word &= !(1 << bit);
        self.free_count -= 1;
        Some(index * 64 + bit as usize)
    }

    /// Takes `run_len` free pages in a row, the highest such run; gives its first page.
    pub(crate) fn take_highest_run(&mut self, run_len: usize) -> Option<usize> {
        if run_len == 0 || run_len > self.free_count {
            return None;
        }
        let mut found = 0;
        let mut page = self.page_count;
        while page > 0 {
            // A word without a free page cannot be part of a run.
            if page.is_multiple_of(64) && self.words[page / 64 - 1] == 0 {
                page -= 64;
                found = 0;
                continue;
            }
            page -= 1;
            found = if self.is_free(page) { found + 1 } else { 0 };
            if found == run_len {
                for taken in page..page + run_len {
                    self.words[taken / 64] &= !(1 << (taken % 64));
                }
                self.free_count -= run_len;
                return Some(page);
            }
        }
        None
    }

    /// Takes `run_len` pages from `first` on; tells whether all of them were free.
    pub(crate) fn take_at(&mut self, first: usize, run_len: usize) -> bool {
        let Some(end) = first
            .checked_add(run_len)
            .filter(|end| *end <= self.page_count)
        else {
            return false;
        };
        if !(first..end).all(|page| self.is_free(page)) {
            return false;
        }
        for page in first..end {
            self.words[page / 64] &= !(1 << (page % 64));
        }
        self.free_count -= run_len;
        true
    }

    /// Gives `run_len` pages from `first` on back.
    pub(crate) fn give_back(&mut self, first: usize, run_len: usize) {
        for page in first..first + run_len {
            debug_assert!(!self.is_free(page), "page {page} was free already");
            self.words[page / 64] |= 1 << (page % 64);
        }
        self.free_count += run_len;
    }

    fn is_free(&self, page: usize) -> bool {
        self.words[page / 64] & (1 << (page % 64)) != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_things_come_from_the_bottom_and_runs_from_the_top() {
        let mut pages = FreePages::new(130);
        assert_eq!(pages.take_lowest(), Some(0));
        assert_eq!(pages.take_highest_run(70), Some(60));
        assert_eq!(pages.take_highest_run(60), None);
        assert_eq!(pages.take_highest_run(59), Some(1));
        assert_eq!(pages.free_count(), 0);
        assert_eq!(pages.take_lowest(), None);
        pages.give_back(60, 70);
        assert_eq!(pages.take_highest_run(70), Some(60));
    }

    #[test]
    fn a_run_longer_than_the_segment_is_refused() {
        let mut pages = FreePages::new(64);
        assert_eq!(pages.take_highest_run(65), None);
        assert_eq!(pages.take_highest_run(usize::MAX), None);
        assert_eq!(pages.take_highest_run(0), None);
        assert_eq!(pages.take_highest_run(64), Some(0));
    }

    #[test]
    fn a_run_does_not_reach_over_a_taken_page() {
        let mut pages = FreePages::new(200);
        assert_eq!(pages.take_highest_run(200), Some(0));
        pages.give_back(10, 20);
        pages.give_back(31, 20);
        pages.give_back(190, 10);
        assert_eq!(pages.take_highest_run(21), None);
        assert_eq!(pages.take_highest_run(20), Some(31));
        assert_eq!(pages.take_highest_run(20), Some(10));
    }
}
