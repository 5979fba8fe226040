use super::{Call, Reply};
use crate::access::KeylessGrant;
use crate::refusal::Stop;
use crate::{Outcome, Refusal, Session};
use nitride_protocol::Operation;
use nitride_protocol::application::Random;
use nitride_protocol::limits::MAX_RANDOM_LEN;

pub(super) fn random(
    session: &mut Session,
    asked: &Random,
    call: Call<'_>,
) -> Result<Outcome, Stop> {
    let Random { len } = *asked;
    KeylessGrant::new(session, Operation::Random)?;
    let len = usize::try_from(len)
        .ok()
        .filter(|len| *len <= MAX_RANDOM_LEN)
        .ok_or(Refusal::TooLarge)?;
    let Call {
        form,
        draw,
        reply: buffer,
        ..
    } = call;
    let written = Reply { form, buffer }.write_in_place(
        |writer| writer.array(1),
        len,
        |out| {
            draw.fill(out);
            Ok(())
        },
    )?;
    Ok(Outcome::Reply(written))
}
