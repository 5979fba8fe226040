//! Replies as text for people and JSON for programs.

use crate::answer::Answer;
use base64ct::{Base64, Encoding};
use nitride_client::{
    Attested, AuditHead, Description, ListEntry, PublicKey, SealStatus, SignerStatus, VaultStatus,
};
use nitride_protocol::Operation;
use serde_json::json;

/// The version that a key got.
pub(crate) fn version(key: &str, version: u32) -> Answer {
    Answer::Text {
        text: format!("{key} version {version}\n"),
        json: json!({ "key": key, "version": version }),
    }
}

/// That something is done, or genuine.
pub(crate) fn done(word: &'static str) -> Answer {
    Answer::Text {
        text: format!("{word}\n"),
        json: json!({ word: true }),
    }
}

pub(crate) fn reloaded(policy_generation: u64) -> Answer {
    Answer::Text {
        text: format!("policy generation {policy_generation}\n"),
        json: json!({ "policy_generation": policy_generation }),
    }
}

/// A public key as PEM (RFC 7468).
pub(crate) fn pem(key: &PublicKey) -> Answer {
    let body = Base64::encode_string(&key.spki);
    let mut text = String::from("-----BEGIN PUBLIC KEY-----\n");
    for (at, c) in body.chars().enumerate() {
        if at > 0 && at % 64 == 0 {
            text.push('\n');
        }
        text.push(c);
    }
    text.push_str("\n-----END PUBLIC KEY-----\n");
    Answer::Text {
        text,
        json: json!({ "version": key.version, "spki": body }),
    }
}

pub(crate) fn description(key: &str, found: &Description) -> Answer {
    let operations: Vec<&str> = found.operations.iter().map(Operation::as_str).collect();
    let mut rows = vec![
        ("key", key.to_owned()),
        ("type", found.key_type.to_string()),
        ("state", found.state.to_string()),
        ("origin", found.origin.to_string()),
        ("operations", operations.join(" ")),
    ];
    if !found.wrappable_by.is_empty() {
        let names: Vec<&str> = found
            .wrappable_by
            .iter()
            .map(|name| name.as_str())
            .collect();
        rows.push(("wrappable by", names.join(" ")));
    }
    if let Some(max) = found.max_uses {
        let left = found.uses_left.unwrap_or(0);
        rows.push(("uses", format!("{left} of {max} left")));
    }
    for (what, secs) in [
        ("not before", found.not_before),
        ("not after", found.not_after),
    ] {
        if let Some(secs) = secs {
            rows.push((what, format!("{secs} s since 1970")));
        }
    }
    if found.min_version > 1 {
        rows.push(("min version", found.min_version.to_string()));
    }
    if let Some(uri) = &found.origin_uri {
        rows.push(("source", uri.clone()));
    }
    if let Some(gate) = &found.gate {
        rows.push(("gate", gate.clone()));
    }
    if found.created_secs > 0 {
        rows.push((
            "created",
            format!("{} seconds after 1970", found.created_secs),
        ));
    }
    if let Some(secs) = found.lease_secs_left {
        rows.push(("lease", format!("{secs} seconds left")));
    }
    let versions = found.versions.iter().map(|one| {
        let number = one.version;
        (
            "version",
            format!(
                "{number} {}, used {} times{}",
                one.state,
                one.uses,
                courier_mark(one.plaintext_courier)
            ),
        )
    });
    rows.extend(versions);
    let versions: Vec<serde_json::Value> = found
        .versions
        .iter()
        .map(|one| {
            json!({
                "version": one.version,
                "state": one.state.as_str(),
                "uses": one.uses,
                "plaintext_courier": one.plaintext_courier,
            })
        })
        .collect();
    Answer::Text {
        text: table(&rows),
        json: json!({
            "key": key,
            "type": found.key_type.as_str(),
            "state": found.state.as_str(),
            "origin": found.origin.as_str(),
            "origin_uri": found.origin_uri,
            "operations": operations,
            "gate": found.gate,
            "created_secs": found.created_secs,
            "lease_secs_left": found.lease_secs_left,
            "min_version": found.min_version,
            "max_uses": found.max_uses,
            "uses_left": found.uses_left,
            "not_before": found.not_before,
            "not_after": found.not_after,
            "wrappable_by": found.wrappable_by.iter().map(|name| name.as_str()).collect::<Vec<_>>(),
            "versions": versions,
        }),
    }
}

/// Evidence of the TEE.
pub(crate) fn evidence(found: &Attested) -> Answer {
    let report_data = hex(&found.report_data);
    let mut text = table(&[
        ("tee", found.tee.clone()),
        ("report data", report_data.clone()),
        ("evidence", found.primary_evidence.clone()),
    ]);
    if !found.additional_evidence.is_empty() {
        text.push_str(&format!("additional  {}\n", found.additional_evidence));
    }
    let head = found.audit_head.as_ref().map(head_text);
    if let Some(head) = &head {
        text.push_str(&format!("audit head  {head}\n"));
    }
    let json = json!({
        "tee": found.tee,
        "report_data": report_data,
        "primary_evidence": found.primary_evidence,
        "additional_evidence": found.additional_evidence,
        "audit_head": head,
    });
    Answer::Text { text, json }
}

pub(crate) fn audit_head(head: &AuditHead) -> Answer {
    let digest = hex(&head.digest);
    Answer::Text {
        text: format!("{}\n", head_text(head)),
        json: json!({ "sequence": head.sequence, "digest": digest }),
    }
}

/// As `audit verify --head` takes it.
fn head_text(head: &AuditHead) -> String {
    format!("{}:{}", head.sequence, hex(&head.digest))
}

/// A decision, if there was one, and why.
pub(crate) fn reasons(allowed: Option<bool>, because: &[String]) -> Answer {
    let word = allowed.map(|allowed| if allowed { "allowed" } else { "denied" });
    let mut text = word.map(|word| format!("{word}\n")).unwrap_or_default();
    // vhsmd says the decision first, in the same word.
    for reason in because
        .iter()
        .filter(|reason| word != Some(reason.as_str()))
    {
        text.push_str(&format!("{reason}\n"));
    }
    if text.is_empty() {
        text.push_str("nothing is known of it any more\n");
    }
    let json = match allowed {
        Some(allowed) => json!({ "allowed": allowed, "because": because }),
        None => json!({ "because": because }),
    };
    Answer::Text { text, json }
}

pub(crate) fn phase_ended(kept: bool) -> Answer {
    let keys = if kept { "kept" } else { "ended" };
    Answer::Text {
        text: format!("phase ended, keys {keys}\n"),
        json: json!({ "keys-kept": kept }),
    }
}

pub(crate) fn restored(keys: u64) -> Answer {
    Answer::Text {
        text: format!("{keys} keys\n"),
        json: json!({ "keys": keys }),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn listing(entries: &[ListEntry]) -> Answer {
    let widest = entries
        .iter()
        .map(|entry| entry.key.as_str().len())
        .max()
        .unwrap_or(0);
    let mut text = String::new();
    for entry in entries {
        let (key, key_type, state) = (entry.key.as_str(), entry.key_type, entry.state);
        let version = entry.newest_version;
        text.push_str(&format!(
            "{key:widest$}  {key_type:15}  {state:9}  version {version}{}\n",
            courier_mark(entry.plaintext_courier)
        ));
    }
    let keys: Vec<serde_json::Value> = entries
        .iter()
        .map(|entry| {
            json!({
                "key": entry.key.as_str(),
                "type": entry.key_type.as_str(),
                "state": entry.state.as_str(),
                "newest_version": entry.newest_version,
                "plaintext_courier": entry.plaintext_courier,
            })
        })
        .collect();
    Answer::Text {
        text,
        json: json!({ "keys": keys }),
    }
}

/// What the courier is not blind for says so wherever it is shown.
fn courier_mark(is_plaintext: bool) -> &'static str {
    match is_plaintext {
        true => ", PLAINTEXT-COURIER: the agent has read it",
        false => "",
    }
}

pub(crate) fn status(found: &VaultStatus) -> Answer {
    let digest: String = found
        .policy_digest
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let agent = if found.agent_connected {
        "connected"
    } else {
        "absent"
    };
    let of = |used: u64, size: u64| format!("{used} of {size} bytes");
    let mut rows = vec![
        ("server", found.server.clone()),
        ("arenas", found.arena_kind.clone()),
        ("records", of(found.records_used, found.records_size)),
        ("heap", of(found.heap_used, found.heap_size)),
        ("keys", found.keys.to_string()),
        ("connections", found.connections.to_string()),
        ("waiting", found.parked.to_string()),
        ("agent", agent.to_owned()),
        (
            "policy",
            format!("generation {} sha256 {digest}", found.policy_generation),
        ),
        ("evidence", found.tee.clone()),
    ];
    if let Some(seal) = &found.seal {
        rows.push(("seal", sealed(seal)));
    }
    for gate in &found.gates {
        let state = match gate.age_ms {
            Some(age_ms) => format!("{} approved {} seconds ago", gate.gate, age_ms / 1000),
            None => format!("{} closed", gate.gate),
        };
        rows.push(("gate", state));
    }
    let signers = found.signers.as_deref();
    for list in signers.unwrap_or_default() {
        let (serial, keys) = (list.serial, list.keys);
        rows.push((
            "signer",
            format!("{} serial {serial}, {keys} keys", list.signer),
        ));
    }
    rows.extend(
        found
            .warnings
            .iter()
            .map(|warning| ("warning", warning.clone())),
    );
    let list = |list: &SignerStatus| json!({ "signer": list.signer, "serial": list.serial, "keys": list.keys });
    let signers = signers.map(|lists| lists.iter().map(list).collect::<Vec<_>>());
    let gates: Vec<serde_json::Value> = found
        .gates
        .iter()
        .map(|gate| json!({ "gate": gate.gate, "age_ms": gate.age_ms }))
        .collect();
    Answer::Text {
        text: table(&rows),
        json: json!({
            "server": found.server,
            "arena_kind": found.arena_kind,
            "records_used": found.records_used,
            "records_size": found.records_size,
            "heap_used": found.heap_used,
            "heap_size": found.heap_size,
            "keys": found.keys,
            "connections": found.connections,
            "parked": found.parked,
            "agent_connected": found.agent_connected,
            "policy_generation": found.policy_generation,
            "policy_digest": digest,
            "tee": found.tee,
            "gates": gates,
            "signers": signers,
            "warnings": found.warnings,
            "seal": found.seal.as_ref().map(|seal| json!({
                "state": seal.state,
                "platform": seal.platform,
                "generation": seal.generation,
                "keys": seal.keys,
                "left_out": seal.left_out,
                "because": seal.because,
            })),
        }),
    }
}

fn sealed(seal: &SealStatus) -> String {
    let counted = match seal.generation {
        0 => "without a counter".to_owned(),
        generation => format!("generation {generation}"),
    };
    let mut text = format!(
        "{} by {}, {counted}, {} keys",
        seal.state, seal.platform, seal.keys
    );
    for more in [&seal.left_out, &seal.because].into_iter().flatten() {
        text.push_str("; ");
        text.push_str(more);
    }
    text
}

fn table(rows: &[(&str, String)]) -> String {
    let widest = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    rows.iter()
        .map(|(name, value)| format!("{name:widest$}  {value}\n"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use nitride_client::KeyVersion;
    use nitride_protocol::{KeyState, KeyType, OperationSet, Origin};

    #[test]
    fn a_public_key_is_wrapped_pem() {
        let key = PublicKey {
            version: 1,
            spki: vec![0; 91],
        };
        let Answer::Text { text, json } = pem(&key) else {
            panic!("not text");
        };
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 4);
        assert_eq!((lines[1].len(), lines[2].len()), (64, 60));
        assert_eq!(json["version"], 1);
        assert_eq!(json["spki"].as_str().unwrap().len(), 124);
    }

    #[test]
    fn a_description_says_the_same_in_both_forms() {
        let found = Description {
            key_type: KeyType::Secret,
            state: KeyState::Enabled,
            origin: Origin::Provisioned,
            origin_uri: Some("kbs:///disk/data/luks".into()),
            operations: OperationSet::of(&[Operation::Release, Operation::Describe]),
            gate: None,
            created_secs: 0,
            lease_secs_left: Some(60),
            min_version: 1,
            max_uses: None,
            uses_left: None,
            not_before: None,
            not_after: None,
            wrappable_by: Vec::new(),
            versions: vec![KeyVersion {
                version: 2,
                state: KeyState::Enabled,
                uses: 7,
                plaintext_courier: true,
            }],
        };
        let Answer::Text { text, json } = description("disk/root", &found) else {
            panic!("not text");
        };
        assert!(text.contains("operations  describe release\n"), "{text}");
        assert!(
            text.contains("2 enabled, used 7 times, PLAINTEXT-COURIER: the agent has read it\n"),
            "{text}"
        );
        assert!(!text.contains("created") && !text.contains("gate"));
        assert_eq!(json["operations"], json!(["describe", "release"]));
        assert_eq!(json["gate"], json!(null));
        assert_eq!(json["versions"][0]["uses"], 7);
        assert_eq!(json["versions"][0]["plaintext_courier"], true);
    }
}
