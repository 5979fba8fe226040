use super::{Call, with_key};
use crate::access::{Access, Wanted};
use crate::keys::Expanded;
use crate::refusal::Stop;
use crate::{Outcome, Refusal, Session, Vault};
use nitride_protocol::application::{Mac, Tag, VerifyMac};
use nitride_protocol::{Empty, Message, Operation, Reader};
use nitride_secmem::crypto::HmacSha256;

pub(super) fn mac(
    vault: &Vault,
    session: &mut Session,
    params: Reader<'_>,
    call: Call<'_>,
) -> Result<Outcome, Stop> {
    let Mac { key, data } = Mac::decode_last(params)?;
    let on = (Operation::Mac, key);
    with_key(
        vault,
        session,
        on,
        Wanted::Newest,
        call,
        |access, reply, _| {
            let tag = hmac_of(access, Operation::Mac)?.tag(data)?;
            reply.write(&Tag {
                version: access.version().number,
                tag: &tag,
            })
        },
    )
}

pub(super) fn verify_mac(
    vault: &Vault,
    session: &mut Session,
    params: Reader<'_>,
    call: Call<'_>,
) -> Result<Outcome, Stop> {
    let VerifyMac {
        key,
        version,
        data,
        tag,
    } = VerifyMac::decode_last(params)?;
    let on = (Operation::VerifyMac, key);
    with_key(
        vault,
        session,
        on,
        version.into(),
        call,
        |access, reply, _| {
            if !hmac_of(access, Operation::VerifyMac)?.verify(data, tag)? {
                return Err(Refusal::VerificationFailed);
            }
            reply.write(&Empty)
        },
    )
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
