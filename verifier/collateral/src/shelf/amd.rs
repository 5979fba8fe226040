//! AMD's, one folder a product.

use crate::files::{self, Files};
use crate::obstacle::{Obstacle, told};
use crate::obtained;
use crate::pki::{self, Item};
use nitride_verify::evidence::SnpProduct;
use nitride_verify::{AmdCollateral, AmdCrl, Veks};
use std::path::Path;

/// AMD publishes one with the chain for VCEKs and one with that for VLEKs.
const MAX_CRLS: usize = 2;

pub(super) fn read(folder: &Path, files: &mut Files) -> Result<Vec<AmdCollateral>, Obstacle> {
    let mut found = Vec::new();
    for path in files::entries(folder)? {
        let name = path.file_name().and_then(|name| name.to_str());
        let Some(product) = name.and_then(product_of) else {
            let reason = "is no product of AMD's; milan, genoa and turin are";
            return Err(Obstacle::at(&path, reason, "rename or remove it"));
        };
        found.push(product_in(product, &path, files)?);
    }
    Ok(found)
}

/// The product that a folder is called for.
pub(crate) fn product_of(name: &str) -> Option<SnpProduct> {
    let mut products = SnpProduct::ALL.iter().copied();
    products.find(|product| name == product.as_str().to_lowercase())
}

fn product_in(
    product: SnpProduct,
    folder: &Path,
    files: &mut Files,
) -> Result<AmdCollateral, Obstacle> {
    let mut gathered = Gathered::new(product);
    for path in files::entries(folder)? {
        if let Some(of) = obtained::of(&path) {
            if of.exists() {
                continue;
            }
            let reason = "is the time of a file that is not there";
            return Err(Obstacle::at(&path, reason, "remove it"));
        }
        for item in pki::read(&path, files)? {
            let obtained_at_secs = match &item {
                Item::Certificate { .. } => 0,
                Item::Crl(_) => obtained::read(&path, files)?,
            };
            let refuse = |reason| Obstacle::at(&path, reason, "keep the one that is right");
            gathered.add(item, obtained_at_secs).map_err(refuse)?;
        }
    }
    gathered.finish().map_err(|reason| {
        let remedy = "add the certificate chain that AMD publishes";
        Obstacle::at(folder, reason, remedy)
    })
}

/// What is known of one product so far. Nothing is verified.
#[derive(Debug)]
pub(crate) struct Gathered {
    product: SnpProduct,
    ark: Option<Vec<u8>>,
    ask: Option<Vec<u8>>,
    asvk: Option<Vec<u8>>,
    veks: Veks,
    crls: Vec<AmdCrl>,
}

impl Gathered {
    pub(crate) fn new(product: SnpProduct) -> Self {
        Self {
            product,
            ark: None,
            ask: None,
            asvk: None,
            veks: Veks::default(),
            crls: Vec::new(),
        }
    }

    /// Puts an item into its place, or says why it has none.
    pub(crate) fn add(&mut self, item: Item, obtained_at_secs: u64) -> Result<(), String> {
        let product = self.product;
        let (place, what, der) = match item {
            Item::Certificate { name, der } => match name.as_str() {
                "SEV-VCEK" | "SEV-VLEK" => return self.add_vek(der),
                name if name == format!("ARK-{product}") => (&mut self.ark, "root", der),
                name if name == format!("SEV-{product}") => (&mut self.ask, "ASK", der),
                name if name == format!("SEV-VLEK-{product}") => (&mut self.asvk, "ASVK", der),
                _ => return Err(format!("{name:?} is none of the certificates of {product}")),
            },
            Item::Crl(der) => return self.add_crl(der, obtained_at_secs),
        };
        // Two files of one certificate, as the chains of VCEK and VLEK share their root.
        if place.as_ref().is_some_and(|other| *other != der) {
            return Err(format!("is a second {what} of {product}"));
        }
        *place = Some(der);
        Ok(())
    }

    fn add_crl(&mut self, der: Vec<u8>, obtained_at_secs: u64) -> Result<(), String> {
        let mut known = self.crls.iter_mut();
        if let Some(known) = known.find(|known| known.der == der) {
            // Of copies of one list, the oldest fetch is the one that counts.
            known.obtained_at_secs = known.obtained_at_secs.min(obtained_at_secs);
        } else if self.crls.len() >= MAX_CRLS {
            return Err(format!("is a third revocation list of {}", self.product));
        } else {
            self.crls.push(AmdCrl {
                der,
                obtained_at_secs,
            });
        }
        Ok(())
    }

    fn add_vek(&mut self, der: Vec<u8>) -> Result<(), String> {
        let id = self.veks.insert(der).map_err(|fault| told(&fault))?;
        if id.product == self.product {
            Ok(())
        } else {
            Err(format!("is of {}, and not of {}", id.product, self.product))
        }
    }

    /// All of it; there has to be a root.
    pub(crate) fn finish(self) -> Result<AmdCollateral, String> {
        let product = self.product;
        let ark = self.ark;
        Ok(AmdCollateral {
            product,
            ark: ark.ok_or(format!(
                "has no root certificate of {product} (ARK-{product})"
            ))?,
            ask: self.ask,
            asvk: self.asvk,
            veks: self.veks,
            crls: self.crls,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_root() -> Gathered {
        let mut gathered = Gathered::new(SnpProduct::Milan);
        let name = "ARK-Milan".to_owned();
        let root = Item::Certificate { name, der: vec![1] };
        gathered.add(root, 0).unwrap();
        gathered
    }

    #[test]
    fn of_copies_of_one_list_the_oldest_fetch_counts() {
        let mut gathered = with_root();
        for at_secs in [30, 10, 20] {
            gathered.add(Item::Crl(vec![2]), at_secs).unwrap();
        }
        let crls = gathered.finish().unwrap().crls;
        assert_eq!(crls.len(), 1);
        assert_eq!(crls[0].obtained_at_secs, 10);
    }

    #[test]
    fn each_of_two_lists_has_its_own_time_and_a_third_is_one_too_many() {
        let mut gathered = with_root();
        gathered.add(Item::Crl(vec![2]), 1).unwrap();
        gathered.add(Item::Crl(vec![3]), 2).unwrap();
        let told = gathered.add(Item::Crl(vec![4]), 3).unwrap_err();
        assert_eq!(told, "is a third revocation list of Milan");
        let crls = gathered.finish().unwrap().crls;
        let times: Vec<u64> = crls.iter().map(|crl| crl.obtained_at_secs).collect();
        assert_eq!(times, [1, 2]);
    }

    #[test]
    fn there_has_to_be_a_root() {
        let told = Gathered::new(SnpProduct::Genoa).finish().unwrap_err();
        assert!(told.contains("ARK-Genoa"), "{told}");
    }
}
