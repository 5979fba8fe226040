//! The credentials' socket, read the way systemd reads it.

use crate::world::Vhsmd;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, bind, connect, socket};
use nix::unistd::getuid;
use std::io::Read;
use std::net::Shutdown;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// What systemd takes at most, and fails a unit for if there is more.
const MOST_THAT_SYSTEMD_TAKES: usize = 1 << 20;

const POLICY: &str = r#"
[[key]]
name = "app/db"
type = "secret"
source = "local"
operations = ["release"]
release-to = [{ unit = "db.service" }]
"#;

const SERVED: &str = r#"
[[credential]]
unit = "db.service"
name = "db-password"
key = "app/db"
"#;

fn start(tables: &str) -> Vhsmd {
    Vhsmd::start_by(POLICY, tables, |dir| {
        let mut command = std::process::Command::new(crate::world::BINARY);
        let path = dir.join("vhsmd.toml");
        let config = std::fs::read_to_string(&path).unwrap();
        let line = format!(
            "[sockets]\ncredentials = {:?}",
            dir.join("credentials.sock")
        );
        std::fs::write(&path, config.replace("[sockets]", &line)).unwrap();
        command.current_dir(dir);
        command
    })
}

/// What a client that calls itself `address`, which is made unique, reads until systemd would have
/// failed the unit.
fn read(vhsmd: &Vhsmd, address: &str) -> Vec<u8> {
    let path = vhsmd.path("credentials.sock");
    let deadline = Instant::now() + Duration::from_secs(10);
    while !path.exists() {
        assert!(Instant::now() < deadline, "{}", vhsmd.log());
        std::thread::sleep(Duration::from_millis(5));
    }
    let flags = SockFlag::SOCK_CLOEXEC;
    let socket = socket(AddressFamily::Unix, SockType::Stream, flags, None).unwrap();
    if !address.is_empty() {
        let salt = format!("{:x}{:x}", std::process::id(), socket.as_raw_fd());
        let own = UnixAddr::new_abstract(format!("{salt}/{address}").as_bytes()).unwrap();
        bind(socket.as_raw_fd(), &own).unwrap();
    }
    connect(socket.as_raw_fd(), &UnixAddr::new(&path).unwrap()).unwrap();
    let stream = UnixStream::from(socket);
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut read = Vec::new();
    let most = MOST_THAT_SYSTEMD_TAKES as u64 + 1;
    stream.take(most).read_to_end(&mut read).unwrap();
    read
}

#[test]
fn whoever_is_refused_reads_more_than_a_credential_may_have() {
    let vhsmd = start(SERVED);
    for address in [
        "",
        "unit/db.service/db-password",
        "unit/db.service/other",
        "cryptsetup/root",
    ] {
        let read = read(&vhsmd, address);
        assert!(read.len() > MOST_THAT_SYSTEMD_TAKES, "{address}");
    }
    let log = vhsmd.log();
    let reason = match getuid().is_root() {
        true => "not from the unit itself",
        false => "and not the service manager",
    };
    assert!(log.contains(reason), "{log}");
}

#[test]
fn a_socket_without_any_credential_refuses_all_the_same() {
    let vhsmd = start("");
    let read = read(&vhsmd, "unit/db.service/db-password");
    assert!(read.len() > MOST_THAT_SYSTEMD_TAKES);
}

#[test]
fn a_credential_without_a_socket_ends_the_start() {
    let mut vhsmd = Vhsmd::start(POLICY, SERVED);
    assert!(!vhsmd.child.wait().unwrap().success());
    assert!(vhsmd.log().contains("enable vhsm-credentials.socket"));
}
