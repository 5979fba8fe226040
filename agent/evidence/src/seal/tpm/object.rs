//! The sealed object and its witness, and the PCRs that both are bound to.

use crate::seal::derive::derived;
use crate::seal::tpm::conversation::{Conversation, is_policy_refusal, kind};
use crate::seal::tpm::params::Params;
use crate::seal::{PlatformSecret, SealError};
use tss_esapi::attributes::{ObjectAttributes, ObjectAttributesBuilder};
use tss_esapi::constants::SessionType;
use tss_esapi::constants::response_code::Tss2ResponseCodeKind as Kind;
use tss_esapi::handles::ObjectHandle;
use tss_esapi::interface_types::algorithm::{HashingAlgorithm, PublicAlgorithm};
use tss_esapi::interface_types::resource_handles::Hierarchy;
use tss_esapi::interface_types::session_handles::{AuthSession, PolicySession};
use tss_esapi::structures::{
    Digest, HashScheme, KeyedHashScheme, MaxBuffer, PcrSelectionList, PcrSelectionListBuilder,
    PcrSlot, Private, Public, PublicBuilder, PublicKeyedHashParameters, SensitiveData,
    SymmetricDefinition,
};
use tss_esapi::{Context, Error, WrapperErrorKind};

/// What the witness authenticates, before the sealed object's unique part.
const WITNESSED: &[u8] = b"nitride seal witness v1";

/// The PCRs as they are now.
pub(crate) struct Bound {
    /// The digest of a policy that wants them so.
    pub(crate) policy: [u8; 32],
    /// Those among them that nothing has been measured into.
    pub(crate) unextended: Vec<u32>,
}

impl Conversation {
    /// 32 bytes that neither a weak TPM nor a weak kernel can foretell.
    pub(crate) fn random(&mut self) -> Result<PlatformSecret, SealError> {
        let session = Some(self.session);
        let drawn = self
            .context
            .execute_with_session(session, |context| context.get_random(32))
            .map_err(|error| self.fault("draw a random number", error))?;
        if drawn.value().len() != 32 {
            return Err(self.fault("draw a random number", wrong_length()));
        }
        let own = PlatformSecret::filled(|bytes| getrandom::fill(bytes)).map_err(|error| {
            SealError::Faulty {
                device: "the kernel".to_owned(),
                action: "draw a random number",
                reason: error.to_string(),
            }
        })?;
        Ok(derived(&[drawn.value(), own.expose()], &[b"tpm sealed"]))
    }

    /// Reads the PCRs in `mask`, and computes the policy that wants them as they are.
    pub(crate) fn pcr_policy(&mut self, mask: u32) -> Result<Bound, SealError> {
        let action = "read its PCRs";
        let wanted = selection(mask).map_err(|error| self.fault(action, error))?;
        let (_, read, values) = self
            .context
            .execute_without_session(|context| context.pcr_read(wanted.clone()))
            .map_err(|error| self.fault(action, error))?;
        // A bank that is not there is left out of the answer, and of the policy as well, which
        // would then bind nothing.
        let pcrs: Vec<u32> = (0..24).filter(|pcr| mask & 1 << pcr != 0).collect();
        if read != wanted || values.value().len() != pcrs.len() {
            return Err(SealError::Faulty {
                device: "the TPM".to_owned(),
                action,
                reason: "it has no SHA-256 bank, or not all of the PCRs in it".to_owned(),
            });
        }
        let untouched = |value: &Digest| {
            let bytes = value.value();
            bytes.iter().all(|byte| *byte == 0) || bytes.iter().all(|byte| *byte == 0xff)
        };
        let unextended = pcrs.iter().zip(values.value());
        let unextended = unextended.filter(|(_, value)| untouched(value));
        Ok(Bound {
            unextended: unextended.map(|(pcr, _)| *pcr).collect(),
            policy: self
                .trial_digest(wanted)
                .map_err(|error| self.fault(action, error))?,
        })
    }

    fn trial_digest(&mut self, selection: PcrSelectionList) -> Result<[u8; 32], Error> {
        self.context.execute_without_session(|context| {
            let trial = context
                .start_auth_session(
                    None,
                    None,
                    None,
                    SessionType::Trial,
                    SymmetricDefinition::AES_128_CFB,
                    HashingAlgorithm::Sha256,
                )?
                .ok_or_else(wrong_length)?;
            let policy = PolicySession::try_from(trial)?;
            context.policy_pcr(policy, Digest::default(), selection)?;
            let digest = context.policy_get_digest(policy)?;
            digest.value().try_into().map_err(|_| wrong_length())
        })
    }

    /// Seals `secret` under `policy`: the private part and the public part's unique digest.
    pub(crate) fn seal(
        &mut self,
        secret: &PlatformSecret,
        policy: [u8; 32],
    ) -> Result<(Vec<u8>, [u8; 32]), SealError> {
        let (session, storage) = (Some(self.session), self.storage);
        let sealed = |context: &mut Context| -> Result<(Vec<u8>, [u8; 32]), Error> {
            let public = sealed_public(policy, Digest::default())?;
            let sensitive = SensitiveData::try_from(secret.expose().as_slice())?;
            let made = context.create(storage, public, None, Some(sensitive), None, None)?;
            let Public::KeyedHash { unique, .. } = &made.out_public else {
                return Err(wrong_length());
            };
            let unique = unique.value().try_into().map_err(|_| wrong_length())?;
            Ok((made.out_private.value().to_vec(), unique))
        };
        self.context
            .execute_with_session(session, sealed)
            .map_err(|error| self.fault("seal the secret", error))
    }

    /// The sealed secret, if this TPM made it and the PCRs are as they were.
    pub(crate) fn unseal(&mut self, params: &Params) -> Result<PlatformSecret, SealError> {
        let (session, storage) = (Some(self.session), self.storage);
        let loaded = self.context.execute_with_session(session, |context| {
            let private = Private::try_from(params.private.as_slice())?;
            let public = sealed_public(params.policy, Digest::try_from(&params.unique[..])?)?;
            context.load(storage, private, public)
        });
        let object = match loaded {
            Ok(object) => ObjectHandle::from(object),
            Err(error) => {
                return Err(match kind(&error) {
                    Some(Kind::Integrity | Kind::Size | Kind::Value | Kind::Insufficient) => {
                        SealError::Foreign {
                            reason: "this TPM did not seal it, or it is damaged".to_owned(),
                        }
                    }
                    _ => self.fault("load the sealed secret", error),
                });
            }
        };
        let policy = self.satisfied_policy(params)?;
        let sessions = (Some(policy), Some(self.session), None);
        let opened = self
            .context
            .execute_with_sessions(sessions, |context| context.unseal(object))
            .map_err(|error| self.refused("unseal the secret", error))?;
        self.secret_of("unseal the secret", opened.value())
    }

    /// What the witness of these PCRs says of the sealed object.
    pub(crate) fn witness(&mut self, params: &Params) -> Result<PlatformSecret, SealError> {
        let action = "have the state witnessed";
        let template = witness_public(params.policy).map_err(|error| self.fault(action, error))?;
        let session = Some(self.session);
        let witness = self
            .context
            .execute_with_session(session, |context| {
                context.create_primary(Hierarchy::Owner, template, None, None, None, None)
            })
            .map_err(|error| self.fault(action, error))?
            .key_handle;
        let witnessed = [WITNESSED, &params.unique].concat();
        let policy = self.satisfied_policy(params)?;
        let sessions = (Some(policy), Some(self.session), None);
        let tag = self
            .context
            .execute_with_sessions(sessions, |context| {
                let witnessed = MaxBuffer::try_from(witnessed)?;
                context.hmac(witness.into(), witnessed, HashingAlgorithm::Sha256)
            })
            .map_err(|error| self.refused(action, error))?;
        self.secret_of(action, tag.value())
    }

    /// A policy session in which the TPM has looked at the PCRs.
    fn satisfied_policy(&mut self, params: &Params) -> Result<AuthSession, SealError> {
        let session = self.policy_session()?;
        self.context
            .execute_without_session(|context| {
                let policy = PolicySession::try_from(session)?;
                context.policy_pcr(policy, Digest::default(), selection(params.pcrs)?)
            })
            .map_err(|error| self.refused("look at its PCRs", error))?;
        Ok(session)
    }

    fn refused(&self, action: &'static str, error: Error) -> SealError {
        match is_policy_refusal(&error) {
            true => SealError::Changed {
                reason: "the PCRs have other values".to_owned(),
            },
            false => self.fault(action, error),
        }
    }

    fn secret_of(&self, action: &'static str, bytes: &[u8]) -> Result<PlatformSecret, SealError> {
        PlatformSecret::filled(|secret| {
            if bytes.len() != secret.len() {
                return Err(self.fault(action, wrong_length()));
            }
            secret.copy_from_slice(bytes);
            Ok(())
        })
    }
}

fn wrong_length() -> Error {
    Error::WrapperError(WrapperErrorKind::WrongValueFromTpm)
}

/// The PCRs in `mask`, of the SHA-256 bank.
fn selection(mask: u32) -> Result<PcrSelectionList, Error> {
    let slots = (0..24).map(|pcr| mask & 1 << pcr).filter(|bit| *bit != 0);
    let slots = slots
        .map(PcrSlot::try_from)
        .collect::<Result<Vec<_>, _>>()?;
    PcrSelectionListBuilder::new()
        .with_selection(HashingAlgorithm::Sha256, &slots)
        .build()
}

/// Nothing opens it but its policy, and it never leaves its TPM.
fn sealed_public(policy: [u8; 32], unique: Digest) -> Result<Public, Error> {
    keyed_hash(policy, unique, KeyedHashScheme::Null, attributes().build()?)
}

/// The HMAC key that the owner's seed makes of this policy, and of no other.
fn witness_public(policy: [u8; 32]) -> Result<Public, Error> {
    let attributes = attributes()
        .with_sensitive_data_origin(true)
        .with_sign_encrypt(true)
        .build()?;
    let scheme = KeyedHashScheme::Hmac {
        hmac_scheme: HashScheme::new(HashingAlgorithm::Sha256).into(),
    };
    keyed_hash(policy, Digest::default(), scheme, attributes)
}

fn attributes() -> ObjectAttributesBuilder {
    ObjectAttributesBuilder::new()
        .with_fixed_tpm(true)
        .with_fixed_parent(true)
        .with_no_da(true)
}

fn keyed_hash(
    policy: [u8; 32],
    unique: Digest,
    scheme: KeyedHashScheme,
    attributes: ObjectAttributes,
) -> Result<Public, Error> {
    PublicBuilder::new()
        .with_public_algorithm(PublicAlgorithm::KeyedHash)
        .with_name_hashing_algorithm(HashingAlgorithm::Sha256)
        .with_object_attributes(attributes)
        .with_auth_policy(Digest::try_from(policy.as_slice())?)
        .with_keyed_hash_parameters(PublicKeyedHashParameters::new(scheme))
        .with_keyed_hash_unique_identifier(unique)
        .build()
}
