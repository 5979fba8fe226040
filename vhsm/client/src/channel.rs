//! One connection, many requests under way: the ground of both async clients.

use crate::{ClientError, Options, Server};
use nitride_ipc::Connection;
use nitride_protocol::limits::MAX_PACKET_LEN;
use nitride_protocol::{Call, EncodeError, Message, Status, open_reply, write_request};
use std::collections::HashMap;
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::task::{AbortHandle, spawn_blocking};
use tokio::time::timeout;
use tokio_seqpacket::UnixSeqpacket;
use zeroize::{Zeroize, Zeroizing};

/// A reply's packet, erased when it is dropped.
type Packet = Zeroizing<Vec<u8>>;

/// A connection whose replies a task of its own hands to whoever asked.
///
/// A call that is dropped or timed out takes its entry with it; the reply, when it comes, finds
/// nobody and is erased.
#[derive(Debug)]
pub(crate) struct Channel {
    socket: Arc<UnixSeqpacket>,
    waiting: Arc<Mutex<Waiting>>,
    reader: AbortHandle,
}

#[derive(Debug, Default)]
struct Waiting {
    next_id: u32,
    ended: bool,
    replies: HashMap<u32, oneshot::Sender<Packet>>,
}

impl Channel {
    /// Connects within `options.grace` and says hello.
    pub(crate) async fn connect(
        path: &Path,
        options: &Options,
    ) -> Result<(Self, Server), ClientError> {
        let target = path.to_owned();
        // Blocking, on a thread that may block: a non-blocking connect to a socket whose queue is
        // full looks like success to tokio-seqpacket.
        let connecting = spawn_blocking(move || Connection::connect(&target));
        let connection = match timeout(options.grace, connecting).await {
            Ok(Ok(Ok(connection))) => connection,
            Ok(Ok(Err(source))) => {
                let path = path.to_owned();
                return Err(ClientError::Connect { path, source });
            }
            Ok(Err(join)) => return Err(ClientError::Register(join.into())),
            Err(_) => {
                return Err(ClientError::Timeout {
                    operation: "connect",
                    after: options.grace,
                });
            }
        };
        Self::over(connection, options).await
    }

    /// Says hello over a connection that is there already.
    pub(crate) async fn over(
        connection: Connection,
        options: &Options,
    ) -> Result<(Self, Server), ClientError> {
        // The standard library's stream stands in for "a socket" here: it is how a descriptor is
        // set non-blocking without an unsafe call.
        let stream = UnixStream::from(OwnedFd::from(connection));
        stream
            .set_nonblocking(true)
            .map_err(ClientError::Register)?;
        let socket =
            UnixSeqpacket::try_from(OwnedFd::from(stream)).map_err(ClientError::Register)?;
        let socket = Arc::new(socket);
        let waiting = Arc::new(Mutex::new(Waiting::default()));
        let reader = tokio::spawn(hand_out(Arc::clone(&socket), Arc::clone(&waiting)));
        let channel = Self {
            socket,
            waiting,
            reader: reader.abort_handle(),
        };
        let server = channel
            .call(&options.hello(false), Some(options.deadline()), |welcome| {
                Server::welcomed(&welcome)
            })
            .await??;
        Ok((channel, server))
    }

    /// Makes a call that ends by `deadline`, or waits for ever, and gives its reply to `own`.
    pub(crate) async fn call<'a, R, T>(
        &self,
        request: &R,
        deadline: Option<Duration>,
        own: impl for<'r> FnOnce(R::Reply<'r>) -> T,
    ) -> Result<T, ClientError>
    where
        R: Call + Message<'a>,
    {
        let operation = R::VERB;
        let exchange = self.exchange(request);
        let packet = match deadline {
            None => exchange.await?,
            Some(after) => timeout(after, exchange)
                .await
                .map_err(|_| ClientError::Timeout { operation, after })??,
        };
        let malformed = |source| ClientError::Protocol { operation, source };
        let (head, result) = open_reply(&packet).map_err(malformed)?;
        match head.status {
            Status::Ok => R::Reply::decode_last(result).map(own).map_err(malformed),
            status => Err(ClientError::Refused { operation, status }),
        }
    }

    async fn exchange<'a, R>(&self, request: &R) -> Result<Packet, ClientError>
    where
        R: Call + Message<'a>,
    {
        let operation = R::VERB;
        let (sender, receiver) = oneshot::channel();
        let entry =
            Entry::enter(&self.waiting, sender).ok_or(ClientError::Unusable { operation })?;
        let packet = spell(entry.id, request)?;
        match self.socket.send(&packet).await {
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => {
                return Err(ClientError::Closed { operation });
            }
            Err(source) => return Err(ClientError::Transport { operation, source }),
        }
        drop(packet);
        receiver
            .await
            .map_err(|_| ClientError::Closed { operation })
    }
}

impl Drop for Channel {
    fn drop(&mut self) {
        end(&self.socket);
        self.reader.abort();
    }
}

/// A place among those that wait, given up when it is dropped.
struct Entry<'w> {
    id: u32,
    waiting: &'w Mutex<Waiting>,
}

impl<'w> Entry<'w> {
    /// `None` when the connection has ended.
    fn enter(waiting: &'w Mutex<Waiting>, reply: oneshot::Sender<Packet>) -> Option<Self> {
        let mut state = lock(waiting);
        if state.ended {
            return None;
        }
        // After 2^32 calls the ids come round, and one may still be waited under.
        while state.replies.contains_key(&state.next_id) {
            state.next_id = state.next_id.wrapping_add(1);
        }
        let id = state.next_id;
        state.next_id = id.wrapping_add(1);
        state.replies.insert(id, reply);
        Some(Self { id, waiting })
    }
}

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        lock(self.waiting).replies.remove(&self.id);
    }
}

/// Receives until the connection ends or says what is no reply; then all that wait are let go.
async fn hand_out(socket: Arc<UnixSeqpacket>, waiting: Arc<Mutex<Waiting>>) {
    let mut buffer: Packet = Zeroizing::new(vec![0; MAX_PACKET_LEN]);
    while let Ok(received) = socket.recv(&mut buffer).await {
        let len = received.bytes_read();
        if len == 0 || received.truncated() {
            break;
        }
        let Ok((head, _)) = open_reply(&buffer[..len]) else {
            break;
        };
        let reply = lock(&waiting).replies.remove(&head.id);
        if let Some(reply) = reply {
            // Whoever asked may have gone in this moment; the packet is erased then too.
            drop(reply.send(Zeroizing::new(buffer[..len].to_vec())));
        }
        buffer[..len].zeroize();
    }
    end(&socket);
    let mut state = lock(&waiting);
    state.ended = true;
    state.replies.clear();
}

/// Lets the peer see the end at once, whoever still holds the descriptor.
fn end(socket: &UnixSeqpacket) {
    // The one error is that the peer has ended the connection first.
    drop(socket.shutdown(Shutdown::Both));
}

/// Most requests fit this; erasing a packet costs by its capacity.
const SHORT_PACKET_LEN: usize = 4096;

/// The request's packet.
fn spell<'a, R>(id: u32, request: &R) -> Result<Packet, ClientError>
where
    R: Call + Message<'a>,
{
    spell_within(SHORT_PACKET_LEN, id, request).or_else(|_| {
        spell_within(MAX_PACKET_LEN, id, request).map_err(|source| ClientError::TooLong {
            operation: R::VERB,
            source,
        })
    })
}

fn spell_within<'a, R>(capacity: usize, id: u32, request: &R) -> Result<Packet, EncodeError>
where
    R: Call + Message<'a>,
{
    let mut packet: Packet = Zeroizing::new(vec![0; capacity]);
    let len = write_request(&mut packet, id, R::OPERATION, request)?;
    packet.truncate(len);
    Ok(packet)
}

fn lock(waiting: &Mutex<Waiting>) -> MutexGuard<'_, Waiting> {
    // Nothing panics under the lock, and what it guards is whole between any two statements.
    waiting.lock().unwrap_or_else(PoisonError::into_inner)
}
