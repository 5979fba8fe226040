use super::disk_key::duration;
use super::file::name;
use super::{ConfigError, Document, public_key};
use nitride_vault::policy::GateRule;
use serde::Deserialize;
use std::path::PathBuf;
use toml::Spanned;

/// `[[gate]]`: what it takes for this machine to count as approved. Every field is stated.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawGate {
    name: Spanned<String>,
    service: String,
    issuer: Spanned<String>,
    issuer_key: PathBuf,
    audience: Spanned<String>,
    policy_id: Spanned<String>,
    tees: Vec<String>,
    max_age: Spanned<String>,
    #[serde(default)]
    danger_accept_simulated: bool,
}

impl RawGate {
    pub(super) fn validate(self, document: &Document) -> Result<GateRule, ConfigError> {
        for (field, text) in [
            ("issuer", &self.issuer),
            ("audience", &self.audience),
            ("policy-id", &self.policy_id),
        ] {
            if text.get_ref().is_empty() {
                return Err(document.fault(
                    text.span(),
                    format_args!("{field} is empty, which no token could have"),
                    "write what the service's tokens say",
                ));
            }
        }
        Ok(GateRule {
            name: name(document, self.name)?,
            service: self.service,
            issuer: self.issuer.into_inner(),
            issuer_key: public_key::read(&self.issuer_key)?,
            audience: self.audience.into_inner(),
            policy_id: self.policy_id.into_inner(),
            tees: self.tees,
            max_age_ms: duration(document, &self.max_age)?,
            danger_accept_simulated: self.danger_accept_simulated,
        })
    }
}
