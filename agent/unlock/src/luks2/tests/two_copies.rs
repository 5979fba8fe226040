//! Two copies that do not say the same.

use super::*;

fn of(primary: Vec<u8>, backup: Vec<u8>) -> Vec<u8> {
    [primary, backup].concat()
}

fn standing(bytes: &[u8]) -> Standing {
    parse(bytes).unwrap().standing()
}

/// A slot less, as after luksKillSlot.
fn later() -> String {
    let begin = JSON.find(",\n    \"1\":{\"type\":\"luks2\"").unwrap();
    let end = JSON.find("\n  },\n  \"tokens\"").unwrap();
    format!("{}{}", &JSON[..begin], &JSON[end..]).replace("[\"0\",\"1\"]", "[\"0\"]")
}

#[test]
fn an_update_that_was_cut_off_counts_where_it_is_newer() {
    let (primary, backup) = (Which::Primary, Which::Backup);
    let later = later();
    let bytes = of(copy(primary, &later, 4), copy(backup, JSON, 3));
    assert_eq!(standing(&bytes), Standing::CutOff { good: primary });
    assert_eq!(parse(&bytes).unwrap().keyslots().len(), 1);
    let bytes = of(copy(primary, JSON, 3), copy(backup, &later, 4));
    assert_eq!(standing(&bytes), Standing::CutOff { good: backup });
    assert_eq!(parse(&bytes).unwrap().keyslots().len(), 1);
}

#[test]
fn a_copy_that_was_torn_is_not_read() {
    let whole = both(JSON);
    for (at, good) in [(0, Which::Backup), (16_384, Which::Primary)] {
        // As cryptsetup does it: the binary part without its checksum, then the JSON, and then the
        // binary part again.
        let mut bytes = whole.clone();
        bytes[at + 448..at + 512].fill(0);
        assert_eq!(standing(&bytes), Standing::CutOff { good });
        bytes[at + BINARY_LEN..at + 9000].fill(b'x');
        assert_eq!(standing(&bytes), Standing::CutOff { good });
    }
    let mut bytes = whole;
    bytes[448] ^= 1;
    bytes[16_384 + 448] ^= 1;
    assert_eq!(parse(&bytes), Err(HeaderFault::Checksum));
}

#[test]
fn what_is_repaired_is_whole_and_says_the_same() {
    let (primary, backup) = (Which::Primary, Which::Backup);
    let later = later();
    let mut torn = both(JSON);
    torn[448] ^= 1;
    for bytes in [
        both(JSON),
        torn,
        of(copy(primary, &later, 4), copy(backup, JSON, 3)),
        of(copy(primary, JSON, 3), copy(backup, &later, 4)),
    ] {
        let header = parse(&bytes).unwrap();
        let repaired = repaired(&bytes, &header);
        let again = parse(&repaired).unwrap();
        assert_eq!(again.standing(), Standing::Whole);
        assert_eq!(again.keyslots(), header.keyslots());
        assert_eq!(again.sequence(), header.sequence());
    }
}

#[test]
fn copies_that_disagree_on_more_than_slots_are_refused() {
    let (primary, backup) = (Which::Primary, Which::Backup);
    let changed = |from: &str, to: &str| {
        let json = JSON.replace(from, to);
        assert_ne!(json, JSON);
        of(copy(primary, &json, 4), copy(backup, JSON, 3))
    };
    let mut other_uuid = copy(backup, JSON, 3);
    other_uuid[168] = b'0';
    binary::seal(&mut other_uuid);
    let mut other_label = copy(backup, JSON, 3);
    other_label[24] = b'D';
    binary::seal(&mut other_label);
    for (what, bytes) in [
        ("the UUID", of(copy(primary, JSON, 3), other_uuid)),
        ("the label", of(copy(primary, JSON, 3), other_label)),
        (
            "the JSON, and neither is newer",
            of(copy(primary, &later(), 3), copy(backup, JSON, 3)),
        ),
        (
            "the sequence number, by more than one update",
            of(copy(primary, JSON, 5), copy(backup, JSON, 3)),
        ),
        (
            "the segment",
            changed("\"sector_size\":4096", "\"sector_size\":512"),
        ),
        (
            "the configuration",
            changed(
                "\"16744448\"",
                "\"16744448\",\"flags\":[\"allow-discards\"]",
            ),
        ),
        ("the digest", changed("UkyRvH", "AkyRvH")),
        (
            "the digest",
            changed("\"segments\":[\"0\"]", "\"segments\":[]"),
        ),
    ] {
        assert_eq!(parse(&bytes), Err(HeaderFault::CopiesDisagree { what }));
    }
}

#[test]
fn a_hostile_older_copy_is_refused_as_well() {
    let null = JSON.replace("\"type\":\"crypt\"", "\"type\":\"linear\"");
    let bytes = of(copy(Which::Primary, JSON, 4), copy(Which::Backup, &null, 3));
    assert_eq!(parse(&bytes).unwrap_err().name(), "segment-type");
}

/// What is written where, in the order in which cryptsetup updates a header: each copy's binary part
/// without its checksum, its JSON, and its binary part with the checksum.
fn writes(order: [Which; 2]) -> Vec<(usize, Vec<u8>)> {
    let mut writes = Vec::new();
    for which in order {
        let at = match which {
            Which::Primary => 0,
            Which::Backup => 16_384,
        };
        let copy = copy(which, &later(), 4);
        let mut unsealed = copy[..BINARY_LEN].to_vec();
        unsealed[448..512].fill(0);
        writes.push((at, unsealed));
        writes.push((at + BINARY_LEN, copy[BINARY_LEN..].to_vec()));
        writes.push((at, copy[..BINARY_LEN].to_vec()));
    }
    writes
}

/// The header after so many bytes of an update.
fn cut_off(order: [Which; 2], mut bytes_left: usize) -> Vec<u8> {
    let mut header = both(JSON);
    for (at, bytes) in writes(order) {
        let len = bytes.len().min(bytes_left);
        header[at..at + len].copy_from_slice(&bytes[..len]);
        bytes_left -= len;
    }
    header
}

/// Bytes that an update writes.
const UPDATE_LEN: usize = 2 * (16_384 + BINARY_LEN);

proptest! {
    #[test]
    fn an_update_that_is_cut_off_at_any_byte_leaves_the_slots_before_or_after_it(
        cut in 0..=UPDATE_LEN, primary_first: bool,
    ) {
        let order = match primary_first {
            true => [Which::Primary, Which::Backup],
            false => [Which::Backup, Which::Primary],
        };
        let bytes = cut_off(order, cut);
        let header = parse(&bytes).unwrap();
        prop_assert!(matches!(header.keyslots().len(), 1 | 2));
        let repaired = parse(&repaired(&bytes, &header)).unwrap();
        prop_assert_eq!(repaired.standing(), Standing::Whole);
        prop_assert_eq!(repaired.keyslots(), header.keyslots());
        prop_assert!(CheckedHeader::of(repaired, DEVICE_LEN, &any_volume()).is_ok());
    }
}

#[test]
fn an_update_that_went_through_is_whole() {
    for order in [
        [Which::Primary, Which::Backup],
        [Which::Backup, Which::Primary],
    ] {
        let header = parse(&cut_off(order, UPDATE_LEN)).unwrap();
        assert_eq!((header.standing(), header.sequence()), (Standing::Whole, 4));
        assert_eq!(header.keyslots().len(), 1);
        let before = parse(&cut_off(order, 0)).unwrap();
        assert_eq!((before.standing(), before.sequence()), (Standing::Whole, 3));
    }
}
