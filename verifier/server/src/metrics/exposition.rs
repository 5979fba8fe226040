//! All figures of a moment.

use super::text::Text;
use super::{BOUNDS_US, Metrics, locked};
use crate::audit::entry::hex;
use crate::service::Service;
use std::sync::atomic::Ordering;

/// The text that a scraper gets.
pub(crate) fn exposition(service: &Service) -> String {
    let mut text = Text::default();
    let name = "nitride_provisiond_build";
    text.family(name, "info", "The program.");
    let version = [("version", env!("CARGO_PKG_VERSION"))];
    text.sample("nitride_provisiond_build_info", &version, 1);
    let metrics = &service.watch.metrics;
    write_requests(&mut text, metrics);
    write_decisions(&mut text, metrics);
    write_state(&mut text, service);
    write_audit(&mut text, service);
    write_webhooks(&mut text, service);
    text.finish()
}

fn write_requests(text: &mut Text, metrics: &Metrics) {
    let requests = locked(&metrics.requests).clone();
    let name = "nitride_provisiond_requests";
    let help = "Requests that were answered, by what was asked and by outcome.";
    text.family(name, "counter", help);
    for (asked, counted) in &requests {
        for (outcome, count) in &counted.outcomes {
            let labels = [("asked", *asked), ("outcome", outcome)];
            text.sample("nitride_provisiond_requests_total", &labels, count);
        }
    }
    let name = "nitride_provisiond_request_duration_seconds";
    let help = "Time from a request's head to its answer.";
    text.family(name, "histogram", help);
    for (asked, counted) in &requests {
        let asked = ("asked", *asked);
        let bounds = BOUNDS_US.iter().map(|bound| seconds(*bound));
        let mut count = 0_u64;
        for (bound, more) in bounds.chain(["+Inf".to_owned()]).zip(counted.buckets) {
            count += more;
            let labels = [asked, ("le", bound.as_str())];
            text.sample(&format!("{name}_bucket"), &labels, count);
        }
        text.sample(&format!("{name}_count"), &[asked], count);
        text.sample(&format!("{name}_sum"), &[asked], seconds(counted.sum_us));
    }
}

fn write_decisions(text: &mut Text, metrics: &Metrics) {
    let help = "Verdicts on evidence, one for each submodule.";
    text.family("nitride_provisiond_verdicts", "counter", help);
    for (attested, count) in locked(&metrics.attested).iter() {
        let simulated = if attested.simulated { "true" } else { "false" };
        let labels = [
            ("tee", attested.tee),
            ("status", attested.status),
            ("simulated", simulated),
        ];
        text.sample("nitride_provisiond_verdicts_total", &labels, count);
    }
    let help = "Resources that left, each encrypted to a TEE's key.";
    let released = metrics.released.load(Ordering::Relaxed);
    text.counter("nitride_provisiond_releases", help, released);
    let help =
        "Heads of vaults' audits that were compared with those before them, by what was found.";
    text.family("nitride_provisiond_witnessed", "counter", help);
    for (found, count) in locked(&metrics.witnessed).iter() {
        let labels = [("found", *found)];
        text.sample("nitride_provisiond_witnessed_total", &labels, count);
    }
    let help = "Reloads of policies and certificates, by whether they were taken.";
    text.family("nitride_provisiond_reloads", "counter", help);
    for (outcome, counter) in [
        ("ok", &metrics.reloads),
        ("refused", &metrics.failed_reloads),
    ] {
        let count = counter.load(Ordering::Relaxed);
        text.sample(
            "nitride_provisiond_reloads_total",
            &[("outcome", outcome)],
            count,
        );
    }
}

fn write_state(text: &mut Text, service: &Service) {
    let current = service.current();
    let help = "What holds: the digest of all policies.";
    text.family("nitride_provisiond_policies", "info", help);
    if let Some(digest) = current.digest() {
        let digest = hex(&digest);
        text.sample(
            "nitride_provisiond_policies_info",
            &[("sha256", &digest)],
            1,
        );
    }
    if let Some(policies) = &service.policy_watch {
        let set = policies.in_force().map_or(0, |set| set.serial);
        let help = "The number of the store's set of policies that is in force; 0 is none.";
        text.gauge("nitride_provisiond_policy_set", help, set);
        text.gauge(
            "nitride_provisiond_policies_behind",
            "1 while the store's newest set of policies is not in force here.",
            u8::from(policies.is_behind()),
        );
    }
    let judgement = current.judgement.as_deref();
    let unusable = judgement.map_or(0, |judgement| judgement.policies.faults().count());
    let help = "Tenants of whom everything is denied, since their policies cannot be used.";
    text.gauge("nitride_provisiond_policies_unusable", help, unusable);
    let state = service.watch.health.state();
    text.gauge(
        "nitride_provisiond_reload_refused",
        "1 while the newest reload is one that changed nothing.",
        u8::from(state.refused_reload.is_some()),
    );
    text.gauge(
        "nitride_provisiond_ready",
        "1 while this replica should be sent requests.",
        u8::from(state.not_ready.is_empty()),
    );
    text.gauge(
        "nitride_provisiond_certificate_refused",
        "1 while the files have another TLS certificate, which cannot be used.",
        u8::from(state.refused_renewal.is_some()),
    );
    if let Some(ends_secs) = current.certificate_ends_secs() {
        let name = "nitride_provisiond_certificate_not_after_timestamp_seconds";
        text.gauge(name, "When the TLS certificate ends.", ends_secs);
    }
}

fn write_audit(text: &mut Text, service: &Service) {
    let audit = &service.watch.audit;
    let Some(head) = audit.head() else {
        return;
    };
    text.gauge(
        "nitride_provisiond_audit_sequence",
        "The number of the audit's newest entry.",
        head.sequence,
    );
    let help = "Entries of the audit that could not be written.";
    text.counter("nitride_provisiond_audit_lost", help, audit.lost());
}

fn write_webhooks(text: &mut Text, service: &Service) {
    let name = "nitride_provisiond_webhook_notices";
    text.family(
        name,
        "counter",
        "Notices of each webhook, by what became of them.",
    );
    for (webhook, figures) in service.watch.webhooks.figures() {
        for (outcome, count) in [
            ("delivered", figures.delivered),
            ("dropped", figures.dropped),
            ("expired", figures.expired),
        ] {
            let labels = [("webhook", webhook), ("outcome", outcome)];
            text.sample("nitride_provisiond_webhook_notices_total", &labels, count);
        }
    }
    let name = "nitride_provisiond_webhook_failures";
    text.family(name, "counter", "Attempts to deliver a notice that failed.");
    for (webhook, figures) in service.watch.webhooks.figures() {
        let labels = [("webhook", webhook)];
        text.sample(
            "nitride_provisiond_webhook_failures_total",
            &labels,
            figures.failures,
        );
    }
    let name = "nitride_provisiond_webhook_waiting";
    text.family(name, "gauge", "Notices that are still to be delivered.");
    for (webhook, figures) in service.watch.webhooks.figures() {
        text.sample(name, &[("webhook", webhook)], figures.waiting);
    }
}

/// Without a binary fraction in between, and always with a point: 250 is `0.00025`.
fn seconds(us: u64) -> String {
    let text = format!("{}.{:06}", us / 1_000_000, us % 1_000_000);
    let short = text.trim_end_matches('0');
    match short.ends_with('.') {
        true => format!("{short}0"),
        false => short.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn seconds_are_written_as_they_are() {
        let texts = [0, 250, 1_000_000, 16_500_000].map(seconds);
        assert_eq!(texts, ["0.0", "0.00025", "1.0", "16.5"]);
    }

    #[test]
    fn a_request_is_in_every_bucket_from_its_own_on() {
        let metrics = Metrics::default();
        metrics.count_request("resource", "ok", Duration::from_micros(250));
        metrics.count_request("resource", "PolicyDeny", Duration::from_micros(251));
        metrics.count_request("resource", "ok", Duration::from_secs(60));
        let mut text = Text::default();
        write_requests(&mut text, &metrics);
        let text = text.finish();
        for line in [
            "nitride_provisiond_requests_total{asked=\"resource\",outcome=\"ok\"} 2",
            "_bucket{asked=\"resource\",le=\"0.00025\"} 1",
            "_bucket{asked=\"resource\",le=\"0.0005\"} 2",
            "_bucket{asked=\"resource\",le=\"16.0\"} 2",
            "_bucket{asked=\"resource\",le=\"+Inf\"} 3",
            "_sum{asked=\"resource\"} 60.000501",
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
    }
}
