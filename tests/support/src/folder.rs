//! The temporary folder of one world.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use tempfile::TempDir;

/// A folder that goes away with its value. Its path is short, since a socket's path may have 107
/// bytes.
#[derive(Debug)]
pub struct Folder {
    dir: TempDir,
}

impl Folder {
    /// Makes a folder that other users may pass through (mode 0711), so that programs of other
    /// uids reach the sockets in it; what is in it has its own modes.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub fn new() -> Result<Self> {
        let dir = tempfile::Builder::new()
            .prefix("nitride-")
            .tempdir()
            .context("make a temporary folder")?;
        std::fs::set_permissions(dir.path(), Permissions::from_mode(0o711))
            .context("open the temporary folder to other users")?;
        Ok(Self { dir })
    }

    /// Its path.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// The path of something in it.
    #[must_use]
    pub fn join(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes a file of mode 0644, making folders on the way, and returns its path.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> Result<PathBuf> {
        self.write_with_mode(name, content, 0o644)
    }

    /// Writes a file that its owner alone may read, and returns its path.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write_secret(&self, name: &str, content: impl AsRef<[u8]>) -> Result<PathBuf> {
        self.write_with_mode(name, content, 0o600)
    }

    fn write_with_mode(&self, name: &str, content: impl AsRef<[u8]>, mode: u32) -> Result<PathBuf> {
        let path = self.join(name);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)
                .with_context(|| format!("make the folder of {name}"))?;
        }
        std::fs::write(&path, content).with_context(|| format!("write {name}"))?;
        std::fs::set_permissions(&path, Permissions::from_mode(mode))
            .with_context(|| format!("set the mode of {name}"))?;
        Ok(path)
    }
}
