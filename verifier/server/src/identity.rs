//! What one machine is known by from one attestation to the next: a claim of its verified evidence, as the
//! operator names it. What a guest says of itself is none.

use crate::revocation::text_of;
use nitride_verify::{Tee, Verdict};
use std::fmt;

/// No identity is longer: a claim's value may be.
const MAX_LEN: usize = 255;

/// A claim that tells machines apart, such as `snp.report_id`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct IdentityClaim {
    tee: Tee,
    name: String,
}

/// One machine: the claim and its value, spelled as for `revoke add vm`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity(String);

impl IdentityClaim {
    /// `TEE.CLAIM`; `None` for any other text.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (tee, name) = text.split_once('.')?;
        let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        (!name.is_empty() && name.bytes().all(fits)).then_some(())?;
        Some(Self {
            tee: Tee::parse(tee)?,
            name: name.to_owned(),
        })
    }

    fn of(&self, verdict: &Verdict) -> Option<Identity> {
        (verdict.tee() == self.tee).then_some(())?;
        let value = text_of(verdict.claims().claim(&self.name)?)?;
        let text = format!("{}.{}={value}", self.tee.as_str(), self.name);
        // A text that could be taken for two is none: in the audit a blank stands after it.
        let is_plain = text.bytes().all(|byte| byte.is_ascii_graphic());
        (is_plain && !value.is_empty() && text.len() <= MAX_LEN).then_some(Identity(text))
    }
}

impl Identity {
    /// The first of `claims` that the machine's own evidence has.
    pub(crate) fn of(claims: &[IdentityClaim], machine: &Verdict) -> Option<Self> {
        claims.iter().find_map(|claim| claim.of(machine))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
impl Identity {
    pub(crate) fn new(text: &str) -> Self {
        Self(text.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_is_named_by_its_tee_and_its_name() {
        assert!(IdentityClaim::parse("snp.report_id").is_some());
        assert!(IdentityClaim::parse("az-snp-vtpm.vm_unique_id").is_some());
        for text in [
            "",
            "snp",
            "snp.",
            ".report_id",
            "sgx2.report_id",
            "snp.Report",
            "snp.a.b",
            "snp.a b",
            "snp.report_id=1",
        ] {
            assert_eq!(IdentityClaim::parse(text), None, "{text:?}");
        }
    }
}
