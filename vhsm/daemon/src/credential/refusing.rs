//! How the service manager is told no.
//!
//! It reads to the end of the stream, and takes any end for success: a connection that is closed at
//! once is an empty credential, and the unit starts with it. Resetting the connection is no way: on
//! such a socket that takes something unread from the other side, which sends nothing. What it
//! does refuse is more than a credential may have, and then the unit fails (243/CREDENTIALS), with
//! nothing left of what was read.

use crate::reader::WRITE_TIMEOUT;
use nitride_secmem::crypto::fill_random;
use std::io::{self, Write};
use std::os::unix::net::UnixStream;

/// systemd takes 1 MiB (`CREDENTIALS_TOTAL_SIZE_MAX`); more of this is written than a later one is
/// likely to take.
const TOO_MUCH_LEN: usize = 16 << 20;
const BLOCK_LEN: usize = 64 << 10;

/// Writes more than is taken, until the reader has closed. Of random bytes: whoever reads them
/// otherwise and keeps a beginning has no password that anybody knows.
///
/// # Errors
/// Where the reader did not close by itself: nobody can say what it makes of what it has read.
pub(super) fn overfill(stream: &UnixStream) -> io::Result<()> {
    let mut block = vec![0; BLOCK_LEN];
    fill_random(&mut block);
    stream.set_write_timeout(Some(WRITE_TIMEOUT))?;
    for _ in 0..TOO_MUCH_LEN / BLOCK_LEN {
        match (&*stream).write_all(&block) {
            Ok(()) => {}
            // It has had enough, or has gone before.
            Err(error) if is_closed(&error) => return Ok(()),
            Err(error) => return Err(error),
        }
    }
    Err(io::ErrorKind::FileTooLarge.into())
}

fn is_closed(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionReset};
    matches!(error.kind(), BrokenPipe | ConnectionReset)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn a_reader_that_takes_one_mebibyte_sees_more_than_that() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let reading = std::thread::spawn(move || {
            let mut read = Vec::new();
            let most = (1 << 20) + 1;
            theirs.take(most).read_to_end(&mut read).unwrap();
            read
        });
        overfill(&ours).unwrap();
        let read = reading.join().unwrap();
        assert_eq!(read.len(), (1 << 20) + 1);
        assert!(read[..64] != [0; 64], "somebody may know it");
    }

    #[test]
    fn a_reader_that_swallows_everything_is_told_of() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let reading = std::thread::spawn(move || io::copy(&mut theirs, &mut io::sink()).unwrap());
        let error = overfill(&ours).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
        drop(ours);
        assert_eq!(reading.join().unwrap(), TOO_MUCH_LEN as u64);
    }
}
