//! A Python that has cbor2.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// Pinned for the case that Debian's package is not there.
const CBOR2: &str = "cbor2==5.6.5";

/// Finds one: Debian's with `python3-cbor2`, else whichever is first in PATH, else a virtual
/// environment under `target/` into which pip installs it.
///
/// # Errors
/// When there is none and none can be made; it says what to install.
pub fn with_cbor2() -> Result<PathBuf> {
    let venv = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/python");
    let made = venv.join("bin/python");
    let known = [Path::new("/usr/bin/python3"), Path::new("python3"), &made];
    if let Some(python) = known.into_iter().find(|python| has_cbor2(python)) {
        return Ok(python.to_owned());
    }
    let quiet = |command: &mut Command| {
        command
            .stdout(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    };
    std::fs::create_dir_all(&venv).context("make a folder for a virtual environment")?;
    let installed = quiet(Command::new("python3").args(["-m", "venv"]).arg(&venv))
        && quiet(Command::new(&made).args(["-m", "pip", "install", "--quiet", CBOR2]));
    if installed && has_cbor2(&made) {
        return Ok(made);
    }
    bail!("no Python has cbor2: apt-get install python3-cbor2")
}

fn has_cbor2(python: &Path) -> bool {
    Command::new(python)
        .args(["-c", "import cbor2"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}
