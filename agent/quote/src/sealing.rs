//! The sealing platform, as it was configured.

use crate::openers;
use anyhow::Context;
use nitride_evidence::seal::{Sealer, TcbVersion, TpmSettings};
use nitride_ipc::process;
use std::path::PathBuf;

/// Where the platform's part of the sealing key comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Seal {
    Tpm(TpmSettings),
    Snp {
        device: PathBuf,
        vmpl: u32,
        min_tcb: TcbVersion,
    },
    DangerSimulated {
        svn: String,
    },
}

/// Makes ready what is configured. Hardware that is absent refuses each request by name: evidence
/// is served in any case, and a TPM may come later than we do.
pub(crate) fn open(seal: &Seal) -> anyhow::Result<Sealer> {
    match seal {
        Seal::Tpm(settings) => {
            lock()?;
            if !settings.is_device() {
                tracing::warn!(
                    "the TPM is no device of this machine: it may be one in software, or a stranger"
                );
            }
            if let Some(others) = settings.device().and_then(|tpm| openers::warning(&tpm)) {
                tracing::warn!("{others}: whoever does can undo what is sealed, and use it up");
            }
            Ok(Sealer::tpm(settings.clone()))
        }
        Seal::Snp {
            device,
            vmpl,
            min_tcb,
        } => {
            lock()?;
            tracing::warn!(
                "sealing by SEV-SNP's derived key was tried against a stand-in alone, never on hardware"
            );
            Ok(Sealer::snp(device, *vmpl, *min_tcb))
        }
        Seal::DangerSimulated { svn } => {
            tracing::warn!(
                svn,
                "SIMULATION: what is sealed to this machine can be opened by anybody"
            );
            Ok(Sealer::danger_simulated(svn)?)
        }
    }
}

/// Nothing of this process reaches swap, buffers of the TPM's libraries included, which are not
/// ours to place.
fn lock() -> anyhow::Result<()> {
    process::lock_memory()
        .context("[seal] wants its memory locked: raise LimitMEMLOCK= to infinity")
}

/// For the status line.
pub(crate) fn serving(platform: Option<&str>) -> String {
    match platform {
        None => "sealing nothing".to_owned(),
        Some("sample") => "sealing by a SIMULATED platform, which anybody can open".to_owned(),
        Some(platform) => format!("sealing by {platform}"),
    }
}
