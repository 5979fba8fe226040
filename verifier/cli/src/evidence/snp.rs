//! A SEV-SNP report, and the certificates that came with it.

use crate::arguments::SnpArguments;
use nitride_collateral::pki::{self, Item};
use nitride_collateral::{Files, Obstacle, told};
use nitride_verify::evidence::Certificates;
use nitride_verify::{Allegation, Budget, SnpAllegation};
use std::path::Path;

/// Longer than any report, so that the core names the length of what is none.
const MAX_REPORT_LEN: u64 = 64 << 10;
/// As much as the device takes.
const MAX_TABLE_LEN: u64 = 64 << 10;

pub(super) fn read(arguments: &SnpArguments, files: &mut Files) -> Result<Allegation, Obstacle> {
    let report = files.read(&arguments.report, MAX_REPORT_LEN)?;
    let certificates = match &arguments.certificate_table {
        Some(path) => {
            let table = files.read(path, MAX_TABLE_LEN)?;
            Certificates::parse_table(&table, &mut Budget::for_one_round()).map_err(|fault| {
                let remedy = "take the table of the extended report, or give --certificate";
                Obstacle::at(path, told(&fault), remedy)
            })?
        }
        None => sorted(&arguments.certificates, files)?,
    };
    Ok(Allegation::Snp(Box::new(SnpAllegation {
        report,
        certificates,
    })))
}

/// AMD names them (57230): `SEV-VCEK`, `SEV-VLEK`, `ARK-Milan`, and `SEV-Milan` or `SEV-VLEK-Milan`
/// between.
fn sorted(paths: &[impl AsRef<Path>], files: &mut Files) -> Result<Certificates, Obstacle> {
    let mut certificates = Certificates::default();
    for path in paths.iter().map(AsRef::as_ref) {
        for item in pki::read(path, files)? {
            let Item::Certificate { name, der } = item else {
                let reason = "is a revocation list, which no evidence comes with";
                return Err(Obstacle::at(path, reason, "put it into --collateral"));
            };
            let place = match name.as_str() {
                "SEV-VCEK" => &mut certificates.vcek,
                "SEV-VLEK" => &mut certificates.vlek,
                name if name.starts_with("ARK-") => &mut certificates.ark,
                name if name.starts_with("SEV-") => &mut certificates.ask,
                _ => {
                    let reason = format!("{name:?} is none of AMD's certificates");
                    return Err(Obstacle::at(path, reason, "leave it out"));
                }
            };
            if place.replace(der).is_some() {
                let reason = format!("there is another certificate in the place of {name:?}");
                return Err(Obstacle::at(path, reason, "give one of each kind"));
            }
        }
    }
    Ok(certificates)
}
