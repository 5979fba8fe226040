//! What needs neither an agent nor another user.

use crate::world::{BINARY, Vhsmd, read, sign};
use nitride_protocol::admin::{Reload, Reloaded};
use nitride_protocol::application::{
    Generate, Generated, Random, RandomBytes, Sign, Signature, StatusRequest, VaultStatus, Welcome,
};
use nitride_protocol::limits::MAX_PACKET_LEN;
use nitride_protocol::{KeyName, KeyType, Status};
use nix::sys::signal::Signal;
use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

const POLICY: &str = r#"
[[rule]]
name = "tests"
keys = ["app/**"]
peers = [{ uid = UID }]
operations = ["generate", "sign", "random", "status", "list"]

[[key]]
name = "app/remote"
type = "ec-p256"
source = "kbs:///default/key/remote"
service = "main"
unsigned = "accept"
operations = ["sign"]
"#;

#[test]
fn keys_are_made_and_used_over_the_socket() {
    let vhsmd = Vhsmd::start(POLICY, "");
    let mut client = vhsmd.connect("vhsm.sock");
    let welcome = client.hello(0).unwrap();
    assert_eq!(read::<Welcome<'_>>(&welcome).version, 1);
    let generated = client
        .call(&Generate {
            key: KeyName::parse("app/a").unwrap(),
            key_type: KeyType::EcP256,
            operations: None,
            wrappable_by: Vec::new(),
        })
        .unwrap();
    assert_eq!(read::<Generated>(&generated).version, 1);
    let signature = client.sign("app/a").unwrap();
    assert_eq!(read::<Signature<'_>>(&signature).signature.len(), 64);
    // Longer than the connection's own buffers, in either direction.
    let drawn = client.call(&Random { len: 60_000 }).unwrap();
    assert_eq!(read::<RandomBytes<'_>>(&drawn).bytes.len(), 60_000);
    let message = vec![1; 60_000];
    let signature = client
        .call(&Sign {
            message: &message,
            ..sign("app/a")
        })
        .unwrap();
    assert_eq!(read::<Signature<'_>>(&signature).signature.len(), 64);
}

#[test]
fn hello_comes_first() {
    let vhsmd = Vhsmd::start(POLICY, "");
    let mut client = vhsmd.connect("vhsm.sock");
    assert_eq!(client.sign("app/a"), Err(Status::UnsupportedVersion));
    client.hello(0).unwrap();
    assert_eq!(client.sign("app/a"), Err(Status::KeyNotFound));
}

#[test]
fn denial_is_logged_with_what_the_peer_is_not_told() {
    let vhsmd = Vhsmd::start(POLICY, "");
    let mut client = vhsmd.greeted("vhsm.sock", 0);
    assert_eq!(client.sign("other/a"), Err(Status::Denied));
    let log = vhsmd.log();
    let line = log.lines().find(|line| line.contains("request refused"));
    let line = line.unwrap();
    for part in [
        "request=8",
        "key=\"other/a\"",
        "no rule grants",
        "status=denied",
    ] {
        assert!(line.contains(part), "{part} in {line}");
    }
}

#[test]
fn malformed_packets_are_refused_by_id_and_strangers_are_cut_off() {
    let vhsmd = Vhsmd::start(POLICY, "");
    let client = vhsmd.greeted("vhsm.sock", 0);
    // [9, 6, ...] with params that are none.
    client.connection.send(&[0x83, 0x09, 0x06, 0x01]).unwrap();
    assert_eq!(client.receive().1, Status::Malformed);
    assert_eq!(client.receive_after(&[0x83, 0x09, 0x06, 0x80, 0x00]).0, 9);
    client.connection.send(b"GET / HTTP/1.1").unwrap();
    assert_eq!(client.receive().1, Status::Malformed);
    assert_eq!(client.connection.next_len().unwrap(), None);
    // Each is in the log, with what is wrong. What the audit mirrors there comes when it likes.
    let log = vhsmd.log();
    let refused = log.lines().filter(|line| line.contains("request refused"));
    let malformed = refused.filter(|line| line.contains("status=malformed"));
    assert_eq!(malformed.count(), 3);
}

#[test]
fn oversized_packet_is_refused_by_its_id_and_the_next_one_served() {
    let vhsmd = Vhsmd::start(POLICY, "");
    let mut client = vhsmd.greeted("vhsm.sock", 0);
    let mut packet = vec![0; MAX_PACKET_LEN + 5000];
    packet[..3].copy_from_slice(&[0x83, 0x17, 0x06]);
    let (id, status, _) = client.receive_after(&packet);
    assert_eq!((id, status), (0x17, Status::TooLarge));
    assert!(vhsmd.log().contains("longer than any may be"));
    client.call(&Random { len: 8 }).unwrap();
}

#[test]
fn busy_connection_that_pauses_and_says_too_much_is_answered_as_any() {
    // Room for the buffer that a busy connection is lent.
    let vhsmd = Vhsmd::start(POLICY, "");
    let mut client = vhsmd.greeted("vhsm.sock", 0);
    let mut oversized = vec![0; MAX_PACKET_LEN + 5000];
    oversized[..3].copy_from_slice(&[0x83, 0x17, 0x06]);
    for _ in 0..3 {
        for _ in 0..100 {
            client.call(&Random { len: 8 }).unwrap();
        }
        let (id, status, _) = client.receive_after(&oversized);
        assert_eq!((id, status), (0x17, Status::TooLarge));
        client.call(&Random { len: 8 }).unwrap();
        // Longer than a loan lasts.
        std::thread::sleep(Duration::from_millis(60));
    }
    let (id, status, _) = client.receive_after(&oversized);
    assert_eq!((id, status), (0x17, Status::TooLarge));
    client.call(&Random { len: 8 }).unwrap();
}

#[test]
fn request_that_may_not_wait_is_refused_at_once_and_one_that_may_at_its_deadline() {
    let vhsmd = Vhsmd::start(POLICY, "");
    let mut client = vhsmd.greeted("vhsm.sock", 0);
    assert_eq!(client.sign("app/remote"), Err(Status::AgentAbsent));
    client.hello(300).unwrap();
    let start = Instant::now();
    let waits = client.send(&sign("app/remote"));
    // The thread of the connection goes on meanwhile.
    let next = client.send(&Random { len: 8 });
    assert_eq!(client.receive().0, next);
    let (id, status, _) = client.receive();
    assert_eq!((id, status), (waits, Status::AgentAbsent));
    assert!(start.elapsed() >= Duration::from_millis(300));
    assert!(start.elapsed() < Duration::from_millis(2000));
}

#[test]
fn parked_requests_and_connections_have_quotas() {
    let vhsmd = Vhsmd::start(
        POLICY,
        "[limits]\nconnections-per-uid = 2\nparked-per-uid = 1\n",
    );
    let mut first = vhsmd.greeted("vhsm.sock", 60_000);
    let _second = vhsmd.greeted("vhsm.sock", 0);
    let third = vhsmd.connect("vhsm.sock");
    assert_eq!(
        (third.receive().0, third.connection.next_len().unwrap()),
        (0, None)
    );
    first.send(&sign("app/remote"));
    assert_eq!(first.sign("app/remote"), Err(Status::QuotaExceeded));
}

#[test]
fn stopping_answers_those_who_wait_and_removes_the_sockets() {
    let mut vhsmd = Vhsmd::start(POLICY, "");
    let mut client = vhsmd.greeted("vhsm.sock", 60_000);
    let waits = client.send(&sign("app/remote"));
    client.call(&Random { len: 1 }).unwrap();
    vhsmd.signal(Signal::SIGTERM);
    let (id, status, _) = client.receive();
    assert_eq!((id, status), (waits, Status::ShuttingDown));
    assert_eq!(client.connection.next_len().unwrap(), None);
    assert!(vhsmd.child.wait().unwrap().success(), "{}", vhsmd.log());
    for socket in ["vhsm.sock", "admin.sock", "agent.sock"] {
        assert!(!vhsmd.path(socket).exists());
    }
}

#[test]
fn reload_is_whole_or_not_at_all() {
    let vhsmd = Vhsmd::start(POLICY, "");
    let mut client = vhsmd.greeted("vhsm.sock", 0);
    let mut admin = vhsmd.greeted("admin.sock", 0);
    client.call(&Random { len: 8 }).unwrap();
    vhsmd.write_policy(&format!("{POLICY}\n[[rule]]\nname = 1\n"));
    assert_eq!(admin.call(&Reload), Err(Status::PolicyInvalid));
    client.call(&Random { len: 8 }).unwrap();
    let status = admin.call(&StatusRequest::default()).unwrap();
    let status: VaultStatus<'_> = read(&status);
    assert_eq!(status.policy_generation, 1);
    let warned = |status: &VaultStatus<'_>| {
        let mut warnings = status.warnings.iter();
        warnings.any(|warning| warning.contains("last reload was refused"))
    };
    assert!(warned(&status));
    assert!(vhsmd.log().contains("test.toml:17: "), "{}", vhsmd.log());

    vhsmd.write_policy(&POLICY.replace("\"random\", ", ""));
    let reloaded = admin.call(&Reload).unwrap();
    assert_eq!(read::<Reloaded>(&reloaded).policy_generation, 2);
    assert_eq!(client.call(&Random { len: 8 }), Err(Status::Denied));
    let status = admin.call(&StatusRequest::default()).unwrap();
    assert!(!warned(&read(&status)));
}

#[test]
fn signal_reloads_too() {
    let vhsmd = Vhsmd::start(POLICY, "");
    let mut client = vhsmd.greeted("vhsm.sock", 0);
    vhsmd.write_policy(&POLICY.replace("\"random\", ", ""));
    vhsmd.signal(Signal::SIGHUP);
    let deadline = Instant::now() + Duration::from_secs(5);
    while client.call(&Random { len: 8 }).is_ok() {
        assert!(Instant::now() < deadline);
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn configuration_error_ends_the_start_with_file_and_line() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("vhsmd.toml");
    fs::write(
        &path,
        "policy-dir = \"/x\"\n[arena]\nrecords = \"3MB\"\nheap = \"3MiB\"\n",
    )
    .unwrap();
    let output = Command::new(BINARY)
        .arg("--config")
        .arg(&path)
        .output()
        .unwrap();
    assert!(!output.status.success());
    let log = String::from_utf8(output.stderr).unwrap();
    assert!(log.contains("vhsmd.toml:3: \"3MB\" is not the size of an arena; "));
}

#[test]
fn thousand_connections_fit_into_a_small_arena() {
    // Two descriptors a connection in vhsmd, one here.
    if nitride_ipc::process::raise_descriptor_limit(1500).unwrap() < 1500 {
        eprintln!("SKIPPED: the hard limit of open descriptors is below 1500");
        return;
    }
    let vhsmd = Vhsmd::start(POLICY, "");
    let mut clients: Vec<_> = (0..1000).map(|_| vhsmd.greeted("vhsm.sock", 0)).collect();
    clients[0]
        .call(&Generate {
            key: KeyName::parse("app/a").unwrap(),
            key_type: KeyType::EcP256,
            operations: None,
            wrappable_by: Vec::new(),
        })
        .unwrap();
    let idle = heap_used(&vhsmd);
    for client in &mut clients {
        client.sign("app/a").unwrap();
    }
    let used = heap_used(&vhsmd);
    // Two buffers of 512 bytes, and what AWS-LC's generator keeps for each thread.
    assert!((used - idle) / 1000 <= 1536, "{idle} {used}");
}

fn heap_used(vhsmd: &Vhsmd) -> u64 {
    let status = vhsmd
        .greeted("admin.sock", 0)
        .call(&StatusRequest::default())
        .unwrap();
    read::<VaultStatus<'_>>(&status).heap_used
}
