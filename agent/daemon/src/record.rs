//! What came of one service's rounds, for whoever asks how it is doing.

use crate::drive::Driven;
use nitride_courier::{Ending, Failure, Question, VaultAnswer};
use nitride_protocol::agent::RoundCause;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// Resources that are remembered of one service; of more, those that were last asked for.
pub(crate) const MAX_RESOURCES: usize = 128;

/// One service's rounds since its configuration was read.
#[derive(Debug, Default)]
pub(crate) struct Record {
    /// Rounds that have ended.
    pub(crate) rounds: u64,
    /// Of those, the ones that brought something less than what was ordered.
    pub(crate) failed: u64,
    pub(crate) under_way: usize,
    /// Why there were rounds, those under way included.
    pub(crate) causes: Causes,
    /// When the vault last took something that the service gave.
    pub(crate) succeeded_ms: Option<u64>,
    pub(crate) trouble: Option<Trouble>,
    resources: BTreeMap<String, Fetched>,
}

/// Rounds by why vhsmd ordered them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Causes {
    /// Somebody waited.
    pub(crate) request: u64,
    /// A key was to be there before anybody asks.
    pub(crate) prefetch: u64,
    /// A lease was to be renewed.
    pub(crate) renewal: u64,
}

/// Something that did not come, or was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Trouble {
    pub(crate) at_ms: u64,
    /// The class of the failure, or "vault" where the vault did not take it.
    pub(crate) class: &'static str,
    pub(crate) resource: Option<String>,
    /// Printable, of bounded length, without a word of a token.
    pub(crate) reason: String,
}

/// What last came of one resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fetched {
    pub(crate) at_ms: u64,
    /// `None`: the vault took it.
    pub(crate) trouble: Option<&'static str>,
}

/// A round that its service's record counts as under way. It ends once, and where it is dropped before,
/// as its task is where vhsmd goes away, vhsmd was lost in it.
#[derive(Debug)]
pub(crate) struct UnderWay<'s> {
    record: &'s Mutex<Record>,
    driven: Driven,
}

impl<'s> UnderWay<'s> {
    pub(crate) fn begin(record: &'s Mutex<Record>, cause: Option<RoundCause>) -> Self {
        let mut counted = record.lock().unwrap_or_else(PoisonError::into_inner);
        counted.begin(cause);
        let driven = Driven::VaultLost;
        Self { record, driven }
    }

    pub(crate) fn end(mut self, driven: Driven) {
        self.driven = driven;
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        let mut record = self.record.lock().unwrap_or_else(PoisonError::into_inner);
        record.end(self.driven);
    }
}

/// A question to the vault, as far as its answer says how the service is doing.
#[derive(Debug)]
pub(crate) enum Noted {
    Challenge,
    Result,
    Resource(String),
    Failure(Failure),
    Finish,
}

impl Noted {
    pub(crate) fn of(question: &Question) -> Self {
        match question {
            Question::Challenge { .. } => Self::Challenge,
            Question::Result { .. } => Self::Result,
            Question::Resource { resource, .. } | Question::Plaintext { resource, .. } => {
                Self::Resource(resource.clone())
            }
            Question::Failure(failure) => Self::Failure(failure.clone()),
            Question::Finish => Self::Finish,
        }
    }
}

impl Record {
    fn begin(&mut self, cause: Option<RoundCause>) {
        self.under_way += 1;
        let count = match cause {
            Some(RoundCause::Request) => &mut self.causes.request,
            Some(RoundCause::Prefetch) => &mut self.causes.prefetch,
            Some(RoundCause::Renewal) => &mut self.causes.renewal,
            None => return,
        };
        *count += 1;
    }

    fn end(&mut self, driven: Driven) {
        self.under_way = self.under_way.saturating_sub(1);
        self.rounds += 1;
        let is_whole = matches!(driven, Driven::Ended(outcome)
            if outcome.ending == Ending::Finished
                && outcome.failed == 0
                && outcome.refused_by_vault == 0);
        self.failed += u64::from(!is_whole);
    }

    /// What the vault said to what it was asked.
    pub(crate) fn note(&mut self, noted: Noted, answer: &VaultAnswer, now_ms: u64) {
        let refused = match answer {
            VaultAnswer::Refused(status) => Some(status.to_string()),
            VaultAnswer::Accepted | VaultAnswer::Evidence { .. } => None,
        };
        match (noted, refused) {
            (Noted::Finish, _) | (Noted::Challenge, None) => {}
            (Noted::Result, None) => self.succeeded_ms = Some(now_ms),
            (Noted::Resource(resource), None) => {
                self.succeeded_ms = Some(now_ms);
                self.fetched(resource, None, now_ms);
            }
            (Noted::Failure(failure), _) => {
                if let Some(resource) = &failure.resource {
                    self.fetched(resource.clone(), Some(failure.class.as_str()), now_ms);
                }
                self.trouble = Some(Trouble {
                    at_ms: now_ms,
                    class: failure.class.as_str(),
                    resource: failure.resource,
                    reason: failure.reason,
                });
            }
            (Noted::Challenge, Some(status)) => self.refused(None, "evidence", &status, now_ms),
            (Noted::Result, Some(status)) => self.refused(None, "result", &status, now_ms),
            (Noted::Resource(resource), Some(status)) => {
                self.fetched(resource.clone(), Some(VAULT), now_ms);
                self.refused(Some(resource), "resource", &status, now_ms);
            }
        }
    }

    /// What last came of each resource, by its path.
    pub(crate) fn resources(&self) -> impl Iterator<Item = (&str, &Fetched)> {
        let each = self.resources.iter();
        each.map(|(resource, fetched)| (resource.as_str(), fetched))
    }

    fn refused(&mut self, resource: Option<String>, what: &str, status: &str, now_ms: u64) {
        self.trouble = Some(Trouble {
            at_ms: now_ms,
            class: VAULT,
            resource,
            reason: format!("{what}: vhsmd answers {status}, and its log says why"),
        });
    }

    fn fetched(&mut self, resource: String, trouble: Option<&'static str>, at_ms: u64) {
        if self.resources.len() >= MAX_RESOURCES && !self.resources.contains_key(&resource) {
            let oldest = self.resources.iter().min_by_key(|(_, one)| one.at_ms);
            if let Some(oldest) = oldest.map(|(resource, _)| resource.clone()) {
                self.resources.remove(&oldest);
            }
        }
        self.resources.insert(resource, Fetched { at_ms, trouble });
    }
}

/// What is called trouble where the service gave something that the vault did not take.
const VAULT: &str = "vault";

#[cfg(test)]
mod tests {
    use super::*;
    use nitride_protocol::Status;
    use nitride_protocol::agent::FailureClass;

    fn resource(path: &str) -> Noted {
        Noted::Resource(path.to_owned())
    }

    #[test]
    fn what_the_vault_takes_is_a_success_and_what_it_refuses_is_trouble() {
        let mut record = Record::default();
        record.note(resource("a/b/c"), &VaultAnswer::Accepted, 5);
        assert_eq!((record.succeeded_ms, &record.trouble), (Some(5), &None));
        let refused = VaultAnswer::Refused(Status::ResourceRefused);
        record.note(resource("a/b/c"), &refused, 9);
        assert_eq!(record.succeeded_ms, Some(5));
        let trouble = record.trouble.clone().unwrap();
        assert_eq!((trouble.at_ms, trouble.class), (9, "vault"));
        assert!(trouble.reason.contains("resource-refused"), "{trouble:?}");
        let (_, fetched) = record.resources().next().unwrap();
        assert_eq!(fetched.trouble, Some("vault"));
    }

    #[test]
    fn a_round_that_is_dropped_in_the_middle_is_under_way_no_more() {
        let record = Mutex::default();
        let dropped = UnderWay::begin(&record, Some(RoundCause::Renewal));
        let declined = UnderWay::begin(&record, None);
        assert_eq!(record.lock().unwrap().under_way, 2);
        drop(dropped);
        declined.end(Driven::Declined);
        let record = record.lock().unwrap();
        let ended = (record.under_way, record.rounds, record.failed);
        assert_eq!(ended, (0, 2, 2));
        assert_eq!(record.causes.renewal, 1);
    }

    #[test]
    fn a_failure_keeps_its_class_and_its_reason() {
        let mut record = Record::default();
        let failure = Failure {
            resource: Some("a/b/c".to_owned()),
            class: FailureClass::Refused,
            reason: "resource: HTTP 401 PolicyDeny: no".to_owned(),
            retry_after_ms: 0,
        };
        record.note(Noted::Failure(failure), &VaultAnswer::Accepted, 3);
        let trouble = record.trouble.clone().unwrap();
        assert_eq!(trouble.class, "refused");
        assert!(trouble.reason.contains("PolicyDeny"));
        assert_eq!(record.succeeded_ms, None);
    }

    #[test]
    fn the_resources_that_are_remembered_are_bounded_and_the_oldest_goes() {
        let mut record = Record::default();
        for at in 0..=MAX_RESOURCES as u64 {
            let path = format!("a/b/{at}");
            record.note(resource(&path), &VaultAnswer::Accepted, at);
        }
        assert_eq!(record.resources().count(), MAX_RESOURCES);
        assert!(record.resources().all(|(path, _)| path != "a/b/0"));
    }
}
