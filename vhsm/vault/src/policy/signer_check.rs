use super::fault::{at_most, unique};
use super::{PolicyFault, PolicySet, Source, limits};
use std::collections::{HashMap, HashSet};

impl PolicySet {
    /// Who is believed, and by what.
    pub(super) fn check_signers(&self) -> Result<(), PolicyFault> {
        let listed = &self.listed_signers;
        let (len, by) = (listed.len(), || "the policy".into());
        at_most(limits::LISTED_SIGNERS, "signers with a list", len, by)?;
        let pinned = self.signers.iter().map(|signer| signer.name.as_str());
        unique(
            "signer",
            pinned.chain(listed.iter().map(|signer| signer.name.as_str())),
        )?;
        // An envelope names its signer by this alone: it must not mean two.
        let mut kids = HashSet::new();
        if let Some(signer) = self.signers.iter().find(|signer| !kids.insert(&signer.kid)) {
            return Err(PolicyFault::Duplicate {
                kind: "kid of signer",
                name: signer.name.clone(),
            });
        }
        let mut places = HashMap::new();
        for signer in listed {
            let name = || signer.name.clone();
            if signer.max_age_ms == 0 {
                return Err(PolicyFault::NeverListed { signer: name() });
            }
            if let Some(other) = places.insert(&signer.path, name()) {
                let by = format!("signer {other}");
                let signer = name();
                return Err(PolicyFault::ListElsewhere { signer, by });
            }
        }
        for key in &self.keys {
            if let Source::Kbs { path, .. } = &key.source
                && let Some(signer) = places.get(path)
            {
                let (signer, by) = (signer.clone(), format!("key {}", key.name));
                return Err(PolicyFault::ListElsewhere { signer, by });
            }
        }
        Ok(())
    }

    pub(super) fn is_listed(&self, name: &str) -> bool {
        let mut listed = self.listed_signers.iter();
        listed.any(|signer| signer.name == name)
    }
}
