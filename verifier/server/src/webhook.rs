//! Webhooks: what happens, told to whoever is configured, over HTTPS under a pinned CA.
//!
//! ```text
//! what the audit has ── tell() ──▶ Queue of each webhook ──▶ Sender ── POST, signed ──▶ receiver
//!                                    bounded; what does not fit is counted
//! ```
//!
//! - **A notice, not a record.** The audit has everything; a queue is in memory, ends with the process, and
//!   what it cannot take or deliver in time is dropped and counted. No request ever waits for it.
//! - **No secret in it**: it has what an entry of the audit has, which has no place for one.
//! - **Only where the operator says.** One fixed address each, of TLS and its pinned CA; no redirect is
//!   followed, no proxy is asked, and of the answer nothing but its status counts.

mod queue;
mod sender;
mod signature;

pub(crate) use queue::Figures;
pub(crate) use sender::{SenderError, WebhookSender};
pub(crate) use signature::KeySource;

use crate::audit::entry::{Event, Kind, MAX_TEXT_CHARS, MAX_WHAT_CHARS, fit};
use crate::config::WebhookSettings;
use crate::entropy::{KernelEntropy, NoEntropy, draw_array};
use queue::{Notice, Queue};
use serde::Serialize;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What a webhook may be told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Topic {
    /// A resource, or an admin's act, was refused.
    Denial,
    /// Evidence was refused, or found not to be what the policy wants.
    AttestationFailure,
    /// A resource left.
    Release,
    /// The list of what is revoked was changed.
    Revocation,
    /// An admin did something.
    Admin,
    /// Policies or certificates were taken anew, or not.
    Reload,
    /// The audit of a vault does not go on from what was witnessed of it.
    WitnessFork,
}

impl Topic {
    pub(crate) const ALL: [Self; 7] = [
        Self::Denial,
        Self::AttestationFailure,
        Self::Release,
        Self::Revocation,
        Self::Admin,
        Self::Reload,
        Self::WitnessFork,
    ];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Denial => "denial",
            Self::AttestationFailure => "attestation-failure",
            Self::Release => "release",
            Self::Revocation => "revocation",
            Self::Admin => "admin",
            Self::Reload => "reload",
            Self::WitnessFork => "witness-fork",
        }
    }

    /// Whether anybody who can reach the service can cause it, as often as he likes: such notices leave
    /// room for the others.
    fn is_anybodys(self) -> bool {
        matches!(self, Self::Denial | Self::AttestationFailure)
    }

    fn of(event: &Event<'_>) -> Option<Self> {
        match (event.kind, event.outcome.as_ref()) {
            (Kind::Release, _) => Some(Self::Release),
            (Kind::Attest, "affirming") => None,
            (Kind::Attest, _) | (Kind::Refusal, "AttestationError") => {
                Some(Self::AttestationFailure)
            }
            (
                Kind::Refusal,
                "PolicyDeny" | "TokenVerifierError" | "AdminAuthError" | "AdminForbidden",
            ) => Some(Self::Denial),
            (Kind::Revocation, _) => Some(Self::Revocation),
            // That something was asked for is followed by what became of it.
            (Kind::Admin, "asked") => None,
            (Kind::Admin, _) => Some(Self::Admin),
            (Kind::Reload, _) => Some(Self::Reload),
            (Kind::Witness, "forked" | "went-back") => Some(Self::WitnessFork),
            _ => None,
        }
    }
}

/// All of them; the default is none.
#[derive(Debug, Default)]
pub(crate) struct Webhooks {
    hooks: Vec<Hook>,
    /// Who tells: the issuer's name, which is in its tokens, too.
    service: String,
    /// Drawn at the start, so that no two notices of two processes have one name.
    process: String,
    told: AtomicU64,
}

#[derive(Debug)]
struct Hook {
    name: String,
    topics: BTreeSet<Topic>,
    queue: Arc<Queue>,
}

/// The body, whose form is that of Standard Webhooks.
#[derive(Serialize)]
struct Body<'a> {
    r#type: &'static str,
    timestamp: u64,
    service: &'a str,
    data: Data<'a>,
}

#[derive(Serialize)]
struct Data<'a> {
    kind: &'static str,
    who: &'a str,
    what: &'a str,
    outcome: &'a str,
    source: &'a str,
    request: &'a str,
    reason: &'a str,
}

impl Webhooks {
    /// The queues, and who empties each.
    pub(crate) fn open(
        settings: &[WebhookSettings],
        service: &str,
    ) -> Result<(Self, Vec<WebhookSender>), SenderError> {
        let mut webhooks = Self {
            service: service.to_owned(),
            process: process_name()?,
            ..Self::default()
        };
        let mut senders = Vec::with_capacity(settings.len());
        for settings in settings {
            let queue = Arc::new(Queue::default());
            senders.push(WebhookSender::open(settings, queue.clone())?);
            webhooks.hooks.push(Hook {
                name: settings.name.clone(),
                topics: settings.topics.clone(),
                queue,
            });
        }
        Ok((webhooks, senders))
    }

    /// Tells whoever wants to know. Never waits.
    pub(crate) fn tell(&self, event: &Event<'_>, now_secs: u64) {
        let Some(topic) = Topic::of(event) else {
            return;
        };
        let mut wanting = self
            .hooks
            .iter()
            .filter(|hook| hook.topics.contains(&topic));
        let Some(first) = wanting.next() else {
            return;
        };
        let body = self.body(topic, event, now_secs);
        let number = self.told.fetch_add(1, Ordering::Relaxed);
        let notice = Notice {
            id: format!("{}-{number}", self.process).into(),
            body: body.into(),
            queued: std::time::Instant::now(),
        };
        for hook in std::iter::once(first).chain(wanting) {
            hook.queue.push(notice.clone(), topic.is_anybodys());
        }
    }

    /// Each by its name, with its figures.
    pub(crate) fn figures(&self) -> impl Iterator<Item = (&str, Figures)> {
        let figures = |hook: &'_ Hook| hook.queue.figures();
        self.hooks
            .iter()
            .map(move |hook| (hook.name.as_str(), figures(hook)))
    }

    fn body(&self, topic: Topic, event: &Event<'_>, now_secs: u64) -> Vec<u8> {
        let text = |text| fit(text, MAX_TEXT_CHARS);
        let body = Body {
            r#type: topic.as_str(),
            timestamp: now_secs,
            service: &self.service,
            data: Data {
                kind: event.kind.as_str(),
                who: &text(&event.who),
                what: &fit(&event.what, MAX_WHAT_CHARS),
                outcome: &text(&event.outcome),
                source: &text(&event.source),
                request: &text(&event.request),
                reason: &text(&event.reason),
            },
        };
        // Texts and numbers are JSON, always.
        serde_json::to_vec(&body).unwrap_or_default()
    }
}

fn process_name() -> Result<String, NoEntropy> {
    let drawn = draw_array::<8>(&mut KernelEntropy)?;
    Ok(format!("{:016x}", u64::from_be_bytes(drawn)))
}

#[cfg(test)]
mod tests;
