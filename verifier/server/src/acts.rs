//! What admins had begun, which goes on to its end though whoever asked for it has hung up: half an act
//! would be one that the audit says was asked for, and nothing more.

use std::sync::{Mutex, PoisonError};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

/// Every act that is under way.
#[derive(Debug, Default)]
pub(crate) struct Acts(Mutex<JoinSet<()>>);

impl Acts {
    /// Does it, and gives what came of it to whoever still waits; `None` of one that panicked.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        act: impl Future<Output = T> + Send + 'static,
    ) -> Option<T> {
        let (tell, told) = oneshot::channel();
        self.begin(async move {
            // Nobody may be there any more to hear it.
            let _ = tell.send(act.await);
        });
        told.await.ok()
    }

    fn begin(&self, act: impl Future<Output = ()> + Send + 'static) {
        let mut under_way = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while under_way.try_join_next().is_some() {}
        under_way.spawn(act);
    }

    /// Until each that has begun has ended.
    pub(crate) async fn end(&self) {
        loop {
            let mut under_way =
                std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
            if under_way.is_empty() {
                return;
            }
            while under_way.join_next().await.is_some() {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Duration;

    #[test]
    fn an_act_ends_though_nobody_waits_for_it_and_the_end_does() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let acts = Acts::default();
            assert_eq!(acts.run(async { 7 }).await, Some(7));
            let done = Arc::new(AtomicBool::new(false));
            let doing = done.clone();
            let act = acts.run(async move {
                tokio::time::sleep(Duration::from_millis(200)).await;
                doing.store(true, Ordering::SeqCst);
            });
            let patience = Duration::from_millis(20);
            assert!(tokio::time::timeout(patience, act).await.is_err());
            acts.end().await;
            assert!(done.load(Ordering::SeqCst));
        });
    }
}
