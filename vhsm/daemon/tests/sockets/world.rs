//! A vhsmd in a folder of its own, and a client of it.

use nitride_ipc::Connection;
use nitride_protocol::application::{Hello, Sign};
use nitride_protocol::limits::MAX_PACKET_LEN;
use nitride_protocol::{Call, KeyName, Message, Status, open_reply, write_request};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, getuid};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_vhsmd");

/// A vhsmd in a folder of its own.
pub(crate) struct Vhsmd {
    pub(crate) child: Child,
    dir: tempfile::TempDir,
}

impl Vhsmd {
    /// `tables` is added to `vhsmd.toml`. `UID` stands for our own there and in the policy, and
    /// `DIR` for the folder.
    pub(crate) fn start(policy: &str, tables: &str) -> Self {
        Self::start_by(policy, tables, |_| Command::new(BINARY))
    }

    /// The same, by a command that `make` makes for the folder.
    pub(crate) fn start_by(
        policy: &str,
        tables: &str,
        make: impl FnOnce(&Path) -> Command,
    ) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let config = format!(
            r#"
policy-dir = "DIR/policy.d"
[sockets]
application = "DIR/vhsm.sock"
admin = "DIR/admin.sock"
agent = "DIR/agent.sock"
[arena]
records = "1MiB"
heap = "3MiB"
[evidence]
tee = "sample"
danger-simulated = true
quote-socket = "DIR/quote.sock"
[admin]
peers = [{{ uid = UID }}]
[[service]]
name = "main"
{tables}
"#
        );
        let at = |name: &str| dir.path().join(name);
        fs::write(at("vhsmd.toml"), expand(dir.path(), &config)).unwrap();
        fs::create_dir(at("policy.d")).unwrap();
        write_policy(dir.path(), policy);
        let child = make(dir.path())
            .args(["--log-level", "debug", "--config"])
            .arg(at("vhsmd.toml"))
            .stderr(Stdio::from(fs::File::create(at("log")).unwrap()))
            .spawn()
            .unwrap();
        Self { child, dir }
    }

    pub(crate) fn write_policy(&self, policy: &str) {
        write_policy(self.dir.path(), policy);
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap()
    }

    pub(crate) fn connect(&self, socket: &str) -> Client {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            match Connection::connect(&self.path(socket)) {
                Ok(connection) => return Client::new(connection),
                Err(error) => assert!(Instant::now() < deadline, "{error}: {}", self.log()),
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub(crate) fn greeted(&self, socket: &str, wait_ms: u32) -> Client {
        let mut client = self.connect(socket);
        client.hello(wait_ms).unwrap();
        client
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().cast_signed()), signal).unwrap();
    }
}

impl Drop for Vhsmd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn write_policy(dir: &Path, policy: &str) {
    fs::write(dir.join("policy.d/test.toml"), expand(dir, policy)).unwrap();
}

fn expand(dir: &Path, text: &str) -> String {
    text.replace("UID", &getuid().to_string())
        .replace("DIR", dir.to_str().unwrap())
}

/// One end of a connection, with a limit on every wait.
pub(crate) struct Client {
    pub(crate) connection: Connection,
    next_id: u32,
}

impl Client {
    pub(crate) fn new(connection: Connection) -> Self {
        let limit = Some(Duration::from_secs(10));
        connection.set_read_timeout(limit).unwrap();
        Self {
            connection,
            next_id: 7,
        }
    }

    pub(crate) fn send<'a, C: Call + Message<'a>>(&mut self, call: &C) -> u32 {
        let mut packet = vec![0; MAX_PACKET_LEN];
        let id = self.next_id;
        self.next_id += 1;
        let len = write_request(&mut packet, id, C::OPERATION, call).unwrap();
        self.connection.send(&packet[..len]).unwrap();
        id
    }

    /// The next reply: its id, its status, and the packet.
    pub(crate) fn receive(&self) -> (u32, Status, Vec<u8>) {
        let mut packet = vec![0; MAX_PACKET_LEN];
        let len = self.connection.recv(&mut packet).unwrap().unwrap();
        packet.truncate(len);
        let (head, _) = open_reply(&packet).unwrap();
        (head.id, head.status, packet)
    }

    pub(crate) fn receive_after(&self, packet: &[u8]) -> (u32, Status, Vec<u8>) {
        self.connection.send(packet).unwrap();
        self.receive()
    }

    pub(crate) fn call<'a, C: Call + Message<'a>>(&mut self, call: &C) -> Result<Vec<u8>, Status> {
        let id = self.send(call);
        let (answered, status, packet) = self.receive();
        assert_eq!(answered, id);
        match status {
            Status::Ok => Ok(packet),
            status => Err(status),
        }
    }

    /// Says hello, unless the connection has been ended.
    pub(crate) fn hello_if_open(mut self) -> Option<Self> {
        self.connection
            .set_read_timeout(Some(Duration::from_millis(50)))
            .unwrap();
        let is_open = self.connection.next_len().is_err();
        is_open.then(|| {
            self.hello(0).unwrap();
            self
        })
    }

    pub(crate) fn hello(&mut self, wait_ms: u32) -> Result<Vec<u8>, Status> {
        self.call(&hello(wait_ms, false))
    }

    /// Says that packets may carry descriptors from here on.
    pub(crate) fn announce_descriptors(&mut self) {
        self.call(&hello(0, true)).unwrap();
    }

    /// Signs, unless the connection has been ended.
    pub(crate) fn sign_if_open(&mut self, key: &str) -> Option<Status> {
        let mut packet = vec![0; MAX_PACKET_LEN];
        let len = write_request(&mut packet, 9, Sign::OPERATION, &sign(key)).unwrap();
        self.connection.send(&packet[..len]).ok()?;
        let len = self.connection.recv(&mut packet).ok()??;
        Some(open_reply(&packet[..len]).unwrap().0.status)
    }

    pub(crate) fn sign(&mut self, key: &str) -> Result<Vec<u8>, Status> {
        self.call(&sign(key))
    }
}

fn hello(wait_ms: u32, attaches: bool) -> Hello<'static> {
    Hello {
        min_version: 1,
        max_version: 1,
        client: "test",
        wait_ms,
        attaches,
    }
}

/// A request to sign under `key`.
pub(crate) fn sign(key: &str) -> Sign<'_> {
    Sign {
        key: KeyName::parse(key).unwrap(),
        scheme: None,
        message: b"message",
        prehashed: false,
    }
}

/// The result in a reply.
pub(crate) fn read<'a, M: Message<'a>>(packet: &'a [u8]) -> M {
    let (_, result) = open_reply(packet).unwrap();
    M::decode_last(result).unwrap()
}
