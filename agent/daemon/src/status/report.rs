use super::show::misleads;
use crate::record::{Record, Trouble};
use crate::service::{Service, Services};
use nitride_courier::EndpointHealth;
use serde::{Deserialize, Serialize};

/// All that `nitride-agent status` knows. Times are milliseconds before it was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Report {
    pub(crate) agent: Agent,
    /// What weakens a promise, or is not as it was asked for.
    pub(crate) warnings: Vec<String>,
    pub(crate) services: Vec<ServiceReport>,
}

/// The agent itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Agent {
    pub(crate) version: String,
    pub(crate) pid: u32,
    pub(crate) up_ms: u64,
    pub(crate) vhsmd_socket: String,
    pub(crate) is_connected: bool,
    /// Since when it is so.
    pub(crate) for_ms: u64,
    pub(crate) rounds: u64,
    pub(crate) rounds_under_way: usize,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ServiceReport {
    pub(crate) name: String,
    /// Whether the agent reads what it gives.
    pub(crate) plaintext_courier: bool,
    pub(crate) rounds: u64,
    pub(crate) rounds_failed: u64,
    pub(crate) rounds_under_way: usize,
    /// Why vhsmd ordered them: somebody waited, a key is to be there beforehand, a lease ends.
    pub(crate) ordered_for_requests: u64,
    pub(crate) ordered_for_prefetch: u64,
    pub(crate) ordered_for_leases: u64,
    pub(crate) last_success_ms_ago: Option<u64>,
    pub(crate) last_error: Option<ErrorReport>,
    /// In how many milliseconds an endpoint may be asked; 0 is with the next round.
    pub(crate) next_try_in_ms: u64,
    pub(crate) endpoints: Vec<EndpointReport>,
    pub(crate) resources: Vec<ResourceReport>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ErrorReport {
    pub(crate) ms_ago: u64,
    /// "unreachable", "refused", "not-found", "protocol", "timed-out"; "vault" where vhsmd did not
    /// take what came. None of an endpoint.
    pub(crate) class: Option<String>,
    pub(crate) resource: Option<String>,
    pub(crate) reason: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct EndpointReport {
    pub(crate) url: String,
    pub(crate) priority: u32,
    pub(crate) is_healthy: bool,
    pub(crate) shunned_for_ms: u64,
    pub(crate) failures: u32,
    pub(crate) last_answer_ms_ago: Option<u64>,
    pub(crate) last_error: Option<ErrorReport>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ResourceReport {
    pub(crate) path: String,
    pub(crate) ms_ago: u64,
    /// The class of the error; none where vhsmd took it.
    pub(crate) error: Option<String>,
}

impl Report {
    /// How everything is at `now_ms`.
    pub(crate) fn of(
        agent: Agent,
        services: &Services,
        reload_fault: Option<&str>,
        now_ms: u64,
    ) -> Self {
        let reload = reload_fault
            .map(|fault| format!("the last reload failed, the old configuration stays: {fault}"));
        let warnings = services.warnings().into_iter().chain(reload);
        Self {
            agent,
            warnings: warnings.collect(),
            services: services
                .each()
                .map(|(name, service)| ServiceReport::of(name, service, now_ms))
                .collect(),
        }
    }

    /// With every character escaped that a terminal would do something with.
    pub(crate) fn to_json(&self) -> String {
        let written = serde_json::to_string(self).unwrap_or_default();
        let mut json = String::with_capacity(written.len());
        // Outside of its strings JSON has none of them, and each is one UTF-16 unit.
        for c in written.chars() {
            match misleads(c) {
                true => json.push_str(&format!("\\u{:04x}", u32::from(c))),
                false => json.push(c),
            }
        }
        json
    }

    pub(crate) fn from_json(text: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(text)
    }
}

impl ServiceReport {
    fn of(name: &str, service: &Service, now_ms: u64) -> Self {
        let endpoints: Vec<_> = {
            let health = service.endpoints();
            let urls = service.transports.iter().map(|transport| transport.url());
            urls.zip(health.health(now_ms))
                .map(|(url, health)| EndpointReport::of(url, &health, now_ms))
                .collect()
        };
        let waits = endpoints.iter().map(|endpoint| endpoint.shunned_for_ms);
        let next_try_in_ms = waits.min().unwrap_or(0);
        let record: &Record = &service.record();
        Self {
            name: name.to_owned(),
            plaintext_courier: service.openbao.is_some(),
            rounds: record.rounds,
            rounds_failed: record.failed,
            rounds_under_way: record.under_way,
            ordered_for_requests: record.causes.request,
            ordered_for_prefetch: record.causes.prefetch,
            ordered_for_leases: record.causes.renewal,
            last_success_ms_ago: record.succeeded_ms.map(|at| now_ms.saturating_sub(at)),
            last_error: record
                .trouble
                .as_ref()
                .map(|trouble| ErrorReport::of(trouble, now_ms)),
            next_try_in_ms,
            endpoints,
            resources: record
                .resources()
                .map(|(path, fetched)| ResourceReport {
                    path: path.to_owned(),
                    ms_ago: now_ms.saturating_sub(fetched.at_ms),
                    error: fetched.trouble.map(str::to_owned),
                })
                .collect(),
        }
    }
}

impl ErrorReport {
    fn of(trouble: &Trouble, now_ms: u64) -> Self {
        Self {
            ms_ago: now_ms.saturating_sub(trouble.at_ms),
            class: Some(trouble.class.to_owned()),
            resource: trouble.resource.clone(),
            reason: trouble.reason.clone(),
        }
    }
}

impl EndpointReport {
    fn of(url: &str, health: &EndpointHealth<'_>, now_ms: u64) -> Self {
        Self {
            url: url.to_owned(),
            priority: health.priority,
            is_healthy: health.shunned_for_ms == 0,
            shunned_for_ms: health.shunned_for_ms,
            failures: health.failures,
            last_answer_ms_ago: health.answered_ms.map(|at| now_ms.saturating_sub(at)),
            last_error: health.failed.map(|(at_ms, reason)| ErrorReport {
                ms_ago: now_ms.saturating_sub(at_ms),
                class: None,
                resource: None,
                reason: reason.to_owned(),
            }),
        }
    }
}
