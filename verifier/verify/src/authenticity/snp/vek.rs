//! The certificate of the key that signed the report: checks 11 and 13 to 15. What AMD certifies
//! about a key stands in extensions of its own (AMD 57230, table 8).

use super::SnpRefusal;
use super::chain::Chain;
use crate::authenticity::Refusal;
use crate::checks::snp as checks;
use crate::collateral::VekId;
use crate::evidence::{SnpProduct, SnpReport, Tcb};
use crate::ledger::Ledger;
use crate::policy::{SigningKey, SnpPolicy};
use crate::x509::Certificate;
use der::Decode;
use der::asn1::{Ia5StringRef, ObjectIdentifier, OctetStringRef, UintRef};

const PRODUCT_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.3704.1.2");
const BOOTLOADER: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.3704.1.3.1");
const TEE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.3704.1.3.2");
const SNP: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.3704.1.3.3");
const MICROCODE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.3704.1.3.8");
const FMC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.3704.1.3.9");
const HARDWARE_ID: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.3704.1.4");
const CSP_ID: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.3704.1.5");

/// The head of a `SubjectPublicKeyInfo` with a point over P-384, not compressed.
const P384_SPKI: &[u8] = b"\x30\x76\x30\x10\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\
    \x06\x05\x2b\x81\x04\x00\x22\x03\x62\x00\x04";

/// Check 11.
pub(super) fn form(
    vek: &Certificate,
    common_name: &'static str,
    ledger: &mut Ledger,
) -> Result<(), Refusal> {
    ledger.require(checks::VEK_VERSION, vek.is_version_3(), || {
        SnpRefusal::VekVersion.into()
    })?;
    let spki = vek.public_key().as_spki();
    ledger.require(checks::VEK_KEY, spki.starts_with(P384_SPKI), || {
        SnpRefusal::VekKey.into()
    })?;
    let found = vek.common_name().unwrap_or_default();
    ledger.require(checks::VEK_COMMON_NAME, found == common_name, || {
        let wanted = common_name;
        SnpRefusal::VekCommonName { found, wanted }.into()
    })
}

/// Checks 13 to 15. Returns which cloud a VLEK is for.
pub(super) fn verify(
    chain: &Chain,
    report: &SnpReport,
    signing_key: SigningKey,
    policy: &SnpPolicy,
    ledger: &mut Ledger,
) -> Result<Option<String>, Refusal> {
    let vek = &chain.vek;
    let wanted = chain.product;
    ledger.require(checks::VEK_PRODUCT, product(vek) == Some(wanted), || {
        let found = text(vek, &PRODUCT_NAME).unwrap_or_default();
        SnpRefusal::VekProduct { found, wanted }.into()
    })?;
    let csp_id = match signing_key {
        SigningKey::Vcek => {
            chip_id(vek, report, wanted, policy, ledger)?;
            ledger.not_applicable(checks::CSP_ID);
            None
        }
        SigningKey::Vlek => {
            ledger.not_applicable(checks::CHIP_ID);
            let csp_id = text(vek, &CSP_ID).filter(|id| !id.is_empty());
            Some(ledger.check(checks::CSP_ID, csp_id.ok_or(SnpRefusal::CspId))?)
        }
    };
    ledger.check(checks::REPORTED_TCB, tcb_matches(vek, report, wanted))?;
    Ok(csp_id)
}

/// The product that the certificate names.
pub(super) fn product(vek: &Certificate) -> Option<SnpProduct> {
    SnpProduct::of_certificate(&text(vek, &PRODUCT_NAME)?)
}

/// What the certificate says of its key, before anything about it is verified.
pub(crate) fn vek_id(vek: &Certificate) -> Option<VekId> {
    let (signing_key, chip_id) = match vek.common_name()?.as_str() {
        "SEV-VCEK" => (SigningKey::Vcek, hardware_id(vek)?.to_vec()),
        "SEV-VLEK" => (SigningKey::Vlek, Vec::new()),
        _ => return None,
    };
    let component = |oid| number(vek, oid);
    Some(VekId {
        product: product(vek)?,
        signing_key,
        chip_id,
        tcb: Tcb {
            fmc: component(&FMC),
            bootloader: component(&BOOTLOADER)?,
            tee: component(&TEE)?,
            snp: component(&SNP)?,
            microcode: component(&MICROCODE)?,
        },
    })
}

/// Check 14 for the chip's own key. A host that masks the chip id hides which chip it is, and with
/// it whether this is the chip that the certificate is for.
fn chip_id(
    vek: &Certificate,
    report: &SnpReport,
    product: SnpProduct,
    policy: &SnpPolicy,
    ledger: &mut Ledger,
) -> Result<(), Refusal> {
    let accept_masked = &policy.danger_accept_masked_chip_id;
    if report.chip_id == [0; 64] {
        let line = accept_masked.line;
        if accept_masked.value {
            ledger.waive(checks::CHIP_ID, line);
            return Ok(());
        }
        return ledger.check(checks::CHIP_ID, Err(SnpRefusal::ChipIdMasked { line }));
    }
    let is_this = hardware_id(vek).is_some_and(|id| is_chip(id, report, product));
    ledger.require(checks::CHIP_ID, is_this, || SnpRefusal::ChipId.into())
}

fn is_chip(hardware_id: &[u8], report: &SnpReport, product: SnpProduct) -> bool {
    let used = product.chip_id_len();
    let (id, rest) = report.chip_id.split_at(used);
    hardware_id == id && rest.iter().all(|byte| *byte == 0)
}

/// Check 15.
fn tcb_matches(
    vek: &Certificate,
    report: &SnpReport,
    product: SnpProduct,
) -> Result<(), SnpRefusal> {
    let tcb = Tcb::read(report.reported_tcb, product);
    let tcb = tcb.ok_or(SnpRefusal::Reserved("bytes of the reported TCB"))?;
    for (component, oid, reported) in [
        ("fmc", &FMC, tcb.fmc),
        ("bootloader", &BOOTLOADER, Some(tcb.bootloader)),
        ("tee", &TEE, Some(tcb.tee)),
        ("snp", &SNP, Some(tcb.snp)),
        ("microcode", &MICROCODE, Some(tcb.microcode)),
    ] {
        let certified = number(vek, oid);
        // A product without the component certifies none; one with it has to.
        if certified != reported {
            let told = |value: Option<u8>| value.map_or("none".to_owned(), |v| v.to_string());
            return Err(SnpRefusal::ReportedTcb {
                component,
                reported: told(reported),
                certified: told(certified),
            });
        }
    }
    Ok(())
}

fn text(vek: &Certificate, oid: &ObjectIdentifier) -> Option<String> {
    let text = Ia5StringRef::from_der(vek.extension(oid)?).ok()?;
    Some(text.as_str().to_owned())
}

fn number(vek: &Certificate, oid: &ObjectIdentifier) -> Option<u8> {
    match UintRef::from_der(vek.extension(oid)?).ok()?.as_bytes() {
        [number] => Some(*number),
        _ => None,
    }
}

/// The chip's id stands bare in the extension, or as a string of octets in it.
fn hardware_id(vek: &Certificate) -> Option<&[u8]> {
    let value = vek.extension(&HARDWARE_ID)?;
    if matches!(value.len(), 8 | 64) {
        return Some(value);
    }
    let wrapped = <&OctetStringRef>::from_der(value).ok()?;
    Some(wrapped.as_bytes())
}
