//! The end of the phase that the vault belongs to.

use crate::world::{Client, Vhsmd, read};
use nitride_ipc::Listener;
use nitride_protocol::admin::{EndPhase, PhaseEnded, Protection};
use nitride_protocol::application::Generate;
use nitride_protocol::quote::{PhaseEndReply, PhaseReply, QuoteOperation};
use nitride_protocol::{KeyName, KeyType, Status, open_request, write_refusal, write_reply};
use nix::sys::signal::Signal;
use std::thread::{self, JoinHandle};
use std::time::Duration;

const POLICY: &str = r#"
[[rule]]
name = "all"
keys = ["**"]
peers = [{ uid = UID }]
operations = ["generate", "sign"]
"#;
const PHASE: &str = "[boot]\nphase = \"initrd\"\n";

/// Plays nitride-quote: begins the phase, and answers each further request with the next of `ends`.
/// Gives the operations that were asked for.
fn helper(listener: Listener, ends: Vec<Status>) -> JoinHandle<Vec<u16>> {
    thread::spawn(move || {
        let mut asked = Vec::new();
        for status in [Status::Ok].into_iter().chain(ends) {
            let connection = listener.accept().unwrap();
            let mut packet = vec![0; 4096];
            let len = connection.recv(&mut packet).unwrap().unwrap();
            let (head, params) = open_request(&packet[..len]).unwrap();
            asked.push(head.operation);
            // Both have the name alone.
            let mut params = params.clone();
            assert_eq!((params.array(), params.text()), (Ok(1), Ok("initrd")));
            let mut reply = vec![0; 4096];
            let len = match (status, asked.len()) {
                (Status::Ok, 1) => {
                    write_reply(&mut reply, head.id, status, &PhaseReply { is_new: true })
                }
                (Status::Ok, _) => {
                    write_reply(&mut reply, head.id, status, &PhaseEndReply { is_new: true })
                }
                (status, _) => write_refusal(&mut reply, head.id, status),
            };
            connection.send(&reply[..len.unwrap()]).unwrap();
        }
        asked
    })
}

fn generated(client: &mut Client, key: &str) -> Result<Vec<u8>, Status> {
    client.call(&Generate {
        key: KeyName::parse(key).unwrap(),
        key_type: KeyType::Ed25519,
        operations: None,
        wrappable_by: Vec::new(),
    })
}

fn ends(vhsmd: &Vhsmd, protection: Protection) -> Result<bool, Status> {
    let mut admin = vhsmd.greeted("admin.sock", 0);
    let packet = admin.call(&EndPhase { protection })?;
    Ok(read::<PhaseEnded>(&packet).kept)
}

/// A connection that is accepted and ended, or not even that.
fn is_served(vhsmd: &Vhsmd, socket: &str) -> bool {
    let path = vhsmd.path(socket);
    nitride_ipc::Connection::connect(&path)
        .is_ok_and(|connection| Client::new(connection).hello_if_open().is_some())
}

#[test]
fn after_the_end_nobody_is_served_and_the_process_waits_to_be_stopped() {
    let mut asked = None;
    let mut vhsmd = Vhsmd::start_by(POLICY, PHASE, |dir| {
        let listener = Listener::bind(&dir.join("quote.sock"), 0o600).unwrap();
        asked = Some(helper(listener, vec![Status::Ok]));
        std::process::Command::new(crate::world::BINARY)
    });
    let mut client = vhsmd.greeted("vhsm.sock", 0);
    generated(&mut client, "a").unwrap();
    assert!(client.sign("a").is_ok());
    // No application may ask for it.
    let protection = Protection::Verity;
    let refused = client.call(&EndPhase { protection }).unwrap_err();
    assert_eq!(refused, Status::UnknownOperation);
    // Not kept even so: there is no service manager that keeps anything.
    assert_eq!(ends(&vhsmd, protection), Ok(false));
    let asked = asked.unwrap().join().unwrap();
    let wanted = [QuoteOperation::Phase, QuoteOperation::PhaseEnd];
    assert_eq!(asked, wanted.map(QuoteOperation::to_wire));
    assert_eq!(client.connection.next_len().unwrap(), None);
    thread::sleep(Duration::from_millis(300));
    assert!(!is_served(&vhsmd, "vhsm.sock") && !is_served(&vhsmd, "admin.sock"));
    // It would be started again, in a phase that is over.
    assert!(vhsmd.child.try_wait().unwrap().is_none(), "{}", vhsmd.log());
    vhsmd.signal(Signal::SIGTERM);
    assert!(vhsmd.child.wait().unwrap().success(), "{}", vhsmd.log());
    assert!(vhsmd.log().contains("phase ended, serving nobody"));
}

#[test]
fn an_end_that_is_not_measured_changes_nothing_and_can_be_asked_again() {
    let mut asked = None;
    let vhsmd = Vhsmd::start_by(POLICY, PHASE, |dir| {
        let listener = Listener::bind(&dir.join("quote.sock"), 0o600).unwrap();
        let ends = vec![Status::EvidenceUnavailable, Status::Ok];
        asked = Some(helper(listener, ends));
        std::process::Command::new(crate::world::BINARY)
    });
    let mut client = vhsmd.greeted("vhsm.sock", 0);
    generated(&mut client, "a").unwrap();
    let refused = ends(&vhsmd, Protection::None);
    assert_eq!(refused, Err(Status::EvidenceUnavailable));
    assert!(client.sign("a").is_ok());
    assert_eq!(ends(&vhsmd, Protection::None), Ok(false));
    assert!(client.sign_if_open("a").is_none());
    drop(asked);
}

#[test]
fn without_a_phase_the_keys_end_all_the_same() {
    let vhsmd = Vhsmd::start(POLICY, "[boot]\nacross-switch-root = \"fetch-again\"\n");
    let mut client = vhsmd.greeted("vhsm.sock", 0);
    generated(&mut client, "a").unwrap();
    assert_eq!(ends(&vhsmd, Protection::Integrity), Ok(false));
    assert!(client.sign_if_open("a").is_none());
}

#[test]
fn what_becomes_of_the_keys_has_two_words() {
    let mut vhsmd = Vhsmd::start(POLICY, "[boot]\nacross-switch-root = \"forget\"\n");
    assert!(!vhsmd.child.wait().unwrap().success());
    assert!(vhsmd.log().contains("fetch-again"), "{}", vhsmd.log());
    // A word that is none is malformed, and ends nothing.
    let vhsmd = Vhsmd::start(POLICY, "");
    let admin = vhsmd.greeted("admin.sock", 0);
    // [7, 39, ["luks"]]
    let (_, status, _) = admin.receive_after(b"\x83\x07\x18\x27\x81\x64luks");
    assert_eq!(status, Status::Malformed);
    assert!(is_served(&vhsmd, "vhsm.sock"));
}
