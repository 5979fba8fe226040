//! What an administrator may ask about the policy: `check-policy`, `explain` and `why`. Whoever
//! asks was found to be one before it comes here.

use crate::config::{Config, check_policy};
use crate::daemon::Daemon;
use nitride_protocol::admin::{
    CheckPolicy, Explain, Explained, PeerClaim, PolicyChecked, Reasons, Why,
};
use nitride_protocol::limits::{MAX_REASON_LEN, MAX_REASONS_LEN};
use nitride_protocol::{DecodeError, EncodeError, Message, Operation, Reader, Status, write_reply};
use nitride_vault::{Explanation, Peer, Refusal};

/// Why an inquiry is not answered.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoAnswer {
    /// The params are not those of the operation.
    #[error("params are not those of the operation")]
    Malformed(#[from] DecodeError),
    /// It is asked by no operation of these.
    #[error("the operation asks nothing about the policy")]
    NotAnInquiry,
    /// The reply does not fit.
    #[error("the reply does not fit")]
    TooLarge(#[from] EncodeError),
    /// The vault cannot be asked.
    #[error(transparent)]
    Vault(#[from] Refusal),
}

/// Whether `operation` is one of them.
pub(crate) fn takes(operation: Operation) -> bool {
    matches!(
        operation,
        Operation::CheckPolicy | Operation::Explain | Operation::Why
    )
}

/// Answers one of them.
pub(crate) fn answer(
    daemon: &Daemon,
    operation: Operation,
    asked: (u32, Reader<'_>),
    reply: &mut [u8],
) -> Result<usize, NoAnswer> {
    match operation {
        Operation::CheckPolicy => check(daemon, asked, reply),
        Operation::Explain => explain(daemon, asked, reply),
        Operation::Why => why(daemon, asked, reply),
        _ => Err(NoAnswer::NotAnInquiry),
    }
}

/// Checks a policy file that is not in force, together with those that are.
fn check(
    daemon: &Daemon,
    (id, params): (u32, Reader<'_>),
    reply: &mut [u8],
) -> Result<usize, NoAnswer> {
    let asked = CheckPolicy::decode_last(params)?;
    // As a reload would read it now.
    let faults: Vec<String> = match Config::load(daemon.config_path()) {
        Ok(config) => check_policy(&config, asked.name, asked.text)
            .iter()
            .map(ToString::to_string)
            .collect(),
        Err(fault) => vec![fault.to_string()],
    };
    let faults = lines(&faults);
    let faults = faults.iter().map(String::as_str).collect();
    Ok(write_reply(
        reply,
        id,
        Status::Ok,
        &PolicyChecked { faults },
    )?)
}

/// Says whether a peer would be allowed something, and why.
fn explain(
    daemon: &Daemon,
    (id, params): (u32, Reader<'_>),
    reply: &mut [u8],
) -> Result<usize, NoAnswer> {
    let asked = Explain::decode_last(params)?;
    let peer = claimed(&asked.peer);
    let now = Daemon::now();
    let found = daemon
        .vault
        .explain(&peer, asked.operation, asked.key, now)?;
    let because = lines(&found.because);
    let explained = Explained {
        allowed: found.allowed,
        because: because.iter().map(String::as_str).collect(),
    };
    Ok(write_reply(reply, id, Status::Ok, &explained)?)
}

/// Says why a request was refused, and what the policy says of it now.
fn why(
    daemon: &Daemon,
    (id, params): (u32, Reader<'_>),
    reply: &mut [u8],
) -> Result<usize, NoAnswer> {
    let asked = Why::decode_last(params)?;
    let because = match daemon.refusals.find(asked.connection, asked.request) {
        None => Vec::new(),
        Some(refusal) => {
            let operation = refusal.operation.map_or("unknown", |known| known.as_str());
            let key = refusal.key.as_ref().map_or("no key", |key| key.as_str());
            let peer = &refusal.peer;
            let unit = peer.unit.as_deref().unwrap_or("no system unit");
            let mut because = vec![
                format!("{operation} on {key} was refused: {}", refusal.status),
                refusal.reason.clone(),
                format!(
                    "asked by uid {}, gid {}, pid {}, {unit}, cgroup {:?}",
                    peer.uid,
                    peer.gid,
                    peer.pid,
                    peer.cgroup.as_deref().unwrap_or("unknown"),
                ),
            ];
            if let (Some(operation), Some(key)) = (refusal.operation, &refusal.key) {
                let now = Daemon::now();
                let found = daemon.vault.explain(peer, operation, key.as_name(), now)?;
                let Explanation { because: told, .. } = found;
                because.extend(told.into_iter().map(|text| format!("now: {text}")));
            }
            because
        }
    };
    let because = lines(&because);
    let because = because.iter().map(String::as_str).collect();
    Ok(write_reply(reply, id, Status::Ok, &Reasons { because })?)
}

impl NoAnswer {
    /// What the administrator learns.
    pub(crate) fn status(&self) -> Status {
        match self {
            Self::Malformed(error) => nitride_protocol::refusal_of(error),
            Self::NotAnInquiry => Status::UnknownOperation,
            Self::TooLarge(_) => Status::TooLarge,
            Self::Vault(refusal) => refusal.status(),
        }
    }
}

/// A peer that is only spoken of. What is not said of it is what no account has, so that no rule
/// fits by accident; its messages are taken to come from itself.
fn claimed(claim: &PeerClaim<'_>) -> Peer {
    Peer {
        uid: claim.uid.unwrap_or(u32::MAX),
        gid: claim.gid.unwrap_or(u32::MAX),
        groups: Vec::new(),
        pid: 0,
        unit: claim.unit.map(str::to_owned),
        cgroup: claim.cgroup.map(str::to_owned),
        executable_digest: claim.executable_digest.copied(),
        per_message: true,
    }
}

/// As many, and each as long and on one line, as a reply takes.
fn lines(texts: &[String]) -> Vec<String> {
    texts
        .iter()
        .take(MAX_REASONS_LEN)
        .map(|text| {
            let mut line: String = text
                .chars()
                .map(|c| if c.is_control() { ' ' } else { c })
                .collect();
            while line.len() > MAX_REASON_LEN {
                line.pop();
            }
            line
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_becomes_a_line_that_a_reply_takes() {
        let texts = vec!["a\nb\0c".to_owned(), "ä".repeat(MAX_REASON_LEN)];
        let found = lines(&texts);
        assert_eq!(found[0], "a b c");
        assert_eq!(found[1].len(), MAX_REASON_LEN);
        let many = vec![String::new(); 100];
        assert_eq!(lines(&many).len(), MAX_REASONS_LEN);
    }

    #[test]
    fn what_is_not_said_of_a_peer_is_unknown() {
        let peer = claimed(&PeerClaim::default());
        assert_eq!((peer.uid, peer.gid, peer.unit), (u32::MAX, u32::MAX, None));
    }
}
