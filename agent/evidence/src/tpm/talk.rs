//! What is asked of a TPM for evidence. No secret goes either way, and what it says is signed: there is
//! no session but the empty password.

use super::settings::{QuoteKey, TpmQuoteSettings};
use super::template;
use std::fmt::Display;
use thiserror::Error;
use tss_esapi::constants::response_code::Tss2ResponseCodeKind as Kind;
use tss_esapi::handles::{KeyHandle, NvIndexHandle, NvIndexTpmHandle, ObjectHandle, TpmHandle};
use tss_esapi::interface_types::algorithm::HashingAlgorithm;
use tss_esapi::interface_types::resource_handles::{Hierarchy, NvAuth};
use tss_esapi::interface_types::session_handles::AuthSession;
use tss_esapi::structures::{
    Attest, AttestInfo, Data, PcrSelectionList, PcrSelectionListBuilder, PcrSlot, Public,
    Signature, SignatureScheme,
};
use tss_esapi::traits::UnMarshall;
use tss_esapi::{Context, Error as TssError};

/// What is kept at an index is a certificate or a template.
const MAX_NV_LEN: u16 = 8192;
/// Every TPM reads so much at once.
const NV_CHUNK_LEN: u16 = 256;
/// A TPM tells so many PCRs at once.
const PCR_CHUNK: usize = 8;
/// PCRs may be extended between being read and being quoted; not often.
const ATTEMPTS: usize = 5;

/// Why a TPM gave no evidence.
#[derive(Debug, Error)]
pub(crate) enum TalkError {
    #[error("cannot open {named}: {reason}")]
    Absent { named: String, reason: String },
    #[error("{named} does not {action}: {reason}")]
    Faulty {
        named: String,
        action: &'static str,
        reason: String,
    },
    #[error("{named} covers other data than it was asked to cover")]
    OtherData { named: String },
}

/// A quote, and the PCRs that it is over; those that are not selected are zeros.
#[derive(Debug)]
pub(crate) struct Quoted {
    pub(crate) attest: Attest,
    pub(crate) signature: Signature,
    pub(crate) pcrs: [[u8; 32]; 24],
}

/// One conversation. The key is gone when it ends.
pub(crate) struct Talk<'a> {
    pub(crate) context: Context,
    settings: &'a TpmQuoteSettings,
}

impl<'a> Talk<'a> {
    pub(crate) fn open(settings: &'a TpmQuoteSettings) -> Result<Self, TalkError> {
        let context = Context::new(settings.tcti.clone()).map_err(|error| TalkError::Absent {
            named: settings.named.clone(),
            reason: error.to_string(),
        })?;
        Ok(Self { context, settings })
    }

    pub(crate) fn fault(&self, action: &'static str, reason: impl Display) -> TalkError {
        TalkError::Faulty {
            named: self.settings.named.clone(),
            action,
            reason: reason.to_string(),
        }
    }

    /// The configured key, made anew.
    pub(super) fn attestation_key(&mut self) -> Result<(KeyHandle, Public), TalkError> {
        let template = match self.settings.key {
            QuoteKey::EccP256 => template::ak_ecc(),
            QuoteKey::Rsa2048 => template::ak_rsa(),
            key @ (QuoteKey::GoogleEcc | QuoteKey::GoogleRsa) => {
                let index = key.certificate_index().unwrap_or_default();
                let kept = self.kept(index | 1)?;
                let kept = kept.ok_or_else(|| {
                    let reason = format!("there is none at {:#010x}: not Google's", index | 1);
                    self.fault("keep a template for its attestation key", reason)
                })?;
                Public::unmarshall(&kept)
            }
        };
        self.primary("make an attestation key", template)
    }

    /// A primary key of the endorsement hierarchy, whose password is empty.
    pub(super) fn primary(
        &mut self,
        action: &'static str,
        template: Result<Public, TssError>,
    ) -> Result<(KeyHandle, Public), TalkError> {
        let template = template.map_err(|error| self.fault(action, error))?;
        let session = Some(AuthSession::Password);
        let made = self.context.execute_with_session(session, |context| {
            context.create_primary(Hierarchy::Endorsement, template, None, None, None, None)
        });
        let made = made.map_err(|error| self.fault(action, error))?;
        Ok((made.key_handle, made.out_public))
    }

    /// A quote over `data`, of which a TPM that takes less signs the report data alone.
    pub(crate) fn quote(&mut self, key: KeyHandle, data: &[u8]) -> Result<Quoted, TalkError> {
        let bare = data.get(..crate::REPORT_DATA_LEN).unwrap_or(data);
        for _ in 0..ATTEMPTS {
            let pcrs = self.pcrs()?;
            // One without SHA-512 takes no more than 50 bytes.
            let mut asked = data;
            let mut said = self.quoted(key, asked);
            if matches!(&said, Err(TssError::Tss2Error(code)) if code.kind() == Some(Kind::Size)) {
                asked = bare;
                said = self.quoted(key, asked);
            }
            let (attest, signature) = said.map_err(|error| self.fault("quote", error))?;
            if attest.extra_data().value() != asked {
                return Err(TalkError::OtherData {
                    named: self.settings.named.clone(),
                });
            }
            let AttestInfo::Quote { info } = attest.attested() else {
                return Err(self.fault("quote", "it says something else"));
            };
            if info.pcr_digest().value() == digest_of(&pcrs, self.settings.pcrs) {
                return Ok(Quoted {
                    attest,
                    signature,
                    pcrs,
                });
            }
        }
        Err(self.fault("quote", "its PCRs change each time"))
    }

    fn quoted(&mut self, key: KeyHandle, data: &[u8]) -> Result<(Attest, Signature), TssError> {
        let selection = selection(&numbers(self.settings.pcrs))?;
        let data = Data::try_from(data.to_vec())?;
        self.context
            .execute_with_session(Some(AuthSession::Password), |context| {
                context.quote(key, data, SignatureScheme::Null, selection)
            })
    }

    fn pcrs(&mut self) -> Result<[[u8; 32]; 24], TalkError> {
        let action = "tell its PCRs";
        let mut pcrs = [[0; 32]; 24];
        for some in numbers(self.settings.pcrs).chunks(PCR_CHUNK) {
            let wanted = selection(some).map_err(|error| self.fault(action, error))?;
            let told = self
                .context
                .execute_without_session(|context| context.pcr_read(wanted.clone()));
            let (_, read, values) = told.map_err(|error| self.fault(action, error))?;
            // A bank that is not there is left out of the answer, and of a quote as well.
            if read != wanted || values.value().len() != some.len() {
                let reason = "it has no SHA-256 bank, or not all of the PCRs in it";
                return Err(self.fault(action, reason));
            }
            for (index, value) in some.iter().zip(values.value()) {
                let value = <[u8; 32]>::try_from(value.value());
                let value = value.map_err(|_| self.fault(action, "one has another length"))?;
                if let Some(pcr) = pcrs.get_mut(*index as usize) {
                    *pcr = value;
                }
            }
        }
        Ok(pcrs)
    }

    /// What is kept at an index that anybody may read; `None` without one.
    pub(crate) fn kept(&mut self, index: u32) -> Result<Option<Vec<u8>>, TalkError> {
        let action = "tell what it keeps for all";
        let handle = NvIndexTpmHandle::new(index).map_err(|error| self.fault(action, error))?;
        let found = self.context.execute_without_session(|context| {
            context.tr_from_tpm_public(TpmHandle::NvIndex(handle))
        });
        let found: ObjectHandle = match found {
            Ok(found) => found,
            Err(TssError::Tss2Error(code)) if code.kind() == Some(Kind::Handle) => return Ok(None),
            Err(error) => return Err(self.fault(action, error)),
        };
        let index = NvIndexHandle::from(found);
        let by_itself = self.read(index, NvAuth::NvIndex(index));
        // Google's are for the owner.
        let read = by_itself.or_else(|_| self.read(index, NvAuth::Owner));
        read.map(Some).map_err(|error| self.fault(action, error))
    }

    fn read(&mut self, index: NvIndexHandle, auth: NvAuth) -> Result<Vec<u8>, TssError> {
        let public = self
            .context
            .execute_without_session(|context| context.nv_read_public(index));
        let len = u16::try_from(public?.0.data_size()).unwrap_or(u16::MAX);
        let len = len.min(MAX_NV_LEN);
        let mut all = Vec::new();
        let mut at = 0u16;
        while at < len {
            let wanted = len.saturating_sub(at).min(NV_CHUNK_LEN);
            let session = Some(AuthSession::Password);
            let part = self.context.execute_with_session(session, |context| {
                context.nv_read(auth, index, wanted, at)
            })?;
            all.extend(part.value());
            at = at.saturating_add(wanted);
        }
        Ok(all)
    }
}

/// The PCRs of a mask, in the order in which a quote hashes them.
fn numbers(mask: u32) -> Vec<u32> {
    (0..24).filter(|pcr| mask & 1 << pcr != 0).collect()
}

fn selection(pcrs: &[u32]) -> Result<PcrSelectionList, TssError> {
    let slots = pcrs.iter().map(|pcr| PcrSlot::try_from(1u32 << pcr));
    let slots = slots.collect::<Result<Vec<_>, _>>()?;
    PcrSelectionListBuilder::new()
        .with_selection(HashingAlgorithm::Sha256, &slots)
        .build()
}

fn digest_of(pcrs: &[[u8; 32]; 24], mask: u32) -> Vec<u8> {
    use sha2::{Digest, Sha256};
    let mut hash = Sha256::new();
    for (index, pcr) in pcrs.iter().enumerate() {
        if mask >> index & 1 == 1 {
            hash.update(pcr);
        }
    }
    hash.finalize().to_vec()
}
