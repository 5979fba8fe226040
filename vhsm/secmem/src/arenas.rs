//! The two arenas of this process.
//!
//! They are a static because AWS-LC's allocator callbacks are given no context, and because a
//! secret must be able to free itself on any thread at any time until the process ends.

use crate::arena::Heap;
use crate::records::Store;
use crate::stacks::Stacks;
use std::sync::OnceLock;

static ARENAS: OnceLock<Arenas> = OnceLock::new();

/// Both arenas, once they stand.
#[derive(Debug)]
pub(crate) struct Arenas {
    pub(crate) records: Store,
    pub(crate) heap: Heap,
    /// In the heap arena.
    pub(crate) stacks: Stacks,
}

/// The arenas; none before [`crate::install`].
#[inline]
pub(crate) fn arenas() -> Option<&'static Arenas> {
    ARENAS.get()
}

/// Sets the arenas up for good; gives them back if there are some already.
pub(crate) fn set(arenas: Arenas) -> Result<(), Box<Arenas>> {
    ARENAS.set(arenas).map_err(Box::new)
}
