//! The checks of TDX quotes. Numbers are those of `docs/verification.md`.

use super::CheckName;

const fn numbered(number: u8, name: &'static str) -> CheckName {
    CheckName { number, name }
}

/// The policy has a section for TDX.
pub const IN_POLICY: CheckName = CheckName::unnumbered("tdx.in-policy");
/// The JSON form.
pub const FORM: CheckName = CheckName::unnumbered("tdx.form");
/// No evidence of further devices.
pub const ADDITIONAL_EVIDENCE: CheckName = CheckName::unnumbered("tdx.additional-evidence");

// Authenticity, by this crate.

/// Version 4 or 5, TDX, ECDSA P-256, Intel's quoting enclave.
pub const HEADER: CheckName = numbered(1, "tdx.header");
/// A version 5 body of a known type, of that type's size.
pub const BODY: CheckName = numbered(2, "tdx.body");
/// No more unsigned bytes after the quote than a buffer's rest.
pub const TRAILING_BYTES: CheckName = numbered(3, "tdx.trailing-bytes");
/// Every part is whole, nothing lies between them, and the PCK chain is three certificates.
pub const LAYOUT: CheckName = CheckName::unnumbered("tdx.layout");
/// The certificates of the PCK chain are valid at this time.
pub const PCK_DATES: CheckName = numbered(4, "tdx.pck-dates");
/// The PCK signed the quoting enclave's report.
pub const QE_REPORT_SIGNATURE: CheckName = numbered(6, "tdx.qe-report-signature");
/// The quoting enclave's report binds the attestation key.
pub const QE_REPORT_DATA: CheckName = numbered(7, "tdx.qe-report-data");
/// The attestation key signed header and body.
pub const QUOTE_SIGNATURE: CheckName = numbered(8, "tdx.quote-signature");
/// The quote binds challenge and key.
pub const REPORT_DATA: CheckName = numbered(21, "tdx.report-data");
/// The quote binds the init-data that came with it.
pub const INIT_DATA: CheckName = numbered(19, "tdx.init-data");

// Authenticity, by whoever judges Intel's collateral.

/// Intel's collateral for this platform is at hand.
pub const COLLATERAL: CheckName = CheckName::unnumbered("tdx.collateral");
/// The chain's root is pinned.
pub const ROOT: CheckName = numbered(4, "tdx.root");
/// The PCK certificate chains to that root.
pub const PCK_CHAIN: CheckName = numbered(4, "tdx.pck-chain");
/// The root's revocation list is signed and fresh.
pub const ROOT_CRL: CheckName = numbered(5, "tdx.root-crl");
/// The PCK CA's revocation list is signed and fresh.
pub const PCK_CRL: CheckName = numbered(5, "tdx.pck-crl");
/// No certificate of the chain is revoked.
pub const REVOCATION: CheckName = numbered(5, "tdx.revocation");
/// The identity of the quoting enclave is signed by Intel.
pub const QE_IDENTITY_SIGNATURE: CheckName = numbered(9, "tdx.qe-identity-signature");
/// It is valid at this time.
pub const QE_IDENTITY_DATES: CheckName = numbered(9, "tdx.qe-identity-dates");
/// The quoting enclave is the one that it describes.
pub const QE_IDENTITY: CheckName = numbered(9, "tdx.qe-identity");
/// The quoting enclave reaches one of its levels.
pub const QE_LEVEL: CheckName = numbered(9, "tdx.qe-level");
/// The TCB information is signed by Intel.
pub const TCB_INFO_SIGNATURE: CheckName = numbered(10, "tdx.tcb-info-signature");
/// It is valid at this time.
pub const TCB_INFO_DATES: CheckName = numbered(10, "tdx.tcb-info-dates");
/// It is of TDX and of this platform: FMSPC and PCEID.
pub const TCB_INFO_PLATFORM: CheckName = numbered(10, "tdx.tcb-info-platform");
/// The platform and the TDX module reach one of its levels.
pub const TCB_LEVEL: CheckName = numbered(11, "tdx.tcb-level");
/// That level is not revoked.
pub const TCB_REVOKED: CheckName = numbered(12, "tdx.tcb-revoked");
/// The TDX module is signed and configured as the TCB information says.
pub const SEAM_MODULE: CheckName = numbered(14, "tdx.seam-module");

// Appraisal.

/// The TCB's status is wanted.
pub const TCB_STATUS: CheckName = numbered(12, "tdx.tcb-status");
/// The TCB's advisories are accepted.
pub const ADVISORIES: CheckName = numbered(12, "tdx.advisories");
/// Intel's evaluation is recent enough.
pub const TCB_EVALUATION: CheckName = numbered(13, "tdx.tcb-evaluation");
/// The TDX module's measurement is wanted.
pub const MR_SEAM: CheckName = numbered(14, "tdx.mr-seam");
/// The TDX module's signer is wanted.
pub const MR_SIGNER_SEAM: CheckName = numbered(14, "tdx.mr-signer-seam");
/// The TDX module's attributes are wanted.
pub const SEAM_ATTRIBUTES: CheckName = numbered(14, "tdx.seam-attributes");
/// The host may not debug the trust domain.
pub const DEBUG: CheckName = numbered(15, "tdx.debug");
/// The host may not profile the trust domain.
pub const PROFILING: CheckName = numbered(15, "tdx.profiling");
/// No attribute is set that TDX 1.5 does not define.
pub const RESERVED_ATTRIBUTES: CheckName = numbered(15, "tdx.reserved-attributes");
/// The trust domain cannot be migrated.
pub const MIGRATABLE: CheckName = numbered(15, "tdx.migratable");
/// The trust domain sees no exception when the host takes a page away.
pub const SEPT_VE_DISABLE: CheckName = numbered(15, "tdx.sept-ve-disable");
/// No attribute is set but those that have a check of their own, and those allowed.
pub const ATTRIBUTES_ALLOWED: CheckName = numbered(15, "tdx.attributes-allowed");
/// The trust domain has the features that it must have.
pub const XFAM_REQUIRED: CheckName = numbered(16, "tdx.xfam-required");
/// It has no other features than those that it may have.
pub const XFAM_ALLOWED: CheckName = numbered(16, "tdx.xfam-allowed");
/// The trust domain's measurement is a reference value.
pub const MR_TD: CheckName = numbered(17, "tdx.mr-td");
/// The run-time registers are those of that reference value, and it covers what is required.
pub const RTMR: CheckName = numbered(18, "tdx.rtmr");
/// The event log replays to the run-time registers.
pub const EVENT_LOG: CheckName = numbered(18, "tdx.event-log");
/// The configuration that the host stated is wanted.
pub const MR_CONFIG_ID: CheckName = numbered(19, "tdx.mr-config-id");
/// The owner that the host stated is wanted.
pub const MR_OWNER: CheckName = numbered(19, "tdx.mr-owner");
/// The owner's configuration that the host stated is wanted.
pub const MR_OWNER_CONFIG: CheckName = numbered(19, "tdx.mr-owner-config");
/// No service trust domain is bound, or a wanted one.
pub const MR_SERVICE_TD: CheckName = numbered(20, "tdx.mr-service-td");
/// The platform is one of those wanted.
pub const PLATFORM_INSTANCE: CheckName = numbered(22, "tdx.platform-instance");
/// Simultaneous multithreading is as wanted.
pub const SMT: CheckName = numbered(22, "tdx.smt");
/// Whether packages can be added to the platform is as wanted.
pub const DYNAMIC_PLATFORM: CheckName = numbered(22, "tdx.dynamic-platform");
/// Whether Intel keeps the platform's root keys is as wanted.
pub const CACHED_KEYS: CheckName = numbered(22, "tdx.cached-keys");

/// All of them, in the order in which they are made.
pub const CHECKS: &[CheckName] = &[
    IN_POLICY,
    FORM,
    ADDITIONAL_EVIDENCE,
    HEADER,
    BODY,
    TRAILING_BYTES,
    LAYOUT,
    PCK_DATES,
    QE_REPORT_SIGNATURE,
    QE_REPORT_DATA,
    QUOTE_SIGNATURE,
    REPORT_DATA,
    INIT_DATA,
    COLLATERAL,
    ROOT,
    ROOT_CRL,
    TCB_INFO_DATES,
    TCB_INFO_SIGNATURE,
    QE_IDENTITY_DATES,
    QE_IDENTITY_SIGNATURE,
    PCK_CHAIN,
    PCK_CRL,
    REVOCATION,
    QE_IDENTITY,
    QE_LEVEL,
    TCB_INFO_PLATFORM,
    TCB_LEVEL,
    SEAM_MODULE,
    TCB_REVOKED,
    TCB_STATUS,
    ADVISORIES,
    TCB_EVALUATION,
    MR_SEAM,
    MR_SIGNER_SEAM,
    SEAM_ATTRIBUTES,
    DEBUG,
    PROFILING,
    RESERVED_ATTRIBUTES,
    MIGRATABLE,
    SEPT_VE_DISABLE,
    ATTRIBUTES_ALLOWED,
    XFAM_REQUIRED,
    XFAM_ALLOWED,
    MR_TD,
    RTMR,
    EVENT_LOG,
    MR_CONFIG_ID,
    MR_OWNER,
    MR_OWNER_CONFIG,
    MR_SERVICE_TD,
    PLATFORM_INSTANCE,
    SMT,
    DYNAMIC_PLATFORM,
    CACHED_KEYS,
];

/// Those that whoever judges Intel's collateral makes, in order.
pub const BY_COLLATERAL: &[CheckName] = &[
    COLLATERAL,
    ROOT,
    ROOT_CRL,
    TCB_INFO_DATES,
    TCB_INFO_SIGNATURE,
    QE_IDENTITY_DATES,
    QE_IDENTITY_SIGNATURE,
    PCK_CHAIN,
    PCK_CRL,
    REVOCATION,
    QE_IDENTITY,
    QE_LEVEL,
    TCB_INFO_PLATFORM,
    TCB_LEVEL,
    SEAM_MODULE,
    TCB_REVOKED,
];
