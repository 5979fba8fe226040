//! Sealing: a secret that this platform gives again in this state, and in no other.

mod derive;
mod sample;
mod secret;
mod snp;
mod tpm;

use crate::sample::InvalidSvn;
use std::path::Path;
use thiserror::Error;

pub use secret::{PLATFORM_SECRET_LEN, PlatformSecret};
pub use snp::{InvalidTcb, TcbVersion};
pub use tpm::{InvalidTpm, MAX_PCRS_LEN, TpmSettings};

/// Greatest length of what a platform wants kept to give a secret again.
pub const MAX_PARAMS_LEN: usize = 4096;

/// A new secret and how to get it again.
#[derive(Debug)]
pub struct Made {
    /// The platform's part of the sealing key.
    pub secret: PlatformSecret,
    /// No secret; at most [`MAX_PARAMS_LEN`] bytes.
    pub params: Vec<u8>,
    /// What whoever runs this should know about how little the secret is bound to.
    pub warnings: Vec<String>,
}

/// A secret that was made earlier.
#[derive(Debug)]
pub struct Again {
    /// The platform's part of the sealing key.
    pub secret: PlatformSecret,
    /// What of the platform has been updated since, for people, where a new secret would be bound
    /// to more than this one is.
    pub outdated: Option<String>,
}

/// Why a platform gave no secret, or no counter.
#[derive(Debug, Error)]
pub enum SealError {
    /// The device is not there, or cannot be opened.
    #[error(
        "cannot open {device}: {reason}; see that the machine has it, and [seal] in quote.toml"
    )]
    Absent {
        /// Which device.
        device: String,
        /// What opening it said.
        reason: String,
    },
    /// The device is there and did not do what it must.
    #[error("{device} cannot {action}: {reason}")]
    Faulty {
        /// Which device.
        device: String,
        /// What was asked of it.
        action: &'static str,
        /// What it answered.
        reason: String,
    },
    /// This machine is not in the state that the secret was made in.
    #[error("the machine has changed since: {reason}; start what was measured then, or begin anew")]
    Changed {
        /// What has.
        reason: String,
    },
    /// The params are not of this platform.
    #[error("this platform did not make that: {reason}; bring back its own file, or begin anew")]
    Foreign {
        /// How that shows.
        reason: String,
    },
    /// There is no counter under these params.
    #[error("the counter is lost: {reason}; nothing tells a newer file from an older one any more")]
    CounterLost {
        /// How.
        reason: String,
    },
}

/// One platform's way to give a secret again.
pub(crate) trait Platform: std::fmt::Debug + Send {
    fn name(&self) -> &'static str;
    fn make(&mut self) -> Result<Made, SealError>;
    fn again(&mut self, params: &[u8]) -> Result<Again, SealError>;

    fn counter(&mut self, _params: &[u8], _increment: bool) -> Result<u64, SealError> {
        Err(SealError::CounterLost {
            reason: format!("the platform {} has none", self.name()),
        })
    }

    fn forget(&mut self, _params: &[u8]) -> Result<(), SealError> {
        Ok(())
    }

    fn unmake(&mut self, _params: &[u8]) -> Result<(), SealError> {
        Ok(())
    }
}

/// The sealing platform that is configured.
#[derive(Debug)]
pub struct Sealer {
    platform: Box<dyn Platform>,
}

impl Sealer {
    /// A TPM 2.0. It is opened for each call, so that it may come later than this.
    pub fn tpm(settings: TpmSettings) -> Self {
        Self {
            platform: Box::new(tpm::Tpm::new(settings)),
        }
    }

    /// The derived key of AMD SEV-SNP, of the device at `path`, for the privilege level `vmpl`, and
    /// of no TCB version that is behind `min_tcb` in any of its components.
    pub fn snp(path: &Path, vmpl: u32, min_tcb: TcbVersion) -> Self {
        Self {
            platform: Box::new(snp::Snp::new(path, vmpl, min_tcb)),
        }
    }

    /// A platform without hardware: its secret is known to everybody.
    ///
    /// `svn` plays the machine's state, as for [`crate::Collector::danger_simulated`].
    pub fn danger_simulated(svn: &str) -> Result<Self, InvalidSvn> {
        Ok(Self {
            platform: Box::new(sample::SampleSeal::new(svn)?),
        })
    }

    /// The platform's word: `tpm`, `snp` or `sample`.
    pub fn name(&self) -> &'static str {
        self.platform.name()
    }

    /// Makes a new secret, and a counter where one is configured. Where there is a counter already
    /// it is refused, since something was sealed before.
    pub fn make(&mut self) -> Result<Made, SealError> {
        self.platform.make()
    }

    /// The secret of `params`, or what is no longer as it was.
    pub fn again(&mut self, params: &[u8]) -> Result<Again, SealError> {
        self.platform.again(params)
    }

    /// The counter of `params`, after one step where `increment`. After an error it may have
    /// stepped or not.
    pub fn counter(&mut self, params: &[u8], increment: bool) -> Result<u64, SealError> {
        self.platform.counter(params, increment)
    }

    /// Removes the counter that is configured, and the one of `params` where that is another: what
    /// was counted by them is dead. Params may be empty, and none to remove is no fault.
    pub fn forget(&mut self, params: &[u8]) -> Result<(), SealError> {
        self.platform.forget(params)
    }

    /// Takes back what [`Self::make`] made with these params, for whom it never reached: a counter
    /// of which nobody knows would be in the way of every later one. One that was made meanwhile
    /// by another call stays.
    pub fn unmake(&mut self, params: &[u8]) -> Result<(), SealError> {
        self.platform.unmake(params)
    }
}
