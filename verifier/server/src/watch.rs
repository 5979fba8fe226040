//! What whoever operates the service sees of it.
//!
//! ```text
//! what happens ──▶ record(), refused(), note() ──┬──▶ the audit, which the answer waits for
//!                                                └──▶ webhooks, which nothing waits for
//! ```

use crate::audit::entry::Event;
use crate::audit::{Audit, Unaudited};
use crate::health::Health;
use crate::metrics::Metrics;
use crate::webhook::Webhooks;

/// Audit, webhooks, figures and health of one replica.
#[derive(Debug)]
pub(crate) struct Watch {
    pub(crate) audit: Audit,
    pub(crate) webhooks: Webhooks,
    pub(crate) metrics: Metrics,
    pub(crate) health: Health,
}

impl Watch {
    pub(crate) fn new(audit: Audit, webhooks: Webhooks) -> Self {
        Self {
            audit,
            webhooks,
            metrics: Metrics::default(),
            health: Health::new(),
        }
    }

    /// Writes an entry before what it tells is answered; what is the same again in one second is told
    /// once, and the audit says how often.
    pub(crate) async fn record(&self, event: &Event<'_>, now_secs: u64) -> Result<(), Unaudited> {
        if self.audit.record(event, now_secs).await? {
            self.webhooks.tell(event, now_secs);
        }
        Ok(())
    }

    /// Tells what was refused, or failed: of equal ones of one second the first, and the audit how many.
    pub(crate) fn refused(&self, event: &Event<'_>, now_secs: u64) {
        if self.audit.refused(event, now_secs) {
            self.webhooks.tell(event, now_secs);
        }
    }

    /// Tells what happened whatever the audit says of it.
    pub(crate) fn note(&self, event: &Event<'_>, now_secs: u64) {
        self.audit.note(event, now_secs);
        self.webhooks.tell(event, now_secs);
    }
}
