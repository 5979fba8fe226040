//! Is authentic evidence wanted: the policy's reference values against the claims.

use crate::authenticity::VerifiedEvidence;
use crate::evidence::Tee;
use crate::policy::AttestationPolicy;
use crate::trust_vector::{APPROVED_BOOT, CONTRAINDICATED_RUNTIME, NO_CLAIM, TrustVector};
use crate::verdict::{Check, Claims, Verdict};

const SAMPLE_SVN: &str = "sample.svn";
const SAMPLE_DEBUG: &str = "sample.debug";

/// Appraises authentic evidence. It cannot fail: what is not wanted gets a verdict that says so.
#[must_use]
pub fn appraise(evidence: VerifiedEvidence, policy: &AttestationPolicy) -> Verdict {
    let tee = evidence.tee();
    let debug = evidence.is_debug();
    let (mut checks, claims, report_data) = evidence.into_parts();
    let vector = match tee {
        Tee::Sample => sample(&claims, policy, &mut checks),
    };
    let simulated = tee.is_simulated();
    Verdict {
        tee,
        checks,
        claims,
        vector,
        report_data,
        simulated,
        debug,
    }
}

/// The svn plays the measurement. Nothing is ever claimed about hardware.
fn sample(claims: &Claims, policy: &AttestationPolicy, checks: &mut Vec<Check>) -> TrustVector {
    let wanted = policy.sample_svn();
    let svn = claims.0.get("svn").and_then(|value| value.as_str());
    let executables = match svn {
        Some(svn) if wanted.value.iter().any(|value| value == svn) => {
            checks.push(Check::passed(SAMPLE_SVN));
            APPROVED_BOOT
        }
        _ => {
            let svn = svn.unwrap_or_default();
            let reason = format!(
                "svn {svn:?} is not among those of policy line {}",
                wanted.line
            );
            checks.push(Check::failed(SAMPLE_SVN, reason));
            CONTRAINDICATED_RUNTIME
        }
    };
    checks.push(Check::not_applicable(SAMPLE_DEBUG));
    TrustVector {
        executables,
        hardware: NO_CLAIM,
        ..TrustVector::default()
    }
}
