//! The real binary, asked to seal over its real socket, with a real TPM in software behind it and
//! with a stand-in for the guest device of SEV-SNP.
#![forbid(unsafe_code)]
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail as tests do"
)]

mod bus;
mod counter;
mod erased;
mod gone;
mod interposed;
mod interposer;
mod process;
mod refused;
#[cfg(target_arch = "x86_64")]
mod snp;
mod swtpm;
mod tpm;
