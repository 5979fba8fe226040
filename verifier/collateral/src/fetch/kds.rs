//! AMD's key distribution service (AMD 57230, chapter 4): certificates and lists in DER or PEM, each
//! looked at before it is kept.

use super::{AmdWanted, Done, Fetch};
use crate::files::Files;
use crate::obstacle::{Obstacle, told};
use crate::obtained;
use crate::pki::{self, Item};
use crate::write;
use nitride_verify::evidence::SnpProduct;
use nitride_verify::policy::SigningKey;
use nitride_verify::x509::{Certificate, Crl, SignatureAlgorithm};
use nitride_verify::{AMD_ROOTS, Budget, VekId};
use std::path::Path;

/// Two certificates of some two kilobytes in PEM.
const MAX_CHAIN_LEN: usize = 64 << 10;
const MAX_VEK_LEN: usize = 16 << 10;
/// As long as the verifier reads.
const MAX_CRL_LEN: usize = 512 << 10;

/// A root that is pinned, and what it signed.
struct Chain {
    root: Certificate,
    intermediate: Certificate,
}

impl Fetch {
    /// Fetches what is published of one product: the chains, the revocation list of each, and the keys
    /// of these chips.
    ///
    /// # Errors
    ///
    /// [`Obstacle`] for the first thing that could not be had; what was had before it is kept.
    pub async fn amd(&mut self, wanted: &AmdWanted) -> Result<(), Obstacle> {
        let product = wanted.product;
        let folder = self
            .folder
            .join("amd")
            .join(product.as_str().to_lowercase());
        write::ensure_folder(&folder)?;
        let chain = self.chain(&folder, product, SigningKey::Vcek).await?;
        self.crl(&folder, product, SigningKey::Vcek, &chain.root)
            .await?;
        if wanted.vlek {
            let chain = self.chain(&folder, product, SigningKey::Vlek).await?;
            self.crl(&folder, product, SigningKey::Vlek, &chain.root)
                .await?;
        }
        for id in &wanted.vceks {
            self.vcek(&folder, product, id, &chain.intermediate).await?;
        }
        Ok(())
    }

    async fn chain(
        &mut self,
        folder: &Path,
        product: SnpProduct,
        key: SigningKey,
    ) -> Result<Chain, Obstacle> {
        let kind = kind(key);
        let path = folder.join(format!("{kind}-chain.pem"));
        if path.exists() {
            let pem = Files::new().read(&path, MAX_CHAIN_LEN as u64)?;
            let chain = self.checked_chain(&pem, product, key);
            let chain = chain.map_err(|reason| Obstacle::at(&path, reason, "remove it"))?;
            self.done.push(Done::Kept(path));
            return Ok(chain);
        }
        let url = format!("{}/{kind}/v1/{product}/cert_chain", self.kds());
        let answer = self.asker.ask(&url, MAX_CHAIN_LEN).await?;
        let chain = self.checked_chain(&answer.body, product, key);
        let chain = chain.map_err(|reason| not_wanted(&url, reason))?;
        write::replace(&path, &answer.body)?;
        self.done.push(Done::Fetched(path));
        Ok(chain)
    }

    /// The root has to be the product's, and the intermediate of this kind of key and signed by it.
    fn checked_chain(
        &self,
        pem: &[u8],
        product: SnpProduct,
        key: SigningKey,
    ) -> Result<Chain, String> {
        let (mut root, mut intermediate) = (None, None);
        let wanted = match key {
            SigningKey::Vcek => format!("SEV-{product}"),
            SigningKey::Vlek => format!("SEV-VLEK-{product}"),
        };
        for item in pki::items(pem)? {
            let Item::Certificate { name, der } = item else {
                return Err("has a revocation list among its certificates".to_owned());
            };
            let place = match name {
                name if name == format!("ARK-{product}") => &mut root,
                name if name == wanted => &mut intermediate,
                name => return Err(format!("{name:?} is not of this chain")),
            };
            let parsed = Certificate::parse(&der, &mut Budget::for_one_round());
            *place = Some(parsed.map_err(|fault| told(&fault))?);
        }
        let root: Certificate = root.ok_or(format!("has no ARK-{product}"))?;
        let intermediate = intermediate.ok_or(format!("has no {wanted}"))?;
        let is_pinned = AMD_ROOTS.contains(&(product, *root.sha256()))
            || self.test_anchors.contains(root.sha256());
        if !is_pinned {
            let digest = base16ct::lower::encode_string(root.sha256());
            return Err(format!(
                "its root is none of AMD's; its SHA-256 is {digest}"
            ));
        }
        signed(&root, &root)?;
        signed(&intermediate, &root)?;
        Ok(Chain { root, intermediate })
    }

    async fn crl(
        &mut self,
        folder: &Path,
        product: SnpProduct,
        key: SigningKey,
        root: &Certificate,
    ) -> Result<(), Obstacle> {
        let path = folder.join(match key {
            SigningKey::Vcek => "crl.der",
            SigningKey::Vlek => "vlek-crl.der",
        });
        let mut known = None;
        if path.exists() {
            let mut files = Files::new();
            let der = files.read(&path, MAX_CRL_LEN as u64)?;
            // One that does not hold is no reason to keep the one that does from coming.
            known = checked_crl(&der, root).ok();
            let obtained = obtained::read(&path, &mut files);
            let is_young = obtained.is_ok_and(|at_secs| self.is_young(at_secs));
            let is_fresh = known
                .as_ref()
                .is_some_and(|crl| crl.is_fresh_at(self.now_secs));
            if is_young && is_fresh {
                self.done.push(Done::Kept(path));
                return Ok(());
            }
        }
        let url = format!("{}/{}/v1/{product}/crl", self.kds(), kind(key));
        let answer = self.asker.ask(&url, MAX_CRL_LEN).await?;
        let crl = checked_crl(&answer.body, root).map_err(|reason| not_wanted(&url, reason))?;
        if !crl.is_fresh_at(self.now_secs) {
            let reason = "its dates do not include now";
            return Err(not_wanted(&url, reason.to_owned()));
        }
        if known.is_some_and(|known| known.made_at_secs() > crl.made_at_secs()) {
            let reason = "is older than the one that is at hand";
            return Err(not_wanted(&url, reason.to_owned()));
        }
        write::replace(&path, &answer.body)?;
        obtained::write(&path, self.now_secs)?;
        self.done.push(Done::Fetched(path));
        Ok(())
    }

    async fn vcek(
        &mut self,
        folder: &Path,
        product: SnpProduct,
        id: &VekId,
        intermediate: &Certificate,
    ) -> Result<(), Obstacle> {
        let chip = base16ct::lower::encode_string(&id.chip_id);
        let query = tcb_query(id);
        if id.product != product || id.signing_key != SigningKey::Vcek {
            let remedy = "a cloud's key comes with the evidence, or from the cloud";
            return Err(Obstacle::of(chip, "is no chip of this product", remedy));
        }
        let path = folder.join(format!("vcek-{chip}-{}.der", tcb_name(id)));
        let known = Files::new().read(&path, MAX_VEK_LEN as u64);
        // One that is not this chip's at this TCB is fetched anew.
        if known.is_ok_and(|der| checked_vcek(&der, id, intermediate).is_ok()) {
            self.done.push(Done::Kept(path));
            return Ok(());
        }
        let url = format!("{}/vcek/v1/{product}/{chip}?{query}", self.kds());
        let answer = self.asker.ask(&url, MAX_VEK_LEN).await?;
        let checked = checked_vcek(&answer.body, id, intermediate);
        checked.map_err(|reason| not_wanted(&url, reason))?;
        write::replace(&path, &answer.body)?;
        self.done.push(Done::Fetched(path));
        Ok(())
    }

    fn kds(&self) -> &str {
        self.services.kds.trim_end_matches('/')
    }
}

const fn kind(key: SigningKey) -> &'static str {
    match key {
        SigningKey::Vcek => "vcek",
        SigningKey::Vlek => "vlek",
    }
}

/// Components in decimal, with two digits at least.
fn tcb_query(id: &VekId) -> String {
    let fmc = id.tcb.fmc.map(|fmc| format!("fmcSPL={fmc:02}&"));
    format!(
        "{}blSPL={:02}&teeSPL={:02}&snpSPL={:02}&ucodeSPL={:02}",
        fmc.unwrap_or_default(),
        id.tcb.bootloader,
        id.tcb.tee,
        id.tcb.snp,
        id.tcb.microcode
    )
}

/// The same for the name of a file: no two TCBs of one product have one name.
fn tcb_name(id: &VekId) -> String {
    let query = tcb_query(id);
    let values = query.split('&').filter_map(|pair| pair.split_once('='));
    let values: Vec<&str> = values.map(|(_, value)| value).collect();
    values.join("-")
}

fn checked_crl(der: &[u8], root: &Certificate) -> Result<Crl, String> {
    let crl = Crl::parse(der, &mut Budget::for_one_round()).map_err(|fault| told(&fault))?;
    crl.verify_signed_by(root, SignatureAlgorithm::RsaPssSha384, None)
        .map_err(|fault| format!("its revocation list is not AMD's: {}", told(&fault)))?;
    Ok(crl)
}

fn checked_vcek(der: &[u8], id: &VekId, intermediate: &Certificate) -> Result<(), String> {
    let vcek = Certificate::parse(der, &mut Budget::for_one_round());
    let vcek = vcek.map_err(|fault| told(&fault))?;
    if VekId::of_certificate(&vcek).as_ref() != Some(id) {
        return Err("its certificate is of another chip or TCB".to_owned());
    }
    signed(&vcek, intermediate)
}

fn signed(certificate: &Certificate, issuer: &Certificate) -> Result<(), String> {
    certificate
        .verify_signed_by(issuer, SignatureAlgorithm::RsaPssSha384, None)
        .map_err(|fault| format!("one of its certificates is not AMD's: {}", told(&fault)))
}

fn not_wanted(url: &str, reason: String) -> Obstacle {
    let remedy = "nothing was replaced; see whether this is AMD's service";
    Obstacle::of(url, reason, remedy)
}

#[cfg(test)]
mod tests {
    use super::*;
    use nitride_verify::evidence::Tcb;

    #[test]
    fn the_components_of_a_tcb_are_asked_for_as_amd_writes_them() {
        let mut id = VekId {
            product: SnpProduct::Milan,
            signing_key: SigningKey::Vcek,
            chip_id: vec![0xAB; 64],
            tcb: Tcb {
                fmc: None,
                bootloader: 3,
                tee: 0,
                snp: 8,
                microcode: 115,
            },
        };
        let milan = "blSPL=03&teeSPL=00&snpSPL=08&ucodeSPL=115";
        assert_eq!(tcb_query(&id), milan);
        id.tcb.fmc = Some(1);
        assert_eq!(tcb_query(&id), format!("fmcSPL=01&{milan}"));
        assert_eq!(tcb_name(&id), "01-03-00-08-115");
    }

    #[test]
    fn two_tcbs_of_a_chip_have_two_names() {
        let mut id = VekId {
            product: SnpProduct::Milan,
            signing_key: SigningKey::Vcek,
            chip_id: vec![0xAB; 64],
            tcb: Tcb {
                fmc: None,
                bootloader: 3,
                tee: 10,
                snp: 101,
                microcode: 115,
            },
        };
        let one = tcb_name(&id);
        (id.tcb.tee, id.tcb.snp) = (101, 1);
        assert_ne!(one, tcb_name(&id));
    }
}
