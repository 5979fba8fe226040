//! What a client says of the disk that its volume is on: one [`DiskExpectation`], in its one
//! spelling, and then the end of what it writes.
//!
//! systemd-cryptsetup says nothing and ends at once; nitride-unlock says what stands in the copy of
//! the header that it has checked. Whoever asks is root, by the kernel's word: what is said here is
//! believed as much as root of this machine is.

use nitride_kbs::disk::{DiskExpectation, DiskExpectationError};
use std::io::{self, ErrorKind, Read};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};
use thiserror::Error;

/// Bytes of the longest statement: what an envelope's entry may have.
const MAX_LEN: usize = 255;
/// For how long a client is listened to. Before the vault is asked, so it is short.
const PATIENCE: Duration = Duration::from_secs(3);

/// Why a client was not understood.
#[derive(Debug, Error)]
pub(super) enum StatementFault {
    #[error("more than {MAX_LEN} bytes were said of its disk")]
    TooLong,
    #[error("what was said of its disk has no end")]
    NoEnd,
    #[error("what was said of its disk is no text")]
    NoText,
    #[error("what was said of its disk cannot be read: {0}")]
    Form(DiskExpectationError),
    #[error("it hung up: {0}")]
    HungUp(io::Error),
}

/// Reads to the end of what the client writes; `None` where it says nothing, be it without an end.
pub(super) fn read(stream: &UnixStream) -> Result<Option<DiskExpectation>, StatementFault> {
    read_within(stream, PATIENCE)
}

fn read_within(
    mut stream: &UnixStream,
    patience: Duration,
) -> Result<Option<DiskExpectation>, StatementFault> {
    let deadline = Instant::now() + patience;
    let mut said = [0; MAX_LEN + 1];
    let mut len = 0;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        // Zero would be for ever, and a moment too late is not too late for what is there already.
        let left = left.max(Duration::from_millis(1));
        stream
            .set_read_timeout(Some(left))
            .map_err(StatementFault::HungUp)?;
        match stream.read(&mut said[len..]) {
            Ok(0) => break,
            // One byte at a time buys no time either.
            Ok(_) if Instant::now() > deadline => return Err(StatementFault::NoEnd),
            Ok(read) => len += read,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            // A client of another make, which reads and nothing else.
            Err(error) if error.kind() == ErrorKind::WouldBlock && len == 0 => return Ok(None),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                return Err(StatementFault::NoEnd);
            }
            Err(error) => return Err(StatementFault::HungUp(error)),
        }
        if len > MAX_LEN {
            return Err(StatementFault::TooLong);
        }
    }
    if len == 0 {
        return Ok(None);
    }
    let text = std::str::from_utf8(&said[..len]).map_err(|_| StatementFault::NoText)?;
    text.parse().map(Some).map_err(StatementFault::Form)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::net::Shutdown;
    use std::thread::{sleep, spawn};

    const DISK: &str = "luks2:7dfa3aba-96d9-4de6-90e8-45d3d2d0d897:aes-xts-plain64:512:16777216:\
        dynamic:4096:none:BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc";

    fn said(bytes: &[u8]) -> Result<Option<DiskExpectation>, StatementFault> {
        let (mut client, server) = UnixStream::pair().unwrap();
        client.write_all(bytes).unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        read(&server)
    }

    #[test]
    fn one_spelling_is_read_and_nothing_is_nothing() {
        assert_eq!(said(DISK.as_bytes()).unwrap(), Some(DISK.parse().unwrap()));
        assert_eq!(said(b"").unwrap(), None);
        for other in [format!("{DISK}\n"), format!(" {DISK}"), DISK.to_uppercase()] {
            assert!(matches!(
                said(other.as_bytes()),
                Err(StatementFault::Form(_))
            ));
        }
        assert!(matches!(said(b"\xff"), Err(StatementFault::NoText)));
    }

    #[test]
    fn more_than_a_statement_is_refused_before_its_end() {
        let (mut client, server) = UnixStream::pair().unwrap();
        client.write_all(&[b'a'; MAX_LEN + 1]).unwrap();
        assert!(matches!(read(&server), Err(StatementFault::TooLong)));
        assert!(matches!(
            said(&[b'a'; MAX_LEN]),
            Err(StatementFault::Form(_))
        ));
    }

    #[test]
    fn who_never_ends_is_not_waited_for() {
        const SHORT: Duration = Duration::from_millis(100);
        let (mut client, server) = UnixStream::pair().unwrap();
        assert_eq!(read_within(&server, SHORT).unwrap(), None);
        client.write_all(DISK.as_bytes()).unwrap();
        let unended = read_within(&server, SHORT);
        assert!(matches!(unended, Err(StatementFault::NoEnd)));
        let slow = spawn(move || {
            while client.write_all(b"l").is_ok() {
                sleep(SHORT / 4);
            }
        });
        let began = Instant::now();
        let unended = read_within(&server, SHORT);
        assert!(matches!(unended, Err(StatementFault::NoEnd)));
        assert!(began.elapsed() < SHORT * 5);
        drop(server);
        slow.join().unwrap();
    }
}
