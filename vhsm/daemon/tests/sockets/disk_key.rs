//! The disk-key socket, read the way systemd-cryptsetup reads it.

use crate::world::Vhsmd;
use nitride_protocol::admin::Import;
use nitride_protocol::{KeyName, KeyType, MaterialFormat};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, bind, connect, socket};
use std::io::Read;
use std::net::Shutdown;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const POLICY: &str = r#"
[[key]]
name = "disk/root"
type = "secret"
source = "local"
operations = ["release"]
release-to = [{ volume = "root" }]

[[key]]
name = "disk/data"
type = "secret"
source = "kbs:///default/disk/data"
service = "main"
unsigned = "accept"
operations = ["release"]
release-to = [{ volume = "data" }]
"#;

const SERVED: &str = r#"
[[disk-key]]
volume = "root"
socket = "DIR/root.key"
key = "disk/root"
allowed-uids = [UID]

[[disk-key]]
volume = "data"
socket = "DIR/data.key"
key = "disk/data"
allowed-uids = [UID]
timeout = "400ms"
"#;

fn start(tables: &str) -> Vhsmd {
    let vhsmd = Vhsmd::start(POLICY, tables);
    let mut admin = vhsmd.greeted("admin.sock", 0);
    let import = Import {
        key: KeyName::parse("disk/root").unwrap(),
        key_type: KeyType::Secret,
        operations: None,
        material: b"correct horse",
        format: MaterialFormat::Raw,
        wrapping_key: None,
        wrappable_by: Vec::new(),
    };
    admin.call(&import).unwrap();
    vhsmd
}

fn stream_socket() -> OwnedFd {
    let flags = SockFlag::SOCK_CLOEXEC;
    socket(AddressFamily::Unix, SockType::Stream, flags, None).unwrap()
}

/// What comes over the socket of `volume` for a client that calls itself `address`, which is made
/// unique here.
fn read_key(vhsmd: &Vhsmd, volume: &str, address: &str) -> Vec<u8> {
    let socket = stream_socket();
    let salt = format!("{:x}{:x}", std::process::id(), socket.as_raw_fd());
    if !address.is_empty() {
        let own = UnixAddr::new_abstract(format!("{salt}/{address}").as_bytes()).unwrap();
        bind(socket.as_raw_fd(), &own).unwrap();
    }
    let path = vhsmd.path(&format!("{volume}.key"));
    connect(socket.as_raw_fd(), &UnixAddr::new(&path).unwrap()).unwrap();
    let mut stream = UnixStream::from(socket);
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    // systemd says at once that it will write nothing.
    stream.shutdown(Shutdown::Write).unwrap();
    let mut key = Vec::new();
    stream.read_to_end(&mut key).unwrap();
    key
}

#[test]
fn passphrase_is_written_raw_for_the_volume_that_the_address_names() {
    let vhsmd = start(SERVED);
    assert_eq!(
        read_key(&vhsmd, "root", "cryptsetup/root"),
        b"correct horse"
    );
    assert_eq!(
        read_key(&vhsmd, "root", "cryptsetup-tpm2/root"),
        b"correct horse"
    );
    for address in ["", "cryptsetup/data", "cryptsetup/x/root", "other/root"] {
        assert_eq!(read_key(&vhsmd, "root", address), b"", "{address}");
    }
}

#[test]
fn uid_that_is_not_allowed_gets_nothing() {
    let vhsmd = start(&SERVED.replace("[UID]", "[4294967294]"));
    assert_eq!(read_key(&vhsmd, "root", "cryptsetup/root"), b"");
    assert!(vhsmd.log().contains("may not ask for it"));
}

#[test]
fn missing_key_holds_the_connection_until_the_time_is_up() {
    let vhsmd = start(SERVED);
    let start = Instant::now();
    assert_eq!(read_key(&vhsmd, "data", "cryptsetup/data"), b"");
    assert!(start.elapsed() >= Duration::from_millis(400));
    assert!(start.elapsed() < Duration::from_secs(5));
}

/// Not a test of its own: a client that leaves its connection, which is its standard input, behind.
#[test]
fn act_as_client_that_ends() {
    let Ok(path) = std::env::var("DISK_KEY_SOCKET") else {
        return;
    };
    let own = format!("{:x}/cryptsetup/data", std::process::id());
    bind(0, &UnixAddr::new_abstract(own.as_bytes()).unwrap()).unwrap();
    connect(0, &UnixAddr::new(path.as_str()).unwrap()).unwrap();
    // Until it has been let in.
    std::thread::sleep(Duration::from_millis(300));
}

#[test]
fn who_inherits_the_connection_of_a_client_that_has_ended_is_not_served() {
    let vhsmd = start(&SERVED.replace("400ms", "60s"));
    let socket = stream_socket();
    let client = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "disk_key::act_as_client_that_ends"])
        .env("DISK_KEY_SOCKET", vhsmd.path("data.key"))
        .stdin(Stdio::from(socket.try_clone().unwrap()))
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert!(client.success());
    let mut stream = UnixStream::from(socket);
    let limit = Some(Duration::from_secs(10));
    stream.set_read_timeout(limit).unwrap();
    let mut key = Vec::new();
    stream.read_to_end(&mut key).unwrap();
    assert_eq!(key, b"");
    assert!(
        vhsmd.log().contains("nobody waits for it"),
        "{}",
        vhsmd.log()
    );
}
