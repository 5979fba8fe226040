use super::shards::{BOUNDS_NS, Counted, Named};
use super::text::{Family, Text};
use super::{Metrics, NamedUse};
use crate::daemon::Daemon;
use nitride_protocol::Status;
use std::sync::atomic::Ordering;

/// All figures of this moment.
pub(super) fn exposition(daemon: &Daemon) -> String {
    let mut text = Text::default();
    text.family("vhsm_build", Family::Info, "The program.");
    let version = [("version", env!("CARGO_PKG_VERSION"))];
    text.sample("vhsm_build_info", &version, 1);
    let metrics = &daemon.watch.metrics;
    write_operations(&mut text, metrics);
    write_names(&mut text, metrics);
    write_serving(&mut text, daemon);
    write_vault(&mut text, daemon);
    write_rounds(&mut text, metrics);
    write_audit(&mut text, daemon);
    text.finish()
}

fn write_operations(text: &mut Text, metrics: &Metrics) {
    let operations: Vec<(Named, Counted)> = metrics.shards.collect().collect();
    let name = "vhsm_operations";
    text.family(
        name,
        Family::Counter,
        "Requests that were answered, by operation, type of the key that was used and outcome.",
    );
    for (named, counted) in &operations {
        let [operation, key_type] = labels(named);
        for (status, count) in Status::ALL.iter().zip(counted.statuses) {
            if count > 0 {
                let labels = [operation, key_type, ("outcome", status.as_str())];
                text.sample("vhsm_operations_total", &labels, count);
            }
        }
    }
    let name = "vhsm_operation_duration_seconds";
    text.family(
        name,
        Family::Histogram,
        "Time from a whole request to its reply, waiting for a round not counted.",
    );
    for (named, counted) in &operations {
        write_histogram(text, name, named, counted);
    }
}

fn labels(named: &Named) -> [(&'static str, &'static str); 2] {
    [("operation", named.operation), ("key_type", named.key_type)]
}

fn write_histogram(text: &mut Text, name: &str, named: &Named, counted: &Counted) {
    let [operation, key_type] = labels(named);
    let bounds = BOUNDS_NS.iter().map(|bound| seconds(*bound));
    let mut count = 0_u64;
    for (bound, more) in bounds.chain(["+Inf".to_owned()]).zip(counted.buckets) {
        count += more;
        let labels = [operation, key_type, ("le", bound.as_str())];
        text.sample(&format!("{name}_bucket"), &labels, count);
    }
    let labels = [operation, key_type];
    text.sample(&format!("{name}_count"), &labels, count);
    text.sample(&format!("{name}_sum"), &labels, seconds(counted.sum_ns));
}

/// Without a binary fraction in between, and always with a point: 5,000 is `0.000005`.
fn seconds(ns: u64) -> String {
    let text = format!("{}.{:09}", ns / 1_000_000_000, ns % 1_000_000_000);
    let short = text.trim_end_matches('0');
    if short.ends_with('.') {
        format!("{short}0")
    } else {
        short.to_owned()
    }
}

fn write_names(text: &mut Text, metrics: &Metrics) {
    let Some(names) = metrics.names() else {
        return;
    };
    let help = "Uses, by key, operation and outcome; the key is empty where it is not told apart.";
    text.family("vhsm_key_uses", Family::Counter, help);
    for (named, count) in names.iter() {
        let NamedUse {
            key,
            operation,
            outcome,
        } = named;
        let labels = [
            ("key", key.as_str()),
            ("operation", operation),
            ("outcome", outcome),
        ];
        text.sample("vhsm_key_uses_total", &labels, count);
    }
}

fn write_serving(text: &mut Text, daemon: &Daemon) {
    let connections = daemon.quota.connections();
    text.gauge(
        "vhsm_connections",
        "Connections of applications and administrators.",
        connections,
    );
    let waiting = daemon.waiting.len();
    text.gauge(
        "vhsm_waiting_requests",
        "Requests that wait for a round.",
        waiting,
    );
    let generation = daemon.generation();
    text.gauge(
        "vhsm_policy_generation",
        "How often a policy was taken.",
        generation,
    );
    let failed = u8::from(daemon.last_reload_failed());
    text.gauge(
        "vhsm_policy_reload_failed",
        "1: the last reload was refused.",
        failed,
    );
    let agent = u8::from(daemon.agent_is_connected());
    text.gauge(
        "vhsm_agent_connected",
        "1: nitride-agent is connected.",
        agent,
    );
    let warnings = daemon.warnings().len();
    text.gauge(
        "vhsm_warnings",
        "What weakens a guarantee here; see the status.",
        warnings,
    );
}

fn write_vault(text: &mut Text, daemon: &Daemon) {
    let figures = daemon.vault.figures(Daemon::now());
    if let Some(keys) = figures.keys {
        text.gauge("vhsm_keys", "Keys in the vault.", keys);
    }
    let usage = figures.usage;
    text.family(
        "vhsm_arena_used_bytes",
        Family::Gauge,
        "Bytes of locked memory in use.",
    );
    text.sample(
        "vhsm_arena_used_bytes",
        &[("arena", "records")],
        usage.records_used,
    );
    text.sample(
        "vhsm_arena_used_bytes",
        &[("arena", "heap")],
        usage.heap_used,
    );
    text.family(
        "vhsm_arena_size_bytes",
        Family::Gauge,
        "Bytes of locked memory at most.",
    );
    text.sample(
        "vhsm_arena_size_bytes",
        &[("arena", "records")],
        usage.records_size,
    );
    text.sample(
        "vhsm_arena_size_bytes",
        &[("arena", "heap")],
        usage.heap_size,
    );
    let kept = figures.expanded_len;
    text.gauge("vhsm_cache_bytes", "Bytes of keys that are expanded.", kept);
    let budget = figures.expanded_max_len;
    text.gauge(
        "vhsm_cache_size_bytes",
        "Bytes that expanded keys may take.",
        budget,
    );
    text.family(
        "vhsm_gate_open",
        Family::Gauge,
        "1: the machine counts as approved.",
    );
    for (gate, age_ms) in &figures.gates {
        text.sample(
            "vhsm_gate_open",
            &[("gate", gate)],
            u8::from(age_ms.is_some()),
        );
    }
    let help = "Age of the approval that counts.";
    text.family("vhsm_gate_age_seconds", Family::Gauge, help);
    for (gate, age_ms) in &figures.gates {
        if let Some(age_ms) = age_ms {
            let age = seconds(age_ms.saturating_mul(1_000_000));
            text.sample("vhsm_gate_age_seconds", &[("gate", gate)], age);
        }
    }
}

fn write_rounds(text: &mut Text, metrics: &Metrics) {
    let orders = metrics.orders.load(Ordering::Relaxed);
    text.counter(
        "vhsm_rounds_ordered",
        "Rounds that the agent was given.",
        orders,
    );
    let help = "Keys and gates that rounds were for, by how that ended.";
    text.family("vhsm_round_wants_settled", Family::Counter, help);
    for (status, count) in Status::ALL.iter().zip(&metrics.settled) {
        let count = count.load(Ordering::Relaxed);
        if count > 0 {
            let labels = [("outcome", status.as_str())];
            text.sample("vhsm_round_wants_settled_total", &labels, count);
        }
    }
}

fn write_audit(text: &mut Text, daemon: &Daemon) {
    let figures = daemon.watch.audit.figures();
    let help = "Events of the audit, written or not, by kind.";
    text.family("vhsm_audit_events", Family::Counter, help);
    for (kind, count) in figures.of_kind() {
        text.sample("vhsm_audit_events_total", &[("kind", kind)], count);
    }
    let lost = figures.lost();
    text.counter("vhsm_audit_lost", "Events that could not be written.", lost);
    let sequence = figures.sequence;
    text.gauge(
        "vhsm_audit_sequence",
        "Number of the newest entry.",
        sequence,
    );
    let room = figures.room_len;
    text.gauge(
        "vhsm_audit_room_bytes",
        "Bytes set aside for entries to come.",
        room,
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_exact() {
        assert_eq!(seconds(0), "0.0");
        assert_eq!(seconds(5_000), "0.000005");
        assert_eq!(seconds(10_000_000_000), "10.0");
        assert_eq!(seconds(1_500_000_001), "1.500000001");
    }
}
