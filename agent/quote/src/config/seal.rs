//! The table `[seal]`.

use super::{Fault, absolute, fault, within};
use crate::sealing::Seal;
use nitride_evidence::seal::{InvalidTpm, TcbVersion, TpmSettings};
use serde::Deserialize;
use std::ops::Range;
use std::path::PathBuf;
use toml::Spanned;

/// The kernel's resource manager, so that nobody's sessions are in our way.
pub(super) const DEFAULT_TCTI: &str = "device:/dev/tpmrm0";
const DEFAULT_SNP_DEVICE: &str = "/dev/sev-guest";

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct SealTable {
    platform: Spanned<String>,
    tcti: Option<Spanned<String>>,
    pcrs: Option<Spanned<Vec<u32>>>,
    counter_index: Option<Spanned<u32>>,
    device: Option<Spanned<PathBuf>>,
    vmpl: Option<Spanned<u64>>,
    min_tcb: Option<Spanned<String>>,
    svn: Option<Spanned<String>>,
    danger_simulated: Option<bool>,
}

pub(super) fn seal(table: Spanned<SealTable>) -> Result<Seal, Fault> {
    let at = table.span();
    let table = table.into_inner();
    table.refuse_others(&at)?;
    match table.platform.get_ref().as_str() {
        "tpm" => tpm(at, table).map(Seal::Tpm),
        "snp" => {
            let default = || PathBuf::from(DEFAULT_SNP_DEVICE);
            let device = table.device.map(absolute).transpose()?;
            let vmpl = within(table.vmpl, 0, 0..=3)?;
            Ok(Seal::Snp {
                device: device.unwrap_or_else(default),
                vmpl: u32::try_from(vmpl).unwrap_or_default(),
                min_tcb: min_tcb(table.min_tcb)?,
            })
        }
        "sample" => match (table.svn, table.danger_simulated) {
            (Some(svn), Some(true)) => Ok(Seal::DangerSimulated {
                svn: svn.into_inner(),
            }),
            (None, Some(true)) => fault(at, "give `svn`, which plays the machine's state"),
            _ => fault(
                at,
                "anybody can open what the sample seals: state `danger-simulated = true`, or name \
                 a real platform",
            ),
        },
        _ => fault(
            table.platform.span(),
            "no such sealing platform here: one of tpm, snp, sample is expected",
        ),
    }
}

impl SealTable {
    /// What has no meaning with this platform would be thought to hold.
    fn refuse_others(&self, at: &Range<usize>) -> Result<(), Fault> {
        let platform = self.platform.get_ref().as_str();
        let stated = [
            ("tcti", "tpm", self.tcti.is_some()),
            ("pcrs", "tpm", self.pcrs.is_some()),
            ("counter-index", "tpm", self.counter_index.is_some()),
            ("device", "snp", self.device.is_some()),
            ("vmpl", "snp", self.vmpl.is_some()),
            ("min-tcb", "snp", self.min_tcb.is_some()),
            ("svn", "sample", self.svn.is_some()),
            (
                "danger-simulated",
                "sample",
                self.danger_simulated.is_some(),
            ),
        ];
        let known = ["tpm", "snp", "sample"].contains(&platform);
        match stated
            .into_iter()
            .find(|(_, of, is_stated)| known && *is_stated && *of != platform)
        {
            Some((key, ..)) => fault(
                at.clone(),
                format!("`{key}` has no meaning with `platform = \"{platform}\"`: remove it"),
            ),
            None => Ok(()),
        }
    }
}

fn min_tcb(stated: Option<Spanned<String>>) -> Result<TcbVersion, Fault> {
    let Some(stated) = stated else {
        return Ok(TcbVersion::default());
    };
    let parsed = stated.get_ref().parse::<TcbVersion>();
    parsed.or_else(|invalid| fault(stated.span(), invalid.to_string()))
}

fn tpm(at: Range<usize>, table: SealTable) -> Result<TpmSettings, Fault> {
    let Some(pcrs) = table.pcrs else {
        return fault(
            at,
            "give `pcrs`: those that say what was started and are not extended later, such as [4, 7] (7 \
             alone is the same for all that one Secure Boot key signs)",
        );
    };
    let tcti_at = table.tcti.as_ref().map_or(at.clone(), Spanned::span);
    let index_at = table.counter_index.as_ref().map_or(at, Spanned::span);
    let tcti = table.tcti.map(Spanned::into_inner);
    let tcti = tcti.as_deref().unwrap_or(DEFAULT_TCTI);
    let index = table.counter_index.map(Spanned::into_inner);
    TpmSettings::new(tcti, pcrs.get_ref(), index).or_else(|invalid| {
        let at = match invalid {
            InvalidTpm::Tcti => tcti_at,
            InvalidTpm::Pcrs => pcrs.span(),
            InvalidTpm::CounterIndex => index_at,
        };
        fault(at, invalid.to_string())
    })
}
