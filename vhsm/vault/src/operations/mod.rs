//! What is done once it is allowed: one file a kind of operation.
//!
//! Every function decodes its params, asks for a grant, and works under the access that comes of
//! it. The data operations allocate nothing on Rust's heap and write into the reply in place.

mod attest;
mod batch;
mod bulk;
mod child;
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
mod rotate;
mod seal;
mod sign;
mod status;
mod wrap;

pub use bulk::{BULK_CHUNK_LEN, BULK_PREFIX_LEN, Bulk, BulkRequest, refuse_bulk};
pub use wrap::typed_key_written_again;

use crate::access::{Access, Grant, KeylessGrant, Wanted};
use crate::keys::NewKey;
use crate::outcome::DaemonCall;
use crate::policy::KeyRule;
use crate::refusal::Stop;
use crate::{Draw, Now, Outcome, Refusal, Session, StatusRequest, Vault};
use child::Made;
use nitride_protocol::application;
use nitride_protocol::{
    EncodeError, KeyName, Message, Operation, Origin, Reader, Status, Writer, admin,
    write_reply_with,
};

/// One request's surroundings.
pub(crate) struct Call<'c> {
    pub(crate) form: Form,
    pub(crate) now: Now,
    pub(crate) draw: &'c mut dyn Draw,
    pub(crate) reply: &'c mut [u8],
}

/// What a reply starts with.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Form {
    /// A packet: the id of its request, and the status.
    Packet { id: u32 },
    /// An item of a batch: the status alone.
    Item,
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
        Operation::PublicKey => {
            let asked = application::PublicKey::decode_last(params)?;
            public_key::public_key(vault, session, &asked, call)
        }
        Operation::Sign => {
            let asked = application::Sign::decode_last(params)?;
            sign::sign(vault, session, &asked, call)
        }
        Operation::Verify => {
            let asked = application::Verify::decode_last(params)?;
            sign::verify(vault, session, &asked, call)
        }
        Operation::Encrypt => {
            let asked = application::Encrypt::decode_last(params)?;
            seal::encrypt(vault, session, &asked, call)
        }
        Operation::Decrypt => {
            let asked = application::Decrypt::decode_last(params)?;
            seal::decrypt(vault, session, &asked, call)
        }
        Operation::Mac => {
            let asked = application::Mac::decode_last(params)?;
            mac::mac(vault, session, &asked, call)
        }
        Operation::VerifyMac => {
            let asked = application::VerifyMac::decode_last(params)?;
            mac::verify_mac(vault, session, &asked, call)
        }
        Operation::Random => {
            let asked = application::Random::decode_last(params)?;
            random::random(session, &asked, call)
        }
        Operation::Release => release::release(vault, session, params, call),
        Operation::Enable => lifecycle::enable(vault, session, params, call),
        Operation::Disable => lifecycle::disable(vault, session, params, call),
        Operation::Destroy => lifecycle::destroy(vault, session, params, call),
        Operation::Status => {
            let KeylessGrant { .. } = KeylessGrant::new(session, operation)?;
            let asked = application::StatusRequest::decode_last(params)?;
            Ok(Outcome::Status(StatusRequest {
                id: call.id(),
                also_signers: asked.also_signers,
            }))
        }
        Operation::Reload => {
            let KeylessGrant { .. } = KeylessGrant::new(session, operation)?;
            admin::Reload::decode_last(params)?;
            Ok(Outcome::Reload)
        }
        Operation::Attest => attest::attest(session, params, &call),
        Operation::Batch => batch::batch(vault, session, params, call),
        Operation::EncryptBuffer => bulk::encrypt_buffer(vault, session, params, &call),
        Operation::DecryptBuffer => bulk::decrypt_buffer(vault, session, params, &call),
        Operation::AuditHead
        | Operation::RegisterBuffer
        | Operation::CheckPolicy
        | Operation::Explain
        | Operation::Why
        | Operation::Wipe
        | Operation::Backup
        | Operation::Restore
        | Operation::EndPhase => {
            let KeylessGrant { .. } = KeylessGrant::new(session, operation)?;
            Ok(Outcome::Daemon(DaemonCall {
                id: call.id(),
                operation,
            }))
        }
        Operation::Wrap => wrap::wrap(vault, session, params, call),
        Operation::Unwrap => wrap::unwrap(vault, session, params, call),
        Operation::Derive => child::derive(vault, session, params, call),
        Operation::Agree => child::agree(vault, session, params, call),
        Operation::Encapsulate => child::encapsulate(vault, session, params, call),
        Operation::Decapsulate => child::decapsulate(vault, session, params, call),
        Operation::Rotate => rotate::rotate(vault, session, params, call),
        Operation::SetPolicy => rotate::set_policy(vault, session, params, call),
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
            form: self.form,
            buffer: self.reply,
        };
        Ok(Outcome::Reply(reply.write(result)?))
    }

    /// The request's id. An item of a batch has none, and is nothing that anybody else completes.
    fn id(&self) -> u32 {
        match self.form {
            Form::Packet { id } => id,
            Form::Item => 0,
        }
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
        form,
        now,
        draw,
        reply,
    } = call;
    let grant = Grant::new(session, vault, operation, name)?;
    let key = grant.ensure_key(vault, now, draw)?;
    let reply = Reply {
        form,
        buffer: reply,
    };
    let len = grant.use_key(vault, &key, wanted, now, |access| act(access, reply, draw))?;
    Ok(Outcome::Reply(len))
}

/// Makes a key out of another one: asks the rules for `operation` on both names, lets `make` use
/// the parent, gives what came of it its name, and answers with both versions.
fn with_parent(
    vault: &Vault,
    session: &mut Session,
    on: (Operation, KeyName<'_>, Option<u32>),
    child: &application::Child<'_>,
    call: Call<'_>,
    make: impl FnOnce(&Access<'_>, Option<&KeyRule>) -> Result<Made, Refusal>,
) -> Result<Outcome, Stop> {
    let answer = |parent_version, version, call: Call<'_>| {
        call.answer(&application::ChildMade {
            parent_version,
            version,
        })
    };
    with_parent_then(vault, session, on, child, call, make, answer)
}

/// The same, where `answer` writes the reply.
fn with_parent_then(
    vault: &Vault,
    session: &mut Session,
    (operation, name, version): (Operation, KeyName<'_>, Option<u32>),
    child: &application::Child<'_>,
    call: Call<'_>,
    make: impl FnOnce(&Access<'_>, Option<&KeyRule>) -> Result<Made, Refusal>,
    answer: impl FnOnce(u32, u32, Call<'_>) -> Result<Outcome, Stop>,
) -> Result<Outcome, Stop> {
    let uid = session.peer().uid;
    let (parent, named) = Grant::to_make(session, vault, operation, name, child.name)?;
    child::derived_len(child.key_type)?;
    let key = parent.ensure_key(vault, call.now, &mut *call.draw)?;
    let rule = parent.rule().map(|rule| &**rule);
    // The parent's lock is let go before the table's is taken, in which others wait for keys.
    let made = parent.use_key(vault, &key, version.into(), call.now, |access| {
        make(access, rule)
    })?;
    let new = NewKey {
        name: child.name,
        key_type: child.key_type,
        operations: None,
        wrappable_by: None,
        rule: named.rule().map(|rule| &**rule),
        noted: named.noted(),
        uid,
        now: call.now,
    };
    let (terms, material) = (made.terms, &made.material);
    let draw = &mut *call.draw;
    let version = vault
        .keys
        .adopt(new, Origin::Derived, terms, material, made.id, draw)?;
    answer(made.parent_version, version, call)
}

/// Where the reply to one request is written.
struct Reply<'r> {
    form: Form,
    buffer: &'r mut [u8],
}

impl Reply<'_> {
    /// A whole message; gives the reply's length.
    #[expect(
        single_use_lifetimes,
        reason = "an elided lifetime in impl Trait is unstable"
    )]
    fn write<'a>(self, result: &impl Message<'a>) -> Result<usize, Refusal> {
        self.write_with(Status::Ok, |writer| result.encode(writer))
    }

    /// A message whose last field is a byte string of `len` bytes, which `fill` writes where it
    /// stands: a plaintext or a secret is never anywhere else. `before` writes the fields before
    /// it, with the head of the array. Gives the reply's length.
    fn write_in_place(
        mut self,
        before: impl FnOnce(&mut Writer<'_>) -> Result<(), EncodeError>,
        len: usize,
        fill: impl FnOnce(&mut [u8]) -> Result<(), Refusal>,
    ) -> Result<usize, Refusal> {
        let start = self.head(Status::Ok, |writer| {
            before(writer)?;
            writer.bytes_head(len)
        })?;
        let end = start.checked_add(len).ok_or(Refusal::TooLarge)?;
        let place = self.buffer.get_mut(start..end);
        fill(place.ok_or(Refusal::TooLarge)?)?;
        Ok(end)
    }

    /// A message that `write` writes, with its status before it; gives the reply's length.
    fn write_with(
        mut self,
        status: Status,
        write: impl FnOnce(&mut Writer<'_>) -> Result<(), EncodeError>,
    ) -> Result<usize, Refusal> {
        self.head(status, write)
    }

    fn head(
        &mut self,
        status: Status,
        write: impl FnOnce(&mut Writer<'_>) -> Result<(), EncodeError>,
    ) -> Result<usize, Refusal> {
        match self.form {
            Form::Packet { id } => Ok(write_reply_with(self.buffer, id, status, write)?),
            Form::Item => {
                let mut writer = Writer::new(self.buffer);
                writer.array(2)?;
                writer.u64(status.to_wire().into())?;
                write(&mut writer)?;
                Ok(writer.position())
            }
        }
    }
}
