use super::{Call, write_in_place};
use crate::access::Grant;
use crate::refusal::Stop;
use crate::{Outcome, Session, Vault};
use nitride_protocol::application::Release;
use nitride_protocol::{Message, Operation, Reader};

/// The only way out for plaintext keys: type `secret`, and every policy names the peer.
pub(super) fn release(
    vault: &Vault,
    session: &mut Session,
    params: Reader<'_>,
    call: Call<'_>,
) -> Result<Outcome, Stop> {
    let Release { key: name, version } = Release::decode_last(params)?;
    let Call {
        id,
        now,
        draw,
        reply,
    } = call;
    let grant = Grant::new(session, vault, Operation::Release, name)?;
    let key = grant.ensure_key(vault, now, draw)?;
    let len = grant.use_key(vault, &key, version.into(), now, |access| {
        let secret = access.material().record().expose();
        let version = access.version().number;
        write_in_place(
            reply,
            id,
            |writer| {
                writer.array(2)?;
                writer.u64(version.into())
            },
            secret.len(),
            |out| {
                out.copy_from_slice(secret);
                Ok(())
            },
        )
    })?;
    Ok(Outcome::Reply(len))
}
