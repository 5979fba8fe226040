use super::Call;
use crate::access::Grant;
use crate::keys::Key;
use crate::refusal::Stop;
use crate::{Outcome, Refusal, Session, Vault};
use nitride_protocol::admin::Destroy;
use nitride_protocol::application::{Disable, Enable};
use nitride_protocol::{Empty, KeyName, KeyState, Message, Operation, Reader};
use std::sync::Arc;

pub(super) fn enable(
    vault: &Vault,
    session: &mut Session,
    params: Reader<'_>,
    call: Call<'_>,
) -> Result<Outcome, Stop> {
    let Enable { key, version } = Enable::decode_last(params)?;
    let key = present(vault, session, Operation::Enable, key)?;
    vault.keys.set_state(&key, version, KeyState::Enabled)?;
    call.answer(&Empty)
}

pub(super) fn disable(
    vault: &Vault,
    session: &mut Session,
    params: Reader<'_>,
    call: Call<'_>,
) -> Result<Outcome, Stop> {
    let Disable { key, version } = Disable::decode_last(params)?;
    let key = present(vault, session, Operation::Disable, key)?;
    vault.keys.set_state(&key, version, KeyState::Disabled)?;
    call.answer(&Empty)
}

pub(super) fn destroy(
    vault: &Vault,
    session: &mut Session,
    params: Reader<'_>,
    call: Call<'_>,
) -> Result<Outcome, Stop> {
    let Destroy { key, version } = Destroy::decode_last(params)?;
    let key = present(vault, session, Operation::Destroy, key)?;
    vault.keys.destroy(&key, version)?;
    call.answer(&Empty)
}

/// The key that is to be changed, which has to be there.
pub(super) fn present(
    vault: &Vault,
    session: &mut Session,
    operation: Operation,
    name: KeyName<'_>,
) -> Result<Arc<Key>, Refusal> {
    let grant = Grant::new(session, vault, operation, name)?;
    grant.key().cloned().ok_or(Refusal::KeyNotFound)
}
