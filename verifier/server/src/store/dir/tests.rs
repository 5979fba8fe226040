use super::*;
use std::os::unix::fs::{PermissionsExt, symlink};
use tempfile::TempDir;

fn store() -> (TempDir, DirStore) {
    let folder = tempfile::tempdir().unwrap();
    let key = Key32::draw(&mut KernelEntropy).unwrap();
    let store = DirStore::open(&folder.path().join("store"), key).unwrap();
    (folder, store)
}

fn path(text: &str) -> ResourcePath {
    ResourcePath::parse(text).unwrap()
}

fn read(store: &DirStore, text: &str) -> Option<Vec<u8>> {
    store
        .read_now(&path(text))
        .unwrap()
        .map(|resource| resource.to_vec())
}

#[test]
fn a_resource_is_stored_replaced_and_deleted() {
    let (_folder, store) = store();
    assert_eq!(read(&store, "a/b/c"), None);
    store.write_now(&path("a/b/c"), b"one").unwrap();
    store.write_now(&path("a/b/d"), b"other").unwrap();
    store.write_now(&path("a/b/c"), b"two").unwrap();
    assert_eq!(read(&store, "a/b/c").as_deref(), Some(&b"two"[..]));
    let listing = store.list_now().unwrap();
    assert_eq!(listing.resources, [path("a/b/c"), path("a/b/d")]);
    assert_eq!(listing.strangers, Vec::<PathBuf>::new());
    assert!(store.delete_now(&path("a/b/c")).unwrap());
    assert!(!store.delete_now(&path("a/b/c")).unwrap());
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
    store
        .write_now(&path("a/b/c"), b"plaintext-to-look-for")
        .unwrap();
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
    store.write_now(&path("a/b/c"), b"one").unwrap();
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
    store.write_now(&path("a/b/c"), b"one").unwrap();
    let file = |tag: &str| folder.path().join(format!("store/a/b/{tag}.sealed"));
    fs::write(file("garbage"), b"garbage").unwrap();
    fs::write(file("empty"), b"").unwrap();
    fs::write(file("large"), vec![0; MAX_FILE_LEN + 1]).unwrap();
    symlink(file("c"), file("link")).unwrap();
    fs::create_dir(file("folder")).unwrap();
    let read = |tag: &str| store.read_now(&path(&format!("a/b/{tag}"))).unwrap_err();
    assert!(matches!(read("garbage"), StoreError::UnknownForm { .. }));
    assert!(matches!(read("empty"), StoreError::UnknownForm { .. }));
    assert!(matches!(read("large"), StoreError::TooLarge));
    assert!(matches!(read("link"), StoreError::NotAFile { .. }));
    assert!(matches!(read("folder"), StoreError::NotAFile { .. }));
}

#[test]
fn strangers_in_the_folder_are_listed_apart() {
    let (folder, store) = store();
    store.write_now(&path("a/b/c"), b"one").unwrap();
    let root = folder.path().join("store");
    fs::write(root.join("notes"), b"").unwrap();
    fs::write(root.join("a/b/.new-0123"), b"").unwrap();
    symlink(folder.path(), root.join("link")).unwrap();
    let listing = store.list_now().unwrap();
    assert_eq!(listing.resources, [path("a/b/c")]);
    assert_eq!(listing.strangers.len(), 3);
}

#[test]
fn what_is_too_large_or_too_long_changes_nothing() {
    let (_folder, store) = store();
    let error = store
        .write_now(&path("a/b/c"), &vec![0; MAX_RESOURCE_LEN + 1])
        .unwrap_err();
    assert!(matches!(error, StoreError::TooLarge));
    let long = format!("a/b/{}", "c".repeat(MAX_PART_LEN + 1));
    let error = store.write_now(&path(&long), b"one").unwrap_err();
    assert!(matches!(error, StoreError::NameTooLong { .. }));
    assert_eq!(store.list_now().unwrap(), Listing::default());
}

#[test]
fn a_folder_that_is_a_link_is_refused() {
    let (folder, store) = store();
    symlink(folder.path(), folder.path().join("store/a")).unwrap();
    let error = store.write_now(&path("a/b/c"), b"one").unwrap_err();
    assert!(matches!(error, StoreError::Io { .. }), "{error}");
}
