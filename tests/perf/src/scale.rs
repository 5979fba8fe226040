//! How much is measured.

use std::time::Duration;

/// Everything, or just enough to see that every section runs to its end.
#[derive(Clone, Copy)]
pub(crate) struct Scale {
    divisor: u32,
}

impl Scale {
    /// Figures to be believed.
    pub(crate) const FULL: Self = Self { divisor: 1 };
    /// No figures to be believed.
    pub(crate) const QUICK: Self = Self { divisor: 25 };

    /// So many of what would be `full`, but two.
    pub(crate) fn count(self, full: u32) -> u32 {
        (full / self.divisor).max(2)
    }

    /// As long, of what would be `full`.
    pub(crate) fn span(self, full: Duration) -> Duration {
        full / self.divisor
    }

    /// Whether what takes `count` of something is measured at all.
    pub(crate) fn reaches(self, count: u32) -> bool {
        self.divisor == 1 || count <= 1000
    }
}
