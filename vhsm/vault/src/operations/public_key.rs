use super::Call;
use crate::access::Grant;
use crate::keys::Expanded;
use crate::refusal::Stop;
use crate::{Outcome, Refusal, Session, Vault};
use nitride_protocol::application::{PublicKey, PublicKeyDer};
use nitride_protocol::{Message, Operation, Reader, Status, write_reply};
use nitride_secmem::crypto::{ed25519_spki, p256_spki};

pub(super) fn public_key(
    vault: &Vault,
    session: &mut Session,
    params: Reader<'_>,
    call: Call<'_>,
) -> Result<Outcome, Stop> {
    let PublicKey { key: name, version } = PublicKey::decode_last(params)?;
    let Call {
        id,
        now,
        draw,
        reply,
    } = call;
    let grant = Grant::new(session, vault, Operation::PublicKey, name)?;
    let key = grant.ensure_key(vault, now, draw)?;
    let len = grant.use_key(vault, &key, version.into(), now, |access| {
        let version = access.version().number;
        let mut answer = |spki: &[u8]| {
            let der = PublicKeyDer { version, spki };
            Ok(write_reply(reply, id, Status::Ok, &der)?)
        };
        match access.material().expanded() {
            Expanded::EcP256 { point, .. } => answer(&p256_spki(point)),
            Expanded::Ed25519 { public, .. } => answer(&ed25519_spki(public)),
            _ => Err(Refusal::WrongKeyType {
                key_type: access.body().key_type,
                operation: Operation::PublicKey,
            }),
        }
    })?;
    Ok(Outcome::Reply(len))
}
