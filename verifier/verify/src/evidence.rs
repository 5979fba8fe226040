//! What the attester alleges, and what the verifier expects of it.

use std::fmt;

/// A trusted execution environment whose evidence this crate judges, by its KBS name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Tee {
    /// The stand-in without hardware. It proves nothing.
    Sample,
}

impl Tee {
    /// Every TEE that is judged.
    pub const ALL: &[Self] = &[Self::Sample];

    /// Finds a TEE by its KBS name; `None` when its evidence is not judged here.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|tee| tee.as_str() == name)
    }

    /// The KBS name, as in `auth` and in the token.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sample => "sample",
        }
    }

    /// Whether the TEE is a simulation, for which no hardware vouches.
    #[must_use]
    pub const fn is_simulated(self) -> bool {
        match self {
            Self::Sample => true,
        }
    }
}

impl fmt::Display for Tee {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Evidence as it came in, in the KBS forms: an allegation until [`crate::authenticity::verify`].
#[derive(Debug, Clone, Copy)]
pub struct UnverifiedEvidence<'a> {
    /// The TEE that the challenge was made for; the evidence is read in this form and no other.
    pub tee: Tee,
    /// `tee-evidence.primary_evidence`, the JSON text as received.
    pub primary: &'a str,
    /// `tee-evidence.additional_evidence`, JSON in a string, `""` without devices.
    pub additional: &'a str,
    /// Whether the guest sent init-data, which evidence must bind to be believed.
    pub has_init_data: bool,
}

/// What authentic evidence must contain.
#[derive(Debug, Clone, Copy)]
pub struct Expected {
    /// SHA-384 over challenge, TEE public key and additional evidence, as the verifier computes it
    /// (`nitride_kbs::report_data`), never as the guest states it.
    pub report_data: [u8; 48],
}
