use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use nitride_protocol::{
    EncryptionScheme, KeyName, KeyType, MaterialFormat, NameError, Operation, Rate, SignScheme,
};
use std::path::PathBuf;

/// A key.
#[derive(Debug, Args)]
pub(crate) struct Key {
    /// The key's name
    #[arg(value_name = "KEY", value_parser = key_name)]
    pub(crate) name: String,
}

/// A key, and one of its versions.
#[derive(Debug, Args)]
pub(crate) struct VersionedKey {
    /// The key's name
    #[arg(value_name = "KEY", value_parser = key_name)]
    pub(crate) name: String,
    /// A version; without it the newest not destroyed, or the key as a whole
    #[arg(long, value_name = "NUMBER")]
    pub(crate) key_version: Option<u32>,
}

/// A key that comes to be.
#[derive(Debug, Args)]
pub(crate) struct NewKey {
    /// The key's name
    #[arg(value_name = "KEY", value_parser = key_name)]
    pub(crate) name: String,
    /// What it is made of
    #[arg(
        long = "type",
        value_name = "TYPE",
        value_parser = PossibleValuesParser::new(KeyType::ALL.map(KeyType::as_str))
            .try_map(|word| word.parse::<KeyType>())
    )]
    pub(crate) key_type: KeyType,
    /// What it may be used for; without this, all that its type can do
    #[arg(
        long,
        value_name = "VERB,...",
        value_delimiter = ',',
        value_parser = PossibleValuesParser::new(Operation::ALL.map(Operation::as_str))
            .try_map(|word| word.parse::<Operation>())
    )]
    pub(crate) operations: Option<Vec<Operation>>,
}

/// Who may wrap the key that comes to be.
#[derive(Debug, Args)]
pub(crate) struct WrappableBy {
    /// The wrapping keys that may wrap it; without this, none
    #[arg(long, value_name = "KEY,...", value_delimiter = ',', value_parser = key_name)]
    pub(crate) wrappable_by: Vec<String>,
}

/// In which form a key's material is given.
#[derive(Debug, Args)]
pub(crate) struct Material {
    /// The form: the raw bytes of a symmetric key, a scalar, a seed or a secret, or PKCS#8 in DER
    #[arg(
        long,
        value_name = "FORM",
        default_value = MaterialFormat::Raw.as_str(),
        value_parser = PossibleValuesParser::new(MaterialFormat::ALL.map(MaterialFormat::as_str))
            .try_map(|word| word.parse::<MaterialFormat>())
    )]
    pub(crate) format: MaterialFormat,
    /// The vault's key under which the material is wrapped by AES-KWP; without this it is plain
    #[arg(long, value_name = "KEY", value_parser = key_name)]
    pub(crate) wrapping_key: Option<String>,
}

/// A key that is made of another one.
#[derive(Debug, Args)]
pub(crate) struct MadeKey {
    /// The new key's name
    #[arg(long, value_name = "KEY", value_parser = key_name)]
    pub(crate) new_key: String,
    /// What it is
    #[arg(
        long = "type",
        value_name = "TYPE",
        value_parser = PossibleValuesParser::new(KeyType::ALL.map(KeyType::as_str))
            .try_map(|word| word.parse::<KeyType>())
    )]
    pub(crate) key_type: KeyType,
    /// What it may be used for; without this, all that its type can do and its parent allows
    #[arg(
        long,
        value_name = "VERB,...",
        value_delimiter = ',',
        value_parser = PossibleValuesParser::new(Operation::ALL.map(Operation::as_str))
            .try_map(|word| word.parse::<Operation>())
    )]
    pub(crate) operations: Option<Vec<Operation>>,
    /// A file with what tells this key from others of the same parent (HKDF's info)
    #[arg(long, value_name = "FILE")]
    pub(crate) info: Option<PathBuf>,
}

/// HKDF's salt.
#[derive(Debug, Args)]
pub(crate) struct Salt {
    /// A file with HKDF's salt, at most 64 bytes
    #[arg(id = "salt", long, value_name = "FILE")]
    pub(crate) path: Option<PathBuf>,
}

/// The key that wraps.
#[derive(Debug, Args)]
pub(crate) struct WrappingKey {
    /// The wrapping key's name
    #[arg(id = "wrapping-key", long = "wrapping-key", value_name = "KEY", value_parser = key_name)]
    pub(crate) name: String,
}

/// How RSA encrypts.
#[derive(Debug, Args)]
pub(crate) struct EncryptionForm {
    /// How an RSA key encrypts; other types take none
    #[arg(
        id = "scheme",
        long,
        value_name = "SCHEME",
        value_parser = PossibleValuesParser::new(EncryptionScheme::ALL.map(EncryptionScheme::as_str))
            .try_map(|word| word.parse::<EncryptionScheme>())
    )]
    pub(crate) scheme: Option<EncryptionScheme>,
}

/// How to sign.
#[derive(Debug, Args)]
pub(crate) struct Scheme {
    /// The signature's form; without it, the default of the key's type
    #[arg(
        long,
        value_name = "SCHEME",
        value_parser = PossibleValuesParser::new(SignScheme::ALL.map(SignScheme::as_str))
            .try_map(|word| word.parse::<SignScheme>())
    )]
    pub(crate) scheme: Option<SignScheme>,
    /// The input is the message's digest by the scheme's hash; not for Ed25519 and ML-DSA
    #[arg(long)]
    pub(crate) prehashed: bool,
}

/// Where data comes from.
#[derive(Debug, Args)]
pub(crate) struct Input {
    /// The data's file; without it, standard input
    #[arg(id = "in", long, value_name = "FILE")]
    pub(crate) path: Option<PathBuf>,
}

/// Data that is authenticated and not encrypted.
#[derive(Debug, Args)]
pub(crate) struct Aad {
    /// A file with additional data that is authenticated and not encrypted
    #[arg(id = "aad", long, value_name = "FILE")]
    pub(crate) path: Option<PathBuf>,
}

/// Where the result goes.
#[derive(Debug, Args)]
pub(crate) struct Output {
    /// The result's file, written as a whole with mode 0600; without it, standard output
    #[arg(id = "out", long, value_name = "FILE")]
    pub(crate) path: Option<PathBuf>,
    /// Write secrets and raw bytes to a terminal, too
    #[arg(long)]
    pub(crate) force_terminal: bool,
}

pub(super) fn key_name(text: &str) -> Result<String, NameError> {
    KeyName::parse(text).map(|name| name.as_str().to_owned())
}

/// Changes to a key's own policy.
#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
pub(crate) struct OwnPolicy {
    /// What it may be used for
    #[arg(
        long,
        value_name = "VERB,...",
        value_delimiter = ',',
        value_parser = PossibleValuesParser::new(Operation::ALL.map(Operation::as_str))
            .try_map(|word| word.parse::<Operation>())
    )]
    pub(crate) operations: Option<Vec<Operation>>,
    /// How often it may be used, all versions together
    #[arg(long, value_name = "COUNT")]
    pub(crate) max_uses: Option<u64>,
    /// When its time begins, in seconds since 1970
    #[arg(long, value_name = "SECS")]
    pub(crate) not_before: Option<u64>,
    /// When its time ends, in seconds since 1970
    #[arg(long, value_name = "SECS")]
    pub(crate) not_after: Option<u64>,
    /// How often each peer may use it, as in 100/60: a hundred uses in sixty seconds
    #[arg(long, value_name = "USES/SECS", value_parser = rate)]
    pub(crate) rate: Option<Rate>,
    /// The wrapping keys that may wrap it
    #[arg(long, value_name = "KEY,...", value_delimiter = ',', value_parser = key_name)]
    pub(crate) wrappable_by: Option<Vec<String>>,
    /// No key may wrap it
    #[arg(long, conflicts_with = "wrappable_by")]
    pub(crate) not_wrappable: bool,
    /// The oldest version that still opens and verifies
    #[arg(long, value_name = "NUMBER")]
    pub(crate) min_version: Option<u32>,
}

/// One thing that is said of a peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PeerPart {
    Uid(u32),
    Gid(u32),
    Unit(String),
    Cgroup(String),
    Digest([u8; 32]),
}

pub(super) fn peer_part(text: &str) -> Result<PeerPart, String> {
    let (what, value) = text.split_once('=').ok_or("not of the form WHAT=VALUE")?;
    let number = || value.parse().map_err(|_| format!("{what} is not a number"));
    match what {
        "uid" => number().map(PeerPart::Uid),
        "gid" => number().map(PeerPart::Gid),
        "unit" => Ok(PeerPart::Unit(value.to_owned())),
        "cgroup" => Ok(PeerPart::Cgroup(value.to_owned())),
        "sha256" => digest(value)
            .map(PeerPart::Digest)
            .ok_or_else(|| "sha256 is not 64 hexadecimal digits".into()),
        _ => Err("neither uid, gid, unit, cgroup nor sha256".into()),
    }
}

fn digest(hex: &str) -> Option<[u8; 32]> {
    let mut digest = [0; 32];
    let (pairs, rest) = hex.as_bytes().as_chunks::<2>();
    if pairs.len() != digest.len() || !rest.is_empty() {
        return None;
    }
    for (place, pair) in digest.iter_mut().zip(pairs) {
        let pair = std::str::from_utf8(pair).ok()?;
        if pair.starts_with('+') {
            return None;
        }
        *place = u8::from_str_radix(pair, 16).ok()?;
    }
    Some(digest)
}

fn rate(text: &str) -> Result<Rate, String> {
    let parsed = text.split_once('/').and_then(|(uses, per_secs)| {
        let (uses, per_secs) = (uses.parse().ok()?, per_secs.parse().ok()?);
        (per_secs > 0).then_some(Rate { uses, per_secs })
    });
    parsed.ok_or_else(|| "not of the form USES/SECS".into())
}
