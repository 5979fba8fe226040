use crate::Backoff;

/// Greatest number of endpoints of one service.
pub const MAX_ENDPOINTS: usize = 16;

/// Longest time for which an endpoint is passed over, whatever it asks for, in milliseconds.
pub const MAX_SHUN_MS: u64 = 300_000;

/// Which endpoint of the service: its index in the list that [`Endpoints::new`] was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EndpointId(pub usize);

/// A set of endpoints of one service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct EndpointSet(u32);

impl EndpointSet {
    pub(crate) fn insert(&mut self, EndpointId(index): EndpointId) {
        self.0 |= 1 << (index % MAX_ENDPOINTS);
    }

    pub(crate) fn contains(self, EndpointId(index): EndpointId) -> bool {
        self.0 & (1 << (index % MAX_ENDPOINTS)) != 0
    }

    pub(crate) fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// The endpoints of one service and how each has been doing; shared by the service's rounds.
///
/// The lowest priority number comes first. An endpoint that failed is passed over until its
/// back-off is over, but not when nothing else is left: a round has a budget and no better idea.
#[derive(Debug, Clone)]
pub struct Endpoints {
    endpoints: Vec<Endpoint>,
    backoff: Backoff,
    request_timeout_ms: u64,
}

#[derive(Debug, Clone, Default)]
struct Endpoint {
    priority: u32,
    failures: u32,
    shunned_until_ms: u64,
    answered_ms: Option<u64>,
    failed: Option<(u64, String)>,
}

/// How one endpoint has been doing, for whoever asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointHealth<'e> {
    /// As it was configured.
    pub priority: u32,
    /// Failures in a row.
    pub failures: u32,
    /// For how long it is still passed over, in milliseconds; 0 is good health.
    pub shunned_for_ms: u64,
    /// When it last answered, whatever it said, on the clock of the rounds.
    pub answered_ms: Option<u64>,
    /// When it last failed, and why: printable, of bounded length, without a word of a token.
    pub failed: Option<(u64, &'e str)>,
}

impl Endpoints {
    /// Endpoints by their priorities, in the order that gives them their [`EndpointId`].
    ///
    /// Only the first [`MAX_ENDPOINTS`] count: configuration refuses more. A request that is not
    /// answered within `request_timeout_ms` has failed.
    pub fn new(priorities: &[u32], backoff: Backoff, request_timeout_ms: u64) -> Self {
        let endpoints = priorities
            .iter()
            .take(MAX_ENDPOINTS)
            .map(|priority| Endpoint {
                priority: *priority,
                ..Endpoint::default()
            })
            .collect();
        Self {
            endpoints,
            backoff,
            request_timeout_ms,
        }
    }

    /// How many endpoints are in good health at `now_ms`, and how many there are.
    pub fn healthy(&self, now_ms: u64) -> (usize, usize) {
        let healthy = self
            .endpoints
            .iter()
            .filter(|endpoint| endpoint.shunned_until_ms <= now_ms);
        (healthy.count(), self.endpoints.len())
    }

    /// Each endpoint at `now_ms`, in the order that gives them their [`EndpointId`].
    pub fn health(&self, now_ms: u64) -> impl Iterator<Item = EndpointHealth<'_>> {
        self.endpoints.iter().map(move |endpoint| EndpointHealth {
            priority: endpoint.priority,
            failures: endpoint.failures,
            shunned_for_ms: endpoint.shunned_until_ms.saturating_sub(now_ms),
            answered_ms: endpoint.answered_ms,
            failed: endpoint
                .failed
                .as_ref()
                .map(|(at_ms, why)| (*at_ms, why.as_str())),
        })
    }

    pub(crate) fn backoff(&self) -> Backoff {
        self.backoff
    }

    pub(crate) fn request_timeout_ms(&self) -> u64 {
        self.request_timeout_ms
    }

    /// The best endpoint outside `without`: healthy before shunned, then by priority; `draw`
    /// chooses among equals, so that many machines of one configuration spread themselves.
    pub(crate) fn pick(&self, without: EndpointSet, now_ms: u64, draw: u64) -> Option<EndpointId> {
        let rank = |endpoint: &Endpoint| {
            let shunned_for_ms = endpoint.shunned_until_ms.saturating_sub(now_ms);
            (shunned_for_ms, endpoint.priority)
        };
        let candidates = || {
            let all = self.endpoints.iter().enumerate();
            all.map(|(index, endpoint)| (EndpointId(index), rank(endpoint)))
                .filter(|(id, _)| !without.contains(*id))
        };
        let best = candidates().map(|(_, rank)| rank).min()?;
        let equals = || candidates().filter(|(_, rank)| *rank == best);
        let chosen = usize::try_from(draw % (equals().count().max(1) as u64)).ok()?;
        equals().nth(chosen).map(|(id, _)| id)
    }

    /// Notes that `id` answered, whatever it said.
    pub(crate) fn record_answer(&mut self, EndpointId(index): EndpointId, now_ms: u64) {
        if let Some(endpoint) = self.endpoints.get_mut(index) {
            endpoint.failures = 0;
            endpoint.shunned_until_ms = 0;
            endpoint.answered_ms = Some(now_ms);
        }
    }

    /// Notes that `id` failed, and how; it is passed over for a back-off, or for as long as it asked.
    pub(crate) fn record_failure(
        &mut self,
        EndpointId(index): EndpointId,
        (why, retry_after_ms): (&str, Option<u64>),
        now_ms: u64,
        draw: u64,
    ) {
        if let Some(endpoint) = self.endpoints.get_mut(index) {
            endpoint.failures = endpoint.failures.saturating_add(1);
            let shun_ms = self
                .backoff
                .after(endpoint.failures, draw)
                .max(retry_after_ms.unwrap_or(0))
                .min(MAX_SHUN_MS);
            endpoint.shunned_until_ms = now_ms.saturating_add(shun_ms);
            endpoint.failed = Some((now_ms, why.to_owned()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoints(priorities: &[u32]) -> Endpoints {
        Endpoints::new(priorities, Backoff::default(), 1000)
    }

    #[test]
    fn the_lowest_priority_number_comes_first() {
        let none = EndpointSet::default();
        let picked = endpoints(&[2, 1, 3]).pick(none, 0, 7);
        assert_eq!(picked, Some(EndpointId(1)));
    }

    #[test]
    fn the_draw_spreads_machines_over_equals() {
        let endpoints = endpoints(&[1, 1, 9]);
        let picked: Vec<_> = (0..4)
            .filter_map(|draw| endpoints.pick(EndpointSet::default(), 0, draw))
            .map(|EndpointId(index)| index)
            .collect();
        assert_eq!(picked, [0, 1, 0, 1]);
    }

    #[test]
    fn a_failed_endpoint_is_passed_over_until_its_backoff_ends() {
        let mut endpoints = endpoints(&[1, 2]);
        let none = EndpointSet::default();
        endpoints.record_failure(EndpointId(0), ("down", None), 1000, 0);
        assert_eq!(endpoints.healthy(1000), (1, 2));
        assert_eq!(endpoints.pick(none, 1000, 0), Some(EndpointId(1)));
        assert_eq!(endpoints.pick(none, 1100, 0), Some(EndpointId(0)));
    }

    #[test]
    fn an_endpoint_that_answers_is_in_good_health_again() {
        let mut endpoints = endpoints(&[1, 2]);
        endpoints.record_failure(EndpointId(0), ("down", Some(60_000)), 0, 0);
        assert_eq!(endpoints.healthy(0), (1, 2));
        endpoints.record_answer(EndpointId(0), 7);
        assert_eq!(endpoints.healthy(0), (2, 2));
    }

    #[test]
    fn health_tells_the_last_answer_and_the_last_failure() {
        let mut endpoints = endpoints(&[1, 2]);
        endpoints.record_answer(EndpointId(0), 300);
        endpoints.record_failure(EndpointId(0), ("auth: HTTP 503", Some(9000)), 1000, 0);
        let health: Vec<_> = endpoints.health(4000).collect();
        let first = EndpointHealth {
            priority: 1,
            failures: 1,
            shunned_for_ms: 6000,
            answered_ms: Some(300),
            failed: Some((1000, "auth: HTTP 503")),
        };
        assert_eq!(health[0], first);
        assert_eq!((health[1].shunned_for_ms, &health[1].failed), (0, &None));
    }

    #[test]
    fn when_all_are_shunned_the_first_to_recover_is_picked() {
        let mut endpoints = endpoints(&[1, 2]);
        let none = EndpointSet::default();
        endpoints.record_failure(EndpointId(0), ("down", Some(9000)), 0, 0);
        endpoints.record_failure(EndpointId(1), ("down", Some(5000)), 0, 0);
        assert_eq!(endpoints.pick(none, 0, 0), Some(EndpointId(1)));
    }

    #[test]
    fn no_endpoint_can_ask_to_be_left_alone_for_longer_than_the_bound() {
        let mut endpoints = endpoints(&[1]);
        endpoints.record_failure(EndpointId(0), ("down", Some(u64::MAX)), 0, 0);
        assert_eq!(endpoints.healthy(MAX_SHUN_MS - 1), (0, 1));
        assert_eq!(endpoints.healthy(MAX_SHUN_MS), (1, 1));
    }
}
