use super::LIBRARY;
use std::ffi::OsStr;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::path::{Path, PathBuf};
use thiserror::Error;

/// As many devices as a verifier reads.
pub const MAX_GPUS: u32 = 16;

/// A number of GPUs that no machine has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("no such number of GPUs: 1 to {MAX_GPUS} are expected")]
pub struct InvalidGpus;

/// How NVIDIA's devices are asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GpuSettings {
    devices: u32,
    library: Option<PathBuf>,
    /// Where the library is loaded from, if that is not its path.
    loaded_from: Option<PathBuf>,
}

impl GpuSettings {
    /// `devices` GPUs, by the NVML at `library`, or where the dynamic linker finds it.
    ///
    /// Whoever gives a path answers for what is there: its code runs in this process.
    pub fn new(devices: u32, library: Option<PathBuf>) -> Result<Self, InvalidGpus> {
        if devices == 0 || devices > MAX_GPUS {
            return Err(InvalidGpus);
        }
        Ok(Self {
            devices,
            library,
            loaded_from: None,
        })
    }

    /// The same by this very file, which was opened and looked at: a path that is walked again may lead
    /// elsewhere by then. The file has to stay open until the collector is.
    #[must_use]
    pub fn loaded_from(self, file: BorrowedFd<'_>) -> Self {
        let path = format!("/proc/self/fd/{}", file.as_raw_fd());
        Self {
            loaded_from: Some(path.into()),
            ..self
        }
    }

    /// How many there have to be.
    #[must_use]
    pub fn devices(&self) -> u32 {
        self.devices
    }

    /// The library's path, where one is stated.
    #[must_use]
    pub fn stated_library(&self) -> Option<&Path> {
        self.library.as_deref()
    }

    /// What the dynamic linker is given.
    pub(super) fn library(&self) -> &OsStr {
        match &self.loaded_from {
            Some(path) => path.as_os_str(),
            None => self.named(),
        }
    }

    /// What people are told.
    pub(super) fn named(&self) -> &OsStr {
        match &self.library {
            Some(path) => path.as_os_str(),
            None => OsStr::new(LIBRARY),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_machine_has_no_gpu_or_more_than_a_verifier_reads() {
        for devices in [0, MAX_GPUS + 1] {
            assert_eq!(GpuSettings::new(devices, None), Err(InvalidGpus));
        }
        assert!(GpuSettings::new(MAX_GPUS, None).is_ok());
    }
}
