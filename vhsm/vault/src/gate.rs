//! Gates: whether the VM counts as approved. An approval is a value that only [`judge`] makes.

use crate::Now;
use crate::policy::{GateRule, SIMULATED, TEES};
use nitride_kbs::tee_key::TeePublicKey;
use nitride_kbs::token::{
    EAR_PROFILE, EarClaims, EarStatus, PRIMARY_SUBMOD, TokenError, UnverifiedToken,
};
use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use thiserror::Error;

/// Which gates are approved, and since when. Approvals are made by the rounds alone.
#[derive(Debug, Default)]
pub(crate) struct Gates {
    by_name: RwLock<HashMap<String, Approval>>,
}

/// Proof that a token of one round met every condition of one gate rule.
#[derive(Debug)]
pub(crate) struct Approval {
    rule: GateRule,
    /// When the round's key was made: no evidence over it can be older.
    since_boot_ms: u64,
}

/// What a round bound into its evidence, and when.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Binding<'a> {
    /// The round's own key.
    pub(crate) key: &'a TeePublicKey,
    /// The service's challenge.
    pub(crate) nonce: &'a str,
    /// When the key was made, on CLOCK_BOOTTIME.
    pub(crate) made_boot_ms: u64,
}

/// Which condition an attestation result does not meet.
#[derive(Debug, Clone, Error)]
#[non_exhaustive]
pub enum GateFault {
    /// It is no token, or not signed by one of the gate's pinned issuer keys. Keys that the token's
    /// header names or brings are not looked at.
    #[error("the token is malformed or not of a pinned issuer key")]
    Token(#[source] Arc<TokenError>),
    /// Another `eat_profile`: whatever else its issuer signs is no attestation result.
    #[error("the token is not of the profile of attestation results")]
    OtherProfile,
    /// Another `iss`.
    #[error("the token is of another issuer")]
    OtherIssuer,
    /// No `aud`.
    #[error("the token names no audience")]
    NoAudience,
    /// Another `aud`.
    #[error("the token is for another audience")]
    OtherAudience,
    /// It ends before it begins.
    #[error("the token ends before it was issued")]
    EndsBeforeIssued,
    /// No submodule `cpu0`: the TEE itself was not judged.
    #[error("the token has no submodule cpu0")]
    NoPrimarySubmod,
    /// A submodule was judged by another policy, or by none that is named.
    #[error("submodule {submod} was judged by another policy than the gate's")]
    OtherPolicy {
        /// The submodule.
        submod: String,
    },
    /// A submodule's verdict is not affirming.
    #[error("the verdict on submodule {submod} is {}", status.as_str())]
    NotAffirming {
        /// The submodule.
        submod: String,
        /// The verdict.
        status: EarStatus,
    },
    /// A claim that has to be stated is not.
    #[error("the token does not state {claim}")]
    Unstated {
        /// `nitride.simulated` or `nitride.debug`.
        claim: &'static str,
    },
    /// The evidence is simulated, and the gate does not say that this may be.
    #[error("the evidence is simulated")]
    Simulated,
    /// The evidence is of a TEE that the gate does not name.
    #[error("the evidence is of another TEE than the gate names: {tee}")]
    OtherTee {
        /// What it is of.
        tee: String,
    },
    /// The token does not say of which TEE the evidence is.
    #[error("the token does not say of which TEE the evidence is")]
    NoTee,
    /// The TEE can be debugged.
    #[error("the TEE can be debugged")]
    Debug,
    /// The evidence binds no key, or another round's.
    #[error("the evidence does not bind this round's key")]
    OtherKey,
    /// The evidence binds no nonce, or another round's.
    #[error("the evidence does not bind this round's nonce")]
    OtherNonce,
    /// The gate's rule changed while the round was under way.
    #[error("the gate's rule changed while the round was under way")]
    PolicyChanged,
}

impl GateFault {
    /// Whether the issuer itself said no, so that waiting peers learn of a denial.
    pub(crate) fn is_a_verdict(&self) -> bool {
        matches!(
            self,
            Self::NotAffirming { .. } | Self::Simulated | Self::OtherTee { .. } | Self::Debug
        )
    }
}

impl Gates {
    /// Whether an approval under exactly this rule exists and is young enough.
    pub(crate) fn approved(&self, gate: &GateRule, now: Now) -> bool {
        self.age_ms(gate, now)
            .is_some_and(|age_ms| age_ms <= gate.max_age_ms)
    }

    /// The approval's age in milliseconds. A clock that ran backwards makes it unknown.
    pub(crate) fn age_ms(&self, gate: &GateRule, now: Now) -> Option<u64> {
        let approvals = self.by_name.read().unwrap_or_else(PoisonError::into_inner);
        let approval = approvals.get(&gate.name)?;
        (approval.rule == *gate)
            .then(|| now.boot_ms.checked_sub(approval.since_boot_ms))
            .flatten()
    }

    /// For tests of other rooms, which have no token.
    #[cfg(test)]
    pub(crate) fn approve_unjudged(&self, gate: &GateRule, since_boot_ms: u64) {
        let rule = gate.clone();
        self.approve(Approval {
            rule,
            since_boot_ms,
        });
    }

    /// Takes an approval. One round's may come after a younger round's; the younger counts.
    pub(crate) fn approve(&self, approval: Approval) {
        let mut approvals = self.by_name.write().unwrap_or_else(PoisonError::into_inner);
        let is_old = approvals.get(&approval.rule.name).is_some_and(|held| {
            held.rule == approval.rule && held.since_boot_ms > approval.since_boot_ms
        });
        if !is_old {
            approvals.insert(approval.rule.name.clone(), approval);
        }
    }
}

/// Holds a token against every condition of `rule`.
///
/// `exp` is not compared with a clock: the host owns the wall clock. That the token is young
/// follows from this round's key inside, which nobody could bind before it was made; its age counts
/// from that moment, on the guest's own clock.
pub(crate) fn judge(
    rule: &GateRule,
    token: &str,
    binding: Binding<'_>,
) -> Result<Approval, GateFault> {
    let token = UnverifiedToken::parse(token)
        .and_then(|token| {
            let algorithm = token.algorithm();
            token.verified_by(|signing_input, signature| {
                let mut pinned = rule.issuer_keys.iter();
                pinned.any(|key| key.has_signed(algorithm, signing_input, signature))
            })
        })
        .map_err(|error| GateFault::Token(Arc::new(error)))?;
    let claims = token.claims();
    judge_issue(rule, claims)?;
    judge_verdicts(rule, claims)?;
    judge_simulation(rule, claims)?;
    judge_binding(claims, binding)?;
    judge_tee(rule, claims)?;
    Ok(Approval {
        rule: rule.clone(),
        since_boot_ms: binding.made_boot_ms,
    })
}

fn judge_issue(rule: &GateRule, claims: &EarClaims) -> Result<(), GateFault> {
    if claims.eat_profile != EAR_PROFILE {
        return Err(GateFault::OtherProfile);
    }
    if claims.iss != rule.issuer {
        return Err(GateFault::OtherIssuer);
    }
    match &claims.aud {
        None => return Err(GateFault::NoAudience),
        Some(audience) if *audience != rule.audience => return Err(GateFault::OtherAudience),
        Some(_) => {}
    }
    if claims.exp <= claims.iat.max(claims.nbf.unwrap_or(0)) {
        return Err(GateFault::EndsBeforeIssued);
    }
    Ok(())
}

/// Every submodule counts: a device that is not trusted sees what the TEE gives it.
fn judge_verdicts(rule: &GateRule, claims: &EarClaims) -> Result<(), GateFault> {
    if !claims.submods.contains_key(PRIMARY_SUBMOD) {
        return Err(GateFault::NoPrimarySubmod);
    }
    for (name, submod) in &claims.submods {
        if submod.status != EarStatus::Affirming {
            return Err(GateFault::NotAffirming {
                submod: name.clone(),
                status: submod.status,
            });
        }
        if submod.appraisal_policy_id.as_ref() != Some(&rule.policy_id) {
            let submod = name.clone();
            return Err(GateFault::OtherPolicy { submod });
        }
    }
    Ok(())
}

fn judge_simulation(rule: &GateRule, claims: &EarClaims) -> Result<(), GateFault> {
    let stated = |value: Option<bool>, claim| value.ok_or(GateFault::Unstated { claim });
    if stated(claims.debug, "nitride.debug")? {
        return Err(GateFault::Debug);
    }
    // A token that carries claims of a simulated TEE is one on simulated evidence, whatever it
    // says of itself.
    let has_sample = claims.submods.values().any(|submod| {
        submod.annotated_evidence.as_ref().is_some_and(|evidence| {
            SIMULATED
                .iter()
                .any(|tee| evidence.tee_claims.contains_key(*tee))
        })
    });
    let simulated = stated(claims.simulated, "nitride.simulated")? || has_sample;
    if simulated && !rule.danger_accept_simulated {
        return Err(GateFault::Simulated);
    }
    Ok(())
}

/// Every TEE whose claims the token has of the machine counts: what is affirmed of a TPM alone says
/// nothing of SEV-SNP. Devices beside it are none of this.
fn judge_tee(rule: &GateRule, claims: &EarClaims) -> Result<(), GateFault> {
    let machine = claims.submods.get(PRIMARY_SUBMOD);
    let evidence = machine.and_then(|submod| submod.annotated_evidence.as_ref());
    let claimed = |tee: &&&str| evidence.is_some_and(|all| all.tee_claims.contains_key(**tee));
    let mut found = TEES.iter().filter(claimed).peekable();
    if found.peek().is_none() {
        return Err(GateFault::NoTee);
    }
    match found.find(|tee| !rule.tees.iter().any(|named| named == **tee)) {
        Some(tee) => Err(GateFault::OtherTee {
            tee: (*tee).to_owned(),
        }),
        None => Ok(()),
    }
}

fn judge_binding(claims: &EarClaims, binding: Binding<'_>) -> Result<(), GateFault> {
    let bound = claims
        .submods
        .get(PRIMARY_SUBMOD)
        .and_then(|submod| submod.annotated_evidence.as_ref())
        .and_then(|evidence| evidence.runtime_data_claims.as_ref())
        .ok_or(GateFault::OtherKey)?;
    if bound.tee_pubkey.as_ref() != Some(binding.key) {
        return Err(GateFault::OtherKey);
    }
    if bound.nonce.as_deref() != Some(binding.nonce) {
        return Err(GateFault::OtherNonce);
    }
    Ok(())
}
