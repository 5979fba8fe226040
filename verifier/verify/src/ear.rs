//! A verdict as a submodule of an EAR token (draft-ietf-rats-ear, in the shape Trustee gives it).

use crate::verdict::Verdict;
use nitride_kbs::token::{AnnotatedEvidence, RuntimeDataClaims, Submod};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

impl Verdict {
    /// The submodule. `runtime` is what the report data was found to be the hash of; the caller
    /// computed that hash from it, so that it is as good as verified.
    #[must_use]
    pub fn submod(&self, policy_id: &str, runtime: RuntimeDataClaims) -> Submod {
        let vector = self.vector().named().into_iter();
        let claims: Map<String, Value> = self
            .claims()
            .iter()
            .map(|(name, value)| (name.to_owned(), value.clone()))
            .collect();
        let tee_claims = BTreeMap::from([(self.tee().as_str().to_owned(), Value::Object(claims))]);
        Submod {
            status: self.status(),
            trustworthiness_vector: Some(
                vector
                    .map(|(name, claim)| (name.to_owned(), claim))
                    .collect(),
            ),
            appraisal_policy_id: Some(policy_id.to_owned()),
            annotated_evidence: Some(AnnotatedEvidence {
                report_data: Some(base16ct::lower::encode_string(
                    self.report_data().as_bytes(),
                )),
                runtime_data_claims: Some(runtime),
                tee_claims,
            }),
        }
    }
}
