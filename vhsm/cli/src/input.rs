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

/// Data as far as it was read.
pub(crate) enum Start {
    /// All of it.
    Whole(Zeroizing<Vec<u8>>),
    /// Its beginning, and where the rest comes from.
    More(More),
}

/// Data that is longer than a request carries.
pub(crate) struct More {
    pub(crate) beginning: Zeroizing<Vec<u8>>,
    pub(crate) rest: File,
    /// Bytes in the whole, where that is known.
    pub(crate) len: Option<u64>,
    what: &'static str,
    path: Option<std::path::PathBuf>,
}

impl Start {
    pub(crate) fn into_more(self, what: &'static str) -> Result<More, Failure> {
        match self {
            Self::More(more) => Ok(more),
            Self::Whole(beginning) => {
                let nothing = File::open("/dev/null").map_err(|source| Failure::Read {
                    what,
                    path: None,
                    source,
                })?;
                Ok(More {
                    len: Some(beginning.len() as u64),
                    beginning,
                    rest: nothing,
                    what,
                    path: None,
                })
            }
        }
    }
}

impl More {
    /// The next bytes: as many as `out` has, and fewer at the end alone.
    pub(crate) fn fill(&mut self, out: &mut [u8]) -> Result<usize, Failure> {
        let first = self.beginning.len().min(out.len());
        let mut len = first;
        out[..first].copy_from_slice(&self.beginning[..first]);
        let left = Zeroizing::new(self.beginning[first..].to_vec());
        self.beginning = left;
        while len < out.len() {
            match self.rest.read(&mut out[len..]) {
                Ok(0) => break,
                Ok(more) => len += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => {
                    return Err(Failure::Read {
                        what: self.what,
                        path: self.path.clone(),
                        source,
                    });
                }
            }
        }
        Ok(len)
    }
}

/// Data of any length: all of it where that is at most `max_len` bytes.
pub(crate) fn begin(
    what: &'static str,
    path: Option<&Path>,
    max_len: usize,
) -> Result<Start, Failure> {
    let failed = |source| Failure::Read {
        what,
        path: path.map(Path::to_owned),
        source,
    };
    let mut rest = open(path).map_err(failed)?;
    let (bytes, ended) = read_up_to(&mut rest, max_len + 1).map_err(failed)?;
    if ended && bytes.len() <= max_len {
        return Ok(Start::Whole(bytes));
    }
    let found = rest.metadata().map_err(failed)?;
    Ok(Start::More(More {
        beginning: bytes,
        len: found.is_file().then_some(found.len()),
        rest,
        what,
        path: path.map(Path::to_owned),
    }))
}

fn open(path: Option<&Path>) -> io::Result<File> {
    match path {
        Some(path) => File::open(path),
        None => Ok(File::from(io::stdin().as_fd().try_clone_to_owned()?)),
    }
}

/// All there is, or `None` past `max_len` bytes.
fn read_all(mut from: impl Read, max_len: usize) -> io::Result<Option<Zeroizing<Vec<u8>>>> {
    // One byte more tells what is too long from what just fits.
    let (bytes, ended) = read_up_to(&mut from, max_len + 1)?;
    Ok((ended && bytes.len() <= max_len).then_some(bytes))
}

/// At most `max_len` bytes, and whether the end was seen.
fn read_up_to(from: &mut impl Read, max_len: usize) -> io::Result<(Zeroizing<Vec<u8>>, bool)> {
    let mut bytes = Zeroizing::new(vec![0; max_len]);
    let mut len = 0;
    while len < max_len {
        match from.read(&mut bytes[len..]) {
            Ok(0) => {
                bytes.truncate(len);
                return Ok((bytes, true));
            }
            Ok(more) => len += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok((bytes, false))
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
