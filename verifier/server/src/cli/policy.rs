//! `policy`: what a policy file says, before a fleet meets it.

mod claims;
mod report;

use super::ConfigPath;
use super::opened_store::OpenedStore;
use crate::config::{Config, PolicySource};
use crate::documents::{Document, Documents, Strict};
use crate::evaluators::{Evaluators, evaluate};
use crate::generated::Templates;
use crate::judgement::Judgement;
use crate::policies::ResourcePolicy;
use crate::policy_set::PolicySet;
use anyhow::{Context, Result, bail};
use clap::Subcommand;
use nitride_kbs::resource::ResourcePath;
use nitride_policy::{Decision, Question};
use nitride_verify::AttestationPolicy;
use std::path::{Path, PathBuf};
use std::time::Duration;
use thiserror::Error;

/// What a policy's evaluation may take where no configuration says it.
const EVALUATION: Duration = Duration::from_millis(250);

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Read policy files as the service would; a mistake is told with file and line.
    Check {
        /// The configuration, whose policies are checked with it.
        #[arg(long, value_name = "PATH")]
        config: Option<PathBuf>,
        /// An attestation policy.
        #[arg(long, value_name = "PATH", required_unless_present_any = ["config", "resource", "generate"])]
        attestation: Option<PathBuf>,
        /// A resource policy: rules in TOML, or Rego where its name ends so.
        #[arg(long, value_name = "PATH")]
        resource: Option<PathBuf>,
        /// What is made for machines on their first request, without the key that it names.
        #[arg(long, value_name = "PATH")]
        generate: Option<PathBuf>,
    },
    /// Say what a resource policy makes of claims, and why. Nothing is released, nobody is asked.
    ///
    /// CLAIMS is a file with a token, a token's payload, or the claims of one TEE under its name, as
    /// in {"sample":{"svn":"1"}}, which are taken for affirming. Whether they are true is not looked
    /// at. Exit status: 0 allowed, 1 denied, 2 not decided.
    Test {
        /// The claims.
        #[arg(value_name = "CLAIMS")]
        claims: PathBuf,
        /// The resource, repository/type/tag.
        #[arg(value_name = "PATH")]
        path: String,
        /// The configuration, whose policy of the resource's repository decides.
        #[arg(long, value_name = "PATH", required_unless_present = "policy")]
        config: Option<PathBuf>,
        /// A resource policy that decides instead.
        #[arg(long, value_name = "PATH", conflicts_with = "config")]
        policy: Option<PathBuf>,
    },
    /// Print rules in TOML as a Rego module that decides alike.
    Render {
        /// The rules.
        #[arg(value_name = "PATH")]
        rules: PathBuf,
    },
    /// Evaluate Rego for the service, over the socket that is standard input.
    #[command(hide = true)]
    Evaluate {
        /// How long an evaluation may take.
        #[arg(long, value_name = "MILLISECONDS")]
        limit_ms: u32,
    },
}

/// The policy that was tried denies. It has been printed why.
#[derive(Debug, Error)]
#[error("denied")]
pub(crate) struct DeniedHere;

/// There is no decision: something cannot be read.
#[derive(Debug, Error)]
#[error("not decided")]
pub(crate) struct Undecided;

impl Command {
    pub(crate) fn run(self) -> Result<()> {
        match self {
            Self::Check {
                config,
                attestation,
                resource,
                generate,
            } => check(config.as_deref(), attestation, resource, generate),
            Self::Test {
                claims,
                path,
                config,
                policy,
            } => {
                let made = test(&claims, &path, config.as_deref(), policy.as_deref());
                match made {
                    Ok((text, is_allowed)) => {
                        print!("{text}");
                        is_allowed.then_some(()).ok_or_else(|| DeniedHere.into())
                    }
                    // The kind comes last: `is` finds it, and the chain is printed as it came.
                    Err(error) => Err(error.context(Undecided)),
                }
            }
            Self::Render { rules } => {
                let policy = resource_policy(&rules, &Evaluators::new(EVALUATION))?;
                match policy.rules() {
                    Some(rules) => print!("{}", rules.to_rego()),
                    None => bail!("{} is Rego already", rules.display()),
                }
                Ok(())
            }
            Self::Evaluate { limit_ms } => evaluate(Duration::from_millis(limit_ms.into())),
        }
    }
}

fn check(
    config: Option<&Path>,
    attestation: Option<PathBuf>,
    resource: Option<PathBuf>,
    generate: Option<PathBuf>,
) -> Result<()> {
    if let Some(path) = config {
        let (documents, judgement, _) = configured(path)?;
        let policies = &judgement.policies;
        println!("{}: good", documents.attestation.file);
        let rules = policies.rules_count();
        println!("{}: good, {rules} rules", documents.resource.file);
        let others = [
            &documents.attestation_values,
            &documents.appraisal,
            &documents.named_values,
        ];
        for document in others.into_iter().flatten() {
            println!("{}: good", document.file);
        }
        println!("{} tenants: good", policies.tenants_count());
    }
    if let Some(path) = attestation {
        let Document { file, text, .. } = Document::of_file(&path)?;
        AttestationPolicy::parse(&text, &file)?;
        println!("{file}: good");
    }
    if let Some(path) = resource {
        let evaluators = Evaluators::new(EVALUATION);
        let policy = resource_policy(&path, &evaluators)?;
        println!("{}: good, {} rules", path.display(), policy.rules_count());
    }
    let named = config.map(Config::load).transpose()?;
    let named = named.and_then(|config| config.reloaded.generate);
    for path in [named, generate].into_iter().flatten() {
        let (templates, _) = Templates::read(&path)?;
        println!("{}: good, {} secrets", path.display(), templates.count());
    }
    Ok(())
}

/// The policies that a service with this configuration has in force, of files or of the store.
fn configured(path: &Path) -> Result<(Documents, Judgement, Evaluators)> {
    let config = Config::load(path)?;
    let evaluators = Evaluators::new(config.fixed.evaluation);
    let documents = match &config.reloaded.policies {
        PolicySource::Files(files) => Documents::of_files(files)?,
        PolicySource::Store { at_least } => {
            let config = path.to_owned();
            let store = OpenedStore::open(&ConfigPath { config })?;
            let known = PolicySet::default();
            let (set, _) = store.wait(PolicySet::read(store.store(), &known, *at_least))?;
            // Who asks here is told of every fault.
            Documents {
                strict: Strict::All,
                ..set.to_documents()
            }
        }
    };
    let judgement = Judgement::read(&documents, &evaluators, None)?;
    Ok((documents, judgement, evaluators))
}

fn resource_policy(path: &Path, evaluators: &Evaluators) -> Result<ResourcePolicy> {
    Ok(ResourcePolicy::read(
        &Document::of_file(path)?,
        None,
        evaluators,
    )?)
}

/// What the policy says, as text, and whether it allows.
fn test(
    claims: &Path,
    path: &str,
    config: Option<&Path>,
    policy: Option<&Path>,
) -> Result<(String, bool)> {
    let path = ResourcePath::parse(path).context("read the resource's path")?;
    let claims = claims::read(claims)?;
    let question = Question {
        claims: &claims,
        path: &path,
    };
    let told = |policy: &ResourcePolicy, evaluators: &Evaluators| {
        let (decision, explanation) = policy.explain(evaluators, &question);
        let is_allowed = matches!(decision, Decision::Allowed { .. });
        let text = report::text(&question, policy, &decision, &explanation);
        (text, is_allowed)
    };
    match (config, policy) {
        (_, Some(policy)) => {
            let evaluators = Evaluators::new(EVALUATION);
            let policy = resource_policy(policy, &evaluators)?;
            Ok(told(&policy, &evaluators))
        }
        (Some(config), None) => {
            let (_, judgement, evaluators) = configured(config)?;
            Ok(told(judgement.policies.of(&path), &evaluators))
        }
        (None, None) => bail!("there is neither --config nor --policy"),
    }
}
