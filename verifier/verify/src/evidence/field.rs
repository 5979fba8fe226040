//! Bytes in the members of evidence's JSON: bounded, and paid for before they are decoded.

use crate::authenticity::Refusal;
use crate::budget::Budget;
use base64ct::{Base64, Base64Url, Encoding};

/// Padded standard base64 of at most `max` bytes.
pub(super) fn base64(
    field: &'static str,
    text: &str,
    max: usize,
    budget: &mut Budget,
) -> Result<Vec<u8>, Refusal> {
    // Four characters are three bytes, and the last may be up to two bytes fewer.
    pay(field, text.len() / 4 * 3, max.saturating_add(2), budget)?;
    Base64::decode_vec(text).map_err(|_| malformed(field, "is not standard base64"))
}

/// Padded base64url of at most `max` bytes.
pub(super) fn base64url(
    field: &'static str,
    text: &str,
    max: usize,
    budget: &mut Budget,
) -> Result<Vec<u8>, Refusal> {
    pay(field, text.len() / 4 * 3, max.saturating_add(2), budget)?;
    Base64Url::decode_vec(text).map_err(|_| malformed(field, "is not padded base64url"))
}

/// Hexadecimal of at most `max` bytes, in either case.
pub(super) fn hexadecimal(
    field: &'static str,
    text: &str,
    max: usize,
    budget: &mut Budget,
) -> Result<Vec<u8>, Refusal> {
    pay(field, text.len() / 2, max, budget)?;
    base16ct::mixed::decode_vec(text)
        .map_err(|_| malformed(field, "is not whole bytes in hexadecimal"))
}

fn pay(field: &'static str, len: usize, max: usize, budget: &mut Budget) -> Result<(), Refusal> {
    if len > max {
        return Err(malformed(field, "is longer than any"));
    }
    budget.spend_bytes(len).map_err(Refusal::from)
}

fn malformed(field: &'static str, fault: &'static str) -> Refusal {
    Refusal::FieldMalformed { field, fault }
}
