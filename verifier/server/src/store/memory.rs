//! A store in memory, for tests.

use super::{Pending, Resource, Store, StoreError};
use nitride_kbs::resource::ResourcePath;
use std::collections::BTreeMap;
use std::sync::Mutex;

#[derive(Default)]
pub(crate) struct MemoryStore {
    resources: Mutex<BTreeMap<ResourcePath, Vec<u8>>>,
    broken: bool,
}

impl MemoryStore {
    /// A store whose every call fails.
    pub(crate) fn broken() -> Self {
        Self {
            broken: true,
            ..Self::default()
        }
    }

    fn check(&self) -> Result<(), StoreError> {
        if self.broken {
            Err(StoreError::ShuttingDown)
        } else {
            Ok(())
        }
    }
}

impl std::fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MemoryStore").finish_non_exhaustive()
    }
}

impl Store for MemoryStore {
    fn read<'a>(&'a self, path: &'a ResourcePath) -> Pending<'a, Option<Resource>> {
        Box::pin(async move {
            self.check()?;
            Ok(self
                .resources
                .lock()
                .unwrap()
                .get(path)
                .cloned()
                .map(Resource::new))
        })
    }

    fn write<'a>(&'a self, path: &'a ResourcePath, resource: Resource) -> Pending<'a, ()> {
        Box::pin(async move {
            self.check()?;
            self.resources
                .lock()
                .unwrap()
                .insert(path.clone(), resource.to_vec());
            Ok(())
        })
    }

    fn delete<'a>(&'a self, path: &'a ResourcePath) -> Pending<'a, bool> {
        Box::pin(async move {
            self.check()?;
            Ok(self.resources.lock().unwrap().remove(path).is_some())
        })
    }
}
