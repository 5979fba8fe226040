use super::*;
use crate::store::MAX_RESOURCE_LEN;
use std::os::unix::fs::{PermissionsExt, symlink};
use tempfile::TempDir;

fn store() -> (TempDir, DirStore) {
    let folder = tempfile::tempdir().unwrap();
    let key = Key32::draw(&mut KernelEntropy).unwrap();
    let store = DirStore::open(&folder.path().join("store"), key).unwrap();
    (folder, store)
}

fn path(text: &str) -> Place {
    Place::from(&ResourcePath::parse(text).unwrap())
}

fn record(text: &str) -> Place {
    Place::from(&RecordName::parse(text).unwrap())
}

fn read(store: &DirStore, text: &str) -> Option<Vec<u8>> {
    let stored = store.read_now(&path(text)).unwrap();
    stored.map(|stored| stored.bytes.to_vec())
}

fn put(store: &DirStore, place: &Place, bytes: &[u8]) -> Version {
    store.write_now(place, bytes, Expected::Any).unwrap()
}

fn list(store: &DirStore) -> Listing {
    store.list_now(Under::Resources).unwrap()
}

#[test]
fn a_resource_is_stored_replaced_and_deleted() {
    let (_folder, store) = store();
    assert_eq!(read(&store, "a/b/c"), None);
    put(&store, &path("a/b/c"), b"one");
    put(&store, &path("a/b/d"), b"other");
    put(&store, &path("a/b/c"), b"two");
    assert_eq!(read(&store, "a/b/c").as_deref(), Some(&b"two"[..]));
    let listing = list(&store);
    assert_eq!(listing.places, [path("a/b/c"), path("a/b/d")]);
    assert_eq!(listing.strangers, Vec::<String>::new());
    assert!(store.delete_now(&path("a/b/c"), Expected::Any).unwrap());
    assert!(!store.delete_now(&path("a/b/c"), Expected::Any).unwrap());
    assert_eq!(read(&store, "a/b/c"), None);
}

#[test]
fn a_store_of_another_user_is_not_opened() {
    if !geteuid().is_root() {
        eprintln!("left out: only root can give a folder away");
        return;
    }
    let (folder, _store) = store();
    let store = folder.path().join("store");
    std::os::unix::fs::chown(&store, Some(65534), None).unwrap();
    let key = Key32::draw(&mut KernelEntropy).unwrap();
    let error = DirStore::open(&store, key).unwrap_err();
    assert!(matches!(
        error,
        StoreError::OfAnotherUser { owner: 65534, .. }
    ));
    assert!(error.to_string().contains("--uid=65534"), "{error}");
}

#[test]
fn nobody_else_may_read_what_lies_there_and_it_is_not_in_the_clear() {
    let (folder, store) = store();
    put(&store, &path("a/b/c"), b"plaintext-to-look-for");
    let file = folder.path().join("store/a/b/c.sealed");
    assert_eq!(
        fs::metadata(&file).unwrap().permissions().mode() & 0o777,
        0o600
    );
    assert_eq!(
        fs::metadata(folder.path().join("store"))
            .unwrap()
            .permissions()
            .mode()
            & 0o777,
        0o700
    );
    let bytes = fs::read(&file).unwrap();
    assert!(!bytes.windows(9).any(|window| window == b"plaintext"));
}

#[test]
fn a_file_moved_to_another_name_is_not_authentic() {
    let (folder, store) = store();
    put(&store, &path("a/b/c"), b"one");
    fs::rename(
        folder.path().join("store/a/b/c.sealed"),
        folder.path().join("store/a/b/d.sealed"),
    )
    .unwrap();
    let error = store.read_now(&path("a/b/d")).unwrap_err();
    assert!(matches!(error, StoreError::NotAuthentic { .. }), "{error}");
}

#[test]
fn hostile_files_get_named_errors() {
    let (folder, store) = store();
    put(&store, &path("a/b/c"), b"one");
    let file = |tag: &str| folder.path().join(format!("store/a/b/{tag}.sealed"));
    fs::write(file("garbage"), b"garbage").unwrap();
    fs::write(file("empty"), b"").unwrap();
    fs::write(file("large"), vec![0; MAX_RESOURCE_LEN + OVERHEAD_LEN + 1]).unwrap();
    symlink(file("c"), file("link")).unwrap();
    fs::create_dir(file("folder")).unwrap();
    let read = |tag: &str| store.read_now(&path(&format!("a/b/{tag}"))).unwrap_err();
    assert!(matches!(read("garbage"), StoreError::UnknownForm { .. }));
    assert!(matches!(read("empty"), StoreError::UnknownForm { .. }));
    assert!(matches!(read("large"), StoreError::TooLarge { .. }));
    assert!(matches!(read("link"), StoreError::NotAFile { .. }));
    assert!(matches!(read("folder"), StoreError::NotAFile { .. }));
}

#[test]
fn strangers_in_the_folder_are_listed_apart() {
    let (folder, store) = store();
    put(&store, &path("a/b/c"), b"one");
    let root = folder.path().join("store");
    fs::write(root.join("notes"), b"").unwrap();
    fs::write(root.join("a/b/.new-0123"), b"").unwrap();
    symlink(folder.path(), root.join("link")).unwrap();
    let listing = list(&store);
    assert_eq!(listing.places, [path("a/b/c")]);
    assert_eq!(listing.strangers.len(), 3);
}

#[test]
fn what_is_too_large_or_too_long_changes_nothing() {
    let (_folder, store) = store();
    let error = store
        .write_now(
            &path("a/b/c"),
            &vec![0; MAX_RESOURCE_LEN + 1],
            Expected::Any,
        )
        .unwrap_err();
    assert!(matches!(error, StoreError::TooLarge { .. }));
    let long = format!("a/b/{}", "c".repeat(MAX_PART_LEN + 1));
    let error = store
        .write_now(&path(&long), b"one", Expected::Any)
        .unwrap_err();
    assert!(matches!(error, StoreError::NameTooLong { .. }));
    assert_eq!(list(&store), Listing::default());
}

#[test]
fn a_folder_that_is_a_link_is_refused() {
    let (folder, store) = store();
    symlink(folder.path(), folder.path().join("store/a")).unwrap();
    let error = store
        .write_now(&path("a/b/c"), b"one", Expected::Any)
        .unwrap_err();
    assert!(matches!(error, StoreError::Io { .. }), "{error}");
}

#[test]
fn versions_grow_and_do_not_come_again_after_a_deletion() {
    let (_folder, store) = store();
    let place = path("a/b/c");
    let first = put(&store, &place, b"one");
    let second = put(&store, &place, b"two");
    assert!(second > first);
    assert_eq!(store.read_now(&place).unwrap().unwrap().version, second);
    assert!(store.delete_now(&place, Expected::Version(second)).unwrap());
    let third = store.write_now(&place, b"one", Expected::Absent).unwrap();
    assert!(third > second);
}

#[test]
fn what_is_not_as_expected_is_not_changed() {
    let (_folder, store) = store();
    let place = path("a/b/c");
    let absent = Expected::Version(Version::new(1));
    let conflict = |error| assert!(matches!(error, StoreError::Conflict { .. }), "{error}");
    conflict(store.write_now(&place, b"x", absent).unwrap_err());
    conflict(store.delete_now(&place, absent).unwrap_err());
    let first = store.write_now(&place, b"one", Expected::Absent).unwrap();
    let second = store
        .write_now(&place, b"two", Expected::Version(first))
        .unwrap();
    for stale in [Expected::Absent, Expected::Version(first)] {
        conflict(store.write_now(&place, b"x", stale).unwrap_err());
        conflict(store.delete_now(&place, stale).unwrap_err());
    }
    assert_eq!(read(&store, "a/b/c").as_deref(), Some(&b"two"[..]));
    assert!(store.delete_now(&place, Expected::Version(second)).unwrap());
}

#[test]
fn of_many_writers_that_saw_the_same_one_is_taken() {
    let (folder, _) = store();
    let root = folder.path().join("shared");
    let place = path("a/b/counter");
    let open = || DirStore::open(&root, Key32::draw(&mut Fixed).unwrap()).unwrap();
    put(&open(), &place, &0_u32.to_be_bytes());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            // Each with a store of its own, as processes have: nothing but the file is shared.
            let (store, place) = (open(), &place);
            scope.spawn(move || {
                for _ in 0..25 {
                    loop {
                        let seen = store.read_now(place).unwrap().unwrap();
                        let count = u32::from_be_bytes(seen.bytes.as_slice().try_into().unwrap());
                        let next = (count + 1).to_be_bytes();
                        match store.write_now(place, &next, Expected::Version(seen.version)) {
                            Ok(_) => break,
                            Err(StoreError::Conflict { .. }) => {}
                            Err(error) => panic!("{error}"),
                        }
                    }
                }
            });
        }
    });
    let last = open().read_now(&place).unwrap().unwrap();
    assert_eq!(last.bytes.as_slice(), 100_u32.to_be_bytes());
}

/// One key for several stores of a test.
struct Fixed;

impl crate::entropy::Draw for Fixed {
    fn fill(&mut self, out: &mut [u8]) -> Result<(), crate::entropy::NoEntropy> {
        out.fill(7);
        Ok(())
    }
}

#[test]
fn a_record_is_no_resource_and_is_listed_below_its_folder() {
    let (folder, store) = store();
    put(&store, &path("policy/a/b"), b"a resource");
    for name in ["policy/a", "policy/a/b", "policy/b", "other/c"] {
        put(&store, &record(name), name.as_bytes());
    }
    let under = RecordName::parse("policy").unwrap();
    let listing = store.list_now(Under::Records(&under)).unwrap();
    let places = ["policy/a", "policy/a/b", "policy/b"].map(record);
    assert_eq!(listing.places, places);
    let all = store.list_now(Under::AllRecords).unwrap().places;
    assert_eq!(all, [&[record("other/c")][..], &places].concat());
    assert_eq!(list(&store).places, [path("policy/a/b")]);
    assert_eq!(list(&store).strangers, Vec::<String>::new());
    let stored = store.read_now(&record("policy/a/b")).unwrap().unwrap();
    assert_eq!(stored.bytes.as_slice(), b"policy/a/b");
    // Nor does one pass for the other where somebody moves the file.
    let root = folder.path().join("store");
    fs::copy(
        root.join(".records/policy/a/b.sealed"),
        root.join("policy/a/b.sealed"),
    )
    .unwrap();
    let error = store.read_now(&path("policy/a/b")).unwrap_err();
    assert!(matches!(error, StoreError::NotAuthentic { .. }), "{error}");
}

#[test]
fn what_cannot_be_opened_is_replaced_by_who_expects_nothing_of_it() {
    let (folder, store) = store();
    let place = path("a/b/c");
    let first = put(&store, &place, b"one");
    let file = folder.path().join("store/a/b/c.sealed");
    fs::write(&file, b"garbage").unwrap();
    let stale = store.write_now(&place, b"two", Expected::Version(first));
    assert!(matches!(stale.unwrap_err(), StoreError::UnknownForm { .. }));
    assert!(put(&store, &place, b"two") > first);
    fs::write(&file, b"garbage").unwrap();
    assert!(store.delete_now(&place, Expected::Any).unwrap());
}
