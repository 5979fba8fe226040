use crate::answer::Answer;
use crate::arguments::{Aad, Arguments, Output, PublicForm, Verb, VersionedKey};
use crate::caller::Caller;
use crate::failure::Failure;
use crate::input::{self, Start};
use crate::output::Target;
use crate::{admin, audit, bulk, csr, keys, metrics, present, public_form, segments};
use nitride_client::{Client, ClientError, ListEntry};
use nitride_protocol::admin::Import;
use nitride_protocol::application::{Decrypt, Encrypt, Generate, Sign, Verify};
use nitride_protocol::limits::{
    MAX_AAD_LEN, MAX_CIPHERTEXT_LEN, MAX_INLINE_LEN, MAX_LIST_LEN, MAX_SECRET_LEN,
    MAX_SIGNATURE_LEN, MAX_TAG_LEN, RAW_NONCE_LEN,
};
use nitride_protocol::{KeyName, Operation, OperationSet};
use std::path::Path;
use zeroize::Zeroizing;

/// Does what the command line says and prints its answer.
pub(crate) fn run(arguments: Arguments) -> Result<(), Failure> {
    let connection = arguments.connection;
    let json = connection.json;
    let (answer, target) = match arguments.verb {
        Verb::Generate { new, wrappable_by } => {
            let request = Generate {
                key: name(&new.name)?,
                key_type: new.key_type,
                operations: set_of(new.operations.as_deref()),
                wrappable_by: names(&wrappable_by.wrappable_by)?,
            };
            let version = Caller::application(&connection)
                .call(&new.name, |client| client.generate_with(&request))?;
            (present::version(&new.name, version), Target::standard(json))
        }
        Verb::Import {
            new,
            material,
            wrappable_by,
            input,
        } => {
            let bytes = input::read_material(input.path.as_deref(), MAX_SECRET_LEN)?;
            let wrapping_key = material.wrapping_key.as_deref().map(name).transpose()?;
            let request = Import {
                key: name(&new.name)?,
                key_type: new.key_type,
                operations: set_of(new.operations.as_deref()),
                material: &bytes,
                format: material.format,
                wrapping_key,
                wrappable_by: names(&wrappable_by.wrappable_by)?,
            };
            let version = Caller::admin(&connection)
                .call(&new.name, |client| client.import_with(&request))?;
            (present::version(&new.name, version), Target::standard(json))
        }
        Verb::Describe { key } => {
            let found =
                Caller::either(&connection).call(&key.name, |client| client.describe(&key.name))?;
            (
                present::description(&key.name, &found),
                Target::standard(json),
            )
        }
        Verb::List { prefix, limit } => {
            let limit = limit.unwrap_or(usize::MAX);
            let entries = Caller::either(&connection)
                .call_without_key(|client| list(client, &prefix, limit))?;
            (present::listing(&entries), Target::standard(json))
        }
        Verb::PublicKey {
            key,
            format,
            output,
        } => {
            let target = target(output, json);
            if format == PublicForm::Der {
                target.check("spki", false)?;
            }
            let found = Caller::application(&connection).call(&key.name, |client| {
                client.public_key(&key.name, key.key_version)
            })?;
            (public_form::written(found, format)?, target)
        }
        Verb::Sign {
            key,
            scheme,
            input,
            output,
        } => {
            let target = target(output, json);
            target.check("signature", false)?;
            let message = data(input.path.as_deref())?;
            let request = Sign {
                key: name(&key.name)?,
                scheme: scheme.scheme,
                message: &message,
                prehashed: scheme.prehashed,
            };
            let made = Caller::application(&connection)
                .call(&key.name, |client| client.sign_with(&request))?;
            (
                Answer::public("signature", Some(made.version), made.signature),
                target,
            )
        }
        Verb::Verify {
            key,
            scheme,
            signature,
            input,
        } => {
            let signature = input::read("the signature", Some(&signature), MAX_SIGNATURE_LEN)?;
            let message = data(input.path.as_deref())?;
            let request = Verify {
                key: name(&key.name)?,
                version: key.key_version,
                scheme: scheme.scheme,
                message: &message,
                prehashed: scheme.prehashed,
                signature: &signature,
            };
            Caller::application(&connection)
                .call(&key.name, |client| client.verify_with(&request))?;
            (present::done("verified"), Target::standard(json))
        }
        Verb::Encrypt {
            key,
            form,
            aad,
            input,
            output,
        } => {
            let target = target(output, json);
            target.check("ciphertext", false)?;
            let aad = additional(&aad)?;
            let caller = Caller::application(&connection);
            let start = match data_or_more(input.path.as_deref())? {
                Start::Whole(plaintext) => {
                    let request = Encrypt {
                        key: name(&key.name)?,
                        scheme: form.scheme,
                        plaintext: &plaintext,
                        aad: &aad,
                    };
                    let made = caller.call(&key.name, |client| client.encrypt_with(&request))?;
                    let answer = Answer::public("ciphertext", None, made);
                    return target.write(&answer);
                }
                Start::More(more) => more,
            };
            return bulk::encrypt(&caller, &key.name, &aad, start, &target);
        }
        Verb::Decrypt {
            key,
            form,
            nonce,
            aad,
            input,
            output,
        } => {
            let target = target(output, json);
            target.check("plaintext", true)?;
            let aad = additional(&aad)?;
            let nonce = nonce
                .map(|path| input::read("the nonce", Some(&path), RAW_NONCE_LEN))
                .transpose()?;
            let nonce = nonce
                .as_ref()
                .map(|bytes| {
                    <&[u8; RAW_NONCE_LEN]>::try_from(bytes.as_slice())
                        .map_err(|_| Failure::Form("the nonce does not have 12 bytes"))
                })
                .transpose()?;
            let caller = Caller::application(&connection);
            let ciphertext =
                match input::begin("the ciphertext", input.path.as_deref(), MAX_CIPHERTEXT_LEN)? {
                    Start::Whole(bytes) if !segments::is_file(&bytes) => bytes,
                    start => {
                        let more = start.into_more("the ciphertext")?;
                        return bulk::decrypt(&caller, &key.name, &aad, more, &target);
                    }
                };
            let request = Decrypt {
                key: name(&key.name)?,
                version: key.key_version,
                scheme: form.scheme,
                ciphertext: &ciphertext,
                aad: &aad,
                nonce,
            };
            let plaintext = caller.call(&key.name, |client| client.decrypt_with(&request))?;
            (Answer::secret("plaintext", None, plaintext), target)
        }
        Verb::Mac { key, input, output } => {
            let target = target(output, json);
            target.check("tag", false)?;
            let data = data(input.path.as_deref())?;
            let made = Caller::application(&connection)
                .call(&key.name, |client| client.mac(&key.name, &data))?;
            (Answer::public("tag", Some(made.version), made.tag), target)
        }
        Verb::VerifyMac { key, tag, input } => {
            let tag = input::read("the code", Some(&tag), MAX_TAG_LEN)?;
            let data = data(input.path.as_deref())?;
            Caller::application(&connection).call(&key.name, |client| {
                client.verify_mac(&key.name, key.key_version, &data, &tag)
            })?;
            (present::done("verified"), Target::standard(json))
        }
        Verb::Random { len, output } => {
            let target = target(output, json);
            target.check("bytes", true)?;
            let bytes =
                Caller::application(&connection).call_without_key(|client| client.random(len))?;
            (Answer::secret("bytes", None, bytes), target)
        }
        Verb::Release { key, output } => {
            let target = target(output, json);
            target.check("secret", true)?;
            let found = Caller::application(&connection).call(&key.name, |client| {
                client.release(&key.name, key.key_version)
            })?;
            (
                Answer::secret("secret", Some(found.version), found.secret),
                target,
            )
        }
        Verb::Enable(key) => {
            change(Caller::either(&connection), &key, Client::enable)?;
            (present::done("enabled"), Target::standard(json))
        }
        Verb::Disable(key) => {
            change(Caller::either(&connection), &key, Client::disable)?;
            (present::done("disabled"), Target::standard(json))
        }
        Verb::Destroy(key) => {
            change(Caller::admin(&connection), &key, Client::destroy)?;
            (present::done("destroyed"), Target::standard(json))
        }
        Verb::Status => {
            let found = Caller::either(&connection).call_without_key(Client::status)?;
            (present::status(&found), Target::standard(json))
        }
        Verb::Wrap { .. }
        | Verb::Unwrap { .. }
        | Verb::Derive { .. }
        | Verb::Agree { .. }
        | Verb::Encapsulate { .. }
        | Verb::Decapsulate { .. } => return keys::run(arguments.verb, &connection),
        Verb::Rotate { .. }
        | Verb::SetPolicy { .. }
        | Verb::Attest { .. }
        | Verb::AuditHead
        | Verb::Why { .. }
        | Verb::Wipe { .. }
        | Verb::EndPhase { .. }
        | Verb::Backup { .. }
        | Verb::Restore { .. }
        | Verb::Policy(_) => return admin::run(arguments.verb, &connection),
        Verb::Csr {
            key,
            subject,
            san,
            der,
            output,
        } => {
            let target = target(output, json);
            if der {
                target.check("csr", false)?;
            }
            let wanted = csr::Wanted {
                subject: &subject,
                san: &san,
                der,
            };
            let answer = csr::request(&Caller::application(&connection), &key.name, &wanted)?;
            (answer, target)
        }
        Verb::Audit { verb } => return audit::run(verb, json),
        Verb::Metrics(arguments) => return metrics::run(arguments, json),
        Verb::Reload => {
            let generation = Caller::admin(&connection).call_without_key(Client::reload)?;
            (present::reloaded(generation), Target::standard(json))
        }
    };
    target.write(&answer)
}

fn change(
    caller: Caller<'_>,
    key: &VersionedKey,
    verb: impl FnOnce(&mut Client, &str, Option<u32>) -> Result<(), ClientError>,
) -> Result<(), Failure> {
    caller.call(&key.name, |client| verb(client, &key.name, key.key_version))
}

/// All pages up to `limit` keys.
fn list(client: &mut Client, prefix: &str, limit: usize) -> Result<Vec<ListEntry>, ClientError> {
    let mut entries: Vec<ListEntry> = Vec::new();
    loop {
        let room = (limit - entries.len()).min(MAX_LIST_LEN);
        let after = entries.last().map(|entry| entry.key.clone());
        let after = after.as_ref().map(|key| key.as_str());
        let page = client.list(prefix, after, u32::try_from(room).unwrap_or(u32::MAX))?;
        // A page without entries cannot be asked on from, whatever it says of more.
        let ended = !page.more || page.entries.is_empty();
        entries.extend(page.entries);
        entries.truncate(limit);
        if ended || entries.len() == limit {
            return Ok(entries);
        }
    }
}

/// The set of the words that were named.
pub(crate) fn set_of(operations: Option<&[Operation]>) -> Option<OperationSet> {
    Some(operations?.iter().copied().collect())
}

/// A name, which the command line has checked before.
pub(crate) fn name(text: &str) -> Result<KeyName<'_>, Failure> {
    KeyName::parse(text).map_err(|source| Failure::Vhsmd {
        key: None,
        source: source.into(),
    })
}

pub(crate) fn names(texts: &[String]) -> Result<Vec<KeyName<'_>>, Failure> {
    texts.iter().map(|text| name(text)).collect()
}

fn data(path: Option<&Path>) -> Result<Zeroizing<Vec<u8>>, Failure> {
    input::read("the data", path, MAX_INLINE_LEN)
}

fn data_or_more(path: Option<&Path>) -> Result<Start, Failure> {
    input::begin("the data", path, MAX_INLINE_LEN)
}

fn additional(aad: &Aad) -> Result<Zeroizing<Vec<u8>>, Failure> {
    match &aad.path {
        Some(path) => input::read("the additional data", Some(path), MAX_AAD_LEN),
        None => Ok(Zeroizing::default()),
    }
}

pub(crate) fn target(output: Output, json: bool) -> Target {
    Target {
        path: output.path,
        force_terminal: output.force_terminal,
        json,
    }
}
