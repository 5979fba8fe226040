//! One request, as the kernel keeps it (`drivers/virt/coco/tsm.c`).

use crate::attribute::Attribute;
use crate::fault::Fault;
use crate::provider::{Blobs, Provider};
use nix::errno::Errno;

/// Longest data that is taken (`TSM_INBLOB_MAX`).
const MAX_INBLOB_LEN: usize = 64;
const MAX_PRIVLEVEL: u32 = 3;

/// One folder.
#[derive(Debug)]
pub(crate) struct Instance {
    pub(crate) name: String,
    pub(crate) fault: Option<Fault>,
    inblob: Vec<u8>,
    privlevel: u32,
    written: u64,
    read: u64,
    blobs: Option<Blobs>,
}

impl Instance {
    pub(crate) fn new(name: String, fault: Option<Fault>) -> Self {
        Self {
            name,
            fault,
            inblob: Vec::new(),
            privlevel: 0,
            written: 0,
            read: 0,
            blobs: None,
        }
    }

    /// A text that is stored as it is written.
    pub(crate) fn store_privlevel(&mut self, text: &[u8], floor: u32) -> Result<(), Errno> {
        let text = str::from_utf8(text).map_err(|_| Errno::EINVAL)?;
        let level: u32 = text.trim().parse().map_err(|_| Errno::EINVAL)?;
        if !(floor..=MAX_PRIVLEVEL).contains(&level) {
            return Err(Errno::EINVAL);
        }
        self.privlevel = level;
        self.written += 1;
        Ok(())
    }

    /// What was written to `inblob`, when the file is closed.
    pub(crate) fn store_inblob(&mut self, data: Vec<u8>) {
        if self.fault == Some(Fault::NotStored) {
            return;
        }
        self.inblob = data;
        self.written += 1;
        if self.fault == Some(Fault::WrittenBefore) {
            self.inblob = vec![0xbb; MAX_INBLOB_LEN];
            self.written += 1;
        }
    }

    /// Whether so much may be written to `inblob`.
    pub(crate) fn takes(len: usize) -> bool {
        len <= MAX_INBLOB_LEN
    }

    /// What an attribute reads.
    pub(crate) fn content(
        &mut self,
        attribute: Attribute,
        provider: &Provider,
    ) -> Result<Vec<u8>, Errno> {
        let line = |text: &dyn ToString| Ok(format!("{}\n", text.to_string()).into_bytes());
        match attribute {
            Attribute::Provider => line(&provider.name()),
            Attribute::Generation => line(&self.written),
            Attribute::PrivlevelFloor => line(&provider.floor().unwrap_or_default()),
            Attribute::Inblob | Attribute::Privlevel => Err(Errno::EACCES),
            Attribute::Outblob => Ok(self.generated(provider)?.outblob),
            Attribute::Auxblob => {
                let blobs = self.generated(provider)?;
                if self.fault == Some(Fault::WrittenAfter) {
                    self.written += 1;
                }
                Ok(blobs.auxblob)
            }
        }
    }

    /// The blobs of what is asked now, made when an option has changed.
    fn generated(&mut self, provider: &Provider) -> Result<Blobs, Errno> {
        if self.inblob.is_empty() {
            return Err(Errno::EINVAL);
        }
        if let Some(blobs) = self.blobs.clone().filter(|_| self.read == self.written) {
            return Ok(blobs);
        }
        if let Some(Fault::Refused(errno)) = self.fault {
            return Err(Errno::from_raw(errno));
        }
        let mut blobs = provider.blobs(&self.inblob, self.privlevel)?;
        match self.fault {
            Some(Fault::EmptyOutblob) => blobs.outblob.clear(),
            Some(Fault::LongOutblob) => blobs.outblob.resize(100_000, 0xee),
            Some(Fault::StaleOutblob) => {
                blobs.outblob = provider.blobs(&[0xaa; 64], self.privlevel)?.outblob;
            }
            Some(Fault::TruncatedAuxblob) => blobs.auxblob.truncate(blobs.auxblob.len() - 1),
            _ => {}
        }
        self.read = self.written;
        self.blobs = Some(blobs.clone());
        Ok(blobs)
    }
}
