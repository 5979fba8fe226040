//! What the kernel tells of a peer, by both of its ways.

use crate::peers::{hex, start, steps};
use anyhow::{Context, Result, ensure};
use nitride_ipc::message::ask_for_senders;
use nitride_ipc::peer::{CgroupRoot, IdentityError, PeerIdentity, resolve};
use nitride_ipc::{Connection, Listener};
use nitride_support::program::RunAs;
use nitride_support::unit::{Unit, is_root_or_says_so};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

pub(crate) const STRANGER: u32 = 4321;

/// Where peers of a test connect to.
pub(crate) struct Meeting {
    dir: PathBuf,
    pub(crate) socket: PathBuf,
    pub(crate) listener: Listener,
}

impl Meeting {
    pub(crate) fn new(name: &str) -> Result<Self> {
        let dir = std::env::temp_dir().join(format!("nitride-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&dir)?;
        std::fs::set_permissions(&dir, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
        let socket = dir.join("s");
        let listener = Listener::bind(&socket, 0o666)?;
        ask_for_senders(&listener, true)?;
        Ok(Self {
            dir,
            socket,
            listener,
        })
    }

    /// The next connection, or an error when none comes.
    pub(crate) fn accept(&self) -> Result<Connection> {
        Ok(self.listener.accept()?)
    }
}

impl Drop for Meeting {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

/// The identity, which both ways have to agree on.
pub(crate) fn identify(connection: &Connection) -> Result<PeerIdentity, IdentityError> {
    let root = CgroupRoot::find().expect("cgroup2 is mounted");
    let by_proc = resolve(connection, Some(&root.clone().by_proc_alone()))?;
    let by_kernel = resolve(connection, Some(&root))?;
    let facts = |identity: &PeerIdentity| {
        (
            (identity.uid, identity.gid, identity.pid),
            identity.groups.clone(),
            (identity.unit.clone(), identity.cgroup.clone()),
        )
    };
    assert_eq!(facts(&by_kernel), facts(&by_proc));
    Ok(by_kernel)
}

pub(crate) fn as_user(uid: u32) -> RunAs {
    RunAs {
        user: Some((uid, uid)),
        ..RunAs::default()
    }
}

/// Waits until the pinned process has ended.
fn ended(identity: &PeerIdentity) -> bool {
    let deadline = Instant::now() + Duration::from_secs(10);
    while identity.still_alive() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(5));
    }
    !identity.still_alive()
}

/// One packet with who sent it.
fn received(connection: &Connection) -> Result<(Vec<u8>, Option<nitride_ipc::message::Sender>)> {
    let mut buf = [0; 256];
    let message = connection
        .recv_with_credentials(&mut buf)?
        .context("the connection ended")?;
    Ok((buf[..message.len].to_vec(), message.sender))
}

#[test]
fn a_number_that_another_process_has_taken_is_not_the_peer() -> Result<()> {
    if !is_root_or_says_so("a_number_that_another_process_has_taken_is_not_the_peer") {
        return Ok(());
    }
    let meeting = Meeting::new("reuse")?;
    // The victim connects and ends; what it leaves behind takes its number and its connection.
    let first = format!("send={}", hex(b"victim"));
    let second = format!("send={}", hex(b"reborn"));
    let words = [
        "victim=3", "connect", &first, "recv", "reborn", &second, "recv",
    ];
    let peer = start(&RunAs::default(), &[], &meeting.socket, &steps(&words))?;
    let connection = meeting.accept()?;
    let (packet, sender) = received(&connection)?;
    assert_eq!(packet, b"victim");
    let victim = identify(&connection)?;
    assert!(victim.has_sent(sender.as_ref()));
    connection.send(b"now end")?;
    let (packet, sender) = received(&connection)?;
    assert_eq!(packet, b"reborn");
    let sender = sender.context("the sender")?;
    // The same number, user and group: only the pinned process tells them apart.
    assert_eq!((sender.pid, sender.uid), (victim.pid, victim.uid));
    assert!(Path::new(&format!("/proc/{}", victim.pid)).exists());
    assert!(!victim.still_alive() && !victim.has_sent(Some(&sender)));
    assert!(matches!(
        identify(&connection),
        Err(IdentityError::PeerGone)
    ));
    connection.send(b"end")?;
    peer.finish()?;
    Ok(())
}

#[test]
fn messages_of_a_child_and_of_a_process_that_got_the_descriptor_are_not_the_peers() -> Result<()> {
    if !is_root_or_says_so("messages_of_a_child_and_of_others_are_not_the_peers") {
        return Ok(());
    }
    let meeting = Meeting::new("others")?;
    let (own, other) = (
        format!("send={}", hex(b"own")),
        format!("send={}", hex(b"other")),
    );
    for (way, is_peer) in [
        ("fork", false),
        ("hand-over", false),
        ("setuid=4321", false),
        // The process is the same one, whatever it runs; see the executable digest.
        ("exec", true),
    ] {
        let words = ["connect", &own, way, &other, "recv"];
        let peer = start(&RunAs::default(), &[], &meeting.socket, &steps(&words))?;
        let connection = meeting.accept()?;
        let identity = identify(&connection)?;
        let (_, sender) = received(&connection)?;
        assert!(identity.has_sent(sender.as_ref()), "{way}: {sender:?}");
        let (packet, sender) = received(&connection)?;
        assert_eq!(packet, b"other");
        assert_eq!(
            identity.has_sent(sender.as_ref()),
            is_peer,
            "{way}: {sender:?}"
        );
        assert!(identity.still_alive());
        connection.send(b"end")?;
        peer.finish()?;
    }
    Ok(())
}

#[test]
fn an_ordinary_user_cannot_sign_a_message_as_another_process() -> Result<()> {
    if !is_root_or_says_so("an_ordinary_user_cannot_sign_a_message_as_another_process") {
        return Ok(());
    }
    let meeting = Meeting::new("lie")?;
    let lie = format!("lie=1,{}", hex(b"lie"));
    let words = steps(&["connect", &lie]);
    let peer = start(&as_user(STRANGER), &[], &meeting.socket, &words)?;
    let connection = meeting.accept()?;
    // The kernel refuses the packet, and the peer ends with the error.
    assert!(peer.finish().is_err());
    assert_eq!(connection.next_len()?, None);
    Ok(())
}

#[test]
fn peers_that_end_while_they_are_looked_at_are_gone_or_whole() -> Result<()> {
    if !is_root_or_says_so("peers_that_end_while_they_are_looked_at_are_gone_or_whole") {
        return Ok(());
    }
    const PEERS: usize = 400;
    let meeting = Meeting::new("storm")?;
    let words = steps(&[&format!("storm={PEERS}")]);
    let peer = start(&as_user(STRANGER), &[], &meeting.socket, &words)?;
    let (mut whole, mut gone) = (0, 0);
    let root = CgroupRoot::find()?;
    for index in 0..PEERS {
        let connection = meeting.accept()?;
        let root = match index % 2 {
            0 => root.clone(),
            _ => root.clone().by_proc_alone(),
        };
        match resolve(&connection, Some(&root)) {
            Ok(identity) => {
                ensure!((identity.uid, identity.gid) == (STRANGER, STRANGER));
                // Where there is a path at all, it is the one that they all are in.
                ensure!(identity.unit.is_none(), "{identity:?}");
                whole += 1;
            }
            Err(IdentityError::PeerGone) => gone += 1,
            Err(other) => return Err(other.into()),
        }
    }
    peer.finish()?;
    assert_eq!(whole + gone, PEERS);
    eprintln!("{whole} were whole, {gone} were gone");
    Ok(())
}

#[test]
fn a_peer_that_ended_before_it_was_accepted_is_gone() -> Result<()> {
    let meeting = Meeting::new("early")?;
    let peer = start(
        &RunAs::default(),
        &[],
        &meeting.socket,
        &steps(&["connect"]),
    )?;
    peer.finish()?;
    let connection = meeting.accept()?;
    assert!(matches!(
        identify(&connection),
        Err(IdentityError::PeerGone)
    ));
    Ok(())
}

#[test]
fn root_of_a_user_namespace_is_the_user_that_made_it() -> Result<()> {
    if !is_root_or_says_so("root_of_a_user_namespace_is_the_user_that_made_it") {
        return Ok(());
    }
    let meeting = Meeting::new("userns")?;
    let words = steps(&["connect", "recv"]);
    let inside = ["unshare", "--user", "--map-root-user"];
    let peer = start(&as_user(STRANGER), &inside, &meeting.socket, &words)?;
    let connection = meeting.accept()?;
    let identity = identify(&connection)?;
    assert_eq!((identity.uid, identity.gid), (STRANGER, STRANGER));
    connection.send(b"end")?;
    peer.finish()?;
    Ok(())
}

#[test]
fn a_peer_in_a_pid_or_cgroup_namespace_has_the_number_and_the_unit_that_we_see() -> Result<()> {
    if !is_root_or_says_so("a_peer_in_a_pid_or_cgroup_namespace_has_what_we_see") {
        return Ok(());
    }
    let unit = Unit::create("nitride-e2e-contained.service")?;
    let inner = unit.delegate("payload")?;
    let meeting = Meeting::new("pidns")?;
    let run_as = RunAs {
        cgroup: Some(inner),
        ..RunAs::default()
    };
    for inside in [
        &["unshare", "--pid", "--fork", "--kill-child"][..],
        &["unshare", "--cgroup"],
        &[
            "unshare",
            "--pid",
            "--fork",
            "--kill-child",
            "--cgroup",
            "--mount-proc",
        ],
    ] {
        let own = format!("send={}", hex(b"own"));
        let peer = start(
            &run_as,
            inside,
            &meeting.socket,
            &steps(&["connect", &own, "recv"]),
        )?;
        let connection = meeting.accept()?;
        let identity = identify(&connection)?;
        let (_, sender) = received(&connection)?;
        assert!(identity.pid > 1, "{inside:?}");
        assert!(identity.has_sent(sender.as_ref()), "{inside:?}: {sender:?}");
        let path = "/system.slice/nitride-e2e-contained.service/payload";
        assert_eq!(identity.cgroup.as_deref(), Some(path), "{inside:?}");
        assert_eq!(
            identity.unit.as_deref(),
            Some("nitride-e2e-contained.service")
        );
        connection.send(b"end")?;
        peer.finish()?;
    }
    Ok(())
}

/// Not a test of its own: accepts one peer from within a namespace, and says who it is.
#[test]
fn act_as_server() -> Result<()> {
    let Ok(socket) = std::env::var("SERVER_SOCKET") else {
        return Ok(());
    };
    let listener = Listener::bind(Path::new(&socket), 0o666)?;
    let connection = listener.accept()?;
    let found = match identify(&connection) {
        Ok(identity) => format!("somebody with the number {}", identity.pid),
        Err(error) => error.to_string(),
    };
    std::fs::write(format!("{socket}.found"), found)?;
    connection.send(b"end")?;
    Ok(())
}

#[test]
fn a_peer_whose_namespace_is_not_seen_from_ours_is_nobody() -> Result<()> {
    if !is_root_or_says_so("a_peer_whose_namespace_is_not_seen_from_ours_is_nobody") {
        return Ok(());
    }
    let meeting = Meeting::new("foreign")?;
    let socket = meeting.dir.join("inner");
    let mut server = std::process::Command::new("unshare")
        .args(["--pid", "--fork", "--kill-child"])
        .arg(std::env::current_exe()?)
        .args(["--exact", "kernel::act_as_server"])
        .env("SERVER_SOCKET", &socket)
        .stdout(std::process::Stdio::null())
        .spawn()?;
    let deadline = Instant::now() + Duration::from_secs(20);
    let connection = loop {
        match Connection::connect(&socket) {
            Ok(connection) => break connection,
            Err(_) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(20)),
            Err(error) => return Err(error.into()),
        }
    };
    connection.next_len()?;
    server.wait()?;
    let found = std::fs::read_to_string(meeting.dir.join("inner.found"))?;
    assert_eq!(found, IdentityError::ForeignNamespace.to_string());
    Ok(())
}

#[test]
fn a_pinned_peer_that_ends_is_never_alive_again() -> Result<()> {
    let meeting = Meeting::new("pinned")?;
    let words = steps(&["connect", "recv"]);
    let peer = start(&RunAs::default(), &[], &meeting.socket, &words)?;
    let connection = meeting.accept()?;
    let identity = identify(&connection)?;
    assert!(identity.still_alive());
    connection.send(b"end")?;
    peer.finish()?;
    assert!(ended(&identity));
    Ok(())
}
