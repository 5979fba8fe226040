//! The configuration that the initrd should have: what lies in the image for it.

use std::fs;
use std::path::{Path, PathBuf};

/// Where an image keeps the initrd's own set.
const FOLDER: &str = "/etc/nitride/initrd";
/// Without such a folder, what the initrd takes from the system.
const SHARED: [&str; 3] = [
    "/etc/vhsm/vhsmd.toml",
    "/etc/nitride/agent.toml",
    "/etc/nitride/quote.toml",
];
const UNLOCK: &str = "/etc/nitride/unlock.toml";
/// Files and folders of the set.
const MAX_FILES: usize = 256;

/// A file of the initrd, and its original.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct OwnFile {
    /// Where it is in the initrd.
    pub(super) inside: String,
    /// What the original says, or why that is not known.
    pub(super) here: Result<Vec<u8>, String>,
}

/// Where the original of a file of the initrd is.
pub(super) fn original(inside: &Path) -> PathBuf {
    let folder = Path::new(FOLDER);
    match (folder.is_dir(), inside.strip_prefix("/etc/nitride")) {
        (true, Ok(rest)) => folder.join(rest),
        _ => inside.to_owned(),
    }
}

/// All of them. `unlock` is the configuration by which this program judges: if the initrd has
/// another one, it judges the wrong one.
pub(super) fn files(unlock: &Path) -> Vec<OwnFile> {
    files_of(Path::new(FOLDER), unlock)
}

fn files_of(folder: &Path, unlock: &Path) -> Vec<OwnFile> {
    let mut pairs = vec![(UNLOCK.to_owned(), unlock.to_owned())];
    if folder.is_dir() {
        pairs.extend(below(folder).into_iter().filter_map(|path| {
            let name = path.strip_prefix(folder).ok()?.to_str()?;
            let inside = match name {
                "vhsmd.toml" => format!("/etc/vhsm/{name}"),
                "resolv.conf" => format!("/etc/{name}"),
                name if name.starts_with("policy.d/") => format!("/etc/vhsm/{name}"),
                name => format!("/etc/nitride/{name}"),
            };
            (inside != UNLOCK).then_some((inside, path))
        }));
    } else {
        pairs.extend(SHARED.map(|path| (path.to_owned(), PathBuf::from(path))));
    }
    let read = |path: &Path| fs::read(path).map_err(|error| format!("{}: {error}", path.display()));
    pairs
        .into_iter()
        .map(|(inside, path)| OwnFile {
            inside,
            here: read(&path),
        })
        .collect()
}

/// Files in the folder and its folders.
fn below(folder: &Path) -> Vec<PathBuf> {
    let (mut files, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    let mut seen = 0;
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(folder) else {
            continue;
        };
        for path in entries.flatten().map(|entry| entry.path()) {
            seen += 1;
            if seen > MAX_FILES {
                return files;
            }
            match path.is_dir() {
                true => folders.push(path),
                false => files.push(path),
            }
        }
    }
    files.sort();
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_images_own_set_becomes_the_initrds() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::create_dir(path("policy.d")).unwrap();
        for name in [
            "unlock.toml",
            "vhsmd.toml",
            "policy.d/10-root.toml",
            "ca.pem",
            "resolv.conf",
        ] {
            fs::write(path(name), name).unwrap();
        }
        let found = files_of(folder.path(), &path("unlock.toml"));
        let found: Vec<_> = found
            .iter()
            .map(|file| (file.inside.as_str(), file.here.clone().unwrap()))
            .collect();
        let expected = [
            ("/etc/nitride/unlock.toml", "unlock.toml"),
            ("/etc/nitride/ca.pem", "ca.pem"),
            ("/etc/vhsm/policy.d/10-root.toml", "policy.d/10-root.toml"),
            ("/etc/resolv.conf", "resolv.conf"),
            ("/etc/vhsm/vhsmd.toml", "vhsmd.toml"),
        ];
        assert_eq!(
            found,
            expected.map(|(inside, text)| (inside, text.as_bytes().to_vec()))
        );
    }

    #[test]
    fn without_such_a_set_the_systems_own_files_are_the_originals() {
        let found = files_of(Path::new("/nonexistent"), Path::new("/nonexistent/x.toml"));
        let inside: Vec<_> = found.iter().map(|file| file.inside.as_str()).collect();
        assert_eq!(inside[0], UNLOCK);
        assert_eq!(inside[1..], SHARED);
        assert!(found[0].here.is_err());
    }
}
