//! What whoever operates the service sees of it.

use crate::audit::Audit;
use crate::health::Health;
use crate::metrics::Metrics;

/// Audit, figures and health of one replica.
#[derive(Debug)]
pub(crate) struct Watch {
    pub(crate) audit: Audit,
    pub(crate) metrics: Metrics,
    pub(crate) health: Health,
}

impl Watch {
    pub(crate) fn new(audit: Audit) -> Self {
        Self {
            audit,
            metrics: Metrics::default(),
            health: Health::new(),
        }
    }
}
