//! The run-time measurement registers of TDX (Linux 6.16, `tdx_guest/measurements`).

use sha2::{Digest, Sha384};
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Length of a register: one SHA-384 digest.
pub const RTMR_LEN: usize = 48;

/// One of the four registers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rtmr {
    /// Firmware and its configuration.
    Rtmr0,
    /// What the firmware started.
    Rtmr1,
    /// What the boot loader started: kernel, initrd, command line.
    Rtmr2,
    /// For the system that runs.
    Rtmr3,
}

/// Why a register was not read, or not extended.
#[derive(Debug, Error)]
pub enum RtmrError {
    /// The kernel does not have it, or keeps it.
    #[error(
        "cannot {action} {}: {source}; it takes TDX, Linux 6.16, and a unit that may write there",
        .path.display()
    )]
    Refused {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// It is no digest.
    #[error("{} has not {RTMR_LEN} bytes", .path.display())]
    Length {
        /// Which file.
        path: PathBuf,
    },
    /// Only the firmware extends it.
    #[error("{0:?} is the firmware's: extend Rtmr2 or Rtmr3")]
    OfFirmware(Rtmr),
    /// It holds something else than the digest over what it held and was extended by.
    #[error("{} does not hold what it was extended to: something else extends it", .path.display())]
    Overtaken {
        /// Which file.
        path: PathBuf,
    },
}

impl Rtmr {
    /// All of them, in their order.
    pub const ALL: [Self; 4] = [Self::Rtmr0, Self::Rtmr1, Self::Rtmr2, Self::Rtmr3];

    fn path(self, folder: &Path) -> PathBuf {
        folder.join(match self {
            Self::Rtmr0 => "rtmr0:sha384",
            Self::Rtmr1 => "rtmr1:sha384",
            Self::Rtmr2 => "rtmr2:sha384",
            Self::Rtmr3 => "rtmr3:sha384",
        })
    }

    /// What the register holds. `folder` is [`crate::KernelPaths::tdx_measurements`].
    pub fn read(self, folder: &Path) -> Result<[u8; RTMR_LEN], RtmrError> {
        let path = self.path(folder);
        let mut bytes = Vec::new();
        let read = File::open(&path)
            .and_then(|file| file.take(RTMR_LEN as u64 + 1).read_to_end(&mut bytes));
        match read {
            Ok(_) => bytes.try_into().map_err(|_| RtmrError::Length { path }),
            Err(source) => Err(RtmrError::Refused {
                action: "read",
                path,
                source,
            }),
        }
    }

    /// Extends the register and returns what it holds then, which is looked at: SHA-384 over what
    /// it held and `digest`.
    pub fn extend(
        self,
        folder: &Path,
        digest: &[u8; RTMR_LEN],
    ) -> Result<[u8; RTMR_LEN], RtmrError> {
        if [Self::Rtmr0, Self::Rtmr1].contains(&self) {
            return Err(RtmrError::OfFirmware(self));
        }
        let before = self.read(folder)?;
        let path = self.path(folder);
        // All of it in one call, at the beginning: the kernel takes nothing else.
        let written = OpenOptions::new()
            .write(true)
            .open(&path)
            .and_then(|mut file| file.write(digest));
        let refused = |source| RtmrError::Refused {
            action: "extend",
            path: path.clone(),
            source,
        };
        if written.map_err(refused)? != RTMR_LEN {
            return Err(refused(io::ErrorKind::WriteZero.into()));
        }
        let expected: [u8; RTMR_LEN] = Sha384::new()
            .chain_update(before)
            .chain_update(digest)
            .finalize()
            .into();
        match self.read(folder)? {
            after if after == expected => Ok(after),
            _ => Err(RtmrError::Overtaken { path }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_register_is_48_bytes_and_nothing_else_is_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rtmr2:sha384");
        let missing = Rtmr::Rtmr2.read(folder.path()).unwrap_err().to_string();
        assert!(missing.contains("Linux 6.16"), "{missing}");
        for len in [0, 47, 49] {
            std::fs::write(&path, vec![1; len]).unwrap();
            let refused = Rtmr::Rtmr2.read(folder.path());
            assert!(matches!(refused, Err(RtmrError::Length { .. })), "{len}");
        }
        std::fs::write(&path, [1; 48]).unwrap();
        assert_eq!(Rtmr::Rtmr2.read(folder.path()).unwrap(), [1; 48]);
    }

    #[test]
    fn what_does_not_hold_the_digest_over_both_was_not_extended() {
        let folder = tempfile::tempdir().unwrap();
        // A file keeps what is written, which no register does.
        std::fs::write(folder.path().join("rtmr3:sha384"), [0; 48]).unwrap();
        let refused = Rtmr::Rtmr3.extend(folder.path(), &[7; 48]);
        assert!(matches!(refused, Err(RtmrError::Overtaken { .. })));
    }

    #[test]
    fn registers_of_the_firmware_are_not_extended() {
        for register in [Rtmr::Rtmr0, Rtmr::Rtmr1] {
            let refused = register.extend(Path::new("/nonexistent"), &[7; 48]);
            assert!(matches!(refused, Err(RtmrError::OfFirmware(_))));
        }
    }
}
