use super::{Call, wrap};
use crate::access::{Grant, Wanted};
use crate::keys::{Material, NewKey};
use crate::refusal::Stop;
use crate::{Outcome, Refusal, Session, Vault};
use nitride_protocol::admin::{Import, Imported};
use nitride_protocol::{KeyType, MaterialFormat, Message, Operation, Reader};
use nitride_secmem::SecretBuf;

/// Takes a key from an administrator: raw or as PKCS#8, plain or wrapped by another program under
/// a wrapping key that is here.
pub(super) fn import(
    vault: &Vault,
    session: &mut Session,
    params: Reader<'_>,
    call: Call<'_>,
) -> Result<Outcome, Stop> {
    let asked = Import::decode_last(params)?;
    let uid = session.peer().uid;
    let (wrapping, made) = match asked.wrapping_key {
        None => (
            None,
            Grant::new(session, vault, Operation::Import, asked.key)?,
        ),
        Some(by) => {
            let (wrapping, made) = Grant::to_import(session, vault, by, asked.key)?;
            (Some(wrapping), made)
        }
    };
    // Whoever brings a wrapping key knows it, and could read all that it wraps.
    if asked.key_type == KeyType::Aes256Kwp {
        return Err(Refusal::WrappingKeyNotOurs.into());
    }
    let unwrapped = match wrapping {
        None => None,
        // Whatever key was wrapped would come out by `release`.
        Some(_) if asked.key_type == KeyType::Secret => {
            return Err(Refusal::SecretNotOurs.into());
        }
        Some(wrapping) => {
            let key = wrapping.ensure_key(vault, call.now, &mut *call.draw)?;
            let wanted = Wanted::Newest;
            Some(wrapping.use_key(vault, &key, wanted, call.now, |access| {
                wrap::open_foreign(access, asked.material)
            })?)
        }
    };
    let material = unwrapped.as_ref().map_or(asked.material, SecretBuf::expose);
    let stored = match asked.format {
        MaterialFormat::Raw => Material::accept(asked.key_type, material)?,
        MaterialFormat::Pkcs8 => Material::accept_pkcs8(asked.key_type, material)?,
        _ => {
            let key_type = asked.key_type;
            return Err(Refusal::WrongFormat { key_type }.into());
        }
    };
    let new = NewKey {
        name: asked.key,
        key_type: asked.key_type,
        operations: asked.operations,
        wrappable_by: Some(&asked.wrappable_by),
        rule: made.rule().map(|rule| &**rule),
        noted: made.noted(),
        uid,
        now: call.now,
    };
    let version = vault.keys.import(new, stored.expose(), &mut *call.draw)?;
    call.answer(&Imported { version })
}
