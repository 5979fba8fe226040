//! NVIDIA's management library (NVML), which is opened at run time: no program here links it. Of the
//! devices' collector this file alone has unsafe code.
#![expect(
    unsafe_code,
    reason = "functions of a C library that is opened at run time"
)]

use nvml_wrapper_sys::bindings::{
    NvmlLib, nvmlConfComputeGpuAttestationReport_t, nvmlConfComputeGpuCertificate_t, nvmlDevice_t,
    nvmlReturn_t,
};
use std::ffi::{CStr, OsStr, c_char, c_uint};

/// What NVML has room for.
const MAX_REPORT_LEN: usize = 0x2000;
const MAX_CEC_REPORT_LEN: usize = 0x1000;
const MAX_CHAIN_LEN: usize = 0x1000;
const MAX_ATTESTATION_CHAIN_LEN: usize = 0x1400;
/// `NVML_DEVICE_UUID_V2_BUFFER_SIZE`; a driver's version has 80.
const TEXT_LEN: u32 = 96;

/// Why NVML gave nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum NvmlError {
    /// The dynamic linker does not find it, or does not take it.
    #[error("it does not open: {0}")]
    Library(String),
    /// It is there, and older than what is asked of it.
    #[error("it has no {0}: a driver with confidential computing has (535 and later)")]
    NoFunction(&'static str),
    /// It answers with an error.
    #[error("{function} answers {code}: {}", meaning(*.code))]
    Refused { function: &'static str, code: u32 },
    /// It says that it wrote more than there was room for.
    #[error("{function} says that it wrote {len} bytes where there is room for {max}")]
    Length {
        function: &'static str,
        len: u32,
        max: usize,
    },
    /// What must be text is none.
    #[error("{0} writes no text")]
    Text(&'static str),
}

/// The errors of `nvml.h` that say what to do.
fn meaning(code: u32) -> &'static str {
    match code {
        3 => "not supported: the GPU has no confidential computing, or it is off",
        4 => "no permission: the unit may not open the driver's devices",
        6 => "not found",
        9 => "the driver is not loaded",
        10 => "the GPU or the driver did not answer in time",
        15 => "the GPU has fallen off the bus",
        16 => "the GPU wants a reset",
        18 => "library and driver are of different versions",
        27 => "the GPU is not ready",
        _ => "nvml.h says what that is",
    }
}

/// NVML, initialised. It stays loaded until the process ends, since nobody says when its threads are
/// gone; dropped, it is shut down.
pub(super) struct Nvml {
    library: &'static NvmlLib,
}

/// One GPU.
pub(super) struct Device<'n> {
    nvml: &'n Nvml,
    handle: nvmlDevice_t,
}

impl std::fmt::Debug for Nvml {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Nvml")
    }
}

fn checked(function: &'static str, code: nvmlReturn_t) -> Result<(), NvmlError> {
    match code {
        0 => Ok(()),
        code => Err(NvmlError::Refused { function, code }),
    }
}

fn found<F: Copy, E>(function: &'static str, symbol: &Result<F, E>) -> Result<F, NvmlError> {
    match symbol {
        Ok(symbol) => Ok(*symbol),
        Err(_) => Err(NvmlError::NoFunction(function)),
    }
}

/// The first `len` bytes of what was written.
fn written(function: &'static str, bytes: &[u8], len: c_uint) -> Result<Vec<u8>, NvmlError> {
    let part = usize::try_from(len).ok().and_then(|len| bytes.get(..len));
    part.map(<[u8]>::to_vec).ok_or(NvmlError::Length {
        function,
        len,
        max: bytes.len(),
    })
}

/// Has `write` fill a buffer with a text.
fn text(
    function: &'static str,
    write: impl FnOnce(*mut c_char, c_uint) -> nvmlReturn_t,
) -> Result<String, NvmlError> {
    let mut buffer = [0u8; TEXT_LEN as usize];
    checked(function, write(buffer.as_mut_ptr().cast(), TEXT_LEN))?;
    let text = CStr::from_bytes_until_nul(&buffer).ok();
    let text = text.and_then(|text| text.to_str().ok());
    match text {
        Some(text) if text.bytes().all(|byte| byte.is_ascii_graphic()) => Ok(text.to_owned()),
        _ => Err(NvmlError::Text(function)),
    }
}

impl Nvml {
    /// Opens and initialises it: a path, or a name that the dynamic linker looks for.
    pub(super) fn open(name: &OsStr) -> Result<Self, NvmlError> {
        // SAFETY: loading runs the initialisers of whatever has this name. The name is the operator's,
        // or NVML's own, which root's folders have; no other is passed. The functions are called by
        // the signatures of NVIDIA's header, from which the bindings are generated.
        let library = unsafe { NvmlLib::new(name) };
        let library = library.map_err(|error| NvmlError::Library(error.to_string()))?;
        let library: &'static NvmlLib = Box::leak(Box::new(library));
        let init = found("nvmlInit_v2", &library.nvmlInit_v2)?;
        // SAFETY: it takes nothing, and the library stays loaded.
        checked("nvmlInit_v2", unsafe { init() })?;
        Ok(Self { library })
    }

    pub(super) fn driver_version(&self) -> Result<String, NvmlError> {
        let name = "nvmlSystemGetDriverVersion";
        let ask = found(name, &self.library.nvmlSystemGetDriverVersion)?;
        // SAFETY: the buffer is exclusively ours and as long as is said, for the time of the call.
        text(name, |buffer, len| unsafe { ask(buffer, len) })
    }

    pub(super) fn device_count(&self) -> Result<u32, NvmlError> {
        let name = "nvmlDeviceGetCount_v2";
        let ask = found(name, &self.library.nvmlDeviceGetCount_v2)?;
        let mut count = 0;
        // SAFETY: it writes one integer, which is ours for the time of the call.
        checked(name, unsafe { ask(&raw mut count) })?;
        Ok(count)
    }

    pub(super) fn device(&self, index: u32) -> Result<Device<'_>, NvmlError> {
        let name = "nvmlDeviceGetHandleByIndex_v2";
        let ask = found(name, &self.library.nvmlDeviceGetHandleByIndex_v2)?;
        let mut handle = std::ptr::null_mut();
        // SAFETY: it writes one handle, which is ours for the time of the call.
        checked(name, unsafe { ask(index, &raw mut handle) })?;
        Ok(Device { nvml: self, handle })
    }
}

impl Drop for Nvml {
    fn drop(&mut self) {
        if let Ok(shutdown) = found("nvmlShutdown", &self.library.nvmlShutdown) {
            // SAFETY: it takes nothing; devices borrow us, so that nobody has a handle any more.
            let _ = unsafe { shutdown() };
        }
    }
}

impl Device<'_> {
    pub(super) fn uuid(&self) -> Result<String, NvmlError> {
        let name = "nvmlDeviceGetUUID";
        let ask = found(name, &self.nvml.library.nvmlDeviceGetUUID)?;
        // SAFETY: the handle is of this library, which is initialised as long as we borrow it; the
        // buffer is exclusively ours and as long as is said, for the time of the call.
        text(name, |buffer, len| unsafe { ask(self.handle, buffer, len) })
    }

    /// `NVML_DEVICE_ARCH_…`.
    pub(super) fn architecture(&self) -> Result<u32, NvmlError> {
        let name = "nvmlDeviceGetArchitecture";
        let ask = found(name, &self.nvml.library.nvmlDeviceGetArchitecture)?;
        let mut architecture = 0;
        // SAFETY: as for the UUID; it writes one integer, which is ours for the time of the call.
        checked(name, unsafe { ask(self.handle, &raw mut architecture) })?;
        Ok(architecture)
    }

    /// The attestation report over `nonce`.
    pub(super) fn report(&self, nonce: &[u8; 32]) -> Result<Vec<u8>, NvmlError> {
        let name = "nvmlDeviceGetConfComputeGpuAttestationReport";
        let symbol = &self
            .nvml
            .library
            .nvmlDeviceGetConfComputeGpuAttestationReport;
        let ask = found(name, symbol)?;
        let mut report = nvmlConfComputeGpuAttestationReport_t {
            isCecAttestationReportPresent: 0,
            attestationReportSize: 0,
            cecAttestationReportSize: 0,
            nonce: *nonce,
            attestationReport: [0; MAX_REPORT_LEN],
            cecAttestationReport: [0; MAX_CEC_REPORT_LEN],
        };
        // SAFETY: as for the UUID; the structure is that of NVIDIA's header, and exclusively ours for
        // the time of the call. What it says about its length is not believed.
        checked(name, unsafe { ask(self.handle, &raw mut report) })?;
        written(
            name,
            &report.attestationReport,
            report.attestationReportSize,
        )
    }

    /// The chain of the key that signs reports, in PEM.
    pub(super) fn chain(&self) -> Result<Vec<u8>, NvmlError> {
        let name = "nvmlDeviceGetConfComputeGpuCertificate";
        let symbol = &self.nvml.library.nvmlDeviceGetConfComputeGpuCertificate;
        let ask = found(name, symbol)?;
        let mut chain = nvmlConfComputeGpuCertificate_t {
            certChainSize: 0,
            attestationCertChainSize: 0,
            certChain: [0; MAX_CHAIN_LEN],
            attestationCertChain: [0; MAX_ATTESTATION_CHAIN_LEN],
        };
        // SAFETY: as for the report.
        checked(name, unsafe { ask(self.handle, &raw mut chain) })?;
        written(
            name,
            &chain.attestationCertChain,
            chain.attestationCertChainSize,
        )
    }
}
