//! What a sealed file begins with: in the clear, authenticated with everything after it.

use super::SealFault;
use crate::Draw;
use crate::keys::record::key_name;
use nitride_protocol::{KeyNameBuf, Reader, Writer};
use nitride_secmem::crypto::sha256;
use std::fmt;
use std::str::FromStr;
use thiserror::Error;

const MAGIC: &[u8; 8] = b"NVSEALED";
/// The format that is written, and the only one that is read.
const FORMAT: u64 = 1;
const MAX_PARAMS_LEN: usize = 4096;
/// Params, a key's name, and what has a fixed length.
const MAX_HEAD_LEN: usize = MAX_PARAMS_LEN + 512;

/// What gives the platform's part of a sealing key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Platform {
    /// A credential of systemd.
    Credential,
    /// A TPM, under a policy of PCRs.
    Tpm,
    /// A key that the SNP firmware derives.
    Snp,
    /// Nothing: it stands in where there is no hardware, and proves nothing.
    Sample,
}

/// No platform has this name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("no platform of a seal has this name")]
pub struct UnknownPlatform;

impl Platform {
    /// Every platform.
    pub const ALL: [Self; 4] = [Self::Credential, Self::Tpm, Self::Snp, Self::Sample];

    /// Its word, in the configuration and in heads.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Credential => "credential",
            Self::Tpm => "tpm",
            Self::Snp => "snp",
            Self::Sample => "sample",
        }
    }
}

impl FromStr for Platform {
    type Err = UnknownPlatform;

    fn from_str(word: &str) -> Result<Self, UnknownPlatform> {
        let mut all = Self::ALL.into_iter();
        all.find(|platform| platform.as_str() == word)
            .ok_or(UnknownPlatform)
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The value of the counter under which a file is the newest: one value, since every range that
/// files of two lives share lets the older one pass for the newer ([`super::Ladder`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Generation(pub u64);

impl Generation {
    /// Of a file that no counter guards. A counter begins at 1.
    pub const NONE: Self = Self(0);

    /// Whether a file of this generation is the newest while the counter is at `counter`; 0 where
    /// there is none.
    #[must_use]
    pub const fn accepts(self, counter: u64) -> bool {
        self.0 == counter
    }

    /// That of a file that is written while the counter is at `counter`: it counts once the counter
    /// has gone up. `None` after the last.
    #[must_use]
    pub const fn next(counter: u64) -> Option<Self> {
        match counter.checked_add(1) {
            Some(value) => Some(Self(value)),
            None => None,
        }
    }
}

/// The head of a file. [`Head::new`] makes one to seal under, [`Head::parse`] one to open.
#[derive(Debug, PartialEq, Eq)]
pub struct Head {
    /// What gave the platform's part.
    pub platform: Platform,
    /// What it wants back for that; opaque here.
    pub params: Vec<u8>,
    /// The key that is the other part.
    pub provisioned: Option<KeyNameBuf>,
    /// Drawn for this file alone.
    pub salt: [u8; 32],
    /// When it is the newest.
    pub generation: Generation,
    is_new: bool,
}

impl Head {
    /// The head of a file that is to be written, with a salt that none had before.
    ///
    /// # Errors
    /// [`SealFault::ParamsTooLong`].
    pub fn new(
        platform: Platform,
        params: Vec<u8>,
        provisioned: Option<KeyNameBuf>,
        generation: Generation,
        draw: &mut dyn Draw,
    ) -> Result<Self, SealFault> {
        if params.len() > MAX_PARAMS_LEN {
            return Err(SealFault::ParamsTooLong);
        }
        let mut salt = [0; 32];
        draw.fill(&mut salt);
        Ok(Self {
            platform,
            params,
            provisioned,
            salt,
            generation,
            is_new: true,
        })
    }

    /// The head of a file, and its length. What it says is whoever's who could write the file,
    /// until [`crate::Vault::unseal`] has opened it.
    ///
    /// # Errors
    /// [`SealFault::NotASeal`], [`SealFault::UnknownFormat`], [`SealFault::Malformed`].
    pub fn parse(file: &[u8]) -> Result<(Self, usize), SealFault> {
        let rest = file.strip_prefix(MAGIC).ok_or(SealFault::NotASeal)?;
        let mut reader = Reader::new(rest.get(..MAX_HEAD_LEN).unwrap_or(rest));
        let fields = reader.array()?;
        let format = reader.u64()?;
        // Before anything else: another format may have any fields.
        if format != FORMAT {
            return Err(SealFault::UnknownFormat { format });
        }
        if fields != 6 {
            return Err(SealFault::Inconsistent { what: "fields" });
        }
        let Ok(platform) = reader.text()?.parse() else {
            return Err(SealFault::Inconsistent { what: "platform" });
        };
        let params = reader.bytes()?;
        if params.len() > MAX_PARAMS_LEN {
            return Err(SealFault::ParamsTooLong);
        }
        let head = Self {
            platform,
            params: params.to_vec(),
            provisioned: reader.optional(key_name)?,
            salt: *reader.byte_array("salt")?,
            generation: Generation(reader.u64()?),
            is_new: false,
        };
        Ok((head, MAGIC.len() + reader.position()))
    }

    /// As it stands at the beginning of its file.
    pub(super) fn encode(&self) -> Result<Vec<u8>, SealFault> {
        let mut room = vec![0; MAX_HEAD_LEN];
        let mut writer = Writer::new(&mut room);
        writer.raw(MAGIC)?;
        writer.array(6)?;
        writer.u64(FORMAT)?;
        writer.text(self.platform.as_str())?;
        writer.bytes(&self.params)?;
        let provisioned = self.provisioned.as_ref().map(KeyNameBuf::as_str);
        writer.optional(provisioned, Writer::text)?;
        writer.bytes(&self.salt)?;
        writer.u64(self.generation.0)?;
        let len = writer.position();
        room.truncate(len);
        Ok(room)
    }

    /// What binds everything after it to it.
    pub(super) fn digest(&self) -> Result<[u8; 32], SealFault> {
        Ok(sha256(&[&self.encode()?]))
    }

    /// Whether nothing was ever sealed under it.
    pub(super) fn is_new(&self) -> bool {
        self.is_new
    }
}
