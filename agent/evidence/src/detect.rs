//! What this machine has, for people: no collector is chosen by it.

use crate::rtmr::Rtmr;
use crate::{KernelPaths, Tee, az, gpu, snp, tdx, tpm, tsm};
use std::fmt;

/// One interface of the kernel, and what was found there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Which interface.
    pub interface: String,
    /// Which TEE can be configured by it.
    pub tee: Option<Tee>,
    /// What says so, or why there is none.
    pub reason: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let found = self.tee.map_or("nothing", Tee::as_str);
        write!(formatter, "{}: {found}: {}", self.interface, self.reason)
    }
}

/// Looks at every interface that evidence is collected by.
#[must_use]
pub fn detect(paths: &KernelPaths) -> Vec<Finding> {
    vec![
        reports(paths),
        guest_device(paths),
        rtmrs(paths),
        event_log(paths),
        bios_measurements(paths),
        paravisor(paths),
        googles_keys(paths),
        devices(),
    ]
}

fn reports(paths: &KernelPaths) -> Finding {
    let (tee, reason) = match tsm::Reports::provider(&paths.tsm_reports) {
        Ok(provider) => {
            let tee = match provider.as_str() {
                snp::PROVIDER => Some(Tee::Snp),
                tdx::PROVIDER => Some(Tee::Tdx),
                _ => None,
            };
            (tee, format!("its provider is {provider:?}"))
        }
        Err(error) => (None, error.to_string()),
    };
    Finding {
        interface: paths.tsm_reports.display().to_string(),
        tee,
        reason,
    }
}

fn guest_device(paths: &KernelPaths) -> Finding {
    let (tee, reason) = match snp::open_device(&paths.sev_guest) {
        Ok(_) => (Some(Tee::Snp), "it opens".to_owned()),
        Err(error) => (None, error),
    };
    Finding {
        interface: paths.sev_guest.display().to_string(),
        tee,
        reason,
    }
}

fn rtmrs(paths: &KernelPaths) -> Finding {
    let read = Rtmr::ALL.map(|register| register.read(&paths.tdx_measurements));
    let (tee, reason) = match read.into_iter().find_map(Result::err) {
        None => (Some(Tee::Tdx), "its four RTMRs can be read".to_owned()),
        Some(error) => (None, error.to_string()),
    };
    Finding {
        interface: paths.tdx_measurements.display().to_string(),
        tee,
        reason,
    }
}

fn event_log(paths: &KernelPaths) -> Finding {
    let (tee, reason) = match tdx::event_log::read(&paths.acpi_tables) {
        Ok(log) => (
            Some(Tee::Tdx),
            format!("an event log of {} bytes", log.len()),
        ),
        Err(error) => (None, error.to_string()),
    };
    Finding {
        interface: paths.acpi_tables.join("CCEL").display().to_string(),
        tee,
        reason,
    }
}

/// There is such a log where firmware measured into a TPM; one that the host emulates has it as well.
fn bios_measurements(paths: &KernelPaths) -> Finding {
    let (tee, reason) = match tpm::event_log::read(&paths.bios_measurements) {
        Ok(log) => {
            let reason = format!("a TPM's event log of {} bytes", log.len());
            (Some(Tee::Tpm), reason)
        }
        Err(reason) => (None, reason),
    };
    Finding {
        interface: paths.bios_measurements.display().to_string(),
        tee,
        reason,
    }
}

/// Azure's keeps its report in the virtual TPM.
fn paravisor(paths: &KernelPaths) -> Finding {
    let (tee, reason) = match az::found(&paths.tpm) {
        Ok(hardware) => {
            let reason = "it keeps a report of Azure's paravisor, and the key that this names";
            (Some(hardware.tee()), reason.to_owned())
        }
        Err(reason) => (None, reason),
    };
    Finding {
        interface: format!("the TPM at {}", paths.tpm),
        tee,
        reason,
    }
}

/// Google's virtual TPM keeps templates and certificates of its attestation keys.
fn googles_keys(paths: &KernelPaths) -> Finding {
    let (tee, reason) = match tpm::google::found(&paths.tpm) {
        Ok(reason) => (Some(Tee::Tpm), reason),
        Err(reason) => (None, reason),
    };
    Finding {
        interface: format!("the TPM at {}", paths.tpm),
        tee,
        reason,
    }
}

/// By its default name alone: another library is loaded for nobody who only looks.
fn devices() -> Finding {
    let (tee, reason) = match gpu::detected() {
        Ok(found) => (Some(Tee::Nvidia), found),
        Err(reason) => (None, reason),
    };
    Finding {
        interface: gpu::LIBRARY.to_owned(),
        tee,
        reason,
    }
}
