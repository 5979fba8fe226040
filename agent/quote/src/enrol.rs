//! Enrolling the TPM's attestation key, for the person who runs the machine: what is printed is public,
//! and of use to nobody else.

use crate::arguments::Arguments;
use crate::config::{Config, Source};
use anyhow::{Context, bail};
use nitride_evidence::Settings;
use nitride_evidence::tpm::enrol;
use std::fs::File;
use std::io::{Read, Write, stdout};
use std::path::{Path, PathBuf};

/// A challenge has less than a thousand.
const MAX_CHALLENGE_LEN: u64 = 16 << 10;

/// Which half of it.
pub(crate) enum Asked {
    Request,
    Activate(PathBuf),
}

/// Whether the command line asks for any.
pub(crate) fn asked(arguments: &Arguments) -> Option<Asked> {
    match &arguments.activate_credential {
        Some(path) => Some(Asked::Activate(path.clone())),
        None => arguments.tpm_enrol.then_some(Asked::Request),
    }
}

pub(crate) fn run(config: &Path, asked: &Asked) -> anyhow::Result<()> {
    let config = Config::load(config)?;
    let Source::Tee(Settings::Tpm(settings)) = &config.source else {
        bail!("there is nothing to enrol: the configuration does not say `tee = \"tpm\"`");
    };
    let said = match asked {
        Asked::Request => enrol::request(settings)?,
        Asked::Activate(path) => {
            let mut challenge = String::new();
            File::open(path)
                .and_then(|file| file.take(MAX_CHALLENGE_LEN).read_to_string(&mut challenge))
                .with_context(|| format!("cannot read {}", path.display()))?;
            enrol::activate(settings, &challenge)?
        }
    };
    let mut out = stdout().lock();
    out.write_all(said.as_bytes())?;
    out.flush()?;
    Ok(())
}
