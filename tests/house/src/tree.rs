//! Reads the real tree: the only part of this crate that does I/O.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use cargo_metadata::{Metadata, MetadataCommand};

/// The checkout: its files as git sees them and its packages as cargo sees them.
#[derive(Debug)]
pub struct Tree {
    /// The workspace's root folder.
    pub root: PathBuf,
    /// Every file that is tracked, or would be if it were added: relative, `/`-separated, sorted.
    pub files: Vec<String>,
    /// The workspace's members, without what they depend on.
    pub metadata: Metadata,
}

impl Tree {
    /// Reads the tree that this crate was compiled in.
    ///
    /// # Errors
    /// When git or cargo cannot be run or refuse.
    pub fn read() -> Result<Self> {
        let metadata = MetadataCommand::new()
            .manifest_path(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml"))
            .no_deps()
            .exec()
            .context("read cargo metadata")?;
        let root = metadata.workspace_root.clone().into_std_path_buf();
        let files = listed_files(&root)?;
        Ok(Self {
            root,
            files,
            metadata,
        })
    }

    /// The text of one listed file; bytes that are no UTF-8 are replaced.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn text(&self, file: &str) -> Result<String> {
        let bytes = std::fs::read(self.root.join(file)).with_context(|| format!("read {file}"))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// The listed files whose name ends so, with their text.
    ///
    /// # Errors
    /// When one of them cannot be read.
    pub fn texts(&self, ending: &str) -> Result<Vec<(&str, String)>> {
        self.files
            .iter()
            .filter(|file| file.ends_with(ending))
            .map(|file| Ok((file.as_str(), self.text(file)?)))
            .collect()
    }
}

fn listed_files(root: &Path) -> Result<Vec<String>> {
    let output = Command::new("git")
        .args([
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
        ])
        .current_dir(root)
        .output()
        .context("run git ls-files")?;
    ensure!(
        output.status.success(),
        "git ls-files: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let mut files: Vec<String> = String::from_utf8_lossy(&output.stdout)
        .split('\0')
        // A file that is deleted but not yet committed is listed and is not there.
        .filter(|file| !file.is_empty() && root.join(file).is_file())
        .map(str::to_owned)
        .collect();
    files.sort_unstable();
    files.dedup();
    Ok(files)
}
