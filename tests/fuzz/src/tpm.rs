//! Evidence of a TPM alone: statements, signatures, public areas, the JSON form, and the request of an
//! enrolment.

use nitride_verify::enrolment::Enrolment;
use nitride_verify::evidence::TpmPublic;
use nitride_verify::evidence::tpms_attest::{QuoteStatement, TpmSignature};
use nitride_verify::{
    AttestationPolicy, Budget, Collateral, Expected, Tee, UnverifiedEvidence, judge,
};
use std::sync::OnceLock;

/// A policy that knows no key.
fn policy() -> &'static AttestationPolicy {
    static POLICY: OnceLock<AttestationPolicy> = OnceLock::new();
    POLICY.get_or_init(|| {
        let text = include_str!("../seeds/policy_toml/tpm");
        AttestationPolicy::parse(text, "policy.toml").expect("the policy is good")
    })
}

/// Each parser alone, and the whole of it: without a key that is known none of it can be authentic.
pub fn tpm(data: &[u8]) {
    let _ = QuoteStatement::parse(data);
    let _ = TpmSignature::parse(data);
    if let Ok(public) = TpmPublic::parse(data) {
        assert!(!public.spki().is_empty());
        let signs = public.signs_for_its_tpm_alone().is_ok();
        assert!(!signs || public.opens_for_its_tpm_alone().is_err());
    }
    if let Ok(primary) = std::str::from_utf8(data) {
        let _ = Enrolment::read(primary);
        let evidence = UnverifiedEvidence {
            tee: Tee::Tpm,
            primary,
            additional: "",
        };
        let judged = judge(
            &evidence,
            &Expected::of([7; 48]),
            policy(),
            &Collateral::default(),
            0,
            &mut Budget::for_one_round(),
        );
        assert!(judged.is_err(), "no key is known");
    }
}
