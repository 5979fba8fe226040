//! The checks of `sample` evidence. None has a number: it proves nothing.

use super::CheckName;

pub(crate) const ACCEPTED: CheckName = CheckName::unnumbered("sample.accepted");
pub(crate) const HARDWARE_SIGNATURE: CheckName = CheckName::unnumbered("sample.hardware-signature");
pub(crate) const ADDITIONAL_EVIDENCE: CheckName =
    CheckName::unnumbered("sample.additional-evidence");
pub(crate) const INIT_DATA: CheckName = CheckName::unnumbered("sample.init-data");
pub(crate) const FORM: CheckName = CheckName::unnumbered("sample.form");
pub(crate) const REPORT_DATA: CheckName = CheckName::unnumbered("sample.report-data");
pub(crate) const SVN: CheckName = CheckName::unnumbered("sample.svn");
pub(crate) const DEBUG: CheckName = CheckName::unnumbered("sample.debug");

/// All of them, in the order in which they are made.
pub const CHECKS: &[CheckName] = &[
    ACCEPTED,
    FORM,
    ADDITIONAL_EVIDENCE,
    HARDWARE_SIGNATURE,
    INIT_DATA,
    REPORT_DATA,
    SVN,
    DEBUG,
];
