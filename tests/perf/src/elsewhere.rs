//! What of a round is not ours.

use nitride_support::http::HttpMessage;
use nitride_support::relay::{Fate, Meddler, Relay};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long the service, and the network behind a relay, have had requests.
#[derive(Default)]
pub(crate) struct Elsewhere {
    spent: Arc<Mutex<Duration>>,
}

/// Sees them come and go.
struct Watch {
    since: Option<Instant>,
    spent: Arc<Mutex<Duration>>,
}

impl Elsewhere {
    /// From now on, of this relay.
    pub(crate) fn behind(relay: &Relay) -> Self {
        let elsewhere = Self::default();
        relay.meddle(Watch {
            since: None,
            spent: Arc::clone(&elsewhere.spent),
        });
        elsewhere
    }

    /// Since this was last asked.
    pub(crate) fn taken(&self) -> Duration {
        std::mem::take(&mut *self.spent.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Meddler for Watch {
    fn request(&mut self, _request: &mut HttpMessage) -> Fate {
        self.since = Some(Instant::now());
        Fate::Forward
    }

    fn response(&mut self, _request: &HttpMessage, _response: &mut HttpMessage) {
        if let Some(since) = self.since.take() {
            *self.spent.lock().unwrap_or_else(PoisonError::into_inner) += since.elapsed();
        }
    }
}
