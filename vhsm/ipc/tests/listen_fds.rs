//! A socket handed over the way systemd does it, to this same program started again.

#![cfg(test)]

use nitride_ipc::{Connection, Listener, listen_fds};
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};

/// Not a test of its own: what the started service does.
#[test]
fn act_as_service() {
    if std::env::var("LISTEN_PID").is_err() {
        return;
    }
    let mut taken = listen_fds::take().unwrap();
    assert!(
        listen_fds::take().is_err(),
        "a second owner of the same descriptors"
    );
    let (name, socket) = taken.pop().unwrap();
    assert_eq!(name, "application");
    let listener = Listener::from_fd(socket).unwrap();
    listener.accept().unwrap().send(b"welcome").unwrap();
}

#[test]
fn service_answers_on_the_socket_handed_over() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s");
    let socket: OwnedFd = Listener::bind(&path, 0o600).unwrap().into();
    let mut service = Command::new("sh")
        .args([
            "-c",
            "LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=application \
             exec \"$0\" --exact act_as_service 3<&0",
        ])
        .arg(std::env::current_exe().unwrap())
        .stdin(socket)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let client = Connection::connect(&path).unwrap();
    let mut reply = [0; 16];
    assert_eq!(client.recv(&mut reply).unwrap(), Some(7));
    assert_eq!(&reply[..7], b"welcome");
    assert!(service.wait().unwrap().success());
}
