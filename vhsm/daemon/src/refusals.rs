//! The last refusals, for whoever asks why.

use nitride_protocol::{KeyName, KeyNameBuf, Operation, Status};
use nitride_vault::Peer;
use std::collections::VecDeque;
use std::error::Error;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Refusals that are remembered.
const MAX_REFUSALS: usize = 1024;
/// Of these, refusals of one user: nobody makes others' be forgotten.
const MAX_REFUSALS_PER_UID: usize = 128;

/// One of them. It holds nothing of the request but what the log has, too.
#[derive(Debug, Clone)]
pub(crate) struct RecentRefusal {
    /// The connection's number.
    pub(crate) connection: u64,
    /// The request's id on it.
    pub(crate) request: u32,
    /// Who asked.
    pub(crate) peer: Peer,
    /// What; `None` for a number that no operation has.
    pub(crate) operation: Option<Operation>,
    /// On which key.
    pub(crate) key: Option<KeyNameBuf>,
    /// What the peer was told.
    pub(crate) status: Status,
    /// What it was not told.
    pub(crate) reason: String,
}

/// The last [`MAX_REFUSALS`], oldest first.
#[derive(Debug, Default)]
pub(crate) struct RecentRefusals(Mutex<VecDeque<RecentRefusal>>);

impl RecentRefusal {
    /// `key` and `reason` as the log has them.
    pub(crate) fn new(
        (connection, request): (u64, u32),
        peer: Peer,
        (operation, key): (Option<Operation>, Option<&str>),
        status: Status,
        reason: &(dyn Error + 'static),
    ) -> Self {
        let mut text = reason.to_string();
        let mut source = reason.source();
        while let Some(error) = source {
            text = format!("{text}: {error}");
            source = error.source();
        }
        Self {
            connection,
            request,
            peer,
            operation,
            key: key.and_then(|key| Some(KeyName::parse(key).ok()?.to_owned())),
            status,
            reason: text,
        }
    }
}

impl RecentRefusals {
    /// Remembers one.
    pub(crate) fn note(&self, refusal: RecentRefusal) {
        let mut refusals = self.lock();
        let of_uid = |other: &RecentRefusal| other.peer.uid == refusal.peer.uid;
        let count = refusals.iter().filter(|other| of_uid(other)).count();
        if count >= MAX_REFUSALS_PER_UID {
            if let Some(oldest) = refusals.iter().position(of_uid) {
                refusals.remove(oldest);
            }
        } else if refusals.len() >= MAX_REFUSALS {
            refusals.pop_front();
        }
        refusals.push_back(refusal);
    }

    /// The last one of that request.
    pub(crate) fn find(&self, connection: u64, request: u32) -> Option<RecentRefusal> {
        let is_it = |one: &&RecentRefusal| one.connection == connection && one.request == request;
        self.lock().iter().rev().find(is_it).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<RecentRefusal>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(uid: u32, request: u32) -> RecentRefusal {
        let peer = Peer {
            uid,
            gid: 0,
            groups: Vec::new(),
            pid: 1,
            unit: None,
            cgroup: None,
            executable_digest: None,
            per_message: false,
        };
        RecentRefusal::new(
            (u64::from(uid), request),
            peer,
            (Some(Operation::Sign), Some("k")),
            Status::Denied,
            &std::fmt::Error,
        )
    }

    #[test]
    fn the_last_refusals_are_found_and_there_are_never_more_than_so_many() {
        let refusals = RecentRefusals::default();
        for uid in 0..20 {
            for request in 0..100 {
                refusals.note(refusal(uid, request));
            }
        }
        assert_eq!(refusals.lock().len(), MAX_REFUSALS);
        let last = refusals.find(19, 99).unwrap();
        assert_eq!(last.key.unwrap().as_str(), "k");
        assert!(refusals.find(0, 0).is_none() && refusals.find(19, 100).is_none());
    }

    #[test]
    fn one_user_does_not_make_anothers_refusals_be_forgotten() {
        let refusals = RecentRefusals::default();
        refusals.note(refusal(1, 7));
        for request in 0..5000 {
            refusals.note(refusal(2, request));
        }
        assert!(refusals.find(1, 7).is_some());
        assert_eq!(refusals.lock().len(), 1 + MAX_REFUSALS_PER_UID);
        assert!(refusals.find(2, 4999).is_some() && refusals.find(2, 0).is_none());
    }
}
