use super::{Call, Form, Reply, mac, public_key, random, seal, sign};
use crate::access::KeylessGrant;
use crate::refusal::Stop;
use crate::{BatchRefusal, Outcome, Refusal, Session, Vault};
use nitride_protocol::application::{Batch, BatchItem};
use nitride_protocol::{Message, Operation, Reader, Status, Writer};

/// What a refusal takes in the reply: two heads of arrays and the status.
const REFUSAL_LEN: usize = 4;

/// Performs each item by itself and answers it in its place, one after another into the reply.
/// What would have to wait is refused at once.
pub(super) fn batch(
    vault: &Vault,
    session: &mut Session,
    params: Reader<'_>,
    call: Call<'_>,
) -> Result<Outcome, Stop> {
    let Batch { items } = Batch::decode_last(params)?;
    let KeylessGrant { .. } = KeylessGrant::new(session, Operation::Batch)?;
    let Call {
        form,
        now,
        draw,
        reply,
    } = call;
    let head = Reply {
        form,
        buffer: &mut *reply,
    };
    let mut end = head.write_with(Status::Ok, |writer| {
        writer.array(1)?;
        writer.array(items.len())
    })?;
    let mut refusals = Vec::new();
    for (number, item) in items.iter().enumerate() {
        let left = items.len() - number - 1;
        // Whatever this item gives, the refusals of those after it have room.
        let kept_len = reply.len().saturating_sub(left * REFUSAL_LEN);
        let room = reply.get_mut(end..kept_len).ok_or(Refusal::TooLarge)?;
        let call = Call {
            form: Form::Item,
            now,
            draw: &mut *draw,
            reply: &mut *room,
        };
        let len = match perform(vault, session, item, call) {
            Ok(Outcome::Reply(len)) => len,
            Ok(_) => return Err(UNANSWERED.into()),
            Err(stop) => {
                let refusal = match stop {
                    Stop::Refused(refusal) => Some(refusal),
                    Stop::Wanting(_) => None,
                };
                refusals.push(BatchRefusal {
                    item: number,
                    operation: item.operation(),
                    refusal,
                });
                let status = refusal.map_or(Status::TimedOut, Refusal::status);
                let reply = Reply {
                    form: Form::Item,
                    buffer: room,
                };
                reply.write_with(status, |writer: &mut Writer<'_>| writer.array(0))?
            }
        };
        end += len;
    }
    session.set_batch_refusals(refusals);
    Ok(Outcome::Reply(end))
}

const UNANSWERED: Refusal = Refusal::Internal {
    what: "an item of a batch was not answered",
};

fn perform(
    vault: &Vault,
    session: &mut Session,
    item: &BatchItem<'_>,
    call: Call<'_>,
) -> Result<Outcome, Stop> {
    match item {
        BatchItem::PublicKey(asked) => public_key::public_key(vault, session, asked, call),
        BatchItem::Sign(asked) => sign::sign(vault, session, asked, call),
        BatchItem::Verify(asked) => sign::verify(vault, session, asked, call),
        BatchItem::Encrypt(asked) => seal::encrypt(vault, session, asked, call),
        BatchItem::Decrypt(asked) => seal::decrypt(vault, session, asked, call),
        BatchItem::Mac(asked) => mac::mac(vault, session, asked, call),
        BatchItem::VerifyMac(asked) => mac::verify_mac(vault, session, asked, call),
        BatchItem::Random(asked) => random::random(session, asked, call),
    }
}
