//! The table `[phases]`.

use super::seal::DEFAULT_TCTI;
use super::{Fault, absolute};
use nitride_evidence::phase::{InvalidRegister, PhaseRegister};
use serde::Deserialize;
use std::path::PathBuf;
use toml::Spanned;

/// In the unit's folder, which outlives it and no reboot.
const DEFAULT_RECORD: &str = "/run/nitride-quote/phases";

/// Where phases are measured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PhasesSettings {
    pub(crate) register: PhaseRegister,
    pub(crate) record: PathBuf,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct PhasesTable {
    register: Spanned<String>,
    tcti: Option<Spanned<String>>,
    record: Option<Spanned<PathBuf>>,
}

pub(super) fn phases(table: PhasesTable) -> Result<PhasesSettings, Fault> {
    let tcti = table.tcti.as_ref();
    let named = tcti.map_or(DEFAULT_TCTI, |tcti| tcti.get_ref().as_str());
    let register = PhaseRegister::named(table.register.get_ref(), named).map_err(|error| {
        let stated = match error {
            InvalidRegister::Name => None,
            InvalidRegister::Tcti => tcti.map(Spanned::span),
        };
        Fault {
            at: stated.unwrap_or_else(|| table.register.span()),
            fault: error.to_string(),
        }
    })?;
    let record = table.record.map(absolute).transpose()?;
    Ok(PhasesSettings {
        register,
        record: record.unwrap_or_else(|| DEFAULT_RECORD.into()),
    })
}

#[cfg(test)]
mod tests {
    use super::super::Config;
    use super::*;

    fn read(lines: &str) -> Result<Option<PhasesSettings>, String> {
        let text = format!("tee = \"snp\"\n[caller]\nuid = 1\n{lines}");
        let config = Config::parse(&text).map_err(|fault| {
            let line = text[..fault.at.start].lines().count() + 1;
            format!("{line}: {}", fault.fault)
        });
        Ok(config?.phases)
    }

    #[test]
    fn a_register_is_stated_or_there_are_no_phases() {
        assert_eq!(read(""), Ok(None));
        let stated = read("[phases]\nregister = \"rtmr-3\"\n").unwrap().unwrap();
        assert_eq!(stated.register.to_string(), "rtmr-3");
        assert_eq!(stated.record, PathBuf::from(DEFAULT_RECORD));
        for (lines, said) in [
            ("[phases]\n", "missing field `register`"),
            ("[phases]\nregister = \"pcr-16\"\n", "no such register"),
            (
                "[phases]\nregister = \"pcr-12\"\ntcti = \"x\"\n",
                "the TCTI is none",
            ),
            (
                "[phases]\nregister = \"pcr-12\"\nrecord = \"x\"\n",
                "is relative",
            ),
            (
                "[phases]\nregister = \"pcr-12\"\nphase = \"x\"\n",
                "unknown field `phase`",
            ),
        ] {
            let refused = read(lines).unwrap_err();
            assert!(refused.contains(said), "{lines}: {refused}");
        }
    }
}
