//! A private key in a token, by PKCS#11. It never leaves the token.

use super::description::Pkcs11Settings;
use super::{SignDigest, SignerError};
use crate::key_file::{KeyFileError, read_secret};
use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, AttributeType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::slot::Slot;
use cryptoki::types::AuthPin;
use p256::ecdsa::{Signature, VerifyingKey};
use std::path::PathBuf;
use thiserror::Error;

/// DER of an OCTET STRING of 65 bytes, in which most tokens put a point (PKCS #11 v2.40, 2.3.3).
const POINT_IN_DER: [u8; 2] = [0x04, 0x41];

/// A session in which the user has logged in, and the key.
pub(super) struct Token {
    session: Option<Session>,
    module: Option<Pkcs11>,
    key: ObjectHandle,
}

/// Why a token does not sign.
#[derive(Debug, Error)]
pub(crate) enum TokenError {
    #[error(transparent)]
    Pin(#[from] KeyFileError),
    #[error("the PIN's file {} is empty or no text", path.display())]
    NotAPin { path: PathBuf },
    #[error("load the PKCS#11 module {}", path.display())]
    Module {
        path: PathBuf,
        #[source]
        source: cryptoki::error::Error,
    },
    #[error("{what}")]
    Refused {
        what: &'static str,
        #[source]
        source: cryptoki::error::Error,
    },
    #[error("{found} tokens are labelled {label:?}, not one")]
    NotOneToken { label: String, found: usize },
    #[error("{found} {class} keys on P-256 in the token are labelled {label:?}, not one")]
    NotOneKey {
        class: &'static str,
        label: String,
        found: usize,
    },
    #[error("the token's public key {label:?} is not the one that is stated")]
    OtherKey { label: String },
    #[error("the token's signature is no ECDSA signature over P-256")]
    NotASignature,
}

fn refused(what: &'static str) -> impl FnOnce(cryptoki::error::Error) -> TokenError {
    move |source| TokenError::Refused { what, source }
}

impl Token {
    /// Logs in, finds the key, and sees that it is the one of which `public` is the other half.
    pub(super) fn open(
        settings: Pkcs11Settings,
        public: &VerifyingKey,
    ) -> Result<Self, TokenError> {
        let pin = read_pin(&settings)?;
        let unloaded = |source| TokenError::Module {
            path: settings.module.clone(),
            source,
        };
        let module = Pkcs11::new(&settings.module).map_err(unloaded)?;
        module
            .initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK))
            .map_err(refused("initialise the module"))?;
        let session = module
            .open_ro_session(slot_of(&module, &settings.token)?)
            .map_err(refused("open a session with the token"))?;
        session
            .login(UserType::User, Some(&pin))
            .map_err(refused("log in to the token"))?;
        let label = settings.key;
        let public_half = only_key(&session, ObjectClass::PUBLIC_KEY, "public", &label)?;
        if point_of(&session, public_half)?.as_deref()
            != Some(public.to_sec1_point(false).as_bytes())
        {
            return Err(TokenError::OtherKey { label });
        }
        Ok(Self {
            key: only_key(&session, ObjectClass::PRIVATE_KEY, "private", &label)?,
            session: Some(session),
            module: Some(module),
        })
    }
}

impl SignDigest for Token {
    fn sign(&mut self, digest: &[u8; 32]) -> Result<Signature, SignerError> {
        let Some(session) = &self.session else {
            return Err(TokenError::NotASignature.into());
        };
        let signature = session
            .sign(&Mechanism::Ecdsa, self.key, digest)
            .map_err(refused("have the token sign"))?;
        let signature = Signature::from_slice(&signature);
        Ok(signature.map_err(|_| TokenError::NotASignature)?)
    }
}

/// Logged out and closed, whatever became of the signature.
impl Drop for Token {
    fn drop(&mut self) {
        if let Some(session) = self.session.take() {
            let _ = session.logout();
            let _ = session.close();
        }
        if let Some(module) = self.module.take() {
            let _ = module.finalize();
        }
    }
}

fn read_pin(settings: &Pkcs11Settings) -> Result<AuthPin, TokenError> {
    let bytes = read_secret(&settings.pin_file)?;
    let text = std::str::from_utf8(&bytes).ok();
    // Editors and `echo` end a file with a line's end, which no PIN has.
    let pin = text.map(|text| text.trim_end_matches(['\r', '\n']));
    match pin.filter(|pin| !pin.is_empty()) {
        Some(pin) => Ok(AuthPin::new(pin.into())),
        None => Err(TokenError::NotAPin {
            path: settings.pin_file.clone(),
        }),
    }
}

fn slot_of(module: &Pkcs11, label: &str) -> Result<Slot, TokenError> {
    let slots = module
        .get_slots_with_initialized_token()
        .map_err(refused("list the module's tokens"))?;
    let mut of_label = Vec::new();
    for slot in slots {
        let token = module
            .get_token_info(slot)
            .map_err(refused("read a token's label"))?;
        if token.label() == label {
            of_label.push(slot);
        }
    }
    match of_label[..] {
        [slot] => Ok(slot),
        _ => Err(TokenError::NotOneToken {
            label: label.to_owned(),
            found: of_label.len(),
        }),
    }
}

fn only_key(
    session: &Session,
    class: ObjectClass,
    class_name: &'static str,
    label: &str,
) -> Result<ObjectHandle, TokenError> {
    let wanted = [
        Attribute::Class(class),
        Attribute::KeyType(cryptoki::object::KeyType::EC),
        Attribute::Label(label.as_bytes().to_vec()),
    ];
    let found = session
        .find_objects(&wanted)
        .map_err(refused("look for the key in the token"))?;
    match found[..] {
        [key] => Ok(key),
        _ => Err(TokenError::NotOneKey {
            class: class_name,
            label: label.to_owned(),
            found: found.len(),
        }),
    }
}

/// As it stands in the token, with or without its DER.
fn point_of(session: &Session, key: ObjectHandle) -> Result<Option<Vec<u8>>, TokenError> {
    let attributes = session
        .get_attributes(key, &[AttributeType::EcPoint])
        .map_err(refused("read the public key from the token"))?;
    Ok(attributes
        .into_iter()
        .find_map(|attribute| match attribute {
            Attribute::EcPoint(point) => Some(match point.strip_prefix(&POINT_IN_DER) {
                Some(bare) if bare.len() == 65 => bare.to_vec(),
                _ => point,
            }),
            _ => None,
        }))
}
