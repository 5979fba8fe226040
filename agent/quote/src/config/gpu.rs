//! The table `[gpu]`.

use super::{Fault, absolute, fault};
use nitride_evidence::gpu::GpuSettings;
use serde::Deserialize;
use std::path::PathBuf;
use toml::Spanned;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct GpuTable {
    devices: Spanned<u32>,
    library: Option<Spanned<PathBuf>>,
}

pub(super) fn gpu(table: Spanned<GpuTable>) -> Result<GpuSettings, Fault> {
    let table = table.into_inner();
    let library = table.library.map(absolute).transpose()?;
    match GpuSettings::new(*table.devices.get_ref(), library) {
        Ok(settings) => Ok(settings),
        Err(error) => fault(table.devices.span(), error.to_string()),
    }
}
