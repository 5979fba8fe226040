use super::{ConfigError, Document, quantity};
use serde::Deserialize;
use std::path::PathBuf;
use toml::Spanned;

/// Where the audit's files are, and what holds when they are full.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AuditSettings {
    /// Their folder.
    pub(crate) folder: PathBuf,
    /// What to do without room for an entry.
    pub(crate) full: WhenFull,
    /// How many files there are at most, the one that is ready to follow included.
    pub(crate) files: usize,
    /// How long each is, in bytes.
    pub(crate) file_len: usize,
    /// Whether an entry of an act is on the disk, and not in the kernel alone, before its answer.
    pub(crate) sync: bool,
}

/// What to do without room for an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum WhenFull {
    /// What would have an entry is not done.
    #[default]
    Refuse,
    /// It is done, and that entries are missing is recorded as soon as there is room.
    Continue,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawAudit {
    folder: Option<Spanned<PathBuf>>,
    #[serde(default)]
    full: WhenFull,
    files: Option<Spanned<usize>>,
    file_size: Option<Spanned<String>>,
    sync: Option<bool>,
}

const DEFAULT_FOLDER: &str = "/var/lib/vhsm/audit";
const DEFAULT_FILES: usize = 8;
const DEFAULT_FILE_LEN: usize = 8 << 20;
/// A spare has room for what is set aside, and for what is added up in two seconds.
const MIN_FILE_LEN: usize = 256 << 10;
/// The newest file is read whole at the start.
const MAX_FILE_LEN: usize = 256 << 20;

impl RawAudit {
    pub(super) fn validate(self, document: &Document) -> Result<AuditSettings, ConfigError> {
        let folder = match self.folder {
            None => PathBuf::from(DEFAULT_FOLDER),
            Some(folder) if folder.get_ref().is_absolute() => folder.into_inner(),
            Some(folder) => {
                return Err(document.fault(
                    folder.span(),
                    "the audit's folder is not an absolute path",
                    "write it from the root, as in \"/var/lib/vhsm/audit\"",
                ));
            }
        };
        let files = match self.files {
            None => DEFAULT_FILES,
            Some(files) if (2..=1024).contains(files.get_ref()) => files.into_inner(),
            Some(files) => {
                return Err(document.fault(
                    files.span(),
                    format_args!("{} is out of range", files.get_ref()),
                    "write a number from 2 to 1024",
                ));
            }
        };
        let file_len = match self.file_size {
            None => DEFAULT_FILE_LEN,
            Some(text) => quantity::size_len(text.get_ref())
                .filter(|len| (MIN_FILE_LEN..=MAX_FILE_LEN).contains(len))
                .ok_or_else(|| {
                    document.fault(
                        text.span(),
                        format_args!("{:?} is not the size of an audit file", text.get_ref()),
                        "write a size from \"256KiB\" to \"256MiB\"",
                    )
                })?,
        };
        Ok(AuditSettings {
            folder,
            full: self.full,
            files,
            file_len,
            sync: self.sync.unwrap_or(true),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn settings(text: &str) -> Result<AuditSettings, String> {
        let document = Document::of(Path::new("/etc/vhsmd.toml"), text.to_owned());
        let raw: RawAudit = document.parse().map_err(|error| error.to_string())?;
        raw.validate(&document).map_err(|error| error.to_string())
    }

    #[test]
    fn a_full_audit_refuses_unless_told_to_continue() {
        assert_eq!(settings("").unwrap().full, WhenFull::Refuse);
        let told = settings("full = \"continue\"\n").unwrap();
        assert_eq!(told.full, WhenFull::Continue);
        assert!(settings("full = \"ignore\"\n").is_err());
    }

    #[test]
    fn faults_name_line_reason_and_remedy() {
        for (text, reason, remedy) in [
            (
                "folder = \"audit\"",
                "not an absolute path",
                "from the root",
            ),
            ("files = 1", "out of range", "from 2"),
            (
                "file-size = \"1KiB\"",
                "not the size of an audit file",
                "256KiB",
            ),
            (
                "file-size = \"1TiB\"",
                "not the size of an audit file",
                "256KiB",
            ),
            ("size = 5", "unknown field", "remove it"),
        ] {
            let error = settings(text).unwrap_err();
            assert!(error.contains("/etc/vhsmd.toml:1: "), "{error}");
            assert!(error.contains(reason) && error.contains(remedy), "{error}");
        }
    }
}
