//! More connections than threads.

use crate::world::{Client, Vhsmd, sign};
use nitride_protocol::application::Generate;
use nitride_protocol::{KeyName, KeyType, Status};
use nix::sys::signal::Signal;
use std::fs;

const POLICY: &str = r#"
[[rule]]
name = "all"
keys = ["**"]
peers = [{ uid = UID }]
operations = ["generate", "sign"]

[[key]]
name = "remote"
type = "ec-p256"
source = "kbs:///default/key/remote"
service = "main"
unsigned = "accept"
operations = ["sign"]
"#;

const LIMITS: &str = "[limits]\nconnections = 5000\nconnections-per-uid = 5000\n";

fn world(count: usize) -> (Vhsmd, Vec<Client>) {
    // A descriptor for each of our ends; the vault raises its own limit.
    nitride_ipc::process::raise_descriptor_limit(2 * count as u64 + 256).unwrap();
    let vhsmd = Vhsmd::start(POLICY, LIMITS);
    let mut clients: Vec<Client> = (0..count).map(|_| vhsmd.connect("vhsm.sock")).collect();
    for client in &mut clients {
        client.hello(0).unwrap();
    }
    let generate = Generate {
        key: KeyName::parse("a").unwrap(),
        key_type: KeyType::EcP256,
        operations: None,
        wrappable_by: Vec::new(),
    };
    clients[0].call(&generate).unwrap();
    (vhsmd, clients)
}

fn threads(vhsmd: &Vhsmd) -> usize {
    let folder = format!("/proc/{}/task", vhsmd.child.id());
    fs::read_dir(folder).unwrap().count()
}

#[test]
fn a_thousand_connections_are_served_at_once_by_a_bounded_number_of_threads() {
    let (vhsmd, mut clients) = world(1000);
    assert!(threads(&vhsmd) < 300, "{}", threads(&vhsmd));
    for _ in 0..3 {
        // One request under way on each; the last connection is answered before the first.
        for client in &mut clients {
            client.send(&sign("a"));
        }
        for client in clients.iter().rev() {
            assert_eq!(client.receive().1, Status::Ok);
        }
    }
}

#[test]
fn four_thousand_connections_are_served() {
    let (vhsmd, mut clients) = world(4000);
    for client in &mut clients {
        assert!(client.sign("a").is_ok());
    }
    assert!(threads(&vhsmd) < 300);
    drop(clients);
    // What they had is given back.
    let mut again = vhsmd.greeted("vhsm.sock", 0);
    assert!(again.sign("a").is_ok());
}

#[test]
fn connection_without_a_thread_is_judged_and_parked_and_pipelined_like_any_other() {
    let (vhsmd, mut clients) = world(300);
    let mut last = clients.pop().unwrap();
    // Several under way, and answered in their order.
    let ids: Vec<u32> = (0..20).map(|_| last.send(&sign("a"))).collect();
    for id in ids {
        let (answered, status, _) = last.receive();
        assert_eq!((answered, status), (id, Status::Ok));
    }
    // A key that has to be fetched: it waits, and the others do not.
    last.hello(60_000).unwrap();
    let waiting = last.send(&sign("remote"));
    assert!(clients[298].sign("a").is_ok());
    // Its own requests go on besides: this answer overtakes.
    let next = last.send(&sign("a"));
    assert_eq!(last.receive().0, next);
    assert_ne!(next, waiting);
    // A rule that is taken away counts for it, too.
    vhsmd.write_policy("");
    vhsmd.signal(Signal::SIGHUP);
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while clients[298].sign("a").is_ok() {
        assert!(std::time::Instant::now() < deadline);
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

#[test]
fn peer_that_does_not_read_loses_its_connection_and_keeps_nobody_waiting() {
    let (_vhsmd, mut clients) = world(300);
    let greedy = clients.pop().unwrap();
    // Until its own requests no longer fit, and then some.
    let limit = Some(std::time::Duration::from_millis(300));
    greedy.connection.set_write_timeout(limit).unwrap();
    let mut packet = [0; 256];
    let request = sign("a");
    let operation = <nitride_protocol::application::Sign<'_> as nitride_protocol::Call>::OPERATION;
    let len = nitride_protocol::write_request(&mut packet, 1, operation, &request).unwrap();
    for _ in 0..20_000 {
        if greedy.connection.send(&packet[..len]).is_err() {
            break;
        }
    }
    let begun = std::time::Instant::now();
    for client in &mut clients {
        assert!(client.sign("a").is_ok());
    }
    assert!(begun.elapsed() < std::time::Duration::from_secs(20));
}

#[test]
fn stopping_ends_connections_without_threads() {
    let (mut vhsmd, clients) = world(300);
    vhsmd.signal(Signal::SIGTERM);
    let status = vhsmd.child.wait().unwrap();
    assert!(status.success(), "{}", vhsmd.log());
    drop(clients);
}
