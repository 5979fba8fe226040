//! The services that this agent knows, as configured.

use crate::config::{Config, OpenBao};
use crate::record::{Record, UnderWay};
use crate::tls::TlsError;
use crate::transport::Transport;
use nitride_courier::{Backoff, Endpoints};
use nitride_protocol::agent::RoundCause;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use thiserror::Error;

/// Why a configured service cannot be used.
#[derive(Debug, Error)]
#[error("cannot set up the service {name}")]
pub(crate) struct ServiceError {
    name: String,
    source: TlsError,
}

/// One service: how to reach it, and how each endpoint has been doing.
#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) transports: Vec<Transport>,
    /// What is read here, where this is no KBS.
    pub(crate) openbao: Option<OpenBao>,
    endpoints: Mutex<Endpoints>,
    record: Mutex<Record>,
}

/// All of them by their names. A reload makes new ones; rounds under way keep those they have.
#[derive(Debug)]
pub(crate) struct Services {
    by_name: BTreeMap<String, Arc<Service>>,
    plain: bool,
}

impl Service {
    /// The endpoints' health, shared by the service's rounds. Held for a step, never across I/O.
    pub(crate) fn endpoints(&self) -> MutexGuard<'_, Endpoints> {
        // A step does not panic; and if one did, health is only a preference.
        self.endpoints
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a round in the record.
    pub(crate) fn under_way(&self, cause: Option<RoundCause>) -> UnderWay<'_> {
        UnderWay::begin(&self.record, cause)
    }

    /// What came of the service's rounds. Held for a line, never across I/O.
    pub(crate) fn record(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Services {
    /// Reads the certificates that the configuration names.
    pub(crate) fn new(config: &Config) -> Result<Self, ServiceError> {
        let mut by_name = BTreeMap::new();
        for service in &config.services {
            let named = |source| ServiceError {
                name: service.name.clone(),
                source,
            };
            let transports = Transport::of_service(service).map_err(named)?;
            let priorities: Vec<u32> = service.endpoints.iter().map(|e| e.priority).collect();
            let timeout_ms = u64::try_from(service.request_timeout.as_millis()).unwrap_or(u64::MAX);
            let endpoints = Endpoints::new(&priorities, Backoff::default(), timeout_ms);
            let built = Service {
                transports,
                openbao: service.openbao.clone(),
                endpoints: Mutex::new(endpoints),
                record: Mutex::default(),
            };
            by_name.insert(service.name.clone(), Arc::new(built));
        }
        let endpoints = config.services.iter().flat_map(|s| &s.endpoints);
        let plain = endpoints.filter(|endpoint| endpoint.plain).count() > 0;
        Ok(Self { by_name, plain })
    }

    pub(crate) fn named(&self, name: &str) -> Option<Arc<Service>> {
        self.by_name.get(name).cloned()
    }

    /// All of them, by their names.
    pub(crate) fn each(&self) -> impl Iterator<Item = (&str, &Service)> {
        let each = self.by_name.iter();
        each.map(|(name, service)| (name.as_str(), service.as_ref()))
    }

    /// What of the configuration weakens a promise, called what it is.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let plain = "PLAIN HTTP is configured: it is neither secret nor authentic";
        let plain = self.plain.then(|| plain.to_owned());
        let read = self.read_here().map(|name| {
            format!(
                "PLAINTEXT-COURIER: this agent reads what service {name} gives; it is not blind for the \
                 keys that come from there, and whoever has this agent has them"
            )
        });
        plain.into_iter().chain(read).collect()
    }

    /// The services that this agent reads itself.
    pub(crate) fn read_here(&self) -> impl Iterator<Item = &str> {
        let read = self.each().filter(|(_, service)| service.openbao.is_some());
        read.map(|(name, _)| name)
    }

    /// Endpoints in good health, and all of them.
    pub(crate) fn healthy(&self, now_ms: u64) -> (usize, usize) {
        let each = self.by_name.values();
        each.map(|service| service.endpoints().healthy(now_ms))
            .fold((0, 0), |(good, all), (g, a)| (good + g, all + a))
    }

    /// Whether some endpoint is spoken to without TLS.
    pub(crate) fn speak_plain(&self) -> bool {
        self.plain
    }
}
