use super::{Call, with_key};
use crate::refusal::Stop;
use crate::{Outcome, Session, Vault};
use nitride_protocol::Operation;
use nitride_protocol::application::{PublicKey, PublicKeyDer};

pub(super) fn public_key(
    vault: &Vault,
    session: &mut Session,
    asked: &PublicKey<'_>,
    call: Call<'_>,
) -> Result<Outcome, Stop> {
    let PublicKey { key, version } = *asked;
    let on = (Operation::PublicKey, key);
    with_key(
        vault,
        session,
        on,
        version.into(),
        call,
        |access, reply, _| {
            let live = access.live()?;
            let spki = live.expanded().spki();
            let spki = spki.ok_or_else(|| access.wrong_type(Operation::PublicKey))?;
            reply.write(&PublicKeyDer {
                version: access.version().number,
                spki: &spki,
            })
        },
    )
}
