//! Certificates that are renewed in their place: the files are looked at every few seconds, and taken anew once
//! they have stayed as they are from one look to the next. A pair that is broken, or half of which is
//! there, leaves the old one as it was, and everybody who looks is told.

use crate::audit::entry::{Event, Kind};
use crate::error_chain::chain;
use crate::service::{Current, Service};
use crate::tls::{Stamp, TlsError};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::{MissedTickBehavior, interval};

const INTERVAL: Duration = Duration::from_secs(2);

/// Looks until `stopping` turns true.
pub(crate) async fn look_after(service: Arc<Service>, mut stopping: watch::Receiver<bool>) {
    let mut ticks = interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut before = None;
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            _ = stopping.wait_for(|stopping| *stopping) => return,
        }
        // What holds now: a reload has read the files as well.
        let current = service.current();
        let last = before.take();
        let looked = spawn_blocking(move || look(&current, last)).await;
        match looked {
            Ok(Look::Same) => {}
            Ok(Look::Changing(stamp)) => before = Some(stamp),
            Ok(Look::Renewed(renewed)) => tell(&service, renewed.as_ref().err()),
            // A defect there is told by its own panic.
            Err(_) => {}
        }
    }
}

enum Look {
    Same,
    /// Since the last look; whoever writes may not be done.
    Changing(Stamp),
    Renewed(Result<(), TlsError>),
}

fn look(current: &Current, before: Option<Stamp>) -> Look {
    let Some(offer) = &current.tls else {
        return Look::Same;
    };
    match offer.changed() {
        None => Look::Same,
        Some(stamp) if before.as_ref() == Some(&stamp) => Look::Renewed(offer.renew(stamp)),
        Some(stamp) => Look::Changing(stamp),
    }
}

/// Tells everybody who looks.
fn tell(service: &Service, refused: Option<&TlsError>) {
    let reason = refused.map(|error| chain(error));
    match &reason {
        None => tracing::info!(
            ends_secs = service.current().certificate_ends_secs(),
            "the TLS certificate is renewed"
        ),
        Some(error) => tracing::error!(
            error,
            "the renewed TLS certificate is not taken; the old one stays"
        ),
    }
    let event = Event {
        what: "certificate".into(),
        outcome: if reason.is_some() { "refused" } else { "ok" }.into(),
        ..Event::own(Kind::Reload, reason.clone().unwrap_or_default())
    };
    let watch = &service.watch;
    watch.note(&event, service.clock.wall_secs());
    watch.metrics.count_reload(reason.is_none());
    watch.health.set_renewal(reason);
}
