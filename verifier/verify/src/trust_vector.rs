//! The AR4SI trustworthiness vector (draft-ietf-rats-ar4si) and the status that follows from it.

use nitride_kbs::token::EarStatus;
use std::collections::BTreeMap;
use thiserror::Error;

/// One claim of the vector: AR4SI section 2.3 puts meaning on ranges of a signed byte.
pub(crate) type TrustClaim = i8;

/// `hardware`: genuine, and nothing is known against it.
pub(crate) const GENUINE_HARDWARE: TrustClaim = 2;
/// `hardware`: genuine, with faults that are not wanted.
pub(crate) const CONTRAINDICATED_HARDWARE: TrustClaim = 97;
/// `runtime-opaque`: memory is encrypted and hidden from the host.
pub(crate) const ISOLATED_RUNTIME: TrustClaim = 2;
/// `runtime-opaque`: the host may look, and the policy allows it.
pub(crate) const VISIBLE_RUNTIME: TrustClaim = 32;
/// `configuration`: what the policy wants.
pub(crate) const APPROVED_CONFIGURATION: TrustClaim = 2;
/// `configuration`: what the policy does not want.
pub(crate) const CONTRAINDICATED_CONFIGURATION: TrustClaim = 96;
/// No statement is made about this property.
pub(crate) const NO_CLAIM: TrustClaim = 0;
/// `executables`: only approved software was loaded at boot, as the reference values say.
pub(crate) const APPROVED_BOOT: TrustClaim = 3;
/// `executables`: software that is contraindicated.
pub(crate) const CONTRAINDICATED_RUNTIME: TrustClaim = 96;

/// The trustworthiness vector. A field is zero when nothing is claimed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TrustVector {
    /// Whether the instance is known.
    pub instance_identity: i8,
    /// Whether its configuration is wanted.
    pub configuration: i8,
    /// Whether the software that was loaded is wanted.
    pub executables: i8,
    /// Whether the file system is wanted.
    pub file_system: i8,
    /// Whether the hardware and its firmware are genuine and wanted.
    pub hardware: i8,
    /// Whether memory is hidden from the host.
    pub runtime_opaque: i8,
    /// Whether storage is hidden from the host.
    pub storage_opaque: i8,
    /// Whether data from outside is trustworthy.
    pub sourced_data: i8,
}

impl TrustVector {
    /// The claims by their EAR names.
    #[must_use]
    pub fn named(&self) -> BTreeMap<&'static str, i8> {
        BTreeMap::from([
            ("instance-identity", self.instance_identity),
            ("configuration", self.configuration),
            ("executables", self.executables),
            ("file-system", self.file_system),
            ("hardware", self.hardware),
            ("runtime-opaque", self.runtime_opaque),
            ("storage-opaque", self.storage_opaque),
            ("sourced-data", self.sourced_data),
        ])
    }

    /// A vector of the claims that are named; the others are none.
    ///
    /// # Errors
    ///
    /// [`UnknownClaim`] for a name that is none of AR4SI's.
    pub fn of_named(claims: &BTreeMap<String, i8>) -> Result<Self, UnknownClaim> {
        let mut vector = Self::default();
        for (name, claim) in claims {
            let place = vector
                .place(name)
                .ok_or_else(|| UnknownClaim(name.clone()))?;
            *place = *claim;
        }
        Ok(vector)
    }

    /// Takes each claim of another's that is in a worse tier. Nothing becomes better by it, and what
    /// the other does not claim stays.
    pub(crate) fn worsen(&mut self, other: &Self) {
        for (name, theirs) in other.named() {
            if let Some(ours) = self.place(name)
                && severity(tier(theirs)) > severity(tier(*ours))
            {
                *ours = theirs;
            }
        }
    }

    fn place(&mut self, name: &str) -> Option<&mut i8> {
        Some(match name {
            "instance-identity" => &mut self.instance_identity,
            "configuration" => &mut self.configuration,
            "executables" => &mut self.executables,
            "file-system" => &mut self.file_system,
            "hardware" => &mut self.hardware,
            "runtime-opaque" => &mut self.runtime_opaque,
            "storage-opaque" => &mut self.storage_opaque,
            "sourced-data" => &mut self.sourced_data,
            _ => return None,
        })
    }

    /// Claims nothing good of the hardware, nor of memory that it would hide; what is bad stays.
    pub(crate) fn withdraw_hardware(&mut self) {
        for claim in [&mut self.hardware, &mut self.runtime_opaque] {
            if tier(*claim) == EarStatus::Affirming {
                *claim = NO_CLAIM;
            }
        }
    }

    /// The worst tier that any claim is in.
    #[must_use]
    pub fn status(&self) -> EarStatus {
        self.named()
            .into_values()
            .map(tier)
            .max_by_key(|tier| severity(*tier))
            .unwrap_or(EarStatus::None)
    }
}

/// A claim that AR4SI does not have.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("trust claim {0:?} is none of AR4SI's")]
pub struct UnknownClaim(pub String);

/// AR4SI section 2.3.2: the ranges of the tiers, positive for standard values, negative for private
/// ones.
fn tier(claim: TrustClaim) -> EarStatus {
    match claim {
        -1..=1 => EarStatus::None,
        -32..=-2 | 2..=31 => EarStatus::Affirming,
        -96..=-33 | 32..=95 => EarStatus::Warning,
        -128..=-97 | 96..=127 => EarStatus::Contraindicated,
    }
}

/// The order in which a worse tier prevails over a better one, and any claim over none.
fn severity(status: EarStatus) -> u8 {
    match status {
        EarStatus::None => 0,
        EarStatus::Affirming => 1,
        EarStatus::Warning => 2,
        EarStatus::Contraindicated => 3,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_vector_claims_nothing() {
        assert_eq!(TrustVector::default().status(), EarStatus::None);
    }

    #[test]
    fn the_worst_claim_prevails() {
        let mut vector = TrustVector {
            executables: APPROVED_BOOT,
            ..TrustVector::default()
        };
        assert_eq!(vector.status(), EarStatus::Affirming);
        vector.configuration = 36;
        assert_eq!(vector.status(), EarStatus::Warning);
        vector.hardware = CONTRAINDICATED_RUNTIME;
        assert_eq!(vector.status(), EarStatus::Contraindicated);
    }

    #[test]
    fn withdrawn_hardware_is_never_affirmed_and_never_excused() {
        for (before, after) in [(2, 0), (31, 0), (-2, 0), (0, 0), (33, 33), (97, 97)] {
            let mut vector = TrustVector {
                hardware: before,
                runtime_opaque: before,
                ..TrustVector::default()
            };
            vector.withdraw_hardware();
            assert_eq!((vector.hardware, vector.runtime_opaque), (after, after));
        }
    }

    #[test]
    fn a_claim_has_its_place_by_its_name() {
        for (number, name) in (1_i8..).zip(TrustVector::default().named().into_keys()) {
            let named = BTreeMap::from([(name.to_owned(), number)]);
            let vector = TrustVector::of_named(&named).unwrap();
            assert_eq!(vector.named()[name], number);
            assert_eq!(
                vector.named().values().filter(|claim| **claim != 0).count(),
                1
            );
        }
        let unknown = BTreeMap::from([("colour".to_owned(), 2)]);
        assert!(TrustVector::of_named(&unknown).is_err());
    }

    proptest::proptest! {
        #[test]
        fn a_vector_that_is_worsened_is_never_better(
            ours in proptest::array::uniform8(proptest::num::i8::ANY),
            theirs in proptest::array::uniform8(proptest::num::i8::ANY),
        ) {
            let vector = |claims: [i8; 8]| {
                let names = TrustVector::default().named().into_keys();
                let named = names.map(str::to_owned).zip(claims).collect();
                TrustVector::of_named(&named).unwrap()
            };
            let (before, other) = (vector(ours), vector(theirs));
            let mut after = before;
            after.worsen(&other);
            for (name, claim) in after.named() {
                let (was, told) = (tier(before.named()[name]), tier(other.named()[name]));
                let worst = severity(was).max(severity(told));
                proptest::prop_assert_eq!(severity(tier(claim)), worst);
            }
        }
    }

    #[test]
    fn every_value_is_in_a_tier() {
        let tiers: Vec<EarStatus> = (i8::MIN..=i8::MAX).map(tier).collect();
        assert_eq!(
            tiers
                .iter()
                .filter(|tier| **tier == EarStatus::None)
                .count(),
            3
        );
        assert_eq!(
            tiers
                .iter()
                .filter(|tier| **tier == EarStatus::Contraindicated)
                .count(),
            64
        );
    }
}
