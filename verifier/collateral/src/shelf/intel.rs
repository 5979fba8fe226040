//! Intel's, one set a kind of platform: a bundle, or what Intel's service answered.

use crate::files::{self, Files};
use crate::obstacle::{Obstacle, told};
use crate::obtained;
use nitride_dcap::{IntelCollateral, PcsAnswers, PlatformCollateral};
use std::path::Path;

/// A bundle is about 20 KiB.
const MAX_LEN: u64 = 2 << 20;

const TCB_INFO: &str = "tcb.json";
const TCB_INFO_CHAIN: &str = "tcb-issuer-chain.pem";
const QE_IDENTITY: &str = "qe-identity.json";
const QE_IDENTITY_CHAIN: &str = "qe-identity-issuer-chain.pem";
const PCK_CRL: &str = "pck-crl.der";
const PCK_CRL_CHAIN: &str = "pck-crl-issuer-chain.pem";
const ROOT_CA_CRL: &str = "root-ca-crl.der";
const ANSWERS: [&str; 7] = [
    TCB_INFO,
    TCB_INFO_CHAIN,
    QE_IDENTITY,
    QE_IDENTITY_CHAIN,
    PCK_CRL,
    PCK_CRL_CHAIN,
    ROOT_CA_CRL,
];

pub(super) fn read(folder: &Path, files: &mut Files) -> Result<Option<IntelCollateral>, Obstacle> {
    let mut platforms = Vec::new();
    for path in files::entries(folder)? {
        // Its own signed dates bound its age; this is for whoever fetches.
        if obtained::of(&path).is_some_and(|of| of.exists()) {
            continue;
        }
        platforms.push(if path.is_dir() {
            answers(&path, files)?
        } else if path.extension().is_some_and(|end| end == "json") {
            let bundle = files.read_text(&path, MAX_LEN)?;
            PlatformCollateral::from_bundle(&bundle)
                .map_err(|fault| Obstacle::at(&path, told(&fault), "make the bundle anew"))?
        } else {
            let reason = "is neither a bundle (NAME.json) nor a folder of answers";
            return Err(Obstacle::at(&path, reason, "remove it"));
        });
    }
    if platforms.is_empty() {
        return Ok(None);
    }
    IntelCollateral::new(platforms)
        .map(Some)
        .map_err(|fault| Obstacle::at(folder, told(&fault), "keep one set a kind of platform"))
}

fn answers(folder: &Path, files: &mut Files) -> Result<PlatformCollateral, Obstacle> {
    for path in files::entries(folder)? {
        let name = path.file_name().and_then(|name| name.to_str());
        if !ANSWERS.iter().any(|answer| name == Some(answer)) {
            let reason = format!("is none of the files {}", ANSWERS.join(", "));
            return Err(Obstacle::at(&path, reason, "rename or remove it"));
        }
    }
    let mut text = |name: &str| files.read_text(&folder.join(name), MAX_LEN);
    let tcb_info = text(TCB_INFO)?;
    let tcb_info_issuer_chain = text(TCB_INFO_CHAIN)?;
    let qe_identity = text(QE_IDENTITY)?;
    let qe_identity_issuer_chain = text(QE_IDENTITY_CHAIN)?;
    let pck_crl_issuer_chain = text(PCK_CRL_CHAIN)?;
    let pck_crl = files.read(&folder.join(PCK_CRL), MAX_LEN)?;
    let root_ca_crl = files.read(&folder.join(ROOT_CA_CRL), MAX_LEN)?;
    PlatformCollateral::from_pcs(&PcsAnswers {
        tcb_info: &tcb_info,
        tcb_info_issuer_chain: &tcb_info_issuer_chain,
        qe_identity: &qe_identity,
        qe_identity_issuer_chain: &qe_identity_issuer_chain,
        pck_crl: &pck_crl,
        pck_crl_issuer_chain: &pck_crl_issuer_chain,
        root_ca_crl: &root_ca_crl,
    })
    .map_err(|fault| Obstacle::at(folder, told(&fault), "keep Intel's answers as they came"))
}
