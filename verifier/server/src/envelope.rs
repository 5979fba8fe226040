//! Material, policy and name signed into one envelope, by their owner or by the service for what it made
//! itself. The form is `nitride_kbs::envelope`'s; what would only be found out at a guest's first use is
//! refused here.

use crate::signer::{Signer, SignerError};
use nitride_kbs::envelope::{
    EnvelopeError, EnvelopeFields, EnvelopePolicy, ReleaseTo, ReleaseToError, assemble,
    to_be_signed,
};
use nitride_kbs::limits::MAX_MATERIAL_LEN;
use nitride_kbs::resource::ResourcePath;
use p256::SecretKey;
use std::ops::RangeInclusive;
use thiserror::Error;
use zeroize::Zeroizing;

const EC_P256: &str = "ec-p256";

/// The types of keys that vaults take, with the lengths of their material in bytes.
/// Raw bytes, a scalar or a seed; of RSA a PKCS#8 file.
const KEY_TYPES: [(&str, RangeInclusive<usize>); 19] = [
    ("aes-128-gcm", 16..=16),
    ("aes-256-gcm", 32..=32),
    ("aes-256-gcm-siv", 32..=32),
    ("aes-256-kwp", 32..=32),
    ("chacha20-poly1305", 32..=32),
    ("hmac-sha256", 16..=1024),
    ("hmac-sha384", 16..=1024),
    ("hmac-sha512", 16..=1024),
    (EC_P256, 32..=32),
    ("ec-p384", 48..=48),
    ("ec-p521", 66..=66),
    ("ed25519", 32..=32),
    ("x25519", 32..=32),
    ("rsa-2048", 1024..=4096),
    ("rsa-3072", 1024..=4096),
    ("rsa-4096", 1024..=4096),
    ("ml-dsa-65", 32..=32),
    ("ml-kem-768", 64..=64),
    ("secret", 1..=MAX_MATERIAL_LEN),
];

/// The operations that an envelope may allow.
const OPERATIONS: [&str; 22] = [
    "agree",
    "decapsulate",
    "decrypt",
    "decrypt-buffer",
    "derive",
    "describe",
    "destroy",
    "disable",
    "enable",
    "encapsulate",
    "encrypt",
    "encrypt-buffer",
    "list",
    "mac",
    "public-key",
    "release",
    "sign",
    "unwrap",
    "verify",
    "verify-mac",
    "wrap",
    "generate",
];

/// What is said about a resource besides its name and material.
#[derive(Debug, Clone)]
pub(crate) struct SealSpec {
    /// The key's type, as vhsmd names it: secret, ec-p256, aes-256-gcm, …
    pub(crate) key_type: String,
    /// The version of the material, from 1; a new one for each change.
    pub(crate) version: u32,
    /// What may be done with it: release, sign, public-key, …
    pub(crate) operations: Vec<String>,
    /// Whose it is.
    pub(crate) tenant: Option<String>,
    /// The keys that may wrap it.
    pub(crate) wrappable_by: Vec<String>,
    /// To whom it may be released: unit:NAME, uid:NUMBER, volume:NAME.
    pub(crate) release_to: Vec<String>,
    /// How long a vault may hold it, in seconds.
    pub(crate) lease_secs: Option<u64>,
    /// When it ends, in seconds since 1970.
    pub(crate) not_after_secs: Option<u64>,
    /// The volumes that it is for, in the text of [`nitride_kbs::disk::DiskExpectation`].
    pub(crate) disk: Option<Vec<String>>,
}

/// Why a resource is not signed.
#[derive(Debug, Error)]
pub(crate) enum SealError {
    #[error("key type {key_type:?} is not known; use one of {}", key_types())]
    UnknownKeyType { key_type: String },
    #[error(
        "material of {key_type} is {} to {} bytes, not {found}",
        expected.start(),
        expected.end()
    )]
    WrongLength {
        key_type: String,
        expected: RangeInclusive<usize>,
        found: usize,
    },
    #[error("material is no private key of P-256")]
    NotAScalar,
    #[error(
        "bytes that are drawn are no key of {key_type}; have the vault make it: source = \"generate\""
    )]
    NotAnyBytes { key_type: String },
    #[error("operation {operation:?} is not known; use some of {}", OPERATIONS.join(", "))]
    UnknownOperation { operation: String },
    #[error("release-to {text:?}")]
    ReleaseTo {
        text: String,
        #[source]
        source: ReleaseToError,
    },
    #[error("write envelope")]
    Envelope(#[from] EnvelopeError),
    #[error(transparent)]
    Signer(#[from] SignerError),
    /// The service's own key did not sign.
    #[error("sign with the service's key")]
    Unsigned,
}

/// The envelope, signed by its owner. It holds the material in the clear.
pub(crate) fn seal(
    owner: &mut Signer,
    path: &ResourcePath,
    spec: &SealSpec,
    material: &[u8],
    created_secs: u64,
) -> Result<Zeroizing<Vec<u8>>, SealError> {
    let kid = *owner.kid();
    let sign = |message: &[u8]| Ok(owner.sign(message)?);
    seal_by((&kid, sign), path, spec, material, created_secs)
}

/// The same by whatever signs under the key of this id.
pub(crate) fn seal_by(
    (kid, sign): (&[u8; 32], impl FnOnce(&[u8]) -> Result<[u8; 64], SealError>),
    path: &ResourcePath,
    spec: &SealSpec,
    material: &[u8],
    created_secs: u64,
) -> Result<Zeroizing<Vec<u8>>, SealError> {
    check_material(&spec.key_type, material)?;
    check_terms(spec)?;
    let fields = EnvelopeFields {
        path: path.as_str(),
        key_type: &spec.key_type,
        version: spec.version,
        tenant: spec.tenant.as_deref(),
        created_secs,
        policy: EnvelopePolicy {
            operations: texts(&spec.operations),
            wrappable_by: texts(&spec.wrappable_by),
            release_to: texts(&spec.release_to),
            lease_secs: spec.lease_secs,
            not_after_secs: spec.not_after_secs,
            disk: spec.disk.as_deref().map(texts),
        },
        material,
    };
    let signed = Zeroizing::new(to_be_signed(kid, &fields)?);
    let signature = sign(&signed)?;
    Ok(Zeroizing::new(assemble(kid, &fields, &signature)?))
}

/// How many bytes a key of the type has, if any bytes are one: not of a scalar, nor of RSA.
pub(crate) fn len_if_any_bytes(key_type: &str) -> Result<RangeInclusive<usize>, SealError> {
    let expected = len_of(key_type)?;
    if key_type.starts_with("ec-") || key_type.starts_with("rsa-") {
        return Err(SealError::NotAnyBytes {
            key_type: key_type.to_owned(),
        });
    }
    Ok(expected)
}

fn len_of(key_type: &str) -> Result<RangeInclusive<usize>, SealError> {
    let mut known = KEY_TYPES.into_iter();
    let found = known.find(|(name, _)| *name == key_type);
    let (_, expected) = found.ok_or_else(|| SealError::UnknownKeyType {
        key_type: key_type.to_owned(),
    })?;
    Ok(expected)
}

fn check_material(key_type: &str, material: &[u8]) -> Result<(), SealError> {
    let (expected, found) = (len_of(key_type)?, material.len());
    if !expected.contains(&found) {
        return Err(SealError::WrongLength {
            key_type: key_type.to_owned(),
            expected,
            found,
        });
    }
    if key_type == EC_P256 && SecretKey::from_slice(material).is_err() {
        return Err(SealError::NotAScalar);
    }
    Ok(())
}

/// Whether vaults know what travels with the key.
pub(crate) fn check_terms(spec: &SealSpec) -> Result<(), SealError> {
    let unknown = spec
        .operations
        .iter()
        .find(|name| !OPERATIONS.contains(&name.as_str()));
    if let Some(operation) = unknown {
        return Err(SealError::UnknownOperation {
            operation: operation.clone(),
        });
    }
    for text in &spec.release_to {
        ReleaseTo::parse(text).map_err(|source| SealError::ReleaseTo {
            text: text.clone(),
            source,
        })?;
    }
    Ok(())
}

fn texts(list: &[String]) -> Vec<&str> {
    list.iter().map(String::as_str).collect()
}

fn key_types() -> String {
    KEY_TYPES.map(|(name, _)| name).join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signer::tests::drawn;
    use nitride_kbs::envelope::UnverifiedEnvelope;
    use p256::ecdsa::Signature;
    use p256::ecdsa::signature::Verifier;

    fn spec() -> SealSpec {
        SealSpec {
            key_type: "secret".to_owned(),
            version: 3,
            operations: vec!["release".to_owned()],
            tenant: Some("tenant".to_owned()),
            wrappable_by: Vec::new(),
            release_to: vec!["volume:root".to_owned()],
            lease_secs: Some(600),
            not_after_secs: None,
            disk: None,
        }
    }

    fn path() -> ResourcePath {
        ResourcePath::parse("demo/disk/root").unwrap()
    }

    #[test]
    fn an_envelope_says_what_was_signed_and_verifies() {
        let mut owner = drawn();
        let envelope = seal(&mut owner, &path(), &spec(), b"passphrase", 1000).unwrap();
        let unverified = UnverifiedEnvelope::parse(&envelope).unwrap();
        assert_eq!(unverified.kid(), owner.kid());
        let verified = unverified
            .verified_by(|parts, signature| {
                let signature = Signature::from_slice(signature).unwrap();
                owner.public().verify(&parts.concat(), &signature).is_ok()
            })
            .unwrap();
        let fields = verified.fields();
        assert_eq!(fields.path, "demo/disk/root");
        assert_eq!(fields.material, b"passphrase");
        assert_eq!((fields.version, fields.created_secs), (3, 1000));
        assert_eq!(fields.policy.release_to, ["volume:root"]);
        assert_eq!(fields.policy.lease_secs, Some(600));
    }

    #[test]
    fn what_no_vault_would_take_is_not_signed() {
        let refused = |spec: SealSpec, material: &[u8]| {
            seal(&mut drawn(), &path(), &spec, material, 1000).unwrap_err()
        };
        let ec = SealSpec {
            key_type: "ec-p256".to_owned(),
            ..spec()
        };
        assert!(matches!(
            refused(ec.clone(), &[1; 31]),
            SealError::WrongLength { .. }
        ));
        // Neither zero nor a number beyond the group's order is a key.
        for material in [[0; 32], [255; 32]] {
            assert!(matches!(
                refused(ec.clone(), &material),
                SealError::NotAScalar
            ));
        }
        let rsa = SealSpec {
            key_type: "rsa".to_owned(),
            ..spec()
        };
        assert!(matches!(
            refused(rsa, b"x"),
            SealError::UnknownKeyType { .. }
        ));
        assert!(matches!(
            refused(spec(), b""),
            SealError::WrongLength { .. }
        ));
        let short = SealSpec {
            key_type: "hmac-sha256".to_owned(),
            ..spec()
        };
        assert!(matches!(
            refused(short, &[1; 15]),
            SealError::WrongLength { .. }
        ));
        let typo = SealSpec {
            operations: vec!["relase".to_owned()],
            ..spec()
        };
        assert!(matches!(
            refused(typo, b"x"),
            SealError::UnknownOperation { .. }
        ));
        let nobody = SealSpec {
            release_to: vec!["root".to_owned()],
            ..spec()
        };
        assert!(matches!(refused(nobody, b"x"), SealError::ReleaseTo { .. }));
        let zero = SealSpec {
            version: 0,
            ..spec()
        };
        assert!(matches!(refused(zero, b"x"), SealError::Envelope(_)));
    }
}
