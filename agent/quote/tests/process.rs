//! The real binary, asked over its real socket.
#![forbid(unsafe_code)]
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail as tests do"
)]

use nitride_ipc::{Connection, Listener, RecvError};
use nitride_protocol::quote::{EvidenceReply, EvidenceRequest, QuoteOperation};
use nitride_protocol::{Message, Status, open_reply, write_request};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::unistd::getuid;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const EVIDENCE: u16 = QuoteOperation::Evidence.to_wire();

struct Helper {
    folder: TempDir,
    child: Child,
}

impl Helper {
    /// Starts the helper for a caller of `uid`, with further lines of configuration.
    fn start(uid: u32, lines: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("quote.toml");
        let socket = folder.path().join("quote.sock");
        let text = format!(
            "socket = {socket:?}\ntee = \"sample\"\n{lines}\n[caller]\nuid = {uid}\n\
             [sample]\nsvn = \"1\"\ndanger-simulated = true\n"
        );
        std::fs::write(&config, text).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_nitride-quote"))
            .arg("--config")
            .arg(&config)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Self { folder, child }
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("quote.sock")
    }

    fn connect(&self) -> Connection {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            match Connection::connect(&self.socket()) {
                Ok(connection) => {
                    let patience = Some(Duration::from_secs(10));
                    connection.set_read_timeout(patience).unwrap();
                    return connection;
                }
                Err(error) if Instant::now() > deadline => panic!("{error}"),
                Err(_) => std::thread::sleep(Duration::from_millis(10)),
            }
        }
    }

    /// Ends the helper and returns what it logged.
    fn log(mut self) -> String {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        let mut log = String::new();
        let stderr = self.child.stderr.as_mut().unwrap();
        stderr.read_to_string(&mut log).unwrap();
        log
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn own_uid() -> u32 {
    getuid().as_raw()
}

fn request(id: u32, operation: u16, tee: &str) -> Vec<u8> {
    let report_data = &[0xfb; 48];
    let mut packet = vec![0; 512];
    let params = EvidenceRequest {
        tee,
        report_data,
        yields: false,
    };
    let len = write_request(&mut packet, id, operation, &params).unwrap();
    packet.truncate(len);
    packet
}

/// Sends a packet and returns the reply, or `None` when the connection was closed.
fn ask(connection: &Connection, packet: &[u8]) -> Option<Vec<u8>> {
    connection.send(packet).ok()?;
    let mut reply = vec![0; 200_000];
    let len = connection.recv(&mut reply).ok().flatten()?;
    reply.truncate(len);
    Some(reply)
}

fn status_of(reply: Option<Vec<u8>>) -> Option<(u32, Status)> {
    reply.map(|reply| {
        let (head, _) = open_reply(&reply).unwrap();
        (head.id, head.status)
    })
}

#[test]
fn the_caller_gets_evidence_over_its_report_data() {
    let helper = Helper::start(own_uid(), "");
    let connection = helper.connect();
    for id in [1, 2] {
        let reply = ask(&connection, &request(id, EVIDENCE, "sample")).unwrap();
        let (head, result) = open_reply(&reply).unwrap();
        assert_eq!((head.id, head.status), (id, Status::Ok));
        let evidence = EvidenceReply::decode_last(result).unwrap();
        assert_eq!(evidence.tee, "sample");
        assert_eq!(
            evidence.primary_evidence,
            format!(r#"{{"svn":"1","report_data":"{}"}}"#, "+/v7".repeat(16))
        );
        assert_eq!(evidence.additional_evidence, "");
    }
    drop(connection);
    let log = helper.log();
    assert!(log.contains("SIMULATION"), "{log}");
    assert!(
        log.contains("SIMULATED evidence, which proves nothing"),
        "{log}"
    );
}

#[test]
fn a_foreign_uid_gets_no_answer_and_the_log_says_why() {
    // Root may open the socket of anybody, and is still not the caller.
    let helper = Helper::start(own_uid() + 1, "");
    if own_uid() != 0 {
        // Giving the socket to another uid takes root, so the helper ends with that error.
        return;
    }
    let connection = helper.connect();
    assert_eq!(ask(&connection, &request(1, EVIDENCE, "sample")), None);
    let log = helper.log();
    assert!(log.contains("uid 0 is not the caller"), "{log}");
}

#[test]
fn evidence_of_another_tee_is_refused() {
    let helper = Helper::start(own_uid(), "");
    let connection = helper.connect();
    let reply = ask(&connection, &request(5, EVIDENCE, "snp"));
    assert_eq!(status_of(reply), Some((5, Status::EvidenceUnavailable)));
}

#[test]
fn malformed_requests_get_a_named_refusal_and_change_nothing() {
    let helper = Helper::start(own_uid(), "");
    let connection = helper.connect();
    let reply = ask(&connection, &request(6, 99, "sample"));
    assert_eq!(status_of(reply), Some((6, Status::UnknownOperation)));
    let mut longer = request(7, EVIDENCE, "sample");
    longer.push(0);
    let reply = ask(&connection, &longer);
    assert_eq!(status_of(reply), Some((7, Status::Malformed)));
    let reply = ask(&connection, &request(8, EVIDENCE, "sample"));
    assert_eq!(status_of(reply), Some((8, Status::Ok)));
    for garbage in [&b"hello"[..], &[0x83, 0x1b], &[0xff; 4096]] {
        let connection = helper.connect();
        assert_eq!(ask(&connection, garbage), None);
    }
}

#[test]
fn connections_are_bounded_and_their_seats_come_back() {
    let helper = Helper::start(own_uid(), "");
    let packet = request(1, EVIDENCE, "sample");
    let mut held: Vec<_> = (0..16).map(|_| helper.connect()).collect();
    for connection in &held {
        assert!(ask(connection, &packet).is_some());
    }
    assert_eq!(ask(&helper.connect(), &packet), None);
    held.pop();
    let deadline = Instant::now() + Duration::from_secs(10);
    while ask(&helper.connect(), &packet).is_none() {
        assert!(Instant::now() < deadline, "the seat does not come back");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_configured_tee_that_is_missing_ends_the_helper() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("quote.toml");
    for tee in ["snp", "tdx", "az-snp-vtpm", "az-tdx-vtpm"] {
        std::fs::write(&config, format!("tee = \"{tee}\"\n[caller]\nuid = 0\n")).unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_nitride-quote"))
            .arg("--config")
            .arg(&config)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(1));
        let log = String::from_utf8(output.stderr).unwrap();
        let told = format!("cannot open the {tee} collector");
        assert!(log.contains(&told), "{log}");
    }
}

#[test]
fn detection_says_of_every_interface_what_is_there_and_why() {
    let output = Command::new(env!("CARGO_BIN_EXE_nitride-quote"))
        .args(["--detect", "--config", "/nonexistent"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0));
    let said = String::from_utf8(output.stdout).unwrap();
    let interfaces: Vec<_> = said
        .lines()
        .map(|line| line.split(": ").next().unwrap())
        .collect();
    assert_eq!(
        interfaces,
        [
            "/sys/kernel/config/tsm/report",
            "/dev/sev-guest",
            "/sys/devices/virtual/misc/tdx_guest/measurements",
            "/sys/firmware/acpi/tables/CCEL",
            "/sys/kernel/security/tpm0/binary_bios_measurements",
            "a paravisor's report in the TPM at device:/dev/tpmrm0",
            "Google's keys in the TPM at device:/dev/tpmrm0",
            "libnvidia-ml.so.1",
        ]
    );
    assert!(said.lines().all(|line| line.split(": ").count() > 2));
}

/// Starts the helper as systemd does, with a socket that listens already.
fn activated(listener: &Listener, config: &Path) -> Child {
    // A duplicate without close-on-exec; bash moves it to where systemd would have put it.
    let inherited = fcntl(listener, FcntlArg::F_DUPFD(10)).unwrap();
    let script = format!(
        "exec 3<&{inherited} {inherited}<&-; LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=quote \
         exec \"$0\" --config \"$1\""
    );
    let child = Command::new("bash")
        .args(["-c", &script, env!("CARGO_BIN_EXE_nitride-quote")])
        .arg(config)
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    nix::unistd::close(inherited).unwrap();
    child
}

#[test]
fn a_socket_of_systemd_is_served_and_left_when_idle() {
    let helper_folder = tempfile::tempdir().unwrap();
    let socket = helper_folder.path().join("activated.sock");
    let config = helper_folder.path().join("quote.toml");
    let text = format!(
        "tee = \"sample\"\nidle-exit-secs = 1\n[caller]\nuid = {}\n\
         [sample]\nsvn = \"1\"\ndanger-simulated = true\n",
        own_uid()
    );
    std::fs::write(&config, text).unwrap();
    let listener = Listener::bind(&socket, 0o600).unwrap();
    let mut child = activated(&listener, &config);
    let connection = Connection::connect(&socket).unwrap();
    assert!(ask(&connection, &request(1, EVIDENCE, "sample")).is_some());
    // Not idle while somebody is connected.
    std::thread::sleep(Duration::from_millis(1500));
    assert!(child.try_wait().unwrap().is_none());
    drop(connection);
    assert!(wait_for(&mut child).success());
}

#[test]
fn who_waits_for_a_helper_that_cannot_serve_is_turned_away() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("activated.sock");
    let config = folder.path().join("quote.toml");
    let listener = Listener::bind(&socket, 0o600).unwrap();
    let late = "tee = \"snp\"\n[snp]\ninterface = \"sev-guest\"\n[caller]\nuid = 0\n";
    // The device is not there yet, and then the configuration has a fault.
    for text in [late, "nonsense"] {
        std::fs::write(&config, text).unwrap();
        let waiting = [(); 3].map(|()| {
            let connection = Connection::connect(&socket).unwrap();
            let patience = Some(Duration::from_secs(20));
            connection.set_read_timeout(patience).unwrap();
            connection.send(&request(1, EVIDENCE, "snp")).unwrap();
            connection
        });
        assert!(!wait_for(&mut activated(&listener, &config)).success());
        for connection in waiting {
            let heard = connection.recv(&mut [0; 512]);
            let is_closed = matches!(heard, Ok(None) | Err(RecvError::System(Errno::ECONNRESET)));
            assert!(is_closed, "{heard:?}");
        }
    }
}

fn wait_for(child: &mut Child) -> ExitStatus {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        assert!(Instant::now() < deadline, "the helper does not leave");
        std::thread::sleep(Duration::from_millis(20));
    }
}
