//! Evidence with one defect each, made under a test PKI: for each numbered check of
//! `docs/verification.md` at least one report or quote that fails it and nothing else, named for
//! the defect.
//!
//! Keys are drawn anew in each run, so that no vector can be mistaken for a vendor's and none can
//! be reused: what is committed is this generator.
#![forbid(unsafe_code)]
#![expect(
    clippy::expect_used,
    reason = "test code; a test PKI that cannot be made has no other way to say so"
)]

pub mod asn1;
pub mod azure;
pub mod differences;
pub mod gpu;
pub mod keys;
pub mod published;
pub mod snp;
pub mod tdx;
pub mod tpm;

/// What a vector's test says of one for which other checks failed than its own; `tests/vectors/mutants`
/// reads it, line by line.
#[must_use]
pub fn unexpected(vector: &str, check: &str, failed: &[impl AsRef<str>]) -> Option<String> {
    let failed: Vec<&str> = failed.iter().map(AsRef::as_ref).collect();
    let found = failed.join(", ");
    (failed != [check]).then(|| format!("{vector}: {check} was to fail, and [{found}] did"))
}
