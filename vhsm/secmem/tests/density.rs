//! What a record costs, in the arena and around it, at 100,000 small ones.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use nitride_secmem::{
    ArenaFull, ArenaSizes, BackingChoice, Draft, RecordId, RecordKind, install, usage,
};

const MIB: usize = 1 << 20;

/// Resident bytes of this process.
fn resident_len() -> usize {
    let told = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = told.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4096
}

#[test]
fn a_small_record_takes_less_than_300_bytes_in_all() {
    let sizes = ArenaSizes {
        records_len: 4 * MIB,
        records_max_len: 64 * MIB,
        heap_len: MIB,
    };
    // A limit of locked memory lower than 68 MiB ends the growth earlier.
    let _installed = install(sizes, BackingChoice::Best, Vec::new()).unwrap();
    let (before, mapped_before) = (resident_len(), usage().records_mapped);
    let mut records = Vec::with_capacity(100_000);
    for number in 0..100_000_u128 {
        match Draft::new(RecordKind(1), RecordId(number.to_le_bytes()), 100, 32) {
            Ok(draft) => records.push(draft.commit()),
            Err(ArenaFull) => break,
        }
    }
    let count = records.len();
    let used = usage().records_used;
    // The first segment was resident before.
    let resident = resident_len() - before + mapped_before;
    println!(
        "{count} records: {} bytes used, {} mapped, {} resident each",
        used / count,
        usage().records_mapped / count,
        resident / count,
    );
    assert!(count >= 10_000);
    assert!(used <= count * 256, "the slots");
    assert!(
        resident <= count * 300 + 4 * MIB,
        "with all books, and the last segment in part"
    );
    records.truncate(count / 2);
    assert_eq!(usage().records_used, count / 2 * 256);
}
