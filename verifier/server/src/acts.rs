//! What admins had begun, which goes on to its end though whoever asked for it has hung up: half an act
//! would be one that the audit says was asked for, and nothing more.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use thiserror::Error;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

/// Every act that is under way.
#[derive(Debug, Default)]
pub(crate) struct Acts {
    under_way: Mutex<JoinSet<()>>,
    /// What has begun and not ended, by a number of each.
    names: Arc<Mutex<BTreeMap<u64, (String, Actor)>>>,
    next: AtomicU64,
}

/// Who asked for something, once he is authenticated: whoever looks at its end has it from the beginning.
#[derive(Debug, Clone, Default)]
pub(crate) struct Actor(Arc<OnceLock<String>>);

/// Why nothing came of an act.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(crate) enum NoOutcome {
    /// A defect: whoever waits for it tells it.
    #[error("what was asked for panicked: look what the store has, and report this defect")]
    Panicked,
    /// The service ends, and tells all of them.
    #[error("the service ended before this had")]
    CutOff,
}

impl Actor {
    /// He is this admin.
    pub(crate) fn is(&self, admin: &str) {
        // One request is authenticated once.
        let _ = self.0.set(format!("admin:{admin}"));
    }

    /// As the audit has him; empty is nobody that is known.
    pub(crate) fn who(&self) -> &str {
        self.0.get().map_or("", String::as_str)
    }
}

impl Acts {
    /// Does it, and gives what came of it to whoever still waits.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        name: String,
        actor: Actor,
        act: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, NoOutcome> {
        let (tell, told) = oneshot::channel();
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        locked(&self.names).insert(number, (name, actor));
        let names = self.names.clone();
        self.begin(async move {
            let done = act.await;
            // Here alone: of one that is cut off the name stays.
            locked(&names).remove(&number);
            // Nobody may be there any more to hear it.
            let _ = tell.send(done);
        });
        told.await
            .map_err(|_| match locked(&self.names).remove(&number) {
                Some(_) => NoOutcome::Panicked,
                None => NoOutcome::CutOff,
            })
    }

    fn begin(&self, act: impl Future<Output = ()> + Send + 'static) {
        let mut under_way = locked(&self.under_way);
        while under_way.try_join_next().is_some() {}
        under_way.spawn(act);
    }

    /// Until each that has begun has ended.
    pub(crate) async fn end(&self) {
        loop {
            let mut under_way = std::mem::take(&mut *locked(&self.under_way));
            if under_way.is_empty() {
                return;
            }
            while under_way.join_next().await.is_some() {}
        }
    }

    /// Ends each that is still under way, and tells which have no outcome.
    pub(crate) fn cut_off(&self) -> Vec<String> {
        // First, so that whoever waits for one knows it for cut off.
        let names = std::mem::take(&mut *locked(&self.names));
        locked(&self.under_way).abort_all();
        names
            .into_values()
            .map(|(name, actor)| match actor.who() {
                "" => name,
                who => format!("{name} of {who}"),
            })
            .collect()
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicBool;
    use std::time::Duration;

    #[test]
    fn an_act_ends_though_nobody_waits_for_it_and_the_end_does() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let acts = Acts::default();
            assert_eq!(
                acts.run("seven".into(), Actor::default(), async { 7 })
                    .await,
                Ok(7)
            );
            let panics = acts.run("broken".into(), Actor::default(), async {
                assert_eq!(1, 2, "on purpose");
            });
            assert_eq!(panics.await, Err(NoOutcome::Panicked));
            assert!(acts.cut_off().is_empty());
            let done = Arc::new(AtomicBool::new(false));
            let doing = done.clone();
            let act = acts.run("slow".into(), Actor::default(), async move {
                tokio::time::sleep(Duration::from_millis(200)).await;
                doing.store(true, Ordering::SeqCst);
            });
            let patience = Duration::from_millis(20);
            assert!(tokio::time::timeout(patience, act).await.is_err());
            acts.end().await;
            assert!(done.load(Ordering::SeqCst));
            assert!(acts.cut_off().is_empty());
            for (name, admin) in [("endless", Some("web")), ("nobody's", None)] {
                let actor = Actor::default();
                let knowing = actor.clone();
                let endless = acts.run(name.into(), actor, async move {
                    if let Some(admin) = admin {
                        knowing.is(admin);
                    }
                    std::future::pending::<()>().await;
                });
                assert!(tokio::time::timeout(patience, endless).await.is_err());
            }
            let waited_for = acts.run("awaited".into(), Actor::default(), std::future::pending());
            let mut waited_for = std::pin::pin!(waited_for);
            let waiting = tokio::time::timeout(patience, waited_for.as_mut()).await;
            assert!(waiting.is_err());
            // Who goes on waiting is told that this one was cut off.
            let cut_off = acts.cut_off();
            assert_eq!(cut_off, ["endless of admin:web", "nobody's", "awaited"]);
            assert_eq!(waited_for.await, Err::<(), _>(NoOutcome::CutOff));
        });
    }
}
