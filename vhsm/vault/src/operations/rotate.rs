use super::{Call, lifecycle::present};
use crate::refusal::Stop;
use crate::{Outcome, Session, Vault};
use nitride_protocol::admin::{Rotate, Rotated, SetPolicy};
use nitride_protocol::{Empty, Message, Operation, Reader};

/// Makes a version more, which protects from now on.
pub(super) fn rotate(
    vault: &Vault,
    session: &mut Session,
    params: Reader<'_>,
    call: Call<'_>,
) -> Result<Outcome, Stop> {
    let Rotate { key } = Rotate::decode_last(params)?;
    let (key, rule) = present(vault, session, Operation::Rotate, key)?;
    let on = (&*key, rule.as_deref(), session.noted());
    let version = vault.keys.rotate(on, call.now, call.draw)?;
    call.answer(&Rotated { version })
}

/// Changes what travels with a key.
pub(super) fn set_policy(
    vault: &Vault,
    session: &mut Session,
    params: Reader<'_>,
    call: Call<'_>,
) -> Result<Outcome, Stop> {
    let SetPolicy { key, policy } = SetPolicy::decode_last(params)?;
    let (key, rule) = present(vault, session, Operation::SetPolicy, key)?;
    let on = (&*key, rule.as_deref(), session.noted());
    vault.keys.set_policy(on, &policy)?;
    call.answer(&Empty)
}
