//! What may be sealed, and what with.

use super::{KeyRule, PolicyFault, PolicySet, Source};
use nitride_protocol::KeyType;

impl PolicySet {
    /// What is sealed, and what with.
    pub(super) fn check_seal(&self) -> Result<(), PolicyFault> {
        let part = self
            .seal
            .as_ref()
            .and_then(|seal| seal.provisioned.as_ref());
        if let Some(part) = part {
            let mut keys = self.keys.iter();
            let is_fit = |rule: &KeyRule| {
                matches!(rule.source, Source::Kbs { .. })
                    && matches!(
                        rule.key_type,
                        KeyType::Secret
                            | KeyType::HmacSha256
                            | KeyType::HmacSha384
                            | KeyType::HmacSha512
                    )
            };
            let key = part.clone();
            let Some(rule) = keys.find(|rule| rule.name == *part && is_fit(rule)) else {
                return Err(PolicyFault::UnfitSealPart { key });
            };
            if let Some(signer) = rule.signer.iter().find(|name| self.is_listed(name)) {
                let signer = signer.clone();
                return Err(PolicyFault::ListedSealPart { key, signer });
            }
        }
        for rule in self.keys.iter().filter(|rule| rule.seal) {
            let key = rule.name.clone();
            match &self.seal {
                None => return Err(PolicyFault::NoSeal { key }),
                Some(_) if part == Some(&key) => return Err(PolicyFault::SealsItself { key }),
                Some(seal) if !seal.is_durable && rule.max_uses.is_some() => {
                    return Err(PolicyFault::CountedWithoutCounter { key });
                }
                Some(_) => {}
            }
        }
        Ok(())
    }
}
