//! The question that every policy answers, and its answers.

use nitride_kbs::resource::ResourcePath;
use nitride_kbs::token::EarClaims;
use serde_json::{Value, json};
use thiserror::Error;

use crate::rego::RegoFault;

/// May the bearer of these claims have this resource? Whoever asks has verified the claims.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// The claims of an accepted token.
    pub claims: &'a EarClaims,
    /// The resource.
    pub path: &'a ResourcePath,
}

impl Question<'_> {
    /// What Rego sees as `input`: the token's claims, compact JSON.
    #[must_use]
    pub fn input(&self) -> String {
        self.claims.to_json()
    }

    /// What Rego sees as `data`, in the shape that Trustee's KBS gives it.
    #[must_use]
    pub fn data(&self) -> String {
        let path = self.path;
        let data: Value = json!({
            "plugin": "resource",
            "resource-path": [path.repository(), path.resource_type(), path.tag()],
            "query": {},
        });
        data.to_string()
    }
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// It may.
    Allowed {
        /// The name of the rule, or the file of the Rego module, that allows it.
        rule: String,
    },
    /// It may not.
    Denied(Denied),
}

/// Why not, for the operator's log. The client is told less.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Denied {
    /// No rule is about this resource.
    #[error("no rule names {path}")]
    NotNamed {
        /// The resource.
        path: ResourcePath,
    },
    /// Rules are about it, and none is satisfied.
    #[error("{}", .reasons.join("; "))]
    NotSatisfied {
        /// One a rule, with the rule's name.
        reasons: Vec<String>,
    },
    /// Rego said no, or did not say yes.
    #[error("{file}: {fault}")]
    Rego {
        /// The module's file.
        file: String,
        /// How it ended.
        fault: RegoFault,
    },
}

/// What one rule that names the resource makes of the claims: each of its conditions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleReport {
    /// The rule's name.
    pub rule: String,
    /// In the order in which they are asked. The rule allows if all hold.
    pub conditions: Vec<Condition>,
}

impl RuleReport {
    /// Whether the rule allows.
    #[must_use]
    pub fn allows(&self) -> bool {
        self.conditions.iter().all(|condition| condition.holds)
    }
}

/// One condition, with what is wanted and what was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// What is compared: a claim's name, with its submodule where there is one.
    pub what: String,
    /// The values that will do.
    pub wanted: String,
    /// The value that the claims have.
    pub seen: String,
    /// Whether it will do.
    pub holds: bool,
}
