//! Is authentic evidence wanted: the policy's reference values against the facts.

mod azure;
mod gpu;
mod sample;
mod snp;
mod tdx;
mod tpm;

use crate::authenticity::{Facts, VerifiedEvidence};
use crate::budget::Budget;
use crate::ledger::Ledger;
use crate::policy::AttestationPolicy;
use crate::trust_vector::{
    APPROVED_BOOT, CONTRAINDICATED_RUNTIME, NO_CLAIM, TrustClaim, TrustVector,
};
use crate::verdict::{Anchor, Claims, Verdict};

/// What a TEE's own appraisal found.
struct Appraised {
    claims: Claims,
    vector: TrustVector,
    debug: bool,
}

/// Appraises authentic evidence. It cannot fail: what is not wanted gets a verdict that says so.
pub(crate) fn appraise(
    evidence: VerifiedEvidence,
    policy: &AttestationPolicy,
    now_secs: u64,
    budget: &mut Budget,
    mut ledger: Ledger,
) -> Verdict {
    let tee = evidence.tee();
    let (report_data, anchor, facts) = evidence.into_parts();
    let Appraised {
        mut claims,
        mut vector,
        debug,
    } = match facts {
        Facts::Sample(facts) => sample::appraise(&facts, policy, now_secs, &mut ledger),
        Facts::Snp(facts) => snp::appraise(&facts, policy, now_secs, &mut ledger),
        Facts::Tdx(facts) => tdx::appraise(&facts, policy, now_secs, budget, &mut ledger),
        Facts::Azure(facts) => azure::appraise(&facts, policy, now_secs, budget, &mut ledger),
        Facts::Gpu(facts) => gpu::appraise(&facts, policy, now_secs, &mut ledger),
        Facts::Tpm(facts) => tpm::appraise(&facts, policy, now_secs, budget, &mut ledger),
    };
    if anchor != Anchor::Vendor {
        // Whatever the TEE's own appraisal claims: nothing vouches for this hardware,
        // nor for what hides memory.
        vector.withdraw_hardware();
    }
    if anchor != Anchor::Nobody {
        claims.state("test-anchor", anchor == Anchor::Test);
    }
    Verdict {
        tee,
        checks: ledger.into_checks(),
        claims,
        vector,
        report_data,
        anchor,
        debug,
    }
}

/// The claim about what was loaded at boot: that only approved software was may be said where
/// everything from the kernel on is covered. Of firmware alone nothing is claimed.
fn executables(is_wanted: bool, covers_boot: bool) -> TrustClaim {
    match (is_wanted, covers_boot) {
        (false, _) => CONTRAINDICATED_RUNTIME,
        (true, true) => APPROVED_BOOT,
        (true, false) => NO_CLAIM,
    }
}
