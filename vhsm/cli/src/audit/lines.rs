use nitride_protocol::audit::AuditEntry;
use nitride_protocol::{KeyName, Operation};
use serde_json::{Value, json};

/// An entry on one line, for people.
pub(super) fn line(entry: &AuditEntry<'_>) -> String {
    let mut line = format!(
        "{} {} {}",
        entry.sequence,
        entry.wall_secs,
        entry.kind.as_str()
    );
    let mut add = |name: &str, text: Option<String>| {
        if let Some(text) = text {
            line.push_str(&format!(" {name}={text}"));
        }
    };
    add("uid", entry.peer.map(|peer| peer.uid.to_string()));
    add("pid", entry.peer.map(|peer| peer.pid.to_string()));
    let unit = entry.peer.and_then(|peer| peer.unit);
    add("unit", unit.map(|unit| format!("{unit:?}")));
    add("operation", entry.operation.map(|verb| verb.to_string()));
    add("key", entry.key.map(|key| key.as_str().to_owned()));
    add("version", entry.version.map(|version| version.to_string()));
    add("status", Some(entry.status.to_string()));
    let request = entry
        .request
        .map(|it| format!("{}/{}", it.connection, it.request));
    add("request", request);
    add("count", (entry.count != 1).then(|| entry.count.to_string()));
    let reason = (!entry.reason.is_empty()).then(|| format!("{:?}", entry.reason));
    add("reason", reason);
    line.push('\n');
    line
}

/// The same for programs.
pub(super) fn value(entry: &AuditEntry<'_>) -> Value {
    json!({
        "sequence": entry.sequence,
        "boot_ms": entry.boot_ms,
        "wall_secs": entry.wall_secs,
        "kind": entry.kind.as_str(),
        "uid": entry.peer.map(|peer| peer.uid),
        "pid": entry.peer.map(|peer| peer.pid),
        "unit": entry.peer.and_then(|peer| peer.unit),
        "operation": entry.operation.map(Operation::as_str),
        "key": entry.key.map(KeyName::as_str),
        "version": entry.version,
        "status": entry.status.as_str(),
        "connection": entry.request.map(|request| request.connection),
        "request": entry.request.map(|request| request.request),
        "count": entry.count,
        "reason": entry.reason,
    })
}
