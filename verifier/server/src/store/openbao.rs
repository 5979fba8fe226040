//! A KV engine of OpenBao (or Vault), which replicas share: nodes of one cluster over TLS.
//!
//! What lies there is sealed under the store key as in a folder, and bound to its place and to the
//! version that the engine counts. So an engine that answers with other bytes, with those of another
//! place or with an older version under a newer number is refused; one that answers with an older
//! version under its own number is refused where this process has seen a newer one ([`floor`]).
//!
//! A write names the version that it replaces, always. When an attempt's outcome is not known the same
//! bytes are sent again, and if a version stands there by then, it is read back: its bytes are ours or
//! somebody else's. So nothing is done twice, and what is acknowledged is there.
//!
//! A deletion is a version too, sealed as any: a place that the engine says is gone, and that this
//! service did not delete, is an error and not an absence.

mod authority;
mod floor;
mod listing;
mod naming;
mod nodes;
#[cfg(test)]
mod tests;

use super::sealed_file::{self, OVERHEAD_LEN};
use super::{
    Expected, Listing, Pending, Place, RecordName, Resource, Store, StoreError, Stored, Under,
    Version,
};
use crate::clock::Clock;
use crate::config::OpenBao;
use crate::entropy::KernelEntropy;
use crate::key_file::Key32;
use crate::tls::TlsError;
use authority::Authority;
use floor::Floor;
use naming::name_of;
use nitride_openbao::answer::{self, Class, Found, MAX_ANSWER_LEN};
use nitride_openbao::{Kv, MAX_SEALED_LEN, Request};
use nodes::{Answer, Nodes, refused};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// The first of the sealed bytes: what follows is what was stored, or it was deleted.
const KEPT: u8 = 1;
const DELETED: u8 = 0;

/// A node that lags behind may catch up, or another answer, while there is time: a cluster elects a
/// leader in ten seconds and more. So much is kept to say that none has.
const LAST_WORD: Duration = Duration::from_millis(500);
const CATCH_UP_PAUSE: Duration = Duration::from_millis(25);

const _: () = assert!(super::MAX_RECORD_LEN + OVERHEAD_LEN < MAX_SEALED_LEN);

/// The engine as a store.
#[derive(Debug, Clone)]
pub(crate) struct OpenBaoStore(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    kv: Kv,
    key: Key32,
    nodes: Arc<Nodes>,
    authority: Authority,
    floor: Floor,
    deadline: Duration,
}

/// What the engine has in a place.
struct Current {
    /// The newest version, 0 where there never was one.
    last: u64,
    /// What lies there, unless it was deleted.
    stored: Option<Stored>,
    /// Something lies there that cannot be opened.
    is_damaged: bool,
}

/// What became of one version that was to be written.
enum Put {
    Written,
    /// Another is there.
    Taken,
}

impl Current {
    fn version(&self) -> Option<Version> {
        self.stored.as_ref().map(|stored| stored.version)
    }
}

impl OpenBaoStore {
    /// Reads the files that the configuration names; asks nobody yet.
    pub(crate) fn open(config: &OpenBao, key: Key32) -> Result<Self, TlsError> {
        let nodes = Arc::new(Nodes::open(config)?);
        if config.ca.is_none() {
            tracing::warn!("danger-plain-http: the token for OpenBao travels in the clear");
        }
        Ok(Self(Arc::new(Inner {
            kv: config.kv.clone(),
            key,
            authority: Authority::new(config.login.clone(), nodes.clone(), Clock::system()),
            nodes,
            floor: Floor::default(),
            deadline: config.deadline,
        })))
    }

    fn until(&self) -> Instant {
        Instant::now() + self.0.deadline
    }
}

impl Inner {
    /// Sends a request under a token, which is had anew once where it is not taken any more.
    async fn ask(
        &self,
        request: &Request,
        max_len: usize,
        until: Instant,
    ) -> Result<Answer, StoreError> {
        let mut may_be_done = false;
        loop {
            let (token, generation) = self.authority.token(until).await?;
            let sent = self.nodes.send(request, Some(&token), max_len, until).await;
            let mut answer = sent.map_err(|failed| failed.into_error(may_be_done))?;
            may_be_done |= answer.may_be_done;
            answer.may_be_done = may_be_done;
            if Class::of(answer.status) != Class::Denied {
                self.authority.served(generation);
                return Ok(answer);
            }
            // Its policies may just not allow this: then the token is as good as before.
            if self.authority.is_taken(&token, until).await? {
                return Err(StoreError::Forbidden {
                    path: request.path.clone(),
                });
            }
            self.authority.refused(generation, until).await;
        }
    }

    /// The newest version of a place, and nothing older than was seen before.
    async fn current(&self, place: &Place, until: Instant) -> Result<Current, StoreError> {
        let floor = self.floor.of(place);
        let give_up = until.checked_sub(LAST_WORD).unwrap_or(until);
        loop {
            let found = self.find(place, None, until).await?;
            let last = found.as_ref().map_or(0, |found| found.version);
            if last >= floor {
                let stored = match found {
                    Some(found) => self.open(place, found)?,
                    None => None,
                };
                // Only what is authentic: another's number would shut the place.
                self.floor.raise(place, last);
                return Ok(Current {
                    last,
                    stored,
                    is_damaged: false,
                });
            }
            if Instant::now() >= give_up {
                return Err(StoreError::RolledBack {
                    place: place.clone(),
                    found: last,
                    seen: floor,
                });
            }
            // A node that stands by may lag behind the one that took the write.
            self.nodes.prefer_another();
            sleep(CATCH_UP_PAUSE).await;
        }
    }

    async fn find(
        &self,
        place: &Place,
        version: Option<u64>,
        until: Instant,
    ) -> Result<Option<Found>, StoreError> {
        let name = name_of(place);
        let request = match version {
            None => self.kv.read(&name)?,
            Some(version) => self.kv.read_version(&name, version)?,
        };
        let answer = self.ask(&request, MAX_ANSWER_LEN, until).await?;
        match Class::of(answer.status) {
            Class::Done | Class::NotFound => Ok(answer::read(answer.status, &answer.body)?),
            _ => Err(refused(&answer)),
        }
    }

    /// What a version says, which has to be that version of that place.
    fn open(&self, place: &Place, found: Found) -> Result<Option<Stored>, StoreError> {
        let at = || format!("version {} of {place} in OpenBao", found.version);
        let not_authentic = || StoreError::NotAuthentic { at: at() };
        let Some(sealed) = &found.sealed else {
            return Err(StoreError::DeletedElsewhere {
                place: place.clone(),
            });
        };
        let mut stored =
            sealed_file::open(&self.key, place, sealed).map_err(|error| match error {
                sealed_file::OpenError::UnknownForm => StoreError::UnknownForm { at: at() },
                sealed_file::OpenError::NotAuthentic => not_authentic(),
            })?;
        if stored.version != Version::new(found.version) {
            return Err(not_authentic());
        }
        match stored.bytes.first() {
            Some(&KEPT) => {
                stored.bytes.drain(..1);
                Ok(Some(stored))
            }
            Some(&DELETED) if stored.bytes.len() == 1 => Ok(None),
            _ => Err(StoreError::UnknownForm { at: at() }),
        }
    }

    /// What is there, for a writer. Who expects nothing in particular may replace what is damaged.
    async fn current_for(
        &self,
        place: &Place,
        expected: Expected,
        until: Instant,
    ) -> Result<Current, StoreError> {
        match self.current(place, until).await {
            Err(
                StoreError::NotAuthentic { .. }
                | StoreError::UnknownForm { .. }
                | StoreError::DeletedElsewhere { .. },
            ) if expected == Expected::Any => {
                let found = self.find(place, None, until).await?;
                Ok(Current {
                    last: found.map_or(0, |found| found.version),
                    stored: None,
                    is_damaged: true,
                })
            }
            current => current,
        }
    }

    /// Replaces what `expected` says by `payload`; the version that is there then, and the one before.
    async fn replace(
        &self,
        place: &Place,
        payload: &[u8],
        expected: Expected,
        until: Instant,
    ) -> Result<Option<(Version, u64)>, StoreError> {
        loop {
            let current = self.current_for(place, expected, until).await?;
            expected.check(place, current.version())?;
            // What was deleted is not deleted again. What is damaged is.
            if payload == [DELETED] && current.stored.is_none() && !current.is_damaged {
                return Ok(None);
            }
            let version = Version::new(current.last).next();
            let sealed = sealed_file::seal(&self.key, place, version, payload, &mut KernelEntropy)
                .map_err(|_| StoreError::Seal)?;
            match self.put(place, &sealed, current.last, until).await? {
                Put::Written => {
                    self.floor.raise(place, version.number());
                    return Ok(Some((version, current.last)));
                }
                // Somebody was faster: what he wrote may be what is expected, or not.
                Put::Taken => sleep(CATCH_UP_PAUSE).await,
            }
            if Instant::now() >= until {
                return Err(StoreError::Unresolved {
                    place: place.clone(),
                });
            }
        }
    }

    /// Writes the version after `last`, once.
    async fn put(
        &self,
        place: &Place,
        sealed: &[u8],
        last: u64,
        until: Instant,
    ) -> Result<Put, StoreError> {
        let request = self.kv.write(&name_of(place), sealed, last)?;
        let answer = self.ask(&request, MAX_ANSWER_LEN, until).await?;
        match Class::of(answer.status) {
            Class::Done if answer::written(&answer.body)? == last.saturating_add(1) => {
                Ok(Put::Written)
            }
            Class::Done => Err(StoreError::NotAuthentic {
                at: format!("the version that OpenBao gave {place}"),
            }),
            Class::Refused => self.whose(place, sealed, last, &answer, until).await,
            _ => Err(refused(&answer)),
        }
    }

    /// Whether the version after `last` is ours: an attempt that was not answered may have made it. Its
    /// bytes tell, since no two sealings are alike.
    async fn whose(
        &self,
        place: &Place,
        sealed: &[u8],
        last: u64,
        answer: &Answer,
        until: Instant,
    ) -> Result<Put, StoreError> {
        let give_up = until.checked_sub(LAST_WORD).unwrap_or(until);
        loop {
            match self
                .find(place, Some(last.saturating_add(1)), until)
                .await?
            {
                Some(found) if found.sealed.as_deref() == Some(sealed) => return Ok(Put::Written),
                Some(Found {
                    sealed: Some(_), ..
                }) => return Ok(Put::Taken),
                // It was there and is erased: nobody can say any more whose it was.
                Some(Found { sealed: None, .. }) if answer.may_be_done => {
                    return Err(StoreError::Unresolved {
                        place: place.clone(),
                    });
                }
                Some(_) => return Ok(Put::Taken),
                // It is refused for another reason, or this node has not heard of it yet.
                None if Instant::now() >= give_up => return Err(refused(answer)),
                None => {
                    self.nodes.prefer_another();
                    sleep(CATCH_UP_PAUSE).await;
                }
            }
        }
    }

    /// Erases what the engine keeps of a place's versions up to this one.
    async fn erase_up_to(
        &self,
        place: &Place,
        last: u64,
        until: Instant,
    ) -> Result<(), StoreError> {
        if last == 0 {
            return Ok(());
        }
        let erase = self.kv.destroy_up_to(&name_of(place), last)?;
        let answer = self.ask(&erase, MAX_ANSWER_LEN, until).await?;
        match Class::of(answer.status) {
            Class::Done => Ok(()),
            _ => Err(refused(&answer)),
        }
    }
}

impl Store for OpenBaoStore {
    fn read<'a>(&'a self, place: &'a Place) -> Pending<'a, Option<Stored>> {
        Box::pin(async move { Ok(self.0.current(place, self.until()).await?.stored) })
    }

    fn write<'a>(
        &'a self,
        place: &'a Place,
        bytes: Resource,
        expected: Expected,
    ) -> Pending<'a, Version> {
        Box::pin(async move {
            place.check_len(bytes.len())?;
            let mut payload = Resource::new(Vec::with_capacity(bytes.len() + 1));
            payload.push(KEPT);
            payload.extend_from_slice(&bytes);
            let replaced = self.0.replace(place, &payload, expected, self.until());
            // Only a deletion may find nothing to do.
            let (version, _) = replaced.await?.ok_or(StoreError::Seal)?;
            Ok(version)
        })
    }

    fn delete<'a>(&'a self, place: &'a Place, expected: Expected) -> Pending<'a, bool> {
        Box::pin(async move {
            let until = self.until();
            let replaced = self.0.replace(place, &[DELETED], expected, until).await?;
            let Some((_, last)) = replaced else {
                return Ok(false);
            };
            // The deletion stands; that old versions, sealed, are erased as well is thoroughness.
            if let Err(error) = self.0.erase_up_to(place, last, until).await {
                tracing::warn!(%place, %error, "old versions were not erased");
            }
            Ok(true)
        })
    }

    fn erase_older<'a>(&'a self, place: &'a Place) -> Pending<'a, ()> {
        Box::pin(async move {
            let until = self.until();
            let last = self.0.current(place, until).await?.last;
            self.0
                .erase_up_to(place, last.saturating_sub(1), until)
                .await
        })
    }

    fn list<'a>(&'a self, under: Under<'a>) -> Pending<'a, Listing> {
        Box::pin(async move { listing::list(&self.0, under, self.until()).await })
    }

    fn count<'a>(&'a self, folder: &'a RecordName) -> Pending<'a, usize> {
        Box::pin(async move { listing::count(&self.0, folder, self.until()).await })
    }
}
