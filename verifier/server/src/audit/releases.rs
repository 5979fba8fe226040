//! Releases of one resource to one key within a second are one entry with a count: a guest that asks
//! for the same again and again says nothing new, and does not push out what others did.

use super::entry::{Event, Kind};
use std::collections::BTreeMap;

/// So many different releases a second are known again; any other has an entry each time.
const MAX_DIFFERENT: usize = 1024;

/// What was released in this second and has its entry.
#[derive(Debug, Default)]
pub(super) struct Releases {
    counted: BTreeMap<Release, u64>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Release {
    who: String,
    what: String,
    source: String,
    reason: String,
}

impl Release {
    fn of(event: &Event<'_>) -> Self {
        let [who, what, source, reason] =
            [&event.who, &event.what, &event.source, &event.reason].map(ToString::to_string);
        Self {
            who,
            what,
            source,
            reason,
        }
    }
}

impl Releases {
    /// Counts it, where its like has an entry in this second; whether that was so.
    pub(super) fn count(&mut self, event: &Event<'_>) -> bool {
        if event.kind != Kind::Release {
            return false;
        }
        let known = self.counted.get_mut(&Release::of(event));
        known.map(|count| *count += 1).is_some()
    }

    /// It has its entry, where the files were to have it.
    pub(super) fn written(&mut self, event: &Event<'_>) {
        if event.kind == Kind::Release && self.counted.len() < MAX_DIFFERENT {
            self.counted.entry(Release::of(event)).or_default();
        }
    }

    /// Ends the second: an entry for each that came again.
    pub(super) fn collect(&mut self) -> Vec<Event<'static>> {
        let counted = std::mem::take(&mut self.counted).into_iter();
        let again = counted.filter(|(_, count)| *count > 0);
        let again = again.map(|(release, count)| Event {
            who: release.who.into(),
            what: release.what.into(),
            source: release.source.into(),
            count,
            ..Event::own(
                Kind::Release,
                format!("again in the same second; {}", release.reason),
            )
        });
        again.collect()
    }
}
