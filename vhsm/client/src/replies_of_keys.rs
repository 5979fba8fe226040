use nitride_protocol::application::BatchAnswer;
use nitride_protocol::{Status, admin, application};
use zeroize::Zeroizing;

/// A wrapped key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrapped {
    /// The version of the wrapping key.
    pub wrapping_version: u32,
    /// The key, encrypted together with the policy that travels with it.
    pub wrapped: Vec<u8>,
}

/// What an encapsulation gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encapsulated {
    /// The version of the key whose public half was used.
    pub key_version: u32,
    /// For `decapsulate`.
    pub ciphertext: Vec<u8>,
    /// The new key's version.
    pub version: u32,
}

/// Evidence of the TEE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attested {
    /// Where it comes from; `sample` proves nothing.
    pub tee: String,
    /// SHA-384 over the domain's label and the caller's data, and the head where one was asked for.
    pub report_data: [u8; 48],
    /// JSON.
    pub primary_evidence: String,
    /// JSON; may be empty.
    pub additional_evidence: String,
    /// The head of the audit that it is over, if that was asked for.
    pub audit_head: Option<AuditHead>,
}

/// The newest entry of the audit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuditHead {
    /// Its number; 0 is none yet.
    pub sequence: u64,
    /// Its digest in the chain.
    pub digest: [u8; 32],
}

/// A decision that nobody asked for in earnest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explained {
    /// Whether it would be allowed.
    pub allowed: bool,
    /// Why, or why not.
    pub because: Vec<String>,
}

/// A part of a backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupPart {
    /// The part, sealed to the recipient.
    pub sealed: Vec<u8>,
    /// Where the next part begins; `None` is the end.
    pub next: Option<Vec<u8>>,
}

/// What became of one item of a batch.
pub enum Answer {
    /// vhsmd refused it.
    Refused(Status),
    /// Done, and there is nothing to give.
    Done,
    /// The ciphertext, the plaintext or the random bytes; erased when dropped.
    Bytes(Zeroizing<Vec<u8>>),
    /// The signature, the tag or the public half.
    Versioned {
        /// The version that was used.
        version: u32,
        /// What it gave.
        bytes: Vec<u8>,
    },
}

/// Without the bytes, which may be a plaintext.
impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Refused(status) => f.debug_tuple("Refused").field(status).finish(),
            Self::Done => f.write_str("Done"),
            Self::Bytes(_) => f.debug_struct("Bytes").finish_non_exhaustive(),
            Self::Versioned { version, .. } => f
                .debug_struct("Versioned")
                .field("version", version)
                .finish_non_exhaustive(),
        }
    }
}

impl From<BatchAnswer<'_>> for Answer {
    fn from(answer: BatchAnswer<'_>) -> Self {
        match answer {
            BatchAnswer::Refused(status) => Self::Refused(status),
            BatchAnswer::Done => Self::Done,
            BatchAnswer::Bytes(bytes) => Self::Bytes(Zeroizing::new(bytes.to_vec())),
            BatchAnswer::Versioned { version, bytes } => Self::Versioned {
                version,
                bytes: bytes.to_vec(),
            },
        }
    }
}

impl From<application::Wrapped<'_>> for Wrapped {
    fn from(reply: application::Wrapped<'_>) -> Self {
        Self {
            wrapping_version: reply.wrapping_version,
            wrapped: reply.wrapped.to_vec(),
        }
    }
}

impl From<application::Encapsulated<'_>> for Encapsulated {
    fn from(reply: application::Encapsulated<'_>) -> Self {
        Self {
            key_version: reply.key_version,
            ciphertext: reply.ciphertext.to_vec(),
            version: reply.version,
        }
    }
}

impl From<application::Attested<'_>> for Attested {
    fn from(reply: application::Attested<'_>) -> Self {
        Self {
            tee: reply.tee.to_owned(),
            report_data: *reply.report_data,
            primary_evidence: reply.primary_evidence.to_owned(),
            additional_evidence: reply.additional_evidence.to_owned(),
            audit_head: reply.audit_head.map(AuditHead::from),
        }
    }
}

impl From<application::Head<'_>> for AuditHead {
    fn from(reply: application::Head<'_>) -> Self {
        Self {
            sequence: reply.sequence,
            digest: *reply.digest,
        }
    }
}

impl From<admin::Explained<'_>> for Explained {
    fn from(reply: admin::Explained<'_>) -> Self {
        Self {
            allowed: reply.allowed,
            because: lines(&reply.because),
        }
    }
}

impl From<admin::BackedUp<'_>> for BackupPart {
    fn from(reply: admin::BackedUp<'_>) -> Self {
        Self {
            sealed: reply.sealed.to_vec(),
            next: reply.next.map(<[u8]>::to_vec),
        }
    }
}

pub(crate) fn lines(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}
