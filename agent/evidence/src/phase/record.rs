//! What was measured, in text:
//!
//! ```text
//! nitride-phases 1 pcr-12
//! 0000…0000 initrd               what the register held before, and the phase that it was extended by
//! 81ab…97d2 release disk/root    or the key whose secret was given away
//! 5c0e…3d11 end initrd           or the end of the phase
//! ```

use super::PhaseError;
use std::fmt::Write;

/// The longest name of a phase.
pub const MAX_NAME_LEN: usize = 64;
/// The longest name of a key.
const MAX_KEY_LEN: usize = 255;
/// More than a boot has. A record of so many of the longest is still no longer than one may be.
const MAX_ENTRIES: usize = 128;
/// What releases leave to ends and beginnings: who has many keys released must not keep a phase from
/// ending, and the next from beginning.
const KEPT_FOR_PHASES: usize = 8;
const VERSION: &str = "nitride-phases 1";
const END: &str = "end";
const RELEASE: &str = "release";

/// What extends the register.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Measured {
    /// A phase has begun.
    Begun(String),
    /// It has ended.
    Ended(String),
    /// A key's secret was given away.
    Released(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record {
    register: String,
    entries: Vec<Entry>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    before: Vec<u8>,
    what: Measured,
}

/// What is to be done for what is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// It was measured.
    Nothing,
    /// It stands in the record, and the register was not extended.
    Extend { digest: Vec<u8> },
    /// What stands there last was not extended, and has to be first.
    Complete { digest: Vec<u8> },
    /// It is new.
    Record { digest: Vec<u8> },
}

impl Measured {
    /// Whether it can be measured at all.
    pub(super) fn check(&self) -> Result<(), PhaseError> {
        match self {
            Self::Begun(name) | Self::Ended(name) if !is_name(name) => {
                Err(PhaseError::Name(name.clone()))
            }
            Self::Released(key) if !is_key(key) => Err(PhaseError::Key(key.clone())),
            _ => Ok(()),
        }
    }

    fn digest(&self, hash: impl Fn(&[&[u8]]) -> Vec<u8>) -> Vec<u8> {
        // A label before each name, so that the digest is of nothing else.
        match self {
            Self::Begun(name) => hash(&[b"nitride-phase:", name.as_bytes()]),
            Self::Ended(name) => hash(&[b"nitride-phase-end:", name.as_bytes()]),
            Self::Released(key) => hash(&[b"nitride-release:", key.as_bytes()]),
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let what = match text.split_once(' ') {
            None => Self::Begun(text.to_owned()),
            Some((END, name)) => Self::Ended(name.to_owned()),
            Some((RELEASE, key)) => Self::Released(key.to_owned()),
            Some(_) => return None,
        };
        what.check().ok().map(|()| what)
    }
}

impl Record {
    /// An empty text is that of a boot without a phase.
    pub(super) fn parse(register: &str, text: &str) -> Result<Self, String> {
        let mut record = Self {
            register: register.to_owned(),
            entries: Vec::new(),
        };
        let mut lines = text.lines();
        match lines.next() {
            None => return Ok(record),
            Some(head) if head == record.head() => (),
            Some(_) => return Err(format!("it is not of {register}, or of another version")),
        }
        for line in lines {
            let entry = line.split_once(' ').and_then(|(before, what)| {
                let what = Measured::parse(what)?;
                let before = bytes_of(before)?;
                Some(Entry { before, what })
            });
            record
                .entries
                .push(entry.ok_or("a line is not of its form")?);
        }
        Ok(record)
    }

    pub(super) fn to_text(&self) -> String {
        let mut text = format!("{}\n", self.head());
        for entry in &self.entries {
            for byte in &entry.before {
                // A string takes everything.
                let _ = write!(text, "{byte:02x}");
            }
            let _ = match &entry.what {
                Measured::Begun(name) => writeln!(text, " {name}"),
                Measured::Ended(name) => writeln!(text, " {END} {name}"),
                Measured::Released(key) => writeln!(text, " {RELEASE} {key}"),
            };
        }
        text
    }

    /// What `wanted` takes while the register holds `held`. `hash` is the register's.
    pub(super) fn step(
        &self,
        held: &[u8],
        wanted: &Measured,
        hash: impl Fn(&[&[u8]]) -> Vec<u8>,
    ) -> Result<Step, PhaseError> {
        let digest = wanted.digest(&hash);
        if let Some(last) = self.entries.last() {
            let of_last = last.what.digest(&hash);
            if held == last.before {
                return match &last.what {
                    what if what == wanted => Ok(Step::Extend { digest }),
                    // A phase whose extension was cut off has not begun, and none begins in its place.
                    Measured::Begun(_) => Err(self.overtaken()),
                    // Whoever wanted that has not been answered; that it was wanted may stand there.
                    Measured::Ended(_) | Measured::Released(_) => {
                        Ok(Step::Complete { digest: of_last })
                    }
                };
            }
            if held != hash(&[&last.before, &of_last]) {
                return Err(self.overtaken());
            }
        }
        if self.has(wanted)? {
            return Ok(Step::Nothing);
        }
        let room = match wanted {
            Measured::Released(_) => MAX_ENTRIES - KEPT_FOR_PHASES,
            Measured::Begun(_) | Measured::Ended(_) => MAX_ENTRIES,
        };
        if self.entries.len() >= room {
            return Err(PhaseError::TooMany);
        }
        Ok(Step::Record { digest })
    }

    /// Whether what is wanted was measured and still holds; an error where it may not be measured.
    fn has(&self, wanted: &Measured) -> Result<bool, PhaseError> {
        let is_there = |what: &Measured| self.entries.iter().any(|entry| entry.what == *what);
        match (wanted, self.open()) {
            (Measured::Begun(name) | Measured::Ended(name), Some(open)) if open == name => {
                Ok(matches!(wanted, Measured::Begun(_)))
            }
            (Measured::Begun(name), _) if is_there(wanted) => Err(PhaseError::Ended(name.clone())),
            (Measured::Begun(name), Some(open)) => Err(PhaseError::Open {
                name: name.clone(),
                open: open.to_owned(),
            }),
            (Measured::Begun(_), None) => Ok(false),
            (Measured::Ended(_), None) if self.last() == Some(wanted) => Ok(true),
            (Measured::Ended(name), _) if is_there(wanted) => Err(PhaseError::Ended(name.clone())),
            (Measured::Ended(name), _) => Err(PhaseError::NotBegun(name.clone())),
            (Measured::Released(_), _) if self.is_between() => Err(PhaseError::Between),
            (Measured::Released(_), _) => Ok(is_there(wanted)),
        }
    }

    /// Whether a phase has ended and none has begun since.
    pub(super) fn is_between(&self) -> bool {
        let ended = |entry: &Entry| matches!(entry.what, Measured::Ended(_));
        self.open().is_none() && self.entries.iter().any(ended)
    }

    /// The phase that has begun and has not ended.
    fn open(&self) -> Option<&str> {
        let phases = self.entries.iter().rev().map(|entry| &entry.what);
        let last = phases
            .into_iter()
            .find(|what| !matches!(what, Measured::Released(_)));
        match last {
            Some(Measured::Begun(name)) => Some(name),
            _ => None,
        }
    }

    fn last(&self) -> Option<&Measured> {
        self.entries.last().map(|entry| &entry.what)
    }

    pub(super) fn push(&mut self, before: Vec<u8>, what: Measured) {
        self.entries.push(Entry { before, what });
    }

    fn overtaken(&self) -> PhaseError {
        let register = self.register.clone();
        PhaseError::Overtaken { register }
    }

    fn head(&self) -> String {
        format!("{VERSION} {}", self.register)
    }
}

fn is_name(name: &str) -> bool {
    let known =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-".contains(&byte);
    (1..=MAX_NAME_LEN).contains(&name.len()) && name.bytes().all(known)
}

/// What fits the record, and one line of it; the vault's own names are narrower.
fn is_key(key: &str) -> bool {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-/".contains(&byte);
    (1..=MAX_KEY_LEN).contains(&key.len()) && key.bytes().all(known)
}

fn bytes_of(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: &u8| {
        char::from(*byte)
            .to_digit(16)
            .and_then(|d| u8::try_from(d).ok())
    };
    let pairs = text.as_bytes().chunks(2);
    pairs
        .map(|pair| match pair {
            [high, low] => Some(digit(high)? << 4 | digit(low)?),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use sha2::{Digest, Sha256};

    fn hash(parts: &[&[u8]]) -> Vec<u8> {
        Sha256::digest(parts.concat()).to_vec()
    }

    fn record() -> Record {
        Record::parse("pcr-12", "").unwrap()
    }

    fn begun(name: &str) -> Measured {
        Measured::Begun(name.to_owned())
    }

    fn ended(name: &str) -> Measured {
        Measured::Ended(name.to_owned())
    }

    fn released(key: &str) -> Measured {
        Measured::Released(key.to_owned())
    }

    /// What the register holds after `label` and `name` were measured.
    fn after(held: &[u8], label: &str, name: &str) -> Vec<u8> {
        hash(&[held, &hash(&[label.as_bytes(), name.as_bytes()])])
    }

    /// Measures what is new, as [`super::super::Phases`] does.
    fn measure(record: &mut Record, held: &mut Vec<u8>, what: &Measured) {
        let step = record.step(held, what, hash).unwrap();
        let Step::Record { digest } = step else {
            panic!("{step:?}")
        };
        record.push(held.clone(), what.clone());
        *held = hash(&[held, &digest]);
        assert_eq!(record.step(held, what, hash).unwrap(), Step::Nothing);
    }

    fn refused(record: &Record, held: &[u8], what: &Measured) -> PhaseError {
        record.step(held, what, hash).unwrap_err()
    }

    #[test]
    fn phases_follow_each_other_and_each_is_extended_once() {
        let (mut record, mut held) = (record(), vec![0; 32]);
        assert!(!record.is_between());
        let mut wanted = held.clone();
        for (what, label, name) in [
            (begun("initrd"), "nitride-phase:", "initrd"),
            (released("disk/root"), "nitride-release:", "disk/root"),
            (ended("initrd"), "nitride-phase-end:", "initrd"),
            (begun("system"), "nitride-phase:", "system"),
        ] {
            measure(&mut record, &mut held, &what);
            wanted = after(&wanted, label, name);
            assert_eq!(held, wanted);
            let is_end = matches!(what, Measured::Ended(_));
            assert_eq!(record.is_between(), is_end, "{what:?}");
        }
        let read = Record::parse("pcr-12", &record.to_text()).unwrap();
        assert_eq!(read, record);
        for again in [begun("initrd"), ended("initrd")] {
            let refused = refused(&read, &held, &again);
            assert!(matches!(refused, PhaseError::Ended(_)), "{refused:?}");
        }
        // It stands there for good, whichever phase it was in.
        let step = read.step(&held, &released("disk/root"), hash).unwrap();
        assert_eq!(step, Step::Nothing);
    }

    #[test]
    fn no_phase_begins_before_the_one_at_hand_has_ended() {
        let (mut record, mut held) = (record(), vec![0; 32]);
        measure(&mut record, &mut held, &begun("initrd"));
        measure(&mut record, &mut held, &released("disk/root"));
        let refusal = refused(&record, &held, &begun("system"));
        let PhaseError::Open { name, open } = &refusal else {
            panic!("{refusal:?}")
        };
        assert_eq!((name.as_str(), open.as_str()), ("system", "initrd"));
        let refusal = refused(&record, &held, &ended("system"));
        assert!(matches!(refusal, PhaseError::NotBegun(_)), "{refusal:?}");
        measure(&mut record, &mut held, &ended("initrd"));
        let refusal = refused(&record, &held, &released("disk/data"));
        assert!(matches!(refusal, PhaseError::Between), "{refusal:?}");
        let refusal = refused(&record, &held, &begun("initrd"));
        assert!(matches!(refusal, PhaseError::Ended(_)), "{refusal:?}");
    }

    #[test]
    fn after_a_crash_the_register_says_whether_it_was_extended() {
        let mut record = record();
        let held = vec![0; 32];
        record.push(held.clone(), begun("initrd"));
        let step = record.step(&held, &begun("initrd"), hash).unwrap();
        assert!(matches!(step, Step::Extend { .. }));
        for other in [begun("system"), ended("initrd"), released("a")] {
            let refused = refused(&record, &held, &other);
            assert!(matches!(refused, PhaseError::Overtaken { .. }), "{other:?}");
        }
        let held = after(&held, "nitride-phase:", "initrd");
        let step = record.step(&held, &begun("initrd"), hash);
        assert_eq!(step.unwrap(), Step::Nothing);
        // What was to be released, or to end, is measured before anything else is.
        record.push(held.clone(), released("a"));
        let digest = hash(&[b"nitride-release:", b"a"]);
        for (wanted, step) in [
            (
                ended("initrd"),
                Step::Complete {
                    digest: digest.clone(),
                },
            ),
            (
                released("b"),
                Step::Complete {
                    digest: digest.clone(),
                },
            ),
            (released("a"), Step::Extend { digest }),
        ] {
            assert_eq!(record.step(&held, &wanted, hash).unwrap(), step);
        }
    }

    #[test]
    fn a_register_that_something_else_extends_measures_nothing() {
        let mut record = record();
        record.push(vec![0; 32], begun("initrd"));
        for what in [
            begun("initrd"),
            begun("system"),
            ended("initrd"),
            released("a"),
        ] {
            let refused = refused(&record, &[7; 32], &what);
            assert!(matches!(refused, PhaseError::Overtaken { .. }), "{what:?}");
        }
    }

    #[test]
    fn what_is_no_record_or_no_name_is_refused() {
        for text in [
            "nitride-phases 1 pcr-13\n",
            "nitride-phases 2 pcr-12\n",
            "nitride-phases 1 pcr-12\n00\n",
            "nitride-phases 1 pcr-12\n0g initrd\n",
            "nitride-phases 1 pcr-12\n000 initrd\n",
            "nitride-phases 1 pcr-12\n00 Initrd\n",
            "nitride-phases 1 pcr-12\n00 ends initrd\n",
            "nitride-phases 1 pcr-12\n00 end a b\n",
            "nitride-phases 1 pcr-12\n00 release \n",
            "\n",
        ] {
            assert!(Record::parse("pcr-12", text).is_err(), "{text:?}");
        }
        let long = "a".repeat(MAX_NAME_LEN + 1);
        for name in ["", "A", "a b", "a\n", "ä", &long] {
            for what in [begun(name), ended(name)] {
                assert!(matches!(what.check(), Err(PhaseError::Name(_))), "{what:?}");
            }
        }
        let long = "a".repeat(MAX_KEY_LEN + 1);
        for key in ["", "a b", "a\n", "ä", &long] {
            let refused = released(key).check();
            assert!(matches!(refused, Err(PhaseError::Key(_))), "{key:?}");
        }
    }

    #[test]
    fn releases_leave_room_for_the_end_and_the_next_beginning() {
        let (mut full, mut held) = (record(), vec![0; 32]);
        measure(&mut full, &mut held, &begun("a"));
        for number in 0..MAX_ENTRIES - KEPT_FOR_PHASES - 1 {
            measure(&mut full, &mut held, &released(&format!("a{number}")));
        }
        let refusal = refused(&full, &held, &released("more"));
        assert!(matches!(refusal, PhaseError::TooMany), "{refusal:?}");
        for (end, next) in [("a", "b"), ("b", "c"), ("c", "d"), ("d", "e")] {
            measure(&mut full, &mut held, &ended(end));
            measure(&mut full, &mut held, &begun(next));
        }
        let refusal = refused(&full, &held, &ended("e"));
        assert!(matches!(refusal, PhaseError::TooMany), "{refusal:?}");
    }

    #[test]
    fn the_longest_record_can_be_read_again() {
        let mut full = Record::parse("rtmr-3", "").unwrap();
        for _ in 0..MAX_ENTRIES {
            full.push(vec![0; 48], released(&"a".repeat(MAX_KEY_LEN)));
        }
        assert!(full.to_text().len() < 64 << 10);
    }
}
