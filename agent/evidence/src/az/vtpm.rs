//! What Azure's virtual TPM is asked for beyond what any TPM is.

use crate::tpm::talk::{Talk, TalkError};
use tss_esapi::attributes::NvIndexAttributesBuilder;
use tss_esapi::constants::response_code::Tss2ResponseCodeKind as Kind;
use tss_esapi::handles::{
    KeyHandle, NvIndexHandle, NvIndexTpmHandle, PersistentTpmHandle, TpmHandle,
};
use tss_esapi::interface_types::algorithm::HashingAlgorithm;
use tss_esapi::interface_types::resource_handles::{NvAuth, Provision};
use tss_esapi::interface_types::session_handles::AuthSession;
use tss_esapi::structures::{MaxNvBuffer, NvPublicBuilder, Public};
use tss_esapi::{Context, Error as TssError};

/// Where the attestation key is.
pub(super) const AK: u32 = 0x8100_0003;
/// Where the paravisor's report is read.
pub(super) const REPORT: u32 = 0x0140_0001;
/// Where is written what its next report is to say.
const USER_DATA: u32 = 0x0140_0002;
const USER_DATA_LEN: usize = 64;

impl Talk<'_> {
    /// The key that the paravisor made, and its public area; `None` without one.
    pub(super) fn paravisors_key(&mut self) -> Result<Option<(KeyHandle, Public)>, TalkError> {
        let action = "tell the paravisor's key";
        let handle = PersistentTpmHandle::new(AK).map_err(|error| self.fault(action, error))?;
        let found = self.context.execute_without_session(|context| {
            context.tr_from_tpm_public(TpmHandle::Persistent(handle))
        });
        let key = match found {
            Ok(found) => KeyHandle::from(found),
            Err(error) if is_no_handle(error) => return Ok(None),
            Err(error) => return Err(self.fault(action, error)),
        };
        let told = self
            .context
            .execute_without_session(|context| context.read_public(key));
        let (public, _, _) = told.map_err(|error| self.fault(action, error))?;
        Ok(Some((key, public)))
    }

    /// Writes what the paravisor's next report is to say. The index is made where nobody did before.
    pub(super) fn say(&mut self, user_data: &[u8; USER_DATA_LEN]) -> Result<(), TalkError> {
        let said = say(&mut self.context, user_data);
        said.map_err(|error| self.fault("take what its report is to say", error))
    }
}

fn say(context: &mut Context, user_data: &[u8]) -> Result<(), TssError> {
    let number = NvIndexTpmHandle::new(USER_DATA)?;
    let found = context
        .execute_without_session(|context| context.tr_from_tpm_public(TpmHandle::NvIndex(number)));
    let index = match found {
        Ok(found) => NvIndexHandle::from(found),
        Err(error) if is_no_handle(error) => define(context, number)?,
        Err(error) => return Err(error),
    };
    let data = MaxNvBuffer::try_from(user_data.to_vec())?;
    context.execute_with_session(Some(AuthSession::Password), |context| {
        context.nv_write(NvAuth::Owner, index, data, 0)
    })
}

fn define(context: &mut Context, number: NvIndexTpmHandle) -> Result<NvIndexHandle, TssError> {
    let attributes = NvIndexAttributesBuilder::new()
        .with_owner_write(true)
        .with_owner_read(true)
        .build()?;
    let public = NvPublicBuilder::new()
        .with_nv_index(number)
        .with_index_name_algorithm(HashingAlgorithm::Sha256)
        .with_index_attributes(attributes)
        .with_data_area_size(USER_DATA_LEN)
        .build()?;
    context.execute_with_session(Some(AuthSession::Password), |context| {
        context.nv_define_space(Provision::Owner, None, public)
    })
}

/// Whether there is nothing at a handle, for which TPMs have two words.
fn is_no_handle(error: TssError) -> bool {
    matches!(error, TssError::Tss2Error(code)
        if matches!(code.kind(), Some(Kind::Handle | Kind::ReferenceH0)))
}

/// The modulus of a public area, if it is RSA's.
pub(super) fn modulus(public: &Public) -> Option<&[u8]> {
    match public {
        Public::Rsa { unique, .. } => Some(unique.value()),
        _ => None,
    }
}
