//! The files of one audit, oldest first, each line checked against the one before it.

use super::entry::{Entry, EntryError, Head, hex};
use thiserror::Error;

/// How the reason of an entry begins that follows a line which a crash cut off. It is the first of its
/// file, and what was cut off is the end of the file before.
pub(crate) const CUT_OFF: &str = "the end of the file before was cut off";

/// What was read so far.
#[derive(Debug, Default)]
pub(crate) struct Trail {
    /// How many entries there were.
    pub(crate) entries: u64,
    /// The first one's number; more than 1 where older files are gone.
    pub(crate) first: Option<u64>,
    /// The newest.
    pub(crate) head: Option<Head>,
    /// How many bytes without an end of line the last file ended with, until an entry says so.
    cut_off: Option<usize>,
}

/// What is wrong with a file, and at which of its lines, counted from 1.
#[derive(Debug, Error)]
pub(crate) enum TrailFault {
    #[error("line {line} is no entry of an audit")]
    Line {
        line: u64,
        #[source]
        source: EntryError,
    },
    #[error("line {line} is entry {found}, where entry {expected} should follow")]
    Missing {
        line: u64,
        expected: u64,
        found: u64,
    },
    #[error("entry {sequence} at line {line} does not follow from the one before it")]
    Chain { line: u64, sequence: u64 },
    #[error("the last {len} bytes are no whole line")]
    CutOff { len: usize },
}

impl Trail {
    /// Reads the next file; `seen` gets every entry with the head that it makes.
    pub(crate) fn read(
        &mut self,
        bytes: &[u8],
        mut seen: impl FnMut(&Entry<'_>, &Head),
    ) -> Result<(), TrailFault> {
        let (whole, torn) = match bytes.iter().rposition(|byte| *byte == b'\n') {
            Some(end) => bytes.split_at(end),
            None => (&[][..], bytes),
        };
        let torn = torn.strip_prefix(b"\n").unwrap_or(torn);
        let is_empty = whole.is_empty() && torn.len() == bytes.len();
        let lines = whole.split(|byte| *byte == b'\n');
        for (line, number) in lines.take_while(|_| !is_empty).zip(1_u64..) {
            self.link(line, number, &mut seen)?;
        }
        let torn = (!torn.is_empty()).then_some(torn.len());
        // A file without a whole line says nothing of what was cut off before it, as where a crash came
        // between its making and its first entry. The next entry has to.
        self.cut_off = torn.or(self.cut_off);
        Ok(())
    }

    fn link(
        &mut self,
        line: &[u8],
        number: u64,
        seen: &mut impl FnMut(&Entry<'_>, &Head),
    ) -> Result<(), TrailFault> {
        let entry = Entry::parse(line).map_err(|source| TrailFault::Line {
            line: number,
            source,
        })?;
        if let Some(len) = self.cut_off.take()
            && !entry.reason.starts_with(CUT_OFF)
        {
            return Err(TrailFault::CutOff { len });
        }
        let sequence = entry.sequence;
        let before = match self.head {
            Some(head) => {
                let expected = head.sequence.saturating_add(1);
                if sequence != expected {
                    return Err(TrailFault::Missing {
                        line: number,
                        expected,
                        found: sequence,
                    });
                }
                if entry.previous != hex(&head.digest) {
                    let line = number;
                    return Err(TrailFault::Chain { line, sequence });
                }
                head
            }
            // The oldest file that is left: what it follows is taken as it says, but for the first entry
            // of all, which follows nothing.
            None => {
                let digest = digest_of(&entry.previous);
                if sequence == 0 || (sequence == 1) != (digest == [0; 32]) {
                    let line = number;
                    return Err(TrailFault::Chain { line, sequence });
                }
                Head {
                    sequence: sequence - 1,
                    digest,
                }
            }
        };
        let head = Head {
            sequence,
            digest: before.follow(line),
        };
        self.entries += 1;
        self.first.get_or_insert(sequence);
        self.head = Some(head);
        seen(&entry, &head);
        Ok(())
    }

    /// After the newest file: nothing may be cut off there.
    pub(crate) fn finish(&self) -> Result<(), TrailFault> {
        match self.cut_off {
            Some(len) => Err(TrailFault::CutOff { len }),
            None => Ok(()),
        }
    }

    /// Whether the newest file ends within a line.
    pub(crate) fn is_cut_off(&self) -> bool {
        self.cut_off.is_some()
    }
}

/// Of 64 digits, which an entry's `previous` has.
fn digest_of(digits: &str) -> [u8; 32] {
    let mut digest = [0; 32];
    for (byte, pair) in digest.iter_mut().zip(digits.as_bytes().chunks_exact(2)) {
        let pair = std::str::from_utf8(pair).unwrap_or_default();
        *byte = u8::from_str_radix(pair, 16).unwrap_or_default();
    }
    digest
}

#[cfg(test)]
mod tests {
    use super::super::entry::{Event, Kind};
    use super::*;
    use proptest::prelude::*;

    /// Entries of these reasons, after `head`.
    fn file(head: &mut Head, reasons: &[&str]) -> Vec<u8> {
        let mut file = Vec::new();
        for reason in reasons {
            let (line, next) = head.write(&Event::own(Kind::Admin, *reason), 1).unwrap();
            file.extend(line);
            *head = next;
        }
        file
    }

    fn read(files: &[&[u8]]) -> Result<Trail, TrailFault> {
        let mut trail = Trail::default();
        for file in files {
            trail.read(file, |_, _| ())?;
        }
        trail.finish()?;
        Ok(trail)
    }

    #[test]
    fn files_follow_one_another_from_the_first_or_from_any() {
        let mut head = Head::default();
        let (one, two) = (file(&mut head, &["a", "b"]), file(&mut head, &["c"]));
        let all = read(&[&one, &two]).unwrap();
        assert_eq!((all.entries, all.first, all.head), (3, Some(1), Some(head)));
        let rest = read(&[&two]).unwrap();
        assert_eq!(
            (rest.entries, rest.first, rest.head),
            (1, Some(3), Some(head))
        );
        let none = read(&[b""]).unwrap();
        assert_eq!((none.entries, none.head), (0, None));
    }

    #[test]
    fn a_missing_file_and_a_changed_order_are_found() {
        let mut head = Head::default();
        let [one, two, three] = ["a", "b", "c"].map(|reason| file(&mut head, &[reason]));
        assert!(matches!(
            read(&[&one, &three]),
            Err(TrailFault::Missing {
                expected: 2,
                found: 3,
                ..
            })
        ));
        assert!(read(&[&two, &one]).is_err());
        assert!(read(&[&one, &one, &two]).is_err());
    }

    /// Also by who does not know the head: only the newest can be changed unseen.
    #[test]
    fn an_entry_that_was_changed_is_found_at_the_next() {
        let mut head = Head::default();
        let text = String::from_utf8(file(&mut head, &["a", "b"])).unwrap();
        let changed = text.replace("\"reason\":\"a\"", "\"reason\":\"c\"");
        assert_ne!(changed, text);
        assert!(matches!(
            read(&[changed.as_bytes()]),
            Err(TrailFault::Chain { sequence: 2, .. })
        ));
    }

    #[test]
    fn the_first_entry_of_all_follows_nothing() {
        let mut head = Head {
            sequence: 0,
            digest: [1; 32],
        };
        assert!(matches!(
            read(&[&file(&mut head, &["a"])]),
            Err(TrailFault::Chain { sequence: 1, .. })
        ));
        let mut head = Head {
            sequence: 1,
            digest: [0; 32],
        };
        assert!(read(&[&file(&mut head, &["a"])]).is_err());
    }

    #[test]
    fn a_torn_line_is_a_fault_until_an_entry_says_so() {
        let mut head = Head::default();
        let mut one = file(&mut head, &["a"]);
        one.extend(b"{\"sequ");
        assert!(matches!(read(&[&one]), Err(TrailFault::CutOff { len: 6 })));
        let mut same = head;
        let silent = file(&mut same, &["b"]);
        assert!(matches!(
            read(&[&one, &silent]),
            Err(TrailFault::CutOff { .. })
        ));
        assert!(matches!(read(&[&one, b""]), Err(TrailFault::CutOff { .. })));
        let said = file(&mut head, &[CUT_OFF]);
        assert_eq!(read(&[&one, &said]).unwrap().head, Some(head));
        let torn_alone = b"{\"sequ".as_slice();
        // A crash before the first entry of the next file, or in it.
        for between in [b"".as_slice(), torn_alone] {
            assert_eq!(read(&[&one, between, &said]).unwrap().head, Some(head));
            assert!(read(&[&one, between, &silent]).is_err());
        }
        assert!(matches!(
            read(&[torn_alone]),
            Err(TrailFault::CutOff { len: 6 })
        ));
    }

    proptest! {
        #[test]
        fn a_changed_byte_is_found_by_who_knows_the_head(
            reasons in proptest::collection::vec("[ -~]{0,60}", 1..8),
            place in any::<prop::sample::Index>(),
            change in 1_u8..,
        ) {
            let mut head = Head::default();
            let reasons: Vec<&str> = reasons.iter().map(String::as_str).collect();
            let mut bytes = file(&mut head, &reasons);
            prop_assert_eq!(read(&[&bytes]).unwrap().head, Some(head));
            let place = place.index(bytes.len());
            bytes[place] ^= change;
            let found = read(&[&bytes]);
            prop_assert!(found.is_err() || found.unwrap().head != Some(head));
        }

        #[test]
        fn any_bytes_are_read_or_refused(files: Vec<Vec<u8>>) {
            let files: Vec<&[u8]> = files.iter().map(Vec::as_slice).collect();
            let _ = read(&files);
        }
    }
}
