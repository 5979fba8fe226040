//! The checks of SEV-SNP evidence. Numbers are those of the table in `docs/verification.md`.

use super::CheckName;

pub(crate) const IN_POLICY: CheckName = snp(0, "snp.in-policy");
pub(crate) const FORM: CheckName = snp(0, "snp.form");
pub(crate) const ADDITIONAL_EVIDENCE: CheckName = snp(0, "snp.additional-evidence");
pub(crate) const REPORT_LENGTH: CheckName = snp(1, "snp.report-length");
pub(crate) const REPORT_VERSION: CheckName = snp(2, "snp.report-version");
pub(crate) const SIGNATURE_ALGORITHM: CheckName = snp(3, "snp.signature-algorithm");
pub(crate) const SIGNING_KEY: CheckName = snp(4, "snp.signing-key");
pub(crate) const CHIP_KEY_NOT_MASKED: CheckName = snp(4, "snp.chip-key-not-masked");
pub(crate) const PRODUCT: CheckName = snp(5, "snp.product");
pub(crate) const ROOT_PINNED: CheckName = snp(6, "snp.root-pinned");
pub(crate) const ROOT_SELF_SIGNED: CheckName = snp(7, "snp.root-self-signed");
pub(crate) const INTERMEDIATE_SIGNATURE: CheckName = snp(7, "snp.intermediate-signature");
pub(crate) const INTERMEDIATE_KIND: CheckName = snp(8, "snp.intermediate-kind");
pub(crate) const INTERMEDIATE_AUTHORITY: CheckName = snp(8, "snp.intermediate-authority");
pub(crate) const INTERMEDIATE_KEY_USAGE: CheckName = snp(8, "snp.intermediate-key-usage");
pub(crate) const VEK_SIGNATURE: CheckName = snp(9, "snp.vek-signature");
pub(crate) const CRITICAL_EXTENSIONS: CheckName = snp(9, "snp.critical-extensions");
pub(crate) const DATES: CheckName = snp(10, "snp.certificate-dates");
pub(crate) const VEK_VERSION: CheckName = snp(11, "snp.vek-version");
pub(crate) const VEK_KEY: CheckName = snp(11, "snp.vek-key");
pub(crate) const VEK_COMMON_NAME: CheckName = snp(11, "snp.vek-common-name");
pub(crate) const CRL_PRESENT: CheckName = snp(12, "snp.crl-present");
pub(crate) const CRL_SIGNATURE: CheckName = snp(12, "snp.crl-signature");
pub(crate) const CRL_FRESH: CheckName = snp(12, "snp.crl-fresh");
pub(crate) const NOT_REVOKED: CheckName = snp(12, "snp.not-revoked");
pub(crate) const VEK_PRODUCT: CheckName = snp(13, "snp.vek-product");
pub(crate) const CHIP_ID: CheckName = snp(14, "snp.chip-id");
pub(crate) const CSP_ID: CheckName = snp(14, "snp.csp-id");
pub(crate) const REPORTED_TCB: CheckName = snp(15, "snp.reported-tcb");
pub(crate) const SIGNATURE_FORM: CheckName = snp(16, "snp.signature-form");
pub(crate) const SIGNATURE: CheckName = snp(16, "snp.signature");
pub(crate) const RESERVED: CheckName = snp(17, "snp.reserved-fields");
pub(crate) const REQUESTER: CheckName = snp(20, "snp.requester");
pub(crate) const INIT_DATA: CheckName = snp(22, "snp.init-data");
pub(crate) const REPORT_DATA: CheckName = snp(23, "snp.report-data");
pub(crate) const MINIMUM_REPORT_VERSION: CheckName = snp(2, "snp.minimum-report-version");
pub(crate) const SIGNING_KEY_WANTED: CheckName = snp(4, "snp.signing-key-wanted");
pub(crate) const PRODUCT_WANTED: CheckName = snp(5, "snp.product-wanted");
pub(crate) const CSP_ID_WANTED: CheckName = snp(14, "snp.csp-id-wanted");
pub(crate) const POLICY_RESERVED_ONE: CheckName = snp(18, "snp.policy-reserved-one");
pub(crate) const DEBUG: CheckName = snp(18, "snp.debug");
pub(crate) const MIGRATION: CheckName = snp(18, "snp.migration");
pub(crate) const POLICY_ABI: CheckName = snp(19, "snp.policy-abi");
pub(crate) const POLICY_SMT: CheckName = snp(19, "snp.policy-smt");
pub(crate) const POLICY_SINGLE_SOCKET: CheckName = snp(19, "snp.policy-single-socket");
pub(crate) const POLICY_CXL: CheckName = snp(19, "snp.policy-cxl");
pub(crate) const POLICY_AES_256_XTS: CheckName = snp(19, "snp.policy-aes-256-xts");
pub(crate) const POLICY_RAPL_DISABLED: CheckName = snp(19, "snp.policy-rapl-disabled");
pub(crate) const POLICY_CIPHERTEXT_HIDING: CheckName = snp(19, "snp.policy-ciphertext-hiding");
pub(crate) const POLICY_PAGE_SWAP_DISABLED: CheckName = snp(19, "snp.policy-page-swap-disabled");
pub(crate) const VMPL: CheckName = snp(20, "snp.vmpl");
pub(crate) const MEASUREMENT: CheckName = snp(21, "snp.measurement");
pub(crate) const HOST_DATA: CheckName = snp(22, "snp.host-data");
pub(crate) const ID_KEY: CheckName = snp(24, "snp.id-key");
pub(crate) const AUTHOR_KEY: CheckName = snp(24, "snp.author-key");
pub(crate) const AUTHOR_KEY_ENABLED: CheckName = snp(24, "snp.author-key-enabled");
pub(crate) const FAMILY_ID: CheckName = snp(25, "snp.family-id");
pub(crate) const IMAGE_ID: CheckName = snp(25, "snp.image-id");
pub(crate) const GUEST_SVN: CheckName = snp(26, "snp.guest-svn");
pub(crate) const REPORTED_TCB_MINIMUM: CheckName = snp(27, "snp.reported-tcb-minimum");
pub(crate) const COMMITTED_TCB_MINIMUM: CheckName = snp(27, "snp.committed-tcb-minimum");
pub(crate) const LAUNCH_TCB_MINIMUM: CheckName = snp(27, "snp.launch-tcb-minimum");
pub(crate) const COMMITTED_WITHIN_CURRENT: CheckName = snp(28, "snp.committed-within-current");
pub(crate) const REPORTED_WITHIN_CURRENT: CheckName = snp(28, "snp.reported-within-current");
pub(crate) const PROVISIONAL_FIRMWARE: CheckName = snp(28, "snp.provisional-firmware");
pub(crate) const CURRENT_FIRMWARE: CheckName = snp(29, "snp.current-firmware");
pub(crate) const COMMITTED_FIRMWARE: CheckName = snp(29, "snp.committed-firmware");
pub(crate) const PLATFORM_SMT: CheckName = snp(30, "snp.platform-smt");
pub(crate) const PLATFORM_TSME: CheckName = snp(30, "snp.platform-tsme");
pub(crate) const PLATFORM_ECC: CheckName = snp(30, "snp.platform-ecc");
pub(crate) const PLATFORM_RAPL_DISABLED: CheckName = snp(30, "snp.platform-rapl-disabled");
pub(crate) const PLATFORM_CIPHERTEXT_HIDING: CheckName = snp(30, "snp.platform-ciphertext-hiding");
pub(crate) const PLATFORM_ALIAS_CHECK: CheckName = snp(30, "snp.platform-alias-check");
pub(crate) const PLATFORM_TIO: CheckName = snp(30, "snp.platform-tio");
pub(crate) const PLATFORM_UNKNOWN_BITS: CheckName = snp(30, "snp.platform-unknown-bits");
pub(crate) const LAUNCH_MITIGATIONS: CheckName = snp(31, "snp.launch-mitigations");
pub(crate) const CURRENT_MITIGATIONS: CheckName = snp(31, "snp.current-mitigations");
pub(crate) const CHIP_ALLOWED: CheckName = snp(32, "snp.chip-allowed");
pub(crate) const REPORT_ID_PINNED: CheckName = snp(32, "snp.report-id-pinned");
pub(crate) const MIGRATION_AGENT: CheckName = snp(32, "snp.migration-agent");

const fn snp(number: u8, name: &'static str) -> CheckName {
    CheckName { number, name }
}

/// All of them, in the order in which they are made: authenticity first, by number, then what the
/// policy says, by number.
pub const CHECKS: &[CheckName] = &[
    IN_POLICY,
    FORM,
    ADDITIONAL_EVIDENCE,
    REPORT_LENGTH,
    REPORT_VERSION,
    SIGNATURE_ALGORITHM,
    SIGNING_KEY,
    CHIP_KEY_NOT_MASKED,
    PRODUCT,
    ROOT_PINNED,
    ROOT_SELF_SIGNED,
    INTERMEDIATE_SIGNATURE,
    INTERMEDIATE_KIND,
    INTERMEDIATE_AUTHORITY,
    INTERMEDIATE_KEY_USAGE,
    VEK_SIGNATURE,
    CRITICAL_EXTENSIONS,
    DATES,
    VEK_VERSION,
    VEK_KEY,
    VEK_COMMON_NAME,
    CRL_PRESENT,
    CRL_SIGNATURE,
    CRL_FRESH,
    NOT_REVOKED,
    VEK_PRODUCT,
    CHIP_ID,
    CSP_ID,
    REPORTED_TCB,
    SIGNATURE_FORM,
    SIGNATURE,
    RESERVED,
    REQUESTER,
    INIT_DATA,
    REPORT_DATA,
    MINIMUM_REPORT_VERSION,
    SIGNING_KEY_WANTED,
    PRODUCT_WANTED,
    CSP_ID_WANTED,
    POLICY_RESERVED_ONE,
    DEBUG,
    MIGRATION,
    POLICY_ABI,
    POLICY_SMT,
    POLICY_SINGLE_SOCKET,
    POLICY_CXL,
    POLICY_AES_256_XTS,
    POLICY_RAPL_DISABLED,
    POLICY_CIPHERTEXT_HIDING,
    POLICY_PAGE_SWAP_DISABLED,
    VMPL,
    MEASUREMENT,
    HOST_DATA,
    ID_KEY,
    AUTHOR_KEY,
    AUTHOR_KEY_ENABLED,
    FAMILY_ID,
    IMAGE_ID,
    GUEST_SVN,
    REPORTED_TCB_MINIMUM,
    COMMITTED_TCB_MINIMUM,
    LAUNCH_TCB_MINIMUM,
    COMMITTED_WITHIN_CURRENT,
    REPORTED_WITHIN_CURRENT,
    PROVISIONAL_FIRMWARE,
    CURRENT_FIRMWARE,
    COMMITTED_FIRMWARE,
    PLATFORM_SMT,
    PLATFORM_TSME,
    PLATFORM_ECC,
    PLATFORM_RAPL_DISABLED,
    PLATFORM_CIPHERTEXT_HIDING,
    PLATFORM_ALIAS_CHECK,
    PLATFORM_TIO,
    PLATFORM_UNKNOWN_BITS,
    LAUNCH_MITIGATIONS,
    CURRENT_MITIGATIONS,
    CHIP_ALLOWED,
    REPORT_ID_PINNED,
    MIGRATION_AGENT,
];
