//! `generated list|rotate|destroy`: what the service made for machines, without showing it.

use super::ConfigPath;
use super::opened_store::OpenedStore;
use crate::clock::Clock;
use crate::entropy::KernelEntropy;
use crate::generated::{self, Kept};
use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use nitride_kbs::resource::ResourcePath;
use std::io::{Write, stdout};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Print what was made: path, machine, version, when in seconds since 1970, destroyed or not.
    List {
        #[command(flatten)]
        config: ConfigPath,
        /// Of this resource alone: repo/type/tag.
        path: Option<ResourcePath>,
    },
    /// Make the next version: a vault has it with its next renewal, and the one before until its lease ends.
    Rotate {
        #[command(flatten)]
        config: ConfigPath,
        #[command(flatten)]
        which: Which,
    },
    /// Destroy it for good: the machine gets nothing of this resource until it is rotated, and what a vault
    /// holds leaves it with its lease.
    Destroy {
        #[command(flatten)]
        config: ConfigPath,
        #[command(flatten)]
        which: Which,
    },
}

/// Which of them.
#[derive(Debug, Args)]
pub(crate) struct Which {
    /// The resource: repo/type/tag, or kbs:///repo/type/tag.
    path: ResourcePath,
    /// The machine, as `generated list` prints it.
    #[arg(required_unless_present = "all")]
    machine: Option<String>,
    /// Those of all machines that have one.
    #[arg(long, conflicts_with = "machine")]
    all: bool,
}

impl Which {
    /// The machines; none is a mistake.
    fn machines(&self, store: &OpenedStore) -> Result<Vec<String>> {
        if let Some(machine) = &self.machine {
            return Ok(vec![machine.clone()]);
        }
        let all = store.wait(generated::list(store.store(), Some(&self.path)))?;
        let machines = all.iter().filter(|kept| !kept.is_destroyed());
        let machines: Vec<String> = machines.map(|kept| kept.machine().to_owned()).collect();
        if machines.is_empty() {
            bail!("no machine has {}", self.path);
        }
        Ok(machines)
    }
}

impl Command {
    pub(crate) fn run(self) -> Result<()> {
        match self {
            Self::List { config, path } => {
                let store = OpenedStore::open(&config)?;
                let listed = store.wait(generated::list(store.store(), path.as_ref()))?;
                let mut out = stdout().lock();
                for kept in &listed {
                    writeln!(out, "{}", line_of(kept)).context("print")?;
                }
                Ok(())
            }
            Self::Rotate { config, which } => {
                let store = OpenedStore::open(&config)?;
                let path = &which.path;
                let templates = store.templates()?;
                let template = templates.as_ref().and_then(|templates| templates.of(path));
                let template = template.with_context(|| {
                    format!("no secret of the configuration's `generate` names {path}")
                })?;
                for machine in which.machines(&store)? {
                    let now_secs = Clock::system().wall_secs();
                    let (of, draw) = ((path, machine.as_str()), &mut KernelEntropy);
                    let rotating = generated::rotate(store.store(), template, of, now_secs, draw);
                    let number = store.wait(rotating)?;
                    println!("{path} {machine} {number}");
                }
                Ok(())
            }
            Self::Destroy { config, which } => {
                let store = OpenedStore::open(&config)?;
                for machine in which.machines(&store)? {
                    store.wait(generated::destroy(store.store(), &which.path, &machine))?;
                }
                Ok(())
            }
        }
    }
}

fn line_of(kept: &Kept) -> String {
    let (path, machine) = (kept.path(), kept.machine());
    let (number, made_secs) = (kept.number(), kept.made_secs());
    let state = if kept.is_destroyed() {
        "destroyed"
    } else {
        "kept"
    };
    format!("{path} {machine} {number} {made_secs} {state}")
}
