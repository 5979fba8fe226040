//! Equal refusals of one second are one entry with a count, so that nobody fills the files alone; and
//! so are equal failures, which a guest may have the service come to.

use super::entry::{Event, Kind};
use std::collections::BTreeMap;

/// So many different refusals a second are told apart of each admin, and of all who are not known
/// together; the rest is added up. So nobody's flood takes an admin's name away.
const MAX_DIFFERENT: usize = 64;

/// What was refused in this second.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    counted: BTreeMap<Refusal, u64>,
    beyond: BTreeMap<(Kind, String), u64>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Refusal {
    kind: Kind,
    /// Empty is nobody that is known: the names are those of the configuration.
    who: String,
    outcome: String,
    source: String,
}

/// What becomes of a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    /// It is the first of its kind: it has an entry now.
    Now,
    /// It is counted, and told at the end of the second.
    Later,
}

impl Refusals {
    pub(super) fn note(&mut self, event: &Event<'_>) -> Told {
        let refusal = Refusal {
            kind: event.kind,
            who: event.who.clone().into_owned(),
            outcome: event.outcome.clone().into_owned(),
            source: event.source.clone().into_owned(),
        };
        if let Some(count) = self.counted.get_mut(&refusal) {
            *count += 1;
            return Told::Later;
        }
        let same = |known: &&Refusal| known.who == refusal.who;
        if self.counted.keys().filter(same).count() < MAX_DIFFERENT {
            self.counted.insert(refusal, 0);
            return Told::Now;
        }
        let beyond = (event.kind, refusal.who);
        *self.beyond.entry(beyond).or_default() += 1;
        Told::Later
    }

    /// Ends the second: an entry for each that came again.
    pub(super) fn collect(&mut self) -> Vec<Event<'static>> {
        let counted = std::mem::take(&mut self.counted);
        let beyond = std::mem::take(&mut self.beyond);
        let again = counted.into_iter().map(|(refusal, count)| Event {
            who: refusal.who.into(),
            outcome: refusal.outcome.into(),
            source: refusal.source.into(),
            count,
            ..Event::own(refusal.kind, "again in the same second")
        });
        let beyond = beyond.into_iter().map(|((kind, who), count)| Event {
            who: who.into(),
            outcome: "several".into(),
            count,
            ..Event::own(kind, "more different ones than are told apart")
        });
        let events = again.chain(beyond);
        events.filter(|event| event.count > 0).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(source: &str) -> Event<'_> {
        Event {
            outcome: "PolicyDeny".into(),
            source: source.into(),
            ..Event::own(Kind::Refusal, "")
        }
    }

    #[test]
    fn what_comes_again_is_counted_and_told_once() {
        let mut refusals = Refusals::default();
        assert_eq!(refusals.note(&refused("a")), Told::Now);
        assert_eq!(refusals.note(&refused("a")), Told::Later);
        assert_eq!(refusals.note(&refused("a")), Told::Later);
        assert_eq!(refusals.note(&refused("b")), Told::Now);
        let told = refusals.collect();
        assert_eq!(told.len(), 1);
        assert_eq!((told[0].source.as_ref(), told[0].count), ("a", 2));
        assert!(refusals.collect().is_empty());
        assert_eq!(refusals.note(&refused("a")), Told::Now);
    }

    #[test]
    fn failures_are_added_up_and_not_among_refusals() {
        let mut refusals = Refusals::default();
        let failed = |source: &'static str| Event {
            kind: Kind::Failure,
            ..refused(source)
        };
        assert_eq!(refusals.note(&refused("a")), Told::Now);
        assert_eq!(refusals.note(&failed("a")), Told::Now);
        for _ in 0..1000 {
            assert_eq!(refusals.note(&failed("a")), Told::Later);
        }
        let told = refusals.collect();
        assert_eq!(told.len(), 1);
        assert_eq!((told[0].kind, told[0].count), (Kind::Failure, 1000));
    }

    #[test]
    fn a_flood_of_different_ones_is_one_entry_beyond_the_bound() {
        let mut refusals = Refusals::default();
        let told = (0..1000)
            .map(|number| refusals.note(&refused(&number.to_string())))
            .filter(|told| *told == Told::Now)
            .count();
        assert_eq!(told, MAX_DIFFERENT);
        let counts: Vec<u64> = refusals.collect().iter().map(|event| event.count).collect();
        assert_eq!(counts, [1000 - MAX_DIFFERENT as u64]);
    }

    #[test]
    fn what_admins_fail_at_names_each_and_no_flood_takes_a_name_away() {
        let mut refusals = Refusals::default();
        for number in 0..1000 {
            refusals.note(&refused(&number.to_string()));
        }
        let of = |who: &'static str| Event {
            who: who.into(),
            ..refused("a")
        };
        // One machine, one outcome, one second.
        for who in ["admin:one", "admin:two"] {
            assert_eq!(refusals.note(&of(who)), Told::Now, "{who}");
            assert_eq!(refusals.note(&of(who)), Told::Later, "{who}");
        }
        let floods = (0..1000).map(|number| Event {
            source: number.to_string().into(),
            ..of("admin:one")
        });
        let told = floods.filter(|event| refusals.note(event) == Told::Now);
        assert_eq!(told.count(), MAX_DIFFERENT - 1);
        assert_eq!(refusals.note(&of("admin:three")), Told::Now);
        let told = refusals.collect();
        let told: Vec<_> = told
            .iter()
            .map(|event| (event.who.as_ref(), event.outcome.as_ref(), event.count))
            .collect();
        let beyond = 1000 - MAX_DIFFERENT as u64;
        assert_eq!(
            told,
            [
                ("admin:one", "PolicyDeny", 1),
                ("admin:two", "PolicyDeny", 1),
                ("", "several", beyond),
                ("admin:one", "several", beyond + 1),
            ]
        );
    }
}
