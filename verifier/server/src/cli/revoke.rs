//! `revoke add|lift|list`.

use super::ConfigPath;
use super::opened_store::OpenedStore;
use crate::clock::Clock;
use crate::revocation::{self, Entry, Kind};
use anyhow::{Context, Result, bail};
use clap::Subcommand;
use std::io::{Write, stdout};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Give it nothing any more, within 5 seconds on every replica; what a vault holds leaves it with its lease.
    Add {
        #[command(flatten)]
        config: ConfigPath,
        /// Why, for whoever reads the list.
        #[arg(long, value_name = "TEXT", default_value = "")]
        reason: String,
        /// What kind of thing.
        kind: Kind,
        /// Of a vm or an image TEE.CLAIM=VALUE of its verified evidence, such as snp.measurement=…, or
        /// TEE.OBJECT.CLAIM=VALUE, such as az-snp-vtpm.hardware.chip_id=…; of a tenant the first part of
        /// its paths; of a resource repo/type/tag.
        what: String,
    },
    /// Take it back.
    Lift {
        #[command(flatten)]
        config: ConfigPath,
        /// What kind of thing.
        kind: Kind,
        /// As it was revoked.
        what: String,
    },
    /// Print what is revoked: kind, what, seconds since 1970, why.
    List {
        #[command(flatten)]
        config: ConfigPath,
    },
}

impl Command {
    pub(crate) fn run(self) -> Result<()> {
        match self {
            Self::Add {
                config,
                reason,
                kind,
                what,
            } => {
                let entry = Entry {
                    kind,
                    what: what.clone(),
                    since_secs: Clock::system().wall_secs(),
                    reason,
                };
                let store = OpenedStore::open(&config)?;
                let is_new = store.wait(revocation::add(store.store(), entry))?;
                let how = if is_new {
                    "revoked"
                } else {
                    "revoked already:"
                };
                writeln!(stdout(), "{how} {kind} {what}").context("print")
            }
            Self::Lift { config, kind, what } => {
                let store = OpenedStore::open(&config)?;
                if !store.wait(revocation::lift(store.store(), kind, &what))? {
                    bail!("{what} is not revoked");
                }
                Ok(())
            }
            Self::List { config } => {
                let store = OpenedStore::open(&config)?;
                let mut out = stdout().lock();
                for entry in store.wait(revocation::list(store.store()))? {
                    let Entry {
                        kind,
                        what,
                        since_secs,
                        reason,
                    } = entry;
                    writeln!(out, "{kind} {what} {since_secs} {reason:?}").context("print")?;
                }
                Ok(())
            }
        }
    }
}
