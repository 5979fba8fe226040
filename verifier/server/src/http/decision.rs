//! What the log says about decisions. No secret, no token and no nonce is among it: a TEE key's
//! digest ties the steps of a round together.

use super::fault::{Fault, FaultKind};
use crate::policies::Allowed;
use nitride_kbs::tee_key::TeePublicKey;
use nitride_verify::{CheckOutcome, Verdict};
use sha2::{Digest, Sha256};

/// Of a text from outside, the log shows so many characters.
const MAX_SHOWN_CHARS: usize = 512;

/// A verdict was given for one submodule, and a token for all.
pub(super) fn log_verdict(submod: &str, verdict: &Verdict, key: &TeePublicKey) {
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
    tracing::info!(
        decision = "attested",
        submod,
        tee = verdict.tee().as_str(),
        status = verdict.status().as_str(),
        simulated = verdict.is_simulated(),
        debug = verdict.is_debug(),
        tee_key = key_digest(key),
        failed = shown(&failures.join("; ")),
        waived = waived.join("; "),
    );
}

/// A resource was released.
pub(super) fn log_release(allowed: &Allowed<'_>) {
    tracing::info!(
        decision = "released",
        resource = %allowed.path(),
        rule = allowed.rule(),
        tee_key = key_digest(allowed.tee_key()),
    );
}

/// An admin wrote or deleted a resource.
pub(super) fn log_admin(decision: &'static str, resource: &str, is_envelope: Option<bool>) {
    tracing::info!(decision, resource, is_envelope);
}

/// A request was refused, with the reason that its client may not be told.
pub(super) fn log_fault(fault: &Fault) {
    let reason = shown(fault.reason());
    match fault.kind() {
        FaultKind::Internal | FaultKind::StoreError => {
            tracing::error!(decision = "failed", fault = fault.variant(), reason);
        }
        _ => tracing::warn!(decision = "refused", fault = fault.variant(), reason),
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

fn key_digest(key: &TeePublicKey) -> String {
    let digest = Sha256::digest(key.to_jwk_json().as_bytes());
    digest
        .iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
