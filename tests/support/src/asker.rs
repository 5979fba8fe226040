//! One connection to any of the vault's sockets, at the level of packets: what a client of ours
//! would never send can be sent from here.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nitride_ipc::Connection;
use nitride_protocol::application::{Hello, Welcome};
use nitride_protocol::limits::MAX_PACKET_LEN;
use nitride_protocol::{Call, Message, Status, VERSION, open_reply, write_request};

/// How long a reply may take.
const TIMEOUT: Duration = Duration::from_secs(60);

/// A reply: its status, and the packet that its result is read from.
#[derive(Clone, Debug)]
pub struct Answer {
    /// How the request ended.
    pub status: Status,
    packet: Vec<u8>,
}

impl Answer {
    /// Reads the result of an `ok` reply.
    ///
    /// # Errors
    /// When it was refused or is not the message.
    pub fn result<'a, M: Message<'a>>(&'a self) -> Result<M> {
        if self.status != Status::Ok {
            bail!("refused: {}", self.status);
        }
        let (_, result) = open_reply(&self.packet).context("read a reply")?;
        M::decode_last(result).context("read a result")
    }
}

/// A client that asks one thing after another, or several before it listens.
#[derive(Debug)]
pub struct Asker {
    connection: Connection,
    next_id: u32,
    unclaimed: HashMap<u32, Answer>,
}

impl Asker {
    /// Connects, and says hello with this waiting time.
    ///
    /// # Errors
    /// When nobody listens or the greeting is refused.
    pub fn connect(socket: &Path, wait: Duration) -> Result<Self> {
        let mut asker = Self::connect_silently(socket)?;
        asker.hello(wait)?;
        Ok(asker)
    }

    /// Connects without a word.
    ///
    /// # Errors
    /// When nobody listens.
    pub fn connect_silently(socket: &Path) -> Result<Self> {
        let connection = Connection::connect(socket).context("connect")?;
        connection
            .set_read_timeout(Some(TIMEOUT))
            .context("bound reads")?;
        Ok(Self {
            connection,
            next_id: 1,
            unclaimed: HashMap::new(),
        })
    }

    /// Says hello, again or for the first time.
    ///
    /// # Errors
    /// When it is refused.
    pub fn hello(&mut self, wait: Duration) -> Result<()> {
        let answer = self.ask(&Hello {
            min_version: VERSION,
            max_version: VERSION,
            client: "nitride-support",
            wait_ms: u32::try_from(wait.as_millis()).unwrap_or(u32::MAX),
            attaches: false,
        })?;
        answer.result::<Welcome<'_>>().map(drop)
    }

    /// Asks and waits for the answer.
    ///
    /// # Errors
    /// When the connection ends first or the reply is no reply; a refusal is an answer.
    pub fn ask<'m, C: Call + Message<'m>>(&mut self, call: &C) -> Result<Answer> {
        let id = self.send(call)?;
        self.answer_to(id)
    }

    /// Asks without waiting, and returns the request's id.
    ///
    /// # Errors
    /// When the connection has ended.
    pub fn send<'m, C: Call + Message<'m>>(&mut self, call: &C) -> Result<u32> {
        let id = self.next_id;
        self.next_id += 1;
        let mut packet = vec![0; MAX_PACKET_LEN];
        let len = write_request(&mut packet, id, C::OPERATION, call).context("write a request")?;
        self.send_packet(&packet[..len])?;
        Ok(id)
    }

    /// Sends bytes that need not be a request.
    ///
    /// # Errors
    /// When the connection has ended.
    pub fn send_packet(&self, packet: &[u8]) -> Result<()> {
        self.connection.send(packet).context("send a packet")
    }

    /// Waits for the answer to one request; answers to others are kept.
    ///
    /// # Errors
    /// When the connection ends first.
    pub fn answer_to(&mut self, id: u32) -> Result<Answer> {
        loop {
            if let Some(answer) = self.unclaimed.remove(&id) {
                return Ok(answer);
            }
            let Some((found, answer)) = self.receive()? else {
                bail!("the other side closed the connection");
            };
            self.unclaimed.insert(found, answer);
        }
    }

    /// Takes the next reply, whichever request it answers; `None` when the connection has ended.
    ///
    /// # Errors
    /// When nothing comes in time or it is no reply.
    pub fn receive(&mut self) -> Result<Option<(u32, Answer)>> {
        let mut packet = vec![0; MAX_PACKET_LEN];
        let Some(len) = self
            .connection
            .recv(&mut packet)
            .context("receive a reply")?
        else {
            return Ok(None);
        };
        packet.truncate(len);
        let (head, _) = open_reply(&packet).context("read a reply")?;
        let answer = Answer {
            status: head.status,
            packet,
        };
        Ok(Some((head.id, answer)))
    }

    /// Bounds how long a reply may take.
    ///
    /// # Errors
    /// When the socket refuses.
    pub fn set_patience(&self, patience: Duration) -> Result<()> {
        self.connection
            .set_read_timeout(Some(patience))
            .context("bound reads")
    }
}
