//! Fetching into a folder that [`crate::Shelf`] reads. What is there and young enough is kept.

mod ask;
mod kds;
mod patience;
mod pcs;
mod trust;

use crate::obstacle::Obstacle;
use ask::Asker;
use nitride_verify::VekId;
use nitride_verify::evidence::SnpProduct;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where vendors are asked. Intel's may be a PCCS, which answers at the same paths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Services {
    /// AMD's key distribution service.
    pub kds: String,
    /// Intel's provisioning certification service.
    pub pcs: String,
    /// The revocation list of Intel's root: the whole address.
    pub root_crl: String,
}

/// Whom TLS believes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trust {
    /// The roots that the machine trusts.
    System,
    /// The CAs of this PEM file, and nobody else.
    Pinned(PathBuf),
}

/// What one request may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// For the connection.
    pub connect_timeout: Duration,
    /// For all of one attempt.
    pub request_timeout: Duration,
    /// How long may be waited between attempts, all in all.
    pub max_wait: Duration,
    /// How often one thing is asked for.
    pub attempts: u32,
    /// The least time between two requests: AMD's service refuses whoever asks faster.
    pub gap: Duration,
}

/// What is wanted of AMD's, of one product.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AmdWanted {
    /// The product.
    pub product: SnpProduct,
    /// Whether the chain of clouds' keys and its revocation list are wanted as well.
    pub vlek: bool,
    /// Keys of chips, each of this product.
    pub vceks: Vec<VekId>,
}

/// What is wanted of Intel's, of one kind of platform.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IntelWanted {
    /// The kind of platform.
    pub fmspc: [u8; 6],
    /// Who issued its PCK certificates.
    pub ca: PckCa,
}

/// Intel's issuers of PCK certificates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PckCa {
    /// For platforms of one package.
    Processor,
    /// For those of several.
    Platform,
}

/// What became of one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Done {
    /// It was there, and young enough.
    Kept(PathBuf),
    /// It is new.
    Fetched(PathBuf),
}

/// Fetches into one folder.
#[derive(Debug)]
pub struct Fetch {
    folder: PathBuf,
    services: Services,
    max_age_secs: u64,
    now_secs: u64,
    test_anchors: Vec<[u8; 32]>,
    asker: Asker,
    done: Vec<Done>,
}

impl Fetch {
    /// Into `folder`, which is made if it is not there. What was fetched `max_age_secs` ago or
    /// earlier is fetched again; certificates do not age.
    ///
    /// # Errors
    ///
    /// [`Obstacle`] if the trusted roots cannot be read.
    pub fn into_folder(
        folder: &Path,
        services: Services,
        trust: &Trust,
        limits: Limits,
        max_age_secs: u64,
        now_secs: u64,
    ) -> Result<Self, Obstacle> {
        Ok(Self {
            folder: folder.to_owned(),
            services,
            max_age_secs,
            now_secs,
            test_anchors: Vec::new(),
            asker: Asker::new(trust, limits)?,
            done: Vec::new(),
        })
    }

    /// Takes roots that are no vendor's, by the SHA-256 of their DER: for tests alone. A judgement
    /// believes them only under a policy that names them as well.
    #[must_use]
    pub fn danger_with_test_anchors(mut self, anchors: Vec<[u8; 32]>) -> Self {
        self.test_anchors = anchors;
        self
    }

    /// What became of each file, in order.
    #[must_use]
    pub fn done(&self) -> &[Done] {
        &self.done
    }

    /// Whether a file was fetched not long ago. One of the future is not believed.
    fn is_young(&self, obtained_at_secs: u64) -> bool {
        let age = self.now_secs.checked_sub(obtained_at_secs);
        age.is_some_and(|age| age < self.max_age_secs)
    }
}

impl PckCa {
    /// As Intel's service calls it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Processor => "processor",
            Self::Platform => "platform",
        }
    }

    /// As its certificate does.
    pub(crate) const fn common_name(self) -> &'static str {
        match self {
            Self::Processor => "Intel SGX PCK Processor CA",
            Self::Platform => "Intel SGX PCK Platform CA",
        }
    }
}

impl Done {
    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        match self {
            Self::Kept(path) | Self::Fetched(path) => path,
        }
    }
}

impl Default for Services {
    fn default() -> Self {
        Self {
            kds: "https://kdsintf.amd.com".to_owned(),
            pcs: "https://api.trustedservices.intel.com".to_owned(),
            root_crl: "https://certificates.trustedservices.intel.com/IntelSGXRootCA.der"
                .to_owned(),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(30),
            max_wait: Duration::from_secs(120),
            attempts: 5,
            gap: Duration::from_secs(1),
        }
    }
}
