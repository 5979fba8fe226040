use super::Call;
use super::status::SERVER;
use crate::access::KeylessGrant;
use crate::refusal::Stop;
use crate::{Outcome, Refusal, Session};
use nitride_protocol::application::{Hello, SIGNER_LISTS_FEATURE, Welcome};
use nitride_protocol::limits::{MAX_INLINE_LEN, MAX_PACKET_LEN};
use nitride_protocol::{KeyType, Message, Operation, Reader};

pub(super) fn hello(
    session: &mut Session,
    params: Reader<'_>,
    call: Call<'_>,
) -> Result<Outcome, Stop> {
    KeylessGrant::new(session, Operation::Hello)?;
    let hello = Hello::decode_last(params)?;
    let version = hello.agreed_version().ok_or(Refusal::UnsupportedVersion)?;
    session.set_wait_ms(hello.wait_ms);
    session.set_attaches(hello.attaches);
    let max_len = |len: usize| u32::try_from(len).unwrap_or(u32::MAX);
    call.answer(&Welcome {
        version,
        server: SERVER,
        max_packet: max_len(MAX_PACKET_LEN),
        max_inline: max_len(MAX_INLINE_LEN),
        // A client that is older than a type finds out here, not by a refusal.
        features: KeyType::ALL
            .into_iter()
            .map(KeyType::as_str)
            .chain([SIGNER_LISTS_FEATURE])
            .collect(),
    })
}
