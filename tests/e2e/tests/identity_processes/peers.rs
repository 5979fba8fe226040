//! Peers that are real processes, described by their steps; see `peer.py`.

use anyhow::{Context, Result, ensure};
use nitride_protocol::{Call, Message, Status, open_reply, write_request};
use nitride_support::program::{RunAs, command_as};
use std::fmt::Write as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A running peer. Dropped, it is killed.
#[derive(Debug)]
pub(crate) struct Peer(pub(crate) Child);

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Peer {
    /// Lets it end by itself, and gives what it received, packet by packet.
    pub(crate) fn finish(mut self) -> Result<Vec<Vec<u8>>> {
        let mut text = String::new();
        if let Some(mut stdout) = self.0.stdout.take() {
            std::io::Read::read_to_string(&mut stdout, &mut text).context("read what it says")?;
        }
        let status = self.0.wait().context("wait for the peer")?;
        ensure!(status.success(), "the peer ended with {status}: {text}");
        text.lines().map(unhex).collect()
    }
}

/// Starts a peer. `before` is what runs it, such as `unshare`.
pub(crate) fn start(
    run_as: &RunAs,
    before: &[&str],
    socket: &Path,
    steps: &[String],
) -> Result<Peer> {
    let python = Path::new("/usr/bin/python3");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/identity_processes/peer.py");
    let mut command: Command = match before.split_first() {
        Some((program, rest)) => {
            let mut command = command_as(run_as, Path::new(program));
            command.args(rest).arg(python);
            command
        }
        None => command_as(run_as, python),
    };
    command.arg(script).arg(socket).args(steps);
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    Ok(Peer(command.spawn().context("start a peer")?))
}

/// The statuses of what a peer received.
pub(crate) fn statuses(packets: &[Vec<u8>]) -> Result<Vec<Status>> {
    packets
        .iter()
        .map(|packet| {
            let (head, _) = open_reply(packet).ok().context("a reply")?;
            Ok(head.status)
        })
        .collect()
}

/// The step that sends this request.
pub(crate) fn send<'a, C: Call + Message<'a>>(id: u32, call: &C) -> Result<String> {
    let mut packet = [0; 1024];
    let len = write_request(&mut packet, id, C::OPERATION, call).context("write a request")?;
    Ok(format!("send={}", hex(&packet[..len])))
}

/// Digits, two a byte.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn unhex(digits: &str) -> Result<Vec<u8>> {
    digits
        .as_bytes()
        .chunks(2)
        .map(|pair| {
            let pair = std::str::from_utf8(pair).context("digits")?;
            u8::from_str_radix(pair, 16).with_context(|| format!("{digits:?} is not hex"))
        })
        .collect()
}

/// Steps from words.
pub(crate) fn steps(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}
