//! What is kept for one resource and one machine: a line of JSON that says of what, and the material after it,
//! which goes through no text. The store seals it, and binds it to its place and version.

use super::Template;
use crate::store::Resource;
use nitride_kbs::limits::MAX_MATERIAL_LEN;
use nitride_kbs::resource::ResourcePath;
use serde::{Deserialize, Serialize};
use std::fmt;
use thiserror::Error;

const VERSION: u32 = 1;
/// The line is no longer.
const MAX_HEAD_LEN: usize = 8192;
const END_OF_HEAD: u8 = b'\n';

/// A secret of one machine, or that it was destroyed.
pub(crate) struct Kept {
    head: Head,
    /// Line and material, wiped when dropped.
    bytes: Resource,
    /// Where the material begins.
    at: usize,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Head {
    version: u32,
    path: String,
    machine: String,
    /// The material's, from 1; it grows for as long as the place is there.
    number: u32,
    r#type: String,
    made_secs: u64,
    is_destroyed: bool,
}

/// Why bytes are no secret of this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(crate) enum KeptError {
    #[error("the record is not of version {VERSION}")]
    Malformed,
    #[error("the record is another resource's or machine's")]
    Misplaced,
    #[error("there are no more versions of it")]
    NoMoreVersions,
}

impl Kept {
    /// The first one.
    pub(super) fn first(
        (path, machine): (&ResourcePath, &str),
        template: &Template,
        material: &[u8],
        now_secs: u64,
    ) -> Result<Self, KeptError> {
        let head = Head {
            version: VERSION,
            path: path.as_str().to_owned(),
            machine: machine.to_owned(),
            number: 1,
            r#type: template.key_type().to_owned(),
            made_secs: now_secs,
            is_destroyed: false,
        };
        Self::write(head, material)
    }

    /// The one after it.
    pub(super) fn next(
        &self,
        template: &Template,
        material: &[u8],
        now_secs: u64,
    ) -> Result<Self, KeptError> {
        let number = self.head.number.checked_add(1);
        let head = Head {
            number: number.ok_or(KeptError::NoMoreVersions)?,
            r#type: template.key_type().to_owned(),
            made_secs: now_secs,
            is_destroyed: false,
            ..self.head.clone()
        };
        Self::write(head, material)
    }

    /// Its name and number without the material: the next one is not to have a number that a vault saw.
    pub(super) fn destroyed(&self) -> Result<Self, KeptError> {
        let head = Head {
            is_destroyed: true,
            ..self.head.clone()
        };
        Self::write(head, b"")
    }

    fn write(head: Head, material: &[u8]) -> Result<Self, KeptError> {
        let line = serde_json::to_vec(&head).map_err(|_| KeptError::Malformed)?;
        let at = line.len() + 1;
        // Sized once, so that no growing leaves a copy behind.
        let mut bytes = Resource::new(Vec::with_capacity(at + material.len()));
        bytes.extend_from_slice(&line);
        bytes.push(END_OF_HEAD);
        bytes.extend_from_slice(material);
        Ok(Self { head, bytes, at })
    }

    /// What a place has, whosever it is.
    pub(super) fn read(bytes: Resource) -> Result<Self, KeptError> {
        let mut first = bytes.iter().take(MAX_HEAD_LEN);
        let end = first.position(|byte| *byte == END_OF_HEAD);
        let line = end.and_then(|end| bytes.get(..end));
        let head: Head = line
            .and_then(|line| serde_json::from_slice(line).ok())
            .ok_or(KeptError::Malformed)?;
        let at = end.map_or(0, |end| end + 1);
        let len = bytes.len() - at;
        // Destroyed is to be without material, and nothing else is.
        let fits = (len == 0) == head.is_destroyed && len <= MAX_MATERIAL_LEN;
        if head.version != VERSION || head.number == 0 || !fits {
            return Err(KeptError::Malformed);
        }
        Ok(Self { head, bytes, at })
    }

    /// Refuses what is of another resource or machine.
    pub(super) fn checked(self, path: &ResourcePath, machine: &str) -> Result<Self, KeptError> {
        let Head {
            path: own,
            machine: of,
            ..
        } = &self.head;
        if own != path.as_str() || of != machine {
            return Err(KeptError::Misplaced);
        }
        Ok(self)
    }

    /// As it is stored; a copy, wiped as this one is.
    pub(super) fn to_store(&self) -> Resource {
        self.bytes.clone()
    }

    pub(crate) fn path(&self) -> &str {
        &self.head.path
    }

    pub(crate) fn machine(&self) -> &str {
        &self.head.machine
    }

    /// The material's version.
    pub(crate) fn number(&self) -> u32 {
        self.head.number
    }

    pub(crate) fn key_type(&self) -> &str {
        &self.head.r#type
    }

    pub(crate) fn made_secs(&self) -> u64 {
        self.head.made_secs
    }

    pub(crate) fn is_destroyed(&self) -> bool {
        self.head.is_destroyed
    }

    /// The secret itself; nothing where it was destroyed.
    pub(super) fn material(&self) -> &[u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }
}

/// What it is is nobody's to print.
impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kept")
            .field("head", &self.head)
            .finish_non_exhaustive()
    }
}
