//! A copy of a volume's header that nobody can change, checked.
//!
//! ```text
//! device ──take──> HeaderCopy ──check──> CheckedCopy ──descriptor──> cryptsetup open --header
//!                  sealed memory         the only thing that is opened by
//! ```
//!
//! Checking the device and then opening it would be a race, which the host wins. What is checked is
//! read from the copy, after it was sealed.

use crate::luks2::{self, BINARY_LEN, CheckedHeader, Header, HeaderFault, Standing, Wanted};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, SealFlag, fcntl};
use nix::libc::MFD_NOEXEC_SEAL;
use nix::sys::memfd::{MFdFlags, memfd_create};
use sha2::{Digest, Sha256};
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write, copy};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use thiserror::Error;

/// How much of a copy is hashed at a time.
const DIGEST_BLOCK_LEN: usize = 64 * 1024;

/// Why there is no copy to open by.
#[derive(Debug, Error)]
pub(crate) enum CopyError {
    #[error("{} cannot be read", .device.display())]
    Unreadable {
        device: PathBuf,
        source: std::io::Error,
    },
    #[error("the header of {} is refused", .device.display())]
    Refused {
        device: PathBuf,
        source: HeaderFault,
    },
    #[error("memory for a copy of the header cannot be had")]
    Memory(#[source] std::io::Error),
    #[error("the copy of the header cannot be sealed")]
    Unsealed,
    #[error("the copy of the header is not any more what was checked")]
    NotKept,
}

impl CopyError {
    /// What to do about it, as a sentence without its stop.
    pub(crate) fn remedy(&self) -> &'static str {
        match self {
            Self::Unreadable { .. } => {
                "check the volume's `device`, and that this runs as root or in the group of disks"
            }
            Self::Refused { source, .. } => source.remedy(),
            Self::Memory(_) => "free memory: a header has 16 MiB by default",
            Self::NotKept => "turn swap off: the copy was in memory that nobody else can write",
            Self::Unsealed => "run a kernel with sealed memory files (Linux 3.17 and later)",
        }
    }

    /// The header's fault, where that is the reason.
    pub(crate) fn fault(&self) -> Option<&HeaderFault> {
        match self {
            Self::Refused { source, .. } => Some(source),
            _ => None,
        }
    }
}

/// A header and its keyslots, in memory that is sealed against writing, growing and shrinking.
#[derive(Debug)]
pub(crate) struct HeaderCopy {
    device: PathBuf,
    device_len: u64,
    memory: File,
    /// Both headers as they stood on the device.
    found: Vec<u8>,
    standing: Standing,
}

/// A copy whose header was checked. Only [`HeaderCopy::check`] makes one.
#[derive(Debug)]
pub(crate) struct CheckedCopy {
    copy: HeaderCopy,
    header: CheckedHeader,
    /// SHA-256 of all of the copy, from before it was checked.
    digest: [u8; 32],
}

/// A copy that is still what was checked. Only [`CheckedCopy::kept`] makes one, and a volume is mapped
/// by nothing else.
#[derive(Debug)]
pub(crate) struct KeptCopy<'a>(&'a CheckedCopy);

impl KeptCopy<'_> {
    pub(crate) fn copy(&self) -> &CheckedCopy {
        self.0
    }
}

impl HeaderCopy {
    /// Copies the header of the volume on `device`: a block device or a file.
    pub(crate) fn take(device: &Path) -> Result<Self, CopyError> {
        let unreadable = |source| CopyError::Unreadable {
            device: device.to_owned(),
            source,
        };
        let refused = |source| CopyError::Refused {
            device: device.to_owned(),
            source,
        };
        let mut file = open(device).map_err(unreadable)?;
        let device_len = file.seek(SeekFrom::End(0)).map_err(unreadable)?;
        let found = headers(&file, device_len).map_err(unreadable)?;
        let found = found.map_err(refused)?;
        let header = luks2::parse(&found).map_err(refused)?;
        let first = luks2::repaired(&found, &header);
        if device_len < header.len() {
            let len = device_len;
            return Err(refused(HeaderFault::TooShort { len }));
        }
        // parse() bounds it.
        let rest = header.len().saturating_sub(first.len() as u64);
        file.seek(SeekFrom::Start(first.len() as u64))
            .map_err(unreadable)?;
        let mut memory = memory().map_err(CopyError::Memory)?;
        memory.write_all(&first).map_err(CopyError::Memory)?;
        let copied = copy(&mut (&file).take(rest), &mut memory).map_err(unreadable)?;
        if copied != rest {
            let len = device_len;
            return Err(refused(HeaderFault::TooShort { len }));
        }
        seal(&memory)?;
        Ok(Self {
            device: device.to_owned(),
            device_len,
            memory,
            found,
            standing: header.standing(),
        })
    }

    /// Judges what stands in the copy.
    pub(crate) fn check(self, wanted: &Wanted) -> Result<CheckedCopy, CopyError> {
        let digest = digest(&self.memory).map_err(CopyError::Memory)?;
        let header = self
            .header()
            .and_then(|header| CheckedHeader::of(header, self.device_len, wanted));
        match header {
            Ok(header) => Ok(CheckedCopy {
                copy: self,
                header,
                digest,
            }),
            Err(source) => Err(CopyError::Refused {
                device: self.device,
                source,
            }),
        }
    }

    /// Reads the header out of the sealed copy.
    fn header(&self) -> Result<Header, HeaderFault> {
        let mut both = vec![0; self.found.len()];
        match self.memory.read_exact_at(&mut both, 0) {
            Ok(()) => luks2::parse(&both),
            // Sealed memory does not shrink; if it did, it would be no copy.
            Err(_) => Err(HeaderFault::Changed),
        }
    }
}

impl CheckedCopy {
    pub(crate) fn header(&self) -> &CheckedHeader {
        &self.header
    }

    /// What was found of the device's two copies; this one is whole in any case.
    pub(crate) fn standing(&self) -> Standing {
        self.copy.standing
    }

    pub(crate) fn device(&self) -> &Path {
        &self.copy.device
    }

    /// The sealed memory, for cryptsetup.
    pub(crate) fn memory(&self) -> BorrowedFd<'_> {
        self.copy.memory.as_fd()
    }

    /// That the copy is still what was checked: seals keep everybody from writing it, and not whoever
    /// holds a disk from which the kernel takes memory back that it had swapped out.
    pub(crate) fn kept(&self) -> Result<KeptCopy<'_>, CopyError> {
        match digest(&self.copy.memory).map_err(CopyError::Memory)? == self.digest {
            true => Ok(KeptCopy(self)),
            false => Err(CopyError::NotKept),
        }
    }

    /// That the device still has the header that was copied. A header that changes while the machine
    /// waits for its passphrase changes nothing here; it is refused so that it is seen.
    pub(crate) fn check_unchanged(&self) -> Result<(), CopyError> {
        let device = self.device();
        let unreadable = |source| CopyError::Unreadable {
            device: device.to_owned(),
            source,
        };
        let file = open(device).map_err(unreadable)?;
        let now = headers(&file, self.copy.device_len).map_err(unreadable)?;
        match now {
            Ok(now) if now == self.copy.found => Ok(()),
            _ => Err(CopyError::Refused {
                device: device.to_owned(),
                source: HeaderFault::Changed,
            }),
        }
    }
}

/// Both headers of the device, as bytes.
fn headers(file: &File, device_len: u64) -> std::io::Result<Result<Vec<u8>, HeaderFault>> {
    let read = |len: usize| {
        if device_len < len as u64 {
            return Ok(None);
        }
        let mut bytes = vec![0; len];
        file.read_exact_at(&mut bytes, 0).map(|()| Some(bytes))
    };
    let too_short = Ok(Err(HeaderFault::TooShort { len: device_len }));
    let Some(block) = read(BINARY_LEN)? else {
        return too_short;
    };
    match luks2::len_of_both(&block) {
        Err(fault) => Ok(Err(fault)),
        Ok(len) => match read(len)? {
            None => too_short,
            Some(both) => Ok(Ok(both)),
        },
    }
}

/// SHA-256 of a file, from its beginning.
fn digest(file: &File) -> std::io::Result<[u8; 32]> {
    let mut hash = Sha256::new();
    let mut block = vec![0; DIGEST_BLOCK_LEN];
    let mut offset = 0;
    loop {
        match file.read_at(&mut block, offset)? {
            0 => return Ok(hash.finalize().into()),
            read => {
                hash.update(&block[..read]);
                offset += read as u64;
            }
        }
    }
}

/// For reading; a pipe or a terminal does not make it wait.
fn open(device: &Path) -> std::io::Result<File> {
    let flags = OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits())
        .open(device)
}

/// A file in memory that can be sealed.
fn memory() -> std::io::Result<File> {
    let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
    // Some kernels give out nothing else (vm.memfd_noexec), those before 6.3 do not know it.
    let no_exec = flags | MFdFlags::from_bits_retain(MFD_NOEXEC_SEAL);
    let name = "luks2-header";
    let memory = match memfd_create(name, no_exec) {
        Err(Errno::EINVAL) => memfd_create(name, flags),
        made => made,
    };
    Ok(File::from(memory?))
}

/// Seals the memory, and looks that it is.
fn seal(memory: &File) -> Result<(), CopyError> {
    let seals = SealFlag::F_SEAL_WRITE
        | SealFlag::F_SEAL_GROW
        | SealFlag::F_SEAL_SHRINK
        | SealFlag::F_SEAL_SEAL;
    fcntl(memory, FcntlArg::F_ADD_SEALS(seals)).map_err(|_| CopyError::Unsealed)?;
    match fcntl(memory, FcntlArg::F_GET_SEALS) {
        Ok(found) if SealFlag::from_bits_truncate(found).contains(seals) => Ok(()),
        _ => Err(CopyError::Unsealed),
    }
}

#[cfg(test)]
mod tests;
