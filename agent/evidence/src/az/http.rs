//! As much of HTTP/1.1 (RFC 9112) as one question to the metadata service takes: an answer is read from
//! what has come so far.

use thiserror::Error;

/// Headers that are read.
const MAX_HEADERS: usize = 64;

/// Why bytes are no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(super) enum HttpError {
    #[error("the answer does not begin as one of HTTP does")]
    StatusLine,
    #[error("the answer has a header that is none, or more than {MAX_HEADERS}")]
    Header,
    #[error("the answer states its length twice, or as what is no length")]
    Length,
    #[error("a part of the answer states a length that is none")]
    Chunk,
    #[error("the answer ends within itself")]
    Short,
}

/// One answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Vec<u8>,
}

/// How the end of a body is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Framing {
    Counted(usize),
    Chunked,
    UntilClosed,
}

/// The answer, if all of it has come; `is_closed` says that no more will.
pub(super) fn answer(came: &[u8], is_closed: bool) -> Result<Option<Answer>, HttpError> {
    let more = |error| match is_closed {
        true => Err(error),
        false => Ok(None),
    };
    let Some(end) = find(came, b"\r\n\r\n") else {
        // What will never be one is not waited for.
        let begun = came.get(..came.len().min(7)).unwrap_or_default();
        return match b"HTTP/1.".starts_with(begun) {
            true => more(HttpError::Short),
            false => Err(HttpError::StatusLine),
        };
    };
    let (head, body) = came.split_at(end);
    let body = body.get(4..).unwrap_or_default();
    let head = std::str::from_utf8(head).map_err(|_| HttpError::Header)?;
    let (status, framing) = read_head(head)?;
    let body = match framing {
        Framing::Counted(len) => body.get(..len).map(<[u8]>::to_vec),
        Framing::Chunked => unchunked(body)?,
        Framing::UntilClosed => is_closed.then(|| body.to_vec()),
    };
    match body {
        Some(body) => Ok(Some(Answer { status, body })),
        None => more(HttpError::Short),
    }
}

fn read_head(head: &str) -> Result<(u16, Framing), HttpError> {
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(status).ok_or(HttpError::StatusLine)?;
    let mut framing = Framing::UntilClosed;
    for (count, line) in lines.enumerate() {
        let (name, value) = line.split_once(':').ok_or(HttpError::Header)?;
        if count >= MAX_HEADERS || name.is_empty() || name.contains([' ', '\t']) {
            return Err(HttpError::Header);
        }
        let value = value.trim_matches([' ', '\t']);
        let stated = if name.eq_ignore_ascii_case("content-length") {
            Framing::Counted(decimal(value).ok_or(HttpError::Length)?)
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            let is_chunked = value.eq_ignore_ascii_case("chunked");
            is_chunked
                .then_some(Framing::Chunked)
                .ok_or(HttpError::Length)?
        } else {
            continue;
        };
        if framing != Framing::UntilClosed {
            return Err(HttpError::Length);
        }
        framing = stated;
    }
    Ok((status, framing))
}

fn status(line: &str) -> Option<u16> {
    let rest = line.strip_prefix("HTTP/1.")?;
    let (_, status) = rest.split_once(' ')?;
    let status = status.get(..3)?;
    let status = status
        .bytes()
        .all(|byte| byte.is_ascii_digit())
        .then_some(status)?;
    status.parse().ok()
}

/// Digits alone: `parse` takes a sign as well.
fn decimal(text: &str) -> Option<usize> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().ok()).flatten()
}

/// RFC 9112, 7.1; `None` if there is more to come.
fn unchunked(mut rest: &[u8]) -> Result<Option<Vec<u8>>, HttpError> {
    let mut body = Vec::new();
    loop {
        let Some(end) = find(rest, b"\r\n") else {
            // A length has at most eight digits, and extensions are not spoken here.
            return if rest.len() > 10 {
                Err(HttpError::Chunk)
            } else {
                Ok(None)
            };
        };
        let (len, after) = rest.split_at(end);
        let len = std::str::from_utf8(len).map_err(|_| HttpError::Chunk)?;
        let is_number = (1..=8).contains(&len.len()) && len.bytes().all(|b| b.is_ascii_hexdigit());
        let len = is_number
            .then(|| usize::from_str_radix(len, 16).ok())
            .flatten();
        let len = len.ok_or(HttpError::Chunk)?;
        let after = after.get(2..).unwrap_or_default();
        if len == 0 {
            return Ok(Some(body));
        }
        let (Some(part), Some(end)) = (after.get(..len), after.get(len..len.saturating_add(2)))
        else {
            return Ok(None);
        };
        if end != b"\r\n" {
            return Err(HttpError::Chunk);
        }
        body.extend(part);
        rest = after.get(len.saturating_add(2)..).unwrap_or_default();
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes
        .windows(wanted.len())
        .position(|window| window == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str, is_closed: bool) -> Result<Option<(u16, String)>, HttpError> {
        let read = answer(text.as_bytes(), is_closed)?;
        Ok(read.map(|read| (read.status, String::from_utf8(read.body).unwrap())))
    }

    #[test]
    fn an_answer_is_taken_when_all_of_it_has_come() {
        for (text, body) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", "{}"),
            ("HTTP/1.1 200\r\ncontent-length:0\r\nX: y\r\n\r\n", ""),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n00a\r\n\"a\":12345}\r\n0\r\n",
                "{\"a\":12345}",
            ),
        ] {
            let wanted = Ok(Some((200, body.to_owned())));
            assert_eq!(read(text, false), wanted);
            for len in 0..text.len() {
                assert_eq!(read(&text[..len], false), Ok(None), "{}", &text[..len]);
                assert_eq!(read(&text[..len], true), Err(HttpError::Short));
            }
        }
        let open_ended = "HTTP/1.0 429 Too Many\r\n\r\nbusy";
        assert_eq!(read(open_ended, false), Ok(None));
        assert_eq!(read(open_ended, true), Ok(Some((429, "busy".to_owned()))));
    }

    #[test]
    fn what_is_no_answer_is_named_and_not_waited_for() {
        for (text, error) in [
            ("SSH-2.0", HttpError::StatusLine),
            ("HTTP/2 200 OK\r\n\r\n", HttpError::StatusLine),
            ("HTTP/1.1 +20 OK\r\n\r\n", HttpError::StatusLine),
            ("HTTP/1.1 200 OK\r\nno header\r\n\r\n", HttpError::Header),
            ("HTTP/1.1 200 OK\r\nLength : 2\r\n\r\n", HttpError::Header),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\n",
                HttpError::Length,
            ),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
                HttpError::Length,
            ),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n",
                HttpError::Length,
            ),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n",
                HttpError::Chunk,
            ),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc",
                HttpError::Chunk,
            ),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffff",
                HttpError::Chunk,
            ),
        ] {
            assert_eq!(read(text, false), Err(error), "{text}");
        }
        let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "a: b\r\n".repeat(65));
        assert_eq!(read(&many, false), Err(HttpError::Header));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(
            head in "(HTTP/1\\.1 200 OK)?(\r\n(Content-Length|Transfer-Encoding): ?[a-z0-9]{0,9}){0,2}\r\n\r\n",
            bytes in proptest::collection::vec(any::<u8>(), 0..40),
        ) {
            let _ = answer(&[head.as_bytes(), &bytes].concat(), true);
            let _ = answer(&bytes, false);
        }
    }
}
