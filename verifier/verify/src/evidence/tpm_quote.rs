//! A TPM's quote as the KBS forms carry it: statement and signature in hexadecimal, and the PCRs of
//! the SHA-256 bank, all 24 of them. Only those that the quote selects are ever read.

use super::field::hexadecimal;
use super::tpms_attest::PCR_COUNT;
use crate::authenticity::Refusal;
use crate::budget::Budget;
use serde::Deserialize;
use serde_json::{Value, json};
use std::borrow::Cow;

/// The longest signature is that of an RSA key of 4096 bits.
pub(super) const MAX_SIGNATURE_LEN: usize = 600;
/// As [`super::tpms_attest`] reads.
pub(super) const MAX_MESSAGE_LEN: usize = 1024;

/// A quote, its signature, and the PCRs that it is said to be over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TpmQuote {
    /// `TPMS_ATTEST`.
    pub message: Vec<u8>,
    /// The signature, in the form of its evidence.
    pub signature: Vec<u8>,
    /// The PCRs of the SHA-256 bank.
    pub pcrs: [[u8; 32]; PCR_COUNT],
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct QuoteForm<'a> {
    #[serde(borrow)]
    signature: Cow<'a, str>,
    #[serde(borrow)]
    message: Cow<'a, str>,
    #[serde(borrow)]
    pcrs: Vec<Cow<'a, str>>,
}

impl TpmQuote {
    pub(super) fn read(form: &QuoteForm<'_>, budget: &mut Budget) -> Result<Self, Refusal> {
        Ok(Self {
            message: hexadecimal("message", &form.message, MAX_MESSAGE_LEN, budget)?,
            signature: hexadecimal("signature", &form.signature, MAX_SIGNATURE_LEN, budget)?,
            pcrs: pcrs(&form.pcrs)?,
        })
    }

    pub(super) fn to_form(&self) -> Value {
        let hex = |bytes: &[u8]| base16ct::lower::encode_string(bytes);
        json!({
            "signature": hex(&self.signature),
            "message": hex(&self.message),
            "pcrs": self.pcrs.iter().map(|pcr| hex(pcr)).collect::<Vec<_>>(),
        })
    }
}

/// All 24 of them, in hexadecimal.
pub(super) fn pcrs(texts: &[Cow<'_, str>]) -> Result<[[u8; 32]; PCR_COUNT], Refusal> {
    let malformed = |fault| Refusal::FieldMalformed {
        field: "pcrs",
        fault,
    };
    if texts.len() != PCR_COUNT {
        return Err(malformed("has not 24 values"));
    }
    let mut pcrs = [[0; 32]; PCR_COUNT];
    for (pcr, text) in pcrs.iter_mut().zip(texts) {
        let decoded = base16ct::mixed::decode(text.as_bytes(), pcr);
        if decoded.map(<[u8]>::len) != Ok(32) {
            return Err(malformed("has a value that is not 32 bytes in hexadecimal"));
        }
    }
    Ok(pcrs)
}
