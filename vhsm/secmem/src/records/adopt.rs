//! Segments of an earlier process: checked as a whole, and only then touched.

use super::growth::{Growth, GrowthTerms};
use super::head::{BadHead, HeadFields, SegmentHead, head_len};
use super::record::{Record, RecordId, RecordKind};
use super::slot::{BadSlot, LAYOUT, Slot, SlotFields};
use super::store::{RESERVE_PAGES, Store};
use super::upgrade::{self, Retiring};
use crate::arena::{Heap, MAX_SEGMENTS, PageId, PageUse, Traffic};
use crate::mapping::{self, Mapping, PAGE_LEN, wipe};
use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::io;
use std::os::fd::OwnedFd;
use std::ptr::NonNull;
use std::sync::atomic::AtomicU32;

/// No segment is larger, in bytes.
const MAX_SEGMENT_LEN: u64 = 1 << 30;

/// Why a descriptor is no segment that can be adopted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SegmentFault {
    /// It is something else than `memfd_secret`.
    #[error("it is no memfd_secret")]
    NotSecretMemory,
    /// Its length is that of no segment.
    #[error("its {len} bytes are no segment")]
    Size {
        /// The length, in bytes.
        len: u64,
    },
    /// The kernel refuses to tell what it is, or to map it.
    #[error("it cannot be mapped")]
    NotMapped(#[source] io::Error),
    /// It does not begin as a segment does.
    #[error("it is not a segment of this program")]
    Foreign,
    /// Another version wrote it, in a layout that this one does not know.
    #[error("its layout {layout} is not known here")]
    UnknownLayout {
        /// The layout's number.
        layout: u32,
    },
    /// It belongs to other records than the descriptors before it.
    #[error("it belongs to another set of records")]
    OtherStore,
    /// There is another one with the same number.
    #[error("there are two of number {index}")]
    Doubled {
        /// The number.
        index: u32,
    },
    /// Its contents contradict each other.
    #[error("page {page} of it is damaged")]
    Damaged {
        /// Which page, counted after the head.
        page: u32,
    },
}

/// Why segments could not be adopted.
#[derive(Debug)]
pub(crate) enum AdoptError {
    /// One of them cannot.
    Segment {
        position: usize,
        fault: SegmentFault,
    },
    /// One is not among them.
    Missing { index: u32, count: u32 },
    /// There are too many.
    TooMany { count: usize },
    /// Records of an older layout have no room in the current one.
    NoRoom,
}

/// A segment that was looked at, and not touched.
struct Looked {
    position: usize,
    mapping: Mapping,
    head: SegmentHead,
    fields: HeadFields,
}

/// What the pages of all segments hold.
#[derive(Default)]
struct Inventory {
    /// Pages of the current layout, with the numbers of the objects to take over.
    pages: Vec<(PageId, PageUse, Vec<u8>)>,
    /// Objects without a record beside others with one, to be zeroed: start and length.
    blanks: Vec<(NonNull<u8>, usize)>,
    /// Objects taken over for no other reason than to free the page with them.
    vacant: Vec<NonNull<u8>>,
    records: Vec<Found>,
    old: Vec<Retiring>,
}

/// A record as it was found.
#[derive(Clone, Copy)]
pub(super) struct Found {
    pub(super) start: NonNull<u8>,
    pub(super) fields: SlotFields,
    pub(super) layout: u32,
    position: usize,
    page: u32,
}

/// Takes over the segments behind `descriptors`, at least one and in whatever order, with every
/// record in them. They are changed only after all of them have been checked.
pub(crate) fn adopt(
    descriptors: &[OwnedFd],
    terms: GrowthTerms,
) -> Result<(Store, Vec<Record>), AdoptError> {
    let segments = look_at_all(descriptors)?;
    let mut inventory = Inventory::default();
    for (segment, number) in segments.iter().zip(0_u8..) {
        take_stock(segment, number, &mut inventory)?;
    }
    let Some(first) = segments.first() else {
        return Err(AdoptError::Missing { index: 0, count: 0 });
    };
    let (head, fields) = (first.head, first.fields);
    let sorted = sort_out(&inventory.records, fields.wiped_through)?;

    // From here on, the segments are ours to change.
    let count = u32::try_from(segments.len()).unwrap_or(u32::MAX);
    let heap = Heap::empty(0, Traffic::Calm, RESERVE_PAGES);
    let mut heads = Vec::new();
    for segment in segments {
        heads.push(segment.head);
        // There are no more than the heap has places for.
        let _ = heap.add_segment(SegmentHead::segment(segment.mapping));
    }
    for (page, usage, objects) in &inventory.pages {
        heap.adopt(*page, *usage, objects);
    }
    for pages in &inventory.old {
        heap.hold(pages.first, pages.page_count);
    }
    for (start, len) in inventory.blanks {
        // SAFETY: an object within a mapped page, of which there is no other reference.
        unsafe { wipe(start.as_ptr(), len) };
    }
    for start in inventory.vacant {
        // SAFETY: taken over above as handed out; nobody uses it.
        unsafe { heap.release(start) };
    }
    head.set_kept_count(count);
    let growth = Growth::new(terms, fields.store, count, Vec::new());
    let store = Store::new(heap, head, sorted.highest, growth);
    for loser in sorted.losers.iter().filter(|each| each.layout == LAYOUT) {
        // SAFETY: a checked slot, taken over above as handed out; nobody uses it.
        unsafe { store.erase(Slot::adopted(loser.start)) };
    }
    heads.into_iter().for_each(SegmentHead::set_current_layout);
    let records =
        upgrade::bring_up(&store, &sorted.winners, inventory.old).ok_or(AdoptError::NoRoom)?;
    Ok((store, records))
}

/// Maps every descriptor, and finds that they are the segments of one store, each once.
fn look_at_all(descriptors: &[OwnedFd]) -> Result<Vec<Looked>, AdoptError> {
    if descriptors.len() > MAX_SEGMENTS {
        return Err(AdoptError::TooMany {
            count: descriptors.len(),
        });
    }
    let mut segments = Vec::new();
    for (position, descriptor) in descriptors.iter().enumerate() {
        let refuse = |fault| AdoptError::Segment { position, fault };
        let looked = look_at(position, descriptor).map_err(refuse)?;
        let fault = segments.iter().find_map(|other: &Looked| {
            if other.fields.store != looked.fields.store {
                return Some(SegmentFault::OtherStore);
            }
            let index = looked.fields.index;
            (other.fields.index == index).then_some(SegmentFault::Doubled { index })
        });
        if let Some(fault) = fault {
            return Err(refuse(fault));
        }
        segments.push(looked);
    }
    segments.sort_by_key(|each| each.fields.index);
    let kept_count = segments
        .first()
        .filter(|first| first.fields.index == 0)
        .map_or(0, |first| first.fields.kept_count);
    let count = kept_count.max(u32::try_from(segments.len()).unwrap_or(u32::MAX));
    let present = segments.iter().map(|each| Some(each.fields.index));
    let missing = (0..count)
        .zip(present.chain(std::iter::repeat(None)))
        .find_map(|(index, present)| (present != Some(index)).then_some(index));
    match missing {
        Some(index) => Err(AdoptError::Missing { index, count }),
        None => Ok(segments),
    }
}

fn look_at(position: usize, descriptor: &OwnedFd) -> Result<Looked, SegmentFault> {
    if !mapping::is_secret_memory(descriptor).map_err(SegmentFault::NotMapped)? {
        return Err(SegmentFault::NotSecretMemory);
    }
    let len = mapping::descriptor_len(descriptor).map_err(SegmentFault::NotMapped)?;
    let wrong_size = SegmentFault::Size { len };
    let len = match usize::try_from(len) {
        Ok(bytes) if len > 0 && len <= MAX_SEGMENT_LEN && bytes.is_multiple_of(PAGE_LEN) => bytes,
        _ => return Err(wrong_size),
    };
    let mapping = Mapping::of_descriptor(descriptor, len).map_err(SegmentFault::NotMapped)?;
    let (head, fields) = SegmentHead::read(&mapping).map_err(|bad| match bad {
        BadHead::Magic | BadHead::Wiped => SegmentFault::Foreign,
        BadHead::Layout(layout) => SegmentFault::UnknownLayout { layout },
        BadHead::Length => wrong_size,
    })?;
    Ok(Looked {
        position,
        mapping,
        head,
        fields,
    })
}

/// Reads what every page of a segment holds.
fn take_stock(segment: &Looked, number: u8, inventory: &mut Inventory) -> Result<(), AdoptError> {
    let table = SegmentHead::table(&segment.mapping);
    let page_count = u32::try_from(table.len()).unwrap_or(0);
    let mut page = 0;
    while page < page_count {
        let damaged = AdoptError::Segment {
            position: segment.position,
            fault: SegmentFault::Damaged { page },
        };
        let Ok(entry) = table.read(page) else {
            return Err(damaged);
        };
        let step = match entry.usage {
            PageUse::Free => {
                page += 1;
                continue;
            }
            PageUse::Slab(_) => 1,
            PageUse::Run(count) => match u32::try_from(count) {
                Ok(count) if count <= page_count - page => count,
                _ => return Err(damaged),
            },
        };
        let has_stray = (page + 1..page + step)
            .any(|inner| !matches!(table.read(inner), Ok(entry) if entry.usage == PageUse::Free));
        let first = PageId {
            segment: number,
            page,
        };
        let at = PagesAt {
            position: segment.position,
            first,
            page_count: step as usize,
            start: segment.page_start(page),
        };
        let is_sound = match entry.layout {
            LAYOUT => at.read(entry.usage, inventory),
            upgrade::OLDEST_LAYOUT => table
                .entry_at(page)
                .ok_or(BadSlot)
                .and_then(|word| at.read_old(entry.usage, word, inventory)),
            _ => Err(BadSlot),
        };
        if has_stray || is_sound.is_err() {
            return Err(damaged);
        }
        page += step;
    }
    Ok(())
}

impl Looked {
    fn page_start(&self, page: u32) -> NonNull<u8> {
        let offset = head_len(self.mapping.len()) + page as usize * PAGE_LEN;
        // SAFETY: callers pass pages that the table has an entry for, which lie in the mapping.
        unsafe { self.mapping.base().add(offset) }
    }
}

/// A slab or a run, as its table says.
struct PagesAt {
    position: usize,
    first: PageId,
    page_count: usize,
    start: NonNull<u8>,
}

impl PagesAt {
    /// Start, capacity and number of each object.
    fn objects(&self, usage: PageUse) -> impl Iterator<Item = (NonNull<u8>, usize, u8)> {
        let (size, count) = match usage {
            PageUse::Slab(class) => (class.size(), class.objects_per_page()),
            PageUse::Run(pages) => (pages * PAGE_LEN, 1),
            PageUse::Free => (0, 0),
        };
        let start = self.start;
        (0_u8..=u8::MAX).take(count).map(move |object| {
            // SAFETY: the object lies within its page or run, which lies within the mapping.
            let start = unsafe { start.add(usize::from(object) * size) };
            (start, size, object)
        })
    }

    fn read(&self, usage: PageUse, inventory: &mut Inventory) -> Result<(), BadSlot> {
        let (mut taken, mut blanks) = (Vec::new(), Vec::new());
        for (start, capacity, object) in self.objects(usage) {
            // SAFETY: objects are aligned to 16, and lie within the mapping.
            match unsafe { Slot::read(start, capacity) }? {
                Some(fields) => {
                    taken.push(object);
                    inventory.records.push(self.found(start, fields, LAYOUT));
                }
                None => blanks.push((start, capacity)),
            }
        }
        if taken.is_empty() {
            taken.push(0);
            inventory.vacant.push(self.start);
        }
        inventory.pages.push((self.first, usage, taken));
        inventory.blanks.append(&mut blanks);
        Ok(())
    }

    fn read_old(
        &self,
        usage: PageUse,
        entry: NonNull<AtomicU32>,
        inventory: &mut Inventory,
    ) -> Result<(), BadSlot> {
        let mut commits = Vec::new();
        for (start, capacity, _) in self.objects(usage) {
            // SAFETY: objects are aligned to 16, and lie within the mapping.
            if let Some(fields) = unsafe { upgrade::read_old(start, capacity) }? {
                commits.push(start.cast());
                let found = self.found(start, fields, upgrade::OLDEST_LAYOUT);
                inventory.records.push(found);
            }
        }
        inventory.old.push(Retiring {
            first: self.first,
            page_count: self.page_count,
            commits,
            entry,
        });
        Ok(())
    }

    fn found(&self, start: NonNull<u8>, fields: SlotFields, layout: u32) -> Found {
        Found {
            start,
            fields,
            layout,
            position: self.position,
            page: self.first.page,
        }
    }
}

/// Which of the records there are, and which are not.
struct Sorted {
    /// In the order of their commits.
    winners: Vec<Found>,
    losers: Vec<Found>,
    highest: u64,
}

fn sort_out(found: &[Found], wiped_through: u64) -> Result<Sorted, AdoptError> {
    let mut winners: HashMap<(RecordKind, RecordId), Found> = HashMap::new();
    let mut losers = Vec::new();
    let mut sequences = HashSet::new();
    for record in found {
        let sequence = record.fields.sequence;
        if !sequences.insert(sequence) {
            // Every commit has a number of its own.
            return Err(AdoptError::Segment {
                position: record.position,
                fault: SegmentFault::Damaged { page: record.page },
            });
        }
        if sequence <= wiped_through {
            losers.push(*record);
            continue;
        }
        match winners.entry((record.fields.kind, record.fields.id)) {
            Entry::Vacant(vacant) => {
                vacant.insert(*record);
            }
            Entry::Occupied(mut other) if other.get().fields.sequence < sequence => {
                losers.push(other.insert(*record));
            }
            Entry::Occupied(_) => losers.push(*record),
        }
    }
    let mut winners: Vec<_> = winners.into_values().collect();
    winners.sort_by_key(|each| each.fields.sequence);
    let highest = found.iter().map(|each| each.fields.sequence).max();
    Ok(Sorted {
        winners,
        losers,
        highest: highest.unwrap_or(0).max(wiped_through),
    })
}
