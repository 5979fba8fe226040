use super::Call;
use crate::access::Grant;
use crate::keys::Key;
use crate::policy::KeyRule;
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
    let (key, rule) = present(vault, session, Operation::Enable, key)?;
    let on = (&*key, rule.as_deref(), session.noted());
    vault.keys.set_state(on, version, KeyState::Enabled)?;
    call.answer(&Empty)
}

pub(super) fn disable(
    vault: &Vault,
    session: &mut Session,
    params: Reader<'_>,
    call: Call<'_>,
) -> Result<Outcome, Stop> {
    let Disable { key, version } = Disable::decode_last(params)?;
    let (key, rule) = present(vault, session, Operation::Disable, key)?;
    let on = (&*key, rule.as_deref(), session.noted());
    vault.keys.set_state(on, version, KeyState::Disabled)?;
    call.answer(&Empty)
}

pub(super) fn destroy(
    vault: &Vault,
    session: &mut Session,
    params: Reader<'_>,
    call: Call<'_>,
) -> Result<Outcome, Stop> {
    let Destroy { key, version } = Destroy::decode_last(params)?;
    let (key, rule) = present(vault, session, Operation::Destroy, key)?;
    let on = (&*key, rule.as_deref(), session.noted());
    vault.keys.destroy(on, version)?;
    call.answer(&Empty)
}

/// The key that is to be changed, which has to be there, and its rule.
pub(super) fn present(
    vault: &Vault,
    session: &mut Session,
    operation: Operation,
    name: KeyName<'_>,
) -> Result<(Arc<Key>, Option<Arc<KeyRule>>), Refusal> {
    let grant = Grant::new(session, vault, operation, name)?;
    let Some(key) = grant.key().cloned() else {
        grant.may_be_absent(vault)?;
        return Err(Refusal::KeyNotFound);
    };
    Ok((key, grant.rule().cloned()))
}
