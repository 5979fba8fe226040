//! The verbs that make keys of keys.

use crate::answer::Answer;
use crate::arguments::{ConnectionArguments, MadeKey, Verb};
use crate::caller::Caller;
use crate::failure::Failure;
use crate::output::Target;
use crate::run::{name, set_of, target};
use crate::{input, present};
use base64ct::{Base64, Decoder};
use nitride_protocol::application::{Agree, Child, Decapsulate, Derive, Encapsulate};
use nitride_protocol::limits::{
    MAX_ENCAPSULATED_LEN, MAX_INFO_LEN, MAX_PUBLIC_KEY_LEN, MAX_SALT_LEN, MAX_WRAPPED_LEN,
};
use std::path::Path;
use zeroize::Zeroizing;

pub(crate) fn run(verb: Verb, connection: &ConnectionArguments) -> Result<(), Failure> {
    let caller = Caller::application(connection);
    let json = connection.json;
    let (answer, target) = match verb {
        Verb::Wrap {
            key,
            wrapping_key,
            output,
        } => {
            let target = target(output, json);
            target.check("wrapped", false)?;
            let made = caller.call(&key.name, |client| {
                client.wrap(&wrapping_key.name, &key.name, key.key_version)
            })?;
            let version = Some(made.wrapping_version);
            (Answer::public("wrapped", version, made.wrapped), target)
        }
        Verb::Unwrap {
            name,
            key_type,
            wrapping_key,
            input,
        } => {
            let path = input.path.as_deref();
            let wrapped = input::read("the wrapped key", path, MAX_WRAPPED_LEN)?;
            let version = caller.call(&name, |client| {
                client.unwrap(&wrapping_key.name, &wrapped, &name, key_type)
            })?;
            (present::version(&name, version), Target::standard(json))
        }
        Verb::Derive { key, new, salt } => {
            let salt = optional("the salt", salt.path.as_deref(), MAX_SALT_LEN)?;
            let info = info(&new)?;
            let request = Derive {
                key: name(&key.name)?,
                version: key.key_version,
                child: child(&new, &info)?,
                salt: &salt,
            };
            let made = caller.call(&key.name, |client| client.derive(&request))?;
            (of(&new, made.version), Target::standard(json))
        }
        Verb::Agree {
            key,
            peer_public,
            new,
            salt,
        } => {
            // PEM is a third longer than DER.
            let limit = 2 * MAX_PUBLIC_KEY_LEN;
            let file = input::read("the other side's public key", Some(&peer_public), limit)?;
            let peer_public = from_pem(&file)?;
            let salt = optional("the salt", salt.path.as_deref(), MAX_SALT_LEN)?;
            let info = info(&new)?;
            let request = Agree {
                key: name(&key.name)?,
                version: key.key_version,
                peer_public: peer_public.as_deref().unwrap_or(&file),
                child: child(&new, &info)?,
                salt: &salt,
            };
            let made = caller.call(&key.name, |client| client.agree(&request))?;
            (of(&new, made.version), Target::standard(json))
        }
        Verb::Encapsulate { key, new, output } => {
            let target = target(output, json);
            target.check("ciphertext", false)?;
            let info = info(&new)?;
            let request = Encapsulate {
                key: name(&key.name)?,
                version: key.key_version,
                child: child(&new, &info)?,
            };
            let made = caller.call(&key.name, |client| client.encapsulate(&request))?;
            let answer = Answer::public("ciphertext", Some(made.key_version), made.ciphertext);
            (answer, target)
        }
        Verb::Decapsulate { key, new, input } => {
            let path = input.path.as_deref();
            let ciphertext = input::read("the ciphertext", path, MAX_ENCAPSULATED_LEN)?;
            let info = info(&new)?;
            let request = Decapsulate {
                key: name(&key.name)?,
                version: key.key_version,
                ciphertext: &ciphertext,
                child: child(&new, &info)?,
            };
            let made = caller.call(&key.name, |client| client.decapsulate(&request))?;
            (of(&new, made.version), Target::standard(json))
        }
        _ => return Err(Failure::Form("the verb makes no key of a key")),
    };
    target.write(&answer)
}

fn of(new: &MadeKey, version: u32) -> Answer {
    present::version(&new.new_key, version)
}

fn child<'a>(new: &'a MadeKey, info: &'a [u8]) -> Result<Child<'a>, Failure> {
    Ok(Child {
        name: name(&new.new_key)?,
        key_type: new.key_type,
        operations: set_of(new.operations.as_deref()),
        info,
    })
}

fn info(new: &MadeKey) -> Result<Zeroizing<Vec<u8>>, Failure> {
    optional("the info", new.info.as_deref(), MAX_INFO_LEN)
}

fn optional(
    what: &'static str,
    path: Option<&Path>,
    max_len: usize,
) -> Result<Zeroizing<Vec<u8>>, Failure> {
    match path {
        Some(path) => input::read(what, Some(path), max_len),
        None => Ok(Zeroizing::default()),
    }
}

/// The DER in a public key's PEM (RFC 7468); `None` where the file is no PEM.
fn from_pem(file: &[u8]) -> Result<Option<Vec<u8>>, Failure> {
    const FAULT: Failure = Failure::Form("the other side's public key is damaged PEM");
    let Some(rest) = file.strip_prefix(b"-----BEGIN PUBLIC KEY-----") else {
        return Ok(None);
    };
    let text = std::str::from_utf8(rest).map_err(|_| FAULT)?;
    let (body, _) = text.split_once("-----END PUBLIC KEY-----").ok_or(FAULT)?;
    let body: String = body.split_ascii_whitespace().collect();
    let mut der = Vec::new();
    Decoder::<Base64>::new(body.as_bytes())
        .and_then(|mut decoder| decoder.decode_to_end(&mut der).map(drop))
        .map_err(|_| FAULT)?;
    Ok(Some(der))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_public_key_is_taken_as_pem_or_as_it_is() {
        assert_eq!(from_pem(b"\x30\x2a").unwrap(), None);
        let pem = b"-----BEGIN PUBLIC KEY-----\nMCow\nBQ==\n-----END PUBLIC KEY-----\n";
        assert_eq!(from_pem(pem).unwrap().unwrap(), b"\x30\x2a\x30\x05");
        for damaged in [
            &b"-----BEGIN PUBLIC KEY-----\nMCow\n"[..],
            b"-----BEGIN PUBLIC KEY-----\n%%%%\n-----END PUBLIC KEY-----\n",
            b"-----BEGIN PUBLIC KEY-----\n\xff\n-----END PUBLIC KEY-----\n",
        ] {
            assert!(from_pem(damaged).is_err());
        }
    }
}
