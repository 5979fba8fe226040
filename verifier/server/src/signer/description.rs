//! The file that says where a private key is and which public key belongs to it: strict TOML.

use p256::PublicKey;
use p256::ecdsa::VerifyingKey;
use p256::pkcs8::DecodePublicKey;
use serde::Deserialize;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use thiserror::Error;

/// No description and no public key is longer.
const MAX_FILE_LEN: u64 = 64 * 1024;

/// A description, read and checked.
pub(super) struct Description {
    pub(super) public: VerifyingKey,
    pub(super) engine: Engine,
}

/// Where the private key is.
#[derive(Debug)]
pub(super) enum Engine {
    Pkcs11(Pkcs11Settings),
    Transit(TransitSettings),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawDescription {
    public_key: PathBuf,
    pkcs11: Option<Pkcs11Settings>,
    transit: Option<TransitSettings>,
}

/// `[pkcs11]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Pkcs11Settings {
    /// The library. It runs in this process.
    pub(super) module: PathBuf,
    /// The token's label.
    pub(super) token: String,
    /// The label of the private key and of its public half.
    pub(super) key: String,
    /// The file of the user's PIN.
    pub(super) pin_file: PathBuf,
}

/// `[transit]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct TransitSettings {
    /// `https://HOST[:PORT]`.
    pub(super) address: String,
    /// The certificates in PEM that the server's is to chain to; no others are believed.
    pub(super) ca: PathBuf,
    /// The file of the token.
    pub(super) token_file: PathBuf,
    /// Where the engine is mounted.
    #[serde(default = "transit")]
    pub(super) mount: String,
    /// The key's name, of type ecdsa-p256.
    pub(super) key: String,
    /// The namespace, where there are any.
    pub(super) namespace: Option<String>,
}

fn transit() -> String {
    "transit".to_owned()
}

/// Why a description is not taken.
#[derive(Debug, Error)]
pub(crate) enum DescriptionError {
    #[error("read {}", path.display())]
    Unreadable {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{} has more than {MAX_FILE_LEN} bytes", path.display())]
    TooLong { path: PathBuf },
    #[error("{} describes no signer", path.display())]
    Malformed {
        path: PathBuf,
        #[source]
        source: Box<toml::de::Error>,
    },
    #[error("{} states not exactly one of [pkcs11] and [transit]", path.display())]
    NotOneEngine { path: PathBuf },
    #[error("{} is not a P-256 public key in SPKI PEM, as `openssl pkey -pubout` writes it", path.display())]
    NotAPublicKey { path: PathBuf },
}

impl Description {
    pub(super) fn read(path: &Path) -> Result<Self, DescriptionError> {
        let raw: RawDescription =
            toml::from_str(&text_of(path)?).map_err(|source| DescriptionError::Malformed {
                path: path.to_owned(),
                source: Box::new(source),
            })?;
        let engine = match (raw.pkcs11, raw.transit) {
            (Some(settings), None) => Engine::Pkcs11(settings),
            (None, Some(settings)) => Engine::Transit(settings),
            _ => {
                let path = path.to_owned();
                return Err(DescriptionError::NotOneEngine { path });
            }
        };
        Ok(Self {
            public: read_public(&raw.public_key)?,
            engine,
        })
    }
}

/// The P-256 public key of a PEM file.
pub(crate) fn read_public(path: &Path) -> Result<VerifyingKey, DescriptionError> {
    let parsed = PublicKey::from_public_key_pem(&text_of(path)?);
    let public = parsed.map_err(|_| DescriptionError::NotAPublicKey {
        path: path.to_owned(),
    })?;
    Ok(VerifyingKey::from(public))
}

fn text_of(path: &Path) -> Result<String, DescriptionError> {
    let unreadable = |source| DescriptionError::Unreadable {
        path: path.to_owned(),
        source,
    };
    let file = File::open(path).map_err(unreadable)?;
    let mut text = String::new();
    let read = file.take(MAX_FILE_LEN + 1).read_to_string(&mut text);
    match read.map_err(unreadable)? {
        len if len as u64 > MAX_FILE_LEN => Err(DescriptionError::TooLong {
            path: path.to_owned(),
        }),
        _ => Ok(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entropy::KernelEntropy;
    use crate::key_file::generate_signing_key;
    use std::fs;

    const TOKEN: &str =
        "[pkcs11]\nmodule = \"/m.so\"\ntoken = \"t\"\nkey = \"k\"\npin-file = \"/pin\"\n";
    const BAO: &str =
        "[transit]\naddress = \"https://bao\"\nca = \"/ca\"\ntoken-file = \"/t\"\nkey = \"k\"\n";

    #[test]
    fn a_description_states_one_engine_and_the_key_that_is_to_sign() {
        let folder = tempfile::tempdir().unwrap();
        let (private, public) = (folder.path().join("key"), folder.path().join("pub"));
        generate_signing_key(&private, &public, &mut KernelEntropy).unwrap();
        let described = |rest: &str| {
            let path = folder.path().join("signer.toml");
            let text = format!("public-key = {public:?}\n{rest}");
            fs::write(&path, text).unwrap();
            Description::read(&path)
        };
        let engine = |rest: &str| described(rest).unwrap().engine;
        assert!(matches!(engine(TOKEN), Engine::Pkcs11(_)));
        let Engine::Transit(settings) = engine(BAO) else {
            panic!("not transit");
        };
        assert_eq!(settings.mount, "transit");
        for two_or_none in ["", &format!("{TOKEN}{BAO}")] {
            let refused = described(two_or_none).err().unwrap();
            assert!(matches!(refused, DescriptionError::NotOneEngine { .. }));
        }
        let with_pin = TOKEN.replace("pin-file", "pin");
        for malformed in [&with_pin[..], "surprise = 1", "="] {
            let refused = described(malformed).err().unwrap();
            assert!(matches!(refused, DescriptionError::Malformed { .. }));
        }
        fs::write(&public, "no PEM").unwrap();
        let refused = described(TOKEN).err().unwrap();
        assert!(matches!(refused, DescriptionError::NotAPublicKey { .. }));
    }
}
