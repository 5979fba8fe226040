//! Further processes of a world's service, and one that dies when it is least wanted.

use std::ffi::OsString;

use anyhow::{Context, Result};

use crate::binaries::Binaries;
use crate::http::HttpMessage;
use crate::program::{Launch, Program, RunAs};
use crate::relay::{Fate, Meddler};
use crate::tls::Upstream;
use crate::world::World;

/// One more process of the service, with a port of its own. Dropped, it is killed.
#[derive(Debug)]
pub struct Replica {
    program: Program,
    upstream: Upstream,
}

impl Replica {
    /// Starts one on the world's configuration of the service, which `configure` may change.
    ///
    /// # Errors
    /// When it does not become ready.
    pub fn start(
        world: &World,
        name: &str,
        configure: impl FnOnce(String) -> String,
    ) -> Result<Self> {
        Self::start_in(world, name, configure, Vec::new())
    }

    /// The same, with further variables of its environment.
    ///
    /// # Errors
    /// When it does not become ready.
    pub fn start_in(
        world: &World,
        name: &str,
        configure: impl FnOnce(String) -> String,
        environment: Vec<(OsString, OsString)>,
    ) -> Result<Self> {
        let port_file = format!("{name}.port");
        let text = std::fs::read_to_string(world.path("provisiond.toml"))
            .context("read the service's configuration")?;
        let text = configure(text.replace("service.port", &port_file));
        let config = world.folder.write(&format!("{name}.toml"), text)?;
        let launch = Launch {
            name: name.to_owned(),
            path: Binaries::find()?.provisiond.clone(),
            arguments: vec!["serve".into(), "--config".into(), config.into()],
            environment,
            run_as: RunAs::default(),
        };
        let mut program = Program::launch(&world.folder, &launch)?;
        program.wait_ready()?;
        let upstream = world.upstream_of(&port_file)?;
        Ok(Self { program, upstream })
    }

    /// Where it listens.
    #[must_use]
    pub fn upstream(&self) -> &Upstream {
        &self.upstream
    }

    /// What it has written.
    #[must_use]
    pub fn log(&self) -> String {
        self.program.log()
    }

    /// What it says about requests that it did not serve.
    #[must_use]
    pub fn refusals(&self) -> String {
        let log = self.log();
        let lines = log.lines().filter(|line| line.contains("fault="));
        lines.map(|line| format!("{line}\n")).collect()
    }

    /// Has it read its configuration again.
    ///
    /// # Errors
    /// When it does not say that it has.
    pub fn reload(&mut self) -> Result<()> {
        self.program.reload()
    }
}

/// Starts so many, with the relay before them.
///
/// # Errors
/// When one does not become ready.
pub fn start_replicas(world: &mut World, count: usize) -> Result<Vec<Replica>> {
    let replicas =
        (0..count).map(|number| Replica::start(world, &format!("replica-{number}"), |toml| toml));
    let replicas = replicas.collect::<Result<Vec<_>>>()?;
    let upstreams = replicas.iter().map(Replica::upstream).cloned();
    world.stand_before(upstreams.collect())?;
    Ok(replicas)
}

/// In a relay that nobody has asked anything yet: the first of its replicas gives the first
/// challenge, and is killed when the first evidence comes.
#[derive(Debug)]
pub struct DiesMidHandshake {
    /// The first replica.
    pub first: Option<Replica>,
}

impl Meddler for DiesMidHandshake {
    fn request(&mut self, request: &mut HttpMessage) -> Fate {
        if request.target().1 == "/kbs/v0/attest" {
            drop(self.first.take());
        }
        Fate::Forward
    }
}
