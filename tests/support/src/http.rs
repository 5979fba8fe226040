//! Just enough HTTP/1.1 to stand between two programs: whole messages with a length, bounded.

use std::io::{BufRead, Write};

use anyhow::{Context, Result, bail, ensure};

const MAX_HEAD_LEN: usize = 256 * 1024;
const MAX_BODY_LEN: usize = 16 * 1024 * 1024;

/// A request or a response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpMessage {
    /// `GET /x HTTP/1.1` or `HTTP/1.1 200 OK`.
    pub first_line: String,
    /// Names as they were sent, and values.
    pub headers: Vec<(String, String)>,
    /// The body, whole.
    pub body: Vec<u8>,
}

impl HttpMessage {
    /// A request with a body of JSON, or with none.
    #[must_use]
    pub fn request(method: &str, path: &str, body: &[u8]) -> Self {
        let mut headers = vec![("host".to_owned(), "localhost".to_owned())];
        if !body.is_empty() {
            headers.push(("content-type".to_owned(), "application/json".to_owned()));
        }
        Self {
            first_line: format!("{method} {path} HTTP/1.1"),
            headers,
            body: body.to_vec(),
        }
    }

    /// A response.
    #[must_use]
    pub fn response(status: u16, body: &[u8]) -> Self {
        Self {
            first_line: format!("HTTP/1.1 {status} Status"),
            headers: vec![("content-type".to_owned(), "application/json".to_owned())],
            body: body.to_vec(),
        }
    }

    /// The first value of a header, its name in any case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// Adds a header.
    #[must_use]
    pub fn with_header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// A request's method and path.
    #[must_use]
    pub fn target(&self) -> (&str, &str) {
        let mut words = self.first_line.split(' ');
        (
            words.next().unwrap_or_default(),
            words.next().unwrap_or_default(),
        )
    }

    /// A response's status; 0 when it has none.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.first_line
            .split(' ')
            .nth(1)
            .and_then(|word| word.parse().ok())
            .unwrap_or(0)
    }

    /// Reads one message; `None` when the other side has closed before its first byte.
    ///
    /// # Errors
    /// When it is cut short, over a bound, or without a length.
    pub fn read(from: &mut impl BufRead) -> Result<Option<Self>> {
        let Some(first_line) = read_line(from)? else {
            return Ok(None);
        };
        let mut headers = Vec::new();
        let mut head_len = first_line.len();
        loop {
            let Some(line) = read_line(from)? else {
                bail!("the message ends inside its head");
            };
            if line.is_empty() {
                break;
            }
            head_len += line.len();
            ensure!(
                head_len <= MAX_HEAD_LEN,
                "the head is over {MAX_HEAD_LEN} bytes"
            );
            let (name, value) = line.split_once(':').context("a header has no colon")?;
            headers.push((name.to_owned(), value.trim().to_owned()));
        }
        let mut message = Self {
            first_line,
            headers,
            body: Vec::new(),
        };
        ensure!(
            message.header("transfer-encoding").is_none(),
            "a body in chunks is not supported"
        );
        let length: usize = match message.header("content-length") {
            Some(length) => length.parse().context("parse content-length")?,
            None => 0,
        };
        ensure!(
            length <= MAX_BODY_LEN,
            "the body is over {MAX_BODY_LEN} bytes"
        );
        message.body = vec![0; length];
        from.read_exact(&mut message.body)
            .context("read the body")?;
        Ok(Some(message))
    }

    /// Writes the message with the length that its body has.
    ///
    /// # Errors
    /// When the other side is gone.
    pub fn write(&self, to: &mut impl Write) -> Result<()> {
        let mut bytes = format!("{}\r\n", self.first_line).into_bytes();
        for (name, value) in &self.headers {
            if !name.eq_ignore_ascii_case("content-length") {
                bytes.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
            }
        }
        bytes.extend_from_slice(format!("content-length: {}\r\n\r\n", self.body.len()).as_bytes());
        bytes.extend_from_slice(&self.body);
        to.write_all(&bytes).context("write the message")?;
        to.flush().context("write the message")
    }

    /// Everything that went over the wire, for a search.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        // Writing into memory cannot fail.
        let _ = self.write(&mut bytes);
        bytes
    }
}

fn read_line(from: &mut impl BufRead) -> Result<Option<String>> {
    let mut line = Vec::new();
    let limit = u64::try_from(MAX_HEAD_LEN).unwrap_or(u64::MAX);
    std::io::Read::take(&mut *from, limit)
        .read_until(b'\n', &mut line)
        .context("read a line")?;
    if line.is_empty() {
        return Ok(None);
    }
    ensure!(line.ends_with(b"\n"), "a line is cut short or too long");
    while line.ends_with(b"\n") || line.ends_with(b"\r") {
        line.pop();
    }
    String::from_utf8(line)
        .context("a line is not UTF-8")
        .map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_survives_the_way_out_and_in() -> Result<()> {
        let sent = HttpMessage::request("POST", "/kbs/v0/auth", b"{}").with_header("Cookie", "a=b");
        let bytes = sent.bytes();
        let received = HttpMessage::read(&mut bytes.as_slice())?.context("one message")?;
        assert_eq!(received.target(), ("POST", "/kbs/v0/auth"));
        assert_eq!(received.header("cookie"), Some("a=b"));
        assert_eq!(received.body, b"{}");
        Ok(())
    }

    #[test]
    fn a_closed_connection_is_no_message_and_a_cut_one_is_an_error() -> Result<()> {
        assert_eq!(HttpMessage::read(&mut b"".as_slice())?, None);
        assert!(HttpMessage::read(&mut b"GET / HTTP/1.1\r\nhost".as_slice()).is_err());
        let short = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nabc";
        assert!(HttpMessage::read(&mut short.as_slice()).is_err());
        Ok(())
    }
}
