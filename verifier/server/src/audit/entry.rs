//! One entry of the audit: a line of JSON that has the digest of the line before it. Nothing here
//! reads a clock or a file.
//!
//! ```text
//! {"sequence":2,"wall_secs":…,"kind":"release","who":"tee:…","what":"web/key/1","outcome":"ok",
//!  "source":"192.0.2.7","request":"…","count":1,"reason":"rule \"web\"","previous":"<64 digits>"}
//! ```
//!
//! An entry has one spelling: what is read is written again and compared, so that nobody can hide a
//! member in a line or say one twice.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::borrow::Cow;
use thiserror::Error;

/// A digest in the chain.
pub(crate) type Digest = [u8; 32];

/// No line is longer, its end not counted.
pub(crate) const MAX_LINE_LEN: usize = 8192;
/// Of each text so many characters: even if JSON writes every one as two, a line has room.
pub(crate) const MAX_TEXT_CHARS: usize = 512;
/// A resource's path, which is longer than what people write.
pub(crate) const MAX_WHAT_CHARS: usize = 1024;
/// Stands before what is hashed, so that no digest of ours can be taken for another.
const DOMAIN: &[u8] = b"nitride service audit v1\0";

/// What an entry is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    /// The service began.
    Start,
    /// It ended in order.
    Stop,
    /// Evidence was judged.
    Attest,
    /// A resource left, encrypted to a TEE's key.
    Release,
    /// A request was refused.
    Refusal,
    /// A request could not be answered: the service's own fault, or its store's.
    Failure,
    /// An admin asked for something, or it was done.
    Admin,
    /// Policies or certificates were taken anew, or not.
    Reload,
    /// The list of what is revoked was changed.
    Revocation,
    /// The head of a vault's audit was witnessed, or compared.
    Witness,
    /// Entries that could not be written, added up.
    Loss,
}

impl Kind {
    #[cfg(test)]
    pub(crate) const ALL: [Self; 11] = [
        Self::Start,
        Self::Stop,
        Self::Attest,
        Self::Release,
        Self::Refusal,
        Self::Failure,
        Self::Admin,
        Self::Reload,
        Self::Revocation,
        Self::Witness,
        Self::Loss,
    ];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Attest => "attest",
            Self::Release => "release",
            Self::Refusal => "refusal",
            Self::Failure => "failure",
            Self::Admin => "admin",
            Self::Reload => "reload",
            Self::Revocation => "revocation",
            Self::Witness => "witness",
            Self::Loss => "loss",
        }
    }
}

/// What an entry tells, but for its place in the chain. No field is for a secret, a token or the
/// digest of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Event<'a> {
    pub(crate) kind: Kind,
    /// Who asked: `tee:` and the key's digest, or `admin:` and a name; empty is nobody in particular.
    pub(crate) who: Cow<'a, str>,
    /// What was asked for.
    pub(crate) what: Cow<'a, str>,
    /// How it ended: `ok`, or the fault's name.
    pub(crate) outcome: Cow<'a, str>,
    /// The address that asked.
    pub(crate) source: Cow<'a, str>,
    /// The request's id, which the log and the answer have as well.
    pub(crate) request: Cow<'a, str>,
    /// What the entry stands for.
    pub(crate) count: u64,
    /// Why, for people.
    pub(crate) reason: Cow<'a, str>,
}

impl<'a> Event<'a> {
    /// Of the service itself, done.
    pub(crate) fn own(kind: Kind, reason: impl Into<Cow<'a, str>>) -> Self {
        Self {
            kind,
            who: "".into(),
            what: "".into(),
            outcome: "ok".into(),
            source: "".into(),
            request: "".into(),
            count: 1,
            reason: reason.into(),
        }
    }
}

/// An entry as it is written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Entry<'a> {
    pub(crate) sequence: u64,
    pub(crate) wall_secs: u64,
    pub(crate) kind: Kind,
    #[serde(borrow)]
    pub(crate) who: Cow<'a, str>,
    #[serde(borrow)]
    pub(crate) what: Cow<'a, str>,
    #[serde(borrow)]
    pub(crate) outcome: Cow<'a, str>,
    #[serde(borrow)]
    pub(crate) source: Cow<'a, str>,
    #[serde(borrow)]
    pub(crate) request: Cow<'a, str>,
    pub(crate) count: u64,
    #[serde(borrow)]
    pub(crate) reason: Cow<'a, str>,
    #[serde(borrow)]
    pub(crate) previous: Cow<'a, str>,
}

/// Why a line is not an entry.
#[derive(Debug, Error)]
pub(crate) enum EntryError {
    #[error("the line is longer than {MAX_LINE_LEN} bytes")]
    TooLong,
    #[error("the line is no entry")]
    Malformed(#[source] serde_json::Error),
    #[error("the line spells an entry in another way than this program does")]
    OtherSpelling,
}

impl<'a> Entry<'a> {
    /// Reads a line without its end.
    pub(crate) fn parse(line: &'a [u8]) -> Result<Self, EntryError> {
        if line.len() > MAX_LINE_LEN {
            return Err(EntryError::TooLong);
        }
        let entry: Self = serde_json::from_slice(line).map_err(EntryError::Malformed)?;
        let again = serde_json::to_vec(&entry).map_err(EntryError::Malformed)?;
        let is_digest = entry.previous.len() == 64
            && entry
                .previous
                .bytes()
                .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if again != line || !is_digest {
            return Err(EntryError::OtherSpelling);
        }
        Ok(entry)
    }
}

/// The newest entry: what the next one follows. The default is a chain without one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Head {
    /// Its number; 0 is none yet.
    pub(crate) sequence: u64,
    /// Its digest; zero is none yet.
    pub(crate) digest: Digest,
}

impl Head {
    /// The line of `event` as the next entry, its end included, and the head after it, which counts
    /// once the line is where it belongs.
    pub(crate) fn write(&self, event: &Event<'_>, wall_secs: u64) -> Option<(Vec<u8>, Self)> {
        let sequence = self.sequence.checked_add(1)?;
        let entry = Entry {
            sequence,
            wall_secs,
            kind: event.kind,
            who: fit(&event.who, MAX_TEXT_CHARS),
            what: fit(&event.what, MAX_WHAT_CHARS),
            outcome: fit(&event.outcome, MAX_TEXT_CHARS),
            source: fit(&event.source, MAX_TEXT_CHARS),
            request: fit(&event.request, MAX_TEXT_CHARS),
            count: event.count,
            reason: fit(&event.reason, MAX_TEXT_CHARS),
            previous: hex(&self.digest).into(),
        };
        let mut line = serde_json::to_vec(&entry).ok()?;
        let digest = self.follow(&line);
        line.push(b'\n');
        Some((line, Self { sequence, digest }))
    }

    /// The digest of a line that follows this one.
    pub(crate) fn follow(&self, line: &[u8]) -> Digest {
        let mut hash = Sha256::new();
        hash.update(DOMAIN);
        hash.update(self.digest);
        hash.update(line);
        hash.finalize().into()
    }
}

/// A text for one line of a file that people read: printable ASCII, and not too long.
pub(crate) fn fit(text: &str, max_chars: usize) -> Cow<'_, str> {
    let is_fit = |byte: u8| byte == b' ' || byte.is_ascii_graphic();
    if text.len() <= max_chars && text.bytes().all(is_fit) {
        return Cow::Borrowed(text);
    }
    let printable = |c: char| match u8::try_from(c) {
        Ok(byte) if is_fit(byte) => c,
        _ => '?',
    };
    Cow::Owned(text.chars().take(max_chars).map(printable).collect())
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn event(text: &str) -> Event<'_> {
        Event {
            who: text.into(),
            what: text.into(),
            outcome: text.into(),
            source: text.into(),
            request: text.into(),
            count: u64::MAX,
            ..Event::own(Kind::Release, text)
        }
    }

    #[test]
    fn the_longest_event_is_a_line_that_reads_back() {
        for text in [
            "\"".repeat(9999),
            "\\".repeat(9999),
            "\n\u{1f980}".repeat(9999),
        ] {
            let head = Head {
                sequence: u64::MAX - 1,
                digest: [0xff; 32],
            };
            let (line, after) = head.write(&event(&text), u64::MAX).unwrap();
            let (end, line) = line.split_last().unwrap();
            assert_eq!(*end, b'\n');
            assert!(!line.contains(&b'\n'));
            let entry = Entry::parse(line).unwrap();
            assert_eq!(entry.sequence, after.sequence);
            assert_eq!(after.write(&event(""), 0), None);
        }
    }

    #[test]
    fn an_entry_has_one_spelling() {
        let (line, _) = Head::default().write(&event("x"), 7).unwrap();
        let line = String::from_utf8(line).unwrap();
        let line = line.trim_end();
        assert!(Entry::parse(line.as_bytes()).is_ok());
        for other in [
            line.replace("\"count\"", " \"count\""),
            line.replace("{\"sequence\":1", "{\"sequence\":1,\"sequence\":1"),
            line.replace("{\"sequence\":1", "{\"more\":1,\"sequence\":1"),
            line.replace("\"x\"", "\"\\u0078\""),
            line.replace("\"wall_secs\":7", "\"wall_secs\":7.0"),
            line.replace("\"previous\":\"0", "\"previous\":\"A"),
            line.replace("\"previous\":\"0", "\"previous\":\""),
            line.replace("release", "other"),
            format!("{line} "),
            String::new(),
            "[".repeat(MAX_LINE_LEN + 1),
        ] {
            assert!(Entry::parse(other.as_bytes()).is_err(), "{other}");
        }
    }

    #[test]
    fn every_kind_has_the_word_that_is_written() {
        for kind in Kind::ALL {
            assert_eq!(
                serde_json::to_string(&kind).unwrap(),
                format!("{:?}", kind.as_str())
            );
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_an_entry_in_one_spelling_or_none(bytes: Vec<u8>) {
            if let Ok(entry) = Entry::parse(&bytes) {
                prop_assert_eq!(serde_json::to_vec(&entry).unwrap(), bytes);
            }
        }
    }
}
