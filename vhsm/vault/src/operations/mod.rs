//! What is done once it is allowed: one file a kind of operation.
//!
//! Every function decodes its params, asks for a grant, and works under the access that comes of
//! it. The data operations allocate nothing on Rust's heap and write into the reply in place.

mod describe;
mod generate;
mod hello;
mod import;
mod lifecycle;
mod list;
mod mac;
mod public_key;
mod random;
mod release;
mod seal;
mod sign;
mod status;

use crate::access::{Access, Grant, KeylessGrant, Wanted};
use crate::refusal::Stop;
use crate::{Draw, Now, Outcome, Refusal, Session, StatusRequest, Vault};
use nitride_protocol::application;
use nitride_protocol::{
    EncodeError, KeyName, Message, Operation, Reader, Status, Writer, admin, write_reply,
    write_reply_with,
};

/// One request's surroundings.
pub(crate) struct Call<'c> {
    pub(crate) id: u32,
    pub(crate) now: Now,
    pub(crate) draw: &'c mut dyn Draw,
    pub(crate) reply: &'c mut [u8],
}

/// Performs one operation, or says why not.
pub(crate) fn perform(
    vault: &Vault,
    session: &mut Session,
    operation: Operation,
    params: Reader<'_>,
    call: Call<'_>,
) -> Result<Outcome, Stop> {
    match operation {
        Operation::Hello => hello::hello(session, params, call),
        Operation::Generate => generate::generate(vault, session, params, call),
        Operation::Import => import::import(vault, session, params, call),
        Operation::Describe => describe::describe(vault, session, params, call),
        Operation::List => list::list(vault, session, params, call),
        Operation::PublicKey => public_key::public_key(vault, session, params, call),
        Operation::Sign => sign::sign(vault, session, params, call),
        Operation::Verify => sign::verify(vault, session, params, call),
        Operation::Encrypt => seal::encrypt(vault, session, params, call),
        Operation::Decrypt => seal::decrypt(vault, session, params, call),
        Operation::Mac => mac::mac(vault, session, params, call),
        Operation::VerifyMac => mac::verify_mac(vault, session, params, call),
        Operation::Random => random::random(session, params, call),
        Operation::Release => release::release(vault, session, params, call),
        Operation::Enable => lifecycle::enable(vault, session, params, call),
        Operation::Disable => lifecycle::disable(vault, session, params, call),
        Operation::Destroy => lifecycle::destroy(vault, session, params, call),
        Operation::Status => {
            let KeylessGrant { .. } = KeylessGrant::new(session, operation)?;
            application::StatusRequest::decode_last(params)?;
            Ok(Outcome::Status(StatusRequest { id: call.id }))
        }
        Operation::Reload => {
            let KeylessGrant { .. } = KeylessGrant::new(session, operation)?;
            admin::Reload::decode_last(params)?;
            Ok(Outcome::Reload)
        }
        Operation::Wrap
        | Operation::Unwrap
        | Operation::Derive
        | Operation::Agree
        | Operation::Encapsulate
        | Operation::Decapsulate
        | Operation::Rotate
        | Operation::SetPolicy
        | Operation::Attest
        | Operation::AuditHead
        | Operation::Batch
        | Operation::RegisterBuffer
        | Operation::EncryptBuffer
        | Operation::DecryptBuffer
        | Operation::CheckPolicy
        | Operation::Explain
        | Operation::Why
        | Operation::Wipe
        | Operation::Backup
        | Operation::Restore => Err(Refusal::UnknownOperation {
            number: operation.to_wire(),
        }
        .into()),
    }
}

impl Call<'_> {
    /// Answers with a whole message.
    #[expect(
        single_use_lifetimes,
        reason = "an elided lifetime in impl Trait is unstable"
    )]
    fn answer<'a>(self, result: &impl Message<'a>) -> Result<Outcome, Stop> {
        let reply = Reply {
            id: self.id,
            buffer: self.reply,
        };
        Ok(Outcome::Reply(reply.write(result)?))
    }
}

/// Uses a key: asks the rules for `operation` on `name`, fetches or makes the key if it is missing,
/// asks the key itself for the version `wanted`, and lets `act` write the reply under the access
/// that comes of it.
fn with_key(
    vault: &Vault,
    session: &mut Session,
    (operation, name): (Operation, KeyName<'_>),
    wanted: Wanted<'_>,
    call: Call<'_>,
    act: impl FnOnce(&Access<'_>, Reply<'_>, &mut dyn Draw) -> Result<usize, Refusal>,
) -> Result<Outcome, Stop> {
    let Call {
        id,
        now,
        draw,
        reply,
    } = call;
    let grant = Grant::new(session, vault, operation, name)?;
    let key = grant.ensure_key(vault, now, draw)?;
    let reply = Reply { id, buffer: reply };
    let len = grant.use_key(vault, &key, wanted, now, |access| act(access, reply, draw))?;
    Ok(Outcome::Reply(len))
}

/// Where the reply to one request is written.
struct Reply<'r> {
    id: u32,
    buffer: &'r mut [u8],
}

impl<'r> Reply<'r> {
    /// The reply to a request of its own.
    fn whole(id: u32, buffer: &'r mut [u8]) -> Self {
        Self { id, buffer }
    }

    /// A whole message; gives the reply's length.
    #[expect(
        single_use_lifetimes,
        reason = "an elided lifetime in impl Trait is unstable"
    )]
    fn write<'a>(self, result: &impl Message<'a>) -> Result<usize, Refusal> {
        Ok(write_reply(self.buffer, self.id, Status::Ok, result)?)
    }

    /// A message whose last field is a byte string of `len` bytes, which `fill` writes where it
    /// stands: a plaintext or a secret is never anywhere else. `before` writes the fields before
    /// it, with the head of the array. Gives the reply's length.
    fn write_in_place(
        self,
        before: impl FnOnce(&mut Writer<'_>) -> Result<(), EncodeError>,
        len: usize,
        fill: impl FnOnce(&mut [u8]) -> Result<(), Refusal>,
    ) -> Result<usize, Refusal> {
        let Self { id, buffer } = self;
        let start = write_reply_with(buffer, id, Status::Ok, |writer| {
            before(writer)?;
            writer.bytes_head(len)
        })?;
        let end = start.checked_add(len).ok_or(Refusal::TooLarge)?;
        fill(buffer.get_mut(start..end).ok_or(Refusal::TooLarge)?)?;
        Ok(end)
    }
}
