use crate::answer::{Answer, Bytes};
use crate::failure::Failure;
use std::fs::{self, File, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Where an answer goes, and what may go there.
pub(crate) struct Target {
    /// `None` is standard output.
    pub(crate) path: Option<PathBuf>,
    pub(crate) force_terminal: bool,
    pub(crate) json: bool,
}

impl Target {
    /// Standard output.
    pub(crate) fn standard(json: bool) -> Self {
        Self {
            path: None,
            force_terminal: false,
            json,
        }
    }

    /// Refuses ahead what would be refused afterwards, so that a secret is not fetched in vain.
    pub(crate) fn check(&self, what: &'static str, secret: bool) -> Result<(), Failure> {
        self.check_for(what, secret, io::stdout().is_terminal())
    }

    fn check_for(&self, what: &'static str, secret: bool, terminal: bool) -> Result<(), Failure> {
        let raw = secret || !self.json;
        match &self.path {
            Some(path) => refuse_irregular(path),
            None if terminal && raw && !self.force_terminal => Err(Failure::Terminal { what }),
            None => Ok(()),
        }
    }

    pub(crate) fn write(&self, answer: &Answer) -> Result<(), Failure> {
        match answer {
            Answer::Text { json, .. } if self.json => self.put(format!("{json}\n").as_bytes()),
            Answer::Text { text, .. } => self.put(text.as_bytes()),
            Answer::Bytes(bytes) => {
                self.check(bytes.field, bytes.secret)?;
                self.put_bytes(bytes)
            }
        }
    }

    /// Output that is written bit by bit.
    pub(crate) fn pending(&self) -> Result<Pending, Failure> {
        let opened = match &self.path {
            Some(path) => {
                refuse_irregular(path)?;
                Replacement::new(path).map(To::File)
            }
            None => io::stdout()
                .as_fd()
                .try_clone_to_owned()
                .map(|standard| To::Standard(File::from(standard))),
        };
        let path = self.path.clone();
        match opened {
            Ok(to) => Ok(Pending { path, to }),
            Err(source) => Err(failed(path, source)),
        }
    }

    fn put_bytes(&self, bytes: &Bytes) -> Result<(), Failure> {
        if self.json {
            self.put(&bytes.to_json())
        } else {
            self.put(&bytes.bytes)
        }
    }

    fn put(&self, bytes: &[u8]) -> Result<(), Failure> {
        let written = match &self.path {
            Some(path) => {
                refuse_irregular(path)?;
                replace(path, bytes)
            }
            None => print(bytes),
        };
        written.map_err(|source| Failure::Write {
            path: self.path.clone(),
            source,
        })
    }
}

/// A rename over a device or a link would take its place.
fn refuse_irregular(path: &Path) -> Result<(), Failure> {
    match fs::symlink_metadata(path) {
        Ok(found) if !found.is_file() => Err(Failure::NotAFile {
            path: path.to_owned(),
        }),
        _ => Ok(()),
    }
}

/// Writes to standard output past the standard library's buffer, which would keep a copy.
fn print(bytes: &[u8]) -> io::Result<()> {
    File::from(io::stdout().as_fd().try_clone_to_owned()?).write_all(bytes)
}

/// Writes the file as a whole or not at all, readable by its owner alone.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut replacement = Replacement::new(path)?;
    replacement.file.write_all(bytes)?;
    replacement.commit()
}

/// Output that is written bit by bit: a file that appears as a whole or not at all, or standard
/// output.
pub(crate) struct Pending {
    path: Option<PathBuf>,
    to: To,
}

enum To {
    File(Replacement),
    Standard(File),
}

impl Pending {
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        let written = match &mut self.to {
            To::File(replacement) => replacement.file.write_all(bytes),
            To::Standard(file) => file.write_all(bytes),
        };
        written.map_err(|source| failed(self.path.clone(), source))
    }

    /// Makes the file appear.
    pub(crate) fn commit(self) -> Result<(), Failure> {
        match self.to {
            To::File(replacement) => replacement
                .commit()
                .map_err(|source| failed(self.path, source)),
            To::Standard(_) => Ok(()),
        }
    }
}

fn failed(path: Option<PathBuf>, source: io::Error) -> Failure {
    Failure::Write { path, source }
}

/// A file beside the one it is to replace; removed when it is dropped before that.
struct Replacement {
    file: File,
    temporary: PathBuf,
    path: PathBuf,
    folder: PathBuf,
    renamed: bool,
}

impl Replacement {
    fn new(path: &Path) -> io::Result<Self> {
        let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        let mut hidden = std::ffi::OsString::from(".");
        hidden.push(name);
        hidden.push(format!(".{}.tmp", std::process::id()));
        let temporary = folder.join(hidden);
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&temporary)?;
        Ok(Self {
            file,
            temporary,
            path: path.to_owned(),
            folder: folder.to_owned(),
            renamed: false,
        })
    }

    fn commit(mut self) -> io::Result<()> {
        self.file.sync_all()?;
        fs::rename(&self.temporary, &self.path)?;
        self.renamed = true;
        File::open(&self.folder)?.sync_all()
    }
}

impl Drop for Replacement {
    fn drop(&mut self) {
        if !self.renamed {
            // What went wrong is told; a file left over would be a second fault, and hides nothing.
            drop(fs::remove_file(&self.temporary));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn target(path: Option<PathBuf>, force_terminal: bool, json: bool) -> Target {
        Target {
            path,
            force_terminal,
            json,
        }
    }

    #[test]
    fn a_terminal_gets_no_secret_and_no_raw_bytes_unless_forced() {
        let allowed = |force, json, secret, terminal| {
            target(None, force, json)
                .check_for("secret", secret, terminal)
                .is_ok()
        };
        // A secret, raw or as JSON.
        assert!(!allowed(false, false, true, true));
        assert!(!allowed(false, true, true, true));
        assert!(allowed(true, false, true, true));
        assert!(allowed(true, true, true, true));
        // A signature.
        assert!(!allowed(false, false, false, true));
        assert!(allowed(false, true, false, true));
        // A pipe gets what it asks for.
        assert!(allowed(false, false, true, false));
        // So does a file, whatever standard output is.
        let file = target(Some("f".into()), false, false);
        assert!(file.check_for("secret", true, true).is_ok());
    }

    #[test]
    fn a_file_is_replaced_as_a_whole_and_private() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out");
        fs::write(&path, "old and longer").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        target(Some(path.clone()), false, false)
            .write(&Answer::public("signature", None, b"new".to_vec()))
            .unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_link_a_folder_and_a_device_are_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("link");
        symlink("/dev/null", &link).unwrap();
        for path in [link, folder.path().to_owned(), "/dev/null".into()] {
            let target = target(Some(path), false, false);
            let refused = target
                .write(&Answer::public("signature", None, vec![1]))
                .unwrap_err();
            assert!(matches!(refused, Failure::NotAFile { .. }));
            let pem = Answer::Text {
                text: "text".to_owned(),
                json: serde_json::Value::Null,
            };
            let refused = target.write(&pem).unwrap_err();
            assert!(matches!(refused, Failure::NotAFile { .. }));
            // Before a secret is fetched for it, too.
            let ahead = target.check("secret", true).unwrap_err();
            assert!(matches!(ahead, Failure::NotAFile { .. }));
        }
    }

    #[test]
    fn a_missing_folder_is_named_and_nothing_is_left() {
        let path = PathBuf::from("/nowhere/out");
        let failure = target(Some(path), false, false)
            .write(&Answer::public("signature", None, vec![1]))
            .unwrap_err();
        assert!(failure.explained().contains("/nowhere/out"));
    }

    #[test]
    fn what_is_written_bit_by_bit_appears_as_a_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out");
        let target = target(Some(path.clone()), false, false);
        let mut pending = target.pending().unwrap();
        pending.write(b"half").unwrap();
        assert!(!path.exists());
        drop(pending);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        let mut pending = target.pending().unwrap();
        pending.write(b"all ").unwrap();
        pending.write(b"of it").unwrap();
        pending.commit().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"all of it");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
