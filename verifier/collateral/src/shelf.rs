//! What vendors publish, out of a folder, or out of one file that was made of such a folder:
//!
//! ```text
//! DIR/amd/milan/   any files: ARK, ASK, ASVK, VCEKs, VLEKs, revocation list; DER or PEM
//! DIR/amd/genoa/
//! DIR/amd/turin/
//!                  NAME.obtained beside the revocation list: when it was fetched
//! DIR/intel/       NAME.json, a bundle; or NAME/, a folder of what Intel's service answered
//! ```
//!
//! A file that is not understood is an error: passed over, it would be missing without a word.

pub(crate) mod amd;
mod intel;

use crate::bundle;
use crate::files::{self, Files};
use crate::obstacle::Obstacle;
use nitride_dcap::IntelCollateral;
use nitride_verify::{AmdCollateral, Collateral};
use std::path::Path;

/// Everything that is at hand.
#[derive(Debug, Default)]
pub struct Shelf {
    amd: Vec<AmdCollateral>,
    intel: Option<IntelCollateral>,
}

impl Shelf {
    /// Reads a folder, or a bundle of one.
    ///
    /// # Errors
    ///
    /// [`Obstacle`] for the first file that is not understood.
    pub fn read(path: &Path, files: &mut Files) -> Result<Self, Obstacle> {
        if path.is_file() {
            return bundle::read(path, files);
        }
        let folder = path;
        let mut shelf = Self::default();
        for path in files::entries(folder)? {
            match path.file_name().and_then(|name| name.to_str()) {
                Some("amd") => shelf.amd = amd::read(&path, files)?,
                Some("intel") => shelf.intel = intel::read(&path, files)?,
                _ => {
                    let reason = "is neither of the folders amd and intel";
                    return Err(Obstacle::at(&path, reason, "remove it"));
                }
            }
        }
        Ok(shelf)
    }

    /// The shelf of these parts.
    pub(crate) fn of(amd: Vec<AmdCollateral>, intel: Option<IntelCollateral>) -> Self {
        Self { amd, intel }
    }

    /// AMD's, one entry a product.
    pub(crate) fn amd(&self) -> &[AmdCollateral] {
        &self.amd
    }

    /// Intel's.
    pub(crate) fn intel(&self) -> Option<&IntelCollateral> {
        self.intel.as_ref()
    }

    /// All of it for a judgement, without a memo.
    #[must_use]
    pub fn as_collateral(&self) -> Collateral<'_> {
        Collateral {
            amd: &self.amd,
            intel: self.intel.as_ref().map(|intel| intel as _),
            ..Collateral::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_understood_is_named_and_not_passed_over() {
        for (stray, word) in [
            ("notes.txt", "neither of the folders"),
            ("amd/naples/a", "no product"),
            ("amd/milan/README", "neither a certificate nor"),
            ("amd/milan/a.obtained", "of a file that is not there"),
            ("intel/README", "neither a bundle"),
            ("intel/a/tcb.xml", "none of the files"),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join(stray);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, "what").unwrap();
            let told = Shelf::read(folder.path(), &mut Files::new()).unwrap_err();
            assert!(told.to_string().contains(word), "{stray}: {told}");
        }
    }

    #[test]
    fn an_empty_folder_holds_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let shelf = Shelf::read(folder.path(), &mut Files::new()).unwrap();
        assert!(shelf.amd.is_empty() && shelf.intel.is_none());
    }
}
