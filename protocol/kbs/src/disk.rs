//! Which LUKS2 volume a passphrase is for, in one line that fits an envelope's `disk` entry.
//!
//! ```text
//! luks2:UUID:CIPHER:KEY-BITS:OFFSET:LENGTH:SECTOR:INTEGRITY:DIGEST
//! luks2:7dfa3aba-…:aes-xts-plain64:512:16777216:dynamic:4096:none:47DEQpj8HBSa-_TImW-…
//! ```
//!
//! LUKS2 authenticates nothing of its header, so whoever holds the disk can write another. What
//! stands here is what such a header must not change: the data segment, and the digest object,
//! which belongs to one volume key. Slots are left out: they come and go as passphrases do.

use crate::base64url;
use crate::limits::MAX_POLICY_TEXT_LEN;
use std::fmt;
use std::str::FromStr;
use thiserror::Error;

/// How the text begins.
const KIND: &str = "luks2";
/// Fields after that.
const FIELDS: usize = 8;

/// What a volume's header has to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiskExpectation {
    /// The volume's UUID, in lower case.
    pub uuid: String,
    /// The cipher of the data, such as `aes-xts-plain64`.
    pub cipher: String,
    /// Bits of the volume key, those for integrity included.
    pub key_bits: u32,
    /// Where the data begins, in bytes.
    pub offset: u64,
    /// How many bytes of data; `None`: to the end of the device.
    pub len: Option<u64>,
    /// Bytes that are encrypted together.
    pub sector_len: u32,
    /// What makes each sector authentic, such as `hmac(sha256)`; `None`: nothing does.
    pub integrity: Option<String>,
    /// SHA-256 of the digest object, by which the volume key is known.
    pub digest: [u8; 32],
}

/// Why a text is no [`DiskExpectation`].
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DiskExpectationError {
    /// Another kind, or not as many fields.
    #[error("it does not read luks2:UUID:CIPHER:KEY-BITS:OFFSET:LENGTH:SECTOR:INTEGRITY:DIGEST")]
    Form,
    /// A field that is not what it may be, or has another spelling.
    #[error("its {0} is not one, or is spelt otherwise than nitride-unlock status does")]
    Field(&'static str),
}

impl FromStr for DiskExpectation {
    type Err = DiskExpectationError;

    fn from_str(text: &str) -> Result<Self, DiskExpectationError> {
        if text.len() > MAX_POLICY_TEXT_LEN {
            return Err(DiskExpectationError::Form);
        }
        let (kind, rest) = text.split_once(':').ok_or(DiskExpectationError::Form)?;
        let fields: Vec<&str> = rest.split(':').collect();
        let fields: [&str; FIELDS] = fields.try_into().map_err(|_| DiskExpectationError::Form)?;
        let [
            uuid,
            cipher,
            key_bits,
            offset,
            len,
            sector_len,
            integrity,
            digest,
        ] = fields;
        if kind != KIND {
            return Err(DiskExpectationError::Form);
        }
        let field = DiskExpectationError::Field;
        Ok(Self {
            uuid: is_uuid(uuid)
                .then(|| uuid.to_owned())
                .ok_or(field("UUID"))?,
            cipher: name(cipher).ok_or(field("cipher"))?,
            key_bits: number(key_bits).ok_or(field("number of key bits"))?,
            offset: number(offset).ok_or(field("offset"))?,
            len: match len {
                "dynamic" => None,
                len => Some(number(len).ok_or(field("length"))?),
            },
            sector_len: number(sector_len).ok_or(field("sector size"))?,
            integrity: match integrity {
                "none" => None,
                integrity => Some(name(integrity).ok_or(field("integrity"))?),
            },
            digest: base64url::decode_array(digest).ok_or(field("digest"))?,
        })
    }
}

impl fmt::Display for DiskExpectation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            uuid,
            cipher,
            key_bits,
            offset,
            sector_len,
            ..
        } = self;
        write!(formatter, "{KIND}:{uuid}:{cipher}:{key_bits}:{offset}:")?;
        match self.len {
            None => formatter.write_str("dynamic")?,
            Some(len) => write!(formatter, "{len}")?,
        }
        let integrity = self.integrity.as_deref().unwrap_or("none");
        let digest = base64url::encode(&self.digest);
        write!(formatter, ":{sector_len}:{integrity}:{digest}")
    }
}

/// Whether it is a UUID as LUKS2 headers have it: 36 characters, in lower case.
#[must_use]
pub fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
        })
}

/// A number in its one spelling.
fn number<T: FromStr + fmt::Display>(text: &str) -> Option<T> {
    let number: T = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}

/// A cipher's name, as the kernel has them.
fn name(text: &str) -> Option<String> {
    let is_plain = |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'(' | b')');
    let fits = !text.is_empty() && text != "none" && text.bytes().all(is_plain);
    fits.then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TEXT: &str = "luks2:7dfa3aba-96d9-4de6-90e8-45d3d2d0d897:aes-xts-plain64:512:16777216:\
        dynamic:4096:none:BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc";

    fn written_out() -> DiskExpectation {
        DiskExpectation {
            uuid: "7dfa3aba-96d9-4de6-90e8-45d3d2d0d897".to_owned(),
            cipher: "aes-xts-plain64".to_owned(),
            key_bits: 512,
            offset: 16_777_216,
            len: None,
            sector_len: 4096,
            integrity: None,
            digest: [7; 32],
        }
    }

    #[test]
    fn the_text_reads_as_written_out_and_fits_an_envelope() {
        assert_eq!(TEXT.parse(), Ok(written_out()));
        assert_eq!(written_out().to_string(), TEXT);
        assert!(TEXT.len() <= MAX_POLICY_TEXT_LEN);
    }

    #[test]
    fn a_uuid_alone_is_no_expectation() {
        let parsed = "7dfa3aba-96d9-4de6-90e8-45d3d2d0d897".parse::<DiskExpectation>();
        assert_eq!(parsed, Err(DiskExpectationError::Form));
    }

    #[test]
    fn every_other_spelling_is_refused() {
        for (from, to) in [
            ("luks2", "luks1"),
            ("7dfa", "7DFA"),
            ("7dfa3aba-", "7dfa3aba"),
            ("aes-xts-plain64", ""),
            ("aes-xts-plain64", "aes xts"),
            ("512", "0512"),
            ("512", "+512"),
            ("16777216", "-1"),
            ("dynamic", ""),
            ("dynamic", "Dynamic"),
            ("4096", "4096 "),
            (":none:", "::"),
            ("BwcHBwc:", "BwcHBwc=:"),
            ("Bwc", "Bw"),
            ("luks2:", "luks2::"),
        ] {
            let text = TEXT.replacen(from, to, 1);
            if text != TEXT {
                assert!(text.parse::<DiskExpectation>().is_err(), "{text}");
            }
        }
    }

    proptest! {
        #[test]
        fn what_is_read_has_one_spelling(text in "luks2(:[a-z0-9()-]{0,45}){7,9}") {
            if let Ok(read) = text.parse::<DiskExpectation>() {
                prop_assert_eq!(read.to_string(), text);
            }
        }

        #[test]
        fn whatever_is_written_reads_back(
            key_bits: u32, offset: u64, len: Option<u64>, sector_len: u32, digest: [u8; 32],
            integrity in proptest::option::of("hmac\\(sha(256|512)\\)"),
        ) {
            let written =
                DiskExpectation { key_bits, offset, len, sector_len, digest, integrity, ..written_out() };
            prop_assert_eq!(written.to_string().parse(), Ok(written));
        }
    }
}
