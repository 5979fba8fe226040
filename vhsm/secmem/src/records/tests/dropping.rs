//! Whether a record that is dropped stays.

use super::KIND;
use crate::testing::{case, in_child, installed};
use crate::{Draft, Record, RecordId, keep_dropped_records, usage};
use std::panic::resume_unwind;

fn draft() -> Draft {
    Draft::new(KIND, RecordId([7; 16]), 8, 32).unwrap()
}

fn record() -> Record {
    draft().commit()
}

/// Whether the arena has more in it after `work`.
fn stays(work: impl FnOnce()) -> bool {
    let before = usage().records_used;
    work();
    usage().records_used > before
}

#[test]
fn a_dropped_record_stays_where_that_was_said_and_where_a_thread_panics() {
    if case().is_none() {
        let test = "a_dropped_record_stays_where_that_was_said_and_where_a_thread_panics";
        let status = in_child(&format!("records::tests::dropping::{test}"), "child");
        assert!(status.success());
        return;
    }
    installed();
    assert!(!stays(|| drop(record())));
    assert!(stays(|| {
        let record = record();
        let thread = std::thread::spawn(move || {
            let _record = record;
            resume_unwind(Box::new("with a record in hand"));
        });
        assert!(thread.join().is_err());
    }));
    keep_dropped_records(true);
    assert!(stays(|| drop(record())));
    assert!(!stays(|| drop(draft())));
    assert!(!stays(|| record().erase()));
    keep_dropped_records(false);
    assert!(!stays(|| drop(record())));
}
