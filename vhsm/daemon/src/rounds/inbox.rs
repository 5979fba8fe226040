//! Where the agent's packets are received.

use nitride_protocol::limits::MAX_PACKET_LEN;
use nitride_secmem::{ArenaFull, SecretBuf};

/// One longer, so that a packet over the limit is seen to be.
const LEN: usize = MAX_PACKET_LEN + 1;

/// Ordinary memory, since nothing that the agent sends is a secret; or the arena, from the moment at
/// which the policy has it send what it has read.
#[derive(Debug)]
pub(super) enum Inbox {
    Ordinary(Vec<u8>),
    Locked(SecretBuf),
}

impl Inbox {
    pub(super) fn new() -> Self {
        Self::Ordinary(vec![0; LEN])
    }

    /// Receives in the arena from now on.
    pub(super) fn lock(&mut self) -> Result<(), ArenaFull> {
        if let Self::Ordinary(_) = self {
            *self = Self::Locked(SecretBuf::with_len(LEN)?);
        }
        Ok(())
    }

    pub(super) fn room(&mut self) -> &mut [u8] {
        match self {
            Self::Ordinary(bytes) => bytes,
            Self::Locked(bytes) => bytes.expose_mut(),
        }
    }

    /// The first bytes of it, which were received.
    pub(super) fn packet(&self, len: usize) -> &[u8] {
        let bytes = match self {
            Self::Ordinary(bytes) => bytes.as_slice(),
            Self::Locked(bytes) => bytes.expose(),
        };
        bytes.get(..len).unwrap_or_default()
    }

    /// Forgets what was received, where it may be a key.
    pub(super) fn wipe(&mut self, len: usize) {
        if let Self::Locked(bytes) = self
            && let Some(received) = bytes.expose_mut().get_mut(..len)
        {
            received.fill(0);
        }
    }
}
