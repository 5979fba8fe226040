use crate::{Draw, Refusal};
use nitride_protocol::KeyType;
use nitride_protocol::limits::MAX_SECRET_LEN;
use nitride_secmem::Record;
use nitride_secmem::crypto::{AeadAlgorithm, AeadKey, CryptoError, EcP256, Ed25519, HmacSha256};

/// Bytes of every symmetric key, scalar and seed that the vault makes.
const KEY_LEN: usize = 32;
/// What an HMAC key that comes from elsewhere may have (NIST SP 800-107: at least 112 bits).
const HMAC_KEY_LEN: std::ops::RangeInclusive<usize> = 16..=1024;

/// A version's key: the raw bytes in the records arena, and what the library made of them, which
/// lives in the heap arena and is kept so that no use has to expand it again.
#[derive(Debug)]
pub(crate) struct Material {
    record: Record,
    expanded: Expanded,
}

/// The library's objects, with the public halves beside them.
#[derive(Debug)]
pub(crate) enum Expanded {
    Aead(AeadKey),
    Hmac(HmacSha256),
    EcP256 { key: EcP256, point: [u8; 65] },
    Ed25519 { key: Ed25519, public: [u8; 32] },
    Secret,
}

impl Material {
    /// A fresh key. Symmetric ones are drawn straight into their record; EC and Ed25519 keys are
    /// drawn by AWS-LC.
    pub(crate) fn generate(key_type: KeyType, draw: &mut dyn Draw) -> Result<Self, Refusal> {
        match key_type {
            KeyType::EcP256 => {
                let key = EcP256::generate()?;
                let record = Record::from_fn(KEY_LEN, |out| {
                    if let Ok(out) = out.try_into() {
                        key.scalar_into(out);
                    }
                })?;
                let expanded = Expanded::of_p256(key);
                Ok(Self { record, expanded })
            }
            KeyType::Ed25519 => {
                let key = Ed25519::generate()?;
                let record = Record::from_fn(KEY_LEN, |out| {
                    if let Ok(out) = out.try_into() {
                        key.seed_into(out);
                    }
                })?;
                let expanded = Expanded::of_ed25519(key);
                Ok(Self { record, expanded })
            }
            _ => Self::expand(key_type, Record::from_fn(KEY_LEN, |out| draw.fill(out))?),
        }
    }

    /// A key from elsewhere: `raw` lies in the arena and is copied into a record.
    pub(crate) fn from_raw(key_type: KeyType, raw: &[u8]) -> Result<Self, Refusal> {
        let fits = match key_type {
            KeyType::HmacSha256 => HMAC_KEY_LEN.contains(&raw.len()),
            KeyType::Secret => (1..=MAX_SECRET_LEN).contains(&raw.len()),
            _ => raw.len() == KEY_LEN,
        };
        if !fits {
            return Err(Refusal::BadMaterial { key_type });
        }
        Self::expand(key_type, Record::new(raw)?)
    }

    fn expand(key_type: KeyType, record: Record) -> Result<Self, Refusal> {
        Expanded::new(key_type, record.expose())
            .map(|expanded| Self { record, expanded })
            .map_err(|error| match error {
                CryptoError::InvalidKey => Refusal::BadMaterial { key_type },
                error => error.into(),
            })
    }

    /// What operations work with.
    pub(crate) fn expanded(&self) -> &Expanded {
        &self.expanded
    }

    /// The raw bytes, for `release`.
    pub(crate) fn record(&self) -> &Record {
        &self.record
    }
}

impl Expanded {
    fn new(key_type: KeyType, raw: &[u8]) -> Result<Self, CryptoError> {
        Ok(match key_type {
            KeyType::Aes256Gcm => Self::Aead(AeadKey::new(AeadAlgorithm::Aes256Gcm, raw)?),
            KeyType::Aes256GcmSiv => Self::Aead(AeadKey::new(AeadAlgorithm::Aes256GcmSiv, raw)?),
            KeyType::HmacSha256 => Self::Hmac(HmacSha256::new(raw)?),
            KeyType::EcP256 => Self::of_p256(EcP256::from_scalar(raw)?),
            KeyType::Ed25519 => Self::of_ed25519(Ed25519::from_seed(raw)?),
            KeyType::Secret => Self::Secret,
            // A type that the protocol has and this vault has not yet.
            _ => return Err(CryptoError::InvalidKey),
        })
    }

    fn of_p256(key: EcP256) -> Self {
        let point = key.public_point();
        Self::EcP256 { key, point }
    }

    fn of_ed25519(key: Ed25519) -> Self {
        let public = key.public();
        Self::Ed25519 { key, public }
    }
}
