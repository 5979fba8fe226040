//! Which machine it is: claims of verified evidence that an operator chose, out of those that say it.

use super::Template;
use crate::token::AcceptedToken;
use nitride_kbs::token::PRIMARY_SUBMOD;
use nitride_verify::Tee;
use serde_json::Value;
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
/// Whoever launches a machine writes these beside a key's digest, which says who that was.
const WITHIN_A_KEYS: [&str; 2] = ["family_id", "image_id"];
const KEYS_OWN: &str = "id_key_digest";
/// No claim that says which machine it is has a longer text.
const MAX_CLAIM_LEN: usize = 256;

/// For each TEE the claims that tell machines apart, sorted, so that their order in a file means nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct IdentityClaims(Vec<(Tee, Vec<&'static str>)>);

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
        let known = SAYING_WHICH.iter().find(|(known, _)| known.as_str() == tee);
        let Some((tee, known)) = known else {
            let tees = SAYING_WHICH.map(|(tee, _)| tee.as_str()).join(", ");
            return Err(format!("evidence of {tee:?} names no machine; use {tees}"));
        };
        let mut taken: Vec<&'static str> = Vec::with_capacity(claims.len());
        for claim in claims {
            let found = known.iter().find(|name| *name == claim);
            let found = found.ok_or_else(|| {
                let known = known.join(", ");
                format!("{tee}.{claim} does not say which machine it is; use {known}")
            })?;
            taken.push(found);
        }
        taken.sort_unstable();
        taken.dedup();
        if taken.is_empty() || taken.len() < claims.len() {
            return Err(format!("{tee} has no claims, or one twice"));
        }
        let launchers = |name: &&str| WITHIN_A_KEYS.contains(name);
        if taken.iter().any(launchers) && !taken.contains(&KEYS_OWN) {
            return Err(format!(
                "anybody who launches writes {}; name {KEYS_OWN} beside them",
                WITHIN_A_KEYS.join(" and ")
            ));
        }
        self.0.push((*tee, taken));
        Ok(())
    }

    pub(super) fn has(&self, tee: Tee) -> bool {
        self.0.iter().any(|(own, _)| *own == tee)
    }

    fn of(&self, tee: &str) -> Option<&(Tee, Vec<&'static str>)> {
        self.0.iter().find(|(own, _)| own.as_str() == tee)
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
        let (tee, wanted) = template.identity.of(tee).ok_or_else(|| other(tee))?;
        let mut named = Vec::with_capacity(wanted.len());
        for name in wanted {
            let claim = format!("{tee}.{name}");
            let value = value_of(claimed, name, &claim, template)?;
            named.push(format!("{claim}={value}"));
        }
        Ok(Self(named.join(",")))
    }

    /// `tpm.ak_sha256=…`, several with commas between them. One text a machine, one machine a text.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

fn value_of<'a>(
    claims: &'a Value,
    name: &str,
    claim: &str,
    template: &Template,
) -> Result<&'a str, Unproven> {
    let Some(value) = claims.get(name) else {
        return Err(Unproven::Absent {
            claim: claim.to_owned(),
            template: template.name.clone(),
        });
    };
    let fits = |text: &&str| {
        let plain = |byte: u8| byte.is_ascii_graphic() && byte != b',';
        !text.is_empty() && text.len() <= MAX_CLAIM_LEN && text.bytes().all(plain)
    };
    let malformed = || Unproven::Malformed {
        claim: claim.to_owned(),
    };
    let value = value.as_str().filter(fits).ok_or_else(malformed)?;
    // What firmware reports where nothing was set would be one identity for all that have none.
    if value.bytes().all(|byte| matches!(byte, b'0' | b'-')) {
        return Err(Unproven::Zero {
            claim: claim.to_owned(),
        });
    }
    Ok(value)
}
