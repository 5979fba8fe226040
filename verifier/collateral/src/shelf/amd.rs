//! AMD's, one folder a product.

use crate::files::{self, Files};
use crate::obstacle::Obstacle;
use crate::pki::{self, Item};
use nitride_verify::AmdCollateral;
use nitride_verify::evidence::SnpProduct;
use std::path::Path;

pub(super) fn read(folder: &Path, files: &mut Files) -> Result<Vec<AmdCollateral>, Obstacle> {
    let mut found = Vec::new();
    for path in files::entries(folder)? {
        let name = path.file_name().and_then(|name| name.to_str());
        let mut products = SnpProduct::ALL.iter();
        let product = products.find(|product| name == Some(&product.as_str().to_lowercase()));
        let Some(product) = product else {
            let reason = "is no product of AMD's; milan, genoa and turin are";
            return Err(Obstacle::at(&path, reason, "rename or remove it"));
        };
        found.push(product_in(*product, &path, files)?);
    }
    Ok(found)
}

fn product_in(
    product: SnpProduct,
    folder: &Path,
    files: &mut Files,
) -> Result<AmdCollateral, Obstacle> {
    let (mut ark, mut ask, mut asvk, mut crl) = (None, None, None, None);
    let mut veks = Vec::new();
    let mut obtained_at_secs = 0;
    for path in files::entries(folder)? {
        for item in pki::read(&path, files)? {
            let (place, what, der) = match item {
                Item::Certificate { name, der } => match name.as_str() {
                    "SEV-VCEK" | "SEV-VLEK" => {
                        veks.push(der);
                        continue;
                    }
                    name if name == format!("ARK-{product}") => (&mut ark, "root", der),
                    name if name == format!("SEV-{product}") => (&mut ask, "ASK", der),
                    name if name == format!("SEV-VLEK-{product}") => (&mut asvk, "ASVK", der),
                    _ => {
                        let reason = format!("{name:?} is none of the certificates of {product}");
                        return Err(Obstacle::at(&path, reason, "move or remove it"));
                    }
                },
                Item::Crl(der) => {
                    // The list itself does not say when it was fetched.
                    obtained_at_secs = files::written_at_secs(&path)?;
                    (&mut crl, "revocation list", der)
                }
            };
            // Two files of one certificate, as the chains of VCEK and VLEK share their root.
            if place.as_ref().is_some_and(|other| *other != der) {
                let reason = format!("is a second {what} of {product}");
                return Err(Obstacle::at(&path, reason, "keep the newer one"));
            }
            *place = Some(der);
        }
    }
    let ark = ark.ok_or_else(|| {
        let reason = format!("has no root certificate of {product} (ARK-{product})");
        Obstacle::at(
            folder,
            reason,
            "add the certificate chain that AMD publishes",
        )
    })?;
    Ok(AmdCollateral {
        product,
        ark,
        ask,
        asvk,
        veks,
        crl,
        obtained_at_secs,
    })
}
