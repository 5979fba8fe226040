use super::Call;
use crate::access::Grant;
use crate::keys::Body;
use crate::permissions::state_allows;
use crate::refusal::Stop;
use crate::{Outcome, Refusal, Session, Vault};
use nitride_protocol::admin::Destroy;
use nitride_protocol::application::{Disable, Enable};
use nitride_protocol::{Empty, KeyName, KeyState, Message, Operation, Reader};

pub(super) fn enable(
    vault: &Vault,
    session: &mut Session,
    params: Reader<'_>,
    call: Call<'_>,
) -> Result<Outcome, Stop> {
    let Enable { key, version } = Enable::decode_last(params)?;
    change(vault, session, Operation::Enable, key, version, |body| {
        set_state(body, version, KeyState::Enabled);
    })?;
    call.answer(&Empty)
}

pub(super) fn disable(
    vault: &Vault,
    session: &mut Session,
    params: Reader<'_>,
    call: Call<'_>,
) -> Result<Outcome, Stop> {
    let Disable { key, version } = Disable::decode_last(params)?;
    change(vault, session, Operation::Disable, key, version, |body| {
        set_state(body, version, KeyState::Disabled);
    })?;
    call.answer(&Empty)
}

pub(super) fn destroy(
    vault: &Vault,
    session: &mut Session,
    params: Reader<'_>,
    call: Call<'_>,
) -> Result<Outcome, Stop> {
    let Destroy { key, version } = Destroy::decode_last(params)?;
    change(vault, session, Operation::Destroy, key, version, |body| {
        body.destroy(version);
    })?;
    call.answer(&Empty)
}

/// Changes a key that is there, alone: uses that are under way end first.
fn change(
    vault: &Vault,
    session: &mut Session,
    operation: Operation,
    name: KeyName<'_>,
    version: Option<u32>,
    act: impl FnOnce(&mut Body),
) -> Result<(), Refusal> {
    let grant = Grant::new(session, vault, operation, name)?;
    let key = grant.key().ok_or(Refusal::KeyNotFound)?;
    let mut body = key.write()?;
    state_allows(operation, body.state)?;
    if let Some(number) = version {
        let mut versions = body.versions.iter();
        let version = versions
            .find(|version| version.number == number)
            .ok_or(Refusal::VersionNotFound)?;
        state_allows(operation, version.state)?;
    }
    act(&mut body);
    Ok(())
}

/// Of the whole key, or of one version.
fn set_state(body: &mut Body, version: Option<u32>, state: KeyState) {
    match version {
        None => body.state = state,
        Some(number) => body
            .versions
            .iter_mut()
            .filter(|version| version.number == number)
            .for_each(|version| version.state = state),
    }
}
