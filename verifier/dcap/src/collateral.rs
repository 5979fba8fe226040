//! Intel's collateral as data: what its Provisioning Certification Service answers, one set a kind of
//! platform (FMSPC).

use dcap_qvl::{QeIdentity, QuoteCollateralV3, TcbInfo};
use nitride_verify::Budget;
use nitride_verify::x509::{Crl, CrlFault};
use thiserror::Error;

/// A bundle is about 20 KiB; revocation lists grow.
const MAX_PART_LEN: usize = 1024 * 1024;
/// Intel sells some dozens of kinds of platforms.
const MAX_PLATFORMS: usize = 256;
/// TCB information has some dozen levels.
const MAX_LEVELS: usize = 256;

/// What is at hand of Intel's collateral: at most one set a kind of platform.
#[derive(Debug, Default)]
pub struct IntelCollateral {
    platforms: Vec<PlatformCollateral>,
}

/// The collateral for one kind of platform. Nothing about it is verified but its form.
pub struct PlatformCollateral {
    pub(crate) signed: QuoteCollateralV3,
    pub(crate) tcb_info: TcbInfo,
    pub(crate) qe_identity: QeIdentity,
    /// The lists of `signed`, read once: a service judges a thousand quotes by them.
    pub(crate) root_crl: Result<Crl, CrlFault>,
    pub(crate) pck_crl: Result<Crl, CrlFault>,
    fmspc: [u8; 6],
}

/// What Intel's service answers, version 4: bodies as they came, and the issuer chains of its headers
/// with their percent-encoding removed.
#[derive(Debug, Clone, Copy)]
pub struct PcsAnswers<'a> {
    /// `/tdx/certification/v4/tcb`: `{"tcbInfo":{..},"signature":".."}`.
    pub tcb_info: &'a str,
    /// Header `TCB-Info-Issuer-Chain`, PEM.
    pub tcb_info_issuer_chain: &'a str,
    /// `/tdx/certification/v4/qe/identity`: `{"enclaveIdentity":{..},"signature":".."}`.
    pub qe_identity: &'a str,
    /// Header `SGX-Enclave-Identity-Issuer-Chain`, PEM.
    pub qe_identity_issuer_chain: &'a str,
    /// `/sgx/certification/v4/pckcrl?encoding=der`, DER.
    pub pck_crl: &'a [u8],
    /// Header `SGX-PCK-CRL-Issuer-Chain`, PEM.
    pub pck_crl_issuer_chain: &'a str,
    /// The root's revocation list, DER.
    pub root_ca_crl: &'a [u8],
}

/// Why data are no collateral.
#[derive(Debug, Error)]
pub enum CollateralFault {
    /// Longer than any.
    #[error("the {part} of Intel's collateral is longer than {MAX_PART_LEN} bytes")]
    TooLong {
        /// Which part.
        part: &'static str,
    },
    /// Not JSON of the form.
    #[error("the {part} of Intel's collateral is not of its form")]
    Form {
        /// Which part.
        part: &'static str,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// Not an object that is followed by its signature, as Intel writes it.
    #[error("the {part} of Intel's collateral is not one signed object followed by its signature")]
    Envelope {
        /// Which part.
        part: &'static str,
    },
    /// No kind of platform.
    #[error("the TCB information of Intel's collateral names no FMSPC of 6 bytes")]
    Fmspc,
    /// More levels than any.
    #[error("the {part} of Intel's collateral has more than {MAX_LEVELS} levels")]
    TooManyLevels {
        /// Which part.
        part: &'static str,
    },
    /// Two sets for one kind of platform.
    #[error("there are two sets of Intel's collateral for the FMSPC {0}; remove the older one")]
    Twice(String),
    /// More kinds of platforms than any.
    #[error("there are more than {MAX_PLATFORMS} sets of Intel's collateral")]
    TooMany,
}

impl IntelCollateral {
    /// Takes at most one set a kind of platform.
    ///
    /// # Errors
    ///
    /// [`CollateralFault::Twice`], [`CollateralFault::TooMany`].
    pub fn new(platforms: Vec<PlatformCollateral>) -> Result<Self, CollateralFault> {
        if platforms.len() > MAX_PLATFORMS {
            return Err(CollateralFault::TooMany);
        }
        let mut seen: Vec<[u8; 6]> = platforms.iter().map(|p| p.fmspc).collect();
        seen.sort_unstable();
        match seen.windows(2).find(|pair| pair.first() == pair.last()) {
            Some(pair) => {
                let fmspc = pair
                    .first()
                    .map(|fmspc| base16ct::lower::encode_string(fmspc));
                Err(CollateralFault::Twice(fmspc.unwrap_or_default()))
            }
            None => Ok(Self { platforms }),
        }
    }

    /// All of it, one set a kind of platform.
    #[must_use]
    pub fn platforms(&self) -> &[PlatformCollateral] {
        &self.platforms
    }

    pub(crate) fn of(&self, fmspc: &[u8; 6]) -> Option<&PlatformCollateral> {
        self.platforms.iter().find(|p| p.fmspc == *fmspc)
    }
}

impl PlatformCollateral {
    /// Reads a bundle: the JSON object of `sgx_ql_qve_collateral_t`'s members, PEM and signed JSON as
    /// text, revocation lists and signatures in hexadecimal.
    ///
    /// # Errors
    ///
    /// [`CollateralFault`].
    pub fn from_bundle(json: &str) -> Result<Self, CollateralFault> {
        let part = "bundle";
        short_enough(part, json.len())?;
        let signed = serde_json::from_str(json);
        Self::new(signed.map_err(|source| CollateralFault::Form { part, source })?)
    }

    /// Takes what Intel's service answered.
    ///
    /// # Errors
    ///
    /// [`CollateralFault`].
    pub fn from_pcs(answers: &PcsAnswers<'_>) -> Result<Self, CollateralFault> {
        let (tcb_info, tcb_info_signature) =
            split_signed("TCB information", "tcbInfo", answers.tcb_info)?;
        let (qe_identity, qe_identity_signature) =
            split_signed("QE identity", "enclaveIdentity", answers.qe_identity)?;
        Self::new(QuoteCollateralV3 {
            pck_crl_issuer_chain: answers.pck_crl_issuer_chain.to_owned(),
            root_ca_crl: answers.root_ca_crl.to_vec(),
            pck_crl: answers.pck_crl.to_vec(),
            tcb_info_issuer_chain: answers.tcb_info_issuer_chain.to_owned(),
            tcb_info: tcb_info.to_owned(),
            tcb_info_signature,
            qe_identity_issuer_chain: answers.qe_identity_issuer_chain.to_owned(),
            qe_identity: qe_identity.to_owned(),
            qe_identity_signature,
            pck_certificate_chain: None,
        })
    }

    /// The bundle, as [`Self::from_bundle`] reads it.
    ///
    /// # Errors
    ///
    /// [`CollateralFault::Form`] if it cannot be written.
    pub fn to_bundle(&self) -> Result<String, CollateralFault> {
        let part = "bundle";
        serde_json::to_string(&self.signed).map_err(|source| CollateralFault::Form { part, source })
    }

    /// The kind of platform.
    #[must_use]
    pub fn fmspc(&self) -> &[u8; 6] {
        &self.fmspc
    }

    fn new(mut signed: QuoteCollateralV3) -> Result<Self, CollateralFault> {
        for (part, len) in [
            ("root's revocation list", signed.root_ca_crl.len()),
            ("PCK revocation list", signed.pck_crl.len()),
            ("TCB information", signed.tcb_info.len()),
            (
                "TCB information's issuers",
                signed.tcb_info_issuer_chain.len(),
            ),
            ("QE identity", signed.qe_identity.len()),
            (
                "QE identity's issuers",
                signed.qe_identity_issuer_chain.len(),
            ),
        ] {
            short_enough(part, len)?;
        }
        // The chain of a quote is the quote's: a stored one would vouch for another platform's.
        signed.pck_certificate_chain = None;
        let part = "TCB information";
        let tcb_info: TcbInfo = serde_json::from_str(&signed.tcb_info)
            .map_err(|source| CollateralFault::Form { part, source })?;
        let modules = tcb_info.tdx_module_identities.iter();
        let levels = modules.map(|module| module.tcb_levels.len());
        if levels.max().unwrap_or(0).max(tcb_info.tcb_levels.len()) > MAX_LEVELS
            || tcb_info.tdx_module_identities.len() > MAX_LEVELS
        {
            return Err(CollateralFault::TooManyLevels { part });
        }
        let part = "QE identity";
        let qe_identity: QeIdentity = serde_json::from_str(&signed.qe_identity)
            .map_err(|source| CollateralFault::Form { part, source })?;
        if qe_identity.tcb_levels.len() > MAX_LEVELS {
            return Err(CollateralFault::TooManyLevels { part });
        }
        let mut fmspc = [0; 6];
        match base16ct::mixed::decode(&tcb_info.fmspc, &mut fmspc) {
            Ok(bytes) if bytes.len() == 6 => {}
            _ => return Err(CollateralFault::Fmspc),
        }
        // The operator's own files, as every part here: their reading is no quote's to pay for.
        let list = |der| Crl::parse(der, &mut Budget::for_one_round());
        Ok(Self {
            root_crl: list(&signed.root_ca_crl),
            pck_crl: list(&signed.pck_crl),
            signed,
            tcb_info,
            qe_identity,
            fmspc,
        })
    }
}

impl std::fmt::Debug for PlatformCollateral {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let fmspc = base16ct::lower::encode_string(&self.fmspc);
        write!(f, "PlatformCollateral({fmspc})")
    }
}

fn short_enough(part: &'static str, len: usize) -> Result<(), CollateralFault> {
    if len > MAX_PART_LEN {
        return Err(CollateralFault::TooLong { part });
    }
    Ok(())
}

/// The object as Intel signed it, byte for byte, and its signature.
fn split_signed<'a>(
    part: &'static str,
    name: &str,
    body: &'a str,
) -> Result<(&'a str, Vec<u8>), CollateralFault> {
    short_enough(part, body.len())?;
    let envelope = || CollateralFault::Envelope { part };
    let object = body.trim_ascii().strip_prefix('{');
    let object = object.and_then(|rest| rest.strip_prefix(&format!("\"{name}\":")));
    let object = object.and_then(|rest| rest.strip_suffix("\"}"));
    let parts = object.and_then(|rest| rest.rsplit_once(",\"signature\":\""));
    let (object, signature) = parts.ok_or_else(envelope)?;
    let signature = base16ct::mixed::decode_vec(signature).map_err(|_| envelope())?;
    if signature.len() != 64 {
        return Err(envelope());
    }
    Ok((object, signature))
}

#[cfg(test)]
mod tests;
