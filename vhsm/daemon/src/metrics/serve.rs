use super::exposition::exposition;
use crate::config::MetricsSettings;
use crate::daemon::Daemon;
use crate::event::Event;
use crate::stop::{StopSignal, Wait};
use nitride_ipc::peer::resolve;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::{Duration, Instant};

/// The longest request: a scraper's head has a few hundred bytes.
const MAX_HEAD_LEN: usize = 8192;
/// How long one may take to ask, and to read the answer. They are served one after another.
const PATIENCE: Duration = Duration::from_secs(2);
const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Answers whoever asks for figures, and may, until `stop`.
pub(crate) fn serve_metrics(
    daemon: &Daemon,
    settings: &MetricsSettings,
    listener: &UnixListener,
    stop: &StopSignal,
) {
    while stop.wait_for(listener.as_fd()) == Wait::Ready {
        let stream = match listener.accept() {
            Ok((stream, _)) => stream,
            Err(error) => {
                Event::NotAccepting {
                    socket: "metrics",
                    error: &error,
                }
                .emit();
                std::thread::sleep(Duration::from_millis(50));
                continue;
            }
        };
        if may_read(daemon, settings, &stream) {
            // Who does not read the answer does without.
            let _ = answer(daemon, stream);
        }
    }
}

fn may_read(daemon: &Daemon, settings: &MetricsSettings, stream: &UnixStream) -> bool {
    match resolve(stream, None) {
        Ok(peer) if settings.allowed_uids.contains(&peer.uid) => true,
        Ok(peer) => {
            let error = &NotAllowed;
            let socket = "metrics";
            daemon.log_of(Some(peer.uid), &Event::TurnedAway { socket, error });
            false
        }
        Err(error) => {
            let (socket, error) = ("metrics", &error);
            daemon.log_of(None, &Event::TurnedAway { socket, error });
            false
        }
    }
}

#[derive(Debug, thiserror::Error)]
#[error("its user is none of [metrics] allowed-uids")]
struct NotAllowed;

fn answer(daemon: &Daemon, mut stream: UnixStream) -> std::io::Result<()> {
    stream.set_write_timeout(Some(PATIENCE))?;
    let (status, kind, body) = match read_head(&mut stream)? {
        Asked::Metrics => ("200 OK", CONTENT_TYPE, exposition(daemon)),
        Asked::Elsewhere => (
            "404 Not Found",
            "text/plain",
            "ask for /metrics\n".to_owned(),
        ),
        Asked::Otherwise => ("400 Bad Request", "text/plain", "ask with GET\n".to_owned()),
    };
    let len = body.len();
    let head = format!(
        "HTTP/1.0 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len}\r\n\
         Connection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(body.as_bytes())
}

/// What somebody asked for.
#[derive(Debug, PartialEq, Eq)]
enum Asked {
    Metrics,
    Elsewhere,
    Otherwise,
}

/// Reads a request's head, to its empty line, in a bounded time.
fn read_head(stream: &mut UnixStream) -> std::io::Result<Asked> {
    let deadline = Instant::now() + PATIENCE;
    let mut head = Vec::new();
    let mut part = [0; 1024];
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() || head.len() > MAX_HEAD_LEN {
            return Ok(Asked::Otherwise);
        }
        stream.set_read_timeout(Some(left))?;
        let read = stream.read(&mut part)?;
        if read == 0 {
            break;
        }
        head.extend_from_slice(part.get(..read).unwrap_or_default());
    }
    Ok(asked(&head))
}

fn asked(head: &[u8]) -> Asked {
    let line = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let mut words = line.split(|byte| *byte == b' ');
    match (words.next(), words.next(), words.next(), words.next()) {
        (Some(b"GET"), Some(b"/metrics"), Some(version), None)
            if version.starts_with(b"HTTP/1.") =>
        {
            Asked::Metrics
        }
        (Some(b"GET"), Some(_), Some(version), None) if version.starts_with(b"HTTP/1.") => {
            Asked::Elsewhere
        }
        _ => Asked::Otherwise,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_told_to_a_get_of_their_path_alone() {
        for (head, expected) in [
            ("GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n", Asked::Metrics),
            ("GET /metrics HTTP/1.0\r\n\r\n", Asked::Metrics),
            ("GET / HTTP/1.1\r\n\r\n", Asked::Elsewhere),
            ("POST /metrics HTTP/1.1\r\n\r\n", Asked::Otherwise),
            ("GET /metrics\r\n\r\n", Asked::Otherwise),
            ("GET /metrics HTTP/1.1 x\r\n\r\n", Asked::Otherwise),
            ("\r\n\r\n", Asked::Otherwise),
            ("", Asked::Otherwise),
        ] {
            assert_eq!(asked(head.as_bytes()), expected, "{head:?}");
        }
    }

    #[test]
    fn a_peer_that_never_ends_its_request_is_not_waited_for() {
        let (mut ours, mut theirs) = UnixStream::pair().unwrap();
        let long = std::thread::spawn(move || while theirs.write_all(&[b'x'; 4096]).is_ok() {});
        assert_eq!(read_head(&mut ours).unwrap(), Asked::Otherwise);
        drop(ours);
        long.join().unwrap();
    }
}
