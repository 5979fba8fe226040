//! NVIDIA devices: does a chain lead from NVIDIA's root to the key that signed the report, and is the
//! report an answer to this challenge?
//!
//! ```text
//!  NVIDIA Device Identity CA ─▶ family ─▶ provisioner ─▶ device ─▶ its firmware ──signs──▶ report
//!  `── pinned                                            `── the serial number is the device's id
//! ```
//!
//! The device is not bound to the machine: that it is the one which this machine talks to is the
//! word of a driver inside the guest, which the guest's own evidence vouches for.

use super::{Bench, Facts, Found, Refusal};
use crate::budget::Budget;
use crate::checks::gpu as checks;
use crate::collateral::NVIDIA_ROOT;
use crate::evidence::spdm::{SpdmMalformed, SpdmReport};
use crate::evidence::{GpuAllegation, Tee};
use crate::ledger::Ledger;
use crate::verdict::Anchor;
use crate::x509::{Certificate, CertificateFault, SignatureAlgorithm, SignatureFault, split_pem};
use der::asn1::ObjectIdentifier;
use der::oid::AssociatedOid;
use std::collections::BTreeMap;
use subtle::ConstantTimeEq;
use thiserror::Error;
use x509_cert::ext::pkix::{BasicConstraints, KeyUsage};

/// The certificates of a chain, in its order.
const CHAIN: [&str; CHAIN_LEN] = ["firmware", "device", "provisioner", "family", "root"];
const CHAIN_LEN: usize = 5;
/// tcg-dice-TcbInfo by its number. NVIDIA puts a composite id into it, which ends with the digest of the
/// firmware that holds the key.
const DICE_COMPOSITE_ID: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.23.133.5.4.1");
/// DER of a digest by SHA-384, before its 48 bytes: algorithm and digest in one sequence.
const DIGEST_HEADER: &[u8] = b"\x30\x3d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x02\x04\x30";

/// What an authentic report says.
#[derive(Debug)]
pub(crate) struct GpuFacts {
    /// The common name of the key that signed: chip, revision, and its firmware.
    pub(crate) name: String,
    /// The serial number of the device's certificate, in lower-case hexadecimal.
    pub(crate) id: String,
    /// The measurements by their index.
    pub(crate) measurements: BTreeMap<u8, Vec<u8>>,
    /// All of them, as they came.
    pub(crate) record: Vec<u8>,
    pub(crate) vbios: Option<String>,
    pub(crate) driver: Option<String>,
    pub(crate) board: Option<String>,
    /// The digest of the firmware that signs, where it is stated and the key was made for it.
    pub(crate) firmware_id: Option<[u8; 48]>,
}

/// Why the report of a device is not authentic.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum GpuRefusal {
    /// It is none.
    #[error("not a report of measurements")]
    Malformed(#[from] SpdmMalformed),
    /// The chain is no PEM.
    #[error("the chain is not certificates in PEM, each from its BEGIN to its END line")]
    Pem,
    /// The chain is longer or shorter.
    #[error("the chain is not of {CHAIN_LEN} certificates")]
    Count,
    /// One of the chain is no certificate.
    #[error("the {which} certificate is none")]
    Certificate {
        /// Which one.
        which: &'static str,
        /// Why.
        #[source]
        fault: CertificateFault,
    },
    /// The chain ends elsewhere.
    #[error("the chain's root is neither NVIDIA's nor a test anchor of the policy")]
    Root,
    /// A certificate may not do what it does here.
    #[error("the {which} certificate {fault}")]
    Form {
        /// Which one.
        which: &'static str,
        /// What is wrong.
        fault: &'static str,
    },
    /// A certificate is not signed by the next, or under another name.
    #[error("the {which} certificate is not signed by the next")]
    ChainSignature {
        /// Which one.
        which: &'static str,
        /// Why.
        #[source]
        fault: SignatureFault,
    },
    /// A certificate is not valid at this time.
    #[error("the {which} certificate is not valid at this time")]
    Dates {
        /// Which one.
        which: &'static str,
    },
    /// Somebody else signed the report, or it was changed.
    #[error("the report is not signed by the key of its chain")]
    Signature(#[source] SignatureFault),
    /// It answers another challenge.
    #[error("the nonce is not that of this challenge and TEE public key")]
    Nonce,
    /// The report is of other firmware than the key.
    #[error("the firmware in the report is not that which the chain's key was made for")]
    FirmwareId,
    /// One device plays two.
    #[error("device {id} is there twice")]
    Twice {
        /// Its id.
        id: String,
    },
}

/// Makes the checks in order.
pub(super) fn verify(
    evidence: &GpuAllegation,
    bench: &Bench<'_>,
    budget: &mut Budget,
    ledger: &mut Ledger,
) -> Result<Found, Refusal> {
    let report = parse(&evidence.report, ledger)?;
    let stated = ledger.check(checks::OPAQUE, Stated::read(&report))?;
    let (chain, anchor) = verify_chain(&evidence.chain, bench, budget, ledger)?;
    let [firmware, device, ..] = &chain;

    ledger.before(checks::SIGNATURE, budget.spend_signature())?;
    let fixed = SignatureAlgorithm::EcdsaP384Fixed;
    let key = firmware.public_key();
    let signed = key.verify(fixed, report.signed, report.signature);
    ledger.check(checks::SIGNATURE, signed.map_err(GpuRefusal::Signature))?;
    // Both lengths are known to everybody.
    let expected = bench.expected.report_data.as_bytes();
    let answers = bool::from(report.nonce[..].ct_eq(expected));
    ledger.require(checks::NONCE, answers, || GpuRefusal::Nonce.into())?;
    match stated.firmware_id {
        Some(id) => {
            let is_same = firmware_id(firmware) == Some(id);
            ledger.require(checks::FIRMWARE_ID, is_same, || {
                GpuRefusal::FirmwareId.into()
            })?;
        }
        // Drivers before 550 do not state it. Whether that is wanted, the policy says.
        None => ledger.not_applicable(checks::FIRMWARE_ID),
    }
    let id = hex_number(device.serial());
    let is_new = !bench.devices_before.contains(&id);
    ledger.require(checks::ONCE, is_new, || {
        GpuRefusal::Twice { id: id.clone() }.into()
    })?;
    if bench.expected.init_data.is_some() {
        let tee = Tee::Nvidia;
        return ledger.check(checks::INIT_DATA, Err(Refusal::InitDataUnbound { tee }));
    }
    ledger.not_applicable(checks::INIT_DATA);
    let measurements = report.measurements.iter();
    Ok(Found {
        anchor,
        facts: Facts::Gpu(Box::new(GpuFacts {
            name: firmware.common_name().unwrap_or_default(),
            id,
            measurements: measurements
                .map(|(index, value)| (*index, value.to_vec()))
                .collect(),
            record: report.record.to_vec(),
            vbios: stated.vbios,
            driver: stated.driver,
            board: stated.board,
            firmware_id: stated.firmware_id.copied(),
        })),
    })
}

/// What the maker's part of the report says.
struct Stated<'a> {
    vbios: Option<String>,
    driver: Option<String>,
    board: Option<String>,
    firmware_id: Option<&'a [u8; 48]>,
}

impl<'a> Stated<'a> {
    fn read(report: &SpdmReport<'a>) -> Result<Self, GpuRefusal> {
        Ok(Self {
            vbios: report.vbios_version()?,
            driver: report.driver_version()?,
            board: report.board()?,
            firmware_id: report.firmware_id()?,
        })
    }
}

fn parse<'a>(report: &'a [u8], ledger: &mut Ledger) -> Result<SpdmReport<'a>, Refusal> {
    match SpdmReport::parse(report) {
        Ok(report) => {
            ledger.pass(checks::REQUEST);
            ledger.pass(checks::ANSWER);
            Ok(report)
        }
        Err(fault) => {
            let name = match fault {
                SpdmMalformed::Request(_) => checks::REQUEST,
                SpdmMalformed::TooLong { .. } | SpdmMalformed::Answer(_) => checks::ANSWER,
                SpdmMalformed::Opaque(_) => checks::OPAQUE,
            };
            ledger.check(name, Err(GpuRefusal::from(fault)))
        }
    }
}

/// From the pinned root to the key that signed the report.
fn verify_chain(
    pem: &[u8],
    bench: &Bench<'_>,
    budget: &mut Budget,
    ledger: &mut Ledger,
) -> Result<([Certificate; CHAIN_LEN], Anchor), Refusal> {
    let chain = ledger.check(checks::CHAIN, parse_chain(pem, budget))?;
    let anchor = ledger.check(checks::ROOT_PINNED, anchor_of(&chain, bench))?;
    ledger.check(checks::CHAIN_FORM, check_form(&chain))?;
    let signatures = check_signatures(&chain, bench, budget);
    ledger.check(checks::CHAIN_SIGNATURES, signatures)?;
    let expired = CHAIN
        .into_iter()
        .zip(&chain)
        .find(|(_, certificate)| !certificate.is_valid_at(bench.now_secs));
    let dates = expired.map_or(Ok(()), |(which, _)| Err(GpuRefusal::Dates { which }));
    ledger.check(checks::CHAIN_DATES, dates)?;
    Ok((chain, anchor))
}

fn parse_chain(pem: &[u8], budget: &mut Budget) -> Result<[Certificate; CHAIN_LEN], Refusal> {
    let ders = split_pem(pem, CHAIN_LEN).ok_or(GpuRefusal::Pem)?;
    if ders.len() != CHAIN_LEN {
        return Err(GpuRefusal::Count.into());
    }
    let mut chain = Vec::with_capacity(CHAIN_LEN);
    for (which, der) in CHAIN.into_iter().zip(&ders) {
        let parsed = Certificate::parse(der, budget);
        chain.push(parsed.map_err(|fault| GpuRefusal::Certificate { which, fault })?);
    }
    <[Certificate; CHAIN_LEN]>::try_from(chain).map_err(|_| GpuRefusal::Count.into())
}

fn anchor_of(chain: &[Certificate; CHAIN_LEN], bench: &Bench<'_>) -> Result<Anchor, GpuRefusal> {
    let [.., root] = chain;
    let test = bench.policy.danger_test_anchors();
    if *root.sha256() == NVIDIA_ROOT {
        Ok(Anchor::Vendor)
    } else if test.value.contains(root.sha256()) {
        Ok(Anchor::Test)
    } else {
        Err(GpuRefusal::Root)
    }
}

/// Four authorities that may sign what is below them, and a key that signs data and no certificate.
fn check_form(chain: &[Certificate; CHAIN_LEN]) -> Result<(), GpuRefusal> {
    for (place, (which, certificate)) in (0u8..).zip(CHAIN.into_iter().zip(chain)) {
        let refuse = |fault| Err(GpuRefusal::Form { which, fault });
        if !certificate.is_version_3() {
            return refuse("is not of version 3");
        }
        let is_known = |oid: ObjectIdentifier| oid == BasicConstraints::OID || oid == KeyUsage::OID;
        if !certificate.critical_extensions().all(is_known) {
            return refuse("has a critical extension that is not known here");
        }
        match (place.checked_sub(1), certificate.authority()) {
            (None, None) if certificate.may_sign_data() => {}
            (None, None) => return refuse("may not sign data"),
            (None, Some(_)) => return refuse("is an authority"),
            (Some(below), Some(path)) if path.allows(below) => {
                if !certificate.may_sign_certificates() {
                    return refuse("may not sign certificates");
                }
            }
            (Some(_), _) => return refuse("is no authority for the chain below it"),
        }
    }
    Ok(())
}

/// Each by the next, under the name that the next has; the root by itself, which its pin implies for
/// NVIDIA's, and a test anchor is pinned by whoever wrote the policy. From the root down: a memo
/// remembers nothing that is not below it.
fn check_signatures(
    chain: &[Certificate; CHAIN_LEN],
    bench: &Bench<'_>,
    budget: &mut Budget,
) -> Result<(), Refusal> {
    let [_, device, provisioner, family, root] = chain;
    let issuers = [device, provisioner, family, root, root];
    for ((which, certificate), issuer) in CHAIN.into_iter().zip(chain).zip(issuers).rev() {
        if certificate.issuer() != issuer.subject() {
            let fault = "names another issuer than the next";
            return Err(GpuRefusal::Form { which, fault }.into());
        }
        budget.spend_signature()?;
        let algorithm = SignatureAlgorithm::EcdsaP384;
        certificate
            .verify_signed_by(issuer, algorithm, bench.collateral.memo)
            .map_err(|fault| GpuRefusal::ChainSignature { which, fault })?;
    }
    Ok(())
}

/// The digest of the firmware that the key was made for.
fn firmware_id(certificate: &Certificate) -> Option<&[u8; 48]> {
    let id = certificate.extension(&DICE_COMPOSITE_ID)?;
    let (before, digest) = id.split_last_chunk::<48>()?;
    before.ends_with(DIGEST_HEADER).then_some(digest)
}

/// A number in lower-case hexadecimal, without the zeros before it.
fn hex_number(bytes: &[u8]) -> String {
    let first = bytes.iter().position(|byte| *byte != 0);
    let number = first.and_then(|first| bytes.get(first..));
    base16ct::lower::encode_string(number.unwrap_or_default())
}
