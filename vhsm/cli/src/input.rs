use crate::failure::Failure;
use std::fs::File;
use std::io::{self, IsTerminal, Read};
use std::os::fd::AsFd;
use std::path::Path;
use zeroize::Zeroizing;

/// Reads a file, or standard input, of at most `max_len` bytes into memory that is erased.
///
/// The memory has its full size from the start, so that it never moves and leaves a copy, and the
/// standard library's buffer of standard input is passed by.
pub(crate) fn read(
    what: &'static str,
    path: Option<&Path>,
    max_len: usize,
) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let failed = |source| Failure::Read {
        what,
        path: path.map(Path::to_owned),
        source,
    };
    let file = open(path).map_err(failed)?;
    read_all(file, max_len)
        .map_err(failed)?
        .ok_or(Failure::TooLong { what, max_len })
}

/// As [`read`], but not from a terminal, which would show what is typed.
pub(crate) fn read_material(
    path: Option<&Path>,
    max_len: usize,
) -> Result<Zeroizing<Vec<u8>>, Failure> {
    if path.is_none() && io::stdin().is_terminal() {
        return Err(Failure::TypedMaterial);
    }
    read("the key's material", path, max_len)
}

fn open(path: Option<&Path>) -> io::Result<File> {
    match path {
        Some(path) => File::open(path),
        None => Ok(File::from(io::stdin().as_fd().try_clone_to_owned()?)),
    }
}

/// `None` when there is more than `max_len` bytes.
fn read_all(mut from: impl Read, max_len: usize) -> io::Result<Option<Zeroizing<Vec<u8>>>> {
    // One byte more tells what is too long from what just fits.
    let mut bytes = Zeroizing::new(vec![0; max_len + 1]);
    let mut len = 0;
    while len <= max_len {
        match from.read(&mut bytes[len..]) {
            Ok(0) => {
                bytes.truncate(len);
                return Ok(Some(bytes));
            }
            Ok(more) => len += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn input_up_to_its_limit_is_read_and_beyond_it_is_named() {
        assert_eq!(**read_all(&b"12345"[..], 5).unwrap().unwrap(), *b"12345");
        assert_eq!(**read_all(&b""[..], 5).unwrap().unwrap(), *b"");
        assert!(read_all(&b"123456"[..], 5).unwrap().is_none());
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "123456").unwrap();
        let failure = read("the data", Some(file.path()), 5).unwrap_err();
        assert_eq!(failure.explained(), "the data is longer than 5 bytes");
    }

    #[test]
    fn an_absent_file_is_named() {
        let failure = read("the data", Some(Path::new("/nowhere/data")), 5).unwrap_err();
        assert!(
            failure
                .explained()
                .starts_with("the data cannot be read from /nowhere/data: ")
        );
    }
}
