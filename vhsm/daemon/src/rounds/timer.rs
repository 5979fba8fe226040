use crate::daemon::Daemon;
use crate::event::Event;
use crate::randomness::SystemDraw;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;

/// Rounds are looked at this often; the vault's own budgets are in seconds.
const ROUND_TICK: Duration = Duration::from_secs(1);
/// Missing keys that the policy wants beforehand are tried again this often, so that a lease that
/// ends, or a service that was down, needs nobody to ask. The vault's back-off holds besides.
const PREFETCH_TICKS: u32 = 10;

/// Ends waits and rounds whose time has come. Runs for ever.
pub(crate) async fn keep_time(daemon: Arc<Daemon>) {
    let mut ticks: u32 = 0;
    let mut rotation = None;
    let mut sealing = None;
    let mut ticker = tokio::time::interval(ROUND_TICK);
    ticker.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let deadline = daemon.waiting.next_deadline_ms().map(|deadline_ms| {
            Duration::from_millis(deadline_ms.saturating_sub(Daemon::now().boot_ms))
        });
        // Nothing to wait for but the tick: then a day is as good as any time.
        let until_deadline = tokio::time::sleep(deadline.unwrap_or(Duration::from_secs(86_400)));
        tokio::select! {
            () = until_deadline => {}
            () = daemon.waiting.deadline_bell.notified() => {}
            _ = ticker.tick() => {
                if let Err(error) = daemon.vault.end_leases(Daemon::now()) {
                    Event::LeasesNotEnded { error: &error }.emit();
                }
                daemon.renew_leases();
                if has_ended(rotation.as_ref()) {
                    let rotating = Arc::clone(&daemon);
                    // Not here: a new RSA key takes seconds. What is not rotated says the status.
                    rotation = Some(tokio::task::spawn_blocking(move || {
                        let _ = rotating.vault.rotate_due(Daemon::now(), &mut SystemDraw);
                    }));
                }
                // Nor here: it asks devices and waits for disks.
                if daemon.seal.is_some() && has_ended(sealing.as_ref()) {
                    let sealed = Arc::clone(&daemon);
                    sealing = Some(tokio::task::spawn_blocking(move || {
                        if let Some(seal) = &sealed.seal {
                            seal.tick(&sealed);
                        }
                    }));
                }
                daemon.log_left_out();
                let watching = Arc::clone(&daemon);
                // Writing to a slow disk is not for the thread that keeps the time.
                drop(tokio::task::spawn_blocking(move || watching.watch.tick()));
                ticks = ticks.wrapping_add(1);
                if ticks.is_multiple_of(PREFETCH_TICKS) {
                    daemon.prefetch();
                }
            }
        }
        let now = Daemon::now();
        daemon.waiting.expire(now, daemon.waited_in_vain());
        daemon.waiting.settle(|| daemon.vault.expire(now));
        // Of a round that has run out of time, another service may be asked: that settles nothing.
        daemon.waiting.order_bell.notify_one();
    }
}

/// Whether nothing of it is under way.
fn has_ended(task: Option<&JoinHandle<()>>) -> bool {
    task.is_none_or(JoinHandle::is_finished)
}
