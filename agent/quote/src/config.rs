//! The configuration file: strict TOML, read once.

mod azure;
mod gpu;
mod phases;
mod seal;
mod source;
#[cfg(test)]
mod tests;
mod timeout;
mod tpm;

use crate::caller::Caller;
use crate::sealing::Seal;
use azure::AzureTable;
use gpu::GpuTable;
use nitride_evidence::gpu::GpuSettings;
use nitride_settings::{Fault, SettingsError, absolute, document, fault, within};
use nix::unistd::User;
use phases::{PhasesSettings, PhasesTable};
use seal::SealTable;
use serde::Deserialize;
pub(crate) use source::Source;
use source::{SampleTable, SnpTable, Tables, TdxTable};
use std::path::{Path, PathBuf};
use std::time::Duration;
use toml::Spanned;
use tpm::TpmTable;

/// Longest configuration file in bytes.
const MAX_FILE_LEN: u64 = 65_536;

/// What this process is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Config {
    /// Where to listen when systemd does not hand over a socket.
    pub(crate) socket: Option<PathBuf>,
    pub(crate) caller: Caller,
    pub(crate) source: Source,
    /// The devices beside the machine.
    pub(crate) gpus: Option<GpuSettings>,
    pub(crate) seal: Option<Seal>,
    pub(crate) phases: Option<PhasesSettings>,
    pub(crate) device_timeout: Duration,
    /// After how long without a connection to exit, if systemd started us by its socket.
    pub(crate) idle_exit: Option<Duration>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Document {
    socket: Option<Spanned<PathBuf>>,
    caller: Spanned<CallerTable>,
    tee: Spanned<String>,
    sample: Option<Spanned<SampleTable>>,
    snp: Option<Spanned<SnpTable>>,
    tdx: Option<Spanned<TdxTable>>,
    tpm: Option<Spanned<TpmTable>>,
    azure: Option<Spanned<AzureTable>>,
    gpu: Option<Spanned<GpuTable>>,
    seal: Option<Spanned<SealTable>>,
    phases: Option<PhasesTable>,
    device_timeout_ms: Option<Spanned<u64>>,
    idle_exit_secs: Option<Spanned<u64>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct CallerTable {
    uid: Option<u32>,
    user: Option<Spanned<String>>,
    unit: Option<Spanned<String>>,
}

impl Config {
    /// Reads the file at `path`.
    pub(crate) fn load(path: &Path) -> Result<Self, SettingsError> {
        nitride_settings::load(path, MAX_FILE_LEN, Self::parse)
    }

    fn parse(text: &str) -> Result<Self, Fault> {
        let file: Document = document(text)?;
        let source = source::source(
            &file.tee,
            Tables {
                sample: file.sample,
                snp: file.snp,
                tdx: file.tdx,
                tpm: file.tpm,
                azure: file.azure,
            },
        )?;
        let has_gpus = file.gpu.is_some();
        Ok(Self {
            socket: file.socket.map(absolute).transpose()?,
            caller: caller(file.caller)?,
            gpus: file.gpu.map(gpu::gpu).transpose()?,
            seal: file.seal.map(seal::seal).transpose()?,
            phases: file
                .phases
                .map(|table| phases::phases(table, &source))
                .transpose()?,
            device_timeout: timeout::device_timeout(file.device_timeout_ms, &source, has_gpus)?,
            source,
            idle_exit: match file.idle_exit_secs {
                None => None,
                some => Some(Duration::from_secs(within(some, 0, 1..=86_400)?)),
            },
        })
    }
}

fn caller(table: Spanned<CallerTable>) -> Result<Caller, Fault> {
    let at = table.span();
    let table = table.into_inner();
    let uid = match (table.uid, table.user) {
        (Some(uid), None) => uid,
        (None, Some(user)) => match User::from_name(user.get_ref()) {
            Ok(Some(found)) => found.uid.as_raw(),
            Ok(None) => {
                return fault(
                    user.span(),
                    format!(
                        "there is no user {:?}: create it, or give `uid`",
                        user.get_ref()
                    ),
                );
            }
            Err(error) => {
                return fault(
                    user.span(),
                    format!("cannot look up user {:?}: {error}", user.get_ref()),
                );
            }
        },
        (None, None) => return fault(at, "nobody may call: give `uid` or `user`"),
        (Some(_), Some(_)) => return fault(at, "give `uid` or `user`, not both"),
    };
    let unit = match table.unit {
        Some(unit) if !unit.get_ref().ends_with(".service") => {
            return fault(
                unit.span(),
                "the unit is no service: give its full name, such as \"vhsmd.service\"",
            );
        }
        unit => unit.map(Spanned::into_inner),
    };
    Ok(Caller { uid, unit })
}
