//! The audit's files: what was changed, taken out or cut off is found, and named.

use crate::audit::*;
use crate::{KeyName, Operation, Status};

/// No hash, but it tells the cases here apart: every bit of every byte has a say.
fn mix(parts: &[&[u8]]) -> Digest {
    let mut state = 0xcbf2_9ce4_8422_2325u64;
    let mut digest = [0; 32];
    for (place, byte) in (0..).zip(parts.iter().copied().flatten()) {
        state = (state ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        digest[place % 32] ^= (state >> 32).to_le_bytes()[0];
    }
    digest[..8].copy_from_slice(&state.to_le_bytes());
    digest
}

fn entry(sequence: u64, previous: &Digest) -> AuditEntry<'_> {
    AuditEntry {
        sequence,
        boot_ms: 12_345,
        wall_secs: 1_700_000_000,
        kind: AuditKind::Denial,
        peer: Some(AuditPeer {
            uid: 1000,
            pid: 4242,
            unit: Some("web.service"),
        }),
        key: Some(KeyName::parse("app/sign").unwrap()),
        version: None,
        operation: Some(Operation::Sign),
        status: Status::Denied,
        request: Some(AuditRequest {
            connection: 7,
            request: 3,
        }),
        count: 1,
        reason: "no rule grants it",
        previous,
    }
}

/// A file of `count` entries, with where each begins.
fn file(count: u64) -> (Vec<u8>, Vec<usize>) {
    let mut bytes = MAGIC.to_vec();
    let mut starts = Vec::new();
    let mut previous = [0; 32];
    for sequence in 1..=count {
        let mut buffer = [0; ENTRY_HEAD_LEN + MAX_ENTRY_LEN];
        let len = entry(sequence, &previous).write(&mut buffer).unwrap();
        previous = chain(&previous, &buffer[ENTRY_HEAD_LEN..len], mix);
        starts.push(bytes.len());
        bytes.extend_from_slice(&buffer[..len]);
    }
    (bytes, starts)
}

fn fault(bytes: &[u8]) -> Option<AuditFault> {
    let mut file = match AuditFile::new(bytes, mix) {
        Ok(file) => file,
        Err(fault) => return Some(fault),
    };
    let found = file.by_ref().find_map(Result::err);
    assert!(file.next().is_none(), "nothing follows a fault");
    found
}

#[test]
fn a_file_gives_its_entries_and_where_the_next_one_goes() {
    let (mut bytes, _) = file(3);
    let end = bytes.len();
    // Set aside beforehand, so that the next entry cannot fail for want of room.
    bytes.extend_from_slice(&[0; 100]);
    let mut read = AuditFile::new(&bytes, mix).unwrap();
    let entries: Vec<Linked<'_>> = read.by_ref().map(Result::unwrap).collect();
    assert_eq!(entries.len(), 3);
    assert_eq!(entries[2].entry, entry(3, &entries[1].digest));
    assert_eq!(read.position(), end);
}

#[test]
fn an_entry_that_was_changed_or_taken_out_breaks_the_chain() {
    let (bytes, starts) = file(4);
    assert_eq!(fault(&bytes), None);
    let mut changed = bytes.clone();
    let at = starts[2] - 40;
    assert!(changed[at].is_ascii_alphabetic(), "in the second's reason");
    changed[at] ^= 1;
    assert_eq!(
        fault(&changed),
        Some(AuditFault::Chain {
            at: starts[2],
            sequence: 3
        })
    );
    let mut without = bytes[..starts[1]].to_vec();
    without.extend_from_slice(&bytes[starts[2]..]);
    assert_eq!(
        fault(&without),
        Some(AuditFault::Sequence {
            at: starts[1],
            expected: 2,
            found: 3
        })
    );
    // The rest of a file that was rotated is whole in itself.
    let mut later = MAGIC.to_vec();
    later.extend_from_slice(&bytes[starts[2]..]);
    assert_eq!(fault(&later), None);
}

#[test]
fn a_file_that_is_cut_off_or_none_is_named() {
    let (bytes, starts) = file(2);
    assert_eq!(
        fault(&bytes[..bytes.len() - 1]),
        Some(AuditFault::CutOff { at: starts[1] })
    );
    assert_eq!(
        fault(&bytes[..starts[1] + 4]),
        Some(AuditFault::CutOff { at: starts[1] })
    );
    assert_eq!(fault(b"NVAUDIT2"), Some(AuditFault::NotAnAudit));
    assert_eq!(fault(b""), Some(AuditFault::NotAnAudit));
    let mut long = MAGIC.to_vec();
    long.extend_from_slice(&[0xff; 8]);
    assert_eq!(
        fault(&long),
        Some(AuditFault::TooLong {
            at: 8,
            len: 0xffff_ffff
        })
    );
    let mut odd = MAGIC.to_vec();
    odd.extend_from_slice(&[0, 0, 0, 1, 0x80]);
    assert!(matches!(
        fault(&odd),
        Some(AuditFault::Malformed { at: 8, .. })
    ));
}

#[test]
fn the_longest_entry_fits() {
    let (name, unit, reason) = ("k".repeat(255), "u".repeat(255), "r".repeat(512));
    let mut longest = entry(u64::MAX, &[0xff; 32]);
    longest.key = Some(KeyName::parse(&name).unwrap());
    longest.peer = Some(AuditPeer {
        uid: u32::MAX,
        pid: u32::MAX,
        unit: Some(&unit),
    });
    longest.reason = &reason;
    let mut buffer = [0; ENTRY_HEAD_LEN + MAX_ENTRY_LEN];
    assert!(longest.write(&mut buffer).is_ok());
    assert!(longest.write(&mut buffer[..100]).is_err());
    assert!(longest.write(&mut buffer[..2]).is_err());
}

/// Three files of one chain, each with room left at its end; and where the entries of all end.
fn trail() -> Vec<Vec<u8>> {
    let (whole, mut starts) = file(9);
    starts.push(whole.len());
    let part = |from: usize, to: usize| {
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&whole[starts[from]..starts[to]]);
        bytes.extend_from_slice(&[0; 3]);
        bytes
    };
    vec![part(0, 4), part(4, 6), part(6, 9)]
}

fn verified(files: &[Vec<u8>]) -> Result<Verified, TrailFault> {
    let mut trail = Trail::new(mix);
    for file in files {
        trail.add(file, |_| ())?;
    }
    trail.finish()
}

#[test]
fn files_of_one_chain_are_verified_together() {
    let files = trail();
    let whole = verified(&files).unwrap();
    assert_eq!((whole.entries, whole.first), (9, Some(1)));
    assert_eq!(whole.head.unwrap().0, 9);
    // Older ones that were rotated out leave the rest as it is.
    let rest = verified(&files[1..]).unwrap();
    assert_eq!((rest.entries, rest.first), (5, Some(5)));
    assert_eq!(rest.head, whole.head);
}

#[test]
fn a_missing_a_doubled_and_a_misplaced_file_are_named() {
    let [one, two, three] = trail().try_into().unwrap();
    let fault = |files: &[&Vec<u8>]| {
        let files: Vec<Vec<u8>> = files.iter().copied().cloned().collect();
        verified(&files).unwrap_err()
    };
    let missing = TrailFault::Missing {
        file: 1,
        last: 4,
        found: 7,
    };
    assert_eq!(fault(&[&one, &three]), missing);
    let out_of_order = |file, last, found| TrailFault::OutOfOrder { file, last, found };
    assert_eq!(fault(&[&one, &two, &two, &three]), out_of_order(2, 6, 5));
    assert_eq!(fault(&[&two, &one, &three]), out_of_order(1, 6, 1));
    assert_eq!(fault(&[&two, &one, &three]).file(), 1);
}

#[test]
fn a_file_that_is_spliced_in_is_named() {
    let [one, two, three] = trail().try_into().unwrap();
    // Of a chain with the same numbers, whose first entry was another.
    let mut other = MAGIC.to_vec();
    let mut previous = [7; 32];
    for sequence in 5..=6 {
        let mut buffer = [0; ENTRY_HEAD_LEN + MAX_ENTRY_LEN];
        let len = entry(sequence, &previous).write(&mut buffer).unwrap();
        previous = chain(&previous, &buffer[ENTRY_HEAD_LEN..len], mix);
        other.extend_from_slice(&buffer[..len]);
    }
    let foreign = |file, sequence| Err(TrailFault::Foreign { file, sequence });
    let spliced = [one.clone(), other.clone(), three.clone()];
    assert_eq!(verified(&spliced), foreign(1, 5));
    // The other way round as well: what was ours does not follow from it.
    assert_eq!(verified(&[other, three]), foreign(1, 7));
    // Nothing comes before the first entry.
    let mut first = MAGIC.to_vec();
    let mut buffer = [0; ENTRY_HEAD_LEN + MAX_ENTRY_LEN];
    let len = entry(1, &[1; 32]).write(&mut buffer).unwrap();
    first.extend_from_slice(&buffer[..len]);
    assert_eq!(verified(&[first]), foreign(0, 1));
    assert!(verified(&[one, two]).is_ok());
}

#[test]
fn entries_in_another_order_or_cut_out_are_named() {
    let (bytes, starts) = file(4);
    let mut swapped = bytes[..starts[1]].to_vec();
    swapped.extend_from_slice(&bytes[starts[2]..starts[3]]);
    swapped.extend_from_slice(&bytes[starts[1]..starts[2]]);
    swapped.extend_from_slice(&bytes[starts[3]..]);
    let sequence = AuditFault::Sequence {
        at: starts[1],
        expected: 2,
        found: 3,
    };
    assert_eq!(fault(&swapped), Some(sequence));
    let in_a_trail = Err(TrailFault::File {
        file: 0,
        fault: sequence,
    });
    assert_eq!(verified(&[swapped]), in_a_trail);
}

#[test]
fn a_file_is_read_on_from_where_it_was_left() {
    let (bytes, starts) = file(5);
    let mut first = AuditFile::new(&bytes[..starts[3]], mix).unwrap();
    assert_eq!(first.by_ref().filter_map(Result::ok).count(), 3);
    let (at, head) = (first.position(), first.head());
    assert_eq!(at, starts[3]);
    let rest = AuditFile::resume(&bytes, at, head, mix);
    let numbers: Vec<u64> = rest.map(|linked| linked.unwrap().entry.sequence).collect();
    assert_eq!(numbers, [4, 5]);
    // What was read before decides what may follow.
    let mut other = AuditFile::resume(&bytes, at, Some((3, [0; 32])), mix);
    let sequence = 4;
    assert_eq!(other.next(), Some(Err(AuditFault::Chain { at, sequence })));
    let mut later = AuditFile::resume(&bytes, at, Some((9, [0; 32])), mix);
    assert!(matches!(
        later.next(),
        Some(Err(AuditFault::Sequence { .. }))
    ));
    // Past the end there is nothing, and no fault.
    assert!(
        AuditFile::resume(&bytes, bytes.len() + 9, None, mix)
            .next()
            .is_none()
    );
}

#[test]
fn any_byte_that_is_changed_or_taken_out_is_found_by_who_knows_the_head() {
    let files = trail();
    let head = verified(&files).unwrap().head;
    for (number, file) in files.iter().enumerate() {
        for at in 0..file.len() - 3 {
            let mut flipped = files.clone();
            flipped[number][at] ^= 0x01;
            let mut without = files.clone();
            without[number].remove(at);
            for changed in [flipped, without] {
                let found = verified(&changed);
                assert!(
                    found.is_err() || found.unwrap().head != head,
                    "{number} {at}"
                );
            }
        }
    }
}

/// The last file cut in its last entry, and one that goes on after it.
fn cut_off(reason: &'static str) -> [Vec<u8>; 2] {
    let (mut whole, starts) = file(3);
    let mut read = AuditFile::new(&whole, mix).unwrap();
    let second = read.nth(1).unwrap().unwrap().digest;
    let next = AuditEntry {
        kind: AuditKind::Start,
        reason,
        ..entry(3, &second)
    };
    let mut buffer = [0; ENTRY_HEAD_LEN + MAX_ENTRY_LEN];
    let len = next.write(&mut buffer).unwrap();
    let mut after = MAGIC.to_vec();
    after.extend_from_slice(&buffer[..len]);
    let whole_len = whole.len();
    whole.truncate(starts[2] + 10);
    whole.resize(whole_len + 5000, 0);
    [whole, after]
}

#[test]
fn a_torn_end_counts_once_an_entry_says_so() {
    let files = cut_off(CUT_OFF);
    assert!(matches!(
        verified(&files[..1]),
        Err(TrailFault::CutOff { file: 0, .. })
    ));
    assert_eq!(verified(&files).unwrap().entries, 3);
    let silent = cut_off("began");
    assert!(matches!(
        verified(&silent),
        Err(TrailFault::CutOff { file: 0, .. })
    ));
}

#[test]
fn what_goes_on_after_a_fault_is_no_torn_end() {
    let mut files = cut_off(CUT_OFF);
    *files[0].last_mut().unwrap() = 1;
    assert!(matches!(
        verified(&files),
        Err(TrailFault::File { file: 0, .. })
    ));
}
