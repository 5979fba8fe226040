//! Which attestation result opens which resource. Strict TOML; what no rule allows is denied.
//!
//! ```toml
//! version = 1
//!
//! [[rule]]
//! name = "demo"
//! # repo/type/tag; `*` is one whole part, a last `**` all that follow.
//! resources = ["demo/*/*"]
//! # The worst status that any submodule may have: "affirming" or "warning".
//! status = "affirming"
//! # The TEEs that may ask.
//! tee = ["sample"]
//! danger-allow-simulated = true
//! danger-allow-debug = false
//! # Claims that the token must have, each with one of the values; {} asks for none.
//! claims = { "sample.svn" = ["1"] }
//! ```

mod pattern;

use crate::token::AcceptedToken;
use nitride_kbs::resource::ResourcePath;
use nitride_kbs::tee_key::TeePublicKey;
use nitride_kbs::token::{EarClaims, EarStatus, Submod};
use nitride_verify::Tee;
use nitride_verify::strict_toml::{FileError, TomlText};
use pattern::Pattern;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use thiserror::Error;
use toml::Spanned;

const VERSION: i64 = 1;
const MAX_RULES: usize = 10_000;

/// The rules, in the file's order; the first that allows decides.
#[derive(Debug, Clone)]
pub(crate) struct ResourcePolicy {
    rules: Vec<Rule>,
}

#[derive(Debug, Clone)]
struct Rule {
    name: String,
    resources: Vec<Pattern>,
    worst_status: EarStatus,
    tees: Vec<Tee>,
    danger_allow_simulated: bool,
    danger_allow_debug: bool,
    claims: Vec<WantedClaim>,
}

/// A claim of one TEE, with the values that will do. `sample.svn` in the file.
#[derive(Debug, Clone)]
struct WantedClaim {
    tee: Tee,
    name: String,
    values: Vec<String>,
}

/// The leave to give one resource to one TEE key. Only [`ResourcePolicy::decide`] makes it, and
/// what releases a resource asks for it.
#[derive(Debug)]
pub(crate) struct Allowed<'a> {
    path: &'a ResourcePath,
    tee_key: TeePublicKey,
    rule: &'a str,
}

/// No rule allows it; why, for the operator's log. The client is told less.
#[derive(Debug, PartialEq, Eq, Error)]
pub(crate) enum Denied {
    #[error("no rule names {path}")]
    NotNamed { path: ResourcePath },
    #[error("{}", .reasons.join("; "))]
    NotSatisfied { reasons: Vec<String> },
}

impl Allowed<'_> {
    pub(crate) fn path(&self) -> &ResourcePath {
        self.path
    }

    pub(crate) fn tee_key(&self) -> &TeePublicKey {
        &self.tee_key
    }

    pub(crate) fn rule(&self) -> &str {
        self.rule
    }
}

impl ResourcePolicy {
    /// Reads a policy from its text; `file` is used in errors only.
    pub(crate) fn parse(text: &str, file: &str) -> Result<Self, FileError> {
        let text = TomlText { text, file };
        let form: FileForm = text.read("state every field of each rule, and no other")?;
        if *form.version.get_ref() != VERSION {
            let reason = format!("version {} is not known", form.version.get_ref());
            return Err(text.error(&form.version, reason, "write version = 1"));
        }
        if form.rule.len() > MAX_RULES {
            return Err(text.error(&form.version, "more than 10000 rules", "use patterns"));
        }
        let mut rules: Vec<Rule> = Vec::with_capacity(form.rule.len());
        for rule in form.rule {
            if rules.iter().any(|other| other.name == *rule.name.get_ref()) {
                let reason = format!("rule {:?} is there twice", rule.name.get_ref());
                return Err(text.error(&rule.name, reason, "give each rule a name of its own"));
            }
            rules.push(Rule::read(rule, &text)?);
        }
        Ok(Self { rules })
    }

    /// Decides whether the bearer of `token` gets the resource at `path`.
    pub(crate) fn decide<'a>(
        &'a self,
        token: &AcceptedToken,
        path: &'a ResourcePath,
    ) -> Result<Allowed<'a>, Denied> {
        let mut reasons = Vec::new();
        for rule in self.rules.iter().filter(|rule| rule.names(path)) {
            match rule.objection(token.claims()) {
                None => {
                    return Ok(Allowed {
                        path,
                        tee_key: token.tee_key(),
                        rule: &rule.name,
                    });
                }
                Some(objection) => reasons.push(format!("rule {:?}: {objection}", rule.name)),
            }
        }
        if reasons.is_empty() {
            Err(Denied::NotNamed { path: path.clone() })
        } else {
            Err(Denied::NotSatisfied { reasons })
        }
    }

    /// How many rules there are.
    pub(crate) fn rules_len(&self) -> usize {
        self.rules.len()
    }
}

impl Rule {
    fn read(form: RuleForm, text: &TomlText<'_>) -> Result<Self, FileError> {
        if form.name.get_ref().is_empty() {
            return Err(text.error(&form.name, "rule has an empty name", "name it"));
        }
        let mut resources = Vec::new();
        for resource in &form.resources {
            let pattern = Pattern::parse(resource.get_ref()).map_err(|error| {
                text.error(
                    resource,
                    error.to_string(),
                    "write repo/type/tag, with * or ** if need be",
                )
            })?;
            resources.push(pattern);
        }
        let worst_status = match form.status.get_ref().as_str() {
            "affirming" => EarStatus::Affirming,
            "warning" => EarStatus::Warning,
            other => {
                let reason = format!("status {other:?} is not one that a rule can ask for");
                return Err(text.error(&form.status, reason, "write \"affirming\" or \"warning\""));
            }
        };
        let mut tees = Vec::new();
        for name in &form.tee {
            let tee = Tee::parse(name.get_ref()).ok_or_else(|| {
                let reason = format!("tee {:?} is not judged by this version", name.get_ref());
                text.error(name, reason, format!("use some of {}", tee_names()))
            })?;
            tees.push(tee);
        }
        let mut claims = Vec::new();
        for (claim, values) in form.claims {
            claims.push(WantedClaim::read(&claim, values, text)?);
        }
        Ok(Self {
            name: form.name.into_inner(),
            resources,
            worst_status,
            tees,
            danger_allow_simulated: form.danger_allow_simulated,
            danger_allow_debug: form.danger_allow_debug,
            claims,
        })
    }

    fn names(&self, path: &ResourcePath) -> bool {
        self.resources.iter().any(|pattern| pattern.matches(path))
    }

    /// What speaks against it; absence of a claim always does.
    fn objection(&self, claims: &EarClaims) -> Option<String> {
        if claims.simulated != Some(false) && !self.danger_allow_simulated {
            return Some("evidence is simulated".to_owned());
        }
        if claims.debug != Some(false) && !self.danger_allow_debug {
            return Some("tee is in debug mode".to_owned());
        }
        if claims.submods.is_empty() {
            return Some("token has no submodules".to_owned());
        }
        for (name, submod) in &claims.submods {
            let good_enough = match submod.status {
                EarStatus::Affirming => true,
                EarStatus::Warning => self.worst_status == EarStatus::Warning,
                EarStatus::None | EarStatus::Contraindicated => false,
            };
            if !good_enough {
                return Some(format!("{name} is {}", submod.status.as_str()));
            }
            match tee_of(submod) {
                Some(tee) if self.tees.contains(&tee) => {}
                Some(tee) => return Some(format!("{name} is of tee {tee}")),
                None => return Some(format!("{name} is of no known tee")),
            }
        }
        self.claims.iter().find_map(|claim| claim.objection(claims))
    }
}

impl WantedClaim {
    fn read(
        claim: &Spanned<String>,
        values: Vec<String>,
        text: &TomlText<'_>,
    ) -> Result<Self, FileError> {
        let parts = claim.get_ref().split_once('.');
        let known = parts.and_then(|(tee, name)| Some((Tee::parse(tee)?, name)));
        let Some((tee, name)) = known.filter(|(_, name)| !name.is_empty()) else {
            let reason = format!("claim {:?} is not named tee.claim", claim.get_ref());
            return Err(text.error(claim, reason, "write for example \"sample.svn\""));
        };
        if values.is_empty() {
            let reason = format!("claim {:?} allows no value", claim.get_ref());
            return Err(text.error(claim, reason, "list the values, or remove the rule"));
        }
        Ok(Self {
            tee,
            name: name.to_owned(),
            values,
        })
    }

    /// Every submodule of the claim's TEE must have it with a wanted value, and one must be there.
    fn objection(&self, claims: &EarClaims) -> Option<String> {
        let (tee, name) = (self.tee, &self.name);
        let mut found = false;
        for submod in claims.submods.values() {
            let evidence = submod.annotated_evidence.as_ref();
            let Some(tee_claims) =
                evidence.and_then(|evidence| evidence.tee_claims.get(tee.as_str()))
            else {
                continue;
            };
            match tee_claims.get(name).and_then(text_of) {
                Some(value) if self.values.contains(&value) => found = true,
                Some(value) => return Some(format!("{tee}.{name} is {value:?}")),
                None => return Some(format!("{tee}.{name} is not claimed")),
            }
        }
        (!found).then(|| format!("{tee}.{name} is not claimed"))
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

/// How a claim is compared: as its text, whole numbers in decimal.
fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Number(number) if number.is_i64() || number.is_u64() => Some(number.to_string()),
        _ => None,
    }
}

fn tee_names() -> String {
    let names: Vec<&str> = Tee::ALL.iter().map(|tee| tee.as_str()).collect();
    names.join(", ")
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct FileForm {
    version: Spanned<i64>,
    /// No rule at all denies everything, and that may be wanted.
    #[serde(default)]
    rule: Vec<RuleForm>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RuleForm {
    name: Spanned<String>,
    resources: Vec<Spanned<String>>,
    status: Spanned<String>,
    tee: Vec<Spanned<String>>,
    danger_allow_simulated: bool,
    danger_allow_debug: bool,
    claims: BTreeMap<Spanned<String>, Vec<String>>,
}

#[cfg(test)]
mod tests;
