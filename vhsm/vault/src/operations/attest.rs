use super::Call;
use crate::access::KeylessGrant;
use crate::outcome::AttestCall;
use crate::refusal::Stop;
use crate::{Outcome, Session};
use nitride_protocol::application::Attest;
use nitride_protocol::{Message, Operation, Reader};
use nitride_secmem::crypto::sha384;

/// What stands before the caller's data. A round hashes an object of JSON, which begins otherwise.
const LABEL: &[u8] = b"nitride attest v1\0";

pub(super) fn attest(
    session: &mut Session,
    params: Reader<'_>,
    call: &Call<'_>,
) -> Result<Outcome, Stop> {
    let Attest { data } = Attest::decode_last(params)?;
    let KeylessGrant { .. } = KeylessGrant::new(session, Operation::Attest)?;
    Ok(Outcome::Attest(AttestCall {
        id: call.id(),
        report_data: sha384(&[LABEL, data]),
    }))
}
