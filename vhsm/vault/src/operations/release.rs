use super::{Call, with_key};
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
    let Release { key, version } = Release::decode_last(params)?;
    let on = (Operation::Release, key);
    with_key(
        vault,
        session,
        on,
        version.into(),
        call,
        |access, reply, _| {
            let secret = access.record().expose();
            let version = access.version().number;
            reply.write_in_place(
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
        },
    )
}
