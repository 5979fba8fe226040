//! Backups, and what comes from elsewhere.

use super::*;

const BACKUP: &str = "backup --config @/provisiond.toml --key @/backup.key --out";
const RESTORE: &str = "restore --config @/provisiond.toml --key @/backup.key";
const IMPORT: &str = "import trustee --config @/provisiond.toml";

/// A folder whose store has these resources, each of its name's bytes, and a key for backups.
fn holding(paths: &[&str]) -> Folder {
    let folder = Folder::make();
    folder.run("store-key generate --out @/backup.key").unwrap();
    for path in paths {
        put(&folder, path, path);
    }
    folder
}

fn put(folder: &Folder, path: &str, bytes: &str) {
    folder.write("bytes", bytes);
    let line = format!("resource put {CONFIG} --path {path} --raw @/bytes");
    folder.run(&line).unwrap();
}

/// Takes backup and key from one folder to another.
fn carry(from: &Folder, to: &Folder) {
    for name in ["backup.key", "backup"] {
        fs::copy(from.at(name), to.at(name)).unwrap();
    }
}

#[test]
fn what_was_backed_up_is_restored_into_another_store() {
    let from = holding(&["a/b/c", "d/e/f"]);
    from.run(&format!("{BACKUP} @/backup")).unwrap();
    let to = Folder::make();
    carry(&from, &to);
    // A second time there is nothing to do, and a store's own key is another one.
    for _ in 0..2 {
        to.run(&format!("{RESTORE} @/backup")).unwrap();
    }
    for path in ["a/b/c", "d/e/f"] {
        assert_eq!(to.stored(path).unwrap(), path.as_bytes());
    }
    let bytes = fs::read(from.at("backup")).unwrap();
    assert!(!bytes.windows(5).any(|window| window == b"a/b/c"));
    let again = from.run(&format!("{BACKUP} @/backup"));
    assert!(again.is_err(), "a backup was overwritten");
}

#[test]
fn every_record_is_in_a_backup_whatever_it_is_for() {
    let from = holding(&["a/b/c"]);
    from.run(&format!("revoke add {CONFIG} tenant acme"))
        .unwrap();
    let names = ["a-family-of-tomorrow/one/two/three", "alone", "witness/0a3"];
    for name in names {
        from.keep(name, name.as_bytes());
    }
    from.run(&format!("{BACKUP} @/backup")).unwrap();
    let to = Folder::make();
    carry(&from, &to);
    to.run(&format!("{RESTORE} @/backup")).unwrap();
    for name in names {
        assert_eq!(to.kept(name).unwrap(), name.as_bytes());
    }
    assert_eq!(to.kept("revoked/list"), from.kept("revoked/list"));
    assert!(to.kept("revoked/list").is_some());
}

#[test]
fn a_restore_leaves_what_is_there_unless_it_is_told_to_replace_it() {
    let from = holding(&["a/b/c", "d/e/f"]);
    from.run(&format!("{BACKUP} @/backup")).unwrap();
    let to = Folder::make();
    put(&to, "a/b/c", "newer");
    carry(&from, &to);
    let error = to.run(&format!("{RESTORE} @/backup")).unwrap_err();
    assert!(error.to_string().contains("1 items differ"), "{error}");
    assert_eq!(to.stored("a/b/c").unwrap(), b"newer");
    assert_eq!(to.stored("d/e/f").unwrap(), b"d/e/f");
    to.run(&format!("{RESTORE} --replace @/backup")).unwrap();
    assert_eq!(to.stored("a/b/c").unwrap(), b"a/b/c");
}

/// What was revoked after the backup was made stays so, whatever else is replaced.
#[test]
fn a_restore_lifts_nothing() {
    let folder = holding(&[]);
    let revoke = |what: &str| folder.run(&format!("revoke add {CONFIG} tenant {what}"));
    revoke("stolen").unwrap();
    folder.run(&format!("{BACKUP} @/backup")).unwrap();
    let lift = format!("revoke lift {CONFIG} tenant stolen");
    folder.run(&lift).unwrap();
    revoke("since").unwrap();
    let error = folder.run(&format!("{RESTORE} @/backup")).unwrap_err();
    assert!(error.to_string().contains("revoked/list"), "{error}");
    assert!(folder.run(&lift).is_err(), "it was added unasked");
    folder
        .run(&format!("{RESTORE} --replace @/backup"))
        .unwrap();
    for what in ["stolen", "since"] {
        folder
            .run(&format!("revoke lift {CONFIG} tenant {what}"))
            .unwrap();
    }
    // Into a store without a list it comes as it was.
    folder
        .run(&format!("{RESTORE} --replace @/backup"))
        .unwrap();
    let to = Folder::make();
    carry(&folder, &to);
    to.run(&format!("{RESTORE} @/backup")).unwrap();
    to.run(&lift).unwrap();
}

#[test]
fn of_a_backup_that_was_cut_off_or_is_of_another_key_nothing_is_restored() {
    let from = holding(&["a/b/c", "d/e/f"]);
    from.run(&format!("{BACKUP} @/backup")).unwrap();
    let to = Folder::make();
    carry(&from, &to);
    let whole = fs::read(to.at("backup")).unwrap();
    for len in [0, 40, whole.len() - 30, whole.len() - 1] {
        fs::write(to.at("backup"), &whole[..len]).unwrap();
        assert!(to.run(&format!("{RESTORE} @/backup")).is_err(), "{len}");
    }
    fs::write(to.at("backup"), &whole).unwrap();
    fs::remove_file(to.at("backup.key")).unwrap();
    to.run("store-key generate --out @/backup.key").unwrap();
    assert!(to.run(&format!("{RESTORE} @/backup")).is_err());
    for path in ["a/b/c", "d/e/f"] {
        assert_eq!(to.stored(path), None);
    }
}

/// The folder of a Trustee, with something in it that is no resource.
fn trustee(folder: &Folder) {
    for path in ["default/key/one", "web/tls/key.pem"] {
        let file = folder.at("trustee").join(path);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, path).unwrap();
    }
    let odd = folder.at("trustee").join("default");
    fs::write(odd.join("README"), "x").unwrap();
    std::os::unix::fs::symlink(folder.at("store.key"), odd.join("key").join("link")).unwrap();
}

#[test]
fn what_a_trustee_keeps_is_taken_over_as_it_is_and_no_link_is_followed() {
    let folder = Folder::make();
    trustee(&folder);
    folder.run(&format!("{IMPORT} @/trustee")).unwrap();
    for path in ["default/key/one", "web/tls/key.pem"] {
        assert_eq!(folder.stored(path).unwrap(), path.as_bytes());
    }
    assert_eq!(folder.stored("default/key/link"), None);
    put(&folder, "default/key/one", "newer");
    let error = folder.run(&format!("{IMPORT} @/trustee")).unwrap_err();
    assert!(error.to_string().contains("are there already"), "{error}");
    assert_eq!(folder.stored("default/key/one").unwrap(), b"newer");
}

#[test]
fn what_a_trustee_keeps_may_be_signed_on_the_way() {
    let folder = Folder::make();
    trustee(&folder);
    let signed = "--owner-key @/owner.pem --operations release --release-to uid:0";
    folder.run(&format!("{IMPORT} {signed} @/trustee")).unwrap();
    let stored = folder.stored("default/key/one").unwrap();
    let envelope = UnverifiedEnvelope::parse(&stored).unwrap();
    let owner = read_signing_key(&folder.at("owner.pem")).unwrap();
    assert_eq!(envelope.kid(), key_id(owner.verifying_key()).unwrap());
}
