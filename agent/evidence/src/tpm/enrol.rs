//! The machine's half of enrolling an attestation key: credential activation (TPM 2.0 Library, part 1,
//! 24). Whoever challenges encrypts to the endorsement key and to the attestation key's name at once; only
//! the TPM that has both, with a key of just that name, opens it.

use super::settings::TpmQuoteSettings;
use super::talk::{Talk, TalkError};
use super::template;
use base64ct::{Base64, Encoding};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use tss_esapi::constants::SessionType;
use tss_esapi::handles::{AuthHandle, KeyHandle};
use tss_esapi::interface_types::algorithm::HashingAlgorithm;
use tss_esapi::interface_types::session_handles::{AuthSession, PolicySession};
use tss_esapi::structures::{
    Digest, EncryptedSecret, IdObject, Nonce, Public, SymmetricDefinition,
};
use tss_esapi::traits::Marshall;
use tss_esapi::{Context, Error as TssError, WrapperErrorKind};

/// The only version of both forms.
const VERSION: u32 = 1;
/// Where the certificate of the endorsement key is (TCG EK Credential Profile, 2.2.1.4).
const EK_RSA_CERTIFICATE: u32 = 0x01c0_0002;

/// Why the machine does not enrol.
#[derive(Debug, Error)]
pub enum EnrolError {
    /// The TPM did not do what was asked.
    #[error("cannot enrol: {0}")]
    Tpm(String),
    /// The challenge is none.
    #[error("the challenge is not of its form: {0}")]
    Challenge(String),
}

#[derive(Serialize)]
struct RequestForm {
    version: u32,
    ek_public: String,
    ek_certificate: Option<String>,
    ak_public: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ChallengeForm {
    version: u32,
    credential: String,
    secret: String,
}

#[derive(Serialize)]
struct AnswerForm {
    version: u32,
    answer: String,
}

/// What a challenge is made of: both keys, and the maker's certificate for the first, if there is one.
pub fn request(settings: &TpmQuoteSettings) -> Result<String, EnrolError> {
    let mut tpm = Talk::open(settings)?;
    let (_, ak) = tpm.attestation_key()?;
    let (_, ek) = tpm.primary("make its endorsement key", template::ek_rsa())?;
    let certificate = tpm.kept(EK_RSA_CERTIFICATE)?;
    let base64 = |key: &Public| match key.marshall() {
        Ok(area) => Ok(Base64::encode_string(&area)),
        Err(error) => Err(EnrolError::Tpm(error.to_string())),
    };
    let form = RequestForm {
        version: VERSION,
        ek_public: base64(&ek)?,
        ek_certificate: certificate.map(|der| Base64::encode_string(super::without_fill(&der))),
        ak_public: base64(&ak)?,
    };
    written(&form)
}

/// The answer to a challenge, if it was made for this TPM and its attestation key.
pub fn activate(settings: &TpmQuoteSettings, challenge: &str) -> Result<String, EnrolError> {
    let form: ChallengeForm = serde_json::from_str(challenge)
        .map_err(|error| EnrolError::Challenge(error.to_string()))?;
    if form.version != VERSION {
        let version = form.version;
        return Err(EnrolError::Challenge(format!(
            "version {version} is not known"
        )));
    }
    let decoded = |field: &str, text: &str| {
        Base64::decode_vec(text)
            .map_err(|_| EnrolError::Challenge(format!("{field} is not padded base64")))
    };
    let credential = decoded("credential", &form.credential)?;
    let secret = decoded("secret", &form.secret)?;
    let mut tpm = Talk::open(settings)?;
    let (ak, _) = tpm.attestation_key()?;
    let (ek, _) = tpm.primary("make its endorsement key", template::ek_rsa())?;
    let opened = open(&mut tpm.context, ak, ek, credential, secret);
    let opened = opened.map_err(|error| tpm.fault("open the challenge as its own", error))?;
    written(&AnswerForm {
        version: VERSION,
        answer: Base64::encode_string(opened.value()),
    })
}

fn open(
    context: &mut Context,
    ak: KeyHandle,
    ek: KeyHandle,
    credential: Vec<u8>,
    secret: Vec<u8>,
) -> Result<Digest, TssError> {
    let policy = context.execute_without_session(|context| {
        context.start_auth_session(
            None,
            None,
            None,
            SessionType::Policy,
            SymmetricDefinition::AES_128_CFB,
            HashingAlgorithm::Sha256,
        )
    })?;
    let policy = policy.ok_or(TssError::WrapperError(WrapperErrorKind::WrongValueFromTpm))?;
    let session = PolicySession::try_from(policy)?;
    // The endorsement key is used under the endorsement hierarchy's authorization, which is empty.
    context.execute_with_session(Some(AuthSession::Password), |context| {
        context.policy_secret(
            session,
            AuthHandle::Endorsement,
            Nonce::default(),
            Digest::default(),
            Nonce::default(),
            None,
        )
    })?;
    let sessions = (Some(AuthSession::Password), Some(policy), None);
    context.execute_with_sessions(sessions, |context| {
        let credential = IdObject::try_from(credential)?;
        let secret = EncryptedSecret::try_from(secret)?;
        context.activate_credential(ak, ek, credential, secret)
    })
}

fn written(form: &impl Serialize) -> Result<String, EnrolError> {
    let text = serde_json::to_string(form).map_err(|error| EnrolError::Tpm(error.to_string()))?;
    Ok(format!("{text}\n"))
}

impl From<TalkError> for EnrolError {
    fn from(error: TalkError) -> Self {
        Self::Tpm(error.to_string())
    }
}
