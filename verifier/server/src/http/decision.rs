//! What log and audit say about decisions. No secret, no token and no nonce is among it: a TEE key's
//! digest ties the steps of a round together.

use super::fault::{Fault, FaultKind};
use crate::acts::Actor;
use crate::audit::entry::{Event, Kind};
use crate::policies::Allowed;
use crate::watch::Watch;
use nitride_kbs::tee_key::TeePublicKey;
use nitride_verify::{CheckOutcome, Verdict};
use sha2::{Digest, Sha256};

/// Of a text from outside, the log shows so many characters.
const MAX_SHOWN_CHARS: usize = 512;

/// What an answer tells the audit before it leaves. Who made the answer does not write it: whoever is
/// around the request does, for all of them, and holds the answer back where it cannot.
#[derive(Debug, Clone)]
pub(super) struct Decided(Vec<Event<'static>>);

impl Decided {
    pub(super) fn of(events: Vec<Event<'static>>) -> Self {
        Self(events)
    }

    pub(super) fn into_events(self) -> Vec<Event<'static>> {
        self.0
    }
}

/// A verdict was given for one submodule, and a token for all.
pub(super) fn log_verdict(
    watch: &Watch,
    submod: &str,
    verdict: &Verdict,
    key: &TeePublicKey,
) -> Event<'static> {
    let failures: Vec<String> = verdict
        .failures()
        .map(|(name, reason)| format!("{name}: {reason}"))
        .collect();
    let waived: Vec<String> = verdict
        .checks()
        .iter()
        .filter_map(|check| match check.outcome {
            CheckOutcome::WaivedByPolicyLine(line) => {
                Some(format!("{} (line {line})", check.name.name))
            }
            _ => None,
        })
        .collect();
    let tee_key = key_digest(key);
    tracing::info!(
        decision = "attested",
        submod,
        tee = verdict.tee().as_str(),
        status = verdict.status().as_str(),
        simulated = verdict.is_simulated(),
        debug = verdict.is_debug(),
        tee_key,
        failed = shown(&failures.join("; ")),
        waived = waived.join("; "),
    );
    let (tee, status) = (verdict.tee().as_str(), verdict.status().as_str());
    watch
        .metrics
        .count_verdict(tee, status, verdict.is_simulated());
    let simulated = if verdict.is_simulated() {
        "simulated; "
    } else {
        ""
    };
    Event {
        who: named(&tee_key).into(),
        what: format!("{submod} {tee}").into(),
        outcome: status.into(),
        ..Event::own(Kind::Attest, format!("{simulated}{}", failures.join("; ")))
    }
}

/// A resource was released; of what is made for one machine, `given` says which one it is of.
pub(super) fn log_release(
    watch: &Watch,
    allowed: &Allowed<'_>,
    given: Option<&str>,
) -> Event<'static> {
    let tee_key = key_digest(allowed.tee_key());
    tracing::info!(
        decision = "released",
        resource = %allowed.path(),
        rule = allowed.rule(),
        given,
        tee_key,
    );
    watch.metrics.count_release();
    let given = given.map_or_else(String::new, |given| format!("; {given}"));
    Event {
        who: named(&tee_key).into(),
        what: allowed.path().to_string().into(),
        ..Event::own(Kind::Release, format!("rule {:?}{given}", allowed.rule()))
    }
}

/// A request was refused, with the reason that its client may not be told. Whoever of the admins asked
/// for it is named.
pub(super) fn log_fault(fault: &Fault, actor: &Actor) -> Event<'static> {
    let reason = shown(fault.reason());
    let who = Some(actor.who()).filter(|who| !who.is_empty());
    match fault.kind() {
        FaultKind::Internal | FaultKind::StoreError => {
            tracing::error!(decision = "failed", fault = fault.variant(), who, reason);
        }
        _ => tracing::warn!(decision = "refused", fault = fault.variant(), who, reason),
    }
    let kind = match fault.kind() {
        FaultKind::Internal | FaultKind::StoreError => Kind::Failure,
        _ => Kind::Refusal,
    };
    Event {
        who: actor.who().to_owned().into(),
        outcome: fault.variant().into(),
        ..Event::own(kind, reason)
    }
}

/// A text from outside, for a person's terminal: printable, and not too long.
pub(super) fn shown(text: &str) -> String {
    let printable = |c: char| {
        if c == ' ' || c.is_ascii_graphic() {
            c
        } else {
            '?'
        }
    };
    text.chars().take(MAX_SHOWN_CHARS).map(printable).collect()
}

/// Ties the entries of a round together.
pub(super) fn who(key: &TeePublicKey) -> String {
    named(&key_digest(key))
}

fn named(key_digest: &str) -> String {
    format!("tee:{key_digest}")
}

fn key_digest(key: &TeePublicKey) -> String {
    let digest = Sha256::digest(key.to_jwk_json().as_bytes());
    digest
        .iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
