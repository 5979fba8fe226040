use crate::answer::Answer;
use crate::arguments::{Aad, Arguments, ConnectionArguments, NewKey, Output, Verb, VersionedKey};
use crate::failure::Failure;
use crate::output::Target;
use crate::{input, present};
use nitride_client::{Client, ClientError, ListEntry, Options};
use nitride_protocol::limits::{
    MAX_AAD_LEN, MAX_CIPHERTEXT_LEN, MAX_INLINE_LEN, MAX_LIST_LEN, MAX_SECRET_LEN,
    MAX_SIGNATURE_LEN, MAX_TAG_LEN,
};
use nitride_protocol::{Operation, OperationSet};
use std::path::Path;
use zeroize::Zeroizing;

/// Does what the command line says and prints its answer.
pub(crate) fn run(arguments: Arguments) -> Result<(), Failure> {
    let connection = arguments.connection;
    let json = connection.json;
    let (answer, target) = match arguments.verb {
        Verb::Generate(new) => {
            let (key, operations) = (new.name.as_str(), operations_of(&new));
            let version = Caller::application(&connection)
                .call(key, |client| client.generate(key, new.key_type, operations))?;
            (present::version(key, version), Target::standard(json))
        }
        Verb::Import { new, input } => {
            let (key, operations) = (new.name.as_str(), operations_of(&new));
            let material = input::read_material(input.path.as_deref(), MAX_SECRET_LEN)?;
            let version = Caller::admin(&connection).call(key, |client| {
                client.import(key, new.key_type, operations, &material)
            })?;
            (present::version(key, version), Target::standard(json))
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
        Verb::PublicKey { key, der, output } => {
            let target = target(output, json);
            if der {
                target.check("spki", false)?;
            }
            let found = Caller::application(&connection).call(&key.name, |client| {
                client.public_key(&key.name, key.key_version)
            })?;
            let answer = if der {
                Answer::public("spki", Some(found.version), found.spki)
            } else {
                present::pem(&found)
            };
            (answer, target)
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
            let made = Caller::application(&connection).call(&key.name, |client| {
                client.sign(&key.name, scheme.scheme, &message)
            })?;
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
            let (name, version) = (&key.name, key.key_version);
            Caller::application(&connection).call(name, |client| {
                client.verify(name, version, scheme.scheme, &message, &signature)
            })?;
            (present::done("verified"), Target::standard(json))
        }
        Verb::Encrypt {
            key,
            aad,
            input,
            output,
        } => {
            let target = target(output, json);
            target.check("ciphertext", false)?;
            let (aad, plaintext) = (additional(&aad)?, data(input.path.as_deref())?);
            let made = Caller::application(&connection).call(&key.name, |client| {
                client.encrypt(&key.name, &plaintext, &aad)
            })?;
            (Answer::public("ciphertext", None, made), target)
        }
        Verb::Decrypt {
            key,
            aad,
            input,
            output,
        } => {
            let target = target(output, json);
            target.check("plaintext", true)?;
            let aad = additional(&aad)?;
            let ciphertext =
                input::read("the ciphertext", input.path.as_deref(), MAX_CIPHERTEXT_LEN)?;
            let plaintext = Caller::application(&connection).call(&key.name, |client| {
                client.decrypt(&key.name, &ciphertext, &aad)
            })?;
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
        Verb::Reload => {
            let generation = Caller::admin(&connection).call_without_key(Client::reload)?;
            (present::reloaded(generation), Target::standard(json))
        }
    };
    target.write(&answer)
}

/// One of the two sockets.
struct Caller<'c> {
    socket: &'c Path,
    connection: &'c ConnectionArguments,
}

impl<'c> Caller<'c> {
    fn application(connection: &'c ConnectionArguments) -> Self {
        Self {
            socket: &connection.socket,
            connection,
        }
    }

    fn admin(connection: &'c ConnectionArguments) -> Self {
        Self {
            socket: &connection.admin_socket,
            connection,
        }
    }

    /// For verbs that both sockets have.
    fn either(connection: &'c ConnectionArguments) -> Self {
        if connection.admin {
            Self::admin(connection)
        } else {
            Self::application(connection)
        }
    }

    /// Connects and calls; `key` names in the error what the call was about.
    fn call<T>(
        &self,
        key: &str,
        call: impl FnOnce(&mut Client) -> Result<T, ClientError>,
    ) -> Result<T, Failure> {
        let source = |source| Failure::Vhsmd {
            key: Some(key.to_owned()),
            source,
        };
        call(&mut self.connect()?).map_err(source)
    }

    fn call_without_key<T>(
        &self,
        call: impl FnOnce(&mut Client) -> Result<T, ClientError>,
    ) -> Result<T, Failure> {
        let source = |source| Failure::Vhsmd { key: None, source };
        call(&mut self.connect()?).map_err(source)
    }

    fn connect(&self) -> Result<Client, Failure> {
        let options = Options::new(concat!("vhsm ", env!("CARGO_PKG_VERSION")));
        Client::connect_with(self.socket, options.with_wait(self.connection.wait))
            .map_err(|source| Failure::Vhsmd { key: None, source })
    }
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

fn operations_of(new: &NewKey) -> Option<OperationSet> {
    let all: &[Operation] = new.operations.as_deref()?;
    Some(all.iter().copied().collect())
}

fn data(path: Option<&Path>) -> Result<Zeroizing<Vec<u8>>, Failure> {
    input::read("the data", path, MAX_INLINE_LEN)
}

fn additional(aad: &Aad) -> Result<Zeroizing<Vec<u8>>, Failure> {
    match &aad.path {
        Some(path) => input::read("the additional data", Some(path), MAX_AAD_LEN),
        None => Ok(Zeroizing::default()),
    }
}

fn target(output: Output, json: bool) -> Target {
    Target {
        path: output.path,
        force_terminal: output.force_terminal,
        json,
    }
}
