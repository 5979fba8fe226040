//! Somebody between the helper and the TPM, who hears each command and may change what passes.

use crate::swtpm::{Swtpm, free_pair};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

pub(crate) const NV_INCREMENT: u32 = 0x134;
pub(crate) const NV_READ: u32 = 0x14e;
pub(crate) const READ_PUBLIC: u32 = 0x173;
pub(crate) const START_AUTH_SESSION: u32 = 0x176;

/// How long to wait for what is to be held.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Changes a command before it reaches the TPM, or holds what passes.
type Change = dyn FnMut(Passing<'_>) + Send;

/// What passes.
pub(crate) enum Passing<'p> {
    Command(&'p mut Vec<u8>),
    Answer(u32),
}

pub(crate) struct Interposer {
    port: u16,
    seen: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Interposer {
    pub(crate) fn start(tpm: &Swtpm, change: impl FnMut(Passing<'_>) + Send + 'static) -> Self {
        let port = free_pair();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let change: Arc<Mutex<Change>> = Arc::new(Mutex::new(change));
        let heard = Arc::clone(&seen);
        on_each(port, tpm.port(), move |near, far| {
            let (heard, change) = (Arc::clone(&heard), Arc::clone(&change));
            std::thread::spawn(move || pass(near, far, &heard, &change));
        });
        on_each(port + 1, tpm.port() + 1, |near, far| {
            let far = connected(far);
            let (near_again, far_again) = (near.try_clone().unwrap(), far.try_clone().unwrap());
            std::thread::spawn(move || copy(near, far));
            std::thread::spawn(move || copy(far_again, near_again));
        });
        Self { port, seen }
    }

    /// Who holds back one answer to the command `code`.
    pub(crate) fn holding(tpm: &Swtpm, code: u32, mut hold: Hold) -> Self {
        Self::start(tpm, move |passing| {
            if matches!(passing, Passing::Answer(to) if to == code) {
                hold.hold();
            }
        })
    }

    /// The lines of `[seal]` by which the helper finds this instead of the TPM.
    pub(crate) fn lines(&self, tpm: &Swtpm, lines: &str) -> String {
        let (own, others) = (self.port, tpm.port());
        lines.replace(&format!("port={others}"), &format!("port={own}"))
    }

    /// Each command so far, as it reached the TPM.
    pub(crate) fn commands(&self) -> Vec<Vec<u8>> {
        self.seen.lock().unwrap().clone()
    }
}

/// The far end of a held answer.
pub(crate) struct Hold {
    wanted: Receiver<()>,
    held: Sender<()>,
    release: Receiver<()>,
}

/// The near end: ask for it with the first, hear that it has come by the second, and drop the third.
pub(crate) struct Holder {
    pub(crate) want: Sender<()>,
    pub(crate) held: Receiver<()>,
    pub(crate) release: Sender<()>,
}

impl Hold {
    pub(crate) fn new() -> (Self, Holder) {
        let ((want, wanted), (hold, held), (release, released)) = (channel(), channel(), channel());
        let far = Self {
            wanted,
            held: hold,
            release: released,
        };
        let near = Holder {
            want,
            held,
            release,
        };
        (far, near)
    }

    /// Once, if it is wanted: that it has come is said, and it goes on when it is released.
    pub(crate) fn hold(&mut self) {
        if self.wanted.try_recv().is_ok() {
            let _ = self.held.send(());
            let _ = self.release.recv();
        }
    }
}

pub(crate) fn number(bytes: &[u8]) -> u32 {
    u32::from_be_bytes(bytes.try_into().unwrap())
}

fn on_each(from: u16, to: u16, serve: impl Fn(TcpStream, u16) + Send + 'static) {
    let listener = TcpListener::bind(("127.0.0.1", from)).unwrap();
    std::thread::spawn(move || {
        for near in listener.incoming() {
            serve(near.unwrap(), to);
        }
    });
}

fn connected(port: u16) -> TcpStream {
    TcpStream::connect(("127.0.0.1", port)).unwrap()
}

/// The TPM serves one connection at a time: while the first command of ours is held, others may.
fn pass(mut near: TcpStream, port: u16, heard: &Mutex<Vec<Vec<u8>>>, change: &Mutex<Change>) {
    let mut far = None;
    while let Some(mut command) = message(&mut near) {
        let code = number(&command[6..10]);
        change.lock().unwrap()(Passing::Command(&mut command));
        heard.lock().unwrap().push(command.clone());
        let far = far.get_or_insert_with(|| connected(port));
        if far.write_all(&command).is_err() {
            return;
        }
        let Some(answer) = message(far) else {
            return;
        };
        change.lock().unwrap()(Passing::Answer(code));
        if near.write_all(&answer).is_err() {
            return;
        }
    }
}

/// A command or an answer: a tag, its length, a code, and the rest.
fn message(from: &mut TcpStream) -> Option<Vec<u8>> {
    let mut message = vec![0; 10];
    from.read_exact(&mut message).ok()?;
    let len = number(&message[2..6]) as usize;
    message.resize(len, 0);
    from.read_exact(&mut message[10..]).ok()?;
    Some(message)
}

fn copy(mut from: TcpStream, mut to: TcpStream) {
    let _ = std::io::copy(&mut from, &mut to);
    let _ = to.shutdown(std::net::Shutdown::Both);
}
