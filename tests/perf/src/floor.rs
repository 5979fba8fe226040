//! The floor: bare AWS-LC in ordinary memory, and a bare socket round trip.

use anyhow::{Context, Result, bail, ensure};
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use nitride_ipc::{Connection, Listener};
use std::cell::RefCell;
use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

/// The hidden argument under which this program serves the other end of the round trip.
pub(crate) const ECHO_ARGUMENT: &str = "--serve-echo";
const BUFFER_LEN: usize = 128 * 1024;

/// Keys of the library in this process's ordinary memory.
pub(crate) struct Bare {
    signing: EcdsaKeyPair,
    sealing: LessSafeKey,
    tagging: hmac::Key,
    random: SystemRandom,
    sealed: Vec<u8>,
}

impl Bare {
    pub(crate) fn new() -> Result<Self> {
        let signing = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)
            .context("cannot generate the bare signing key")?;
        let sealing =
            UnboundKey::new(&AES_256_GCM, &[7; 32]).context("cannot make the bare key")?;
        Ok(Self {
            signing,
            sealing: LessSafeKey::new(sealing),
            tagging: hmac::Key::new(hmac::HMAC_SHA256, &[7; 32]),
            random: SystemRandom::new(),
            sealed: Vec::new(),
        })
    }

    pub(crate) fn sign(&self, message: &[u8]) -> Result<()> {
        let signature = self.signing.sign(&self.random, message)?;
        std::hint::black_box(signature.as_ref());
        Ok(())
    }

    pub(crate) fn tag(&self, message: &[u8]) {
        std::hint::black_box(hmac::sign(&self.tagging, message));
    }

    /// In place, which is the cheapest that the library has: what was sealed last is sealed again.
    pub(crate) fn seal(&mut self, len: usize) -> Result<()> {
        self.sealed.resize(len, 0);
        // One nonce for every seal: nothing here is secret and nothing is kept.
        let nonce = Nonce::assume_unique_for_key([0; 12]);
        let tag = self
            .sealing
            .seal_in_place_separate_tag(nonce, Aad::empty(), &mut self.sealed)?;
        std::hint::black_box((&self.sealed, tag.as_ref()));
        Ok(())
    }
}

/// A process that answers every packet with a packet of the length that was asked for.
pub(crate) struct Echo {
    server: Child,
    connection: Connection,
    buffer: RefCell<Vec<u8>>,
}

impl Echo {
    pub(crate) fn start(folder: &Path) -> Result<Self> {
        let path = folder.join("echo.sock");
        let server = Command::new(std::env::current_exe()?)
            .arg(ECHO_ARGUMENT)
            .arg(&path)
            .spawn()
            .context("cannot start the echo process")?;
        let patience = Instant::now() + Duration::from_secs(10);
        let connection = loop {
            match Connection::connect(&path) {
                Ok(connection) => break connection,
                Err(_) if Instant::now() < patience => {
                    std::thread::sleep(Duration::from_millis(5));
                }
                Err(error) => return Err(error).context("cannot reach the echo process"),
            }
        };
        Ok(Self {
            server,
            connection,
            buffer: RefCell::new(vec![0; BUFFER_LEN]),
        })
    }

    /// The process that answers.
    pub(crate) fn pid(&self) -> u32 {
        self.server.id()
    }

    /// One packet of `request_len` bytes there and one of `reply_len` bytes back.
    pub(crate) fn round_trip(&self, request_len: usize, reply_len: usize) -> Result<()> {
        let mut buffer = self.buffer.borrow_mut();
        ensure!(request_len.max(reply_len) <= BUFFER_LEN, "packet too large");
        buffer[..8].copy_from_slice(&(reply_len as u64).to_be_bytes());
        self.connection.send(&buffer[..request_len])?;
        match self.connection.recv(&mut buffer)? {
            Some(len) if len == reply_len => Ok(()),
            other => bail!("the echo process answered {other:?} bytes, not {reply_len}"),
        }
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// Serves one connection until it closes.
pub(crate) fn serve_echo(path: &Path) -> Result<()> {
    let connection = Listener::bind(path, 0o600)?.accept()?;
    let mut buffer = vec![0; BUFFER_LEN];
    while let Some(len) = connection.recv(&mut buffer)? {
        let asked = buffer
            .first_chunk::<8>()
            .filter(|_| len >= 8)
            .context("packet too short")?;
        let reply_len = usize::try_from(u64::from_be_bytes(*asked))?;
        connection.send(buffer.get(..reply_len).context("reply too long")?)?;
    }
    Ok(())
}
