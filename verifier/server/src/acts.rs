//! What admins had begun, which goes on to its end though whoever asked for it has hung up: half an act
//! would be one that the audit says was asked for, and nothing more.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
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
    /// Does it, and gives what came of it to whoever still waits: of one that panics, what `panicked` makes of
    /// that, though nobody waits. `None` is one that was cut off.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        name: String,
        actor: Actor,
        act: impl Future<Output = T> + Send + 'static,
        panicked: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let (tell, told) = oneshot::channel();
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        locked(&self.names).insert(number, (name, actor));
        let names = self.names.clone();
        self.begin(async move {
            // A task of its own, which ends with this one.
            let mut alone = JoinSet::new();
            alone.spawn(act);
            let done = match alone.join_next().await {
                Some(Ok(done)) => done,
                Some(Err(error)) if error.is_panic() => panicked(),
                _ => return,
            };
            // Here alone: of one that is cut off the name stays.
            locked(&names).remove(&number);
            // Nobody may be there any more to hear it.
            let _ = tell.send(done);
        });
        told.await.ok()
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
        locked(&self.under_way).abort_all();
        std::mem::take(&mut *locked(&self.names))
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

    #[tokio::test]
    async fn an_act_ends_though_nobody_waits_for_it_and_the_end_does() {
        let acts = Acts::default();
        let seven = acts.run("seven".into(), Actor::default(), async { 7 }, || 0);
        assert_eq!(seven.await, Some(7));
        let done = Arc::new(AtomicBool::new(false));
        let doing = done.clone();
        let act = async move {
            tokio::time::sleep(Duration::from_millis(200)).await;
            doing.store(true, Ordering::SeqCst);
        };
        let act = acts.run("slow".into(), Actor::default(), act, || ());
        let patience = Duration::from_millis(20);
        assert!(tokio::time::timeout(patience, act).await.is_err());
        acts.end().await;
        assert!(done.load(Ordering::SeqCst));
        assert!(acts.cut_off().is_empty());
        for (name, admin) in [("endless", Some("web")), ("nobody's", None)] {
            let actor = Actor::default();
            let knowing = actor.clone();
            let endless = async move {
                if let Some(admin) = admin {
                    knowing.is(admin);
                }
                std::future::pending::<()>().await;
            };
            let endless = acts.run(name.into(), actor, endless, || ());
            assert!(tokio::time::timeout(patience, endless).await.is_err());
        }
        let endless = std::future::pending::<()>();
        let endless = acts.run("awaited".into(), Actor::default(), endless, || ());
        let mut endless = std::pin::pin!(endless);
        let waiting = tokio::time::timeout(patience, endless.as_mut());
        assert!(waiting.await.is_err());
        assert!(tokio::time::timeout(patience, acts.end()).await.is_err());
        let cut_off = acts.cut_off();
        assert_eq!(cut_off, ["endless of admin:web", "nobody's", "awaited"]);
        // Nor does anything come of it for who goes on waiting.
        assert_eq!(endless.await, None);
    }

    #[tokio::test]
    async fn of_an_act_that_panics_something_comes_though_nobody_waits() {
        let acts = Acts::default();
        let told = Arc::new(AtomicBool::new(false));
        for is_awaited in [true, false] {
            let telling = told.clone();
            let panicked = move || {
                telling.store(true, Ordering::SeqCst);
                0
            };
            let act = async {
                tokio::time::sleep(Duration::from_millis(100)).await;
                assert_eq!(1, 2, "on purpose");
                7
            };
            let act = acts.run("broken".into(), Actor::default(), act, panicked);
            if is_awaited {
                assert_eq!(act.await, Some(0));
            } else {
                let patience = Duration::from_millis(20);
                assert!(tokio::time::timeout(patience, act).await.is_err());
                acts.end().await;
            }
            assert!(told.swap(false, Ordering::SeqCst));
            assert!(acts.cut_off().is_empty());
        }
    }
}
