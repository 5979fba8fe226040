//! Enrolling an attestation key: the operator's half of credential activation (TPM 2.0 Library, part 1,
//! 24; docs/decisions/0025).
//!
//! ```text
//!  request: EK, AK ──▶ challenge: secret, encrypted to the EK and to the AK's name ──▶ TPM
//!  pin: AK's name ◀── the same secret? ◀──────────────────────────────── answer ◀─────┘
//! ```
//!
//! Only the TPM that has the endorsement key, and a key of just that name, opens the challenge. Whose TPM
//! has that endorsement key, the operator has to know: from the machine's maker, from the cloud, or from
//! having stood before it. No time and no randomness of its own but the padding that AWS-LC draws.

use crate::evidence::{PublicMalformed, TpmKey, TpmPublic, tpm_name};
use aws_lc_rs::cipher::{AES_128, EncryptingKey, EncryptionContext, UnboundCipherKey};
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::hmac;
use aws_lc_rs::iv::FixedLength;
use aws_lc_rs::rsa::{OAEP_SHA256_MGF1SHA256, OaepPublicEncryptingKey, PublicEncryptingKey};
use base64ct::{Base64, Encoding};
use serde::Deserialize;
use serde_json::json;
use subtle::ConstantTimeEq;
use thiserror::Error;

/// The longest form of any step.
pub const MAX_FORM_LEN: usize = 16 * 1024;
const VERSION: u32 = 1;
/// A tag of HMAC-SHA256.
const TAG_LEN: u16 = 32;
/// A secret.
const SECRET_LEN: u16 = 32;

/// Both keys of a TPM that asks to be enrolled. Nothing about them is proved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Enrolment {
    endorsement_key: Vec<u8>,
    name: [u8; 34],
}

/// Why a step of an enrolment fails.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum EnrolmentFault {
    /// Not of its form.
    #[error("the {what} is not of its form: {reason}")]
    Form {
        /// Which step's.
        what: &'static str,
        /// In words.
        reason: String,
    },
    /// A key cannot be read.
    #[error("a key of the request cannot be read")]
    Key(#[from] PublicMalformed),
    /// A key is not what it is said to be.
    #[error("the {which} of the request is none: {reason}")]
    OtherUse {
        /// Which key.
        which: &'static str,
        /// In words.
        reason: &'static str,
    },
    /// It is another TPM.
    #[error("the endorsement key is {found}, not the one that is expected")]
    OtherTpm {
        /// The SHA-256 of its `SubjectPublicKeyInfo`.
        found: String,
    },
    /// Nothing can be encrypted to it.
    #[error("nothing can be encrypted to the endorsement key")]
    Unusable,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RequestForm {
    version: u32,
    ek_public: String,
    #[serde(rename = "ek_certificate")]
    _ek_certificate: Option<String>,
    ak_public: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AnswerForm {
    version: u32,
    answer: String,
}

impl Enrolment {
    /// Reads what `nitride-quote --tpm-enrol` printed.
    ///
    /// # Errors
    ///
    /// [`EnrolmentFault`] for another form, and for keys that are not an endorsement key of RSA and an
    /// attestation key.
    pub fn read(request: &str) -> Result<Self, EnrolmentFault> {
        let what = "request";
        let form: RequestForm = read(what, request)?;
        known(what, form.version)?;
        let endorsement = decoded(what, &form.ek_public)?;
        let attestation = decoded(what, &form.ak_public)?;
        let key = TpmPublic::parse(&endorsement)?;
        key.opens_for_its_tpm_alone()
            .map_err(|reason| EnrolmentFault::OtherUse {
                which: "endorsement key",
                reason,
            })?;
        if !matches!(key.key, TpmKey::Rsa { .. }) {
            return Err(EnrolmentFault::OtherUse {
                which: "endorsement key",
                reason: "it is not of RSA",
            });
        }
        TpmPublic::parse(&attestation)?
            .signs_for_its_tpm_alone()
            .map_err(|reason| EnrolmentFault::OtherUse {
                which: "attestation key",
                reason,
            })?;
        Ok(Self {
            endorsement_key: key.spki(),
            name: tpm_name(&attestation),
        })
    }

    /// The TPM's name of the key that is to be pinned.
    #[must_use]
    pub fn name(&self) -> &[u8; 34] {
        &self.name
    }

    /// The challenge for the TPM whose endorsement key has this SHA-256, of its `SubjectPublicKeyInfo`.
    /// `seed` and `secret` are drawn for it and for nothing else.
    ///
    /// # Errors
    ///
    /// [`EnrolmentFault::OtherTpm`], [`EnrolmentFault::Unusable`].
    pub fn challenge(
        &self,
        expected: &[u8; 32],
        seed: &[u8; 32],
        secret: &[u8; 32],
    ) -> Result<String, EnrolmentFault> {
        let found = digest(&SHA256, &self.endorsement_key);
        if found.as_ref() != expected {
            return Err(EnrolmentFault::OtherTpm {
                found: base16ct::lower::encode_string(found.as_ref()),
            });
        }
        let made = self.credential(seed, secret);
        let (credential, encrypted) = made.map_err(|_| EnrolmentFault::Unusable)?;
        let form = json!({
            "version": VERSION,
            "credential": Base64::encode_string(&credential),
            "secret": Base64::encode_string(&encrypted),
        });
        Ok(format!("{form}\n"))
    }

    /// `TPMS_ID_OBJECT`, and the seed for the endorsement key (part 1, 24.4 and 24.5; B.10.4).
    fn credential(
        &self,
        seed: &[u8; 32],
        secret: &[u8; 32],
    ) -> Result<(Vec<u8>, Vec<u8>), Unspecified> {
        let key = PublicEncryptingKey::from_der(&self.endorsement_key).map_err(|_| Unspecified)?;
        let key = OaepPublicEncryptingKey::new(key)?;
        let mut encrypted = vec![0; key.ciphertext_size()];
        let label = Some(&b"IDENTITY\0"[..]);
        key.encrypt(&OAEP_SHA256_MGF1SHA256, seed, &mut encrypted, label)?;
        let mut identity = [&SECRET_LEN.to_be_bytes()[..], secret].concat();
        let cipher = derived(seed, b"STORAGE\0", &self.name, 128);
        let cipher = cipher.split_first_chunk::<16>().ok_or(Unspecified)?.0;
        let cipher = EncryptingKey::cfb128(UnboundCipherKey::new(&AES_128, cipher)?)?;
        // The key is for this one message, and the TPM has no other start.
        let zeros = EncryptionContext::Iv128(FixedLength::from([0; 16]));
        cipher.less_safe_encrypt(&mut identity, zeros)?;
        let integrity = derived(seed, b"INTEGRITY\0", &[], 256);
        let integrity = hmac::Key::new(hmac::HMAC_SHA256, &integrity);
        let tag = hmac::sign(&integrity, &[&identity[..], &self.name].concat());
        let credential = [&TAG_LEN.to_be_bytes()[..], tag.as_ref(), &identity].concat();
        Ok((credential, encrypted))
    }
}

/// What is kept of a secret until its answer comes: its SHA-256.
#[must_use]
pub fn kept(secret: &[u8; 32]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, secret).as_ref());
    hash
}

/// Whether `answer`, as `nitride-quote --activate-credential` printed it, is the secret whose SHA-256 this
/// is.
///
/// # Errors
///
/// [`EnrolmentFault::Form`].
pub fn is_answered(answer: &str, secret_sha256: &[u8; 32]) -> Result<bool, EnrolmentFault> {
    let what = "answer";
    let form: AnswerForm = read(what, answer)?;
    known(what, form.version)?;
    let found = digest(&SHA256, &decoded(what, &form.answer)?);
    Ok(bool::from(found.as_ref().ct_eq(secret_sha256)))
}

/// KDFa with HMAC-SHA256 (part 1, 11.4.10.2), of at most 256 bits and one context. The label has its zero.
fn derived(seed: &[u8; 32], label: &[u8], context: &[u8], bits: u32) -> [u8; 32] {
    let key = hmac::Key::new(hmac::HMAC_SHA256, seed);
    let mut hash = hmac::Context::with_key(&key);
    hash.update(&1u32.to_be_bytes());
    hash.update(label);
    hash.update(context);
    hash.update(&bits.to_be_bytes());
    let mut derived = [0; 32];
    derived.copy_from_slice(hash.sign().as_ref());
    derived
}

fn read<'a, T: Deserialize<'a>>(what: &'static str, text: &'a str) -> Result<T, EnrolmentFault> {
    let fault = |reason| EnrolmentFault::Form { what, reason };
    if text.len() > MAX_FORM_LEN {
        return Err(fault(format!("it is longer than {MAX_FORM_LEN} bytes")));
    }
    serde_json::from_str(text).map_err(|error| fault(error.to_string()))
}

fn known(what: &'static str, version: u32) -> Result<(), EnrolmentFault> {
    if version == VERSION {
        return Ok(());
    }
    let reason = format!("version {version} is not known");
    Err(EnrolmentFault::Form { what, reason })
}

fn decoded(what: &'static str, text: &str) -> Result<Vec<u8>, EnrolmentFault> {
    Base64::decode_vec(text).map_err(|_| EnrolmentFault::Form {
        what,
        reason: "a key or secret is not padded base64".to_owned(),
    })
}

#[cfg(test)]
mod tests;
