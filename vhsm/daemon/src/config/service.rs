use super::file::name;
use super::{ConfigError, Document};
use nitride_vault::policy::{Service, TeeKeyChoice};
use serde::Deserialize;
use toml::Spanned;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawService {
    name: Spanned<String>,
    #[serde(default)]
    tee_key: RawTeeKey,
}

/// What is left out is what works with every service of the protocol, Trustee's among them.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum RawTeeKey {
    Hybrid,
    #[default]
    HybridOrP256,
    P256,
}

impl RawService {
    pub(super) fn validate(self, document: &Document) -> Result<Service, ConfigError> {
        Ok(Service {
            name: name(document, self.name)?,
            tee_key: match self.tee_key {
                RawTeeKey::Hybrid => TeeKeyChoice::Hybrid,
                RawTeeKey::HybridOrP256 => TeeKeyChoice::HybridOrP256,
                RawTeeKey::P256 => TeeKeyChoice::P256,
            },
        })
    }
}
