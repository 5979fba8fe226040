//! What has begun, in text:
//!
//! ```text
//! nitride-phases 1 pcr-12
//! 0000…0000 initrd          what the register held before, and the phase that it was extended by
//! ```

use super::PhaseError;
use std::fmt::Write;

/// The longest name of a phase.
pub const MAX_NAME_LEN: usize = 64;
/// More than a boot has.
const MAX_PHASES: usize = 64;
/// Before each name, so that the digest is of nothing else.
const DOMAIN: &[u8] = b"nitride-phase:";
const VERSION: &str = "nitride-phases 1";

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record {
    register: String,
    begun: Vec<Begun>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Begun {
    before: Vec<u8>,
    name: String,
}

/// What is to be done for a phase.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// It has begun.
    Nothing,
    /// It stands in the record, and the register was not extended.
    Extend { digest: Vec<u8> },
    /// It is new.
    Begin { digest: Vec<u8> },
}

impl Record {
    /// An empty text is that of a boot without a phase.
    pub(super) fn parse(register: &str, text: &str) -> Result<Self, String> {
        let mut record = Self {
            register: register.to_owned(),
            begun: Vec::new(),
        };
        let mut lines = text.lines();
        match lines.next() {
            None => return Ok(record),
            Some(head) if head == record.head() => (),
            Some(_) => return Err(format!("it is not of {register}, or of another version")),
        }
        for line in lines {
            let begun = line.split_once(' ').and_then(|(before, name)| {
                let name = is_name(name).then(|| name.to_owned())?;
                let before = bytes_of(before)?;
                Some(Begun { before, name })
            });
            record.begun.push(begun.ok_or("a line is not of its form")?);
        }
        Ok(record)
    }

    pub(super) fn to_text(&self) -> String {
        let mut text = format!("{}\n", self.head());
        for begun in &self.begun {
            for byte in &begun.before {
                // A string takes everything.
                let _ = write!(text, "{byte:02x}");
            }
            let _ = writeln!(text, " {}", begun.name);
        }
        text
    }

    /// What `name` takes while the register holds `held`. `hash` is the register's.
    pub(super) fn step(
        &self,
        held: &[u8],
        name: &str,
        hash: impl Fn(&[&[u8]]) -> Vec<u8>,
    ) -> Result<Step, PhaseError> {
        if !is_name(name) {
            return Err(PhaseError::Name(name.to_owned()));
        }
        let digest_of = |name: &str| hash(&[DOMAIN, name.as_bytes()]);
        let digest = digest_of(name);
        let Some(last) = self.begun.last() else {
            return Ok(Step::Begin { digest });
        };
        let is_extended = held == hash(&[&last.before, &digest_of(&last.name)]);
        let is_as_before = held == last.before;
        if last.name == name && is_as_before {
            return Ok(Step::Extend { digest });
        }
        // A phase whose extension was cut off has not begun, and no other begins in its place.
        if !is_extended {
            return Err(PhaseError::Overtaken {
                register: self.register.clone(),
            });
        }
        if last.name == name {
            return Ok(Step::Nothing);
        }
        if self.begun.iter().any(|begun| begun.name == name) {
            return Err(PhaseError::Ended {
                name: name.to_owned(),
                now: last.name.clone(),
            });
        }
        if self.begun.len() >= MAX_PHASES {
            return Err(PhaseError::TooMany);
        }
        Ok(Step::Begin { digest })
    }

    pub(super) fn push(&mut self, before: Vec<u8>, name: &str) {
        let name = name.to_owned();
        self.begun.push(Begun { before, name });
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

    /// What the register holds after a phase.
    fn after(held: &[u8], name: &str) -> Vec<u8> {
        hash(&[held, &hash(&[b"nitride-phase:", name.as_bytes()])])
    }

    #[test]
    fn phases_follow_each_other_and_each_is_extended_once() {
        let mut record = record();
        let mut held = vec![0; 32];
        for name in ["initrd", "system"] {
            let step = record.step(&held, name, hash).unwrap();
            let Step::Begin { digest } = step else {
                panic!("{step:?}")
            };
            record.push(held.clone(), name);
            held = hash(&[&held, &digest]);
            assert_eq!(record.step(&held, name, hash).unwrap(), Step::Nothing);
        }
        assert_eq!(held, after(&after(&[0; 32], "initrd"), "system"));
        let read = Record::parse("pcr-12", &record.to_text()).unwrap();
        assert_eq!(read, record);
        let refused = read.step(&held, "initrd", hash);
        assert!(
            matches!(refused, Err(PhaseError::Ended { .. })),
            "{refused:?}"
        );
    }

    #[test]
    fn after_a_crash_the_register_says_whether_it_was_extended() {
        let mut record = record();
        let held = vec![0; 32];
        record.push(held.clone(), "initrd");
        let step = record.step(&held, "initrd", hash).unwrap();
        assert!(matches!(step, Step::Extend { .. }));
        let refused = record.step(&held, "system", hash);
        assert!(matches!(refused, Err(PhaseError::Overtaken { .. })));
        let step = record.step(&after(&held, "initrd"), "initrd", hash);
        assert_eq!(step.unwrap(), Step::Nothing);
    }

    #[test]
    fn a_register_that_something_else_extends_begins_no_phase() {
        let mut record = record();
        record.push(vec![0; 32], "initrd");
        for name in ["initrd", "system"] {
            let refused = record.step(&[7; 32], name, hash);
            assert!(
                matches!(refused, Err(PhaseError::Overtaken { .. })),
                "{name}"
            );
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
            "\n",
        ] {
            assert!(Record::parse("pcr-12", text).is_err(), "{text:?}");
        }
        let long = "a".repeat(MAX_NAME_LEN + 1);
        for name in ["", "A", "a b", "a\n", "ä", &long] {
            let refused = record().step(&[0; 32], name, hash);
            assert!(matches!(refused, Err(PhaseError::Name(_))), "{name:?}");
        }
        let mut full = record();
        for number in 0..MAX_PHASES {
            full.push(vec![0; 32], &format!("a{number}"));
        }
        let last = format!("a{}", MAX_PHASES - 1);
        let refused = full.step(&after(&[0; 32], &last), "more", hash);
        assert!(matches!(refused, Err(PhaseError::TooMany)), "{refused:?}");
    }
}
