use super::disk_key::duration;
use super::file::name;
use super::one_or_many::OneOrMany;
use super::{ConfigError, Document, public_key};
use nitride_vault::policy::GateRule;
use serde::Deserialize;
use std::path::PathBuf;
use toml::Spanned;

/// Each is tried in turn on what the agent brings.
const MAX_ISSUER_KEYS: usize = 8;

/// `[[gate]]`: what it takes for this machine to count as approved. Every field is stated.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawGate {
    name: Spanned<String>,
    service: String,
    issuer: Spanned<String>,
    issuer_key: Spanned<OneOrMany<PathBuf>>,
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
        let span = self.issuer_key.span();
        let issuer_keys = self.issuer_key.into_inner().into_vec();
        if issuer_keys.is_empty() || issuer_keys.len() > MAX_ISSUER_KEYS {
            return Err(document.fault(
                span,
                format_args!("issuer-key names {} files", issuer_keys.len()),
                "name the key that signs now and, while it rotates, the next, 8 at most",
            ));
        }
        let issuer_keys = issuer_keys.iter().map(|path| public_key::read_issuer(path));
        Ok(GateRule {
            name: name(document, self.name)?,
            service: self.service,
            issuer: self.issuer.into_inner(),
            issuer_keys: issuer_keys.collect::<Result<_, _>>()?,
            audience: self.audience.into_inner(),
            policy_id: self.policy_id.into_inner(),
            tees: self.tees,
            max_age_ms: duration(document, &self.max_age)?,
            danger_accept_simulated: self.danger_accept_simulated,
        })
    }
}
