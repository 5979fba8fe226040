//! The memory that peers share for data that is too long for a packet.

use super::quota::{Account, QuotaExceeded, SharedCharge};
use nitride_ipc::memory::{MemoryError, SharedMemory};
use nitride_protocol::Operation;
use std::os::fd::OwnedFd;
use std::sync::Arc;

/// Buffers that one connection may have registered. They go when it ends.
const MAX_BUFFERS: usize = 4;

/// Why a request for shared memory is refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SharedFault {
    /// The memory is not of the kind that is taken.
    #[error("the shared memory is not taken")]
    Memory(#[from] MemoryError),
    /// The user shares as much as it may.
    #[error(transparent)]
    Quota(#[from] QuotaExceeded),
    /// The request needs just one descriptor.
    #[error("the packet does not carry the one memfd that the request is about")]
    NoMemory,
    /// Nothing is taken with a packet of a peer that has not said that there may be something.
    #[error(
        "no descriptor is taken from this connection, since its hello has not said that packets may \
         carry any: say hello again with attaches true, and the request after it"
    )]
    Unannounced,
    /// The connection has no such buffer.
    #[error("the connection has no buffer {number}")]
    NoBuffer {
        /// What was asked for.
        number: u32,
    },
    /// It has as many as it may have.
    #[error("the connection has {MAX_BUFFERS} buffers already")]
    TooManyBuffers,
}

/// What came with one packet.
#[derive(Debug, Default)]
pub(crate) enum Attached {
    /// Nothing.
    #[default]
    Nothing,
    /// Nothing was taken, since the peer has not said that there may be something.
    Unannounced,
    /// One descriptor.
    One(OwnedFd),
    /// More than any request takes; they are closed.
    TooMany,
    /// Something that is no memory; it is closed.
    Foreign,
}

impl Attached {
    /// Whether a request for `operation` may carry it.
    pub(super) fn is_expected_by(&self, operation: u16) -> bool {
        use Operation as Op;
        match self {
            Self::Nothing | Self::Unannounced => true,
            Self::One(_) => matches!(
                Operation::from_wire(operation),
                Some(Op::RegisterBuffer | Op::EncryptBuffer | Op::DecryptBuffer | Op::Restore)
            ),
            Self::TooMany | Self::Foreign => false,
        }
    }
}

/// Memory of a peer, charged to its user as long as it is mapped.
#[derive(Debug)]
pub(crate) struct Buffer {
    memory: SharedMemory,
    // After the memory: it is unmapped before the charge is given back.
    _charge: SharedCharge,
}

impl Buffer {
    fn adopt(
        memfd: &OwnedFd,
        said: Option<u64>,
        account: &Arc<Account>,
    ) -> Result<Arc<Self>, SharedFault> {
        // Mapped only once there is room for it.
        let len = SharedMemory::check(memfd, said)?;
        let charge = account.share(len)?;
        Ok(Arc::new(Self {
            memory: SharedMemory::adopt(memfd, Some(len))?,
            _charge: charge,
        }))
    }

    /// The memory.
    pub(crate) fn memory(&self) -> &SharedMemory {
        &self.memory
    }
}

/// What one connection shares: what it has registered, and what came with the packet at hand.
#[derive(Debug, Default, Clone)]
pub(crate) struct Buffers {
    registered: Vec<Arc<Buffer>>,
    attached: Option<Arc<OwnedFd>>,
    is_unannounced: bool,
}

impl Buffers {
    /// Takes what came with the next packet, and closes what came with the one before.
    pub(crate) fn attach(&mut self, attached: Attached) {
        self.is_unannounced = matches!(attached, Attached::Unannounced);
        self.attached = match attached {
            Attached::One(memfd) => Some(Arc::new(memfd)),
            Attached::Nothing | Attached::Unannounced | Attached::TooMany | Attached::Foreign => {
                None
            }
        };
    }

    /// Why there is no memory with the packet at hand, or one memory too many.
    fn missing(&self) -> SharedFault {
        if self.is_unannounced {
            SharedFault::Unannounced
        } else {
            SharedFault::NoMemory
        }
    }

    /// Registers the attached memory, of which the peer says that it has `len` bytes.
    pub(crate) fn register(
        &mut self,
        len: u64,
        account: &Arc<Account>,
    ) -> Result<u32, SharedFault> {
        let memfd = self.attached.take().ok_or_else(|| self.missing())?;
        let number = u32::try_from(self.registered.len()).unwrap_or(u32::MAX);
        if self.registered.len() >= MAX_BUFFERS {
            return Err(SharedFault::TooManyBuffers);
        }
        let buffer = Buffer::adopt(&memfd, Some(len), account)?;
        self.registered.push(buffer);
        Ok(number)
    }

    /// The memory that a request names; without a number it is what came with the packet.
    pub(crate) fn find(
        &self,
        number: Option<u32>,
        account: &Arc<Account>,
    ) -> Result<Arc<Buffer>, SharedFault> {
        match (number, &self.attached) {
            (Some(number), None) => usize::try_from(number)
                .ok()
                .and_then(|number| self.registered.get(number).map(Arc::clone))
                .ok_or(SharedFault::NoBuffer { number }),
            (None, Some(memfd)) => Buffer::adopt(memfd, None, account),
            (Some(_), Some(_)) | (None, None) => Err(self.missing()),
        }
    }
}
