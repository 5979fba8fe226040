//! Where the agent's packets are received.

use nitride_protocol::limits::MAX_PACKET_LEN;
use nitride_secmem::{ArenaFull, SecretBuf};

/// One longer, so that a packet over the limit is seen to be.
const LEN: usize = MAX_PACKET_LEN + 1;

/// Ordinary memory, since nothing that the agent sends is a secret; or the arena, from the first order
/// on by which it sends what it has read.
#[derive(Debug)]
pub(super) enum Inbox {
    Ordinary(Vec<u8>),
    Locked(SecretBuf),
}

impl Inbox {
    pub(super) fn new() -> Self {
        Self::Ordinary(vec![0; LEN])
    }

    /// Makes ready for what an order brings: in the clear, it is received in the arena from now on. Any
    /// other brings nothing that would need that.
    pub(super) fn make_ready(&mut self, in_clear: bool) -> Result<(), ArenaFull> {
        if let (true, Self::Ordinary(bytes)) = (in_clear, &*self) {
            *self = Self::Locked(SecretBuf::with_len(bytes.len())?);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arena_without_room_keeps_back_what_the_agent_reads_and_nothing_else() {
        let sizes = nitride_secmem::ArenaSizes {
            records_len: 1 << 20,
            records_max_len: 1 << 20,
            heap_len: 1 << 20,
        };
        // Another test of this process may have been first.
        let _ = nitride_secmem::install(sizes, nitride_secmem::BackingChoice::Best, Vec::new());
        let mut large = Inbox::Ordinary(vec![0; 1 << 32]);
        assert!(large.make_ready(false).is_ok());
        assert!(large.make_ready(true).is_err());
        assert!(matches!(large, Inbox::Ordinary(_)));
        let mut inbox = Inbox::new();
        assert!(inbox.make_ready(false).is_ok());
        assert!(matches!(inbox, Inbox::Ordinary(_)));
        assert!(inbox.make_ready(true).is_ok());
        assert!(matches!(inbox, Inbox::Locked(_)));
        assert_eq!(inbox.room().len(), LEN);
    }
}
