//! What tells one machine from another of its image: which claims of verified evidence do, and what their
//! values have to be. What a guest says of itself is none.

use nitride_verify::{Tee, Verdict};
use serde_json::Value;
use std::fmt;
use thiserror::Error;

/// What evidence proves of one machine among those of its image, and who has the say over it
/// (docs/decisions/0040). A measurement is not among them: all machines of an image have it.
const SAYING_WHICH: [(Tee, &[&str]); 6] = [
    (Tee::Tpm, &["ak_sha256"]),
    (
        Tee::Snp,
        &[
            "author_key_digest",
            "chip_id",
            "family_id",
            "id_key_digest",
            "image_id",
            "init_data",
            "report_id",
        ],
    ),
    (
        Tee::Tdx,
        &[
            "mr_config_id",
            "mr_owner",
            "mr_owner_config",
            "platform_instance",
        ],
    ),
    (Tee::AzSnpVtpm, &["vm_unique_id"]),
    (Tee::AzTdxVtpm, &["vm_unique_id"]),
    (Tee::Sample, &["svn"]),
];
/// Whoever launches a machine writes these, so that they say who it is beside [`KEYS_OWN`] alone, which
/// says who launched it.
pub(crate) const WITHIN_A_KEYS: [&str; 2] = ["family_id", "image_id"];
pub(crate) const KEYS_OWN: &str = "id_key_digest";
/// A host's, and of every machine that runs there.
const HOSTS: [&str; 2] = ["chip_id", "platform_instance"];
/// No claim that says which machine it is has a longer text.
const MAX_VALUE_LEN: usize = 256;

/// A claim that tells machines apart, such as `tpm.ak_sha256`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct IdentityClaim {
    tee: Tee,
    name: &'static str,
}

/// Why a claim tells no machine from the next.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum NoIdentity {
    #[error("{0:?} is no claim; write TEE.CLAIM, as tpm.ak_sha256")]
    NoClaim(String),
    #[error("evidence of {tee:?} names no machine; use {known}")]
    Tee { tee: String, known: String },
    #[error("{tee}.{name} does not say which machine it is; use {known}")]
    Claim {
        tee: Tee,
        name: String,
        known: String,
    },
    #[error("{claim} alone is no machine's: {reason}")]
    NotAlone { claim: String, reason: &'static str },
}

/// Why a claim's value names no machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Nameless {
    /// The evidence has no such claim.
    Absent,
    /// What firmware reports where nothing was set would be one identity for all that have none.
    Zero,
    Malformed,
}

/// One machine: the claim and its value, spelled as for `revoke add vm`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity(String);

impl IdentityClaim {
    /// The claim of this name in evidence of this TEE.
    pub(crate) fn new(tee: &str, name: &str) -> Result<Self, NoIdentity> {
        let of_tee = SAYING_WHICH.iter().find(|(known, _)| known.as_str() == tee);
        let (tee, claims) = of_tee.ok_or_else(|| NoIdentity::Tee {
            tee: tee.to_owned(),
            known: SAYING_WHICH.map(|(tee, _)| tee.as_str()).join(", "),
        })?;
        let claim = claims.iter().find(|claim| **claim == name);
        let name = claim.ok_or_else(|| NoIdentity::Claim {
            tee: *tee,
            name: name.to_owned(),
            known: claims.join(", "),
        })?;
        Ok(Self { tee: *tee, name })
    }

    /// `TEE.CLAIM`.
    pub(crate) fn parse(text: &str) -> Result<Self, NoIdentity> {
        let (tee, name) = text
            .split_once('.')
            .ok_or_else(|| NoIdentity::NoClaim(text.to_owned()))?;
        Self::new(tee, name)
    }

    /// The claim, if it tells machines apart with no other beside it.
    pub(crate) fn alone(self) -> Result<Self, NoIdentity> {
        let reason = if WITHIN_A_KEYS.contains(&self.name) {
            "anybody who launches writes it"
        } else if HOSTS.contains(&self.name) {
            "all machines of one host have it"
        } else {
            return Ok(self);
        };
        let claim = self.to_string();
        Err(NoIdentity::NotAlone { claim, reason })
    }

    pub(crate) fn tee(self) -> Tee {
        self.tee
    }

    pub(crate) fn name(self) -> &'static str {
        self.name
    }

    fn of(self, verdict: &Verdict) -> Option<Identity> {
        (verdict.tee() == self.tee).then_some(())?;
        let value = naming(verdict.claims().claim(self.name)).ok()?;
        Some(Identity(format!("{self}={value}")))
    }
}

impl fmt::Display for IdentityClaim {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}", self.tee.as_str(), self.name)
    }
}

/// A claim's value, where it can name a machine: a text that cannot be taken for two where several stand
/// one after the other.
pub(crate) fn naming(value: Option<&Value>) -> Result<&str, Nameless> {
    let value = value.ok_or(Nameless::Absent)?;
    let value = value.as_str().ok_or(Nameless::Malformed)?;
    let is_plain = |byte: u8| byte.is_ascii_graphic() && byte != b',';
    if value.is_empty() || value.len() > MAX_VALUE_LEN || !value.bytes().all(is_plain) {
        return Err(Nameless::Malformed);
    }
    match value.bytes().all(|byte| matches!(byte, b'0' | b'-')) {
        true => Err(Nameless::Zero),
        false => Ok(value),
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
    pub(crate) fn of_text(text: &str) -> Self {
        Self(text.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_claim_that_all_machines_of_an_image_have_tells_none_from_the_next() {
        for text in ["tpm.ak_sha256", "snp.report_id", "az-snp-vtpm.vm_unique_id"] {
            assert_eq!(IdentityClaim::parse(text).unwrap().to_string(), text);
        }
        for text in [
            "",
            "snp",
            "snp.",
            ".report_id",
            "sgx2.report_id",
            "snp.Report",
            "snp.report_id=1",
            "snp.measurement",
            "tpm.pcrs",
            "tdx.chip_id",
        ] {
            assert!(IdentityClaim::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn what_a_host_has_or_anybody_writes_tells_no_machine_from_the_next_by_itself() {
        for text in ["tpm.ak_sha256", "snp.report_id", "snp.id_key_digest"] {
            assert!(IdentityClaim::parse(text).unwrap().alone().is_ok());
        }
        for text in [
            "snp.family_id",
            "snp.image_id",
            "snp.chip_id",
            "tdx.platform_instance",
        ] {
            let refused = IdentityClaim::parse(text).unwrap().alone().unwrap_err();
            assert!(refused.to_string().contains(text), "{refused}");
        }
    }

    #[test]
    fn a_value_that_several_machines_may_have_names_none() {
        assert_eq!(naming(Some(&json!("0a"))), Ok("0a"));
        assert_eq!(naming(None), Err(Nameless::Absent));
        assert_eq!(naming(Some(&json!("000-000"))), Err(Nameless::Zero));
        let long = json!("1".repeat(MAX_VALUE_LEN + 1));
        for value in [json!(""), json!("a,b"), json!("a b"), json!(1), long] {
            assert_eq!(naming(Some(&value)), Err(Nameless::Malformed), "{value}");
        }
    }
}
