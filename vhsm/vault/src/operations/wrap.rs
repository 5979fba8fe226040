//! `wrap` and `unwrap`: a key under another one, with its type and its policy.
//!
//! ```text
//!  "NW" 01 00  wrapping key's id  version  KWP( the same 24 bytes, typed key )
//!  2    1  1   16                 4, be    8 more, in blocks of 8
//!
//!  typed key = [1, key type, key id, policy, material]
//! ```
//!
//! The key that wraps is derived of the wrapping key for this alone, so that nothing that another
//! program wrapped is ever taken for a typed key, and no typed key for mere material.

use super::{Call, Reply};
use crate::access::{Access, Grant, Wanted};
use crate::keys::record::{read_policy, write_policy};
use crate::keys::{Expanded, Lease, Material, NewKey, OwnPolicy, Wrapping};
use crate::policy::KeyRule;
use crate::refusal::Stop;
use crate::{Now, Outcome, Refusal, Session, Vault};
use nitride_protocol::application::{Unwrap, Unwrapped, Wrap};
use nitride_protocol::limits::MAX_WRAPPED_LEN;
use nitride_protocol::{
    DecodeError, EncodeError, KeyType, Message, Operation, Origin, Reader, Writer,
};
use nitride_secmem::SecretBuf;
use nitride_secmem::crypto::{CryptoError, Kwp};

const MAGIC: [u8; 4] = *b"NW\x01\0";
const HEADER_LEN: usize = 24;
/// Of the typed key.
const LAYOUT: u64 = 1;
/// What type, identity and policy take at most; what [`crate::policy::limits`] lets a file state of
/// one key is a good two thirds of it.
const MAX_TERMS_LEN: usize = 28 * 1024;
/// What `unwrap` would not take is not made: the key might be gone by then. KWP adds at most 15.
const MAX_TYPED_LEN: usize = MAX_WRAPPED_LEN - HEADER_LEN - 16;

pub(super) fn wrap(
    vault: &Vault,
    session: &mut Session,
    params: Reader<'_>,
    call: Call<'_>,
) -> Result<Outcome, Stop> {
    let asked = Wrap::decode_last(params)?;
    let Call {
        form,
        now,
        draw,
        reply,
    } = call;
    let (wrapping, wrapped) = Grant::to_wrap(session, vault, asked.wrapping_key, asked.key)?;
    // One after the other: nobody holds two keys' locks.
    let key = wrapped.ensure_key(vault, now, draw)?;
    let rule = wrapped.rule().map(|rule| &**rule);
    let mut typed = wrapped.use_key(vault, &key, asked.version.into(), now, |access| {
        typed_key(access, rule, now)
    })?;
    let key = wrapping.ensure_key(vault, now, draw)?;
    let reply = Reply {
        form,
        buffer: reply,
    };
    let len = wrapping.use_key(vault, &key, Wanted::Newest, now, |access| {
        let live = access.live()?;
        let key = &wrapping_of(access, live.expanded(), Operation::Wrap)?.typed;
        let number = access.version().number;
        let header = header(&access.body().id, number);
        if let Some(place) = typed.expose_mut().first_chunk_mut() {
            *place = header;
        }
        reply.write_in_place(
            |writer| {
                writer.array(2)?;
                writer.u64(number.into())
            },
            HEADER_LEN + Kwp::wrapped_len(typed.len()),
            |out| {
                let (header_out, out) = out.split_at_mut_checked(HEADER_LEN).ok_or(SHORT)?;
                header_out.copy_from_slice(&header);
                key.wrap(typed.expose(), out)?;
                Ok(())
            },
        )
    })?;
    Ok(Outcome::Reply(len))
}

pub(super) fn unwrap(
    vault: &Vault,
    session: &mut Session,
    params: Reader<'_>,
    call: Call<'_>,
) -> Result<Outcome, Stop> {
    let asked = Unwrap::decode_last(params)?;
    let (head, body) = asked
        .wrapped
        .split_first_chunk::<HEADER_LEN>()
        .ok_or(Refusal::NotAWrappedKey)?;
    let (id, version) = parse(head).ok_or(Refusal::NotAWrappedKey)?;
    let uid = session.peer().uid;
    let operation = Operation::Unwrap;
    let (wrapping, made) =
        Grant::to_make(session, vault, operation, asked.wrapping_key, asked.new_key)?;
    let key = wrapping.ensure_key(vault, call.now, &mut *call.draw)?;
    let wanted = Wanted::Maker { id: &id, version };
    let opened = wrapping.use_key(vault, &key, wanted, call.now, |access| {
        let live = access.live()?;
        let key = &wrapping_of(access, live.expanded(), operation)?.typed;
        open(key, body)
    })?;
    let typed = opened
        .expose()
        .strip_prefix(head)
        .ok_or(Refusal::VerificationFailed)?;
    let typed = TypedKey::decode(typed).map_err(|_| Refusal::NotAWrappedKey)?;
    if typed.key_type != asked.key_type {
        let key_type = typed.key_type;
        return Err(Refusal::WrappedOtherwise { key_type }.into());
    }
    let material = Material::accept(typed.key_type, typed.material)?;
    let new = NewKey {
        name: asked.new_key,
        key_type: typed.key_type,
        operations: None,
        wrappable_by: None,
        rule: made.rule().map(|rule| &**rule),
        noted: made.noted(),
        uid,
        now: call.now,
    };
    // A copy: the key that was wrapped may be in use elsewhere, and what was said of it there an
    // administrator only narrows here.
    let origin = Origin::Derived;
    let adopted = vault.keys.adopt(
        new,
        origin,
        typed.terms,
        &material,
        *typed.id,
        &mut *call.draw,
    );
    call.answer(&Unwrapped { version: adopted? })
}

/// What another program wrapped under the key itself.
pub(super) fn open_foreign(access: &Access<'_>, wrapped: &[u8]) -> Result<SecretBuf, Refusal> {
    let live = access.live()?;
    let key = &wrapping_of(access, live.expanded(), Operation::Unwrap)?.foreign;
    open(key, wrapped)
}

fn open(key: &Kwp, wrapped: &[u8]) -> Result<SecretBuf, Refusal> {
    key.unwrap(wrapped).map_err(|error| match error {
        CryptoError::BadLength => Refusal::NotAWrappedKey,
        error => error.into(),
    })
}

fn wrapping_of<'l>(
    access: &Access<'_>,
    expanded: &'l Expanded,
    operation: Operation,
) -> Result<&'l Wrapping, Refusal> {
    match expanded {
        Expanded::Wrapping(wrapping) => Ok(wrapping),
        _ => Err(access.wrong_type(operation)),
    }
}

/// What travels of a key: all that is said of it here, now, so that it comes back no wider. Room
/// for the header is left before it.
fn typed_key(access: &Access<'_>, rule: Option<&KeyRule>, now: Now) -> Result<SecretBuf, Refusal> {
    let mut terms = access.effective(rule);
    // Nobody named is nobody, wherever it comes back: what no rule releases here, none releases
    // there either.
    terms.release_to.get_or_insert_default();
    // The copy's versions begin anew.
    terms.min_version = None;
    let (body, version) = (access.body(), access.version());
    let lease = Lease::of(body, version, rule).left_ms(version, now);
    // A copy could outlive the one, and be used as often again as the other.
    if terms.max_uses.is_some() || lease.is_some() {
        return Err(Refusal::CountedKey);
    }
    let material = access.record().expose();
    let room = (HEADER_LEN + material.len() + MAX_TERMS_LEN).min(MAX_TYPED_LEN);
    let mut typed = SecretBuf::with_len(room)?;
    let place = typed.expose_mut().get_mut(HEADER_LEN..).ok_or(SHORT)?;
    let typed_key = TypedKey {
        key_type: body.key_type,
        id: &body.id,
        terms,
        material,
    };
    let mut writer = Writer::new(place);
    typed_key.encode(&mut writer)?;
    let len = HEADER_LEN + writer.position();
    typed.truncate(len);
    Ok(typed)
}

const SHORT: Refusal = Refusal::Internal {
    what: "the reply is shorter than the wrapped key",
};

/// A key as it is wrapped.
struct TypedKey<'t> {
    key_type: KeyType,
    id: &'t [u8; 16],
    terms: OwnPolicy,
    material: &'t [u8],
}

impl<'t> TypedKey<'t> {
    fn encode(&self, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
        writer.array(5)?;
        writer.u64(LAYOUT)?;
        writer.text(self.key_type.as_str())?;
        writer.bytes(self.id)?;
        write_policy(writer, &self.terms)?;
        writer.bytes(self.material)
    }

    fn decode(bytes: &'t [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        reader.array_of(5)?;
        let at = reader.position();
        if reader.u64()? != LAYOUT {
            let field = "layout";
            return Err(DecodeError::OutOfRange { at, field });
        }
        let typed = Self {
            key_type: KeyType::read(&mut reader)?,
            id: reader.byte_array("key-id")?,
            terms: read_policy(&mut reader)?,
            material: reader.bytes()?,
        };
        reader.finish()?;
        Ok(typed)
    }
}

/// The bytes of a typed key, read and written again; `None` where they are none. What is inside of a
/// wrapped key is authentic, and read all the same as if it were not.
pub fn typed_key_written_again(bytes: &[u8]) -> Option<Vec<u8>> {
    let typed = TypedKey::decode(bytes).ok()?;
    let mut again = vec![0; bytes.len()];
    let mut writer = Writer::new(&mut again);
    typed.encode(&mut writer).ok()?;
    let len = writer.position();
    again.truncate(len);
    Some(again)
}

fn header(id: &[u8; 16], version: u32) -> [u8; HEADER_LEN] {
    let mut header = [0; HEADER_LEN];
    let bytes = MAGIC.into_iter().chain(*id).chain(version.to_be_bytes());
    for (place, byte) in header.iter_mut().zip(bytes) {
        *place = byte;
    }
    header
}

fn parse(header: &[u8; HEADER_LEN]) -> Option<([u8; 16], u32)> {
    let rest = header.strip_prefix(&MAGIC)?;
    let (id, version) = rest.split_first_chunk::<16>()?;
    Some((*id, u32::from_be_bytes(version.try_into().ok()?)))
}
