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
    ledger: &mut Ledger,
) -> Appraised {
    let executables = match policy.sample_svn() {
        Some(wanted) if wanted.value.contains(&facts.svn) => {
            ledger.pass(SVN);
            APPROVED_BOOT
        }
        wanted => {
            let line = wanted.map_or(0, |wanted| wanted.line);
            let svn = &facts.svn;
            ledger.fail(
                SVN,
                format!("svn {svn:?} is not among those of policy line {line}"),
            );
            CONTRAINDICATED_RUNTIME
        }
    };
    // There is no debug mode where there is no TEE; `simulated` says the worse.
    ledger.not_applicable(DEBUG);
    let mut claims = Claims::default();
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
