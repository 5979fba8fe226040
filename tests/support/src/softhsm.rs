//! SoftHSM2: a token in files, for what speaks PKCS#11.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::world::run;

/// Where Debian and others put the library.
const PLACES: [&str; 4] = [
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib64/pkcs11/libsofthsm2.so",
];

/// The token's label.
pub const TOKEN: &str = "owners";
/// Its user's PIN.
pub const PIN: &str = "1234";

/// One token, in a folder.
#[derive(Debug)]
pub struct SoftHsm {
    config: PathBuf,
}

impl SoftHsm {
    /// Makes a token below the folder.
    ///
    /// # Errors
    /// When SoftHSM2 is not installed or refuses.
    pub fn make(folder: &Path) -> Result<Self> {
        let tokens = folder.join("tokens");
        std::fs::create_dir(&tokens)?;
        let config = folder.join("softhsm2.conf");
        let text = format!(
            "directories.tokendir = {}\nlog.level = ERROR\n",
            tokens.display()
        );
        std::fs::write(&config, text)?;
        let token = Self { config };
        token.util(&[
            "--init-token",
            "--free",
            "--label",
            TOKEN,
            "--so-pin",
            "56789",
        ])?;
        Ok(token)
    }

    /// The library.
    ///
    /// # Errors
    /// When it is not installed.
    pub fn module() -> Result<&'static Path> {
        let place = PLACES.iter().map(Path::new).find(|place| place.is_file());
        place.context("libsofthsm2.so is not there: apt-get install softhsm2")
    }

    /// Puts a P-256 key in PKCS#8 PEM into the token, both halves under one label.
    ///
    /// # Errors
    /// When it refuses.
    pub fn import(&self, key: &Path, label: &str, id: &str) -> Result<()> {
        let key = key.to_string_lossy();
        let words = [
            "--import", &key, "--token", TOKEN, "--label", label, "--id", id,
        ];
        self.util(&words)
    }

    /// How a program finds the token: a variable of its environment.
    #[must_use]
    pub fn environment(&self) -> (&'static str, &Path) {
        ("SOFTHSM2_CONF", &self.config)
    }

    fn util(&self, words: &[&str]) -> Result<()> {
        let (name, value) = self.environment();
        let mut command = Command::new("softhsm2-util");
        command.args(words).args(["--pin", PIN]).env(name, value);
        let output = run(&mut command, b"").context("run softhsm2-util")?;
        ensure!(
            output.status.success(),
            "softhsm2-util {words:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(())
    }
}
