//! `sample` evidence: the svn plays the measurement. Nothing is ever claimed about hardware.

use super::Appraised;
use crate::checks::sample::{DEBUG, SVN};
use crate::evidence::SampleAllegation;
use crate::ledger::Ledger;
use crate::policy::AttestationPolicy;
use crate::trust_vector::{APPROVED_BOOT, CONTRAINDICATED_RUNTIME, NO_CLAIM, TrustVector};
use crate::verdict::Claims;
use base64ct::{Base64, Encoding};

pub(super) fn appraise(
    facts: &SampleAllegation,
    policy: &AttestationPolicy,
    now_secs: u64,
    ledger: &mut Ledger,
) -> Appraised {
    let found = match policy.sample() {
        Some(sample) => sample.find(&facts.svn, now_secs),
        // A policy without the section admits none; were some to come here, it is not wanted.
        None => Err("the policy has no [sample]".to_owned()),
    };
    let mut claims = Claims::default();
    let executables = match found {
        Ok(reference) => {
            ledger.pass(SVN);
            if let Some(reference) = reference {
                claims.state("reference_value", reference.name.as_str());
                claims.state_set(&reference.set);
            }
            APPROVED_BOOT
        }
        Err(reason) => {
            ledger.fail(SVN, reason);
            CONTRAINDICATED_RUNTIME
        }
    };
    // There is no debug mode where there is no TEE; `simulated` says the worse.
    ledger.not_applicable(DEBUG);
    claims.state("svn", facts.svn.as_str());
    claims.state("report_data", Base64::encode_string(&facts.report_data));
    Appraised {
        claims,
        vector: TrustVector {
            executables,
            hardware: NO_CLAIM,
            ..TrustVector::default()
        },
        debug: false,
    }
}
