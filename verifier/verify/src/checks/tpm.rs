//! The checks of a TPM 2.0 alone. Numbers are those of `docs/verification.md`.

use super::{CheckName, QuoteChecks};

const fn numbered(number: u8, name: &'static str) -> CheckName {
    CheckName { number, name }
}

pub(crate) const IN_POLICY: CheckName = CheckName::unnumbered("tpm.in-policy");
pub(crate) const FORM: CheckName = CheckName::unnumbered("tpm.form");
pub(crate) const ADDITIONAL_EVIDENCE: CheckName = CheckName::unnumbered("tpm.additional-evidence");

pub(crate) const AK_AREA: CheckName = numbered(1, "tpm.ak-area");
pub(crate) const AK_ATTRIBUTES: CheckName = numbered(2, "tpm.ak-attributes");
pub(crate) const AK_BOUND: CheckName = numbered(3, "tpm.ak-bound");
pub(crate) const AK_CHAIN: CheckName = numbered(4, "tpm.ak-chain");
pub(crate) const AK_AUTHORITIES: CheckName = numbered(5, "tpm.ak-authorities");
pub(crate) const AK_DATES: CheckName = numbered(6, "tpm.ak-dates");
pub(crate) const AK_CERTIFICATE: CheckName = numbered(7, "tpm.ak-certificate");
pub(crate) const AK_REVOCATION: CheckName = numbered(8, "tpm.ak-revocation");
pub(crate) const QUOTE: QuoteChecks = QuoteChecks {
    magic: numbered(9, "tpm.quote-magic"),
    kind: numbered(10, "tpm.quote-type"),
    form: numbered(11, "tpm.quote-form"),
    signature: numbered(12, "tpm.quote-signature"),
    nonce: numbered(13, "tpm.quote-nonce"),
    selection: numbered(14, "tpm.pcr-selection"),
    digest: numbered(15, "tpm.pcr-digest"),
};
pub(crate) const INIT_DATA: CheckName = numbered(16, "tpm.init-data");
pub(crate) const INIT_DATA_WANTED: CheckName = numbered(16, "tpm.init-data-wanted");
pub(crate) const EVENT_LOG: CheckName = numbered(17, "tpm.event-log");
pub(crate) const PCRS: CheckName = numbered(18, "tpm.pcrs");

/// All of them, in the order in which they are made.
pub const CHECKS: &[CheckName] = &[
    IN_POLICY,
    FORM,
    ADDITIONAL_EVIDENCE,
    AK_AREA,
    AK_ATTRIBUTES,
    AK_BOUND,
    AK_CHAIN,
    AK_AUTHORITIES,
    AK_DATES,
    AK_CERTIFICATE,
    AK_REVOCATION,
    QUOTE.magic,
    QUOTE.kind,
    QUOTE.form,
    QUOTE.signature,
    QUOTE.nonce,
    QUOTE.selection,
    QUOTE.digest,
    INIT_DATA,
    INIT_DATA_WANTED,
    EVENT_LOG,
    PCRS,
];
