use super::Call;
use crate::access::{Access, Grant, Wanted};
use crate::keys::Expanded;
use crate::refusal::Stop;
use crate::{Outcome, Refusal, Session, Vault};
use nitride_protocol::application::{Mac, Tag, VerifyMac};
use nitride_protocol::{Empty, Message, Operation, Reader, Status, write_reply};
use nitride_secmem::crypto::HmacSha256;

pub(super) fn mac(
    vault: &Vault,
    session: &mut Session,
    params: Reader<'_>,
    call: Call<'_>,
) -> Result<Outcome, Stop> {
    let Mac { key: name, data } = Mac::decode_last(params)?;
    let Call {
        id,
        now,
        draw,
        reply,
    } = call;
    let grant = Grant::new(session, vault, Operation::Mac, name)?;
    let key = grant.ensure_key(vault, now, draw)?;
    let len = grant.use_key(vault, &key, Wanted::Newest, now, |access| {
        let tag = hmac_of(access, Operation::Mac)?.tag(data)?;
        let tag = Tag {
            version: access.version().number,
            tag: &tag,
        };
        Ok(write_reply(reply, id, Status::Ok, &tag)?)
    })?;
    Ok(Outcome::Reply(len))
}

pub(super) fn verify_mac(
    vault: &Vault,
    session: &mut Session,
    params: Reader<'_>,
    call: Call<'_>,
) -> Result<Outcome, Stop> {
    let VerifyMac {
        key: name,
        version,
        data,
        tag,
    } = VerifyMac::decode_last(params)?;
    let grant = Grant::new(session, vault, Operation::VerifyMac, name)?;
    let key = grant.ensure_key(vault, call.now, call.draw)?;
    grant.use_key(vault, &key, version.into(), call.now, |access| {
        hmac_of(access, Operation::VerifyMac)?
            .verify(data, tag)?
            .then_some(())
            .ok_or(Refusal::VerificationFailed)
    })?;
    call.answer(&Empty)
}

fn hmac_of<'k>(access: &Access<'k>, operation: Operation) -> Result<&'k HmacSha256, Refusal> {
    match access.material().expanded() {
        Expanded::Hmac(hmac) => Ok(hmac),
        _ => Err(Refusal::WrongKeyType {
            key_type: access.body().key_type,
            operation,
        }),
    }
}
