//! The seal with the real programs: what comes back after a reboot, what does not open, and what
//! is said of it. A reboot is a vhsmd that nobody hands a descriptor.
#![forbid(unsafe_code)]

mod closed;
mod disk;
mod held;
mod kills;
mod leaks;
mod provisioned;
mod reboot;
mod tpm;
mod world;
