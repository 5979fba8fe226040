//! Peers that ask for more than their share: of the runtime's one thread, of the evidence helper,
//! of the log.

use crate::world::{Client, Vhsmd, read, sign};
use nitride_ipc::{Connection, Listener};
use nitride_protocol::agent::{Challenge, NextRound, RoundOrder};
use nitride_protocol::application::Hello;
use nitride_protocol::quote::{EvidenceReply, EvidenceRequest};
use nitride_protocol::{Call, Status, open_request, write_reply, write_request};
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const AGENT: &str = "[agent]\nuid = UID\n";

/// A policy of so many keys that take a round each, `app/0` and up.
fn policy(keys: usize) -> String {
    let mut policy = String::from(
        "[[rule]]\nname = \"tests\"\nkeys = [\"app/**\"]\npeers = [{ uid = UID }]\n\
         operations = [\"sign\", \"random\"]\n",
    );
    for key in 0..keys {
        let _ = write!(
            policy,
            "[[key]]\nname = \"app/{key}\"\ntype = \"ec-p256\"\nservice = \"main\"\n\
             source = \"kbs:///default/key/{key}\"\nunsigned = \"accept\"\noperations = [\"sign\"]\n"
        );
    }
    policy
}

/// Asks for a key that nobody brings, and gives how long its answer took.
fn waited_in_vain(vhsmd: &Vhsmd) -> Duration {
    let mut client = vhsmd.greeted("vhsm.sock", 300);
    let start = Instant::now();
    let answer = client.sign("app/0");
    assert!(matches!(
        answer,
        Err(Status::TimedOut | Status::AgentAbsent)
    ));
    start.elapsed()
}

#[test]
fn agent_that_never_stops_sending_does_not_stop_the_clock() {
    let vhsmd = Vhsmd::start(&policy(1), AGENT);
    let agent = Arc::new(vhsmd.greeted("agent.sock", 0).connection);
    let mut packet = [0; 64];
    let hello = Hello {
        min_version: 1,
        max_version: 1,
        client: "flood",
        wait_ms: 0,
        attaches: false,
    };
    let len = write_request(&mut packet, 1, Hello::OPERATION, &hello).unwrap();
    let over = Arc::new(AtomicBool::new(false));
    let senders: Vec<_> = (0..4)
        .map(|_| {
            let (agent, over) = (Arc::clone(&agent), Arc::clone(&over));
            thread::spawn(move || {
                while !over.load(Ordering::Relaxed) && agent.send(&packet[..len]).is_ok() {}
            })
        })
        .collect();
    let reader = {
        let agent = Arc::clone(&agent);
        thread::spawn(move || while agent.recv(&mut [0; 512]).is_ok_and(|len| len.is_some()) {})
    };
    thread::sleep(Duration::from_millis(200));
    let took = waited_in_vain(&vhsmd);
    over.store(true, Ordering::Relaxed);
    agent.shutdown();
    for sender in senders {
        sender.join().unwrap();
    }
    reader.join().unwrap();
    assert!(took < Duration::from_secs(3), "{took:?}");
}

#[test]
fn strangers_at_the_agents_door_do_not_stop_the_clock() {
    let vhsmd = Vhsmd::start(&policy(1), "");
    drop(vhsmd.connect("agent.sock"));
    let over = Arc::new(AtomicBool::new(false));
    let strangers: Vec<_> = (0..4)
        .map(|_| {
            let (path, over) = (vhsmd.path("agent.sock"), Arc::clone(&over));
            thread::spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    let _ = Connection::connect(&path);
                }
            })
        })
        .collect();
    thread::sleep(Duration::from_millis(200));
    let took = waited_in_vain(&vhsmd);
    over.store(true, Ordering::Relaxed);
    for stranger in strangers {
        stranger.join().unwrap();
    }
    assert!(took < Duration::from_secs(3), "{took:?}");
}

/// Answers after a while, and counts how many ask at a time.
fn slow_helper(listener: Listener, answers: usize) -> (Arc<AtomicUsize>, thread::JoinHandle<()>) {
    let most = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&most);
    let now = Arc::new(AtomicUsize::new(0));
    let serving = thread::spawn(move || {
        let served = (0..answers).map(|_| {
            let connection = listener.accept().unwrap();
            most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            let now = Arc::clone(&now);
            thread::spawn(move || answer(&connection, &now))
        });
        for one in served.collect::<Vec<_>>() {
            one.join().unwrap();
        }
    });
    (counted, serving)
}

fn answer(connection: &Connection, now: &AtomicUsize) {
    let mut packet = vec![0; 4096];
    let len = connection.recv(&mut packet).unwrap().unwrap();
    let (head, _) = open_request(&packet[..len]).unwrap();
    assert_eq!(head.operation, EvidenceRequest::OPERATION);
    thread::sleep(Duration::from_millis(300));
    let made = EvidenceReply {
        tee: "sample",
        primary_evidence: "{}",
        additional_evidence: "",
    };
    let len = write_reply(&mut packet, head.id, Status::Ok, &made).unwrap();
    now.fetch_sub(1, Ordering::SeqCst);
    connection.send(&packet[..len]).unwrap();
}

/// The round that is ordered for `key`.
fn ordered(agent: &mut Client, waits: &mut Client, key: usize) -> [u8; 16] {
    let asked = agent.send(&NextRound::default());
    waits.send(&sign(&format!("app/{key}")));
    let (answered, _, packet) = agent.receive();
    assert_eq!(answered, asked);
    read::<RoundOrder<'_>>(&packet).round
}

#[test]
fn evidence_helper_is_asked_by_no_more_than_it_has_seats() {
    const ROUNDS: usize = 7;
    let vhsmd = Vhsmd::start(&policy(ROUNDS), AGENT);
    let listener = Listener::bind(&vhsmd.path("quote.sock"), 0o600).unwrap();
    let (most, serving) = slow_helper(listener, ROUNDS);
    let mut agent = vhsmd.greeted("agent.sock", 0);
    let mut waits = vhsmd.greeted("vhsm.sock", 20_000);
    let rounds: Vec<_> = (0..ROUNDS)
        .map(|key| ordered(&mut agent, &mut waits, key))
        .collect();
    for round in rounds {
        agent.send(&Challenge {
            round,
            nonce: "bm9uY2U",
            hash: None,
            tee_keys: vec![],
            wants_audit_head: false,
        });
    }
    for _ in 0..ROUNDS {
        assert_eq!(agent.receive().1, Status::Ok);
    }
    serving.join().unwrap();
    assert!(most.load(Ordering::SeqCst) <= 4);
}

#[test]
fn refusals_of_a_peer_that_floods_are_counted_and_not_written() {
    const ASKED: usize = 2000;
    let vhsmd = Vhsmd::start(&policy(1), "");
    for _ in 0..4 {
        // A new connection is not a new share.
        let mut client = vhsmd.greeted("vhsm.sock", 0);
        for _ in 0..ASKED / 4 {
            assert_eq!(client.sign("other/key"), Err(Status::Denied));
        }
    }
    let start = Instant::now();
    let counted = loop {
        let log = vhsmd.log();
        let written = log.matches("request refused").count();
        let left_out = log
            .lines()
            .filter(|line| line.contains("refusals not logged"));
        let counts = left_out.filter_map(|line| line.split("count=").nth(1));
        let left_out: usize = counts
            .map(|count| count.trim().parse::<usize>().unwrap())
            .sum();
        if written + left_out == ASKED || start.elapsed() > Duration::from_secs(5) {
            assert!(written < ASKED / 4, "{written} lines");
            break written + left_out;
        }
        thread::sleep(Duration::from_millis(50));
    };
    assert_eq!(counted, ASKED);
}
