use crate::Backoff;
use crate::endpoints::{EndpointId, EndpointSet};
use crate::fault::{Fault, Remedy};

/// The attempts at one request.
#[derive(Default)]
pub(crate) struct Tries {
    /// Endpoints that were asked since the last back-off.
    tried: EndpointSet,
    /// Endpoints that are not asked again.
    excluded: EndpointSet,
    backoffs: u32,
    /// The least wait that every endpoint since the last back-off has asked for.
    retry_after_ms: Option<u64>,
    fault: Option<Fault>,
}

impl Tries {
    /// Endpoints that are not asked before the next back-off.
    pub(crate) fn without(&self) -> EndpointSet {
        self.tried.union(self.excluded)
    }

    /// Endpoints that are not asked again.
    pub(crate) fn excluded(&self) -> EndpointSet {
        self.excluded
    }

    /// What they came to.
    pub(crate) fn take_fault(&mut self) -> Option<Fault> {
        self.fault.take()
    }

    pub(crate) fn note(
        &mut self,
        endpoint: EndpointId,
        remedy: Remedy,
        fault: Fault,
        at_home: bool,
    ) {
        let asked_ms = fault.retry_after_ms.unwrap_or(0);
        let least_ms = self
            .retry_after_ms
            .map_or(asked_ms, |least| least.min(asked_ms));
        self.retry_after_ms = Some(least_ms);
        match remedy {
            Remedy::Elsewhere => self.excluded.insert(endpoint),
            Remedy::Again | Remedy::None => self.tried.insert(endpoint),
        }
        if at_home || self.fault.is_none() {
            self.fault = Some(fault);
        }
    }

    /// Every endpoint that is left was asked: when may the first of them be asked again?
    pub(crate) fn next_pass(&mut self, backoff: Backoff, now_ms: u64, draw: u64) -> u64 {
        self.backoffs = self.backoffs.saturating_add(1);
        self.tried = EndpointSet::default();
        let backoff_ms = backoff.after(self.backoffs, draw);
        let wait_ms = backoff_ms.max(self.retry_after_ms.take().unwrap_or(0));
        now_ms.saturating_add(wait_ms)
    }
}
