//! The table `[azure]`.

use super::seal::DEFAULT_TCTI;
use super::{Fault, absolute, fault};
use nitride_evidence::az::{AzureHardware, AzureSettings, UserData};
use serde::Deserialize;
use std::ops::Range;
use std::path::PathBuf;
use toml::Spanned;

/// Where `nitride-imds.socket` listens.
const METADATA_SOCKET: &str = "/run/nitride/imds.sock";

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct AzureTable {
    tcti: Option<Spanned<String>>,
    user_data: Option<Spanned<String>>,
    metadata_socket: Option<Spanned<PathBuf>>,
}

/// `at` is where a fault is told that no line of the table has.
pub(super) fn azure(
    at: Range<usize>,
    hardware: AzureHardware,
    table: Option<Spanned<AzureTable>>,
) -> Result<AzureSettings, Fault> {
    let table = table.map(Spanned::into_inner).unwrap_or_default();
    let user_data = user_data(table.user_data)?;
    let socket = match table.metadata_socket {
        Some(path) => absolute(path)?,
        None => METADATA_SOCKET.into(),
    };
    let tcti = table.tcti.as_ref();
    let named = tcti.map_or(DEFAULT_TCTI, |tcti| tcti.get_ref().as_str());
    AzureSettings::new(hardware, named, user_data, socket).map_err(|error| Fault {
        at: tcti.map_or(at, Spanned::span),
        fault: error.to_string(),
    })
}

fn user_data(stated: Option<Spanned<String>>) -> Result<UserData, Fault> {
    let Some(name) = stated else {
        return Ok(UserData::default());
    };
    match name.get_ref().as_str() {
        "bound" => Ok(UserData::Bound),
        "as-it-is" => Ok(UserData::AsItIs),
        _ => fault(name.span(), "no such choice: bound or as-it-is is expected"),
    }
}
