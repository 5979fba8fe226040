//! What systemd hands over, and what it is told.

use crate::world::{BINARY, Client, Vhsmd};
use nitride_ipc::{Connection, Listener};
use nix::sys::signal::Signal;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// A shell that hands a socket at `path` over under `name`.
fn handing_over(path: &Path, name: &str) -> Command {
    handing(Listener::bind(path, 0o600).unwrap().into(), name)
}

/// A shell that hands its standard input over under `name`.
fn handing(socket: OwnedFd, name: &str) -> Command {
    let mut command = Command::new("sh");
    command
        .arg("-c")
        .arg("LISTEN_PID=$$ LISTEN_FDS=1 exec \"$0\" \"$@\" 3<&0")
        .arg(BINARY)
        .env("LISTEN_FDNAMES", name)
        .stdin(socket);
    command
}

#[test]
fn socket_of_systemd_is_served_in_place_of_ones_own_and_left_behind() {
    let mut path = PathBuf::new();
    let mut vhsmd = Vhsmd::start_by("", "", |dir| {
        path = dir.join("handed.sock");
        handing_over(&path, "application")
    });
    let mut client = Client::new(Connection::connect(&path).unwrap());
    client.hello(0).unwrap();
    assert!(!vhsmd.path("vhsm.sock").exists());
    vhsmd.signal(Signal::SIGTERM);
    assert!(vhsmd.child.wait().unwrap().success(), "{}", vhsmd.log());
    // It is systemd's, and the next instance's.
    assert!(path.exists());
}

#[test]
fn socket_with_an_unknown_name_ends_the_start() {
    let mut vhsmd = Vhsmd::start_by("", "", |dir| {
        handing_over(&dir.join("handed.sock"), "aplication")
    });
    assert!(!vhsmd.child.wait().unwrap().success());
    assert!(vhsmd.log().contains("\"aplication\"; name it application"));
}

#[test]
fn metrics_are_served_on_a_socket_of_systemd() {
    let mut path = PathBuf::new();
    // The unit may not write where its sockets are: here, too, none could be made.
    let tables = "[metrics]\nsocket = \"DIR/no-folder/metrics.sock\"\nallowed-uids = [UID]\n";
    let vhsmd = Vhsmd::start_by("", tables, |dir| {
        path = dir.join("handed.sock");
        handing(UnixListener::bind(&path).unwrap().into(), "metrics")
    });
    vhsmd.connect("vhsm.sock").hello(0).unwrap();
    let mut stream = UnixStream::connect(&path).unwrap();
    stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.ends_with("# EOF\n"), "{answer}{}", vhsmd.log());
}

#[test]
fn service_manager_is_told_of_start_reload_life_and_end() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    let told = |what: &str| {
        let mut buf = [0; 4096];
        loop {
            let len = manager.recv(&mut buf).unwrap();
            let text = str::from_utf8(&buf[..len]).unwrap().to_owned();
            if text.lines().any(|line| line == what) {
                return text;
            }
        }
    };
    let vhsmd = Vhsmd::start_by("", "", |_| {
        let mut command = Command::new(BINARY);
        command
            .env("NOTIFY_SOCKET", &path)
            .env("WATCHDOG_USEC", "100000");
        command
    });
    assert!(told("READY=1").contains("STATUS=policy 1, "));
    for _ in 0..3 {
        told("WATCHDOG=1");
    }
    vhsmd.signal(Signal::SIGHUP);
    assert!(told("RELOADING=1").contains("MONOTONIC_USEC="));
    assert!(told("READY=1").contains("STATUS=policy 2, "));
    vhsmd.signal(Signal::SIGTERM);
    told("STOPPING=1");
}
