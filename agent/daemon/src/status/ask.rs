use super::Report;
use anyhow::{Context, ensure};
use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, setsockopt, socket, sockopt};
use nix::sys::time::{TimeVal, TimeValLike};
use std::io::{self, ErrorKind, Read, Write, stdout};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

/// How long the agent has for its whole report.
const PATIENCE: Duration = Duration::from_secs(10);
/// Longest report in bytes: 64 services with all of their endpoints and resources are a quarter.
const MAX_REPORT_LEN: usize = 8 << 20;

/// Asks the agent that listens at `path`, and prints what it says.
pub(crate) fn ask(path: &Path, as_json: bool) -> anyhow::Result<()> {
    let until = Instant::now() + PATIENCE;
    let stream = connect(path, until).with_context(|| {
        format!(
            "cannot reach the agent at {}: it does not run, serves no status (see [status] of \
             agent.toml), or you may not ask it",
            path.display()
        )
    })?;
    let json = read(stream, until).context("the agent's report did not come")?;
    ensure!(
        json.len() <= MAX_REPORT_LEN,
        "the agent's report is longer than {MAX_REPORT_LEN} bytes"
    );
    let report =
        Report::from_json(&json).context("the agent's report is not one of this version")?;
    let shown = match as_json {
        true => format!("{}\n", report.to_json()),
        false => report.to_string(),
    };
    stdout()
        .write_all(shown.as_bytes())
        .context("cannot print the report")
}

/// The standard library's would wait for as long as the queue of who listens is full.
fn connect(path: &Path, until: Instant) -> io::Result<UnixStream> {
    let address = UnixAddr::new(path)?;
    let stream = socket(
        AddressFamily::Unix,
        SockType::Stream,
        SockFlag::SOCK_CLOEXEC,
        None,
    )?;
    loop {
        // The kernel counts the wait for a place in the queue as sending (unix(7)).
        let left = i64::try_from(left(until)?.as_micros().max(1)).unwrap_or(i64::MAX);
        setsockopt(&stream, sockopt::SendTimeout, &TimeVal::microseconds(left))?;
        match nix::sys::socket::connect(stream.as_raw_fd(), &address) {
            Ok(()) => return Ok(stream.into()),
            Err(Errno::EINTR) => {}
            Err(Errno::EAGAIN) => return Err(ErrorKind::TimedOut.into()),
            Err(errno) => return Err(errno.into()),
        }
    }
}

fn left(until: Instant) -> io::Result<Duration> {
    let left = until.saturating_duration_since(Instant::now());
    match left.is_zero() {
        true => Err(ErrorKind::TimedOut.into()),
        false => Ok(left),
    }
}

/// All that comes until then, and of more than a report has the beginning.
fn read(mut stream: UnixStream, until: Instant) -> io::Result<Vec<u8>> {
    let mut json = Vec::new();
    let mut part = vec![0; 64 << 10];
    while json.len() <= MAX_REPORT_LEN {
        stream.set_read_timeout(Some(left(until)?))?;
        match stream.read(&mut part) {
            Ok(0) => break,
            Ok(len) => json.extend_from_slice(part.get(..len).unwrap_or_default()),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(json)
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::socket::{Backlog, bind, listen};
    use std::thread;

    #[test]
    fn an_agent_that_says_a_little_now_and_then_is_not_waited_for() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let slow = thread::spawn(move || {
            while theirs.write_all(b" ").is_ok() {
                thread::sleep(Duration::from_millis(10));
            }
        });
        let began = Instant::now();
        let error = read(ours, began + Duration::from_millis(300)).unwrap_err();
        let waited = matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::WouldBlock);
        assert!(waited, "{error}");
        assert!(began.elapsed() < Duration::from_secs(5));
        slow.join().unwrap();
    }

    #[test]
    fn an_agent_that_takes_no_connection_is_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("status.sock");
        let (family, kind) = (AddressFamily::Unix, SockType::Stream);
        let listener = socket(family, kind, SockFlag::SOCK_CLOEXEC, None).unwrap();
        bind(listener.as_raw_fd(), &UnixAddr::new(&path).unwrap()).unwrap();
        listen(&listener, Backlog::new(1).unwrap()).unwrap();
        let (tell, told) = std::sync::mpsc::channel();
        // Its end is not waited for, where it has none.
        thread::spawn(move || {
            let until = Instant::now() + Duration::from_millis(300);
            let mut waiting = Vec::new();
            let error = loop {
                match connect(&path, until) {
                    Ok(stream) => waiting.push(stream),
                    Err(error) => break error,
                }
            };
            tell.send((error, waiting.len()))
        });
        let (error, waiting) = told.recv_timeout(Duration::from_secs(20)).unwrap();
        assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
        assert!(waiting < 8, "{waiting}");
    }

    #[test]
    fn what_is_longer_than_a_report_is_not_read_to_its_end() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let endless = thread::spawn(move || while theirs.write_all(&[b' '; 4096]).is_ok() {});
        let json = read(ours, Instant::now() + PATIENCE).unwrap();
        assert!(json.len() > MAX_REPORT_LEN && json.len() < MAX_REPORT_LEN + (1 << 20));
        endless.join().unwrap();
    }
}
