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
        Asked::Activate(path) => enrol::activate(settings, &challenge(path)?)?,
    };
    let mut out = stdout().lock();
    out.write_all(said.as_bytes())?;
    out.flush()?;
    Ok(())
}

/// All of it, or an error: a part of a challenge would be told to be malformed.
fn challenge(path: &Path) -> anyhow::Result<String> {
    let mut challenge = String::new();
    File::open(path)
        .and_then(|file| {
            file.take(MAX_CHALLENGE_LEN + 1)
                .read_to_string(&mut challenge)
        })
        .with_context(|| format!("cannot read {}", path.display()))?;
    if challenge.len() as u64 > MAX_CHALLENGE_LEN {
        bail!(
            "{} has more than {MAX_CHALLENGE_LEN} bytes: it is no challenge",
            path.display()
        );
    }
    Ok(challenge)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_is_read_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("challenge.json");
        for (len, is_read) in [(16_384, true), (16_385, false)] {
            std::fs::write(&path, "a".repeat(len)).unwrap();
            let read = challenge(&path);
            assert_eq!(read.map(|text| text.len()).ok(), is_read.then_some(len));
        }
    }
}
