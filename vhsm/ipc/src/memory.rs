//! Memory that a peer shares with us for data that is too long for a packet.
//!
//! The peer keeps writing to it while we read: nothing that was read once is read again and
//! believed to be the same. What is worked on is copied out first ([`SharedMemory::read_at`]), and
//! results are copied in ([`SharedMemory::write_at`]); no reference into it is ever made.
//!
//! Touching a page that is not there would end the process (SIGBUS), so only memory is taken that
//! the peer can neither shrink nor has left out: a memfd of ordinary pages, sealed against
//! shrinking and growing, and allocated in full. A hole that is punched later reads as zeros.

use crate::sys::{self, Mapping};
use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, FcntlArg, SealFlag, fallocate, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::stat::fstat;
use nix::sys::statfs::{TMPFS_MAGIC, fstatfs};
use nix::unistd::ftruncate;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Bytes in a block of `st_blocks` (stat(2)).
const BLOCK_LEN: u64 = 512;

/// Why shared memory was not taken.
#[derive(Debug, thiserror::Error)]
pub enum MemoryError {
    /// It is a file, a socket, memory of another kind: nothing that can be sealed.
    #[error("the descriptor is not a memfd")]
    NotMemfd,
    /// Its length can still be changed.
    #[error("the memfd is not sealed against shrinking and growing")]
    NotSealed,
    /// It has another length than was said, or none.
    #[error("the memfd has {len} bytes, not {said}")]
    WrongLength {
        /// Its length in bytes.
        len: u64,
        /// What the peer said.
        said: u64,
    },
    /// Parts of it would be allocated only when they are touched, at our expense.
    #[error("the memfd has holes: {allocated} of {len} bytes are allocated")]
    Sparse {
        /// Bytes that are there.
        allocated: u64,
        /// Its length in bytes.
        len: u64,
    },
    /// The kernel refused.
    #[error("{action} shared memory")]
    System {
        /// What was being done.
        action: &'static str,
        /// What the kernel said.
        #[source]
        errno: Errno,
    },
}

/// The place is not within the memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no such place in the shared memory")]
pub struct OutOfBounds;

/// Memory shared with a peer, readable and writable by both.
#[derive(Debug)]
pub struct SharedMemory {
    mapping: Mapping,
}

impl SharedMemory {
    /// Takes the memory behind `memfd`, of which the peer says that it has `said` bytes; `None`
    /// takes it as long as it is. It stays when the descriptor is closed.
    ///
    /// # Errors
    /// [`MemoryError`]; nothing was mapped then.
    pub fn adopt(memfd: &impl AsFd, said: Option<u64>) -> Result<Self, MemoryError> {
        let len = check(memfd.as_fd(), said)?;
        Self::map(memfd.as_fd(), len)
    }

    /// Whether `descriptor` is memory of some kind. Of all that a peer may send, that alone can be
    /// looked at, and closed, without waiting for anybody.
    #[must_use]
    pub fn is_memory(descriptor: &impl AsFd) -> bool {
        fcntl(descriptor.as_fd(), FcntlArg::F_GET_SEALS).is_ok()
    }

    /// The length in bytes of the memory that [`SharedMemory::adopt`] would take.
    ///
    /// # Errors
    /// As [`SharedMemory::adopt`].
    pub fn check(memfd: &impl AsFd, said: Option<u64>) -> Result<u64, MemoryError> {
        check(memfd.as_fd(), said).map(|len| len as u64)
    }

    /// New memory of `len` bytes, and the descriptor to share it by.
    ///
    /// # Errors
    /// [`MemoryError::System`], or [`MemoryError::WrongLength`] for no length at all.
    pub fn create(len: u64) -> Result<(Self, OwnedFd), MemoryError> {
        let system = |action| move |errno| MemoryError::System { action, errno };
        let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
        let memfd = memfd_create(c"nitride-buffer", flags).map_err(system("create"))?;
        let signed = i64::try_from(len).map_err(|_| MemoryError::System {
            action: "size",
            errno: Errno::EFBIG,
        })?;
        ftruncate(&memfd, signed).map_err(system("size"))?;
        if signed > 0 {
            fallocate(&memfd, FallocateFlags::empty(), 0, signed).map_err(system("allocate"))?;
        }
        let seals = SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SEAL;
        fcntl(&memfd, FcntlArg::F_ADD_SEALS(seals)).map_err(system("seal"))?;
        let len = check(memfd.as_fd(), Some(len))?;
        Ok((Self::map(memfd.as_fd(), len)?, memfd))
    }

    fn map(memfd: BorrowedFd<'_>, len: usize) -> Result<Self, MemoryError> {
        let mapping = sys::map_shared(memfd, len).map_err(|errno| MemoryError::System {
            action: "map",
            errno,
        })?;
        Ok(Self { mapping })
    }

    /// Its length in bytes, never zero.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.mapping.len() as u64
    }

    /// Never: there is no empty shared memory.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        false
    }

    /// Copies what stands `offset` bytes from the start into `out`.
    ///
    /// # Errors
    /// [`OutOfBounds`]; `out` is untouched then.
    pub fn read_at(&self, offset: u64, out: &mut [u8]) -> Result<(), OutOfBounds> {
        let offset = usize::try_from(offset).map_err(|_| OutOfBounds)?;
        self.mapping.copy_to(offset, out).ok_or(OutOfBounds)
    }

    /// Copies `bytes` to the place `offset` bytes from the start.
    ///
    /// # Errors
    /// [`OutOfBounds`]; nothing was written then.
    pub fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<(), OutOfBounds> {
        let offset = usize::try_from(offset).map_err(|_| OutOfBounds)?;
        self.mapping.copy_from(offset, bytes).ok_or(OutOfBounds)
    }
}

/// The length of the memory, once it is what the module's documentation asks for.
fn check(memfd: BorrowedFd<'_>, said: Option<u64>) -> Result<usize, MemoryError> {
    let system = |action| move |errno| MemoryError::System { action, errno };
    // Seals first, since the kernel answers that itself: anything else may ask a file system that is
    // the peer's own program, which need not answer. And seals before the length: what is sealed
    // stays as it is then seen.
    let seals = match fcntl(memfd, FcntlArg::F_GET_SEALS) {
        Ok(seals) => SealFlag::from_bits_retain(seals),
        Err(_) => return Err(MemoryError::NotMemfd),
    };
    let kind = fstatfs(memfd).map_err(system("look at"))?.filesystem_type();
    // Of huge pages and of memfd_secret, too, there are memfds; neither can be relied on like this.
    if kind != TMPFS_MAGIC {
        return Err(MemoryError::NotMemfd);
    }
    if !seals.contains(SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW) {
        return Err(MemoryError::NotSealed);
    }
    let found = fstat(memfd).map_err(system("look at"))?;
    let len = u64::try_from(found.st_size).unwrap_or(0);
    let said = said.unwrap_or(len);
    if len == 0 || len != said {
        return Err(MemoryError::WrongLength { len, said });
    }
    let allocated = u64::try_from(found.st_blocks)
        .unwrap_or(0)
        .saturating_mul(BLOCK_LEN);
    if allocated < len {
        return Err(MemoryError::Sparse { allocated, len });
    }
    usize::try_from(len).map_err(|_| MemoryError::WrongLength { len, said })
}

#[cfg(test)]
mod tests;
