//! A folder as one file, for machines without a network: JSON, certificates and lists in base64.
//!
//! ```json
//! { "version": 1,
//!   "amd": [ { "product": "milan", "certificates": ["MII…"],
//!              "crl": { "der": "MII…", "obtained_at_secs": 1795305600 } } ],
//!   "intel": [ "{…}" ] }
//! ```
//!
//! It is believed as little as the folder was: what counts is signed, but for `obtained_at_secs`, by
//! which an old list can be made young. Whoever carries a bundle is trusted with that.

use crate::files::Files;
use crate::obstacle::{Obstacle, told};
use crate::pki;
use crate::shelf::Shelf;
use crate::shelf::amd::{Gathered, product_of};
use crate::write;
use base64ct::{Base64, Encoding};
use nitride_dcap::{IntelCollateral, PlatformCollateral};
use nitride_verify::{AmdCollateral, AmdCrl};
use serde::{Deserialize, Serialize};
use std::path::Path;

const VERSION: u32 = 1;
/// As much as a whole folder.
const MAX_LEN: u64 = 64 << 20;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct BundleForm {
    version: u32,
    amd: Vec<AmdForm>,
    /// Each as Intel's parts are bundled elsewhere, too.
    intel: Vec<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct AmdForm {
    product: String,
    certificates: Vec<String>,
    crl: Option<CrlForm>,
    /// That for VLEKs, where it is another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    further_crl: Option<CrlForm>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct CrlForm {
    der: String,
    obtained_at_secs: u64,
}

impl Shelf {
    /// Writes all of it into one file, which [`Self::read`] reads.
    ///
    /// # Errors
    ///
    /// [`Obstacle`] if it cannot be written.
    pub fn write_bundle(&self, path: &Path) -> Result<(), Obstacle> {
        let form = BundleForm {
            version: VERSION,
            amd: self.amd().iter().map(amd_form).collect(),
            intel: self
                .intel_forms()
                .map_err(|reason| not_made(path, reason))?,
        };
        let json = serde_json::to_vec(&form).map_err(|error| not_made(path, told(&error)))?;
        // What is written here and not read there would be found out where no network is.
        let text = String::from_utf8(json).map_err(|error| not_made(path, told(&error)))?;
        if u64::try_from(text.len()).unwrap_or(u64::MAX) > MAX_LEN {
            let reason =
                format!("would be longer than {MAX_LEN} bytes, which is as much as is read");
            return Err(not_made(path, reason));
        }
        parse(&text).map_err(|reason| not_made(path, reason))?;
        write::replace(path, text.as_bytes())
    }

    fn intel_forms(&self) -> Result<Vec<String>, String> {
        let platforms = self.intel().map_or(&[][..], IntelCollateral::platforms);
        let bundles = platforms.iter().map(PlatformCollateral::to_bundle);
        bundles.map(|b| b.map_err(|fault| told(&fault))).collect()
    }
}

/// Reads what [`Shelf::write_bundle`] wrote.
pub(crate) fn read(path: &Path, files: &mut Files) -> Result<Shelf, Obstacle> {
    let text = files.read_text(path, MAX_LEN)?;
    parse(&text).map_err(|reason| Obstacle::at(path, reason, "make the bundle anew"))
}

/// Reads a bundle, or says why it is none.
fn parse(text: &str) -> Result<Shelf, String> {
    let form: BundleForm = serde_json::from_str(text)
        .map_err(|error| format!("is no bundle of collateral: {error}"))?;
    if form.version != VERSION {
        return Err(format!("is of version {}, not {VERSION}", form.version));
    }
    let mut amd: Vec<AmdCollateral> = Vec::new();
    for entry in form.amd {
        let of_product = of_amd(entry)?;
        let product = of_product.product;
        if amd.iter().any(|other| other.product == product) {
            return Err(format!("has {product} twice"));
        }
        amd.push(of_product);
    }
    let platforms = form.intel.iter();
    let platforms = platforms
        .map(String::as_str)
        .map(PlatformCollateral::from_bundle);
    let platforms: Result<Vec<_>, _> = platforms.collect();
    let platforms = platforms.map_err(|fault| told(&fault))?;
    let intel = if platforms.is_empty() {
        None
    } else {
        let intel = IntelCollateral::new(platforms);
        Some(intel.map_err(|fault| told(&fault))?)
    };
    Ok(Shelf::of(amd, intel))
}

fn amd_form(amd: &AmdCollateral) -> AmdForm {
    let own = [Some(&amd.ark), amd.ask.as_ref(), amd.asvk.as_ref()];
    let own = own.into_iter().flatten().map(Vec::as_slice);
    AmdForm {
        product: amd.product.as_str().to_lowercase(),
        certificates: own
            .chain(amd.veks.ders())
            .map(Base64::encode_string)
            .collect(),
        crl: amd.crls.first().map(crl_form),
        further_crl: amd.crls.get(1).map(crl_form),
    }
}

fn crl_form(crl: &AmdCrl) -> CrlForm {
    CrlForm {
        der: Base64::encode_string(&crl.der),
        obtained_at_secs: crl.obtained_at_secs,
    }
}

fn of_amd(form: AmdForm) -> Result<AmdCollateral, String> {
    let product = product_of(&form.product);
    let product = product.ok_or(format!("{:?} is no product of AMD's", form.product))?;
    let mut gathered = Gathered::new(product);
    let certificates = form.certificates.iter().map(|text| (text, 0));
    let crls = form.crl.iter().chain(&form.further_crl);
    let crls = crls.map(|crl| (&crl.der, crl.obtained_at_secs));
    for (text, obtained_at_secs) in certificates.chain(crls) {
        let der = Base64::decode_vec(text);
        let der = der.map_err(|_| format!("has of {product} what is not base64"))?;
        gathered.add(pki::item(&der)?, obtained_at_secs)?;
    }
    gathered.finish()
}

fn not_made(path: &Path, reason: String) -> Obstacle {
    Obstacle::at(path, reason, "look at the folder that it is made of")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_shelf_comes_back_from_its_bundle() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bundle.json");
        Shelf::default().write_bundle(&path).unwrap();
        let shelf = Shelf::read(&path, &mut Files::new()).unwrap();
        assert!(shelf.amd().is_empty() && shelf.intel().is_none());
    }

    #[test]
    fn a_bundle_that_could_not_be_read_is_not_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bundle.json");
        let amd = |ark: Vec<u8>| AmdCollateral {
            product: nitride_verify::evidence::SnpProduct::Milan,
            ark,
            ask: None,
            asvk: None,
            veks: nitride_verify::Veks::default(),
            crls: Vec::new(),
        };
        let too_long = usize::try_from(MAX_LEN).unwrap() / 4 * 3;
        for (ark, word) in [(vec![0; too_long], "longer than"), (vec![0], "neither")] {
            let shelf = Shelf::of(vec![amd(ark)], None);
            let told = shelf.write_bundle(&path).unwrap_err().to_string();
            assert!(told.contains(word), "{told}");
            assert!(!path.exists());
        }
    }

    #[test]
    fn what_is_no_bundle_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bundle.json");
        for (text, word) in [
            ("", "no bundle"),
            ("[]", "no bundle"),
            ("{\"version\":2,\"amd\":[],\"intel\":[]}", "version 2"),
            ("{\"version\":1,\"amd\":[]}", "no bundle"),
            (
                "{\"version\":1,\"amd\":[],\"intel\":[],\"x\":1}",
                "no bundle",
            ),
            (
                "{\"version\":1,\"amd\":[],\"intel\":[\"{}\"]}",
                "bundle anew",
            ),
            (
                "{\"version\":1,\"amd\":[{\"product\":\"naples\",\"certificates\":[],\"crl\":null}],\
                 \"intel\":[]}",
                "no product",
            ),
            (
                "{\"version\":1,\"amd\":[{\"product\":\"milan\",\"certificates\":[],\"crl\":null}],\
                 \"intel\":[]}",
                "no root",
            ),
            (
                "{\"version\":1,\"amd\":[{\"product\":\"milan\",\"certificates\":[\"%\"],\
                 \"crl\":null}],\"intel\":[]}",
                "not base64",
            ),
        ] {
            std::fs::write(&path, text).unwrap();
            let told = Shelf::read(&path, &mut Files::new()).unwrap_err();
            assert!(told.to_string().contains(word), "{text}: {told}");
        }
    }
}
