use super::Report;
use anyhow::{Context, ensure};
use std::io::{Read, Write, stdout};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// How long the agent may be silent.
const PATIENCE: Duration = Duration::from_secs(10);
/// Longest report in bytes: 64 services with all of their endpoints and resources are a quarter.
const MAX_REPORT_LEN: u64 = 8 << 20;

/// Asks the agent that listens at `socket`, and prints what it says.
pub(crate) fn ask(socket: &Path, as_json: bool) -> anyhow::Result<()> {
    let stream = UnixStream::connect(socket).with_context(|| {
        format!(
            "cannot reach the agent at {}: it does not run, serves no status (see [status] of \
             agent.toml), or you may not ask it",
            socket.display()
        )
    })?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut json = Vec::new();
    let mut bounded = stream.take(MAX_REPORT_LEN + 1);
    bounded
        .read_to_end(&mut json)
        .context("the agent's report did not come")?;
    ensure!(
        json.len() as u64 <= MAX_REPORT_LEN,
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
