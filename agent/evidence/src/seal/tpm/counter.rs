//! The NV counter. A TPM counter that is made anew begins above every one that it ever had (TPM 2.0
//! Library, part 1, 37.2.4), so that none goes back; but one made anew has another authorization.

use crate::seal::tpm::conversation::{Conversation, is_auth_refusal, kind};
use crate::seal::{PlatformSecret, SealError};
use tss_esapi::Error;
use tss_esapi::attributes::{NvIndexAttributes, NvIndexAttributesBuilder};
use tss_esapi::constants::NvIndexType;
use tss_esapi::constants::response_code::Tss2ResponseCodeKind as Kind;
use tss_esapi::handles::{NvIndexHandle, NvIndexTpmHandle, TpmHandle};
use tss_esapi::interface_types::algorithm::HashingAlgorithm;
use tss_esapi::interface_types::resource_handles::{NvAuth, Provision};
use tss_esapi::structures::{Auth, Digest, NvPublic, NvPublicBuilder};

/// Stands where an index has the digest of its policy. No attribute lets a policy do anything with
/// it: it only tells our index from somebody else's.
const MARK: &[u8; 32] = b"nitride vault: the seal counter.";
const COUNTER_LEN: usize = 8;

/// What is at an index.
enum Place {
    Nothing,
    Ours(NvIndexHandle),
    Foreign,
}

impl Conversation {
    /// A counter that is there says that something was sealed before: what it counts has gone
    /// missing, or is older than it says.
    pub(crate) fn refuse_a_counter_at(&mut self, index: u32) -> Result<(), SealError> {
        match self.look(index)? {
            Place::Nothing => Ok(()),
            Place::Ours(_) => Err(SealError::CounterLost {
                reason: format!("index {index:#x} counts an earlier secret, whose file is gone"),
            }),
            Place::Foreign => Err(foreign(index)),
        }
    }

    /// Makes the counter and steps it once, so that it can be read.
    pub(crate) fn define_counter(
        &mut self,
        index: u32,
        auth: &PlatformSecret,
    ) -> Result<(), SealError> {
        let action = "make a counter";
        let session = Some(self.session);
        self.context
            .execute_with_session(session, |context| {
                let auth = Auth::try_from(auth.expose().as_slice())?;
                context.nv_define_space(Provision::Owner, Some(auth), public(index)?)
            })
            .map_err(|error| self.fault(action, error))?;
        let counted = self.count(index, auth, true).map(drop);
        if counted.is_err() {
            // Nobody will ever know its authorization, and no other is made where it is.
            drop(self.undefine_counter(index));
        }
        counted
    }

    /// Removes the counter, if there is one of ours.
    pub(crate) fn undefine_counter(&mut self, index: u32) -> Result<(), SealError> {
        let handle = match self.look(index)? {
            Place::Nothing => return Ok(()),
            Place::Ours(handle) => handle,
            Place::Foreign => return Err(foreign(index)),
        };
        let session = Some(self.session);
        self.context
            .execute_with_session(session, |context| {
                context.nv_undefine_space(Provision::Owner, handle)
            })
            .map_err(|error| self.fault("remove the counter", error))
    }

    /// Where the counter is, after one step where `increment`. Both go under a session with the
    /// counter's authorization, so that nobody between us and the TPM can answer in its place.
    pub(crate) fn count(
        &mut self,
        index: u32,
        auth: &PlatformSecret,
        increment: bool,
    ) -> Result<u64, SealError> {
        let handle = match self.look(index)? {
            Place::Ours(handle) => handle,
            Place::Nothing => {
                return Err(SealError::CounterLost {
                    reason: format!("there is none at index {index:#x}"),
                });
            }
            Place::Foreign => return Err(foreign(index)),
        };
        let session = Some(self.session);
        let counted = |context: &mut tss_esapi::Context| -> Result<[u8; COUNTER_LEN], Error> {
            let auth = Auth::try_from(auth.expose().as_slice())?;
            context.tr_set_auth(handle.into(), auth)?;
            if increment {
                context.nv_increment(NvAuth::NvIndex(handle), handle)?;
            }
            let value = context.nv_read(NvAuth::NvIndex(handle), handle, 8, 0)?;
            value
                .value()
                .try_into()
                .map_err(|_| Error::WrapperError(tss_esapi::WrapperErrorKind::WrongValueFromTpm))
        };
        let counted = self.context.execute_with_session(session, counted);
        match counted {
            Ok(value) => Ok(u64::from_be_bytes(value)),
            Err(error) if is_auth_refusal(&error) => Err(SealError::CounterLost {
                reason: format!("the one at index {index:#x} was made anew by somebody else"),
            }),
            Err(error) if kind(&error) == Some(Kind::NvUninitialized) => {
                Err(SealError::CounterLost {
                    reason: format!("the one at index {index:#x} was never stepped"),
                })
            }
            Err(error) => Err(self.fault("count", error)),
        }
    }

    fn look(&mut self, index: u32) -> Result<Place, SealError> {
        let action = "look for the counter";
        let handle = NvIndexTpmHandle::new(index).map_err(|error| self.fault(action, error))?;
        let found = self.context.execute_without_session(|context| {
            let handle = context.tr_from_tpm_public(TpmHandle::NvIndex(handle))?;
            let handle = NvIndexHandle::from(handle);
            let (public, _) = context.nv_read_public(handle)?;
            Ok((handle, public))
        });
        match found {
            Ok((handle, public)) if is_ours(&public) => Ok(Place::Ours(handle)),
            Ok(_) => Ok(Place::Foreign),
            Err(error) if kind(&error) == Some(Kind::Handle) => Ok(Place::Nothing),
            Err(error) => Err(self.fault(action, error)),
        }
    }
}

fn foreign(index: u32) -> SealError {
    SealError::CounterLost {
        reason: format!("index {index:#x} holds something that is not ours"),
    }
}

fn is_ours(public: &NvPublic) -> bool {
    let as_made = |written| attributes(written).is_ok_and(|made| made == public.attributes());
    public.authorization_policy().value() == MARK
        && public.data_size() == COUNTER_LEN
        && public.name_algorithm() == HashingAlgorithm::Sha256
        && (as_made(true) || as_made(false))
}

/// Read and stepped by its authorization alone; the owner may read it, to look. Wrong
/// authorizations lock nothing out, since 32 bytes are not guessed.
fn attributes(written: bool) -> Result<NvIndexAttributes, Error> {
    NvIndexAttributesBuilder::new()
        .with_nv_index_type(NvIndexType::Counter)
        .with_auth_write(true)
        .with_auth_read(true)
        .with_owner_read(true)
        .with_no_da(true)
        .with_written(written)
        .build()
}

fn public(index: u32) -> Result<NvPublic, Error> {
    NvPublicBuilder::new()
        .with_nv_index(NvIndexTpmHandle::new(index)?)
        .with_index_name_algorithm(HashingAlgorithm::Sha256)
        .with_index_attributes(attributes(false)?)
        .with_index_auth_policy(Digest::try_from(MARK.as_slice())?)
        .with_data_area_size(COUNTER_LEN)
        .build()
}
