//! Which services keys and gates may name.

use super::fault::{at_most, unknown};
use super::{KeyRule, PolicyFault, PolicySet, limits};

impl PolicySet {
    /// At least one, each of them stated and none twice: the second time would be the same try.
    pub(super) fn check_services(
        &self,
        rule: &KeyRule,
        services: &[String],
    ) -> Result<(), PolicyFault> {
        let key = || rule.name.clone();
        let by = || format!("key {}", rule.name);
        if services.is_empty() {
            return Err(PolicyFault::NoService { key: key() });
        }
        at_most(limits::SERVICES, "services", services.len(), by)?;
        for (at, service) in services.iter().enumerate() {
            self.knows_service(service, by)?;
            if services.iter().take(at).any(|before| before == service) {
                let service = service.clone();
                return Err(PolicyFault::ServiceTwice {
                    key: key(),
                    service,
                });
            }
        }
        Ok(())
    }

    pub(super) fn knows_service(
        &self,
        name: &str,
        by: impl Fn() -> String,
    ) -> Result<(), PolicyFault> {
        if self.services.iter().any(|service| service.name == name) {
            Ok(())
        } else {
            Err(unknown(by(), "service", name))
        }
    }
}
