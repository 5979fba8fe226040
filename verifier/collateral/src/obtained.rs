//! When a file was fetched: seconds since 1970 in a file beside it, `NAME.obtained`. The time of the
//! file itself is that of whoever copied, checked out or packed it last.

use crate::files::Files;
use crate::obstacle::Obstacle;
use crate::write;
use std::path::{Path, PathBuf};

const END: &str = ".obtained";
const MAX_LEN: u64 = 32;

/// Where it stands for `path`.
pub(crate) fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(END);
    PathBuf::from(name)
}

/// The file that `path` is the time of, if it is one's.
pub(crate) fn of(path: &Path) -> Option<PathBuf> {
    let name = path.to_str()?.strip_suffix(END)?;
    Some(PathBuf::from(name))
}

/// When `path` was fetched, in seconds since 1970.
pub(crate) fn read(path: &Path, files: &mut Files) -> Result<u64, Obstacle> {
    let beside = beside(path);
    if !beside.exists() {
        let reason = format!("has no {} that says when it was fetched", beside.display());
        let remedy = "fetch it with `nitride-verify collateral fetch`, or write the seconds since 1970 \
                      into that file";
        return Err(Obstacle::at(path, reason, remedy));
    }
    let text = files.read_text(&beside, MAX_LEN)?;
    let digits = text.trim_ascii_end();
    let secs = if digits.bytes().all(|byte| byte.is_ascii_digit()) {
        digits.parse().ok()
    } else {
        None
    };
    secs.ok_or_else(|| {
        let remedy = "write one number, such as `date +%s` prints";
        Obstacle::at(&beside, "is not seconds since 1970", remedy)
    })
}

/// States it. Only after the file itself: should one of the two be missing, what is new is taken for
/// old and not the other way round.
pub(crate) fn write(path: &Path, at_secs: u64) -> Result<(), Obstacle> {
    write::replace(&beside(path), format!("{at_secs}\n").as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_read_as_it_was_written_and_none_is_made_up() {
        let folder = tempfile::tempdir().unwrap();
        let list = folder.path().join("list.crl");
        let told = read(&list, &mut Files::new()).unwrap_err().to_string();
        assert!(told.contains("list.crl.obtained"), "{told}");
        write(&list, 1_795_305_600).unwrap();
        assert_eq!(read(&list, &mut Files::new()), Ok(1_795_305_600));
        assert_eq!(of(&beside(&list)), Some(list.clone()));
        for bad in ["", "now", "-1", "+1", "1 2", "99999999999999999999"] {
            std::fs::write(beside(&list), bad).unwrap();
            assert!(read(&list, &mut Files::new()).is_err(), "{bad:?}");
        }
    }
}
