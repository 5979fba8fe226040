//! Intel's provisioning certification service, version 4, or a PCCS that answers in its place. The
//! issuers of what is signed come in headers, percent-encoded.

use super::ask::Answer;
use super::{Done, Fetch, IntelWanted};
use crate::files::Files;
use crate::obstacle::{Obstacle, told};
use crate::obtained;
use crate::write;
use nitride_dcap::{PcsAnswers, PlatformCollateral};
use nitride_verify::TdxTrust;
use std::path::Path;

/// TCB information is about 20 KiB.
const MAX_JSON_LEN: usize = 512 << 10;
const MAX_CRL_LEN: usize = 512 << 10;
/// A bundle has all of it, lists in hexadecimal.
const MAX_BUNDLE_LEN: u64 = 2 << 20;

impl Fetch {
    /// Fetches what judges one kind of platform, all of it or nothing: one file, so that parts of
    /// different days never stand side by side. It is verified before it replaces anything, and
    /// nothing replaces what is newer.
    ///
    /// # Errors
    ///
    /// [`Obstacle`] for the first thing that could not be had.
    pub async fn intel(&mut self, wanted: &IntelWanted) -> Result<(), Obstacle> {
        let folder = self.folder.join("intel");
        write::ensure_folder(&folder)?;
        let fmspc = base16ct::lower::encode_string(&wanted.fmspc);
        let path = folder.join(format!("{fmspc}.json"));
        let trust = self.test_anchors.clone();
        let trust = TdxTrust::new(&trust);
        let (known, is_young) = self.known(&path);
        let known = known.filter(|known| *known.fmspc() == wanted.fmspc);
        let holds = |known: &PlatformCollateral| {
            let authority = wanted.ca.common_name();
            known.verify(authority, &trust, self.now_secs).is_ok()
        };
        if is_young && known.as_ref().is_some_and(holds) {
            self.done.push(Done::Kept(path));
            return Ok(());
        }
        let platform = self.platform(wanted, &fmspc).await?;
        let refuse = |reason: String| {
            let remedy = "nothing was replaced; see whether this is Intel's service, or a PCCS";
            Obstacle::of(self.services.pcs.as_str(), reason, remedy)
        };
        if *platform.fmspc() != wanted.fmspc {
            return Err(refuse(format!("answered for another FMSPC than {fmspc}")));
        }
        platform
            .verify(wanted.ca.common_name(), &trust, self.now_secs)
            .map_err(|fault| refuse(told(&fault)))?;
        if let Some(known) = known {
            platform.verify_not_older(&known, &trust).map_err(|fault| {
                let remedy = format!(
                    "nothing was replaced; ask Intel's service, or remove {} if the older one is wanted",
                    path.display()
                );
                Obstacle::of(self.services.pcs.as_str(), told(&fault), remedy)
            })?;
        }
        let bundle = platform.to_bundle().map_err(|fault| refuse(told(&fault)))?;
        write::replace(&path, bundle.as_bytes())?;
        obtained::write(&path, self.now_secs)?;
        self.done.push(Done::Fetched(path));
        Ok(())
    }

    /// What is at hand, and whether it was fetched not long ago. A file that cannot be read as what it
    /// should be is fetched anew.
    fn known(&self, path: &Path) -> (Option<PlatformCollateral>, bool) {
        let mut files = Files::new();
        let text = files.read_text(path, MAX_BUNDLE_LEN).ok();
        let known = text.and_then(|text| PlatformCollateral::from_bundle(&text).ok());
        let obtained = obtained::read(path, &mut files);
        (known, obtained.is_ok_and(|at_secs| self.is_young(at_secs)))
    }

    async fn platform(
        &mut self,
        wanted: &IntelWanted,
        fmspc: &str,
    ) -> Result<PlatformCollateral, Obstacle> {
        let pcs = self.services.pcs.trim_end_matches('/').to_owned();
        let tcb_url = format!("{pcs}/tdx/certification/v4/tcb?fmspc={fmspc}");
        let tcb = self.asker.ask(&tcb_url, MAX_JSON_LEN).await?;
        let identity_url = format!("{pcs}/tdx/certification/v4/qe/identity");
        let identity = self.asker.ask(&identity_url, MAX_JSON_LEN).await?;
        let ca = wanted.ca.as_str();
        let crl_url = format!("{pcs}/sgx/certification/v4/pckcrl?ca={ca}&encoding=der");
        let crl = self.asker.ask(&crl_url, MAX_CRL_LEN).await?;
        let root_url = self.services.root_crl.clone();
        // In hexadecimal it has twice the length.
        let root_crl = self.asker.ask(&root_url, 2 * MAX_CRL_LEN).await?;
        PlatformCollateral::from_pcs(&PcsAnswers {
            tcb_info: text(&tcb, &tcb_url)?,
            tcb_info_issuer_chain: &chain(&tcb, "TCB-Info-Issuer-Chain", &tcb_url)?,
            qe_identity: text(&identity, &identity_url)?,
            qe_identity_issuer_chain: &chain(
                &identity,
                "SGX-Enclave-Identity-Issuer-Chain",
                &identity_url,
            )?,
            pck_crl: &der(crl.body.clone()),
            pck_crl_issuer_chain: &chain(&crl, "SGX-PCK-CRL-Issuer-Chain", &crl_url)?,
            root_ca_crl: &der(root_crl.body),
        })
        .map_err(|fault| not_pcs(&pcs, &told(&fault)))
    }
}

fn text<'a>(answer: &'a Answer, url: &str) -> Result<&'a str, Obstacle> {
    std::str::from_utf8(&answer.body).map_err(|_| not_pcs(url, "answered with what is no text"))
}

/// An issuer chain out of its header.
fn chain(answer: &Answer, name: &str, url: &str) -> Result<String, Obstacle> {
    let value = answer.headers.get(name);
    let value = value.ok_or_else(|| not_pcs(url, &format!("answered without {name}")))?;
    let decoded = percent_decoded(value.as_bytes());
    decoded.ok_or_else(|| not_pcs(url, &format!("answered with {name} that is not encoded")))
}

/// A PCCS gives lists in hexadecimal where it was not asked for DER, which begins with a sequence.
fn der(body: Vec<u8>) -> Vec<u8> {
    base16ct::mixed::decode_vec(body.trim_ascii()).unwrap_or(body)
}

/// RFC 3986, 2.1. `None` for a percent sign that no two digits follow, and for what is not UTF-8.
fn percent_decoded(encoded: &[u8]) -> Option<String> {
    let mut decoded = Vec::with_capacity(encoded.len());
    let mut bytes = encoded.iter().copied();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let mut own = [0];
            let digits = [bytes.next()?, bytes.next()?];
            base16ct::mixed::decode(digits, &mut own).ok()?;
            decoded.extend(own);
        } else {
            decoded.push(byte);
        }
    }
    String::from_utf8(decoded).ok()
}

fn not_pcs(url: &str, reason: &str) -> Obstacle {
    let remedy = "nothing was replaced; see whether this is Intel's service, or a PCCS";
    Obstacle::of(url, reason, remedy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chains_come_percent_encoded() {
        let encoded = b"-----BEGIN%20CERTIFICATE-----%0AMIIC%2b%2F%3D%0a";
        let decoded = percent_decoded(encoded);
        let wanted = "-----BEGIN CERTIFICATE-----\nMIIC+/=\n";
        assert_eq!(decoded.as_deref(), Some(wanted));
        for bad in [&b"%"[..], b"%2", b"%zz", b"%ff", b"a%+1"] {
            assert_eq!(percent_decoded(bad), None);
        }
    }

    #[test]
    fn lists_come_in_der_or_in_hexadecimal() {
        assert_eq!(der(b"3003020101\n".to_vec()), [0x30, 3, 2, 1, 1]);
        assert_eq!(der(vec![0x30, 3, 2, 1, 1]), [0x30, 3, 2, 1, 1]);
    }
}
