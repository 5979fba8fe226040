//! `policy check`.

use crate::config::Config;
use crate::resource_policy::ResourcePolicy;
use crate::service::load_policy;
use anyhow::Result;
use clap::Subcommand;
use nitride_verify::AttestationPolicy;
use std::path::PathBuf;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Read policy files as the service would; a mistake is told with file and line.
    Check {
        /// The configuration, whose two policies are checked with it.
        #[arg(long, value_name = "PATH")]
        config: Option<PathBuf>,
        /// An attestation policy.
        #[arg(long, value_name = "PATH", required_unless_present_any = ["config", "resource"])]
        attestation: Option<PathBuf>,
        /// A resource policy.
        #[arg(long, value_name = "PATH")]
        resource: Option<PathBuf>,
    },
}

impl Command {
    pub(crate) fn run(self) -> Result<()> {
        let Self::Check {
            config,
            attestation,
            resource,
        } = self;
        let config = config.map(|path| Config::load(&path)).transpose()?;
        let named =
            |pick: fn(&Config) -> &PathBuf| config.as_ref().map(|config| pick(config).clone());
        let attestations = [
            named(|config| &config.reloaded.attestation_policy),
            attestation,
        ];
        let resources = [named(|config| &config.reloaded.resource_policy), resource];
        for path in attestations.into_iter().flatten() {
            load_policy(&path, AttestationPolicy::parse)?;
            println!("{}: good", path.display());
        }
        for path in resources.into_iter().flatten() {
            let (policy, _) = load_policy(&path, ResourcePolicy::parse)?;
            println!("{}: good, {} rules", path.display(), policy.rules_len());
        }
        Ok(())
    }
}
