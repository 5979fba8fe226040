use super::file::name;
use super::{ConfigError, Document};
use nitride_vault::policy::{Service, TeeKeyChoice};
use serde::Deserialize;
use toml::Spanned;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawService {
    name: Spanned<String>,
    tee_key: Option<Spanned<RawTeeKey>>,
    #[serde(default)]
    plaintext_courier: bool,
}

/// What is left out is what works with every service of the protocol, Trustee's among them.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum RawTeeKey {
    Hybrid,
    HybridOrP256,
    P256,
}

impl RawService {
    pub(super) fn validate(self, document: &Document) -> Result<Service, ConfigError> {
        if let (true, Some(tee_key)) = (self.plaintext_courier, &self.tee_key) {
            return Err(document.fault(
                tee_key.span(),
                "nothing is encrypted to this machine by a service that says plaintext-courier",
                "remove tee-key, or plaintext-courier",
            ));
        }
        Ok(Service {
            name: name(document, self.name)?,
            tee_key: match self.tee_key.map(Spanned::into_inner) {
                Some(RawTeeKey::Hybrid) => TeeKeyChoice::Hybrid,
                Some(RawTeeKey::HybridOrP256) | None => TeeKeyChoice::HybridOrP256,
                Some(RawTeeKey::P256) => TeeKeyChoice::P256,
            },
            plaintext_courier: self.plaintext_courier,
        })
    }
}
