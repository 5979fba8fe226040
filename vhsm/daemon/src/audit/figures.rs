use nitride_vault::audit::AuditKind;
use std::sync::atomic::{AtomicU64, Ordering};

/// Counts of entries.
#[derive(Debug, Default)]
pub(super) struct Figures {
    of_kind: [AtomicU64; AuditKind::ALL.len()],
    lost: AtomicU64,
}

/// How the audit is.
#[derive(Debug)]
pub(crate) struct AuditFigures<'a> {
    figures: &'a Figures,
    /// The newest entry's number.
    pub(crate) sequence: u64,
    /// Bytes that can be written without asking the file system.
    pub(crate) room_len: usize,
}

impl Figures {
    pub(super) fn count(&self, kind: AuditKind) {
        let place = AuditKind::ALL.iter().position(|other| *other == kind);
        if let Some(count) = place.and_then(|place| self.of_kind.get(place)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn count_lost(&self, count: u64) {
        self.lost.fetch_add(count, Ordering::Relaxed);
    }

    pub(super) fn with(&self, sequence: u64, room_len: usize) -> AuditFigures<'_> {
        AuditFigures {
            figures: self,
            sequence,
            room_len,
        }
    }
}

impl AuditFigures<'_> {
    /// Events of each kind since the start, written or not.
    pub(crate) fn of_kind(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        let kinds = AuditKind::ALL.into_iter().map(AuditKind::as_str);
        let counts = self.figures.of_kind.iter();
        kinds.zip(counts.map(|count| count.load(Ordering::Relaxed)))
    }

    /// Events since the start that could not be written.
    pub(crate) fn lost(&self) -> u64 {
        self.figures.lost.load(Ordering::Relaxed)
    }
}
