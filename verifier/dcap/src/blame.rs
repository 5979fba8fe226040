//! Which check an error of `dcap-qvl` belongs to. It says so in words alone, so that the version is
//! pinned and every row has a vector that fails by it.

use nitride_verify::CheckName;
use nitride_verify::checks::tdx::{
    PCK_CHAIN, PCK_CRL, QE_IDENTITY, QE_IDENTITY_DATES, QE_IDENTITY_SIGNATURE, QE_LEVEL,
    REVOCATION, ROOT_CRL, SEAM_MODULE, TCB_INFO_DATES, TCB_INFO_PLATFORM, TCB_INFO_SIGNATURE,
    TCB_LEVEL, TCB_REVOKED,
};
use nitride_verify::evidence::tdx_quote::TdReport;

/// The first row whose words stand in the error.
const ROWS: &[(&str, CheckName)] = &[
    ("Failed to parse root CA CRL", ROOT_CRL),
    ("Failed to parse PCK CRL", PCK_CRL),
    ("TCBInfo issue date is in the future", TCB_INFO_DATES),
    ("TCBInfo expired", TCB_INFO_DATES),
    ("Failed to parse TCB Info issue date", TCB_INFO_DATES),
    ("Failed to parse TCB Info next update", TCB_INFO_DATES),
    ("Failed to decode TcbInfo", TCB_INFO_SIGNATURE),
    (
        "Certificate chain is too short for TCB Info",
        TCB_INFO_SIGNATURE,
    ),
    (
        "Failed to parse TCB Info leaf certificate",
        TCB_INFO_SIGNATURE,
    ),
    (
        "TCB Info signer must be issued directly",
        TCB_INFO_SIGNATURE,
    ),
    ("Signature is invalid for tcb_info", TCB_INFO_SIGNATURE),
    ("QE Identity issue date is in the future", QE_IDENTITY_DATES),
    ("QE Identity expired", QE_IDENTITY_DATES),
    ("Failed to parse QE Identity issue date", QE_IDENTITY_DATES),
    ("Failed to parse QE Identity next update", QE_IDENTITY_DATES),
    ("Failed to decode QeIdentity", QE_IDENTITY_SIGNATURE),
    (
        "Certificate chain is too short for QE Identity",
        QE_IDENTITY_SIGNATURE,
    ),
    (
        "Failed to parse QE Identity leaf certificate",
        QE_IDENTITY_SIGNATURE,
    ),
    (
        "QE Identity signer must be issued directly",
        QE_IDENTITY_SIGNATURE,
    ),
    (
        "Signature is invalid for qe_identity",
        QE_IDENTITY_SIGNATURE,
    ),
    ("Unsupported QE Identity id/version", QE_IDENTITY),
    ("QE MRSIGNER mismatch", QE_IDENTITY),
    ("QE report validation failed", QE_IDENTITY),
    ("QE ISVPRODID mismatch", QE_IDENTITY),
    ("QE MISCSELECT mismatch", QE_IDENTITY),
    ("QE ATTRIBUTES mismatch", QE_IDENTITY),
    ("from QE Identity", QE_LEVEL),
    ("No TCB levels found in QE Identity", QE_LEVEL),
    ("in QE Identity", QE_LEVEL),
    ("Fmspc mismatch", TCB_INFO_PLATFORM),
    ("Failed to decode TCB FMSPC", TCB_INFO_PLATFORM),
    ("non-TDX TCB info in the collateral", TCB_INFO_PLATFORM),
    ("No TDX module identity with id", TCB_LEVEL),
    ("TDX module TCB level check", TCB_LEVEL),
    ("TDX module identity check", SEAM_MODULE),
    ("Failed to evaluate the current TDX TCB", TCB_LEVEL),
    ("No matching TCB level found", TCB_LEVEL),
    ("component count mismatch", TCB_LEVEL),
    ("Unrecognized TCB status", TCB_LEVEL),
    ("TCB status is invalid: Revoked", TCB_REVOKED),
    ("Collateral expired", TCB_INFO_DATES),
];

/// What the library says when a chain does not hold, whichever chain it is.
pub(crate) const CHAIN: &str = "Failed to verify certificate chain";

/// The check that an error belongs to, told with its causes. One that nobody knows belongs to the chain, without which
/// nothing is known of the platform.
pub(crate) fn check_of(told: &str) -> CheckName {
    if let Some((_, name)) = ROWS.iter().find(|(words, _)| told.contains(words)) {
        return *name;
    }
    let is_about_list = told.contains("Crl") || told.contains("RevocationStatus");
    if told.contains(CHAIN) {
        return match told.contains("CertRevoked") {
            true => REVOCATION,
            false if is_about_list => PCK_CRL,
            false => PCK_CHAIN,
        };
    }
    // The root itself is looked up in its own list before any chain is built.
    if told.contains("CertRevoked") || is_about_list {
        return ROOT_CRL;
    }
    PCK_CHAIN
}

/// Whether the error is the library's opinion of the trust domain's attributes, which is its last step
/// and the verifier's to judge: it has to be in these words, and the attribute has to be as they say.
pub(crate) fn is_about_attributes(told: &str, report: &TdReport) -> bool {
    let bit = |bit: u32| report.td_attributes & (1 << bit) != 0;
    match told {
        "SEPT_VE_DISABLE is not enabled" => !bit(28),
        "TD migration is enabled" => bit(29),
        "SERVTD_EXT is enabled" => bit(17),
        "Reserved bits in TD attributes are set" => true,
        _ => false,
    }
}
