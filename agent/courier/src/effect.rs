use crate::HttpRequest;
use crate::fault::Failure;
use nitride_kbs::tee_key::TeeKeyForm;
use nitride_protocol::Status;
use std::fmt;
use zeroize::Zeroizing;

/// What the shell does next. One effect is under way at a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Send this, then bring [`crate::Event::Http`]; at `until_ms` drop it and bring
    /// [`crate::Event::Timer`].
    Http {
        /// The request.
        request: HttpRequest,
        /// When to give up, on the clock of [`crate::Round::step`].
        until_ms: u64,
    },
    /// Ask the vault, then bring [`crate::Event::Vault`]; at `until_ms` bring
    /// [`crate::Event::Timer`].
    AskVault {
        /// The question.
        question: Question,
        /// When to give up.
        until_ms: u64,
    },
    /// Do nothing, and bring [`crate::Event::Timer`] at `until_ms`.
    Wait {
        /// When to come back.
        until_ms: u64,
    },
    /// The round is over.
    Done(Outcome),
}

/// A question to the vault within this round. Ciphertext and tokens are not shown by `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub enum Question {
    /// The service's challenge; the answer is [`VaultAnswer::Evidence`].
    Challenge {
        /// Opaque text.
        nonce: String,
        /// The hash that the service selected; `None` is SHA-384.
        hash: Option<String>,
        /// The forms of TEE key that the service offers, as far as this protocol knows them.
        tee_keys: Vec<TeeKeyForm>,
        /// Whether the service witnesses the head of the vault's audit.
        wants_audit_head: bool,
    },
    /// The attestation result.
    Result {
        /// A JWT, as the service gave it.
        token: String,
    },
    /// One resource.
    Resource {
        /// `repository/type/tag`, as the order named it.
        resource: String,
        /// A JWE, as the service gave it.
        jwe: Vec<u8>,
    },
    /// One resource that was read here, for a round in the clear: the one question with a secret.
    Plaintext {
        /// `repository/type/tag`, as the order named it.
        resource: String,
        /// Which version of the secret it is.
        version: u32,
        /// For how long the service says that it may be kept.
        lease_secs: Option<u64>,
        /// An envelope, or a key's bytes.
        material: Zeroizing<Vec<u8>>,
    },
    /// What could not be had.
    Failure(Failure),
    /// Nothing more will come.
    Finish,
}

impl Question {
    /// The operation's name in the protocol.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Challenge { .. } => "challenge",
            Self::Result { .. } => "result",
            Self::Resource { .. } => "resource",
            Self::Plaintext { .. } => "plaintext",
            Self::Failure(_) => "failure",
            Self::Finish => "finish",
        }
    }
}

impl fmt::Debug for Question {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Resource { resource, jwe } => formatter
                .debug_struct("Resource")
                .field("resource", resource)
                .field("jwe_len", &jwe.len())
                .finish(),
            Self::Plaintext {
                resource,
                version,
                lease_secs,
                material: _,
            } => formatter
                .debug_struct("Plaintext")
                .field("resource", resource)
                .field("version", version)
                .field("lease_secs", lease_secs)
                .finish_non_exhaustive(),
            Self::Failure(failure) => formatter.debug_tuple("Failure").field(failure).finish(),
            Self::Challenge { .. } | Self::Result { .. } | Self::Finish => {
                formatter.write_str(self.name())
            }
        }
    }
}

/// What the vault answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VaultAnswer {
    /// To [`Question::Challenge`].
    Evidence {
        /// The round's public key, a JWK as JSON.
        tee_pubkey: String,
        /// JSON.
        primary_evidence: String,
        /// JSON, or `""`.
        additional_evidence: String,
        /// The init-data document, where the machine was started with one.
        init_data: Option<String>,
        /// The number and the digest of the audit's newest entry, where the evidence binds them.
        audit_head: Option<(u64, [u8; 32])>,
    },
    /// To every other question.
    Accepted,
    /// The question was refused.
    Refused(Status),
}

/// What came of a round, for the log and the status line: the vault has its own account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// How it ended.
    pub ending: Ending,
    /// Resources that the vault took.
    pub delivered: usize,
    /// Resources, or a result, that the vault was given and refused.
    pub refused_by_vault: usize,
    /// Resources that the service did not give.
    pub failed: usize,
}

/// How a round ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// Everything was carried, or its failure reported.
    Finished,
    /// The vault does not know the round any more.
    Forgotten,
    /// The budget ran out before the vault had answered.
    OutOfTime,
}
