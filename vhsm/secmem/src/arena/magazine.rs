//! Small stocks of freed objects, so that a signature's thirty allocations need no common lock.
//!
//! A stock belongs to a slot and not to a thread: a thread takes a slot at its first allocation
//! and shares it when threads outnumber slots. So the bytes in stock are bounded by the slots
//! whatever the number of threads, nothing is stranded when a thread ends, and an exhausted arena
//! can take every stock back.

use super::books::{PageId, Place};
use super::class::{Class, MAX_SMALL_LEN, SIZES};
use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

/// Most bytes in one slot's stock.
const MAX_STOCK_LEN: usize = 4096;
/// Most objects of one class in one slot's stock.
const MAX_DEPTH: usize = 8;
/// Arena bytes for each slot: at most a sixteenth of an arena is in stock.
const ARENA_LEN_PER_SLOT: usize = 16 * MAX_STOCK_LEN;
const MAX_SLOTS: usize = 64;

const NOWHERE: Place = Place {
    page: PageId {
        segment: 0,
        page: 0,
    },
    object: 0,
};

thread_local! {
    // Without a destructor, so that it can be read while a thread's other locals are torn down:
    // AWS-LC frees its own thread state then.
    static HOME: Cell<usize> = const { Cell::new(usize::MAX) };
}
static NEXT_HOME: AtomicUsize = AtomicUsize::new(0);

/// All slots of an arena.
#[derive(Debug)]
pub(crate) struct Magazines {
    slots: Box<[Slot]>,
}

/// On cache lines of its own, so that neighbours do not slow each other down.
#[derive(Debug)]
#[repr(align(128))]
struct Slot(Mutex<Stock>);

/// Freed and zeroed objects of each class, newest last.
#[derive(Debug)]
pub(crate) struct Stock {
    places: [[Place; MAX_DEPTH]; SIZES.len()],
    depths: [u8; SIZES.len()],
    stock_len: usize,
}

impl Magazines {
    /// Slots for an arena of `arena_len` bytes.
    pub(crate) fn for_arena(arena_len: usize) -> Self {
        let slots = (arena_len / ARENA_LEN_PER_SLOT).clamp(1, MAX_SLOTS);
        Self {
            slots: (0..slots)
                .map(|_| Slot(Mutex::new(Stock::empty())))
                .collect(),
        }
    }

    /// No slots: everything goes to the books.
    pub(crate) fn none() -> Self {
        Self {
            slots: Box::default(),
        }
    }

    /// This thread's slot, unless another thread is in it right now.
    #[inline]
    pub(crate) fn home(&self) -> Option<MutexGuard<'_, Stock>> {
        if self.slots.is_empty() {
            return None;
        }
        let mut home = HOME.get();
        if home == usize::MAX {
            home = NEXT_HOME.fetch_add(1, Ordering::Relaxed) % usize::MAX;
            HOME.set(home);
        }
        match self.slots[home % self.slots.len()].0.try_lock() {
            Ok(stock) => Some(stock),
            // A stock is consistent between any two of its statements.
            Err(TryLockError::Poisoned(stock)) => Some(stock.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// Every slot in turn, waiting for each.
    pub(crate) fn each(&self) -> impl Iterator<Item = MutexGuard<'_, Stock>> {
        self.slots
            .iter()
            .map(|slot| slot.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Stock {
    fn empty() -> Self {
        Self {
            places: [[NOWHERE; MAX_DEPTH]; SIZES.len()],
            depths: [0; SIZES.len()],
            stock_len: 0,
        }
    }

    /// Bytes in stock.
    pub(crate) fn stock_len(&self) -> usize {
        self.stock_len
    }

    /// Takes the newest object of a class.
    #[inline]
    pub(crate) fn pop(&mut self, class: Class) -> Option<Place> {
        let index = usize::from(class.index());
        let depth = self.depths[index].checked_sub(1)?;
        self.depths[index] = depth;
        self.stock_len -= class.size();
        Some(self.places[index][usize::from(depth)])
    }

    /// Adds an object; tells if there is no room for it.
    #[inline]
    pub(crate) fn push(&mut self, place: Place, class: Class) -> Result<(), Full> {
        let index = usize::from(class.index());
        let depth = usize::from(self.depths[index]);
        if depth >= max_depth(class) {
            return Err(Full::Class);
        }
        if self.stock_len + class.size() > MAX_STOCK_LEN {
            return Err(Full::Stock);
        }
        self.places[index][depth] = place;
        self.depths[index] += 1;
        self.stock_len += class.size();
        Ok(())
    }

    /// Takes every object out.
    pub(crate) fn drain(&mut self, mut each: impl FnMut(Place, Class)) {
        for index in 0..SIZES.len() {
            let Some(class) = u8::try_from(index).ok().and_then(Class::from_index) else {
                continue;
            };
            while let Some(place) = self.pop(class) {
                each(place, class);
            }
        }
    }
}

/// Why an object cannot be kept in stock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Full {
    /// There are enough of its class.
    Class,
    /// The stock holds as many bytes as it may, of other classes perhaps.
    Stock,
}

fn max_depth(class: Class) -> usize {
    match class.size() {
        0..=128 => MAX_DEPTH,
        129..=512 => 4,
        513..MAX_SMALL_LEN => 1,
        _ => 0,
    }
}
