//! `witness list|forget`.

use super::ConfigPath;
use super::opened_store::OpenedStore;
use crate::witness::{self, Witnessed};
use anyhow::{Context, Result, bail};
use clap::Subcommand;
use std::io::{Write, stdout};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Print the newest head that was witnessed of each machine: machine, NUMBER:DIGEST, seconds since 1970.
    List {
        #[command(flatten)]
        config: ConfigPath,
    },
    /// Forget a machine's head, so that the next one is taken whatever it is: of a machine whose audit was
    /// lost or put back for a reason that you know.
    Forget {
        #[command(flatten)]
        config: ConfigPath,
        /// As `list` prints it, TEE.CLAIM=VALUE.
        machine: String,
    },
}

impl Command {
    pub(crate) fn run(self) -> Result<()> {
        match self {
            Self::List { config } => {
                let store = OpenedStore::open(&config)?;
                let mut out = stdout().lock();
                for known in store.wait(witness::list(store.store()))? {
                    let Witnessed {
                        machine,
                        head,
                        at_secs,
                    } = known;
                    writeln!(out, "{machine} {head} {at_secs}").context("print")?;
                }
                Ok(())
            }
            Self::Forget { config, machine } => {
                let store = OpenedStore::open(&config)?;
                if !store.wait(witness::forget(store.store(), &machine))? {
                    bail!("nothing was witnessed of {machine}");
                }
                Ok(())
            }
        }
    }
}
