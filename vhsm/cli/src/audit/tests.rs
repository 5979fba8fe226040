use super::files::files;
use super::*;
use nitride_protocol::audit::{
    AuditEntry, AuditKind, CUT_OFF, ENTRY_HEAD_LEN, Linked, MAGIC, MAX_ENTRY_LEN, chain,
};
use nitride_protocol::{KeyName, Operation, Status};
use nitride_secmem::crypto::sha256;
use proptest::prelude::*;
use std::fs;
use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;

/// Files as vhsmd writes them: each has its length from the beginning.
struct Writer<'f> {
    folder: &'f Path,
    number: u64,
    at: usize,
    sequence: u64,
    digest: Digest,
}

const FILE_LEN: usize = 16 << 10;

impl<'f> Writer<'f> {
    fn new(folder: &'f Path) -> Self {
        let mut writer = Self {
            folder,
            number: 0,
            at: 0,
            sequence: 0,
            digest: [0; 32],
        };
        writer.rotate();
        writer
    }

    fn path(&self) -> PathBuf {
        self.folder.join(format!("{:010}.audit", self.number))
    }

    fn rotate(&mut self) {
        self.number += 1;
        self.at = MAGIC.len();
        let mut bytes = MAGIC.to_vec();
        bytes.resize(FILE_LEN, 0);
        fs::write(self.path(), bytes).unwrap();
    }

    fn bytes_of_next(&mut self, reason: &str) -> Vec<u8> {
        self.sequence += 1;
        let entry = AuditEntry {
            sequence: self.sequence,
            boot_ms: 1,
            wall_secs: 2,
            kind: AuditKind::Lifecycle,
            peer: None,
            key: Some(KeyName::parse("a/b").unwrap()),
            version: Some(1),
            operation: Some(Operation::Generate),
            status: Status::Ok,
            request: None,
            count: 1,
            reason,
            previous: &self.digest,
        };
        let mut buffer = [0; ENTRY_HEAD_LEN + MAX_ENTRY_LEN];
        let len = entry.write(&mut buffer).unwrap();
        self.digest = chain(&self.digest, &buffer[ENTRY_HEAD_LEN..len], sha256);
        buffer[..len].to_vec()
    }

    fn put(&mut self, bytes: &[u8]) {
        let file = OpenOptions::new().write(true).open(self.path()).unwrap();
        file.write_all_at(bytes, self.at as u64).unwrap();
        self.at += bytes.len();
    }

    fn write(&mut self, reason: &str) {
        let bytes = self.bytes_of_next(reason);
        self.put(&bytes);
    }
}

/// Three entries; gives the head.
fn write(folder: &Path) -> (u64, Digest) {
    let mut writer = Writer::new(folder);
    for _ in 0..3 {
        writer.write("of the test");
    }
    (writer.sequence, writer.digest)
}

#[test]
fn every_witnessed_head_has_to_be_there_unless_it_is_older_than_the_files() {
    let folder = tempfile::tempdir().unwrap();
    let list = folder.path().join("heads");
    let audit = folder.path().join("audit");
    fs::create_dir(&audit).unwrap();
    let mut writer = Writer::new(&audit);
    let mut heads = Vec::new();
    for number in 1..=4 {
        writer.write("of the test");
        heads.push((writer.sequence, writer.digest));
        if number == 2 {
            writer.rotate();
        }
    }
    let check = |heads: &[(u64, Digest)]| {
        let lines = heads
            .iter()
            .map(|(sequence, digest)| format!("{sequence}:{}\n", hex(digest)));
        fs::write(&list, lines.collect::<String>()).unwrap();
        heads_of(&list).and_then(|heads| verify(&audit, heads))
    };
    assert!(check(&heads).is_ok());
    let other = (3, [7; 32]);
    assert!(matches!(
        failure(check(&[heads[3], other])),
        AuditFailure::OtherHead { sequence: 3 }
    ));
    assert!(matches!(
        failure(check(&[heads[0], (9, [7; 32])])),
        AuditFailure::CutOff {
            sequence: 9,
            last: 4
        }
    ));
    fs::remove_file(audit.join("0000000001.audit")).unwrap();
    let Ok(Answer::Text { text, .. }) = check(&heads) else {
        panic!("not verified");
    };
    assert!(
        text.ends_with("2 of 4 witnessed heads are older than the files\n"),
        "{text}"
    );
    assert!(matches!(
        failure(check(&heads[..2])),
        AuditFailure::BeforeFiles {
            sequence: 2,
            first: 3
        }
    ));
    fs::write(&list, "").unwrap();
    assert!(matches!(
        failure(heads_of(&list).and_then(|heads| verify(&audit, heads))),
        AuditFailure::NotAHead { line: 1, .. }
    ));
}

fn failure(verified: Result<Answer, Failure>) -> AuditFailure {
    match verified {
        Err(Failure::Audit(failure)) => failure,
        _ => panic!("no fault of the audit"),
    }
}

#[test]
fn a_witnessed_head_has_to_be_there() {
    let folder = tempfile::tempdir().unwrap();
    let (sequence, digest) = write(folder.path());
    let text = format!("{sequence}:{}", hex(&digest));
    assert_eq!(head(&text), Ok((sequence, digest)));
    assert!(verify(folder.path(), Some((sequence, digest))).is_ok());
    assert!(verify(folder.path(), Some((0, [0; 32]))).is_ok());
    let named = |sequence| failure(verify(folder.path(), Some((sequence, digest))));
    assert!(matches!(named(2), AuditFailure::OtherHead { sequence: 2 }));
    let cut_off = named(4);
    assert!(matches!(
        cut_off,
        AuditFailure::CutOff {
            sequence: 4,
            last: 3
        }
    ));
    assert!(matches!(
        named(0),
        AuditFailure::BeforeFiles {
            sequence: 0,
            first: 1
        }
    ));
    for text in ["3", "3:", "x:00", &text[..60], &format!("{text}00")] {
        assert!(head(text).is_err(), "{text}");
    }
}

#[test]
fn a_changed_file_is_named_and_an_empty_folder_is_no_audit() {
    let folder = tempfile::tempdir().unwrap();
    let none = failure(verify(folder.path(), None));
    assert!(matches!(none, AuditFailure::NoFile { .. }));
    write(folder.path());
    let path = folder.path().join("0000000001.audit");
    let mut bytes = fs::read(&path).unwrap();
    bytes[30] ^= 1;
    fs::write(&path, bytes).unwrap();
    let AuditFailure::Fault { path: named, .. } = failure(verify(folder.path(), None)) else {
        panic!("another fault");
    };
    assert_eq!(named, path);
}

#[test]
fn a_file_that_is_missing_is_named_by_the_one_after_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = Writer::new(folder.path());
    for _ in 0..3 {
        writer.write("one");
        writer.write("two");
        writer.rotate();
    }
    assert!(verify(folder.path(), None).is_ok());
    fs::remove_file(folder.path().join("0000000002.audit")).unwrap();
    let named = failure(verify(folder.path(), None));
    assert!(named.to_string().ends_with("0000000003.audit"), "{named}");
    let fault = Failure::from(named).explained();
    assert!(
        fault.ends_with("begins with entry 5, and between it and entry 2 there is nothing"),
        "{fault}"
    );
}

#[test]
fn the_newest_entries_are_printed() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path());
    let Answer::Text { text, json } = tail(folder.path(), 2).unwrap().0 else {
        panic!("bytes");
    };
    assert_eq!(
        text.lines().next().unwrap(),
        "2 2 lifecycle operation=generate key=a/b version=1 status=ok reason=\"of the test\""
    );
    assert_eq!(json[1]["sequence"], 3);
}

/// The reasons of what has come since.
fn step(follower: &mut Follower) -> Result<Vec<String>, Failure> {
    let mut reasons = Vec::new();
    follower.step(&mut |linked: &Linked<'_>| {
        reasons.push(linked.entry.reason.to_owned());
        Ok(())
    })?;
    Ok(reasons)
}

#[test]
fn entries_are_followed_over_files() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = Writer::new(folder.path());
    writer.write("before");
    let mut follower = tail(folder.path(), 10).unwrap().1;
    assert!(step(&mut follower).unwrap().is_empty());
    writer.write("one");
    assert_eq!(step(&mut follower).unwrap(), ["one"]);
    writer.write("two");
    for name in ["three", "four", "five"] {
        writer.rotate();
        writer.write(name);
    }
    let expected = ["two", "three", "four", "five"];
    assert_eq!(step(&mut follower).unwrap(), expected);
    // What rotates out once it was read is not missed.
    writer.rotate();
    for path in &files(folder.path()).unwrap()[..4] {
        fs::remove_file(path).unwrap();
    }
    writer.write("six");
    assert_eq!(step(&mut follower).unwrap(), ["six"]);
    assert!(step(&mut follower).unwrap().is_empty());
}

#[test]
fn entries_that_rotated_out_unread_are_missed() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = Writer::new(folder.path());
    writer.write("before");
    let mut follower = tail(folder.path(), 10).unwrap().1;
    writer.rotate();
    writer.write("unread");
    fs::remove_file(writer.path()).unwrap();
    writer.rotate();
    writer.write("after");
    let Err(Failure::Audit(AuditFailure::Followed { fault, .. })) = step(&mut follower) else {
        panic!("followed over a gap");
    };
    assert!(matches!(
        fault,
        AuditFault::Sequence {
            expected: 2,
            found: 3,
            ..
        }
    ));
}

#[test]
fn half_of_an_entry_is_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = Writer::new(folder.path());
    writer.write("before");
    let mut follower = tail(folder.path(), 10).unwrap().1;
    let entry = writer.bytes_of_next("whole");
    let (begin, end) = entry.split_at(20);
    writer.put(begin);
    assert!(step(&mut follower).unwrap().is_empty());
    writer.put(end);
    assert_eq!(step(&mut follower).unwrap(), ["whole"]);
    // What stays half is a fault, unless the next file says so.
    let (sequence, digest) = (writer.sequence, writer.digest);
    let torn = writer.bytes_of_next("torn");
    writer.put(&torn[..20]);
    let tries = (0..10).find(|_| step(&mut follower).is_err());
    assert!(tries.is_some());
    (writer.sequence, writer.digest) = (sequence, digest);
    writer.rotate();
    writer.write(&format!("{CUT_OFF}: file 1; began"));
    assert_eq!(step(&mut follower).unwrap().len(), 1);
}

proptest! {
    // A fault is looked at again, in case that vhsmd was writing: each case takes a while.
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whichever byte of whichever entry, and whatever it becomes.
    #[test]
    fn a_changed_byte_is_found_by_who_knows_the_head(
        reasons in proptest::collection::vec("[ -~]{0,200}", 1..12),
        rotations in proptest::collection::vec(any::<bool>(), 12),
        place in any::<prop::sample::Index>(),
        change in 1_u8..,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = Writer::new(folder.path());
        let mut ends = vec![];
        for (reason, rotates) in reasons.iter().zip(rotations) {
            if rotates && writer.at > MAGIC.len() {
                ends.push((writer.path(), writer.at));
                writer.rotate();
            }
            writer.write(reason);
        }
        ends.push((writer.path(), writer.at));
        let head = Some((writer.sequence, writer.digest));
        prop_assert!(verify(folder.path(), head).is_ok());
        let mut place = place.index(ends.iter().map(|(_, end)| end).sum());
        for (path, end) in ends {
            if place < end {
                let mut bytes = fs::read(&path).unwrap();
                bytes[place] ^= change;
                fs::write(&path, bytes).unwrap();
                break;
            }
            place -= end;
        }
        prop_assert!(matches!(verify(folder.path(), head), Err(Failure::Audit(_))));
    }
}
