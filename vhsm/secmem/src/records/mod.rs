//! Records: what must outlive the process.
//!
//! ```text
//! segment 0   | head: magic, layout, store, index, count | page table | pages ............ |
//! segment 1   | head                                     | page table | pages ............ |
//!                                                                        |
//!   page       | slot | slot | slot |   of one size, or a run of pages that is one slot
//!                 |
//!   slot       | commit | id | kind | state | lengths | 8 counters | public | secret |
//! ```
//!
//! - A segment is a `memfd_secret` whose descriptor somebody keeps (systemd's descriptor store), so
//!   that the next process maps the same pages. It holds offsets and no addresses.
//! - A record is there from the moment its *commit* word is not zero: one atomic store, after
//!   everything else of it was written. It is gone from the moment the word is zero again, before
//!   anything of it is wiped. A process that is killed at any instruction has executed all stores
//!   before it and none after, so the next one finds whole records and no others.
//! - The commit word is the record's number in the order of commits. Of two records with one kind
//!   and id, the higher one is the replacement of the other.
//! - Books of what is free are in ordinary memory, and made anew from the segments.

mod adopt;
mod draft;
mod growth;
mod head;
mod record;
mod slot;
mod store;
#[cfg(test)]
mod tests;
mod upgrade;

pub use adopt::SegmentFault;
pub use draft::Draft;
pub use growth::NotKept;
pub use record::{COUNTERS, Record, RecordId, RecordKind};

pub(crate) use adopt::{AdoptError, adopt};
pub(crate) use growth::GrowthTerms;
pub(crate) use head::StoreId;
pub(crate) use store::Store;

use crate::arenas::arenas;

/// The smallest records segment, in bytes: its head, a page that is kept in reserve, and two more.
pub const MIN_RECORDS_LEN: usize = 4 * crate::mapping::PAGE_LEN;

/// Makes every record that was committed until now one that no later process finds: one atomic
/// store. Their bytes are zeroed as each is dropped, or by the next process that adopts the
/// segments; records that are committed afterwards stay.
pub fn wipe_all() {
    if let Some(arenas) = arenas() {
        arenas.records.wipe_all();
    }
}

/// Whether records that are dropped stay, for the next process to find.
///
/// A process that ends in order drops what it has, and one that cannot start drops what it has
/// recovered: neither must lose a key. Between the two, a record that is dropped is erased. What
/// was never committed is erased always, [`Record::erase`] erases always, and a thread that
/// panics erases nothing.
pub fn keep_dropped_records(keep: bool) {
    if let Some(arenas) = arenas() {
        arenas.records.keep_dropped(keep);
    }
}
