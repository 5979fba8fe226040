//! The clients against a peer that each test plays itself, over a connected pair.

mod agent;
mod asynchronous;
mod blocking;
mod keys;

use crate::Options;
use nitride_ipc::Connection;
use nitride_protocol::application::{Hello, Welcome};
use nitride_protocol::limits::MAX_PACKET_LEN;
use nitride_protocol::{
    Message, RequestHead, Status, VERSION, open_request, write_refusal, write_reply,
};
use std::thread::{JoinHandle, spawn};
use std::time::Duration;

/// vhsmd's end of a connection.
pub(super) struct Peer {
    connection: Connection,
    buffer: Vec<u8>,
}

impl Peer {
    /// The next request: its head and the bytes of its packet. Ends the thread when there is none.
    pub(super) fn next(&mut self) -> (RequestHead, Vec<u8>) {
        let len = self.connection.recv(&mut self.buffer).unwrap().unwrap();
        let packet = self.buffer[..len].to_vec();
        let (head, _) = open_request(&packet).unwrap();
        (head, packet)
    }

    pub(super) fn ended(&mut self) -> bool {
        self.connection.recv(&mut self.buffer).unwrap().is_none()
    }

    pub(super) fn reply<'a, M: Message<'a>>(&mut self, id: u32, result: &M) {
        let len = write_reply(&mut self.buffer, id, Status::Ok, result).unwrap();
        self.connection.send(&self.buffer[..len]).unwrap();
    }

    pub(super) fn refuse(&mut self, id: u32, status: Status) {
        let len = write_refusal(&mut self.buffer, id, status).unwrap();
        self.connection.send(&self.buffer[..len]).unwrap();
    }

    pub(super) fn send(&mut self, packet: &[u8]) {
        self.connection.send(packet).unwrap();
    }

    /// Answers a hello and returns the time to wait that it announced.
    pub(super) fn welcome(&mut self) -> u32 {
        let (head, packet) = self.next();
        assert_eq!(head.operation, 0);
        let (_, params) = open_request(&packet).unwrap();
        let hello = Hello::decode_last(params).unwrap();
        assert_eq!(hello.client, "test");
        self.reply(head.id, &welcome());
        hello.wait_ms
    }

    /// Answers a hello that says that packets may carry descriptors.
    pub(super) fn welcome_descriptors(&mut self) {
        let (head, packet) = self.next();
        let (_, params) = open_request(&packet).unwrap();
        assert!(Hello::decode_last(params).unwrap().attaches);
        self.reply(head.id, &welcome());
    }
}

pub(super) fn welcome() -> Welcome<'static> {
    Welcome {
        version: VERSION,
        server: "peer 1",
        max_packet: 200_000,
        max_inline: 65_536,
        features: vec!["trial"],
    }
}

/// A client's end, and the thread that plays vhsmd on the other.
pub(super) fn against(play: impl FnOnce(Peer) + Send + 'static) -> (Connection, JoinHandle<()>) {
    let (ours, theirs) = Connection::pair().unwrap();
    let peer = Peer {
        connection: theirs,
        buffer: vec![0; MAX_PACKET_LEN],
    };
    (ours, spawn(move || play(peer)))
}

pub(super) fn options() -> Options {
    Options {
        name: "test".into(),
        wait: Duration::ZERO,
        grace: Duration::from_secs(10),
    }
}

pub(super) fn hasty() -> Options {
    Options {
        grace: Duration::from_millis(60),
        ..options()
    }
}
