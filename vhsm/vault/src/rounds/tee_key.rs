//! The key of one round: what is fetched comes encrypted to it, and it is erased with the round.

use crate::policy::TeeKeyChoice;
use nitride_kbs::jwe::{self, Header, ML_KEM_768_CIPHERTEXT_LEN};
use nitride_kbs::tee_key::{TeeKeyForm, TeePublicKey, X25519_ML_KEM_768_KEY_LEN};
use nitride_secmem::SecretBuf;
use nitride_secmem::crypto::{CryptoError, EcP256, MlKem768, X25519, concat_kdf_sha256};
use std::sync::Arc;

/// A fresh key, whole in the arena. Not cloned, not kept: one round's.
pub(super) struct TeeKey {
    private: Private,
    public: TeePublicKey,
}

enum Private {
    P256(EcP256),
    Hybrid {
        ml_kem: MlKem768,
        x25519: X25519,
        public: Arc<[u8; X25519_ML_KEM_768_KEY_LEN]>,
    },
}

impl TeeKeyChoice {
    /// The form that is made where a service offers these: hybrid wherever it may be, and another
    /// only where the policy says so. `None`: nothing that the policy allows.
    pub(super) fn among(self, offered: &[&str]) -> Option<TeeKeyForm> {
        let hybrid = offered.contains(&TeeKeyForm::X25519MlKem768.as_str());
        match self {
            Self::Hybrid | Self::HybridOrP256 if hybrid => Some(TeeKeyForm::X25519MlKem768),
            Self::Hybrid => None,
            // Every service of the protocol takes it, and most say nothing of what they take.
            Self::HybridOrP256 | Self::P256 => Some(TeeKeyForm::EcP256),
        }
    }
}

impl TeeKey {
    /// Draws one of a form that [`TeeKeyChoice::among`] gives; P-256 for any other.
    pub(super) fn generate(form: TeeKeyForm) -> Result<Self, CryptoError> {
        match form {
            TeeKeyForm::X25519MlKem768 => Self::hybrid(MlKem768::generate()?, X25519::generate()?),
            _ => Self::p256(EcP256::generate()?),
        }
    }

    pub(super) fn p256(private: EcP256) -> Result<Self, CryptoError> {
        let public = TeePublicKey::from_point(&private.public_point())
            .map_err(|_| CryptoError::InvalidPoint)?;
        Ok(Self {
            private: Private::P256(private),
            public,
        })
    }

    pub(super) fn hybrid(ml_kem: MlKem768, x25519: X25519) -> Result<Self, CryptoError> {
        let public = [ml_kem.public(), &x25519.public()].concat();
        let public = public.try_into().map_err(|_| CryptoError::BadLength)?;
        let public = Arc::new(public);
        Ok(Self {
            public: TeePublicKey::X25519MlKem768(Arc::clone(&public)),
            private: Private::Hybrid {
                ml_kem,
                x25519,
                public,
            },
        })
    }

    pub(super) fn public(&self) -> &TeePublicKey {
        &self.public
    }

    /// The key that wraps a JWE's content key; `None` if the JWE is for another form of key. Every
    /// intermediate value is in the arena.
    pub(super) fn wrapping_key(&self, header: &Header) -> Option<Result<SecretBuf, CryptoError>> {
        match (&self.private, header) {
            (Private::P256(private), Header::EcP256 { epk }) => {
                Some(private.ecdh(epk).and_then(|shared| {
                    concat_kdf_sha256(&[&shared], &jwe::concat_kdf_other_info())
                }))
            }
            (
                Private::Hybrid {
                    ml_kem,
                    x25519,
                    public,
                },
                Header::X25519MlKem768 { ek },
            ) => {
                let info = jwe::hybrid_other_info(ek, public);
                let shared = both(ml_kem, x25519, &**ek);
                Some(shared.and_then(|(z, t)| concat_kdf_sha256(&[&z, &t], &info)))
            }
            _ => None,
        }
    }
}

/// What ML-KEM-768 gives, then what X25519 does. A ciphertext that was changed gives another secret
/// and no error: the JWE then does not open, as under any other key.
fn both(
    ml_kem: &MlKem768,
    x25519: &X25519,
    ek: &[u8],
) -> Result<(SecretBuf, SecretBuf), CryptoError> {
    let (ciphertext, epk) = ek
        .split_at_checked(ML_KEM_768_CIPHERTEXT_LEN)
        .ok_or(CryptoError::BadLength)?;
    let epk = epk.try_into().map_err(|_| CryptoError::BadLength)?;
    Ok((ml_kem.decapsulate(ciphertext)?, x25519.agree(epk)?))
}
