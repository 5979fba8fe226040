use super::Call;
use crate::access::Grant;
use crate::keys::NewKey;
use crate::refusal::Stop;
use crate::{Outcome, Refusal, Session, Vault};
use nitride_protocol::admin::{Import, Imported};
use nitride_protocol::{MaterialFormat, Message, Operation, Reader};

pub(super) fn import(
    vault: &Vault,
    session: &mut Session,
    params: Reader<'_>,
    call: Call<'_>,
) -> Result<Outcome, Stop> {
    let Import {
        key: name,
        key_type,
        operations,
        material,
        format,
        wrapping_key,
        wrappable_by,
    } = Import::decode_last(params)?;
    if format != MaterialFormat::Raw || wrapping_key.is_some() {
        return Err(Refusal::WrongScheme.into());
    }
    let uid = session.peer().uid;
    let grant = Grant::new(session, vault, Operation::Import, name)?;
    let new = NewKey {
        name,
        key_type,
        operations,
        wrappable_by: Some(&wrappable_by),
        rule: grant.rule().map(|rule| &**rule),
        uid,
        now: call.now,
    };
    let version = vault.keys.import(new, material, call.draw)?;
    call.answer(&Imported { version })
}
