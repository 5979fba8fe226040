//! The configured store, for commands: each call is waited for where the command stands.

use super::ConfigPath;
use crate::config::Config;
use crate::generated::Templates;
use crate::key_file::Key32;
use crate::store::{self, Expected, Pending, Store, Version};
use anyhow::{Context, Result, bail};
use clap::Args;
use nitride_kbs::resource::ResourcePath;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::runtime::{Builder, Runtime};

/// A store and what its calls run on.
pub(crate) struct OpenedStore {
    store: Arc<dyn Store>,
    runtime: Runtime,
    generate: Option<PathBuf>,
}

/// What has to lie there, so that nobody's change is lost.
#[derive(Debug, Args)]
pub(crate) struct IfThere {
    /// Only if this version is there, as lists and answers say it; otherwise nothing is done.
    #[arg(long, value_name = "NUMBER", conflicts_with = "if_absent")]
    if_version: Option<u64>,
    /// Only if nothing is there.
    #[arg(long)]
    if_absent: bool,
}

impl OpenedStore {
    pub(super) fn open(config: &ConfigPath) -> Result<Self> {
        let Config { fixed, reloaded } = Config::load(&config.config)?;
        let runtime = Builder::new_current_thread().enable_all().build();
        Ok(Self {
            store: store::open(&fixed.store, Key32::read(&fixed.store_key)?)?,
            runtime: runtime.context("start the runtime")?,
            generate: reloaded.generate,
        })
    }

    /// What the service makes itself, if it makes anything.
    pub(super) fn templates(&self) -> Result<Option<Templates>> {
        let read = |path: &PathBuf| Ok(Templates::read(path)?.0);
        self.generate.as_ref().map(read).transpose()
    }

    /// What is stored under such a name nobody would ever get.
    pub(super) fn refuse_generated(&self, path: &ResourcePath) -> Result<()> {
        let templates = self.templates()?;
        if let Some(template) = templates.as_ref().and_then(|made| made.of(path)) {
            bail!(
                "{path} is made for each machine by secret {:?}; store this under another name, or \
                 take the name out of that secret's resources",
                template.name
            );
        }
        Ok(())
    }

    pub(super) fn store(&self) -> &dyn Store {
        self.store.as_ref()
    }

    /// Waits for what asks the store.
    pub(super) fn wait<T, E: std::error::Error + Send + Sync + 'static>(
        &self,
        asking: impl Future<Output = Result<T, E>>,
    ) -> Result<T> {
        Ok(self.runtime.block_on(asking)?)
    }

    /// Asks the store, and waits.
    pub(super) fn ask<'a, T>(
        &'a self,
        call: impl FnOnce(&'a dyn Store) -> Pending<'a, T>,
    ) -> Result<T> {
        Ok(self.runtime.block_on(call(self.store.as_ref()))?)
    }
}

impl IfThere {
    pub(super) fn expected(&self) -> Result<Expected> {
        match (self.if_version, self.if_absent) {
            (Some(0), _) => bail!("versions begin with 1; say --if-absent for none"),
            (Some(number), _) => Ok(Expected::Version(Version::new(number))),
            (None, true) => Ok(Expected::Absent),
            (None, false) => Ok(Expected::Any),
        }
    }
}
