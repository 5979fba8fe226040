//! Slots for connections: so many in all, and so many of one source, so that nobody holds them all
//! by being slow.

use crate::config::Limits;
use crate::source::Network;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The slots, and who holds them.
#[derive(Debug)]
pub(crate) struct Slots {
    free: Arc<Semaphore>,
    per_source: usize,
    /// Connections by source; no source has none, so that the table is no longer than the slots.
    held: Mutex<HashMap<Network, usize>>,
}

/// One of the slots that is nobody's yet.
pub(crate) type FreeSlot = OwnedSemaphorePermit;

/// A slot of one source, until it is dropped.
#[derive(Debug)]
pub(crate) struct Slot {
    slots: Arc<Slots>,
    source: Network,
    _free: FreeSlot,
}

impl Slots {
    pub(crate) fn new(limits: &Limits) -> Arc<Self> {
        Arc::new(Self {
            free: Arc::new(Semaphore::new(limits.connections)),
            per_source: limits.connections_per_source,
            held: Mutex::default(),
        })
    }

    /// Waits until there is a free slot.
    pub(crate) async fn free(&self) -> io::Result<FreeSlot> {
        let free = self.free.clone().acquire_owned().await;
        free.map_err(io::Error::other)
    }

    /// The slot for a connection of `source`; `None` when that source has as many as it may.
    pub(crate) fn claim(self: &Arc<Self>, free: FreeSlot, source: Network) -> Option<Slot> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        match held.entry(source) {
            Entry::Occupied(count) if *count.get() >= self.per_source => return None,
            Entry::Occupied(mut count) => *count.get_mut() += 1,
            Entry::Vacant(none) => _ = none.insert(1),
        }
        Some(Slot {
            slots: self.clone(),
            source,
            _free: free,
        })
    }
}

impl Slot {
    /// Whether no other is free.
    pub(crate) fn is_wanted(&self) -> bool {
        self.slots.free.available_permits() == 0
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut held = self
            .slots
            .held
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Entry::Occupied(mut count) = held.entry(self.source) {
            match count.get().saturating_sub(1) {
                0 => _ = count.remove(),
                left => *count.get_mut() = left,
            }
        }
    }
}
