//! Rules in strict TOML; what no rule allows is denied.
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

mod finding;
mod pattern;
mod rendering;

use crate::decision::{Decision, Denied, Question, RuleReport};
use finding::{Finding, findings};
use nitride_kbs::resource::ResourcePath;
use nitride_kbs::token::EarStatus;
use nitride_verify::Tee;
use nitride_verify::strict_toml::{FileError, TomlText};
use pattern::Pattern;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use toml::Spanned;

const VERSION: i64 = 1;
const MAX_RULES: usize = 10_000;

/// The rules, in the file's order; the first that allows decides.
#[derive(Debug, Clone)]
pub struct Rules {
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

impl Rules {
    /// Reads rules from their text; `file` is used in errors only.
    ///
    /// # Errors
    ///
    /// [`FileError`] with the line of what is unknown, missing, empty or there twice.
    pub fn parse(text: &str, file: &str) -> Result<Self, FileError> {
        Self::read(&TomlText { text, file }, None)
    }

    /// As [`Self::parse`], for the rules of one repository alone: a pattern that names another, or
    /// every one, is an error.
    ///
    /// # Errors
    ///
    /// As [`Self::parse`].
    pub fn parse_of(repository: &str, text: &str, file: &str) -> Result<Self, FileError> {
        Self::read(&TomlText { text, file }, Some(repository))
    }

    fn read(text: &TomlText<'_>, repository: Option<&str>) -> Result<Self, FileError> {
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
            rules.push(Rule::read(rule, repository, text)?);
        }
        Ok(Self { rules })
    }

    /// Decides by the first rule that names the resource and is satisfied.
    #[must_use]
    pub fn decide(&self, question: &Question<'_>) -> Decision {
        let mut reasons = Vec::new();
        for rule in self.naming(question.path) {
            match rule.objection(question) {
                None => {
                    return Decision::Allowed {
                        rule: rule.name.clone(),
                    };
                }
                Some(objection) => reasons.push(format!("rule {:?}: {objection}", rule.name)),
            }
        }
        Decision::Denied(if reasons.is_empty() {
            Denied::NotNamed {
                path: question.path.clone(),
            }
        } else {
            Denied::NotSatisfied { reasons }
        })
    }

    /// Every condition of every rule that names the resource, up to the one that allows.
    #[must_use]
    pub fn explain(&self, question: &Question<'_>) -> Vec<RuleReport> {
        let mut reports: Vec<RuleReport> = Vec::new();
        for rule in self.naming(question.path) {
            let mut conditions = Vec::new();
            let _: ControlFlow<()> = findings(rule, question.claims, |finding| {
                conditions.push(finding.condition());
                ControlFlow::Continue(())
            });
            let report = RuleReport {
                rule: rule.name.clone(),
                conditions,
            };
            let is_last = report.allows();
            reports.push(report);
            if is_last {
                break;
            }
        }
        reports
    }

    /// The same rules as a Rego module, for a Trustee or for whoever wants to go on from there.
    #[must_use]
    pub fn to_rego(&self) -> String {
        rendering::module(&self.rules)
    }

    /// How many rules there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.rules.len()
    }

    fn naming(&self, path: &ResourcePath) -> impl Iterator<Item = &Rule> {
        self.rules.iter().filter(|rule| rule.names(path))
    }
}

impl Rule {
    fn read(
        form: RuleForm,
        repository: Option<&str>,
        text: &TomlText<'_>,
    ) -> Result<Self, FileError> {
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
            if let Some(own) = repository.filter(|own| !pattern.is_of(own)) {
                let reason = format!("pattern {:?} is not of {own}", resource.get_ref());
                return Err(text.error(resource, reason, format!("begin it with {own}/")));
            }
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

    /// The first thing that speaks against it; absence of a claim always does.
    fn objection(&self, question: &Question<'_>) -> Option<String> {
        let first = findings(self, question.claims, |finding: Finding<'_>| {
            if finding.holds() {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(finding.objection())
            }
        });
        first.break_value()
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
