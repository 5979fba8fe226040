//! The process under test, and questions to it.

use crate::swtpm::spawned;
use nitride_ipc::Connection;
use nitride_protocol::quote::{
    CounterReply, CounterRequest, ForgetRequest, PlatformKeyReply, PlatformKeyRequest,
};
use nitride_protocol::{Call, Message, Status, open_reply, write_request};
use nix::unistd::getuid;
use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::time::{Duration, Instant};
use tempfile::TempDir;

pub(crate) struct Helper {
    folder: TempDir,
    child: Child,
    platform: String,
}

/// A secret and its params, as they were answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) secret: [u8; 32],
    pub(crate) params: Vec<u8>,
    pub(crate) is_old: bool,
}

impl Helper {
    /// With the lines of `[seal]`, the first of which is the platform's name.
    pub(crate) fn start(platform: &str, lines: &str) -> Self {
        Self::start_for(getuid().as_raw(), platform, lines)
    }

    pub(crate) fn start_for(uid: u32, platform: &str, lines: &str) -> Self {
        Self::start_within(20_000, uid, platform, lines)
    }

    /// With so long for the device.
    pub(crate) fn start_within(timeout_ms: u32, uid: u32, platform: &str, lines: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("quote.toml");
        let socket = folder.path().join("quote.sock");
        let text = format!(
            "socket = {socket:?}\ndevice-timeout-ms = {timeout_ms}\ntee = \"sample\"\n[caller]\nuid = {uid}\n\
             [sample]\nsvn = \"1\"\ndanger-simulated = true\n\
             [seal]\nplatform = \"{platform}\"\n{lines}\n"
        );
        std::fs::write(&config, text).unwrap();
        let child = spawned(
            Command::new(env!("CARGO_BIN_EXE_nitride-quote"))
                .arg("--config")
                .arg(&config)
                // As the unit has them.
                .env("TSS2_LOG", "all+none")
                .env("GLIBC_TUNABLES", "glibc.malloc.perturb=165")
                .stderr(File::create(folder.path().join("log")).unwrap()),
        )
        .unwrap();
        let platform = platform.to_owned();
        Self {
            folder,
            child,
            platform,
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The thread that makes the calls to devices.
    pub(crate) fn device_thread(&self) -> u32 {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            for task in std::fs::read_dir(format!("/proc/{}/task", self.pid())).unwrap() {
                let task = task.unwrap();
                let name = std::fs::read_to_string(task.path().join("comm")).unwrap_or_default();
                if name.trim_end() == "device" {
                    return task.file_name().to_str().unwrap().parse().unwrap();
                }
            }
            assert!(Instant::now() < deadline, "no thread for the devices");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.path().join("quote.sock")
    }

    /// How many connections are being served.
    pub(crate) fn served(&self) -> usize {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.pid())).unwrap();
        let names = tasks.map(|task| std::fs::read_to_string(task.unwrap().path().join("comm")));
        names
            .filter(|name| {
                name.as_ref()
                    .is_ok_and(|name| name.starts_with("connection"))
            })
            .count()
    }

    pub(crate) fn connect(&self) -> Connection {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            match Connection::connect(&self.socket()) {
                Ok(connection) => {
                    let patience = Some(Duration::from_secs(20));
                    connection.set_read_timeout(patience).unwrap();
                    return connection;
                }
                Err(error) if Instant::now() > deadline => panic!("{error}"),
                Err(_) => std::thread::sleep(Duration::from_millis(10)),
            }
        }
    }

    /// The result of a call as it was sent, or the status of its refusal.
    fn call<'a, R: Call + Message<'a>>(&self, request: &R) -> Result<Vec<u8>, Status> {
        ask(&self.connect(), request).unwrap()
    }

    pub(crate) fn make(&self) -> Result<Part, Status> {
        self.again(&[])
    }

    pub(crate) fn again(&self, params: &[u8]) -> Result<Part, Status> {
        let platform = &self.platform;
        let packet = self.call(&PlatformKeyRequest { platform, params })?;
        let (_, result) = open_reply(&packet).unwrap();
        let reply = PlatformKeyReply::decode_last(result).unwrap();
        Ok(Part {
            secret: *reply.secret,
            params: reply.params.to_vec(),
            is_old: reply.is_old,
        })
    }

    pub(crate) fn counter(&self, params: &[u8], increment: bool) -> Result<u64, Status> {
        let packet = self.call(&CounterRequest {
            platform: &self.platform,
            params,
            increment,
        })?;
        let (_, result) = open_reply(&packet).unwrap();
        Ok(CounterReply::decode_last(result).unwrap().value)
    }

    pub(crate) fn forget(&self) -> Result<(), Status> {
        self.forget_also(&[])
    }

    /// The counter that is configured, and the one of these params.
    pub(crate) fn forget_also(&self, params: &[u8]) -> Result<(), Status> {
        let platform = &self.platform;
        self.call(&ForgetRequest { platform, params }).map(drop)
    }

    /// Ends the helper and returns what it logged.
    pub(crate) fn log(mut self) -> String {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        std::fs::read_to_string(self.folder.path().join("log")).unwrap()
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking()
            && let Ok(log) = std::fs::read_to_string(self.folder.path().join("log"))
        {
            eprintln!("the log of nitride-quote:\n{log}");
        }
    }
}

/// Whether we have the rights of root, and says so when a test cannot do without.
pub(crate) fn is_root() -> bool {
    let is_root = getuid().is_root();
    if !is_root {
        eprintln!("skipped: this test wants the rights of root");
    }
    is_root
}

/// The whole answer or the status of a refusal; `None` when the connection was closed.
pub(crate) fn ask<'a, R: Call + Message<'a>>(
    connection: &Connection,
    request: &R,
) -> Option<Result<Vec<u8>, Status>> {
    let mut packet = vec![0; 8192];
    let len = write_request(&mut packet, 9, R::OPERATION, request).unwrap();
    connection.send(&packet[..len]).ok()?;
    let len = connection.recv(&mut packet).ok().flatten()?;
    packet.truncate(len);
    let (head, _) = open_reply(&packet).unwrap();
    assert_eq!(head.id, 9);
    Some(match head.status {
        Status::Ok => Ok(packet),
        status => Err(status),
    })
}
