//! `tee`, and the table of its name.

use super::azure::{AzureTable, azure};
use super::tpm::{TpmTable, tpm};
use super::{Fault, fault, within};
use nitride_evidence::az::AzureHardware;
use nitride_evidence::{EventLog, Settings, SnpInterface, SnpSettings, TdxSettings, Tee};
use serde::Deserialize;
use toml::Spanned;

/// Where evidence comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    Tee(Settings),
    DangerSimulated { svn: String },
}

/// The tables that belong to one TEE each.
pub(super) struct Tables {
    pub(super) sample: Option<Spanned<SampleTable>>,
    pub(super) snp: Option<Spanned<SnpTable>>,
    pub(super) tdx: Option<Spanned<TdxTable>>,
    pub(super) tpm: Option<Spanned<TpmTable>>,
    pub(super) azure: Option<Spanned<AzureTable>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct SampleTable {
    svn: String,
    #[serde(default)]
    danger_simulated: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct SnpTable {
    interface: Option<Spanned<String>>,
    vmpl: Option<Spanned<u64>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct TdxTable {
    event_log: Option<Spanned<String>>,
}

pub(super) fn source(tee: &Spanned<String>, tables: Tables) -> Result<Source, Fault> {
    let kind: Tee = match tee.get_ref().parse() {
        Ok(kind) => kind,
        Err(error) => return fault(tee.span(), format!("{error}")),
    };
    tables.refuse_others(kind)?;
    match kind {
        Tee::Sample => simulated(tee, tables.sample),
        Tee::Snp => Ok(Source::Tee(Settings::Snp(snp(tables.snp)?))),
        Tee::Tdx => Ok(Source::Tee(Settings::Tdx(tdx(tables.tdx)?))),
        Tee::Tpm => Ok(Source::Tee(Settings::Tpm(tpm(tee.span(), tables.tpm)?))),
        Tee::AzSnpVtpm | Tee::AzTdxVtpm => {
            let hardware = match kind {
                Tee::AzSnpVtpm => AzureHardware::Snp,
                _ => AzureHardware::Tdx,
            };
            let settings = azure(tee.span(), hardware, tables.azure)?;
            Ok(Source::Tee(Settings::Azure(settings)))
        }
        other => Ok(Source::Tee(Settings::Other(other))),
    }
}

impl Tables {
    /// What has no meaning with this TEE would be thought to hold.
    fn refuse_others(&self, kind: Tee) -> Result<(), Fault> {
        let azures = &[Tee::AzSnpVtpm, Tee::AzTdxVtpm][..];
        let stated = [
            (
                "sample",
                &[Tee::Sample][..],
                self.sample.as_ref().map(Spanned::span),
            ),
            ("snp", &[Tee::Snp], self.snp.as_ref().map(Spanned::span)),
            ("tdx", &[Tee::Tdx], self.tdx.as_ref().map(Spanned::span)),
            ("tpm", &[Tee::Tpm], self.tpm.as_ref().map(Spanned::span)),
            ("azure", azures, self.azure.as_ref().map(Spanned::span)),
        ];
        for (table, of, at) in stated {
            if let Some(at) = at.filter(|_| !of.contains(&kind)) {
                return fault(
                    at,
                    format!("[{table}] has no meaning with `tee = \"{kind}\"`: remove it"),
                );
            }
        }
        Ok(())
    }
}

/// Simulation takes two statements, the TEE's name and its own line, and neither by default.
fn simulated(tee: &Spanned<String>, sample: Option<Spanned<SampleTable>>) -> Result<Source, Fault> {
    match sample {
        Some(sample) if sample.get_ref().danger_simulated => Ok(Source::DangerSimulated {
            svn: sample.into_inner().svn,
        }),
        Some(sample) => fault(
            sample.span(),
            "sample evidence proves nothing: state `danger-simulated = true`, or name a real TEE",
        ),
        None => fault(
            tee.span(),
            "sample evidence needs a table [sample] with `svn` and `danger-simulated = true`",
        ),
    }
}

fn snp(table: Option<Spanned<SnpTable>>) -> Result<SnpSettings, Fault> {
    let Some(table) = table.map(Spanned::into_inner) else {
        return Ok(SnpSettings::default());
    };
    let interface = match &table.interface {
        None => SnpInterface::default(),
        Some(name) => match name.get_ref().as_str() {
            "configfs-tsm" => SnpInterface::ConfigfsTsm,
            "sev-guest" => SnpInterface::SevGuest,
            _ => {
                return fault(
                    name.span(),
                    "no such interface: configfs-tsm or sev-guest is expected; without the line \
                     it is the first of them that is there",
                );
            }
        },
    };
    let vmpl = match table.vmpl {
        None => None,
        stated => u32::try_from(within(stated, 0, 0..=3)?).ok(),
    };
    Ok(SnpSettings { interface, vmpl })
}

fn tdx(table: Option<Spanned<TdxTable>>) -> Result<TdxSettings, Fault> {
    let stated = table.and_then(|table| table.into_inner().event_log);
    let event_log = event_log(stated)?;
    Ok(TdxSettings { event_log })
}

/// What is done about the firmware's log, in the words of every table that has it.
pub(super) fn event_log(stated: Option<Spanned<String>>) -> Result<EventLog, Fault> {
    let Some(name) = stated else {
        return Ok(EventLog::default());
    };
    match name.get_ref().as_str() {
        "required" => Ok(EventLog::Required),
        "if-there" => Ok(EventLog::IfThere),
        "omitted" => Ok(EventLog::Omitted),
        _ => fault(
            name.span(),
            "no such choice: required, if-there or omitted is expected",
        ),
    }
}
