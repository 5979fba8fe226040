//! The real vhsmd, release build.

use crate::placement::bind;
use anyhow::{Context, Result};
use nitride_client::Client;
use nitride_ipc::Connection;
use nitride_protocol::application::Hello;
use nitride_protocol::{Call, Message, Status, open_reply, write_request};
use nitride_support::binaries::Binaries;
use nitride_support::plan::Plan;
use nitride_support::world::World;
use nix::unistd::Pid;
use std::os::fd::BorrowedFd;
use std::path::PathBuf;

/// Builds the programs, which wants every CPU: call it before binding to one.
pub(crate) fn build() -> Result<()> {
    Binaries::find().map(drop)
}

/// A rule for the operations that the harness's own rule does not name.
pub(crate) const RULE: &str = r#"
[[rule]]
name = "perf"
keys = ["**"]
peers = [{ uid = @UID@ }]
operations = ["encrypt-buffer", "decrypt-buffer"]
"#;

/// A running vault.
pub(crate) struct Vault {
    world: World,
}

impl Vault {
    pub(crate) fn start() -> Result<Self> {
        Self::start_with("")
    }

    /// With further tables of its configuration, and arenas for 100,000 keys.
    pub(crate) fn start_large(tables: &str) -> Result<Self> {
        let mut plan = Plan::vault(RULE);
        tables.clone_into(&mut plan.vhsmd_tables);
        let mut world = World::prepare(plan)?;
        world.talkative = false;
        let text = std::fs::read_to_string(world.path("vhsmd.toml"))?;
        let text = text.replace("records = \"3MiB\"", "records = \"96MiB\"");
        world.folder.write(
            "vhsmd.toml",
            text.replace("heap = \"3MiB\"", "heap = \"16MiB\""),
        )?;
        world.start_quote()?;
        world.start_vhsmd().context("start the vault")?;
        Ok(Self { world })
    }

    /// With further tables of its configuration.
    pub(crate) fn start_with(tables: &str) -> Result<Self> {
        let mut plan = Plan::vault(RULE);
        tables.clone_into(&mut plan.vhsmd_tables);
        let mut world = World::start(plan).context("cannot start the vault")?;
        // The figures stand alone; the logs are for tests that fail.
        world.talkative = false;
        Ok(Self { world })
    }

    pub(crate) fn client(&self) -> Result<Client> {
        self.world.application()
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.world.path("vhsm.sock")
    }

    /// The process's number.
    pub(crate) fn pid(&self) -> Result<u32> {
        Ok(self.world.vhsmd()?.pid())
    }

    /// Binds the threads of the youngest connections, in their order, to a CPU each.
    pub(crate) fn bind_threads(&self, cpus: &[usize]) -> Result<()> {
        let mut threads = Vec::new();
        for task in std::fs::read_dir(format!("/proc/{}/task", self.pid()?))? {
            let task = task?.path();
            let name = std::fs::read_to_string(task.join("comm")).unwrap_or_default();
            let number = name
                .trim_end()
                .strip_prefix("peer-")
                .and_then(|n| n.parse::<u64>().ok());
            let id = task
                .file_name()
                .and_then(|id| id.to_str()?.parse::<i32>().ok());
            if let (Some(number), Some(id)) = (number, id) {
                threads.push((number, id));
            }
        }
        threads.sort_unstable();
        let older = threads.len().saturating_sub(cpus.len());
        for ((_, id), cpu) in threads.iter().skip(older).zip(cpus) {
            bind(Pid::from_raw(*id), &[*cpu])?;
        }
        Ok(())
    }

    /// Resident memory in bytes, and which part of it are the arenas' pages.
    pub(crate) fn resident(&self) -> Result<(f64, f64)> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid()?))?;
        let field = |name: &str| -> f64 {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let kib = line.and_then(|line| line.trim_end_matches("kB").trim().parse().ok());
            kib.map_or(f64::NAN, |kib: f64| kib * 1024.0)
        };
        Ok((field("VmRSS:"), field("RssShmem:") + field("RssFile:")))
    }
}

/// A connection whose packets are made here: for what the typed client has no call for.
pub(crate) struct Raw {
    connection: Connection,
    buffer: Vec<u8>,
    id: u32,
}

impl Raw {
    /// `attaches`: whether its packets may carry descriptors.
    pub(crate) fn connect(vault: &Vault, attaches: bool) -> Result<Self> {
        let mut raw = Self {
            connection: Connection::connect(&vault.socket())?,
            buffer: vec![0; nitride_protocol::limits::MAX_PACKET_LEN],
            id: 0,
        };
        let hello = Hello {
            min_version: 1,
            max_version: 1,
            client: "nitride-perf",
            wait_ms: 0,
            attaches,
        };
        raw.call(&hello, &[], |_| ())?;
        Ok(raw)
    }

    pub(crate) fn send<'a, R>(&mut self, request: &R, attached: &[BorrowedFd<'_>]) -> Result<()>
    where
        R: Call + Message<'a>,
    {
        self.id = self.id.wrapping_add(1);
        let len = write_request(&mut self.buffer, self.id, R::OPERATION, request)?;
        let packet = &self.buffer[..len];
        if attached.is_empty() {
            self.connection.send(packet)?;
        } else {
            self.connection.send_with(packet, attached)?;
        }
        Ok(())
    }

    pub(crate) fn receive<'a, R, T>(
        &mut self,
        own: impl for<'r> FnOnce(R::Reply<'r>) -> T,
    ) -> Result<T>
    where
        R: Call + Message<'a>,
    {
        let received = self.connection.recv(&mut self.buffer)?;
        let len = received.context("the vault has closed the connection")?;
        let (head, result) = open_reply(&self.buffer[..len])?;
        anyhow::ensure!(head.status == Status::Ok, "{}: {}", R::VERB, head.status);
        Ok(own(R::Reply::decode_last(result)?))
    }

    pub(crate) fn call<'a, R, T>(
        &mut self,
        request: &R,
        attached: &[BorrowedFd<'_>],
        own: impl for<'r> FnOnce(R::Reply<'r>) -> T,
    ) -> Result<T>
    where
        R: Call + Message<'a>,
    {
        self.send(request, attached)?;
        self.receive::<R, T>(own)
    }
}
