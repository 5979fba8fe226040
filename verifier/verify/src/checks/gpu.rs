//! The checks of NVIDIA devices beside a confidential VM. Numbers are those of `docs/verification.md`.

use super::CheckName;

const fn numbered(number: u8, name: &'static str) -> CheckName {
    CheckName { number, name }
}

pub(crate) const IN_POLICY: CheckName = CheckName::unnumbered("gpu.in-policy");
pub(crate) const FORM: CheckName = CheckName::unnumbered("gpu.form");
pub(crate) const ADDITIONAL_EVIDENCE: CheckName = CheckName::unnumbered("gpu.additional-evidence");
pub(crate) const REQUEST: CheckName = numbered(1, "gpu.request");
pub(crate) const ANSWER: CheckName = numbered(2, "gpu.answer");
pub(crate) const OPAQUE: CheckName = numbered(3, "gpu.opaque-data");
pub(crate) const CHAIN: CheckName = numbered(4, "gpu.chain");
pub(crate) const ROOT_PINNED: CheckName = numbered(5, "gpu.root-pinned");
pub(crate) const CHAIN_FORM: CheckName = numbered(6, "gpu.chain-form");
pub(crate) const CHAIN_SIGNATURES: CheckName = numbered(7, "gpu.chain-signatures");
pub(crate) const CHAIN_DATES: CheckName = numbered(8, "gpu.chain-dates");
pub(crate) const SIGNATURE: CheckName = numbered(9, "gpu.signature");
pub(crate) const NONCE: CheckName = numbered(10, "gpu.nonce");
pub(crate) const FIRMWARE_ID: CheckName = numbered(11, "gpu.firmware-id");
pub(crate) const ONCE: CheckName = numbered(12, "gpu.once");
pub(crate) const INIT_DATA: CheckName = CheckName::unnumbered("gpu.init-data");
pub(crate) const MODEL: CheckName = numbered(13, "gpu.model");
pub(crate) const DEVICE_ID: CheckName = numbered(14, "gpu.device-id");
pub(crate) const VBIOS: CheckName = numbered(15, "gpu.vbios");
pub(crate) const DRIVER: CheckName = numbered(16, "gpu.driver");
pub(crate) const FIRMWARE_WANTED: CheckName = numbered(11, "gpu.firmware-wanted");
pub(crate) const MEASUREMENTS: CheckName = numbered(17, "gpu.measurements");
pub(crate) const RIM_SIGNATURE: CheckName = numbered(18, "gpu.rim-signature");
pub(crate) const REVOCATION: CheckName = numbered(19, "gpu.revocation");

/// All of them, in the order in which they are made.
pub const CHECKS: &[CheckName] = &[
    IN_POLICY,
    FORM,
    ADDITIONAL_EVIDENCE,
    REQUEST,
    ANSWER,
    OPAQUE,
    CHAIN,
    ROOT_PINNED,
    CHAIN_FORM,
    CHAIN_SIGNATURES,
    CHAIN_DATES,
    SIGNATURE,
    NONCE,
    FIRMWARE_ID,
    ONCE,
    INIT_DATA,
    MODEL,
    DEVICE_ID,
    VBIOS,
    DRIVER,
    FIRMWARE_WANTED,
    MEASUREMENTS,
    RIM_SIGNATURE,
    REVOCATION,
];
