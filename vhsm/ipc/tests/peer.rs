//! Identity of real peers: other uids, supplementary groups, cgroups, and one that has ended.
//!
//! The peer is this same test program, started again to run [`act_as_peer`] alone.

#![cfg(test)]

use nitride_ipc::peer::{CgroupRoot, IdentityError, PeerIdentity, resolve};
use nitride_ipc::{Connection, Listener};
use nix::unistd::{Gid, Uid, getuid, setgid, setgroups, setuid};
use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const UID: u32 = 61_234;
const GID: u32 = 61_235;

/// Not a test of its own: what the peer process does. It joins a cgroup, drops to a uid, connects and waits.
#[test]
fn act_as_peer() {
    let Ok(socket) = std::env::var("PEER_SOCKET") else {
        return;
    };
    if let Ok(cgroup) = std::env::var("PEER_CGROUP") {
        fs::write(
            Path::new(&cgroup).join("cgroup.procs"),
            std::process::id().to_string(),
        )
        .unwrap();
    }
    if std::env::var("PEER_DROP").is_ok() {
        let groups: Vec<Gid> = (1000..1100).map(Gid::from_raw).collect();
        setgroups(&groups).unwrap();
        setgid(Gid::from_raw(GID)).unwrap();
        setuid(Uid::from_raw(UID)).unwrap();
    }
    let connection = Connection::connect(Path::new(&socket)).unwrap();
    connection.send(b"here").unwrap();
    // Ends when the test closes its end, or kills this process.
    let _ = connection.next_len();
}

struct Meeting {
    _dir: tempfile::TempDir,
    socket: PathBuf,
    listener: Listener,
}

impl Meeting {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let socket = dir.path().join("s");
        let listener = Listener::bind(&socket, 0o666).unwrap();
        Self {
            _dir: dir,
            socket,
            listener,
        }
    }

    /// Starts the peer and returns once it has connected and said so.
    fn peer(&self, environment: &[(&str, &str)]) -> (Peer, Connection) {
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "act_as_peer"])
            .env("PEER_SOCKET", &self.socket)
            .envs(environment.iter().copied())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let peer = Peer(child);
        let connection = self.listener.accept().unwrap();
        assert_eq!(connection.next_len().unwrap(), Some(4));
        (peer, connection)
    }
}

/// Ends with the test, whichever way that ends.
struct Peer(Child);

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A folder in the cgroup2 hierarchy, removed again.
struct Cgroup(PathBuf);

impl Cgroup {
    fn make(root: &CgroupRoot, path: &str) -> Self {
        let folder = root.mount().join(path);
        fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // The process in it has ended, but the kernel takes a moment to notice.
        for _ in 0..50 {
            if fs::remove_dir(&self.0).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

fn skipped_without_root(test: &str) -> bool {
    let skipped = !getuid().is_root();
    if skipped {
        // Past the harness's capture, so that a run without root says what it did not test.
        let _ = writeln!(std::io::stderr(), "SKIPPED {test}: needs root");
    }
    skipped
}

fn identify(connection: &Connection) -> Result<PeerIdentity, IdentityError> {
    resolve(connection, CgroupRoot::find().ok().as_ref())
}

#[test]
fn own_process_is_identified() {
    let (one, _other) = Connection::pair().unwrap();
    let peer = identify(&one).unwrap();
    assert_eq!(peer.uid, getuid().as_raw());
    assert_eq!(peer.pid, std::process::id());
    assert!(peer.still_alive());
}

#[test]
fn foreign_uid_and_all_its_groups_are_seen() {
    if skipped_without_root("foreign_uid_and_all_its_groups_are_seen") {
        return;
    }
    let meeting = Meeting::new();
    let (child, connection) = meeting.peer(&[("PEER_DROP", "1")]);
    let peer = identify(&connection).unwrap();
    assert_eq!((peer.uid, peer.gid), (UID, GID));
    assert_eq!(peer.pid, child.0.id());
    // More than the first guess of their number, so that the kernel's correction is tried too.
    assert_eq!(peer.groups, (1000..1100).collect::<Vec<u32>>());
}

#[test]
fn unit_is_named_by_the_full_cgroup_path() {
    if skipped_without_root("unit_is_named_by_the_full_cgroup_path") {
        return;
    }
    let root = CgroupRoot::find().unwrap();
    let meeting = Meeting::new();
    let name = format!("nitride-ipc-{}", std::process::id());
    for (path, unit) in [
        (format!("system.slice/{name}.service"), true),
        (format!("system.slice/{name}.service/worker"), true),
        (
            format!("system.slice/{name}.service/worker/{name}.service"),
            false,
        ),
        (
            format!("user.slice/user-7.slice/user@7.service/app.slice/{name}.service"),
            false,
        ),
        (format!("{name}.service"), false),
    ] {
        let cgroup = Cgroup::make(&root, &path);
        let (_child, connection) = meeting.peer(&[("PEER_CGROUP", cgroup.path())]);
        let peer = identify(&connection).unwrap();
        assert_eq!(peer.cgroup.unwrap(), format!("/{path}"));
        let expected = unit.then(|| format!("{name}.service"));
        assert_eq!(peer.unit, expected, "{path}");
    }
    for parent in [
        "system.slice/{}.service/worker",
        "system.slice/{}.service",
        "user.slice/user-7.slice/user@7.service/app.slice",
        "user.slice/user-7.slice/user@7.service",
        "user.slice/user-7.slice",
    ] {
        let _ = fs::remove_dir(root.mount().join(parent.replace("{}", &name)));
    }
}

#[test]
fn ended_peer_is_gone_and_no_identity() {
    let meeting = Meeting::new();
    let (mut child, connection) = meeting.peer(&[]);
    let before = identify(&connection).unwrap();
    assert!(before.still_alive());
    child.0.kill().unwrap();
    child.0.wait().unwrap();
    let deadline = Instant::now() + Duration::from_secs(5);
    while before.still_alive() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(!before.still_alive());
    assert!(matches!(
        identify(&connection),
        Err(IdentityError::PeerGone)
    ));
}

#[test]
fn cgroup_that_proc_hides_is_found_by_its_inode() {
    if skipped_without_root("cgroup_that_proc_hides_is_found_by_its_inode") {
        return;
    }
    let root = CgroupRoot::find().unwrap();
    let name = format!("nitride-ipc-walk-{}.service", std::process::id());
    let cgroup = Cgroup::make(&root, &format!("system.slice/{name}"));
    let id = fs::metadata(&cgroup.0).unwrap().ino();
    let path = format!("/system.slice/{name}");
    assert_eq!(root.path_of(id, None).unwrap(), path);
    // A hint that names another folder than the pidfd's is not believed.
    assert_eq!(root.path_of(id, Some("/")).unwrap(), path);
    assert_eq!(root.path_of(u64::MAX, Some("/")), None);
}
