//! Which machine a secret is made for: by claims that an operator chose out of those that say it.

use super::Template;
use crate::identity::{IdentityClaim, KEYS_OWN, Nameless, WITHIN_A_KEYS, naming};
use crate::token::AcceptedToken;
use nitride_kbs::token::PRIMARY_SUBMOD;
use nitride_verify::Tee;
use thiserror::Error;

/// The claims that tell machines apart, sorted by name, so that their order in a file means nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct IdentityClaims(Vec<IdentityClaim>);

/// A machine whose evidence has proved that it is this one. There is no other constructor than
/// [`Machine::proven`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Machine(String);

/// Why a token proves no machine.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum Unproven {
    #[error("simulated evidence proves no machine; attest in a TEE")]
    Simulated,
    #[error(
        "evidence of {tee} proves no machine here; name claims of it in `identity` of {template:?}"
    )]
    OtherTee { tee: String, template: String },
    #[error(
        "this evidence claims no {claim}; name in `identity` of {template:?} what it does claim"
    )]
    Absent { claim: String, template: String },
    #[error(
        "{claim} is zero, as of every machine that was given none; launch this one with its own"
    )]
    Zero { claim: String },
    #[error("{claim} is no text that names a machine")]
    Malformed { claim: String },
}

impl IdentityClaims {
    /// Adds a TEE's claims.
    ///
    /// # Errors
    ///
    /// Why they tell no machine from the next.
    pub(super) fn add(&mut self, tee: &str, claims: &[String]) -> Result<(), String> {
        let mut taken = Vec::with_capacity(claims.len());
        for claim in claims {
            let claim = IdentityClaim::new(tee, claim).map_err(|error| error.to_string())?;
            if taken.contains(&claim) {
                return Err(format!("{claim} stands twice"));
            }
            taken.push(claim);
        }
        if taken.is_empty() {
            return Err(format!("{tee} has no claims"));
        }
        let has = |name: &&str| taken.iter().any(|claim| claim.name() == *name);
        if WITHIN_A_KEYS.iter().any(has) && !has(&KEYS_OWN) {
            return Err(format!(
                "anybody who launches writes {}; name {KEYS_OWN} beside them",
                WITHIN_A_KEYS.join(" and ")
            ));
        }
        self.0.append(&mut taken);
        self.0.sort_unstable_by_key(|claim| claim.name());
        Ok(())
    }

    pub(super) fn has(&self, tee: Tee) -> bool {
        self.0.iter().any(|claim| claim.tee() == tee)
    }

    fn of(&self, tee: &str) -> Vec<IdentityClaim> {
        let of_tee = |claim: &&IdentityClaim| claim.tee().as_str() == tee;
        self.0.iter().filter(of_tee).copied().collect()
    }
}

impl Machine {
    /// The machine that the token's evidence proves it is of. What the guest says beside its evidence is
    /// not in the token; what it says *in* it, no claim above is made of.
    pub(crate) fn proven(token: &AcceptedToken, template: &Template) -> Result<Self, Unproven> {
        let claims = token.claims();
        if claims.simulated != Some(false) && !template.danger_allow_simulated {
            return Err(Unproven::Simulated);
        }
        let primary = claims.submods.get(PRIMARY_SUBMOD);
        let evidence = primary.and_then(|submod| submod.annotated_evidence.as_ref());
        let tees = evidence.map(|evidence| &evidence.tee_claims);
        let other = |tee: &str| Unproven::OtherTee {
            tee: tee.to_owned(),
            template: template.name.clone(),
        };
        let mut tees = tees.into_iter().flatten();
        // Of two TEEs in one submodule neither is the machine.
        let (Some((tee, claimed)), None) = (tees.next(), tees.next()) else {
            return Err(other("no single TEE"));
        };
        let wanted = template.identity.of(tee);
        if wanted.is_empty() {
            return Err(other(tee));
        }
        let mut named = Vec::with_capacity(wanted.len());
        for wanted in wanted {
            let claim = wanted.to_string();
            let value = match naming(claimed.get(wanted.name())) {
                Ok(value) => value,
                Err(Nameless::Absent) => {
                    let template = template.name.clone();
                    return Err(Unproven::Absent { claim, template });
                }
                Err(Nameless::Zero) => return Err(Unproven::Zero { claim }),
                Err(Nameless::Malformed) => return Err(Unproven::Malformed { claim }),
            };
            named.push(format!("{claim}={value}"));
        }
        Ok(Self(named.join(",")))
    }

    /// `tpm.ak_sha256=…`, several with commas between them. One text a machine, one machine a text.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}
