use std::fmt;
use thiserror::Error;

/// Greatest number of cookies that a session may have.
const MAX_COOKIES: usize = 8;
/// Greatest length of one cookie, name and value together, in bytes.
const MAX_COOKIE_LEN: usize = 16_384;

/// The cookies of one session, sent back verbatim. They are credentials, so they are never shown.
///
/// A session lives for one round at one service, so paths, domains and dates are not looked at.
#[derive(Default, Clone)]
pub(crate) struct Cookies {
    pairs: Vec<String>,
}

/// A `Set-Cookie` that is not `name=value` in printable ASCII, or more of them than a session has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("session cookie is malformed or too large")]
pub(crate) struct BadCookie;

impl Cookies {
    /// Takes the values of an answer's `Set-Cookie` headers; a newer cookie replaces its namesake.
    pub(crate) fn store(&mut self, set_cookies: &[String]) -> Result<(), BadCookie> {
        for line in set_cookies {
            let pair = line.split(';').next().unwrap_or_default().trim();
            let (name, _) = pair.split_once('=').ok_or(BadCookie)?;
            let printable = pair.bytes().all(|byte| (0x21..0x7f).contains(&byte));
            if name.is_empty() || !printable || pair.len() > MAX_COOKIE_LEN {
                return Err(BadCookie);
            }
            let namesake = |other: &String| other.split_once('=').is_some_and(|(n, _)| n == name);
            self.pairs.retain(|other| !namesake(other));
            self.pairs.push(pair.to_owned());
        }
        if self.pairs.len() > MAX_COOKIES {
            return Err(BadCookie);
        }
        Ok(())
    }

    /// The value of the `Cookie` header, if there is one to send.
    pub(crate) fn header(&self) -> Option<String> {
        (!self.pairs.is_empty()).then(|| self.pairs.join("; "))
    }
}

impl fmt::Debug for Cookies {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Cookies({} redacted)", self.pairs.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(lines: &[&str]) -> Result<Option<String>, BadCookie> {
        let lines: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
        let mut cookies = Cookies::default();
        cookies.store(&lines)?;
        Ok(cookies.header())
    }

    #[test]
    fn the_session_cookie_is_kept_verbatim_without_its_attributes() {
        assert_eq!(
            stored(&["kbs-session-id=0aB=; Expires=Thu, 01 Jan 2026 00:00:00 GMT; Path=/"]),
            Ok(Some("kbs-session-id=0aB=".to_owned()))
        );
        assert_eq!(stored(&[]), Ok(None));
    }

    #[test]
    fn a_newer_cookie_replaces_its_namesake() {
        assert_eq!(
            stored(&["a=1", "b=2", "a=3"]),
            Ok(Some("b=2; a=3".to_owned()))
        );
    }

    #[test]
    fn what_could_break_out_of_the_header_is_refused() {
        for line in ["", "novalue", "=x", "a=b\r\nx: y", "a=b c", "a=\u{e4}"] {
            assert_eq!(stored(&[line]), Err(BadCookie), "{line:?}");
        }
        let long = format!("a={}", "x".repeat(MAX_COOKIE_LEN));
        assert_eq!(stored(&[&long]), Err(BadCookie));
        let many: Vec<String> = (0..=MAX_COOKIES).map(|n| format!("c{n}=1")).collect();
        assert_eq!(Cookies::default().store(&many), Err(BadCookie));
    }

    #[test]
    fn cookies_are_not_shown() {
        let mut cookies = Cookies::default();
        cookies.store(&["a=hidden".to_owned()]).unwrap();
        assert!(!format!("{cookies:?}").contains("hidden"));
    }
}
