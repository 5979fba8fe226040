//! The resource policies of the service and of its tenants, and the leave to release that only they
//! give.
//!
//! A tenant is a repository, the first part of a resource's path. One that has a policy of its own is
//! decided by it alone; all others by the service's. What a policy does not allow is denied, and a
//! policy that cannot be read stops a start, a reload or a change rather than leaving its tenant to
//! another's; a tenant's that another replica has taken into the store denies everything of its own.

use crate::config::ConfigError;
use crate::documents::{Document, Documents, Form, MAX_TENANTS};
use crate::error_chain::chain;
use crate::evaluators::{Evaluators, Turns};
use crate::token::AcceptedToken;
use nitride_kbs::resource::ResourcePath;
use nitride_kbs::tee_key::TeePublicKey;
use nitride_policy::{
    Answer, Ask, Decision, Denied, ModuleTooLong, NamedValuesError, Question, RegoFault,
    RegoModule, RuleReport, Rules, Trace,
};
use nitride_verify::strict_toml::FileError;
use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use thiserror::Error;

/// Policies that could not be used are tried again for so long, each time others change.
const TRIED_AGAIN: Duration = Duration::from_secs(5);

/// Every policy that the service decides by.
#[derive(Debug)]
pub(crate) struct Policies {
    service: ResourcePolicy,
    /// By repository.
    tenants: BTreeMap<String, Arc<ResourcePolicy>>,
}

/// One policy, in whichever form.
#[derive(Debug)]
pub(crate) struct ResourcePolicy {
    decider: Decider,
    document: Document,
}

#[derive(Debug)]
enum Decider {
    Rules(Rules),
    Rego {
        module: RegoModule,
        turns: Turns,
    },
    /// Nothing is allowed, for this reason.
    Unusable(String),
}

/// The leave to give one resource to one TEE key. Only [`Policies::decide`] makes it, and what
/// releases a resource asks for it.
#[derive(Debug)]
pub(crate) struct Allowed<'a> {
    path: &'a ResourcePath,
    tee_key: TeePublicKey,
    rule: String,
}

/// Why there is no policy.
#[derive(Debug, Error)]
pub(crate) enum PolicyError {
    #[error(transparent)]
    Unreadable(#[from] ConfigError),
    #[error(transparent)]
    Rules(#[from] FileError),
    #[error(transparent)]
    TooLong(#[from] ModuleTooLong),
    #[error(transparent)]
    Values(#[from] NamedValuesError),
    #[error("{file}: {fault}")]
    Rego { file: String, fault: RegoFault },
    #[error("read the tenants' policies in {}", folder.display())]
    Folder {
        folder: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{} is no tenant's policy; name it REPOSITORY.toml or REPOSITORY.rego", file.display())]
    Stranger { file: PathBuf },
    #[error("{repository} has two policies in {}; remove one", folder.display())]
    Twice { repository: String, folder: PathBuf },
    #[error("{} has more than {MAX_TENANTS} policies", folder.display())]
    TooMany { folder: PathBuf },
}

/// How a policy came to its decision, for who asks.
#[derive(Debug)]
pub(crate) enum Explanation {
    /// Each rule that names the resource.
    Rules(Vec<RuleReport>),
    /// Which lines of the module were evaluated.
    Rego(Option<Trace>),
}

impl Allowed<'_> {
    pub(crate) fn path(&self) -> &ResourcePath {
        self.path
    }

    pub(crate) fn tee_key(&self) -> &TeePublicKey {
        &self.tee_key
    }

    pub(crate) fn rule(&self) -> &str {
        &self.rule
    }
}

impl Policies {
    /// Reads the service's policy and those of the tenants, and has each Rego module read once. A
    /// tenant's that is as it was `before` is that one. Of a tenant whose policy cannot be used, and is not
    /// [strictly](Documents::is_strict) wanted, everything is denied.
    pub(crate) fn read(
        documents: &Documents,
        evaluators: &Evaluators,
        before: Option<&Self>,
    ) -> Result<Self, PolicyError> {
        evaluators.forget_turns();
        let begun = Instant::now();
        let service = ResourcePolicy::read(&documents.resource, None, evaluators)?;
        let mut tenants = BTreeMap::new();
        for (repository, document) in &documents.tenants {
            let known = before.and_then(|policies| policies.tenants.get(repository));
            let is_strict = documents.is_strict(repository);
            let is_tried = |policy: &ResourcePolicy| {
                policy.fault().is_some() && (is_strict || begun.elapsed() < TRIED_AGAIN)
            };
            let known = known.filter(|policy| policy.document == *document && !is_tried(policy));
            let policy = match known {
                Some(policy) => policy.clone(),
                None => match ResourcePolicy::read(document, Some(repository), evaluators) {
                    Err(error) if !is_strict => ResourcePolicy::unusable(document, &error).into(),
                    read => read?.into(),
                },
            };
            tenants.insert(repository.clone(), policy);
        }
        Ok(Self { service, tenants })
    }

    /// Decides whether the bearer of `token` gets the resource at `path`.
    pub(crate) async fn decide<'a>(
        &self,
        evaluators: &Evaluators,
        token: &AcceptedToken,
        path: &'a ResourcePath,
    ) -> Result<Allowed<'a>, Denied> {
        let question = Question {
            claims: token.claims(),
            path,
        };
        let decision = match &self.of(path).decider {
            Decider::Rules(rules) => rules.decide(&question),
            Decider::Rego { module, turns } => {
                let answer = evaluators.ask(turns, module, allow(&question, false)).await;
                decision(module, answer)
            }
            Decider::Unusable(reason) => self.of(path).nothing(reason),
        };
        match decision {
            Decision::Allowed { rule } => Ok(Allowed {
                path,
                tee_key: token.tee_key(),
                rule,
            }),
            Decision::Denied(denied) => Err(denied),
        }
    }

    /// The policy that decides about `path`.
    pub(crate) fn of(&self, path: &ResourcePath) -> &ResourcePolicy {
        let tenant = self.tenants.get(path.repository());
        tenant.map_or(&self.service, Arc::as_ref)
    }

    /// How many rules of the service's own there are; a Rego module is one.
    pub(crate) fn rules_count(&self) -> usize {
        self.service.rules_count()
    }

    /// How many tenants have a policy of their own.
    pub(crate) fn tenants_count(&self) -> usize {
        self.tenants.len()
    }

    /// Each tenant of whom everything is denied, since its policy cannot be used, and why.
    pub(crate) fn faults(&self) -> impl Iterator<Item = (&str, &str)> {
        let tenants = self.tenants.iter();
        tenants.filter_map(|(name, policy)| Some((name.as_str(), policy.fault()?)))
    }

    /// Every text, the service's first, each tenant's after its name: what a digest is taken over.
    pub(crate) fn texts(&self) -> impl Iterator<Item = &str> {
        let tenants = self.tenants.iter();
        let tenants = tenants.flat_map(|(name, policy)| [name.as_str(), policy.text()]);
        std::iter::once(self.service.text()).chain(tenants)
    }
}

impl ResourcePolicy {
    /// Reads a policy, in either form. That of a tenant may speak of its own resources alone.
    pub(crate) fn read(
        document: &Document,
        repository: Option<&str>,
        evaluators: &Evaluators,
    ) -> Result<Self, PolicyError> {
        let Document { file, form, text } = document;
        let decider = if *form == Form::Rego {
            let module = RegoModule::new(text, file)?;
            // The service's own policy is its operator's, who shares with nobody.
            let turns = match repository {
                Some(repository) => evaluators.turns_of(repository),
                None => evaluators.all_turns(),
            };
            match evaluators.ask_now(&turns, &module, Ask::Check) {
                Answer::Yes(_) => {}
                answer => {
                    let fault = fault_of(answer);
                    let file = file.clone();
                    return Err(PolicyError::Rego { file, fault });
                }
            }
            Decider::Rego { module, turns }
        } else {
            Decider::Rules(match repository {
                Some(repository) => Rules::parse_of(repository, text, file)?,
                None => Rules::parse(text, file)?,
            })
        };
        Ok(Self {
            decider,
            document: document.clone(),
        })
    }

    /// A policy that is none.
    fn unusable(document: &Document, error: &PolicyError) -> Self {
        Self {
            decider: Decider::Unusable(chain(error)),
            document: document.clone(),
        }
    }

    fn fault(&self) -> Option<&str> {
        match &self.decider {
            Decider::Unusable(reason) => Some(reason),
            Decider::Rules(_) | Decider::Rego { .. } => None,
        }
    }

    fn nothing(&self, reason: &str) -> Decision {
        Decision::Denied(Denied::Rego {
            file: self.document.file.clone(),
            fault: RegoFault::NotEvaluated(format!("it cannot be used: {reason}")),
        })
    }

    /// What [`Policies::decide`] would say of claims that nobody has verified, and how it comes to it.
    /// It gives no leave.
    pub(crate) fn explain(
        &self,
        evaluators: &Evaluators,
        question: &Question<'_>,
    ) -> (Decision, Explanation) {
        match &self.decider {
            Decider::Rules(rules) => (
                rules.decide(question),
                Explanation::Rules(rules.explain(question)),
            ),
            Decider::Rego { module, turns } => {
                let answer = evaluators.ask_now(turns, module, allow(question, true));
                let trace = match &answer {
                    Answer::Yes(trace) | Answer::No(_, trace) => trace.clone(),
                    Answer::UnknownModule | Answer::Claims(_) => None,
                };
                (decision(module, answer), Explanation::Rego(trace))
            }
            Decider::Unusable(reason) => (self.nothing(reason), Explanation::Rego(None)),
        }
    }

    /// The rules, if it is in that form.
    pub(crate) fn rules(&self) -> Option<&Rules> {
        match &self.decider {
            Decider::Rules(rules) => Some(rules),
            Decider::Rego { .. } | Decider::Unusable(_) => None,
        }
    }

    pub(crate) fn text(&self) -> &str {
        &self.document.text
    }

    pub(crate) fn rules_count(&self) -> usize {
        self.rules().map_or(1, Rules::count)
    }
}

fn allow(question: &Question<'_>, traced: bool) -> Ask {
    Ask::Allow {
        input: question.input(),
        data: question.data(),
        traced,
    }
}

fn decision(module: &RegoModule, answer: Answer) -> Decision {
    match answer {
        Answer::Yes(_) => Decision::Allowed {
            rule: module.file().to_owned(),
        },
        answer => Decision::Denied(Denied::Rego {
            file: module.file().to_owned(),
            fault: fault_of(answer),
        }),
    }
}

/// The fault of an answer that is not what was asked for.
pub(crate) fn fault_of(answer: Answer) -> RegoFault {
    match answer {
        Answer::No(fault, _) => fault,
        Answer::Yes(_) | Answer::UnknownModule | Answer::Claims(_) => {
            RegoFault::NotEvaluated("the evaluator answers something else".to_owned())
        }
    }
}

#[cfg(test)]
impl Policies {
    /// The service's policy as rules, without tenants.
    pub(crate) fn of_rules(text: &str) -> Self {
        Self {
            service: ResourcePolicy {
                decider: Decider::Rules(Rules::parse(text, "resource.toml").unwrap()),
                document: Document {
                    file: "resource.toml".to_owned(),
                    form: Form::Toml,
                    text: text.into(),
                },
            },
            tenants: BTreeMap::new(),
        }
    }
}

#[cfg(test)]
mod tests;
