use nitride_protocol::KeyType;
use nitride_secmem::crypto::{
    AeadAlgorithm, AeadKey, CryptoError, Curve, Ec, Ed25519, HashAlgorithm, Hmac, KeyAlgorithm,
    Kwp, MlDsa65, MlKem768, Rsa, RsaSize, X25519, Xaes256Gcm, hkdf, spki,
};

/// The library's objects, a variant a family, with the public halves beside them.
#[derive(Debug)]
pub(crate) enum Expanded {
    /// AES-128-GCM, AES-256-GCM-SIV and ChaCha20-Poly1305.
    Aead(AeadKey),
    Gcm256(Gcm256),
    Wrapping(Wrapping),
    Hmac(Hmac),
    Ec(Ec),
    Ed25519 {
        key: Ed25519,
        public: [u8; 32],
    },
    X25519(X25519),
    Rsa(Rsa),
    MlDsa65(MlDsa65),
    MlKem768(MlKem768),
    Secret,
}

/// Both ways in which an `aes-256-gcm` key is used.
#[derive(Debug)]
pub(crate) struct Gcm256 {
    /// With a counter, by the vault alone that made the key.
    pub(crate) plain: AeadKey,
    /// With a key a message, by whoever shares the key.
    pub(crate) extended: Xaes256Gcm,
}

/// Both ways in which an `aes-256-kwp` key is used.
#[derive(Debug)]
pub(crate) struct Wrapping {
    /// What others wrapped under the key itself: material and nothing else.
    pub(crate) foreign: Kwp,
    /// What vaults wrap, under a key derived of it: type, policy and material. So neither can be
    /// taken for the other, whoever made it.
    pub(crate) typed: Kwp,
}

/// About how many bytes of the heap arena the objects of a key take.
pub(super) fn expanded_len(key_type: KeyType) -> usize {
    match key_type {
        KeyType::Aes128Gcm | KeyType::Aes256GcmSiv | KeyType::ChaCha20Poly1305 => 672,
        KeyType::Aes256Gcm => 1056,
        KeyType::Aes256Kwp => 1152,
        KeyType::HmacSha256 | KeyType::HmacSha384 | KeyType::HmacSha512 => 1360,
        KeyType::EcP256 | KeyType::EcP384 | KeyType::EcP521 => 640,
        KeyType::Ed25519 | KeyType::X25519 => 64,
        KeyType::Rsa2048 => 4096,
        KeyType::Rsa3072 => 6144,
        KeyType::Rsa4096 => 8192,
        KeyType::MlDsa65 => 8192,
        KeyType::MlKem768 => 6144,
        _ => 0,
    }
}

impl Expanded {
    pub(super) fn new(key_type: KeyType, raw: &[u8]) -> Result<Self, CryptoError> {
        if let Some(hash) = hash_of(key_type) {
            return Ok(Self::Hmac(Hmac::new(hash, raw)?));
        }
        if let Some(curve) = curve_of(key_type) {
            return Ok(Self::Ec(Ec::from_scalar(curve, raw)?));
        }
        if let Some(size) = rsa_size_of(key_type) {
            return Ok(Self::Rsa(Rsa::from_pkcs8(size, raw)?));
        }
        let aead = |algorithm| AeadKey::new(algorithm, raw);
        Ok(match key_type {
            KeyType::Aes128Gcm => Self::Aead(aead(AeadAlgorithm::Aes128Gcm)?),
            KeyType::Aes256GcmSiv => Self::Aead(aead(AeadAlgorithm::Aes256GcmSiv)?),
            KeyType::ChaCha20Poly1305 => Self::Aead(aead(AeadAlgorithm::ChaCha20Poly1305)?),
            KeyType::Aes256Gcm => Self::Gcm256(Gcm256 {
                plain: aead(AeadAlgorithm::Aes256Gcm)?,
                extended: Xaes256Gcm::new(raw)?,
            }),
            KeyType::Aes256Kwp => Self::Wrapping(Wrapping::new(raw)?),
            KeyType::Ed25519 => {
                let key = Ed25519::from_seed(raw)?;
                let public = key.public();
                Self::Ed25519 { key, public }
            }
            KeyType::X25519 => Self::X25519(X25519::from_private(raw)?),
            KeyType::MlDsa65 => Self::MlDsa65(MlDsa65::from_seed(raw)?),
            KeyType::MlKem768 => Self::MlKem768(MlKem768::from_seed(raw)?),
            KeyType::Secret => Self::Secret,
            // A type that the protocol has and this vault has not yet.
            _ => return Err(CryptoError::InvalidKey),
        })
    }

    /// The public half as a DER `SubjectPublicKeyInfo`.
    pub(crate) fn spki(&self) -> Option<Vec<u8>> {
        match self {
            Self::Ec(key) => {
                let point = key.public_point();
                spki(KeyAlgorithm::Ec(key.curve()), point.as_bytes())
            }
            Self::Ed25519 { public, .. } => spki(KeyAlgorithm::Ed25519, public),
            Self::X25519(key) => spki(KeyAlgorithm::X25519, &key.public()),
            Self::Rsa(key) => Some(key.spki().to_vec()),
            Self::MlDsa65(key) => spki(KeyAlgorithm::MlDsa65, key.public()),
            Self::MlKem768(key) => spki(KeyAlgorithm::MlKem768, key.public()),
            Self::Aead(_) | Self::Gcm256(_) | Self::Wrapping(_) | Self::Hmac(_) | Self::Secret => {
                None
            }
        }
    }
}

impl Wrapping {
    fn new(raw: &[u8]) -> Result<Self, CryptoError> {
        let foreign = Kwp::new(raw)?;
        let typed = hkdf(HashAlgorithm::Sha256, raw, &[], b"nitride wrap v1\0", 32)?;
        let typed = Kwp::new(typed.expose())?;
        Ok(Self { foreign, typed })
    }
}

/// The hash of an HMAC key.
pub(crate) fn hash_of(key_type: KeyType) -> Option<HashAlgorithm> {
    match key_type {
        KeyType::HmacSha256 => Some(HashAlgorithm::Sha256),
        KeyType::HmacSha384 => Some(HashAlgorithm::Sha384),
        KeyType::HmacSha512 => Some(HashAlgorithm::Sha512),
        _ => None,
    }
}

/// The curve of an elliptic-curve key.
pub(crate) fn curve_of(key_type: KeyType) -> Option<Curve> {
    match key_type {
        KeyType::EcP256 => Some(Curve::P256),
        KeyType::EcP384 => Some(Curve::P384),
        KeyType::EcP521 => Some(Curve::P521),
        _ => None,
    }
}

/// The size of an RSA key.
pub(super) fn rsa_size_of(key_type: KeyType) -> Option<RsaSize> {
    match key_type {
        KeyType::Rsa2048 => Some(RsaSize::Bits2048),
        KeyType::Rsa3072 => Some(RsaSize::Bits3072),
        KeyType::Rsa4096 => Some(RsaSize::Bits4096),
        _ => None,
    }
}
