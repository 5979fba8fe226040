//! What a request is about: its key, the version, and the other key where there are two.

use nitride_protocol::admin::Destroy;
use nitride_protocol::application::{
    Agree, BatchAnswer, BatchItem, Decapsulate, Derive, Disable, Enable, Encapsulate, Unwrap, Wrap,
};
use nitride_protocol::{KeyName, Message, Operation, Reader, Status};

/// What the entry of an act is about.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Subject {
    pub(super) version: Option<u32>,
    /// The other key, as a reason; empty without one.
    pub(super) other: String,
}

/// The key that a request names: the first of the params, but for the operations without one.
pub(crate) fn key_of<'p>(operation: Operation, params: &Reader<'p>) -> Option<KeyName<'p>> {
    match operation {
        Operation::Hello
        | Operation::List
        | Operation::Random
        | Operation::Status
        | Operation::Reload
        | Operation::Attest
        | Operation::AuditHead
        | Operation::Batch
        | Operation::RegisterBuffer
        | Operation::CheckPolicy
        | Operation::Why
        | Operation::Wipe
        | Operation::Backup
        | Operation::Restore
        | Operation::EndPhase => None,
        _ => {
            let mut params = params.clone();
            params.array().ok()?;
            KeyName::parse(params.text().ok()?).ok()
        }
    }
}

/// What else there is to say of an act.
pub(super) fn subject(
    operation: Operation,
    params: &Reader<'_>,
    status: Status,
    result: &Reader<'_>,
) -> Subject {
    let made = || first_number(result).filter(|_| status == Status::Ok);
    let version = match operation {
        Operation::Generate | Operation::Import | Operation::Rotate => made(),
        Operation::Enable => read(params, |asked: Enable<'_>| asked.version),
        Operation::Disable => read(params, |asked: Disable<'_>| asked.version),
        Operation::Destroy => read(params, |asked: Destroy<'_>| asked.version),
        _ => None,
    };
    let other = match operation {
        Operation::Wrap => read(params, |asked: Wrap<'_>| Some(text("wraps", asked.key))),
        Operation::Unwrap => read(params, |asked: Unwrap<'_>| Some(makes(asked.new_key))),
        Operation::Derive => read(params, |asked: Derive<'_>| Some(makes(asked.child.name))),
        Operation::Agree => read(params, |asked: Agree<'_>| Some(makes(asked.child.name))),
        Operation::Encapsulate => read(params, |asked: Encapsulate<'_>| {
            Some(makes(asked.child.name))
        }),
        Operation::Decapsulate => read(params, |asked: Decapsulate<'_>| {
            Some(makes(asked.child.name))
        }),
        _ => None,
    };
    Subject {
        version,
        other: other.unwrap_or_default(),
    }
}

fn makes(name: KeyName<'_>) -> String {
    text("makes", name)
}

fn text(verb: &str, name: KeyName<'_>) -> String {
    format!("{verb} {}", name.as_str())
}

fn read<'p, M: Message<'p>, T>(
    params: &Reader<'p>,
    field: impl FnOnce(M) -> Option<T>,
) -> Option<T> {
    M::decode_last(params.clone()).ok().and_then(field)
}

fn first_number(result: &Reader<'_>) -> Option<u32> {
    let mut result = result.clone();
    result.array().ok()?;
    result.u32("version").ok()
}

/// The key of an item of a batch.
pub(super) fn key_of_item<'p>(item: &BatchItem<'p>) -> Option<KeyName<'p>> {
    match item {
        BatchItem::PublicKey(asked) => Some(asked.key),
        BatchItem::Sign(asked) => Some(asked.key),
        BatchItem::Verify(asked) => Some(asked.key),
        BatchItem::Encrypt(asked) => Some(asked.key),
        BatchItem::Decrypt(asked) => Some(asked.key),
        BatchItem::Mac(asked) => Some(asked.key),
        BatchItem::VerifyMac(asked) => Some(asked.key),
        BatchItem::Random(_) => None,
    }
}

/// How an item of a batch ended, and with which version where it says so.
pub(super) fn outcome_of(answer: &BatchAnswer<'_>) -> (Status, Option<u32>) {
    match answer {
        BatchAnswer::Refused(status) => (*status, None),
        BatchAnswer::Done | BatchAnswer::Bytes(_) => (Status::Ok, None),
        BatchAnswer::Versioned { version, .. } => (Status::Ok, Some(*version)),
    }
}
