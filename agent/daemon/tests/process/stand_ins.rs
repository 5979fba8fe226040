//! What stands around the real agent: a vault and a service that do as the test says, and the
//! notify socket.

use nitride_protocol::agent::{
    AgentOperation, AttestationResult, Challenge, Evidence, Failure, FailureClass, Hello, Resource,
    RoundCause, RoundOrder, Welcome,
};
use nitride_protocol::{Empty, Message, Status, open_request, write_refusal, write_reply};
use std::net::SocketAddr;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::timeout;
use tokio_seqpacket::{UnixSeqpacket, UnixSeqpacketListener};

pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
pub(crate) const TOKEN: &str = "eyJhbGciOiJFUzI1NiJ9.e30.c2ln";
const PUBKEY: &str = r#"{"alg":"ECDH-ES+A256KW","crv":"P-256","kty":"EC","x":"4NUXj5NxFdcPEdqNbrW_fYWQnRbQgrqkiXdFLOWxYFQ","y":"udSzbwTP71PNZiVSXswOcNZKa3BvMDkparTVQ0QG-Zo"}"#;

/// What the agent asked of the vault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Asked {
    NextRound(u32),
    Challenge(String),
    Result(String),
    Resource(String, Vec<u8>),
    Failure(Option<String>, FailureClass, String),
    Finish([u8; 16]),
}

/// The vault's end of the agent's connection.
pub(crate) struct Vault {
    socket: UnixSeqpacket,
    packet: Vec<u8>,
}

impl Vault {
    /// Waits for the agent and its hello.
    pub(crate) async fn accept(listener: &mut UnixSeqpacketListener) -> Self {
        let socket = timeout(PATIENCE, listener.accept()).await.unwrap().unwrap();
        let mut vault = Self {
            socket,
            packet: vec![0; 200_000],
        };
        let len = vault.receive().await.unwrap();
        let (head, params) = open_request(&vault.packet[..len]).unwrap();
        assert_eq!(head.operation, AgentOperation::Hello.to_wire());
        let hello = Hello::decode_last(params).unwrap();
        assert_eq!(hello.client, "nitride-agent");
        let welcome = Welcome {
            version: 1,
            server: "stand-in",
            max_packet: 200_000,
            max_inline: 65_536,
            features: Vec::new(),
        };
        let id = head.id;
        vault.reply(id, &welcome).await;
        vault
    }

    /// The next question; all but [`Asked::NextRound`] are answered as a glad vault does.
    pub(crate) async fn asked(&mut self) -> Option<Asked> {
        let len = self.receive().await?;
        let packet = self.packet[..len].to_vec();
        let (head, params) = open_request(&packet).unwrap();
        let operation = AgentOperation::from_wire(head.operation).unwrap();
        let asked = match operation {
            AgentOperation::Hello => panic!("a second hello"),
            AgentOperation::NextRound => return Some(Asked::NextRound(head.id)),
            AgentOperation::Challenge => {
                let challenge = Challenge::decode_last(params).unwrap();
                let evidence = Evidence {
                    tee_pubkey: PUBKEY,
                    primary_evidence: r#"{"svn":"1"}"#,
                    additional_evidence: "",
                    init_data: None,
                    audit_head: None,
                };
                self.reply(head.id, &evidence).await;
                return Some(Asked::Challenge(challenge.nonce.to_owned()));
            }
            AgentOperation::Result => {
                let result = AttestationResult::decode_last(params).unwrap();
                Asked::Result(result.token.to_owned())
            }
            AgentOperation::Resource => {
                let resource = Resource::decode_last(params).unwrap();
                Asked::Resource(resource.resource.to_owned(), resource.jwe.to_vec())
            }
            AgentOperation::Plaintext => panic!("no round of these tests is in the clear"),
            AgentOperation::Failure => {
                let failure = Failure::decode_last(params).unwrap();
                let resource = failure.resource.map(ToOwned::to_owned);
                Asked::Failure(resource, failure.class, failure.reason.to_owned())
            }
            AgentOperation::Finish => {
                let finish = nitride_protocol::agent::Finish::decode_last(params).unwrap();
                Asked::Finish(finish.round)
            }
        };
        self.reply(head.id, &Empty).await;
        Some(asked)
    }

    /// Waits until the agent asks for work.
    pub(crate) async fn wanted(&mut self) -> u32 {
        match self.asked().await {
            Some(Asked::NextRound(id)) => id,
            other => panic!("the agent should ask for work, not {other:?}"),
        }
    }

    pub(crate) async fn order(&self, id: u32, round: u8, service: &str, resources: &[&str]) {
        let order = RoundOrder {
            round: [round; 16],
            service,
            tee: "sample",
            resources: resources.to_vec(),
            result_wanted: true,
            budget_ms: 3000,
            cause: Some(RoundCause::Prefetch),
            plaintext: false,
        };
        self.reply(id, &order).await;
    }

    /// Everything that is asked until the round's finish, but for the wish for more work.
    pub(crate) async fn until_finish(&mut self) -> Vec<Asked> {
        let mut story = Vec::new();
        loop {
            match self.asked().await.expect("the agent stays connected") {
                Asked::NextRound(_) => {}
                finish @ Asked::Finish(_) => {
                    story.push(finish);
                    return story;
                }
                asked => story.push(asked),
            }
        }
    }

    /// Refuses whatever comes next and says what it was; a wish for more work is left open.
    pub(crate) async fn refuse(&mut self, status: Status) -> AgentOperation {
        let len = self.receive().await.unwrap();
        let (head, _) = open_request(&self.packet[..len]).unwrap();
        let operation = AgentOperation::from_wire(head.operation).unwrap();
        if operation != AgentOperation::NextRound {
            let mut reply = [0; 64];
            let len = write_refusal(&mut reply, head.id, status).unwrap();
            self.socket.send(&reply[..len]).await.unwrap();
        }
        operation
    }

    async fn receive(&mut self) -> Option<usize> {
        let received = timeout(PATIENCE, self.socket.recv(&mut self.packet)).await;
        let len = received.unwrap().ok()?.bytes_read();
        (len > 0).then_some(len)
    }

    async fn reply(&self, id: u32, result: &impl Message<'_>) {
        let mut reply = vec![0; 200_000];
        let len = write_reply(&mut reply, id, Status::Ok, result).unwrap();
        self.socket.send(&reply[..len]).await.unwrap();
    }
}

/// A service on loopback: answers by path, and remembers the heads of its requests.
pub(crate) struct Kbs {
    pub(crate) address: SocketAddr,
    pub(crate) heads: Arc<Mutex<Vec<String>>>,
}

impl Kbs {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let heads = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&heads);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let seen = Arc::clone(&seen);
                tokio::spawn(async move {
                    let mut buffer = Vec::new();
                    while let Some(head) = read_request(&mut stream, &mut buffer).await {
                        let answer = answer(&head);
                        seen.lock().unwrap().push(head);
                        if stream.write_all(&answer).await.is_err() {
                            return;
                        }
                    }
                });
            }
        });
        Self { address, heads }
    }
}

pub(crate) fn sealed() -> String {
    let protected =
        nitride_kbs::jwe::protected_header(&nitride_kbs::jwe::Header::EcP256 { epk: [4; 65] });
    nitride_kbs::jwe::to_json(&protected, &[1; 40], &[2; 12], b"sealed", &[3; 16])
}

fn answer(head: &str) -> Vec<u8> {
    let path = head.split(' ').nth(1).unwrap_or_default();
    let (status, cookie, body) = match path {
        "/kbs/v0/auth" => (
            "200 OK",
            "set-cookie: kbs-session-id=hidden-cookie; Path=/\r\n",
            r#"{"nonce":"n0nce","extra-params":""}"#.to_owned(),
        ),
        "/kbs/v0/attest" => ("200 OK", "", format!(r#"{{"token":"{TOKEN}"}}"#)),
        path if path.ends_with("missing") => ("404 Not Found", "", String::new()),
        _ => ("200 OK", "", sealed()),
    };
    let len = body.len();
    format!("HTTP/1.1 {status}\r\n{cookie}content-length: {len}\r\n\r\n{body}").into_bytes()
}

async fn read_request(stream: &mut tokio::net::TcpStream, buffer: &mut Vec<u8>) -> Option<String> {
    loop {
        let end = buffer.windows(4).position(|window| window == b"\r\n\r\n");
        if let Some(end) = end {
            let head = String::from_utf8(buffer[..end].to_vec()).unwrap();
            let len = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "))
                .map_or(0, |len| len.parse::<usize>().unwrap());
            if buffer.len() >= end + 4 + len {
                buffer.drain(..end + 4 + len);
                return Some(head);
            }
        }
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    }
}

/// The real agent in a folder of its own.
pub(crate) struct Agent {
    pub(crate) folder: TempDir,
    pub(crate) child: Child,
    /// What it has told systemd and nobody has asked about.
    notes: Arc<Mutex<String>>,
}

impl Agent {
    pub(crate) fn prepare() -> (TempDir, UnixSeqpacketListener) {
        let folder = tempfile::tempdir().unwrap();
        let listener = UnixSeqpacketListener::bind(folder.path().join("agent.sock")).unwrap();
        (folder, listener)
    }

    /// Writes a configuration with the service `main` at these endpoints.
    pub(crate) fn configure(folder: &Path, endpoints: &[SocketAddr]) -> PathBuf {
        let socket = folder.join("agent.sock");
        let status = folder.join("status.sock");
        let mut text = format!(
            "[vhsmd]\nsocket = {socket:?}\n[limits]\nrounds = 2\n[status]\nsocket = {status:?}\n\
             [[service]]\nname = \"main\"\ndanger-plain-http = true\n"
        );
        for (priority, address) in endpoints.iter().enumerate() {
            text += &format!(
                "[[service.endpoint]]\nurl = \"http://{address}\"\npriority = {priority}\n"
            );
        }
        let config = folder.join("agent.toml");
        std::fs::write(&config, text).unwrap();
        config
    }

    pub(crate) fn start(folder: TempDir, config: &Path) -> Self {
        let notify_path = folder.path().join("notify.sock");
        let notify = UnixDatagram::bind(&notify_path).unwrap();
        let notes = Arc::new(Mutex::new(String::new()));
        let kept = Arc::clone(&notes);
        // As systemd reads them: a queue that is full would stop the agent.
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(len) = notify.recv(&mut buffer) {
                let note = std::str::from_utf8(&buffer[..len]).unwrap();
                kept.lock().unwrap().push_str(note);
            }
        });
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_nitride-agent"))
            .arg("--config")
            .arg(config)
            .arg("--log-level=trace")
            .env("NOTIFY_SOCKET", &notify_path)
            .env("WATCHDOG_USEC", "200000")
            .stderr(Stdio::from(log))
            .spawn()
            .unwrap();
        Self {
            folder,
            child,
            notes,
        }
    }

    /// What `nitride-agent status` prints.
    pub(crate) fn status(&self, arguments: &[&str]) -> String {
        let shown = Command::new(env!("CARGO_BIN_EXE_nitride-agent"))
            .arg("--config")
            .arg(self.folder.path().join("agent.toml"))
            .arg("status")
            .args(arguments)
            .output()
            .unwrap();
        assert!(shown.status.success(), "{shown:?}");
        String::from_utf8(shown.stdout).unwrap()
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap()
    }

    /// Waits until the agent has told systemd `wanted`, and forgets what came before it.
    pub(crate) fn told(&mut self, wanted: &str) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let mut notes = self.notes.lock().unwrap();
            if let Some(at) = notes.find(wanted) {
                notes.drain(..at + wanted.len());
                return;
            }
            assert!(Instant::now() < deadline, "{wanted:?} in {notes}");
            drop(notes);
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub(crate) fn signal(&self, signal: nix::sys::signal::Signal) {
        let pid = nix::unistd::Pid::from_raw(i32::try_from(self.child.id()).unwrap());
        nix::sys::signal::kill(pid, signal).unwrap();
    }

    /// Waits for the agent's end.
    pub(crate) fn ended(&mut self) -> Option<i32> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(Instant::now() < deadline, "the agent does not end");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
