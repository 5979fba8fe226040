//! What a header's JSON says, as types. Whether it is wanted is for `check`.

use super::fault::HeaderFault;
use super::json::Value;
use super::members::Members;
use sha2::{Digest as _, Sha256};
use std::fmt;

/// The JSON of a header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Metadata {
    pub(crate) keyslots: Vec<Keyslot>,
    pub(crate) tokens: Vec<Token>,
    pub(crate) segments: Vec<Segment>,
    pub(crate) digests: Vec<Digest>,
    pub(crate) config: Config,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Keyslot {
    pub(crate) number: u8,
    /// Bytes of the volume key.
    pub(crate) key_len: u64,
    pub(crate) is_ignored: bool,
    pub(crate) stripes: u64,
    pub(crate) split_hash: String,
    pub(crate) area: Area,
    pub(crate) kdf: Kdf,
}

/// Where a slot's material is, in bytes from the device's first, and what it is encrypted by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Area {
    pub(crate) offset: u64,
    pub(crate) len: u64,
    pub(crate) cipher: String,
    pub(crate) key_len: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kdf {
    Pbkdf2 {
        hash: String,
        iterations: u64,
    },
    Argon2id {
        passes: u64,
        memory_kib: u64,
        threads: u64,
    },
    /// One that is not known to be sound.
    Other(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) number: u8,
    pub(crate) kind: String,
}

/// A segment of the type `crypt`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) number: u8,
    pub(crate) offset: u64,
    /// `None`: to the end of the device.
    pub(crate) len: Option<u64>,
    pub(crate) iv_tweak: u64,
    pub(crate) cipher: String,
    pub(crate) sector_len: u64,
    pub(crate) integrity: Option<String>,
    pub(crate) flags: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Digest {
    pub(crate) number: u8,
    pub(crate) keyslots: Vec<u8>,
    pub(crate) segments: Vec<u8>,
    pub(crate) hash: String,
    pub(crate) iterations: u64,
    /// Bytes of its salt.
    pub(crate) salt_len: usize,
    /// Bytes of its value.
    pub(crate) len: usize,
    /// SHA-256 over what makes it the digest of one key: hash, iterations, salt and value.
    pub(crate) fingerprint: [u8; 32],
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Config {
    pub(crate) keyslots_len: u64,
    pub(crate) flags: Vec<String>,
}

impl Metadata {
    /// Reads the header's object. `json_len` is the length of the area that it stands in.
    ///
    /// What says that the volume is being encrypted anew comes first: such a header differs in
    /// much, and that is the fault that it has.
    pub(super) fn of(value: Value<'_>, json_len: usize) -> Result<Self, HeaderFault> {
        let mut members = Members::of("the header", value)?;
        let config = members.take("config").ok_or(members.fault("config"))?;
        let config = Config::of(config, json_len)?;
        let keyslots = each(members.numbered("keyslots")?, Keyslot::of)?;
        let segments = each(members.numbered("segments")?, Segment::of)?;
        let digests = each(members.numbered("digests")?, Digest::of)?;
        let tokens = each(members.numbered("tokens")?, Token::of)?;
        members.end()?;
        Ok(Self {
            keyslots,
            tokens,
            segments,
            digests,
            config,
        })
    }
}

fn each<T>(
    numbered: Vec<(u8, Value<'_>)>,
    of: impl Fn(u8, Value<'_>) -> Result<T, HeaderFault>,
) -> Result<Vec<T>, HeaderFault> {
    numbered
        .into_iter()
        .map(|(number, value)| of(number, value))
        .collect()
}

impl Config {
    fn of(value: Value<'_>, json_len: usize) -> Result<Self, HeaderFault> {
        let mut members = Members::of("config", value)?;
        if let Some(requirements) = members.take("requirements") {
            let mut requirements = Members::of("config.requirements", requirements)?;
            let names = requirements.texts("mandatory")?;
            requirements.end()?;
            if let Some(name) = names.first() {
                return Err(match name.contains("reencrypt") {
                    true => HeaderFault::Reencryption {
                        place: format!("the requirement {name:?}"),
                    },
                    false => HeaderFault::Requirement {
                        name: (*name).to_owned(),
                    },
                });
            }
        }
        if members.decimal("json_size")? != json_len as u64 {
            return Err(members.fault("json_size"));
        }
        let config = Self {
            keyslots_len: members.decimal("keyslots_size")?,
            flags: owned(members.texts("flags")?),
        };
        members.end()?;
        Ok(config)
    }
}

impl Keyslot {
    fn of(number: u8, value: Value<'_>) -> Result<Self, HeaderFault> {
        let mut members = Members::of(format!("keyslot {number}"), value)?;
        match members.text("type")? {
            "luks2" => {}
            "reencrypt" => {
                let place = members.place().to_owned();
                return Err(HeaderFault::Reencryption { place });
            }
            other => {
                let found = other.to_owned();
                return Err(HeaderFault::KeyslotType { number, found });
            }
        }
        let is_ignored = match members.take("priority") {
            None | Some(Value::Number(1 | 2)) => false,
            Some(Value::Number(0)) => true,
            Some(_) => return Err(members.fault("priority")),
        };
        let key_len = members.number("key_size")?;
        let split = members.take("af").ok_or(members.fault("af"))?;
        let mut split = Members::of(format!("keyslot {number}.af"), split)?;
        if split.text("type")? != "luks1" {
            return Err(split.fault("type"));
        }
        let (stripes, split_hash) = (split.number("stripes")?, split.text("hash")?.to_owned());
        split.end()?;
        let area = members.take("area").ok_or(members.fault("area"))?;
        let kdf = members.take("kdf").ok_or(members.fault("kdf"))?;
        members.end()?;
        Ok(Self {
            number,
            key_len,
            is_ignored,
            stripes,
            split_hash,
            area: Area::of(number, area)?,
            kdf: Kdf::of(number, kdf)?,
        })
    }
}

impl Area {
    fn of(number: u8, value: Value<'_>) -> Result<Self, HeaderFault> {
        let mut members = Members::of(format!("keyslot {number}.area"), value)?;
        if members.text("type")? != "raw" {
            return Err(members.fault("type"));
        }
        let area = Self {
            offset: members.decimal("offset")?,
            len: members.decimal("size")?,
            cipher: members.text("encryption")?.to_owned(),
            key_len: members.number("key_size")?,
        };
        members.end()?;
        Ok(area)
    }
}

impl Kdf {
    fn of(number: u8, value: Value<'_>) -> Result<Self, HeaderFault> {
        let mut members = Members::of(format!("keyslot {number}.kdf"), value)?;
        let kdf = match members.text("type")? {
            "pbkdf2" => Self::Pbkdf2 {
                hash: members.text("hash")?.to_owned(),
                iterations: members.number("iterations")?,
            },
            "argon2id" => Self::Argon2id {
                passes: members.number("time")?,
                memory_kib: members.number("memory")?,
                threads: members.number("cpus")?,
            },
            other => return Ok(Self::Other(other.to_owned())),
        };
        members.base64("salt")?;
        members.end()?;
        Ok(kdf)
    }
}

impl Token {
    /// Tokens have members as they please; of those that are not wanted none is looked at.
    fn of(number: u8, value: Value<'_>) -> Result<Self, HeaderFault> {
        let mut members = Members::of(format!("token {number}"), value)?;
        let kind = members.text("type")?.to_owned();
        Ok(Self { number, kind })
    }
}

impl Segment {
    fn of(number: u8, value: Value<'_>) -> Result<Self, HeaderFault> {
        let mut members = Members::of(format!("segment {number}"), value)?;
        match members.text("type")? {
            "crypt" => {}
            other => {
                let found = other.to_owned();
                return Err(HeaderFault::SegmentType { number, found });
            }
        }
        let integrity = members.take("integrity").map(|value| {
            let mut members = Members::of(format!("segment {number}.integrity"), value)?;
            let kind = members.text("type")?.to_owned();
            for journal in ["journal_encryption", "journal_integrity"] {
                if members.text(journal)? != "none" {
                    return Err(members.fault(journal));
                }
            }
            members.end()?;
            Ok(kind)
        });
        let len = match members.text("size")? {
            "dynamic" => None,
            text => match text.parse::<u64>() {
                Ok(len) if len.to_string() == text => Some(len),
                _ => return Err(members.fault("size")),
            },
        };
        let segment = Self {
            number,
            offset: members.decimal("offset")?,
            len,
            iv_tweak: members.decimal("iv_tweak")?,
            cipher: members.text("encryption")?.to_owned(),
            sector_len: members.number("sector_size")?,
            integrity: integrity.transpose()?,
            flags: owned(members.texts("flags")?),
        };
        members.end()?;
        Ok(segment)
    }
}

impl Digest {
    fn of(number: u8, value: Value<'_>) -> Result<Self, HeaderFault> {
        let mut members = Members::of(format!("digest {number}"), value)?;
        if members.text("type")? != "pbkdf2" {
            return Err(members.fault("type"));
        }
        let (hash, iterations) = (members.text("hash")?, members.number("iterations")?);
        let (salt, salt_bytes) = members.base64("salt")?;
        let (digest, digest_bytes) = members.base64("digest")?;
        let text = format!("nitride-luks2-digest-1\n{hash}\n{iterations}\n{salt}\n{digest}\n");
        let made = Self {
            number,
            keyslots: members.numbers("keyslots")?,
            segments: members.numbers("segments")?,
            hash: hash.to_owned(),
            iterations,
            salt_len: salt_bytes.len(),
            len: digest_bytes.len(),
            fingerprint: Sha256::digest(text).into(),
        };
        members.end()?;
        Ok(made)
    }
}

fn owned(texts: Vec<&str>) -> Vec<String> {
    texts.into_iter().map(str::to_owned).collect()
}

impl fmt::Display for Kdf {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pbkdf2 { hash, iterations } => {
                write!(formatter, "pbkdf2 of {iterations} iterations of {hash}")
            }
            Self::Argon2id {
                passes,
                memory_kib,
                threads,
            } => write!(
                formatter,
                "argon2id of {passes} passes over {memory_kib} KiB by {threads} threads"
            ),
            Self::Other(name) => formatter.write_str(name),
        }
    }
}
