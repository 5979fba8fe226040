//! A configfs-tsm that no kernel of this machine has, played by FUSE, with every fault that a real
//! one is known for; and the real nitride-quote, which finds it where the kernel's would be.
//!
//! ```text
//! test ──evidence──> nitride-quote ──/sys/kernel/config/tsm/report──> FUSE ──> Tsm: Provider, Fault
//!                    (in a mount namespace of its own)
//! ```
//!
//! Beside it [`nvml`] plays NVIDIA's library, by a shared one that is made for each test.
//!
//! It takes root and `/dev/fuse`; without them a test says that it was skipped, but for CI, where
//! it fails.
#![forbid(unsafe_code)]

mod attribute;
mod fault;
mod file_system;
pub mod guest_device;
mod instance;
pub mod machine;
mod mounted;
pub mod nvml;
pub mod provider;

pub use fault::Fault;
pub use mounted::Tsm;
