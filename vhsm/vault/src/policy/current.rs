use super::ActivePolicy;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

/// The policy that counts now.
#[derive(Debug)]
pub(crate) struct CurrentPolicy {
    /// Whoever sees a new one finds its change counted: both are done under the lock.
    policy: RwLock<Arc<ActivePolicy>>,
    /// Counts policies, so that a session sees by one load whether it is up to date.
    epoch: AtomicU64,
}

impl CurrentPolicy {
    pub(crate) fn new(policy: ActivePolicy) -> Self {
        Self {
            policy: RwLock::new(Arc::new(policy)),
            epoch: AtomicU64::new(0),
        }
    }

    pub(crate) fn policy(&self) -> Arc<ActivePolicy> {
        let current = self.policy.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&current)
    }

    pub(crate) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// Puts `next` in force, and has `note` say what follows from it before anybody sees it.
    pub(crate) fn replace(
        &self,
        next: impl FnOnce(&ActivePolicy) -> ActivePolicy,
        note: impl FnOnce(),
    ) -> Arc<ActivePolicy> {
        let mut current = self.policy.write().unwrap_or_else(PoisonError::into_inner);
        let next = Arc::new(next(&current));
        *current = Arc::clone(&next);
        note();
        // After the policy: a session that sees the new epoch finds the new policy.
        self.epoch.fetch_add(1, Ordering::Release);
        next
    }
}
