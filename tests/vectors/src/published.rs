//! What vendors publish, in the folder that service and command line read it from.

use crate::{snp, tdx};
use std::{fs, io, path::Path};

/// What AMD publishes of a vector's product, below `folder`.
///
/// # Errors
///
/// When a file cannot be written.
pub fn write_amd(vector: &snp::Vector, folder: &Path) -> io::Result<()> {
    let published = &vector.collateral;
    let product = published.product.as_str().to_lowercase();
    let folder = folder.join("amd").join(product);
    fs::create_dir_all(&folder)?;
    fs::write(folder.join("ark.der"), &published.ark)?;
    for (name, der) in [("ask.der", &published.ask), ("asvk.der", &published.asvk)] {
        if let Some(der) = der {
            fs::write(folder.join(name), der)?;
        }
    }
    for (name, crl) in ["list.crl", "further.crl"].into_iter().zip(&published.crls) {
        fs::write(folder.join(name), &crl.der)?;
        let obtained = format!("{}\n", crl.obtained_at_secs);
        fs::write(folder.join(format!("{name}.obtained")), obtained)?;
    }
    Ok(())
}

/// What Intel publishes of a vector's platform, below `folder`.
///
/// # Errors
///
/// When a file cannot be written.
pub fn write_intel(made: &tdx::Made, folder: &Path) -> io::Result<()> {
    let folder = folder.join("intel");
    fs::create_dir_all(&folder)?;
    fs::write(folder.join("bundle.json"), &made.bundle)
}
