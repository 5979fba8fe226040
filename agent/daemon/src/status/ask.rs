use super::Report;
use anyhow::{Context, ensure};
use std::io::{self, ErrorKind, Read, Write, stdout};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

/// How long the agent has for its whole report.
const PATIENCE: Duration = Duration::from_secs(10);
/// Longest report in bytes: 64 services with all of their endpoints and resources are a quarter.
const MAX_REPORT_LEN: usize = 8 << 20;

/// Asks the agent that listens at `socket`, and prints what it says.
pub(crate) fn ask(socket: &Path, as_json: bool) -> anyhow::Result<()> {
    let stream = UnixStream::connect(socket).with_context(|| {
        format!(
            "cannot reach the agent at {}: it does not run, serves no status (see [status] of \
             agent.toml), or you may not ask it",
            socket.display()
        )
    })?;
    let json = read(stream, PATIENCE).context("the agent's report did not come")?;
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

/// All that comes within `patience`, and of more than a report has the beginning.
fn read(mut stream: UnixStream, patience: Duration) -> io::Result<Vec<u8>> {
    let until = Instant::now() + patience;
    let mut json = Vec::new();
    let mut part = vec![0; 64 << 10];
    while json.len() <= MAX_REPORT_LEN {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(ErrorKind::TimedOut.into());
        }
        stream.set_read_timeout(Some(left))?;
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
        let error = read(ours, Duration::from_millis(300)).unwrap_err();
        let waited = matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::WouldBlock);
        assert!(waited, "{error}");
        assert!(began.elapsed() < Duration::from_secs(5));
        slow.join().unwrap();
    }

    #[test]
    fn what_is_longer_than_a_report_is_not_read_to_its_end() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let endless = thread::spawn(move || while theirs.write_all(&[b' '; 4096]).is_ok() {});
        let json = read(ours, PATIENCE).unwrap();
        assert!(json.len() > MAX_REPORT_LEN && json.len() < MAX_REPORT_LEN + (1 << 20));
        endless.join().unwrap();
    }
}
