//! configfs-tsm (Linux `Documentation/ABI/testing/configfs-tsm-report`): a folder a request.
//!
//! The data is stored when its file is closed, and what goes wrong there is told to nobody; each
//! write that was stored adds one to `generation`, and so does one by somebody else. So it is read
//! after each write and again after the blobs: blobs of another generation than ours are of another
//! request, and none of them is used.

mod error;
mod request;

pub(crate) use error::TsmError;
use request::Request;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

/// Length of the data that a report covers: SEV-SNP and TDX take no other.
pub(crate) const INBLOB_LEN: usize = 64;

/// Before each further try of a request that was interrupted or overtaken.
const PAUSES_MS: [u64; 4] = [5, 20, 80, 320];

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted<'a> {
    pub(crate) data: &'a [u8; INBLOB_LEN],
    pub(crate) privlevel: Option<u32>,
    pub(crate) auxblob: bool,
}

/// What one request gave.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Blobs {
    /// Report or quote; never empty.
    pub(crate) outblob: Vec<u8>,
    /// What goes with it; empty where there is nothing or it was not wanted.
    pub(crate) auxblob: Vec<u8>,
}

/// The folder of the requests, with a provider behind it.
#[derive(Debug)]
pub(crate) struct Reports {
    folder: PathBuf,
    /// The least `privlevel` that is taken, where there are any.
    privlevel_floor: Option<u32>,
}

impl Reports {
    /// What serves `folder`: the kernel says it inside a request alone.
    pub(crate) fn provider(folder: &Path) -> Result<String, TsmError> {
        Request::make(folder)?.text("provider")
    }

    /// Sees that it is `provider` who serves `folder`, and removes what a helper left behind that
    /// was killed.
    pub(crate) fn open(folder: &Path, provider: &'static str) -> Result<Self, TsmError> {
        let request = Request::make(folder)?;
        let found = request.text("provider")?;
        if found != provider {
            return Err(TsmError::ForeignProvider { found, provider });
        }
        request::remove_stale(folder);
        Ok(Self {
            folder: folder.to_owned(),
            privlevel_floor: request.number_if_there("privlevel_floor")?,
        })
    }

    /// The least `privlevel` that is taken, where there are any.
    pub(crate) fn privlevel_floor(&self) -> Option<u32> {
        self.privlevel_floor
    }

    /// The blobs of one request over the data. May block for as long as the provider does. Each try
    /// is a request to the firmware, before which `wait` may wait.
    pub(crate) fn ask(
        &self,
        wanted: Wanted<'_>,
        mut wait: impl FnMut(),
    ) -> Result<Blobs, TsmError> {
        let mut pauses_ms = PAUSES_MS.into_iter();
        loop {
            wait();
            match (self.ask_once(wanted), pauses_ms.next()) {
                (Err(error), Some(pause_ms)) if error.is_passing() => {
                    sleep(Duration::from_millis(pause_ms));
                }
                (settled, _) => return settled,
            }
        }
    }

    fn ask_once(&self, wanted: Wanted<'_>) -> Result<Blobs, TsmError> {
        let request = Request::make(&self.folder)?;
        let mut expected = request.generation()?;
        let mut write = |attribute, value: &[u8]| {
            request.write(attribute, value)?;
            expected = expected.wrapping_add(1);
            match request.generation()? {
                found if found == expected => Ok(()),
                found if found == expected.wrapping_sub(1) => {
                    Err(TsmError::NotStored { attribute })
                }
                found => Err(TsmError::Overtaken { expected, found }),
            }
        };
        write("inblob", wanted.data)?;
        if let Some(level) = wanted.privlevel {
            write("privlevel", level.to_string().as_bytes())?;
        }
        let outblob = request.blob("outblob")?;
        let auxblob = match wanted.auxblob {
            true => request.blob_if_there("auxblob")?,
            false => Vec::new(),
        };
        let found = request.generation()?;
        if found != expected {
            return Err(TsmError::Overtaken { expected, found });
        }
        // Older kernels have given one when they gave up.
        if outblob.is_empty() {
            return Err(TsmError::Empty);
        }
        Ok(Blobs { outblob, auxblob })
    }
}
