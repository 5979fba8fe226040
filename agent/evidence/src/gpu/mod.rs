//! NVIDIA's devices beside a machine: a report of each, which its driver has it sign over a nonce.
//!
//! ```text
//!  device data ──first 32 bytes──▶ each GPU ──report, chain──▶ {"nvidia":{"device_evidence_list":[…]}}
//! ```
//!
//! The collector is one beside the machine's own: what it gives is hashed into the machine's report
//! data, so that it is asked first.

mod settings;
mod sys;

pub use settings::{GpuSettings, InvalidGpus, MAX_GPUS};

use crate::collector::{Collect, CollectError, Evidence, OpenError, REPORT_DATA_LEN};
use crate::tee::Tee;
use base64ct::{Base64, Encoding};
use serde::Serialize;
use std::ffi::OsStr;
use std::time::Instant;
use sys::{Nvml, NvmlError};

/// What the dynamic linker knows NVML by.
pub(crate) const LIBRARY: &str = "libnvidia-ml.so.1";
const TEE: Tee = Tee::Nvidia;
const NONCE_LEN: usize = 32;
/// How the SPDM request begins that a report repeats: GET_MEASUREMENTS for all of them, signed.
const REQUEST: [u8; 4] = [0x11, 0xe0, 1, 0xff];
const PEM: &[u8] = b"-----BEGIN CERTIFICATE-----";

/// The configured GPUs.
#[derive(Debug)]
pub(crate) struct Gpus {
    nvml: Nvml,
    settings: GpuSettings,
    found: String,
}

impl Gpus {
    /// Opens NVML and looks for as many GPUs as are configured.
    pub(crate) fn open(settings: GpuSettings) -> Result<Self, OpenError> {
        let library = settings.named();
        let absent = |reason: String| OpenError::Absent {
            tee: TEE,
            looked: vec![format!("{}: {reason}", library.display())],
        };
        let nvml = Nvml::open(settings.library()).map_err(|error| absent(error.to_string()))?;
        count(&nvml, &settings).map_err(absent)?;
        let found = listed(&nvml).map_err(|error| absent(error.to_string()))?;
        Ok(Self {
            found: format!("{}: {found}", library.display()),
            nvml,
            settings,
        })
    }

    fn device(&self, index: u32, nonce: &[u8; NONCE_LEN]) -> Result<DeviceEvidence, CollectError> {
        let interface = |error: NvmlError| CollectError::Interface {
            tee: TEE,
            reason: format!("GPU {index}: {error}"),
        };
        let malformed = |fault: &str| CollectError::Malformed {
            tee: TEE,
            reason: format!("GPU {index}: {fault}"),
        };
        let device = self.nvml.device(index).map_err(interface)?;
        let architecture = device.architecture().map_err(interface)?;
        let arch = arch(architecture)
            .ok_or_else(|| malformed("its architecture has no attestation that is known here"))?;
        let report = device.report(nonce).map_err(interface)?;
        let (request, rest) = report
            .split_first_chunk::<4>()
            .ok_or_else(|| malformed("the report ends early"))?;
        if *request != REQUEST {
            return Err(malformed(
                "the report does not begin with the request for it",
            ));
        }
        if !rest.starts_with(nonce) {
            return Err(CollectError::OtherData { tee: TEE });
        }
        let mut chain = device.chain().map_err(interface)?;
        // C ends a text so, and not every driver leaves it out of the length.
        while chain.last() == Some(&0) {
            chain.pop();
        }
        if !chain.starts_with(PEM) {
            return Err(malformed("its chain is no certificates in PEM"));
        }
        Ok(DeviceEvidence {
            arch,
            evidence: Base64::encode_string(&report),
            certificate: Base64::encode_string(&chain),
        })
    }
}

impl Collect for Gpus {
    fn tee(&self) -> Tee {
        TEE
    }

    fn found(&self) -> String {
        self.found.clone()
    }

    fn collect(
        &mut self,
        report_data: &[u8; REPORT_DATA_LEN],
        by: Instant,
    ) -> Result<Evidence, CollectError> {
        let tee = TEE;
        // One that has gone since the start would be missed by nobody else.
        let count = count(&self.nvml, &self.settings)
            .map_err(|reason| CollectError::Interface { tee, reason })?;
        // SPDM has 32 bytes for a nonce, and a hash of the KBS protocol 48.
        let mut nonce = [0; NONCE_LEN];
        for (to, from) in nonce.iter_mut().zip(report_data) {
            *to = *from;
        }
        let devices = (0..count).map(|index| {
            // A call of NVML has no limit, and nobody waits for the GPUs after that one.
            if Instant::now() >= by {
                let reason = format!("the time was over before GPU {index} of {count} was asked");
                return Err(CollectError::Interface { tee, reason });
            }
            self.device(index, &nonce)
        });
        let form = Additional {
            nvidia: Nvidia {
                device_evidence_list: devices.collect::<Result<_, _>>()?,
            },
        };
        Ok(Evidence {
            tee,
            primary_evidence: String::new(),
            additional_evidence: serde_json::to_string(&form)
                .map_err(|source| CollectError::Encoding { tee, source })?,
            warnings: Vec::new(),
        })
    }
}

/// As many as are configured, neither fewer nor more: a device that nobody counted on is none that
/// somebody answers for.
fn count(nvml: &Nvml, settings: &GpuSettings) -> Result<u32, String> {
    let count = nvml.device_count().map_err(|error| error.to_string())?;
    match settings.devices() {
        wanted if wanted == count => Ok(count),
        wanted => Err(format!(
            "{count} GPUs are there, and {wanted} are configured"
        )),
    }
}

/// What is there, for people.
fn listed(nvml: &Nvml) -> Result<String, NvmlError> {
    let mut list = format!("driver {}", nvml.driver_version()?);
    for index in 0..nvml.device_count()?.min(MAX_GPUS) {
        let device = nvml.device(index)?;
        let architecture = device.architecture()?;
        list += &match arch(architecture) {
            Some(arch) => format!(", {} {arch}", device.uuid()?),
            None => format!(
                ", {} of architecture {architecture}, whose attestation is not known here",
                device.uuid()?
            ),
        };
    }
    Ok(list)
}

/// What NVML's default library says of this machine.
pub(crate) fn detected() -> Result<String, String> {
    let nvml = Nvml::open(OsStr::new(LIBRARY)).map_err(|error| error.to_string())?;
    match nvml.device_count().map_err(|error| error.to_string())? {
        0 => Err("no GPU is there".to_owned()),
        _ => listed(&nvml).map_err(|error| error.to_string()),
    }
}

/// As the KBS protocol's peers call those that attest.
fn arch(architecture: u32) -> Option<&'static str> {
    match architecture {
        9 => Some("HOPPER"),
        10 => Some("BLACKWELL"),
        _ => None,
    }
}

#[derive(Serialize)]
struct Additional {
    nvidia: Nvidia,
}

#[derive(Serialize)]
struct Nvidia {
    device_evidence_list: Vec<DeviceEvidence>,
}

#[derive(Serialize)]
struct DeviceEvidence {
    arch: &'static str,
    evidence: String,
    certificate: String,
}
