use super::{Call, with_key};
use crate::keys::Expanded;
use crate::refusal::Stop;
use crate::{Outcome, Refusal, Session, Vault};
use nitride_protocol::application::{PublicKey, PublicKeyDer};
use nitride_protocol::{Message, Operation, Reader};
use nitride_secmem::crypto::{ed25519_spki, p256_spki};

pub(super) fn public_key(
    vault: &Vault,
    session: &mut Session,
    params: Reader<'_>,
    call: Call<'_>,
) -> Result<Outcome, Stop> {
    let PublicKey { key, version } = PublicKey::decode_last(params)?;
    let on = (Operation::PublicKey, key);
    with_key(
        vault,
        session,
        on,
        version.into(),
        call,
        |access, reply, _| {
            let version = access.version().number;
            let answer = |spki: &[u8]| reply.write(&PublicKeyDer { version, spki });
            match access.material().expanded() {
                Expanded::EcP256 { point, .. } => answer(&p256_spki(point)),
                Expanded::Ed25519 { public, .. } => answer(&ed25519_spki(public)),
                _ => Err(Refusal::WrongKeyType {
                    key_type: access.body().key_type,
                    operation: Operation::PublicKey,
                }),
            }
        },
    )
}
