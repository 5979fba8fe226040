use super::parts::*;
use crate::audit::AuditVerb;
use crate::metrics::MetricsArguments;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Subcommand, ValueEnum};
use nitride_protocol::admin::Protection;
use nitride_protocol::{KeyType, Operation};
use std::path::PathBuf;

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Have the vault draw a new key
    Generate {
        #[command(flatten)]
        new: NewKey,
        #[command(flatten)]
        wrappable_by: WrappableBy,
    },
    /// Give the vault a key's material, raw or in PKCS#8, plain or wrapped
    Import {
        #[command(flatten)]
        new: NewKey,
        #[command(flatten)]
        material: Material,
        #[command(flatten)]
        wrappable_by: WrappableBy,
        #[command(flatten)]
        input: Input,
    },
    /// Print what a key is and which versions it has
    Describe {
        #[command(flatten)]
        key: Key,
    },
    /// Print the keys that you may list
    List {
        /// Only keys whose names start so
        #[arg(default_value = "")]
        prefix: String,
        /// Print no more than so many
        #[arg(long, value_name = "COUNT")]
        limit: Option<usize>,
    },
    /// Print a key's public half
    PublicKey {
        #[command(flatten)]
        key: VersionedKey,
        /// In which form
        #[arg(long, value_enum, value_name = "FORM", default_value_t = PublicForm::Pem)]
        format: PublicForm,
        #[command(flatten)]
        output: Output,
    },
    /// Sign a message
    Sign {
        #[command(flatten)]
        key: Key,
        #[command(flatten)]
        scheme: Scheme,
        #[command(flatten)]
        input: Input,
        #[command(flatten)]
        output: Output,
    },
    /// Check a signature
    Verify {
        #[command(flatten)]
        key: VersionedKey,
        #[command(flatten)]
        scheme: Scheme,
        /// The signature's file
        #[arg(long, value_name = "FILE")]
        signature: PathBuf,
        #[command(flatten)]
        input: Input,
    },
    /// Encrypt data of any length
    ///
    /// More than 64 KiB goes through memory shared with vhsmd, under the same right to encrypt, a
    /// segment at a time, with a progress bar on a terminal, and becomes a file of segments.
    Encrypt {
        #[command(flatten)]
        key: Key,
        #[command(flatten)]
        form: EncryptionForm,
        #[command(flatten)]
        aad: Aad,
        #[command(flatten)]
        input: Input,
        #[command(flatten)]
        output: Output,
    },
    /// Decrypt what encrypt made
    ///
    /// A file of segments goes through memory shared with vhsmd and needs --out,
    /// which appears when all of it has proved genuine.
    Decrypt {
        #[command(flatten)]
        key: VersionedKey,
        #[command(flatten)]
        form: EncryptionForm,
        /// A file with the 12-byte nonce of a ciphertext that another program made and that has
        /// no header; for imported and provisioned keys
        #[arg(long, value_name = "FILE")]
        nonce: Option<PathBuf>,
        #[command(flatten)]
        aad: Aad,
        #[command(flatten)]
        input: Input,
        #[command(flatten)]
        output: Output,
    },
    /// Make a message authentication code
    Mac {
        #[command(flatten)]
        key: Key,
        #[command(flatten)]
        input: Input,
        #[command(flatten)]
        output: Output,
    },
    /// Check a message authentication code
    VerifyMac {
        #[command(flatten)]
        key: VersionedKey,
        /// The code's file
        #[arg(long, value_name = "FILE")]
        tag: PathBuf,
        #[command(flatten)]
        input: Input,
    },
    /// Draw random bytes from the vault's generator
    Random {
        /// How many bytes
        #[arg(value_parser = clap::value_parser!(u32).range(1..=65_536))]
        len: u32,
        #[command(flatten)]
        output: Output,
    },
    /// Write out a secret's bytes, where policy lets you have them
    Release {
        #[command(flatten)]
        key: VersionedKey,
        #[command(flatten)]
        output: Output,
    },
    /// Make a key or a version usable again
    Enable(VersionedKey),
    /// Make a key or a version unusable until it is enabled
    Disable(VersionedKey),
    /// Erase the material of a key or a version, for good
    Destroy(VersionedKey),
    /// Print how the vault is
    Status,
    /// Have vhsmd read its policy anew
    Reload,
    /// Encrypt a key under another one that wraps
    Wrap {
        #[command(flatten)]
        key: VersionedKey,
        #[command(flatten)]
        wrapping_key: WrappingKey,
        #[command(flatten)]
        output: Output,
    },
    /// Make a key of what wrap gave
    Unwrap {
        /// The name the key gets
        #[arg(value_name = "KEY", value_parser = key_name)]
        name: String,
        /// What it must be
        #[arg(
            long = "type",
            value_name = "TYPE",
            value_parser = PossibleValuesParser::new(KeyType::ALL.map(KeyType::as_str))
                .try_map(|word| word.parse::<KeyType>())
        )]
        key_type: KeyType,
        #[command(flatten)]
        wrapping_key: WrappingKey,
        #[command(flatten)]
        input: Input,
    },
    /// Make a key of another one by HKDF
    Derive {
        #[command(flatten)]
        key: VersionedKey,
        #[command(flatten)]
        new: MadeKey,
        #[command(flatten)]
        salt: Salt,
    },
    /// Make a key of a Diffie-Hellman agreement
    Agree {
        #[command(flatten)]
        key: VersionedKey,
        /// A file with the other side's public key: PEM, DER, or the raw point
        #[arg(long, value_name = "FILE")]
        peer_public: PathBuf,
        #[command(flatten)]
        new: MadeKey,
        #[command(flatten)]
        salt: Salt,
    },
    /// Make a key of a fresh shared secret, and write the ciphertext that gives it again
    Encapsulate {
        #[command(flatten)]
        key: VersionedKey,
        #[command(flatten)]
        new: MadeKey,
        #[command(flatten)]
        output: Output,
    },
    /// Make a key of the shared secret in a ciphertext
    Decapsulate {
        #[command(flatten)]
        key: VersionedKey,
        #[command(flatten)]
        new: MadeKey,
        #[command(flatten)]
        input: Input,
    },
    /// Add a version to a key, which protects from here on
    Rotate {
        #[command(flatten)]
        key: Key,
    },
    /// Change a key's own policy; what is not named stays
    SetPolicy {
        #[command(flatten)]
        key: Key,
        #[command(flatten)]
        policy: OwnPolicy,
    },
    /// Print fresh evidence of the TEE over at most 64 bytes of data
    Attest {
        #[command(flatten)]
        input: Input,
        /// Over the newest entry of the audit too, which takes the right to audit-head; audit
        /// verify --attested checks it
        #[arg(long)]
        audit_head: bool,
    },
    /// Print the newest entry of the audit's chain
    AuditHead,
    /// Print why a request was refused, by the numbers in the log
    Why {
        /// The connection's number
        #[arg(value_name = "CONNECTION")]
        connection: u64,
        /// The request's number on it
        #[arg(value_name = "REQUEST")]
        request: u32,
    },
    /// Erase every key, for good; vhsmd ends, and a service manager starts it anew
    Wipe {
        /// Really
        #[arg(long, required = true)]
        yes: bool,
    },
    /// Leave the phase of the boot that vhsmd belongs to: its end is measured, the keys end unless the
    /// configuration and the protection keep them, and vhsmd serves nobody any more
    EndPhase {
        /// What keeps the root that comes next from being changed
        #[arg(
            long,
            value_name = "PROTECTION",
            default_value = "none",
            value_parser = PossibleValuesParser::new(Protection::ALL.map(Protection::as_str))
                .try_map(|word| word.parse::<Protection>())
        )]
        protection: Protection,
    },
    /// Write a backup, sealed to a recipient that vhsmd's configuration pins
    Backup {
        /// The recipient's name there
        #[arg(value_name = "RECIPIENT")]
        recipient: String,
        #[command(flatten)]
        output: Output,
    },
    /// Give back what backup wrote
    Restore {
        #[command(flatten)]
        input: Input,
    },
    /// Check a policy file, or explain a decision
    #[command(subcommand)]
    Policy(PolicyVerb),
    /// Write a certificate request (PKCS#10) that a key signs
    Csr {
        #[command(flatten)]
        key: Key,
        /// The subject, as in "CN=web.example.org,O=Example"
        #[arg(long, value_name = "NAME")]
        subject: String,
        /// Names that the certificate is to hold, as DNS names or addresses
        #[arg(long, value_name = "NAME,...", value_delimiter = ',')]
        san: Vec<String>,
        /// Write DER instead of PEM
        #[arg(long)]
        der: bool,
        #[command(flatten)]
        output: Output,
    },
    /// Read the audit's files: verify, tail
    Audit {
        #[command(subcommand)]
        verb: AuditVerb,
    },
    /// Print vhsmd's figures, in OpenMetrics
    Metrics(MetricsArguments),
}

/// What to do with policies.
#[derive(Debug, Subcommand)]
pub(crate) enum PolicyVerb {
    /// Print what is wrong with a policy file, without taking it (check-policy)
    Check {
        /// The file
        #[arg(value_name = "FILE")]
        path: PathBuf,
    },
    /// Print whether a peer would be allowed an operation on a key, and why (explain)
    Explain {
        #[command(flatten)]
        key: Key,
        /// The operation
        #[arg(
            value_name = "OPERATION",
            value_parser = PossibleValuesParser::new(Operation::ALL.map(Operation::as_str))
                .try_map(|word| word.parse::<Operation>())
        )]
        operation: Operation,
        /// Who would ask: uid=1000, gid=1000, unit=web.service, cgroup=/a/b or sha256=HEX
        #[arg(long, value_name = "WHAT=VALUE,...", value_delimiter = ',', value_parser = peer_part)]
        peer: Vec<PeerPart>,
    },
}

/// In which form a public half is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum PublicForm {
    /// SubjectPublicKeyInfo in DER
    Der,
    /// The same as PEM
    Pem,
    /// JSON Web Key
    Jwk,
    /// A line of authorized_keys
    Openssh,
}
