use super::{Call, with_key};
use crate::access::{Access, Wanted};
use crate::keys::{Expanded, Live};
use crate::refusal::Stop;
use crate::{Outcome, Refusal, Session, Vault};
use nitride_protocol::application::{Mac, Tag, VerifyMac};
use nitride_protocol::{Empty, Operation};
use nitride_secmem::crypto::Hmac;

/// The longest tag, of HMAC-SHA-512.
const MAX_TAG_LEN: usize = 64;

pub(super) fn mac(
    vault: &Vault,
    session: &mut Session,
    asked: &Mac<'_>,
    call: Call<'_>,
) -> Result<Outcome, Stop> {
    let Mac { key, data } = *asked;
    let on = (Operation::Mac, key);
    with_key(
        vault,
        session,
        on,
        Wanted::Newest,
        call,
        |access, reply, _| {
            let live = access.live()?;
            let mut tag = [0; MAX_TAG_LEN];
            let len = hmac_of(access, &live, Operation::Mac)?.tag(data, &mut tag)?;
            reply.write(&Tag {
                version: access.version().number,
                tag: tag.get(..len).unwrap_or_default(),
            })
        },
    )
}

pub(super) fn verify_mac(
    vault: &Vault,
    session: &mut Session,
    asked: &VerifyMac<'_>,
    call: Call<'_>,
) -> Result<Outcome, Stop> {
    let VerifyMac {
        key,
        version,
        data,
        tag,
    } = *asked;
    let on = (Operation::VerifyMac, key);
    with_key(
        vault,
        session,
        on,
        version.into(),
        call,
        |access, reply, _| {
            let live = access.live()?;
            if !hmac_of(access, &live, Operation::VerifyMac)?.verify(data, tag)? {
                return Err(Refusal::VerificationFailed);
            }
            reply.write(&Empty)
        },
    )
}

fn hmac_of<'l>(
    access: &Access<'_>,
    live: &'l Live,
    operation: Operation,
) -> Result<&'l Hmac, Refusal> {
    match live.expanded() {
        Expanded::Hmac(hmac) => Ok(hmac),
        _ => Err(access.wrong_type(operation)),
    }
}
