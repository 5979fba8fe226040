//! Clients that are slow, many, or malformed.

use super::world::{Answer, Guest, HttpRequest, Plan, World};
use crate::config::Limits;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// Long enough for a loaded machine to tell it from "at once", short enough to wait for.
const SHORT: Duration = Duration::from_millis(300);
const LONG: Duration = Duration::from_secs(10);
/// Sooner than any time-out that a test has not made short.
const SOON: Duration = Duration::from_secs(5);

const HEALTH: HttpRequest<'_> = HttpRequest {
    method: "GET",
    path: "/healthz",
    headers: &[],
    body: b"",
};

fn world(change: fn(&mut Limits)) -> World {
    let mut plan = Plan::default();
    change(&mut plan.limits);
    World::of(plan)
}

#[test]
fn judgements_take_turns_and_keep_no_other_request_waiting() {
    let world = World::start();
    let guest = Guest::challenged(&world);
    let held = world.service.judging.hold();
    std::thread::scope(|scope| {
        let attesting = scope.spawn(|| guest.attest(&world, "1"));
        std::thread::sleep(SHORT);
        assert!(!attesting.is_finished());
        assert_eq!(world.ask(&HEALTH).status, 200);
        drop(held);
        assert_eq!(attesting.join().unwrap().status, 200);
    });
}

fn read_to_end(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes);
    bytes
}

fn keep_alive(world: &World) -> TcpStream {
    let mut stream = world.connect();
    stream
        .write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .unwrap();
    let mut answer = [0; 15];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200 OK");
    stream
}

#[test]
fn a_head_that_does_not_come_ends_the_connection() {
    let world = world(|limits| limits.header_timeout = SHORT);
    for head in ["", "POST /kbs/v0/auth HTTP/1.1\r\nHost: loc"] {
        let mut stream = world.connect();
        stream.write_all(head.as_bytes()).unwrap();
        let start = Instant::now();
        read_to_end(&mut stream);
        assert!(start.elapsed() < LONG);
    }
}

#[test]
fn an_idle_connection_ends() {
    let world = world(|limits| limits.header_timeout = SHORT);
    let mut stream = keep_alive(&world);
    let start = Instant::now();
    read_to_end(&mut stream);
    assert!(start.elapsed() < LONG);
}

#[test]
fn a_body_that_does_not_come_is_refused() {
    let world = world(|limits| limits.body_timeout = SHORT);
    let mut stream = world.connect();
    let head = "POST /kbs/v0/auth HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\
        Connection: close\r\n\r\n{";
    stream.write_all(head.as_bytes()).unwrap();
    Answer::parse(&read_to_end(&mut stream)).assert_refused(408, "RequestTimeout");
}

#[test]
fn a_length_that_is_too_large_is_refused_before_any_of_it_comes() {
    let world = World::start();
    let mut stream = world.connect();
    let head = "POST /kbs/v0/auth HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999\r\n\
        Connection: close\r\n\r\n";
    stream.write_all(head.as_bytes()).unwrap();
    let start = Instant::now();
    Answer::parse(&read_to_end(&mut stream)).assert_refused(413, "RequestTooLarge");
    assert!(start.elapsed() < SOON, "not by a time-out");
}

#[test]
fn a_chunked_body_without_end_is_cut_off_at_its_limit() {
    let world = World::start();
    let mut stream = world.connect();
    let head = "POST /kbs/v0/auth HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\
        Connection: close\r\n\r\n";
    stream.write_all(head.as_bytes()).unwrap();
    let chunk = format!("400\r\n{}\r\n", " ".repeat(0x400));
    for _ in 0..5 {
        let _ = stream.write_all(chunk.as_bytes());
    }
    Answer::parse(&read_to_end(&mut stream)).assert_refused(413, "RequestTooLarge");
}

#[test]
fn a_connection_ends_with_its_lifetime_however_busy() {
    let world = world(|limits| {
        limits.connection_lifetime = SHORT;
        limits.drain = SHORT;
    });
    let mut stream = world.connect();
    let start = Instant::now();
    loop {
        let asked = stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n");
        let mut answer = [0; 1024];
        if asked.is_err() || !stream.read(&mut answer).is_ok_and(|len| len > 0) {
            break;
        }
        assert!(start.elapsed() < LONG);
    }
}

#[test]
fn above_the_bound_clients_wait_for_a_slot() {
    let world = world(|limits| {
        limits.connections = 2;
        // A twentieth of it is longer than the third waits here.
        limits.header_timeout = 20 * LONG;
    });
    let held = [keep_alive(&world), keep_alive(&world)];
    let mut third = world.connect();
    third.set_read_timeout(Some(SHORT)).unwrap();
    third.write_all(&HEALTH.to_bytes()).unwrap();
    assert!(third.read(&mut [0; 1]).is_err(), "it has no slot yet");
    drop(held);
    third.set_read_timeout(Some(LONG)).unwrap();
    assert_eq!(Answer::parse(&read_to_end(&mut third)).status, 200);
}

#[test]
fn who_asks_nothing_gives_its_slot_to_who_waits() {
    let world = world(|limits| {
        limits.connections = 2;
        limits.header_timeout = 4 * SOON;
    });
    let _held = [keep_alive(&world), keep_alive(&world)];
    let start = Instant::now();
    assert_eq!(world.ask(&HEALTH).status, 200);
    assert!(start.elapsed() < 2 * SOON, "not by a time-out");
}

#[test]
fn who_makes_evidence_or_has_not_asked_yet_keeps_its_slot() {
    let world = world(|limits| {
        limits.connections = 2;
        limits.header_timeout = 4 * SHORT;
    });
    let silent = world.connect();
    let mut challenged = world.connect();
    let body = r#"{"version":"0.4.0","tee":"sample","extra-params":""}"#;
    let len = body.len();
    let head = format!("POST /kbs/v0/auth HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len}");
    challenged
        .write_all(format!("{head}\r\n\r\n{body}").as_bytes())
        .unwrap();
    challenged.read_exact(&mut [0; 15]).unwrap();
    for mut held in [silent, challenged] {
        held.set_read_timeout(Some(SHORT)).unwrap();
        let ended = held.read_to_end(&mut Vec::new());
        assert!(ended.is_err(), "it waits, and is not closed");
    }
}

#[test]
fn who_asks_nothing_stays_while_there_are_slots() {
    let world = world(|limits| limits.header_timeout = 4 * SHORT);
    let mut held = keep_alive(&world);
    held.set_read_timeout(Some(SHORT)).unwrap();
    let mut rest = Vec::new();
    let ended = held.read_to_end(&mut rest);
    assert!(ended.is_err(), "it waits, and is not closed");
}

#[test]
fn one_source_cannot_hold_every_slot() {
    let world = world(|limits| limits.connections_per_source = 2);
    let held = [keep_alive(&world), keep_alive(&world)];
    let start = Instant::now();
    assert_eq!(world.get("/healthz", &[]).status, 0, "closed, not answered");
    assert!(start.elapsed() < SOON, "and at once");
    let elsewhere = world.connect_from("127.0.0.2");
    assert_eq!(
        world.ask_over(elsewhere, &HEALTH).status,
        200,
        "another source is served"
    );
    drop(held);
    let start = Instant::now();
    while world.get("/healthz", &[]).status != 200 {
        assert!(start.elapsed() < LONG, "a slot that is left is free again");
    }
}

#[test]
fn a_head_without_end_is_refused() {
    let world = World::start();
    let mut stream = world.connect();
    let mut head = b"GET /healthz HTTP/1.1\r\nX: ".to_vec();
    head.resize(64 * 1024, b'a');
    let start = Instant::now();
    let _ = stream.write_all(&head);
    let answer = read_to_end(&mut stream);
    assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 431"));
    assert!(start.elapsed() < SOON, "by its length, not by a time-out");
}

#[test]
fn bytes_that_are_not_http_end_the_connection() {
    let world = World::start();
    let mut stream = world.connect();
    stream
        .write_all(&[0x16, 3, 1, 0, 5, 1, 0, 0, 1, 0, b'\r', b'\n', b'\r', b'\n'])
        .unwrap();
    let answer = read_to_end(&mut stream);
    assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 400"));
    assert_eq!(world.get("/healthz", &[]).status, 200, "and nothing else");
}

#[test]
fn a_stopping_service_answers_what_is_open_and_takes_nothing_new() {
    let world = World::start();
    let mut stream = world.connect();
    let body = r#"{"version":"0.4.0","tee":"sample","extra-params":""}"#;
    let head = format!(
        "POST /kbs/v0/auth HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    std::thread::sleep(SHORT);
    world.stop();
    std::thread::sleep(SHORT);
    stream.write_all(body.as_bytes()).unwrap();
    let answer = Answer::parse(&read_to_end(&mut stream));
    assert_eq!(answer.status, 200);
}
