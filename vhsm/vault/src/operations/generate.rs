use super::Call;
use crate::access::Grant;
use crate::keys::NewKey;
use crate::refusal::Stop;
use crate::{Outcome, Session, Vault};
use nitride_protocol::application::{Generate, Generated};
use nitride_protocol::{Message, Operation, Reader};

pub(super) fn generate(
    vault: &Vault,
    session: &mut Session,
    params: Reader<'_>,
    call: Call<'_>,
) -> Result<Outcome, Stop> {
    let Generate {
        key: name,
        key_type,
        operations,
        wrappable_by,
    } = Generate::decode_last(params)?;
    let uid = session.peer().uid;
    let grant = Grant::new(session, vault, Operation::Generate, name)?;
    let new = NewKey {
        name,
        key_type,
        operations,
        wrappable_by: Some(&wrappable_by),
        rule: grant.rule().map(|rule| &**rule),
        noted: grant.noted(),
        uid,
        now: call.now,
    };
    let version = vault.keys.generate(new, call.draw)?;
    call.answer(&Generated { version })
}
