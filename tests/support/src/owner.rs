//! The owner of resources: makes keys, signs and stores, with the service's own subcommands.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::binaries::Binaries;
use crate::folder::Folder;
use crate::forge::Signatory;
use crate::world::run;

/// An owner with a folder of keys.
#[derive(Clone, Copy, Debug)]
pub struct Owner<'a> {
    folder: &'a Folder,
}

impl<'a> Owner<'a> {
    pub(crate) fn new(folder: &'a Folder) -> Self {
        Self { folder }
    }

    /// The service's token key, for forging with a stolen key.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn token_key(&self) -> Result<Signatory> {
        Signatory::from_pem(&self.read("token.key")?)
    }

    /// The owner's own key.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn signing_key(&self) -> Result<Signatory> {
        Signatory::from_pem(&self.read("owner.key")?)
    }

    fn read(&self, name: &str) -> Result<String> {
        std::fs::read_to_string(self.folder.join(name)).with_context(|| format!("read {name}"))
    }

    /// Runs a subcommand of the service and returns what it prints.
    ///
    /// # Errors
    /// When it fails, with what it says.
    pub fn provisiond<S: AsRef<OsStr>>(&self, arguments: &[S], input: &[u8]) -> Result<String> {
        let output = run(
            Command::new(&Binaries::find()?.provisiond).args(arguments),
            input,
        )?;
        ensure!(
            output.status.success(),
            "nitride-provisiond {:?}: {}",
            arguments
                .iter()
                .map(|word| Path::new(word.as_ref()).display().to_string())
                .collect::<Vec<_>>(),
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).context("its output is not text")
    }

    pub(crate) fn make_keys(&self) -> Result<()> {
        let at = |name: &str| self.folder.join(name).into_os_string();
        let _ = (at("x"), self);
        Ok(())
    }
}
