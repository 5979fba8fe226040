//! What decides: which evidence is wanted, what is found worse, who gets which resource. Read from
//! its documents whole or not at all.

use crate::appraisal::Appraisal;
use crate::audit::entry::hex;
use crate::documents::Documents;
use crate::evaluators::Evaluators;
use crate::policies::{Policies, PolicyError};
use nitride_verify::AttestationPolicy;
use sha2::{Digest, Sha256};

/// So many tenants are named whose policies cannot be used; of the others there is the number.
const MAX_TOLD: usize = 16;

/// All policies, read and checked.
#[derive(Debug)]
pub(crate) struct Judgement {
    pub(crate) attestation_policy: AttestationPolicy,
    pub(crate) policies: Policies,
    /// What judges beside the attestation policy.
    pub(crate) appraisal: Option<Appraisal>,
    /// SHA-256 of all texts, for the log.
    pub(crate) digest: [u8; 32],
}

impl Judgement {
    /// Reads every document, and has each Rego module read once by an evaluator. A tenant's policy that
    /// is as it was `before` is taken over, so that a change costs what it changes. Blocks.
    pub(crate) fn read(
        documents: &Documents,
        evaluators: &Evaluators,
        before: Option<&Self>,
    ) -> Result<Self, PolicyError> {
        let (attestation_policy, attestation_text) = documents.attestation_policy()?;
        let before = before.map(|judgement| &judgement.policies);
        let policies = Policies::read(documents, evaluators, before)?;
        let appraisal = Appraisal::read(documents, evaluators)?;
        let mut digest = Sha256::new();
        for text in std::iter::once(attestation_text.as_str())
            .chain(policies.texts())
            .chain(appraisal.iter().map(Appraisal::text))
        {
            digest.update(text.len().to_be_bytes());
            digest.update(text);
        }
        Ok(Self {
            attestation_policy,
            policies,
            appraisal,
            digest: digest.finalize().into(),
        })
    }

    /// What is wrong with it, though it is in force: the first tenants of whom everything is denied.
    pub(crate) fn faults(&self) -> Vec<String> {
        let mut faults = self.policies.faults();
        let told = faults.by_ref().take(MAX_TOLD).map(|(repository, reason)| {
            format!(
                "everything of tenant {repository} is denied, its policy cannot be used: {reason}"
            )
        });
        let mut told: Vec<String> = told.collect();
        let more = faults.count();
        if more > 0 {
            told.push(format!("so of {more} more tenants"));
        }
        told
    }

    /// Says aloud what weakens it, and what is wrong with it.
    pub(crate) fn warn(&self) {
        if self.attestation_policy.danger_accept_sample().value {
            tracing::warn!("danger-accept-sample: evidence without hardware is accepted");
        }
        let anchors = self.attestation_policy.danger_test_anchors();
        if !anchors.value.is_empty() {
            tracing::warn!("danger-test-anchors: evidence under roots of nobody is accepted");
        }
        for fault in self.faults() {
            tracing::error!("{fault}");
        }
    }
}

/// The beginning of a digest, for people.
pub(crate) fn name_of(digest: &[u8; 32]) -> String {
    hex(digest.get(..8).unwrap_or_default())
}
