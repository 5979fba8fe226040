//! What one rule asks of the claims, condition by condition, and how each is told: as an objection
//! in a log's line, or with what was wanted and seen.

use super::{Rule, WantedClaim};
use crate::decision::Condition;
use nitride_kbs::token::{EarClaims, EarStatus, Submod};
use nitride_verify::Tee;
use serde_json::Value;
use std::ops::ControlFlow;

/// One condition and what it found. Nothing is formatted until somebody wants to read it: this is on
/// the path of every request.
pub(super) enum Finding<'a> {
    /// `nitride.simulated`.
    Simulated { seen: Option<bool>, allowed: bool },
    /// `nitride.debug`.
    Debug { seen: Option<bool>, allowed: bool },
    /// Whether there is anything that was judged.
    Submods { count: usize },
    /// `ear.status` of one submodule.
    Status {
        submod: &'a str,
        seen: EarStatus,
        worst: EarStatus,
    },
    /// The TEE of one submodule.
    OfTee {
        submod: &'a str,
        seen: Option<Tee>,
        wanted: &'a [Tee],
    },
    /// A claim of one submodule, or of none that there is.
    Claim {
        wanted: &'a WantedClaim,
        seen: Option<String>,
    },
}

/// Asks each condition in turn, until `visit` has enough.
pub(super) fn findings<B>(
    rule: &Rule,
    claims: &EarClaims,
    mut visit: impl FnMut(Finding<'_>) -> ControlFlow<B>,
) -> ControlFlow<B> {
    visit(Finding::Simulated {
        seen: claims.simulated,
        allowed: rule.danger_allow_simulated,
    })?;
    visit(Finding::Debug {
        seen: claims.debug,
        allowed: rule.danger_allow_debug,
    })?;
    visit(Finding::Submods {
        count: claims.submods.len(),
    })?;
    for (name, submod) in &claims.submods {
        visit(Finding::Status {
            submod: name,
            seen: submod.status,
            worst: rule.worst_status,
        })?;
        visit(Finding::OfTee {
            submod: name,
            seen: tee_of(submod),
            wanted: &rule.tees,
        })?;
    }
    for wanted in &rule.claims {
        // Every submodule of the claim's TEE must have it with a wanted value, and one must be there.
        let mut found = false;
        for submod in claims.submods.values() {
            if let Some(tee_claims) = claims_of(submod, wanted.tee) {
                found = true;
                let seen = tee_claims.get(&wanted.name).and_then(text_of);
                visit(Finding::Claim { wanted, seen })?;
            }
        }
        if !found {
            visit(Finding::Claim { wanted, seen: None })?;
        }
    }
    ControlFlow::Continue(())
}

impl Finding<'_> {
    pub(super) fn holds(&self) -> bool {
        match self {
            Self::Simulated { seen, allowed } | Self::Debug { seen, allowed } => {
                *allowed || *seen == Some(false)
            }
            Self::Submods { count } => *count > 0,
            Self::Status { seen, worst, .. } => match seen {
                EarStatus::Affirming => true,
                EarStatus::Warning => *worst == EarStatus::Warning,
                EarStatus::None | EarStatus::Contraindicated => false,
            },
            Self::OfTee { seen, wanted, .. } => seen.is_some_and(|tee| wanted.contains(&tee)),
            Self::Claim { wanted, seen } => seen
                .as_ref()
                .is_some_and(|seen| wanted.values.contains(seen)),
        }
    }

    /// What speaks against the rule where this does not hold.
    pub(super) fn objection(&self) -> String {
        match self {
            Self::Simulated { .. } => "evidence is simulated".to_owned(),
            Self::Debug { .. } => "tee is in debug mode".to_owned(),
            Self::Submods { .. } => "token has no submodules".to_owned(),
            Self::Status { submod, seen, .. } => format!("{submod} is {}", seen.as_str()),
            Self::OfTee {
                submod,
                seen: Some(tee),
                ..
            } => format!("{submod} is of tee {tee}"),
            Self::OfTee { submod, .. } => format!("{submod} is of no known tee"),
            Self::Claim { wanted, seen } => {
                let (tee, name) = (wanted.tee, &wanted.name);
                match seen {
                    Some(value) => format!("{tee}.{name} is {value:?}"),
                    None => format!("{tee}.{name} is not claimed"),
                }
            }
        }
    }

    /// The same for who asks why.
    pub(super) fn condition(&self) -> Condition {
        let flag = |allowed: bool| if allowed { "anything" } else { "false" }.to_owned();
        let absent = || "nothing".to_owned();
        let stated = |seen: Option<bool>| seen.map_or_else(absent, |seen| seen.to_string());
        let (what, wanted, seen) = match self {
            Self::Simulated { seen, allowed } => (
                "nitride.simulated".to_owned(),
                flag(*allowed),
                stated(*seen),
            ),
            Self::Debug { seen, allowed } => {
                ("nitride.debug".to_owned(), flag(*allowed), stated(*seen))
            }
            Self::Submods { count } => (
                "submodules".to_owned(),
                "at least one".to_owned(),
                count.to_string(),
            ),
            Self::Status {
                submod,
                seen,
                worst,
            } => {
                let wanted = match worst {
                    EarStatus::Warning => "affirming or warning",
                    _ => "affirming",
                };
                let seen = seen.as_str().to_owned();
                (format!("{submod} ear.status"), wanted.to_owned(), seen)
            }
            Self::OfTee {
                submod,
                seen,
                wanted,
            } => {
                let wanted: Vec<&str> = wanted.iter().map(|tee| tee.as_str()).collect();
                let seen = seen.map_or_else(absent, |tee| tee.as_str().to_owned());
                (format!("{submod} tee"), one_of(&wanted), seen)
            }
            Self::Claim { wanted, seen } => (
                format!("{}.{}", wanted.tee, wanted.name),
                one_of(&wanted.values),
                seen.clone().unwrap_or_else(absent),
            ),
        };
        Condition {
            what,
            wanted,
            seen,
            holds: self.holds(),
        }
    }
}

fn one_of<T: AsRef<str>>(values: &[T]) -> String {
    let values: Vec<&str> = values.iter().map(AsRef::as_ref).collect();
    match values.as_slice() {
        [] => "none at all".to_owned(),
        values => values.join(" or "),
    }
}

/// The TEE whose claims a submodule has; more than one is none.
fn tee_of(submod: &Submod) -> Option<Tee> {
    let evidence = submod.annotated_evidence.as_ref()?;
    let mut tees = evidence
        .tee_claims
        .keys()
        .filter_map(|name| Tee::parse(name));
    tees.next().filter(|_| tees.next().is_none())
}

fn claims_of(submod: &Submod, tee: Tee) -> Option<&Value> {
    let evidence = submod.annotated_evidence.as_ref()?;
    evidence.tee_claims.get(tee.as_str())
}

/// How a claim is compared: as its text, whole numbers in decimal.
fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Number(number) if number.is_i64() || number.is_u64() => Some(number.to_string()),
        _ => None,
    }
}
