//! One conversation with the TPM: its storage key, a session under which parameters are encrypted,
//! and what the TPM's refusals mean.

use crate::seal::SealError;
use crate::seal::tpm::TpmSettings;
use tss_esapi::attributes::{ObjectAttributesBuilder, SessionAttributesBuilder};
use tss_esapi::constants::SessionType;
use tss_esapi::constants::response_code::Tss2ResponseCodeKind as Kind;
use tss_esapi::handles::{KeyHandle, PersistentTpmHandle, TpmHandle};
use tss_esapi::interface_types::algorithm::{HashingAlgorithm, PublicAlgorithm};
use tss_esapi::interface_types::ecc::EccCurve;
use tss_esapi::interface_types::resource_handles::Hierarchy;
use tss_esapi::interface_types::session_handles::AuthSession;
use tss_esapi::structures::{
    EccParameter, EccPoint, Public, PublicBuilder, PublicEccParametersBuilder, SymmetricDefinition,
    SymmetricDefinitionObject,
};
use tss_esapi::{Context, Error};

/// Where the storage key is kept by whoever prepared the machine (TCG TPM v2.0 Provisioning
/// Guidance, 7.5.1).
const STORAGE_KEY: u32 = 0x8100_0001;

/// The TPM, spoken to under a session that only it and we can read.
pub(crate) struct Conversation {
    pub(super) context: Context,
    pub(super) storage: KeyHandle,
    pub(super) session: AuthSession,
    storage_name: [u8; 34],
    device: String,
}

impl Conversation {
    /// Opens the TPM and finds its storage key: the one of the name `wanted`, if one is.
    ///
    /// The name is what keeps somebody between us and the TPM from offering a storage key of
    /// theirs, to which the session's secret would then be encrypted.
    pub(crate) fn open(
        settings: &TpmSettings,
        wanted: Option<&[u8; 34]>,
    ) -> Result<Self, SealError> {
        let context = Context::new(settings.tcti().clone()).map_err(|error| SealError::Absent {
            device: settings.named().to_owned(),
            reason: error.to_string(),
        })?;
        let mut finding = Finding {
            context,
            device: settings.named(),
        };
        let kept = finding.kept().filter(|(_, name)| is_wanted(name, wanted));
        let (storage, storage_name) = match kept {
            Some(kept) => kept,
            None => finding.made()?,
        };
        if !is_wanted(&storage_name, wanted) {
            return Err(SealError::Foreign {
                reason: "its storage key is not this TPM's, which is another or was cleared"
                    .to_owned(),
            });
        }
        let mut context = finding.context;
        let device = settings.named().to_owned();
        let session = salted(&mut context, storage, SessionType::Hmac)
            .map_err(|error| fault(&device, "start a session", error))?;
        Ok(Self {
            context,
            storage,
            session,
            storage_name,
            device,
        })
    }

    /// The storage key's name.
    pub(crate) fn storage_name(&self) -> [u8; 34] {
        self.storage_name
    }

    /// A policy session, salted as well: it goes beside the other.
    pub(super) fn policy_session(&mut self) -> Result<AuthSession, SealError> {
        salted(&mut self.context, self.storage, SessionType::Policy)
            .map_err(|error| self.fault("start a policy session", error))
    }

    pub(super) fn fault(&self, action: &'static str, error: Error) -> SealError {
        fault(&self.device, action, error)
    }
}

struct Finding<'a> {
    context: Context,
    device: &'a str,
}

impl Finding<'_> {
    /// The one that is kept, if it is a storage key: made in this TPM, never to leave it, and for
    /// nothing but to protect others.
    fn kept(&mut self) -> Option<(KeyHandle, [u8; 34])> {
        let handle = TpmHandle::Persistent(PersistentTpmHandle::new(STORAGE_KEY).ok()?);
        let key: KeyHandle = self.context.tr_from_tpm_public(handle).ok()?.into();
        let (public, ..) = self.context.read_public(key).ok()?;
        let name = self.name(key).ok()?;
        is_storage_key(&public).then_some((key, name))
    }

    /// The name of what sessions are salted to. It is computed here, from what was first told of
    /// the key: an answer that gives a name may come from somebody who gave another key before.
    fn name(&mut self, key: KeyHandle) -> Result<[u8; 34], Error> {
        let name = self.context.tr_get_name(key.into())?;
        let wrong = |_| Error::WrapperError(tss_esapi::WrapperErrorKind::WrongValueFromTpm);
        name.value().try_into().map_err(wrong)
    }

    /// One of the standard template, the same each time until the TPM is cleared.
    fn made(&mut self) -> Result<(KeyHandle, [u8; 34]), SealError> {
        let device = self.device;
        let action = "make a storage key";
        let template = template().map_err(|error| fault(device, action, error))?;
        let made = self
            .context
            // No secret goes either way, and the hierarchy's password is empty.
            .execute_with_session(Some(AuthSession::Password), |context| {
                context.create_primary(Hierarchy::Owner, template, None, None, None, None)
            })
            .map_err(|error| fault(device, action, error))?;
        let name = self
            .name(made.key_handle)
            .map_err(|error| fault(device, action, error))?;
        Ok((made.key_handle, name))
    }
}

fn is_wanted(name: &[u8; 34], wanted: Option<&[u8; 34]>) -> bool {
    wanted.is_none_or(|wanted| wanted == name)
}

fn is_storage_key(public: &Public) -> bool {
    let attributes = public.object_attributes();
    matches!(public, Public::Rsa { .. } | Public::Ecc { .. })
        && public.name_hashing_algorithm() == HashingAlgorithm::Sha256
        && attributes.restricted()
        && attributes.decrypt()
        && !attributes.sign_encrypt()
        && attributes.fixed_tpm()
        && attributes.fixed_parent()
        && attributes.sensitive_data_origin()
        && attributes.user_with_auth()
}

/// The ECC P-256 storage primary key (TCG EK Credential Profile 2.x, template H-2's parameters in
/// the owner's hierarchy; TCG TPM v2.0 Provisioning Guidance, 7.5.1).
fn template() -> Result<Public, Error> {
    let attributes = ObjectAttributesBuilder::new()
        .with_fixed_tpm(true)
        .with_fixed_parent(true)
        .with_sensitive_data_origin(true)
        .with_user_with_auth(true)
        .with_no_da(true)
        .with_restricted(true)
        .with_decrypt(true)
        .build()?;
    let parameters = PublicEccParametersBuilder::new_restricted_decryption_key(
        SymmetricDefinitionObject::AES_128_CFB,
        EccCurve::NistP256,
    )
    .build()?;
    let zeroes = || EccParameter::try_from(vec![0; 32]);
    PublicBuilder::new()
        .with_public_algorithm(PublicAlgorithm::Ecc)
        .with_name_hashing_algorithm(HashingAlgorithm::Sha256)
        .with_object_attributes(attributes)
        .with_ecc_parameters(parameters)
        .with_ecc_unique_identifier(EccPoint::new(zeroes()?, zeroes()?))
        .build()
}

/// A session whose secret is encrypted to the storage key. Under one of HMAC the first parameter of
/// each command and each answer is encrypted.
fn salted(context: &mut Context, key: KeyHandle, kind: SessionType) -> Result<AuthSession, Error> {
    let session = context
        .execute_without_session(|context| {
            context.start_auth_session(
                Some(key),
                None,
                None,
                kind,
                SymmetricDefinition::AES_128_CFB,
                HashingAlgorithm::Sha256,
            )
        })?
        .ok_or(Error::WrapperError(
            tss_esapi::WrapperErrorKind::WrongValueFromTpm,
        ))?;
    // One session of a command encrypts, and a policy session is never the only one.
    let encrypts = kind == SessionType::Hmac;
    let (attributes, mask) = SessionAttributesBuilder::new()
        .with_continue_session(true)
        .with_decrypt(encrypts)
        .with_encrypt(encrypts)
        .build();
    context.tr_sess_set_attributes(session, attributes, mask)?;
    Ok(session)
}

/// What the TPM said, if it was the TPM that spoke.
pub(super) fn kind(error: &Error) -> Option<Kind> {
    match error {
        Error::Tss2Error(code) => code.kind(),
        Error::WrapperError(_) => None,
    }
}

/// Whether the policy was not met by the PCRs as they are.
pub(super) fn is_policy_refusal(error: &Error) -> bool {
    matches!(
        kind(error),
        Some(Kind::PolicyFail | Kind::PcrChanged | Kind::Policy)
    )
}

/// Whether an authorization was wrong.
pub(super) fn is_auth_refusal(error: &Error) -> bool {
    matches!(kind(error), Some(Kind::AuthFail | Kind::BadAuth))
}

fn fault(device: &str, action: &'static str, error: Error) -> SealError {
    let reason = match kind(&error) {
        Some(Kind::AuthFail | Kind::BadAuth) => {
            "its owner hierarchy or storage key has an authorization value, and must have none"
                .to_owned()
        }
        Some(Kind::Lockout) => "it is locked out after wrong authorizations".to_owned(),
        _ => error.to_string(),
    };
    SealError::Faulty {
        device: device.to_owned(),
        action,
        reason,
    }
}
