use super::Call;
use crate::access::KeylessGrant;
use crate::outcome::AttestCall;
use crate::refusal::Stop;
use crate::{Outcome, Session};
use nitride_protocol::application::Attest;
use nitride_protocol::{Message, Operation, Reader};

pub(super) fn attest(
    session: &mut Session,
    params: Reader<'_>,
    call: &Call<'_>,
) -> Result<Outcome, Stop> {
    let Attest { data, audit_head } = Attest::decode_last(params)?;
    let KeylessGrant { .. } = KeylessGrant::new(session, Operation::Attest)?;
    if audit_head {
        // The reply tells it.
        let KeylessGrant { .. } = KeylessGrant::new(session, Operation::AuditHead)?;
    }
    Ok(Outcome::Attest(AttestCall {
        id: call.id(),
        data: data.to_vec(),
        binds_head: audit_head,
    }))
}
