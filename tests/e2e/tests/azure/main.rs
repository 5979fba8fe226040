//! Confidential VMs on Azure: the collectors before a stand-in for the paravisor (a TPM in software behind
//! it) and one for the metadata service, up to a secret with the real programs.
#![forbid(unsafe_code)]

mod collected;
mod google;
mod imds;
mod paravisor;
mod relay;
mod tpm_commands;
mod whole_round;
