//! The figures that vhsmd serves, as they are.

use crate::answer::Answer;
use crate::failure::Failure;
use crate::output::Target;
use clap::Args;
use serde_json::json;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

const REQUEST: &[u8] = b"GET /metrics HTTP/1.0\r\n\r\n";
/// More than vhsmd ever says.
const MAX_ANSWER_LEN: u64 = 16 << 20;
const PATIENCE: Duration = Duration::from_secs(10);

/// Where figures come from.
#[derive(Debug, Args)]
pub(crate) struct MetricsArguments {
    /// The metrics socket
    #[arg(long, value_name = "PATH", default_value = "/run/vhsm/metrics.sock")]
    pub(crate) metrics_socket: PathBuf,
}

pub(crate) fn run(arguments: MetricsArguments, json: bool) -> Result<(), Failure> {
    let path = arguments.metrics_socket;
    let text = ask(&path).map_err(|source| Failure::Read {
        what: "the metrics",
        path: Some(path),
        source,
    })?;
    let json_value = json!({ "openmetrics": text });
    Target::standard(json).write(&Answer::Text {
        text,
        json: json_value,
    })
}

fn ask(path: &std::path::Path) -> io::Result<String> {
    let mut stream = UnixStream::connect(path)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all(REQUEST)?;
    let mut answer = String::new();
    stream.take(MAX_ANSWER_LEN).read_to_string(&mut answer)?;
    body(&answer).map(str::to_owned).ok_or_else(|| {
        io::Error::new(
            io::ErrorKind::InvalidData,
            "the answer is no OpenMetrics text: is the user among allowed-uids of [metrics]?",
        )
    })
}

/// What follows the head of an answer that is whole.
fn body(answer: &str) -> Option<&str> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let is_ok = head.split(' ').nth(1) == Some("200");
    (is_ok && body.ends_with("# EOF\n")).then_some(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_is_refused_or_cut_off_is_none() {
        assert_eq!(
            body("HTTP/1.0 200 OK\r\nA: b\r\n\r\n# EOF\n"),
            Some("# EOF\n")
        );
        for answer in [
            "",
            "HTTP/1.0 404 Not Found\r\n\r\n# EOF\n",
            "HTTP/1.0 200 OK\r\n\r\na 1\n",
            "HTTP/1.0 200 OK\r\n",
        ] {
            assert_eq!(body(answer), None, "{answer:?}");
        }
    }
}
