//! Peers that send descriptors whose closing takes as long as they like.

use crate::world::{Client, Vhsmd};
use nitride_protocol::application::{Random, RegisterBuffer};
use nitride_protocol::{Call, write_request};
use nix::sys::signal::Signal;
use nix::sys::socket::{setsockopt, sockopt};
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

const POLICY: &str = r#"
[[rule]]
name = "all"
keys = ["**"]
peers = [{ uid = UID }]
operations = ["random"]
"#;

/// How long a lingering socket takes to close, unless its other end goes.
const LINGER_SECS: i32 = 60;

/// A socket that has sent more than its other end takes, and the other end.
fn lingering() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut ours = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (other, _) = listener.accept().unwrap();
    let lingers = libc::linger {
        l_onoff: 1,
        l_linger: LINGER_SECS,
    };
    setsockopt(&ours, sockopt::Linger, &lingers).unwrap();
    setsockopt(&ours, sockopt::SndBuf, &4096).unwrap();
    let patience = Some(Duration::from_millis(100));
    ours.set_write_timeout(patience).unwrap();
    while ours.write(&[0; 65536]).is_ok() {}
    (ours, other)
}

/// Sends a lingering socket with a request to register it, if the kernel lets it.
fn send_lingering(client: &Client) -> TcpStream {
    let mut packet = [0; 64];
    let operation = RegisterBuffer::OPERATION;
    let len = write_request(&mut packet, 1, operation, &RegisterBuffer { len: 4096 }).unwrap();
    let (ours, other) = lingering();
    let _ = client.connection.send_with(&packet[..len], &[ours.as_fd()]);
    // If it was not sent, or vhsmd was first, this one is the last, and it is we who wait.
    std::thread::spawn(move || drop(ours));
    other
}

fn assert_served(clients: &mut [Client]) {
    let begun = Instant::now();
    for client in clients {
        client.call(&Random { len: 16 }).unwrap();
    }
    assert!(begun.elapsed() < Duration::from_secs(8));
}

#[test]
fn descriptor_that_is_slow_to_close_holds_up_no_other_connection_of_the_same_worker() {
    let limits = "[limits]\nconnections = 400\nconnections-per-uid = 400\n";
    nitride_ipc::process::raise_descriptor_limit(2000).unwrap();
    let vhsmd = Vhsmd::start(POLICY, limits);
    let mut clients: Vec<_> = (0..290).map(|_| vhsmd.greeted("vhsm.sock", 0)).collect();
    // One for each worker, wherever they land: the packet is looked at, or still there at the end.
    let mut looked_at = clients.split_off(280);
    // Where the kernel can, it keeps them from all others.
    looked_at.iter_mut().for_each(Client::announce_descriptors);
    let _others: Vec<_> = looked_at.iter().map(send_lingering).collect();
    assert_served(&mut clients);
    let mut left = clients.split_off(270);
    left.iter_mut().for_each(Client::announce_descriptors);
    for client in &left {
        client.connection.send(b"").unwrap();
    }
    let _others: Vec<_> = left.iter().map(send_lingering).collect();
    assert_served(&mut clients);
}

#[test]
fn descriptor_that_is_slow_to_close_holds_up_nobody_who_connects() {
    let limits = "[limits]\nconnections-per-uid = 3\n";
    let vhsmd = Vhsmd::start(POLICY, limits);
    let mut clients: Vec<_> = (0..3).map(|_| vhsmd.greeted("vhsm.sock", 0)).collect();
    // What they send is there before they are accepted, and there is no room for them.
    vhsmd.signal(Signal::SIGSTOP);
    let refused: Vec<_> = (0..3).map(|_| vhsmd.connect("vhsm.sock")).collect();
    let _others: Vec<_> = refused.iter().map(send_lingering).collect();
    vhsmd.signal(Signal::SIGCONT);
    // One of them would take the place that is given up, were it given up before they are refused.
    std::thread::sleep(Duration::from_secs(1));
    drop(clients.pop());
    let deadline = Instant::now() + Duration::from_secs(8);
    let mut served = loop {
        let client = vhsmd.connect("vhsm.sock");
        if let Some(served) = client.hello_if_open() {
            break served;
        }
        assert!(Instant::now() < deadline);
    };
    served
        .connection
        .set_read_timeout(Some(Duration::from_secs(8)))
        .unwrap();
    assert_served(std::slice::from_mut(&mut served));
}
