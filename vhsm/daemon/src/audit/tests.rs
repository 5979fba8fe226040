use super::*;
use nitride_protocol::audit::{CUT_OFF, Trail, TrailFault, Verified};
use nitride_protocol::{Operation, Status};
use nitride_secmem::crypto::sha256;
use nitride_vault::audit::UsePeer;
use std::fs;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::Path;
use tempfile::TempDir;

const NOW: Now = Now {
    boot_ms: 1000,
    wall_secs: 1_700_000_000,
};
const FILE_LEN: usize = 256 << 10;

fn settings(folder: &Path, full: WhenFull) -> AuditSettings {
    AuditSettings {
        folder: folder.to_owned(),
        full,
        files: 3,
        file_len: FILE_LEN,
        sync: false,
    }
}

fn open(folder: &TempDir, full: WhenFull) -> Audit {
    Audit::open(Some(&settings(folder.path(), full)), NOW).unwrap()
}

fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "audit"))
        .collect();
    files.sort();
    files
}

/// What holds of the files, and the reasons of all entries.
fn verified(folder: &Path) -> Result<(Verified, Vec<String>), TrailFault> {
    let mut trail = Trail::new(sha256);
    let mut reasons = Vec::new();
    for path in files(folder) {
        let seen = |linked: &nitride_protocol::audit::Linked<'_>| {
            reasons.push(linked.entry.reason.to_owned());
        };
        trail.add(&fs::read(path).unwrap(), seen)?;
    }
    Ok((trail.finish()?, reasons))
}

fn act(audit: &Audit, reason: &str) -> Result<(), Unaudited> {
    let mut reserved = audit.set_aside(1)?;
    let event = Event::own(AuditKind::Lifecycle, reason);
    audit.record(&event, NOW, &mut reserved);
    Ok(())
}

/// In the way of the next spare, as a full disk is: root may write where nobody else may.
fn block(folder: &Path) {
    let spare = folder.join("spare");
    if spare.is_file() {
        fs::remove_file(&spare).unwrap();
    }
    fs::create_dir(&spare).unwrap();
    fs::write(spare.join("full"), "").unwrap();
}

fn unblock(folder: &Path) {
    fs::remove_dir_all(folder.join("spare")).unwrap();
}

#[test]
fn the_chain_goes_on_over_a_restart_in_the_same_file() {
    let folder = tempfile::tempdir().unwrap();
    let first = open(&folder, WhenFull::Refuse);
    act(&first, "one").unwrap();
    let head = first.head();
    drop(first);
    let second = open(&folder, WhenFull::Refuse);
    assert_eq!(second.head(), head);
    act(&second, "two").unwrap();
    second.close(NOW);
    let (found, reasons) = verified(folder.path()).unwrap();
    assert_eq!(found.entries, 3);
    assert_eq!(found.head.unwrap().1, *second.head().digest());
    assert_eq!(reasons[..2], ["one", "two"]);
    assert_eq!(files(folder.path()).len(), 1);
}

#[test]
fn files_are_for_vhsmd_alone_and_one_vhsmd_writes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit");
    let settings = settings(&path, WhenFull::Refuse);
    let _audit = Audit::open(Some(&settings), NOW).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&path), 0o700);
    for entry in fs::read_dir(&path).unwrap() {
        assert_eq!(mode(&entry.unwrap().path()), 0o600);
    }
    let second = Audit::open(Some(&settings), NOW);
    assert!(matches!(second, Err(FolderError::Taken { .. })));
}

#[test]
fn files_rotate_within_their_bound_and_the_chain_with_them() {
    let folder = tempfile::tempdir().unwrap();
    let audit = open(&folder, WhenFull::Refuse);
    let reason = "x".repeat(400);
    for _ in 0..3000 {
        act(&audit, &reason).unwrap();
    }
    let (found, _) = verified(folder.path()).unwrap();
    assert!(found.first.unwrap() > 1);
    assert_eq!(found.head.unwrap().0, 3000);
    // Two that are written and the spare, and each as long as it was from the beginning.
    assert_eq!(files(folder.path()).len(), 2);
    for path in files(folder.path()) {
        assert_eq!(fs::metadata(path).unwrap().len(), FILE_LEN as u64);
    }
}

#[test]
fn a_torn_end_is_recorded_and_breaks_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let first = open(&folder, WhenFull::Refuse);
    for number in 0..5 {
        act(&first, &format!("number {number}")).unwrap();
    }
    let at = first.sink().unwrap().end();
    drop(first);
    // Half of a sixth entry.
    let torn = fs::OpenOptions::new()
        .write(true)
        .open(&files(folder.path())[0])
        .unwrap();
    torn.write_all_at(&[0, 0, 0, 200, 0x8d, 6], at).unwrap();
    assert!(matches!(
        verified(folder.path()),
        Err(TrailFault::CutOff { .. })
    ));
    let second = open(&folder, WhenFull::Refuse);
    act(&second, "after").unwrap();
    let (found, reasons) = verified(folder.path()).unwrap();
    assert_eq!(found.entries, 6);
    assert!(reasons[5].starts_with(CUT_OFF), "{}", reasons[5]);
    assert!(reasons[5].ends_with("; after"));
    assert_eq!(files(folder.path()).len(), 2);
}

#[test]
fn a_full_disk_refuses_the_act_before_it_is_done() {
    let folder = tempfile::tempdir().unwrap();
    let audit = open(&folder, WhenFull::Refuse);
    block(folder.path());
    // The spare is gone with its file; what is left is the current one.
    audit.sink().unwrap().forget_spare();
    let mut acts = 0_u64;
    while act(&audit, &"x".repeat(400)).is_ok() {
        acts += 1;
        assert!(acts < 10_000, "never full");
    }
    audit.make_room(NOW);
    assert!(audit.warning().is_some());
    assert_eq!(audit.may_add_up(), Err(Unaudited));
    assert_eq!(verified(folder.path()).unwrap().0.entries, acts);
    unblock(folder.path());
    audit.make_room(NOW);
    assert_eq!(audit.may_add_up(), Ok(()));
    assert_eq!(audit.warning(), None);
    act(&audit, "again").unwrap();
    assert_eq!(audit.figures().lost(), 0);
    assert_eq!(verified(folder.path()).unwrap().0.entries, acts + 1);
}

#[test]
fn a_full_disk_that_is_to_be_gone_on_with_is_told_of_later() {
    let folder = tempfile::tempdir().unwrap();
    let audit = open(&folder, WhenFull::Continue);
    block(folder.path());
    audit.sink().unwrap().forget_spare();
    let acts = 2000;
    for _ in 0..acts {
        act(&audit, &"x".repeat(400)).unwrap();
    }
    let lost = audit.figures().lost();
    assert!(lost > 0);
    unblock(folder.path());
    audit.make_room(NOW);
    act(&audit, "again").unwrap();
    let (found, reasons) = verified(folder.path()).unwrap();
    assert_eq!(found.entries, acts - lost + 2);
    assert!(reasons.iter().any(|reason| reason.contains("no room")));
}

#[test]
fn room_that_was_set_aside_is_there_when_the_disk_has_become_full() {
    let folder = tempfile::tempdir().unwrap();
    let audit = open(&folder, WhenFull::Refuse);
    block(folder.path());
    audit.sink().unwrap().forget_spare();
    let mut under_way: Vec<Reserved<'_>> = Vec::new();
    while let Ok(reserved) = audit.set_aside(1) {
        under_way.push(reserved);
    }
    let longest = "x".repeat(10_000);
    let acts = under_way.len() as u64;
    assert!(acts > 50);
    for mut reserved in under_way {
        let event = Event::own(AuditKind::Lifecycle, &longest);
        audit.record(&event, NOW, &mut reserved);
    }
    assert_eq!(audit.figures().lost(), 0);
    assert_eq!(verified(folder.path()).unwrap().0.entries, acts);
}

#[test]
fn an_act_that_was_not_done_gives_its_room_back() {
    let folder = tempfile::tempdir().unwrap();
    let audit = open(&folder, WhenFull::Refuse);
    for _ in 0..100_000 {
        drop(audit.set_aside(1).unwrap());
    }
}

#[test]
fn denials_and_uses_are_written_when_their_second_is_over() {
    let folder = tempfile::tempdir().unwrap();
    let audit = open(&folder, WhenFull::Refuse);
    let denied = Event {
        peer: Some(AuditPeer {
            uid: 7,
            pid: 8,
            unit: None,
        }),
        status: Status::Denied,
        operation: Some(Operation::Sign),
        ..Event::own(AuditKind::Denial, "no rule")
    };
    for _ in 0..1000 {
        audit.denied(&denied, NOW);
    }
    assert_eq!(verified(folder.path()).unwrap().0.entries, 1);
    let mut uses = Uses::default();
    let used = Use {
        peer: Arc::new(UsePeer {
            uid: 7,
            pid: 8,
            unit: None,
        }),
        key: None,
        version: None,
        operation: Operation::Sign,
        status: Status::Ok,
    };
    uses.add(&used, 5);
    audit.tick(uses, NOW);
    let mut trail = Trail::new(sha256);
    let mut counts = Vec::new();
    let bytes = fs::read(&files(folder.path())[0]).unwrap();
    let seen = |linked: &nitride_protocol::audit::Linked<'_>| {
        counts.push((linked.entry.kind, linked.entry.count));
    };
    trail.add(&bytes, seen).unwrap();
    let expected = [
        (AuditKind::Denial, 1),
        (AuditKind::Denial, 999),
        (AuditKind::Uses, 5),
    ];
    assert_eq!(counts, expected);
}

#[test]
fn without_files_the_status_says_so() {
    let audit = Audit::open(None, NOW).unwrap();
    assert!(audit.warning().unwrap().contains("[audit]"));
    act(&audit, "one").unwrap();
    assert_eq!(audit.figures().lost(), 0);
}
