//! The real vhsmd, release build, one connection.

use anyhow::{Context, Result};
use nitride_client::Client;
use nitride_protocol::KeyType;
use nitride_support::binaries::Binaries;
use nitride_support::plan::Plan;
use nitride_support::world::World;

/// Packet lengths that the round trip of the floor uses: name, head and data of the requests made
/// here, within a byte or two of the id's encoding.
pub(crate) const SIGN_REQUEST_LEN: usize = 56;
/// `[id, 0, [1, h'64 bytes']]`.
pub(crate) const SIGN_REPLY_LEN: usize = 72;
/// A kilobyte of plaintext with its request around it.
pub(crate) const ENCRYPT_REQUEST_LEN: usize = 1049;
/// 36 bytes of header and nonce, the kilobyte, 16 bytes of tag, and the reply around it.
pub(crate) const ENCRYPT_REPLY_LEN: usize = 1085;

const SIGNING_KEY: &str = "perf/signing";
const SEALING_KEY: &str = "perf/sealing";

/// Builds the programs, which wants every CPU: call it before binding to one.
pub(crate) fn build() -> Result<()> {
    Binaries::find().map(drop)
}

/// A vault with a signing and a sealing key, and a client connected to it.
pub(crate) struct Vault {
    client: Client,
    message: Vec<u8>,
    plaintext: Vec<u8>,
    // Last, so that the client is gone before the vault is stopped.
    _world: World,
}

impl Vault {
    pub(crate) fn start(message_len: usize, plaintext_len: usize) -> Result<Self> {
        let mut world = World::start(Plan::vault("")).context("cannot start the vault")?;
        // The figures stand alone; the logs are for tests that fail.
        world.talkative = false;
        let mut client = world.application()?;
        client.generate(SIGNING_KEY, KeyType::EcP256, None)?;
        client.generate(SEALING_KEY, KeyType::Aes256Gcm, None)?;
        Ok(Self {
            client,
            message: vec![1; message_len],
            plaintext: vec![2; plaintext_len],
            _world: world,
        })
    }

    pub(crate) fn sign(&mut self) -> Result<()> {
        let signature = self.client.sign(SIGNING_KEY, None, &self.message)?;
        std::hint::black_box(&signature);
        Ok(())
    }

    pub(crate) fn encrypt(&mut self) -> Result<()> {
        let ciphertext = self.client.encrypt(SEALING_KEY, &self.plaintext, b"")?;
        std::hint::black_box(&ciphertext);
        Ok(())
    }
}
