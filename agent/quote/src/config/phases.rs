//! The table `[phases]`.

use super::seal::DEFAULT_TCTI;
use super::source::Source;
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

/// A register that no evidence of `source` has is refused: no service would see the phase.
pub(super) fn phases(table: PhasesTable, source: &Source) -> Result<PhasesSettings, Fault> {
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
    let is_shown = match source {
        Source::Tee(settings) => settings.shows(&register),
        Source::DangerSimulated { .. } => false,
    };
    if !is_shown {
        return Err(Fault {
            at: table.register.span(),
            fault: format!(
                "evidence of this tee does not have {register}, so that nobody would see the phase: \
                 state an RTMR for tdx, and a PCR for tpm, which its pcrs have to quote, or for Azure"
            ),
        });
    }
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
        read_of("tdx", lines)
    }

    fn read_of(tee: &str, lines: &str) -> Result<Option<PhasesSettings>, String> {
        let text = format!("tee = \"{tee}\"\n[caller]\nuid = 1\n{lines}");
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
                "[phases]\nregister = \"rtmr-3\"\nrecord = \"x\"\n",
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

    #[test]
    fn a_register_that_no_evidence_has_measures_nothing() {
        let (rtmr, pcr) = (
            "[phases]\nregister = \"rtmr-3\"\n",
            "[phases]\nregister = \"pcr-12\"\n",
        );
        assert!(read_of("tpm", pcr).unwrap().is_some());
        let quoted = format!("[tpm]\npcrs = [0, 12]\n{pcr}");
        assert!(read_of("tpm", &quoted).unwrap().is_some());
        let other_tpm = format!("{pcr}tcti = \"swtpm:path=/run/other\"\n");
        let sample = format!("[sample]\nsvn = \"1\"\ndanger-simulated = true\n{pcr}");
        let not_quoted = format!("[tpm]\npcrs = [0, 4]\n{pcr}");
        for (tee, lines) in [
            ("snp", rtmr),
            ("snp", pcr),
            ("sample", &sample),
            ("tdx", pcr),
            ("tpm", rtmr),
            ("tpm", &not_quoted),
            ("tpm", &other_tpm),
        ] {
            let refused = read_of(tee, lines).unwrap_err();
            assert!(refused.contains("nobody would see"), "{tee}: {refused}");
        }
    }
}
