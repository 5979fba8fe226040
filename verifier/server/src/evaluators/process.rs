//! One process that evaluates, from both sides of its socket. A message is its length in four bytes,
//! big-endian, and its JSON.

use super::confinement::{NotConfined, confine};
use anyhow::{Context, Result, bail};
use nitride_policy::{Answer, Ask, Evaluator, MAX_MESSAGE_LEN, RegoFault, RegoModule, Request};
use nix::unistd::alarm;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::error::Error as _;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use thiserror::Error;

/// Beyond the limit of an evaluation: to start, to read a module, and to be late on a busy machine.
pub(super) const GRACE: Duration = Duration::from_secs(2);

/// A process, and this side of its socket. It is gone when this is dropped.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    socket: UnixStream,
    patience: Duration,
    /// When the newest message was sent.
    asked: Instant,
}

/// Why there is no answer.
#[derive(Debug, Error)]
pub(super) enum ProcessFault {
    #[error("the evaluator does not start: {0}")]
    NotStarted(io::Error),
    #[error("the evaluator was gone: {0}")]
    Gone(io::Error),
    #[error("the evaluator ended; the policy takes too much memory, or calls too deep")]
    Ended,
    #[error("the evaluator was silent for {0:?}, and was ended")]
    Silent(Duration),
    #[error("the evaluator answers nonsense: {0}")]
    Nonsense(String),
    #[error("the question is longer than {MAX_MESSAGE_LEN} bytes")]
    TooLong,
}

impl ProcessFault {
    /// Whether the question has nothing to do with it.
    pub(super) fn is_before_the_question(&self) -> bool {
        matches!(self, Self::Gone(_))
    }
}

impl Process {
    pub(super) fn start(
        program: &Path,
        limit: Duration,
        patience: Duration,
    ) -> Result<Self, ProcessFault> {
        let start = || {
            let (socket, theirs) = UnixStream::pair()?;
            let child = Command::new(program)
                .args(["policy", "evaluate", "--limit-ms"])
                .arg(limit.as_millis().to_string())
                .env_clear()
                .stdin(OwnedFd::from(theirs))
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()?;
            Ok(Self {
                child,
                socket,
                patience,
                asked: Instant::now(),
            })
        };
        start().map_err(ProcessFault::NotStarted)
    }

    /// Asks one question. After a fault the process is not to be asked again.
    pub(super) fn ask(&mut self, module: &RegoModule, ask: &Ask) -> Result<Answer, ProcessFault> {
        // Most questions are about a module that the process knows; the others name none it could.
        let with_text = matches!(
            ask,
            Ask::Check | Ask::CheckAppraisal | Ask::Allow { traced: true, .. }
        );
        let request = Request::of(module, ask.clone(), with_text);
        match self.exchange(&request)? {
            Answer::UnknownModule if !with_text => {
                self.exchange(&Request::of(module, ask.clone(), true))
            }
            answer => Ok(answer),
        }
    }

    /// How long ago the newest message was sent: in which the process has the module, and has started.
    pub(super) fn asked_for(&self) -> Duration {
        self.asked.elapsed()
    }

    fn exchange(&mut self, request: &Request) -> Result<Answer, ProcessFault> {
        self.asked = Instant::now();
        let deadline = self.asked + self.patience;
        let late = |error: io::Error, otherwise: fn(io::Error) -> ProcessFault| match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
                ProcessFault::Silent(self.patience)
            }
            _ => otherwise(error),
        };
        let ended = |_| ProcessFault::Ended;
        let message = message(request).ok_or(ProcessFault::TooLong)?;
        let sent = self
            .socket
            .set_write_timeout(Some(self.patience))
            .and_then(|()| self.socket.write_all(&message));
        sent.map_err(|error| late(error, ProcessFault::Gone))?;
        let mut timed = Timed {
            socket: &self.socket,
            deadline,
        };
        let answer = read_message(&mut timed).map_err(|error| late(error, ended))?;
        let answer = answer.ok_or(ProcessFault::Ended)?;
        serde_json::from_slice(&answer).map_err(|error| ProcessFault::Nonsense(error.to_string()))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // One that has ended by itself cannot be killed, and is waited for all the same.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads until a point in time, however slowly the bytes drip.
struct Timed<'a> {
    socket: &'a UnixStream,
    deadline: Instant,
}

impl Read for Timed<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        self.socket.set_read_timeout(Some(left))?;
        self.socket.read(buffer)
    }
}

/// The other side: answers on standard input until it is closed.
pub(crate) fn evaluate(limit: Duration) -> Result<()> {
    let input = io::stdin().as_fd().try_clone_to_owned();
    let mut socket = UnixStream::from(input.context("take the socket")?);
    // A service that is killed closes the socket; whoever starts this by hand has none.
    if socket.peer_addr().is_err() {
        bail!("standard input is no socket; the service starts this for itself");
    }
    if let Err(error) = confine() {
        return refuse(&mut socket, &error);
    }
    let mut evaluator = Evaluator::new(limit);
    // Longer than the service waits. One that died is waited for by nobody, and a step of the
    // interpreter looks at no clock: what has begun ends all the same, by the alarm's signal.
    let patience = u32::try_from((limit + GRACE).as_secs()).unwrap_or(u32::MAX);
    while let Some(request) = read_message(&mut socket).context("read a question")? {
        alarm::set(patience.saturating_add(2));
        let request: Request = parse(&request)?;
        let answer = message(&evaluator.answer(&request)).context("write an answer")?;
        socket.write_all(&answer).context("send an answer")?;
        alarm::cancel();
    }
    Ok(())
}

/// Answers the first question by why it is not asked of a policy: the service reads no other output.
fn refuse(socket: &mut UnixStream, error: &NotConfined) -> Result<()> {
    let reason = match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    };
    let fault = RegoFault::NotEvaluated(format!("the evaluator is not confined: {reason}"));
    read_message(socket).context("read a question")?;
    let answer = message(&Answer::No(fault, None)).context("write an answer")?;
    socket.write_all(&answer).context("send an answer")?;
    bail!("the evaluator is not confined: {reason}")
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    serde_json::from_slice(bytes).context("read a question")
}

/// `None` when it is too long.
fn message(value: &impl Serialize) -> Option<Vec<u8>> {
    let body = serde_json::to_vec(value).ok()?;
    let len = u32::try_from(body.len()).ok()?;
    (body.len() <= MAX_MESSAGE_LEN).then(|| [&len.to_be_bytes()[..], &body].concat())
}

/// `None` at the end of the stream.
fn read_message(stream: &mut impl Read) -> io::Result<Option<Vec<u8>>> {
    let mut len = [0; 4];
    match stream.read_exact(&mut len) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        read => read?,
    }
    let len = usize::try_from(u32::from_be_bytes(len)).unwrap_or(usize::MAX);
    if len > MAX_MESSAGE_LEN {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut body = vec![0; len];
    stream.read_exact(&mut body)?;
    Ok(Some(body))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_comes_back_and_a_stream_that_ends_is_the_end() {
        let sent = message(&Answer::UnknownModule).unwrap();
        let mut stream = &sent[..];
        let body = read_message(&mut stream).unwrap().unwrap();
        assert_eq!(parse::<Answer>(&body).unwrap(), Answer::UnknownModule);
        assert_eq!(read_message(&mut stream).unwrap(), None);
        for cut in 5..sent.len() {
            assert!(read_message(&mut &sent[..cut]).is_err());
        }
    }

    #[test]
    fn a_message_that_says_it_is_endless_is_refused_unread() {
        let len = u32::try_from(MAX_MESSAGE_LEN + 1).unwrap();
        let error = read_message(&mut &len.to_be_bytes()[..]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }
}
