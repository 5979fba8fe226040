use crate::calls::typed_calls;
use crate::calls_of_keys::typed_calls_of_keys;
use crate::{ClientError, Options, Server};
use nitride_ipc::{Connection, RecvError, SendError};
use nitride_protocol::limits::MAX_PACKET_LEN;
use nitride_protocol::{Call, Message, Operation, Status, open_reply, write_request};
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::time::{Duration, Instant};
use zeroize::Zeroizing;

/// A blocking connection to vhsmd: one request at a time.
///
/// Each call ends by its deadline, [`Options::wait`] and [`Options::grace`] together.
pub struct Client {
    connection: Connection,
    options: Options,
    server: Server,
    next_id: u32,
    failed: bool,
    /// Whether vhsmd was told that packets may carry descriptors.
    attaches: bool,
    /// Request and reply in turn.
    buffer: Zeroizing<Box<[u8]>>,
}

typed_calls!(Client, self, [mut], [], []);
typed_calls_of_keys!(Client, self, [mut], [], []);

impl Client {
    /// Connects and says hello, without waiting for rounds.
    ///
    /// # Errors
    /// [`ClientError::Connect`], or what refuses the hello.
    pub fn connect(path: impl AsRef<Path>) -> Result<Self, ClientError> {
        Self::connect_with(path, Options::new("nitride-client"))
    }

    /// Connects and says hello.
    ///
    /// # Errors
    /// [`ClientError::Connect`], or what refuses the hello.
    pub fn connect_with(path: impl AsRef<Path>, options: Options) -> Result<Self, ClientError> {
        let path = path.as_ref();
        let connection = Connection::connect(path).map_err(|source| ClientError::Connect {
            path: path.to_owned(),
            source,
        })?;
        Self::over(connection, options)
    }

    /// Says hello over a connection that is there already.
    ///
    /// # Errors
    /// What refuses the hello.
    pub fn over(connection: Connection, options: Options) -> Result<Self, ClientError> {
        let mut client = Self {
            connection,
            options,
            server: Server {
                name: String::new(),
                max_inline_len: 0,
                features: Vec::new(),
            },
            next_id: 0,
            failed: false,
            attaches: false,
            buffer: Zeroizing::new(vec![0; MAX_PACKET_LEN].into_boxed_slice()),
        };
        client.say_hello()?;
        Ok(client)
    }

    /// Whether the bytes stand anywhere in the buffer.
    #[cfg(test)]
    pub(crate) fn holds(&self, bytes: &[u8]) -> bool {
        self.buffer
            .windows(bytes.len())
            .any(|window| window == bytes)
    }

    /// What the server said of itself.
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// Changes how long vhsmd may let requests of this connection wait for a round, and the
    /// deadline of the calls after this one.
    ///
    /// # Errors
    /// What refuses the hello; then the old time stays.
    pub fn set_wait(&mut self, wait: Duration) -> Result<(), ClientError> {
        let before = std::mem::replace(&mut self.options.wait, wait);
        let outcome = self.say_hello();
        if outcome.is_err() {
            self.options.wait = before;
        }
        outcome
    }

    /// Tells vhsmd, once, that packets may carry descriptors from here on.
    pub(crate) fn announce_descriptors(&mut self) -> Result<(), ClientError> {
        if self.attaches {
            return Ok(());
        }
        self.attaches = true;
        let outcome = self.say_hello();
        self.attaches = outcome.is_ok();
        outcome
    }

    /// Makes any call, and gives its reply to `own` while it stands in the connection's buffer.
    ///
    /// # Errors
    /// [`ClientError::Refused`] with vhsmd's status, or why there was no answer.
    pub fn call<'a, R, T>(
        &mut self,
        request: &R,
        own: impl for<'r> FnOnce(R::Reply<'r>) -> T,
    ) -> Result<T, ClientError>
    where
        R: Call + Message<'a>,
    {
        self.call_with(request, &[], own)
    }

    /// Makes any call, with descriptors attached to its packet.
    pub(crate) fn call_with<'a, R, T>(
        &mut self,
        request: &R,
        descriptors: &[BorrowedFd<'_>],
        own: impl for<'r> FnOnce(R::Reply<'r>) -> T,
    ) -> Result<T, ClientError>
    where
        R: Call + Message<'a>,
    {
        let mut used = 0;
        let outcome = self.exchange(request, descriptors, own, &mut used);
        if carries_secret(R::OPERATION) {
            erase(&mut self.buffer[..used]);
        }
        outcome
    }

    /// `used` becomes how much of the buffer was written at most.
    fn exchange<'a, R, T>(
        &mut self,
        request: &R,
        descriptors: &[BorrowedFd<'_>],
        own: impl for<'r> FnOnce(R::Reply<'r>) -> T,
        used: &mut usize,
    ) -> Result<T, ClientError>
    where
        R: Call + Message<'a>,
    {
        let operation = R::VERB;
        if self.failed {
            return Err(ClientError::Unusable { operation });
        }
        let id = self.next_id;
        self.next_id = id.wrapping_add(1);
        // Where encoding fails, anything up to the end may have been written.
        *used = self.buffer.len();
        let sent = write_request(&mut self.buffer, id, R::OPERATION, request)
            .map_err(|source| ClientError::TooLong { operation, source })?;
        *used = sent;
        let packet = &self.buffer[..sent];
        let outcome = match descriptors {
            [] => self.connection.send(packet),
            some => self.connection.send_with(packet, some),
        };
        outcome.map_err(|source| self.send_failed(operation, source))?;
        let received = self.receive(id, operation, used)?;
        let malformed = |source| ClientError::Protocol { operation, source };
        let (head, result) = open_reply(&self.buffer[..received]).map_err(malformed)?;
        match head.status {
            Status::Ok => R::Reply::decode_last(result).map(own).map_err(malformed),
            status => Err(ClientError::Refused { operation, status }),
        }
    }

    /// Receives until the reply to `id`. Replies to other ids are those of calls that were given
    /// up earlier, and are thrown away.
    fn receive(
        &mut self,
        id: u32,
        operation: &'static str,
        used: &mut usize,
    ) -> Result<usize, ClientError> {
        let started = Instant::now();
        let mut shortened = false;
        let outcome = loop {
            let len = match self.connection.recv(&mut self.buffer) {
                Ok(Some(len)) => len,
                Ok(None) => {
                    self.failed = true;
                    break Err(ClientError::Closed { operation });
                }
                Err(source) => break Err(self.recv_failed(operation, source)),
            };
            *used = len.max(*used);
            match open_reply(&self.buffer[..len]) {
                Ok((head, _)) if head.id == id => break Ok(len),
                // It may be a secret that was given up, and this call's may be none.
                Ok(_) => erase(&mut self.buffer[..len]),
                Err(source) => {
                    // Whose reply it was cannot be said, so none that follows can be trusted to
                    // be the next.
                    self.failed = true;
                    break Err(ClientError::Protocol { operation, source });
                }
            }
            // The deadline is the call's, not each packet's.
            let left = self.options.deadline().saturating_sub(started.elapsed());
            shortened = true;
            if left.is_zero() {
                break Err(self.timed_out(operation));
            }
            if let Err(source) = self.connection.set_read_timeout(Some(left)) {
                break Err(self.recv_failed(operation, source));
            }
        };
        if shortened {
            self.connection
                .set_read_timeout(Some(self.options.deadline()))
                .map_err(|source| self.recv_failed(operation, source))?;
        }
        outcome
    }

    fn say_hello(&mut self) -> Result<(), ClientError> {
        let operation = Operation::Hello.as_str();
        let deadline = Some(self.options.deadline());
        self.connection
            .set_read_timeout(deadline)
            .map_err(|source| self.recv_failed(operation, source))?;
        self.connection
            .set_write_timeout(deadline)
            .map_err(|source| self.send_failed(operation, source))?;
        let options = self.options.clone();
        self.server = self.call(&options.hello(self.attaches), |welcome| {
            Server::welcomed(&welcome)
        })??;
        Ok(())
    }

    fn timed_out(&self, operation: &'static str) -> ClientError {
        ClientError::Timeout {
            operation,
            after: self.options.deadline(),
        }
    }

    /// Nothing of the packet was sent, so after a timeout the connection can go on.
    fn send_failed(&mut self, operation: &'static str, source: SendError) -> ClientError {
        match source {
            SendError::TimedOut => self.timed_out(operation),
            SendError::Closed => {
                self.failed = true;
                ClientError::Closed { operation }
            }
            source => ClientError::Send { operation, source },
        }
    }

    fn recv_failed(&mut self, operation: &'static str, source: RecvError) -> ClientError {
        match source {
            RecvError::TimedOut => self.timed_out(operation),
            source => {
                self.failed = true;
                ClientError::Receive { operation, source }
            }
        }
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client")
            .field("server", &self.server)
            .field("options", &self.options)
            .field("failed", &self.failed)
            .finish_non_exhaustive()
    }
}

/// Zeroes a buffer that stays, as a whole; `zeroize` writes byte by byte, which took a thirtieth of
/// the time of a round trip with a kilobyte in it.
fn erase(bytes: &mut [u8]) {
    bytes.fill(0);
    // As if something read it: the zeroes cannot be left out.
    std::hint::black_box(bytes);
}

/// Whether request or reply may hold what must not stay in a buffer.
fn carries_secret(operation: u16) -> bool {
    matches!(
        Operation::from_wire(operation),
        Some(
            Operation::Import
                | Operation::Encrypt
                | Operation::Decrypt
                | Operation::Random
                | Operation::Release
                | Operation::Batch
        )
    )
}
