//! The kill switch: a VM, an image, a tenant or a resource that gets nothing any more.
//!
//! What is revoked is one record of the store, `revoked/list`, which all replicas read: at most
//! [`SEEN_WITHIN_MS`] old at each attestation and each resource, or nothing is given. A VM and an image are
//! named by claims of verified evidence, never by what a guest says of itself. What a vault holds already
//! leaves it with its lease, whose renewal is refused.

mod naming;

use crate::clock::Clock;
use crate::store::{
    Expected, MAX_RECORD_LEN, Place, RecordName, RecordNameError, Store, StoreError,
};
use nitride_kbs::resource::ResourcePath;
use nitride_kbs::token::Submod;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::borrow::Borrow;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use thiserror::Error;
use tokio::sync::watch;
use zeroize::Zeroizing;

/// What is revoked takes effect on every replica within so long.
const SEEN_WITHIN_MS: u64 = 5000;
const RECORD: &str = "revoked/list";
const VERSION: u32 = 1;
const MAX_REASON_LEN: usize = 255;
/// So many changes are told one by one; a list that is replaced is one that others will miss.
const MAX_CHANGES: usize = 256;
/// Above so much of what a record may be long it is said that it fills up.
const FILLS_UP_LEN: usize = MAX_RECORD_LEN / 5 * 4;
/// How often a change begins anew, since another was made meanwhile.
const MAX_TRIES: usize = 16;

/// What a list that is full wants.
const MAKE_ROOM: &str = "revoke an image or a tenant in the place of many machines, and lift machines whose \
    evidence no policy takes any more";

/// What kind of thing is revoked.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, clap::ValueEnum,
)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    /// One machine, by a claim such as az-snp-vtpm.vm_unique_id=…
    Vm,
    /// All machines of an image, by a claim such as snp.measurement=…
    Image,
    /// All resources of a tenant: the first part of their paths.
    Tenant,
    /// One resource.
    Resource,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Vm => "vm",
            Self::Image => "image",
            Self::Tenant => "tenant",
            Self::Resource => "resource",
        })
    }
}

/// One thing that is revoked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Entry {
    pub(crate) kind: Kind,
    /// `TEE.CLAIM=VALUE`, a tenant's name, or a resource's path.
    pub(crate) what: String,
    pub(crate) since_secs: u64,
    pub(crate) reason: String,
}

/// The record's form.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ListForm {
    version: u32,
    revoked: Vec<Entry>,
}

/// What is revoked, ready to be asked.
#[derive(Debug, Default)]
pub(crate) struct RevokedList {
    claims: BTreeSet<String>,
    tenants: BTreeSet<String>,
    resources: BTreeSet<String>,
}

/// Something that is revoked was met.
#[derive(Debug, PartialEq, Eq, Error)]
#[error("{what} is revoked")]
pub(crate) struct Revoked {
    what: String,
}

/// Why it is not known what is revoked, or not changed.
#[derive(Debug, Error)]
pub(crate) enum RevocationError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Name(#[from] RecordNameError),
    #[error("record {RECORD} is not a list of what is revoked, of version {VERSION}")]
    Malformed,
    #[error("{what:?} names no {kind}: {remedy}")]
    NotNamed {
        kind: Kind,
        what: String,
        remedy: String,
    },
    #[error("the reason is longer than {MAX_REASON_LEN} bytes")]
    ReasonTooLong,
    #[error(
        "with this the list of what is revoked would have {len} bytes, more than {MAX_RECORD_LEN}; \
         {MAKE_ROOM}"
    )]
    Full { len: usize },
    #[error("others changed the list again and again; try again")]
    Busy,
}

/// The list as this process saw it last.
#[derive(Debug, Default)]
pub(crate) struct Revocations {
    held: Arc<Held>,
    /// How the newest look ends: whoever comes before its end waits for it, and has its outcome.
    newest: Mutex<Option<Look>>,
}

#[derive(Debug, Default)]
struct Held {
    seen: RwLock<Option<Seen>>,
    /// What was changed since somebody asked for that.
    changes: Mutex<Vec<Change>>,
}

#[derive(Debug)]
struct Seen {
    at_ms: u64,
    entries: Vec<Entry>,
    list: Arc<RevokedList>,
}

/// One thing that was revoked, or lifted, by whomever.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) entry: Entry,
    pub(crate) is_lifted: bool,
}

/// A look at the store; `None` while it is under way.
type Look = watch::Receiver<Option<Result<(), Arc<RevocationError>>>>;

impl Revocations {
    /// The list, not older than [`SEEN_WITHIN_MS`]. One look serves all who wait, also where it fails, so
    /// that nobody waits for more than the store takes for two: one that began too long before, and the
    /// next. It goes on if whoever asked for it hangs up.
    pub(crate) async fn now(
        &self,
        store: &Arc<dyn Store>,
        clock: &Clock,
    ) -> Result<Arc<RevokedList>, Arc<RevocationError>> {
        let asked_ms = clock.monotonic_ms();
        loop {
            if let Some(list) = self.fresh(asked_ms) {
                return Ok(list);
            }
            let mut look = self.look(store, clock);
            let ended = look.wait_for(Option::is_some).await;
            let ended = ended.map(|ended| ended.clone());
            match ended {
                Ok(Some(Err(error))) => return Err(error),
                Ok(_) => {}
                // The service is ending.
                Err(_) => return Err(Arc::new(StoreError::ShuttingDown.into())),
            }
        }
    }

    /// The look that is under way, or a new one.
    fn look(&self, store: &Arc<dyn Store>, clock: &Clock) -> Look {
        let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        // One that has ended has dropped its end, also where it panicked.
        if let Some(look) = newest.as_ref().filter(|look| look.has_changed().is_ok()) {
            return look.clone();
        }
        let (end, look) = watch::channel(None);
        *newest = Some(look.clone());
        let (held, store) = (self.held.clone(), store.clone());
        // Its time is that of the question: what is revoked while it is under way is not in it.
        let asked_ms = clock.monotonic_ms();
        tokio::spawn(async move {
            let found = read(store.as_ref()).await;
            let found = found.map(|(entries, _)| held.take(asked_ms, entries));
            end.send_replace(Some(found.map_err(Arc::new)));
        });
        look
    }

    /// What was changed since the last call, as far as this process has seen it.
    pub(crate) fn take_changes(&self) -> Vec<Change> {
        let changes = self.held.changes.lock();
        let mut changes = changes.unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *changes)
    }

    fn fresh(&self, now_ms: u64) -> Option<Arc<RevokedList>> {
        let seen = self.held.seen.read();
        let seen = seen.unwrap_or_else(PoisonError::into_inner);
        let seen = seen.as_ref()?;
        (now_ms.saturating_sub(seen.at_ms) < SEEN_WITHIN_MS).then(|| seen.list.clone())
    }
}

impl Held {
    fn take(&self, at_ms: u64, entries: Vec<Entry>) {
        let list = Arc::new(RevokedList::of(&entries));
        let seen = Seen {
            at_ms,
            entries,
            list,
        };
        let mut held = self.seen.write().unwrap_or_else(PoisonError::into_inner);
        // What was revoked before this process began is no news.
        if let Some(before) = &*held {
            let mut changes = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
            changes.extend(changes_of(&before.entries, &seen.entries));
            changes.truncate(MAX_CHANGES);
        }
        *held = Some(seen);
    }
}

/// What `after` has and `before` had not, and the other way round.
fn changes_of<'e>(before: &'e [Entry], after: &'e [Entry]) -> impl Iterator<Item = Change> + 'e {
    let named = |entries: &'e [Entry]| -> BTreeSet<(Kind, &'e str)> {
        let name = |entry: &'e Entry| (entry.kind, entry.what.as_str());
        entries.iter().map(name).collect()
    };
    let (there, gone) = (named(before), named(after));
    let missing_in = |names: BTreeSet<(Kind, &'e str)>, entries: &'e [Entry], is_lifted| {
        let missing = move |entry: &&Entry| !names.contains(&(entry.kind, entry.what.as_str()));
        let entries = entries.iter().filter(missing).cloned();
        entries.map(move |entry| Change { entry, is_lifted })
    };
    missing_in(there, after, false).chain(missing_in(gone, before, true))
}

impl RevokedList {
    fn of(entries: &[Entry]) -> Self {
        let mut list = Self::default();
        for Entry { kind, what, .. } in entries {
            let names = match kind {
                Kind::Vm | Kind::Image => &mut list.claims,
                Kind::Tenant => &mut list.tenants,
                Kind::Resource => &mut list.resources,
            };
            names.insert(what.clone());
        }
        list
    }

    /// Whether a machine with these verified claims gets anything.
    pub(crate) fn check_claims<S: Borrow<Submod>>(
        &self,
        submods: impl IntoIterator<Item = S>,
    ) -> Result<(), Revoked> {
        if self.claims.is_empty() {
            return Ok(());
        }
        for submod in submods {
            let evidence = submod.borrow().annotated_evidence.as_ref();
            for (tee, claims) in evidence
                .into_iter()
                .flat_map(|evidence| &evidence.tee_claims)
            {
                self.check_tee(tee, claims)?;
            }
        }
        Ok(())
    }

    fn check_tee(&self, tee: &str, claims: &Value) -> Result<(), Revoked> {
        for (name, value) in claims.as_object().into_iter().flatten() {
            let Some(members) = value.as_object() else {
                self.check_claim(format_args!("{tee}.{name}"), value)?;
                continue;
            };
            // What the paravisor runs on, and PCRs, lie one level down; nothing lies deeper.
            for (member, value) in members {
                self.check_claim(format_args!("{tee}.{name}.{member}"), value)?;
            }
        }
        Ok(())
    }

    fn check_claim(&self, name: fmt::Arguments<'_>, value: &Value) -> Result<(), Revoked> {
        let what = text_of(value).map(|text| format!("{name}={text}"));
        match what.filter(|what| self.claims.contains(what)) {
            Some(what) => Err(Revoked { what }),
            None => Ok(()),
        }
    }

    /// Whether a resource is given to anybody.
    pub(crate) fn check_resource(&self, path: &ResourcePath) -> Result<(), Revoked> {
        let what = match path {
            path if self.tenants.contains(path.repository()) => path.repository(),
            path if self.resources.contains(path.as_str()) => path.as_str(),
            _ => return Ok(()),
        };
        Err(Revoked {
            what: what.to_owned(),
        })
    }
}

/// What is revoked, in the order in which it was.
pub(crate) async fn list(store: &dyn Store) -> Result<Vec<Entry>, RevocationError> {
    Ok(read(store).await?.0)
}

/// Revokes it; whether it was not yet.
pub(crate) async fn add(store: &dyn Store, entry: Entry) -> Result<bool, RevocationError> {
    let Entry { kind, what, .. } = &entry;
    if entry.reason.len() > MAX_REASON_LEN {
        return Err(RevocationError::ReasonTooLong);
    }
    naming::can_match(*kind, what).map_err(|remedy| RevocationError::NotNamed {
        kind: *kind,
        what: what.clone(),
        remedy,
    })?;
    change(store, move |entries| {
        let is_new = !entries
            .iter()
            .any(|other| other.is_of(entry.kind, &entry.what));
        if is_new {
            entries.push(entry.clone());
        }
        is_new
    })
    .await
}

/// How a restore brings a list back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Restored {
    /// Something of it was revoked anew.
    Added,
    /// All of it is revoked already.
    There,
    /// Something of it is not revoked, and was left so.
    Left,
}

/// Whether this is the record that the list lies in.
pub(crate) fn is_list(place: &Place) -> bool {
    matches!(place, Place::Record(name) if name.as_str() == RECORD)
}

/// Brings back what was revoked when a backup was made. What was revoked since stays so: a list that is
/// put back would let a stolen machine in again. Where there is a list already nothing is added unless
/// `adds`.
pub(crate) async fn restore(
    store: &dyn Store,
    bytes: &[u8],
    adds: bool,
) -> Result<Restored, RevocationError> {
    let kept = parse(bytes)?;
    let missing = |entries: &[Entry]| -> Vec<Entry> {
        let is_there = |kept: &Entry| {
            entries
                .iter()
                .any(|entry| entry.is_of(kept.kind, &kept.what))
        };
        kept.iter()
            .filter(|kept| !is_there(kept))
            .cloned()
            .collect()
    };
    let (there, expected) = read(store).await?;
    if missing(&there).is_empty() {
        return Ok(Restored::There);
    }
    if expected != Expected::Absent && !adds {
        return Ok(Restored::Left);
    }
    let add = |entries: &mut Vec<Entry>| {
        let missing = missing(entries);
        let is_any = !missing.is_empty();
        entries.extend(missing);
        is_any
    };
    Ok(match change(store, add).await? {
        true => Restored::Added,
        false => Restored::There,
    })
}

/// Takes it back; whether it was revoked.
pub(crate) async fn lift(
    store: &dyn Store,
    kind: Kind,
    what: &str,
) -> Result<bool, RevocationError> {
    change(store, |entries| {
        let before = entries.len();
        entries.retain(|entry| !entry.is_of(kind, what));
        entries.len() < before
    })
    .await
}

impl Entry {
    fn is_of(&self, kind: Kind, what: &str) -> bool {
        self.kind == kind && self.what == what
    }
}

/// Writes a changed list over the one that was read, and begins anew where another was faster.
async fn change(
    store: &dyn Store,
    apply: impl Fn(&mut Vec<Entry>) -> bool,
) -> Result<bool, RevocationError> {
    let place = Place::from(&RecordName::parse(RECORD)?);
    for _ in 0..MAX_TRIES {
        let (mut revoked, expected) = read(store).await?;
        if !apply(&mut revoked) {
            return Ok(false);
        }
        let form = ListForm {
            version: VERSION,
            revoked,
        };
        let bytes = serde_json::to_vec(&form).map_err(|_| RevocationError::Malformed)?;
        let len = bytes.len();
        if len > MAX_RECORD_LEN {
            return Err(RevocationError::Full { len });
        }
        match store.write(&place, Zeroizing::new(bytes), expected).await {
            Ok(_) => {
                if len > FILLS_UP_LEN {
                    tracing::warn!(
                        len,
                        most = MAX_RECORD_LEN,
                        remedy = MAKE_ROOM,
                        "the list of what is revoked fills up"
                    );
                }
                return Ok(true);
            }
            Err(StoreError::Conflict { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(RevocationError::Busy)
}

async fn read(store: &dyn Store) -> Result<(Vec<Entry>, Expected), RevocationError> {
    let place = Place::from(&RecordName::parse(RECORD)?);
    let Some(stored) = store.read(&place).await? else {
        return Ok((Vec::new(), Expected::Absent));
    };
    Ok((parse(&stored.bytes)?, Expected::Version(stored.version)))
}

fn parse(bytes: &[u8]) -> Result<Vec<Entry>, RevocationError> {
    let form: ListForm = serde_json::from_slice(bytes).map_err(|_| RevocationError::Malformed)?;
    match form.version {
        VERSION => Ok(form.revoked),
        _ => Err(RevocationError::Malformed),
    }
}

/// How a claim is compared: as its text, whole numbers in decimal, as policies do.
pub(crate) fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Number(number) if number.is_i64() || number.is_u64() => Some(number.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
