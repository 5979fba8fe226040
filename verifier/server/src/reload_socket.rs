//! Reloads that are asked for on a socket: a signal has no answer, and who asks wants to know whether
//! what is in the files is in force now.
//!
//! ```text
//!   asks      by connecting; nothing is read
//!   answer    "ok", or "refused: " and why; then the end
//! ```

use crate::local_socket;
use std::io::{self, ErrorKind, Read};
use std::os::unix::net::UnixStream as BlockingStream;
use std::path::Path;
use std::time::Duration;
use thiserror::Error;
use tokio::io::AsyncWriteExt;
use tokio::net::{UnixListener, UnixStream};
use tokio::time::{sleep, timeout};

/// The service's user and root may ask, who may send it a signal as well.
const MODE: u32 = 0o600;
const OK: &str = "ok";
const REFUSED: &str = "refused: ";
/// What of a refusal is told: it quotes the files.
const MAX_ANSWER_LEN: usize = 16 * 1024;
/// How long whoever asks may take to read the answer.
const READ_PATIENCE: Duration = Duration::from_secs(2);
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long the answer is waited for: after TimeoutStartSec= of the unit systemd
/// gives up, and does not say why.
const PATIENCE: Duration = Duration::from_secs(80);

/// Where reloads are asked for.
#[derive(Debug)]
pub(crate) struct ReloadSocket(UnixListener);

/// Who asked, and is to hear how it ended.
#[derive(Debug)]
pub(crate) struct Asker(UnixStream);

/// Why it is not known that what is in the files is in force.
#[derive(Debug, Error)]
pub(crate) enum NotReloaded {
    #[error("the reload was refused, and what held before holds: {0}")]
    Refused(String),
    #[error("ask the service to reload; it listens there while it runs with --reload-socket")]
    Unreachable(#[source] io::Error),
    #[error("the service did not say within {} s how the reload ended; its log will", PATIENCE.as_secs())]
    Silent,
    #[error("the service ended before it said how the reload ended; its log has why")]
    Ended,
}

impl ReloadSocket {
    pub(crate) fn bind(path: &Path) -> io::Result<Self> {
        local_socket::bind(path, MODE).map(Self)
    }

    /// The next who asks.
    pub(crate) async fn next(&self) -> Asker {
        loop {
            match self.0.accept().await {
                Ok((stream, _)) => return Asker(stream),
                Err(error) => {
                    tracing::error!(%error, "accept who asks for a reload");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

impl Asker {
    /// Tells how it ended, beside everything else.
    pub(crate) fn tell(mut self, refused: Option<&str>) {
        let answer = match refused {
            None => OK.to_owned(),
            Some(reason) => {
                let mut answer = format!("{REFUSED}{reason}");
                answer.truncate(answer.floor_char_boundary(MAX_ANSWER_LEN));
                answer
            }
        };
        tokio::spawn(async move {
            // Who has gone, or does not read, is not told.
            let _ = timeout(READ_PATIENCE, self.0.write_all(answer.as_bytes())).await;
        });
    }
}

/// Has the service that listens at `path` reload, and waits until it has.
pub(crate) fn ask(path: &Path) -> Result<(), NotReloaded> {
    ask_within(path, PATIENCE)
}

fn ask_within(path: &Path, patience: Duration) -> Result<(), NotReloaded> {
    let stream = BlockingStream::connect(path).map_err(NotReloaded::Unreachable)?;
    let timed = stream.set_read_timeout(Some(patience));
    timed.map_err(NotReloaded::Unreachable)?;
    let mut answer = Vec::new();
    let most = u64::try_from(MAX_ANSWER_LEN).unwrap_or(u64::MAX);
    match stream.take(most).read_to_end(&mut answer) {
        Err(error) if [ErrorKind::WouldBlock, ErrorKind::TimedOut].contains(&error.kind()) => {
            return Err(NotReloaded::Silent);
        }
        Err(_) => return Err(NotReloaded::Ended),
        Ok(_) => {}
    }
    let answer = String::from_utf8_lossy(&answer);
    match (answer.as_ref(), answer.strip_prefix(REFUSED)) {
        (OK, _) => Ok(()),
        (_, Some(reason)) => Err(NotReloaded::Refused(reason.to_owned())),
        // Cut off, as by an end of the service: nothing that is not said is success.
        _ => Err(NotReloaded::Ended),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::io::Write;
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::net::UnixListener as BlockingListener;
    use std::thread;

    /// What comes of it where something at the socket says this and hangs up.
    fn asked_of(answer: &'static [u8]) -> Result<(), NotReloaded> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let listener = BlockingListener::bind(&path).unwrap();
        let answering = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.write_all(answer).unwrap();
        });
        let asked = ask(&path);
        answering.join().unwrap();
        asked
    }

    #[test]
    fn nothing_but_the_whole_word_is_a_reload() {
        assert!(asked_of(b"ok").is_ok());
        for answer in [&b""[..], b"o", b"okay", b"refused", b"OK", b"\xff"] {
            let error = asked_of(answer).unwrap_err();
            assert!(matches!(error, NotReloaded::Ended), "{answer:?}: {error}");
        }
        let error = asked_of(b"refused: line 3").unwrap_err();
        assert!(matches!(error, NotReloaded::Refused(reason) if reason == "line 3"));
    }

    #[test]
    fn a_service_that_is_not_there_or_says_nothing_has_not_reloaded() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        assert!(matches!(ask(&path), Err(NotReloaded::Unreachable(_))));
        let _listener = BlockingListener::bind(&path).unwrap();
        let asked = ask_within(&path, Duration::from_millis(50));
        assert!(matches!(asked, Err(NotReloaded::Silent)));
    }

    #[test]
    fn who_asks_is_told_and_others_may_not_ask() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let socket = ReloadSocket::bind(&path).unwrap();
            let mode = fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
            let long = "\u{e9}".repeat(MAX_ANSWER_LEN);
            for refused in [None, Some("why"), Some(&long)] {
                let path = path.clone();
                let asking = tokio::task::spawn_blocking(move || ask(&path));
                socket.next().await.tell(refused);
                match (asking.await.unwrap(), refused) {
                    (Ok(()), None) => {}
                    (Err(NotReloaded::Refused(told)), Some(reason)) => {
                        assert!(reason.starts_with(&told) && !told.is_empty());
                    }
                    (asked, refused) => panic!("{asked:?} for {refused:?}"),
                }
            }
        });
    }
}
