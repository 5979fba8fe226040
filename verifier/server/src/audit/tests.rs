use super::*;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use trail::{Trail, TrailFault};

fn settings(folder: &Path) -> AuditSettings {
    AuditSettings {
        folder: folder.join("audit"),
        files: 3,
        file_len: 2000,
        sync: Sync::Entry,
        full: WhenFull::Refuse,
    }
}

fn release(what: &str) -> Event<'_> {
    Event {
        what: what.into(),
        ..Event::own(Kind::Release, "of the test")
    }
}

fn record(audit: &Audit, event: &Event<'_>) -> Result<bool, Unaudited> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(audit.record(event, 1))
}

/// Kind, what and count of every entry that is there.
fn entries(folder: &Path) -> Result<Vec<(Kind, String, u64)>, TrailFault> {
    let mut trail = Trail::default();
    let mut entries = Vec::new();
    for path in folder::files(&folder.join("audit")).unwrap() {
        trail.read(&folder::read(&path).unwrap(), |entry, _| {
            entries.push((entry.kind, entry.what.to_string(), entry.count));
        })?;
    }
    trail.finish()?;
    Ok(entries)
}

#[test]
fn a_chain_goes_on_after_a_start_and_its_files_are_bounded() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path());
    let mut head = None;
    for _ in 0..4 {
        let audit = Audit::open(Some(&settings), 1).unwrap();
        assert!(head.is_none_or(|head: Head| audit.head().unwrap().sequence == head.sequence + 1));
        for number in 0..20 {
            record(&audit, &release(&number.to_string())).unwrap();
        }
        audit.close(2);
        head = audit.head();
    }
    let there = entries(folder.path()).unwrap();
    assert_eq!(there.last().unwrap().0, Kind::Stop);
    let files = folder::files(&settings.folder).unwrap();
    assert_eq!(files.len(), 3);
    for path in files {
        let metadata = fs::metadata(path).unwrap();
        assert!(metadata.len() <= 2000);
        assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
    }
}

#[test]
fn what_is_released_again_to_the_same_key_is_counted_and_rolls_nothing_out() {
    let folder = tempfile::tempdir().unwrap();
    let audit = Audit::open(Some(&settings(folder.path())), 1).unwrap();
    let of = |who: &'static str, what: &'static str| Event {
        who: who.into(),
        ..release(what)
    };
    let admin = Event {
        what: "by an admin".into(),
        ..Event::own(Kind::Admin, "")
    };
    assert!(record(&audit, &admin).unwrap());
    for number in 0..1000 {
        assert_eq!(record(&audit, &of("one", "a/b/c")).unwrap(), number == 0);
        // Another key, another resource and what is no release are themselves.
        if number == 500 {
            assert!(record(&audit, &of("two", "a/b/c")).unwrap());
            assert!(record(&audit, &of("one", "a/b/d")).unwrap());
            assert!(record(&audit, &admin).unwrap());
            assert!(record(&audit, &admin).unwrap());
        }
    }
    audit.tick(2);
    assert!(record(&audit, &of("one", "a/b/c")).unwrap());
    let there = entries(folder.path()).unwrap();
    let what = |kind, what: &str, count| (kind, what.to_owned(), count);
    assert_eq!(
        there,
        [
            what(Kind::Start, "", 1),
            what(Kind::Admin, "by an admin", 1),
            what(Kind::Release, "a/b/c", 1),
            what(Kind::Release, "a/b/c", 1),
            what(Kind::Release, "a/b/d", 1),
            what(Kind::Admin, "by an admin", 1),
            what(Kind::Admin, "by an admin", 1),
            what(Kind::Release, "a/b/c", 999),
            what(Kind::Release, "a/b/c", 1),
        ]
    );
}

/// What has its entry in this second is counted only while entries can be written at all.
#[test]
fn nothing_is_released_again_while_the_audit_is_full() {
    let folder = tempfile::tempdir().unwrap();
    let audit = Audit::open(Some(&settings(folder.path())), 1).unwrap();
    record(&audit, &release("a/b/c")).unwrap();
    audit.set_full(true);
    record(&audit, &release("a/b/d")).unwrap_err();
    record(&audit, &release("a/b/c")).unwrap_err();
    audit.set_full(false);
    record(&audit, &release("a/b/c")).unwrap();
}

#[test]
fn two_services_do_not_share_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path());
    let _one = Audit::open(Some(&settings), 1).unwrap();
    assert!(matches!(
        Audit::open(Some(&settings), 1),
        Err(FolderError::Taken { .. })
    ));
}

#[test]
fn a_line_that_a_crash_cut_off_is_told_and_a_changed_one_is_not_followed() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path());
    drop(Audit::open(Some(&settings), 1).unwrap());
    let first = folder::files(&settings.folder).unwrap().remove(0);
    let whole = fs::read(&first).unwrap();
    fs::write(&first, [whole.as_slice(), b"{\"seq"].concat()).unwrap();
    assert!(entries(folder.path()).is_err());
    drop(Audit::open(Some(&settings), 1).unwrap());
    assert_eq!(entries(folder.path()).unwrap().len(), 2);
    drop(Audit::open(Some(&settings), 1).unwrap());
    assert_eq!(entries(folder.path()).unwrap().len(), 3);

    let newest = folder::files(&settings.folder).unwrap().pop().unwrap();
    let mut changed = fs::read(&newest).unwrap();
    changed[40] ^= 1;
    fs::write(&newest, changed).unwrap();
    assert!(matches!(
        Audit::open(Some(&settings), 1),
        Err(FolderError::Broken { .. })
    ));
}

/// A second crash, between the making of the next file and its first entry, or in that entry.
#[test]
fn a_crash_after_a_crash_leaves_a_trail_that_is_followed() {
    for between in [b"".as_slice(), b"{\"seq"] {
        let folder = tempfile::tempdir().unwrap();
        let settings = settings(folder.path());
        drop(Audit::open(Some(&settings), 1).unwrap());
        let first = folder::files(&settings.folder).unwrap().remove(0);
        let whole = fs::read(&first).unwrap();
        fs::write(&first, [whole.as_slice(), b"{\"seq"].concat()).unwrap();
        fs::write(settings.folder.join("0000000002.audit"), between).unwrap();
        for started in 2..4 {
            drop(Audit::open(Some(&settings), 1).unwrap());
            assert_eq!(entries(folder.path()).unwrap().len(), started);
        }
        // What is empty is used, so that crashes do not push out what is there.
        let files = folder::files(&settings.folder).unwrap().len();
        assert_eq!(files, if between.is_empty() { 2 } else { 3 });
    }
}

#[test]
fn without_room_nothing_is_done_and_what_is_missing_is_said_later() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path());
    let audit = Audit::open(Some(&settings), 1).unwrap();
    audit.set_full(true);
    assert!(record(&audit, &release("unseen")).is_err());
    audit.refused(&release("refused"), 1);
    assert_eq!(audit.lost(), 2);
    audit.set_full(false);
    record(&audit, &release("seen")).unwrap();
    let there = entries(folder.path()).unwrap();
    let told: Vec<_> = there
        .iter()
        .map(|(kind, what, count)| (*kind, what.as_str(), *count))
        .collect();
    assert_eq!(
        told,
        [
            (Kind::Start, "", 1),
            (Kind::Loss, "", 2),
            (Kind::Release, "seen", 1)
        ]
    );
}

#[test]
fn what_is_not_on_the_disk_is_missing_until_that_is_said_in_another_file() {
    let folder = tempfile::tempdir().unwrap();
    let settings = AuditSettings {
        sync: Sync::Second,
        ..settings(folder.path())
    };
    let audit = Audit::open(Some(&settings), 1).unwrap();
    record(&audit, &release("one")).unwrap();
    audit.break_file();
    audit.tick(1);
    assert!(audit.is_refusing() && audit.lost() == 1);
    record(&audit, &release("two")).unwrap();
    assert!(!audit.is_refusing());
    let kinds: Vec<Kind> = entries(folder.path())
        .unwrap()
        .iter()
        .map(|entry| entry.0)
        .collect();
    assert_eq!(
        kinds,
        [Kind::Start, Kind::Release, Kind::Loss, Kind::Release]
    );
    assert_eq!(folder::files(&settings.folder).unwrap().len(), 2);
}

#[test]
fn a_service_that_is_told_to_serves_without_entries() {
    let folder = tempfile::tempdir().unwrap();
    let settings = AuditSettings {
        full: WhenFull::Serve,
        ..settings(folder.path())
    };
    let audit = Audit::open(Some(&settings), 1).unwrap();
    audit.set_full(true);
    assert!(record(&audit, &release("unseen")).is_ok());
    assert_eq!(audit.lost(), 1);
}

#[test]
fn refusals_of_one_second_are_one_entry_and_a_count() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path());
    let audit = Audit::open(Some(&settings), 1).unwrap();
    let refused = Event {
        outcome: "PolicyDeny".into(),
        ..Event::own(Kind::Refusal, "no rule")
    };
    for _ in 0..100 {
        audit.refused(&refused, 1);
    }
    audit.tick(1);
    let there = entries(folder.path()).unwrap();
    let counts: Vec<u64> = there.iter().map(|(_, _, count)| *count).collect();
    assert_eq!(counts, [1, 1, 99]);
}

#[test]
fn entries_of_many_threads_are_one_chain() {
    let folder = tempfile::tempdir().unwrap();
    let settings = AuditSettings {
        files: 1000,
        ..settings(folder.path())
    };
    let audit = Audit::open(Some(&settings), 1).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let audit = &audit;
            scope.spawn(move || {
                for number in 0..25 {
                    record(audit, &release(&format!("{thread}/{number}"))).unwrap();
                }
            });
        }
    });
    assert_eq!(entries(folder.path()).unwrap().len(), 101);
}
