//! What decides: which evidence is wanted, what is found worse, who gets which resource. Read from
//! its documents whole or not at all.

use crate::appraisal::Appraisal;
use crate::audit::entry::hex;
use crate::documents::Documents;
use crate::evaluators::Evaluators;
use crate::policies::{Policies, PolicyError};
use nitride_verify::AttestationPolicy;
use sha2::{Digest, Sha256};

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

    /// Says aloud what weakens it.
    pub(crate) fn warn(&self) {
        if self.attestation_policy.danger_accept_sample().value {
            tracing::warn!("danger-accept-sample: evidence without hardware is accepted");
        }
        let anchors = self.attestation_policy.danger_test_anchors();
        if !anchors.value.is_empty() {
            tracing::warn!("danger-test-anchors: evidence under roots of nobody is accepted");
        }
    }
}

/// The beginning of a digest, for people.
pub(crate) fn name_of(digest: &[u8; 32]) -> String {
    hex(digest.get(..8).unwrap_or_default())
}
