//! Filters hold for the thread that puts them in place: each test confines one of its own.

use super::*;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, SealFlag};
use std::fs;
use std::io::ErrorKind::PermissionDenied;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixStream};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Command;
use std::thread;

/// Runs `act` on a thread that is confined to the folders `read` and `written` below `root`.
fn confined<T: Send + 'static>(root: &Path, act: impl FnOnce() -> T + Send + 'static) -> T {
    let places = Places {
        read: vec![root.join("read")],
        written: vec![root.join("written")],
        abstract_sockets: false,
    };
    confined_to(places, root, act)
}

fn confined_to<T: Send + 'static>(
    places: Places,
    root: &Path,
    act: impl FnOnce() -> T + Send + 'static,
) -> T {
    for folder in ["read", "written", "other"] {
        fs::create_dir(root.join(folder)).unwrap();
        fs::write(root.join(folder).join("file"), "text").unwrap();
    }
    let thread = thread::spawn(move || {
        confine(&places).unwrap();
        act()
    });
    thread.join().unwrap()
}

#[test]
fn a_confined_thread_reaches_its_own_files_alone() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().to_owned();
    confined(folder.path(), move || {
        assert_eq!(fs::read(root.join("read/file")).unwrap(), b"text");
        assert!(fs::read_dir(root.join("read")).unwrap().count() == 1);
        assert!(fs::read("/etc/passwd").is_ok() && fs::read("/proc/self/status").is_ok());
        fs::write(root.join("written/new"), "text").unwrap();
        fs::rename(root.join("written/new"), root.join("written/newer")).unwrap();
        fs::remove_file(root.join("written/newer")).unwrap();
        for refused in [
            fs::read(root.join("other/file")).map(drop),
            fs::write(root.join("read/file"), "other"),
            fs::write(root.join("other/new"), "text"),
            fs::remove_file(root.join("read/file")),
            fs::write("/etc/nitride-was-here", ""),
            fs::read_dir("/root").map(drop),
            std::os::unix::fs::symlink("/etc/shadow", root.join("written/link")),
        ] {
            assert_eq!(refused.unwrap_err().kind(), PermissionDenied);
        }
    });
}

#[test]
fn a_confined_thread_has_no_network() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let folder = tempfile::tempdir().unwrap();
    confined(folder.path(), move || {
        let refused = [
            TcpStream::connect(address).map(drop),
            TcpListener::bind("127.0.0.1:0").map(drop),
            UdpSocket::bind("127.0.0.1:0").map(drop),
        ];
        for refused in refused {
            assert_eq!(refused.unwrap_err().kind(), PermissionDenied);
        }
        // Sockets of this machine are what it lives by.
        assert!(UnixDatagram::unbound().is_ok() && UnixStream::pair().is_ok());
    });
}

#[test]
fn a_confined_thread_starts_threads_and_no_programs() {
    let folder = tempfile::tempdir().unwrap();
    confined(folder.path(), || {
        assert_eq!(thread::spawn(|| 7).join().unwrap(), 7);
        assert!(Command::new("/bin/true").status().is_err());
        // Nor does a thread of its own.
        let nested = thread::spawn(|| Command::new("/bin/true").status().is_err());
        assert!(nested.join().unwrap());
    });
}

/// Abstract sockets have names and no files: no right to a folder is about them.
#[test]
fn a_confined_thread_reaches_no_abstract_socket_of_others() {
    let name = format!("nitride-test-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).unwrap();
    let theirs = UnixDatagram::bind_addr(&address).unwrap();
    let send = move || UnixDatagram::unbound()?.send_to_addr(b"READY=1", &address);
    send().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let notified = Places {
        abstract_sockets: true,
        ..Places::default()
    };
    let again = send.clone();
    confined_to(notified, folder.path(), again).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let sent = confined_to(Places::default(), folder.path(), send);
    drop(theirs);
    if before_scopes() {
        eprintln!("not tried: Landlock before Linux 6.12 knows no abstract sockets");
        return;
    }
    assert_eq!(sent.unwrap_err().kind(), PermissionDenied);
}

/// Whether the kernel's Landlock is too old to keep from abstract sockets.
fn before_scopes() -> bool {
    let confined = thread::spawn(|| confine(&Places::default()).unwrap());
    confined.join().unwrap() != Confined::Wholly
}

/// Requests to devices, over what a terminal, a disk or a TPM is asked.
#[test]
fn a_confined_thread_asks_devices_nothing() {
    let folder = tempfile::tempdir().unwrap();
    confined(folder.path(), || {
        // Seccomp: nor of a socket, of which the same is asked in another way.
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let asked = ours.set_nonblocking(true);
        assert_eq!(asked.unwrap_err().kind(), PermissionDenied);
        assert!(nix::fcntl::fcntl(&ours, FcntlArg::F_GETFL).is_ok());
        let sealed = nix::fcntl::fcntl(&ours, FcntlArg::F_ADD_SEALS(SealFlag::F_SEAL_WRITE));
        assert_eq!(sealed, Err(Errno::EPERM));
        for device in ["/dev/null", "/dev/zero", "/dev/tpmrm0", "/dev/sev-guest"] {
            assert!(fs::File::open(device).is_err(), "{device}");
        }
    });
}

/// Says to the process of the test below that it is the child.
const CHILD: &str = "NITRIDE_TEST_OF_A_FATAL_CALL";

#[test]
fn a_call_that_only_an_intruder_makes_ends_the_process() {
    if std::env::var_os(CHILD).is_some() {
        let folder = tempfile::tempdir().unwrap();
        confined(folder.path(), || {
            nix::sched::unshare(nix::sched::CloneFlags::CLONE_FS).is_ok()
        });
        return;
    }
    let ended = Command::new(std::env::current_exe().unwrap())
        .arg("hardening::tests::a_call_that_only_an_intruder_makes_ends_the_process")
        .env(CHILD, "1")
        .output()
        .unwrap();
    assert_eq!(ended.status.signal(), Some(libc::SIGSYS), "{ended:?}");
}
